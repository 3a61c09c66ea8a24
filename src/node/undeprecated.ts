/**
 * Functions of `process` that have no other name, called without the warning that is for programs.
 *
 * Hides what `--pending-deprecation` makes of `process.binding` and `process._tickCallback`: functions of Node's own around them, which warn once,
 * and throw with `--throw-deprecation`. A program that never called them would be warned of the stack's calls, or end, and its own call
 * would then be passed over. Such a function has the one that it calls as its prototype (`util.deprecate`, on Node 20 to 26).
 */

/** What a deprecated function calls; any other function as it is. */
function undeprecated<F extends (...args: never[]) => unknown>(made: F): F {
	const inner: unknown = Object.getPrototypeOf(made);
	return typeof inner === "function" && inner !== Function.prototype ? (inner as F) : made;
}

const { binding, _tickCallback: tick } = process as unknown as { binding(name: string): unknown; _tickCallback?: () => void };

/** `process.binding`, which throws where it is not permitted, or not there. */
export function internalBinding<T>(name: string): T {
	return undeprecated(binding).call(process, name) as T;
}

/** `process._tickCallback`, or nothing where it is gone. */
export const tickCallback: () => void = tick === undefined ? () => {} : undeprecated(tick);
