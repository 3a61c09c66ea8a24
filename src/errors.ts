/**
 * The one error class: a stable `code`, the fact, and what to do about it.
 *
 * Codes of the operating system keep their names (ECONNREFUSED, EADDRINUSE, EPERM ...); our own begin with `MILLRACE_`.
 */
export class MillraceError extends Error {
	/** Stable name of the error. */
	readonly code: string;
	/** The operating system's error number, where there is one. */
	readonly errno?: number;

	/** @param message The fact and the remedy, without prefix. */
	constructor(code: string, message: string, options?: { errno?: number; cause?: unknown }) {
		super(`millrace: ${message}`, options?.cause === undefined ? undefined : { cause: options.cause });
		this.name = "MillraceError";
		this.code = code;
		if (options?.errno !== undefined) this.errno = options.errno;
	}
}

/** A value as messages show it, whatever it is: none of them makes this throw. */
export function shown(value: unknown): string {
	if (typeof value === "string") return JSON.stringify(value);
	if (typeof value === "bigint") return `${value}n`;
	if (Array.isArray(value)) return "an array";
	return typeof value === "object" && value !== null ? "an object" : String(value);
}

/** What an error states, without what to do about it: for where it is a reason among others. */
export function factOf(error: unknown): string {
	return (error as Error).message.replace(/^millrace: /, "").replace(/\. .*$/s, "");
}
