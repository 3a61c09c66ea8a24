/**
 * Options that are wrong, of links and of hosts on them: refused by name, with what would be right. A name that was misspelled must not be
 * taken for one that was left out.
 */
import { MillraceError, shown } from "../errors.ts";

/** A wrong option. */
export function bad(message: string): MillraceError {
	return new MillraceError("MILLRACE_BAD_OPTION", message);
}

/** Refuses what is no whole number from `min` to `max`. */
export function wholeNumber(name: string, value: number, min: number, max: number): void {
	if (!Number.isInteger(value) || value < min || value > max) throw bad(`bad ${name}: ${value}. Give a whole number from ${min} to ${max}`);
}

/** The same, with whose option it is; `whose` with its article: "a replay". */
export function inRange(whose: string, option: string, value: number, min: number, max: number): void {
	if (!Number.isInteger(value) || value < min || value > max)
		throw bad(`${option} ${value} of ${whose}: give a whole number from ${min} to ${max}`);
}

/** Refuses what is neither true nor false, nor left out. */
export function trueOrFalse(options: Readonly<Record<string, unknown>>): void {
	for (const [name, value] of Object.entries(options))
		if (value !== undefined && typeof value !== "boolean") throw bad(`${name} of ${String(value)}: give true or false`);
}

/** Refuses what is no text. */
export function text(name: string, value: unknown, example: string): void {
	if (typeof value !== "string") throw bad(`bad ${name}: ${shown(value)}. Give a text such as ${example}`);
}

/** Refuses what is no array; its members are for others to check. */
export function list(name: string, value: unknown, example: string): void {
	if (!Array.isArray(value)) throw bad(`bad ${name}: ${shown(value)}. Give an array such as ${example}`);
}

/** Refuses what are not the six bytes of a single station's hardware address. */
export function stationMac(mac: Uint8Array): Uint8Array {
	if (!(mac instanceof Uint8Array) || mac.length !== 6 || (mac[0]! & 1) !== 0)
		throw bad(`bad mac: ${mac instanceof Uint8Array ? mac : shown(mac)}. Give six bytes of a single station, such as 02:00:00:00:00:01`);
	return mac.slice();
}

/**
 * Refuses what lacks one of these methods: what would otherwise be noticed in the middle of a call, or of a turn.
 *
 * @param what What it is to be, with whose it is: "the link of a host".
 * @param instead What to give.
 */
export function withMethods(what: string, value: unknown, methods: readonly string[], instead: string): void {
	const there = (typeof value === "object" && value !== null) || typeof value === "function";
	// Not value[name]: whatever is asked for here would make that a place where V8 has seen too many shapes.
	const lacking = there ? methods.find((name) => typeof Reflect.get(value as object, name) !== "function") : methods[0];
	if (lacking !== undefined) throw bad(`${what} has no ${lacking}(). Give ${instead}`);
}

const LINK_METHODS = ["open", "receive", "transmit", "flush", "ref", "unref", "close", "counters"];

/** Refuses what is no link. */
export function withLinkMethods(what: string, value: unknown): void {
	withMethods(what, value, LINK_METHODS, "a link, such as that of tapLink() or memoryLinkPair(), or an object with the Link interface");
}

/**
 * Refuses options by other names than these, by name.
 *
 * @param what Who has the options: a thing with its article ("a TAP link"), or a function ("createHost").
 */
export function refuseUnknown(what: string, options: object, known: readonly string[]): void {
	if (typeof options !== "object" || options === null || Array.isArray(options))
		throw bad(`${what} needs an object of options: ${known.join(", ")}`);
	for (const key of Object.keys(options)) if (!known.includes(key)) throw bad(`${what} has no option "${key}". It has ${known.join(", ")}`);
}
