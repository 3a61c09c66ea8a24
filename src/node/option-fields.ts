/**
 * Reading an object of options field by field: what `parseRunOptions` (run-options.ts) is made of.
 *
 * Hides how a wrong value becomes one line: each reader is given a `complain` that knows the option's name and the value, and says only
 * what would be right. What was not asked for is left over, and refused by its name.
 */
import { bad } from "../link/known-options.ts";
import { readInteger } from "./quantities.ts";

/** How an option is called in complaints: `path` is that of the field, e.g. "impair.loss". */
export type OptionLabel = (path: string) => string;

/** A complaint about one value: what was given, and what would be right. */
export type Complain = (wanted: string) => never;
/** Makes the value of a field out of what was given. */
export type Read<T> = (value: unknown, complain: Complain, path: string, label: OptionLabel) => T;

/** Takes fields out of an object one by one, so that what is left over is unknown. */
export class Fields {
	readonly #object: Readonly<Record<string, unknown>>;
	readonly #path: string;
	readonly #label: OptionLabel;
	readonly #known = new Set<string>();

	constructor(value: unknown, path: string, label: OptionLabel) {
		if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(`${label(path)} must be an object`);
		this.#object = value as Record<string, unknown>;
		this.#path = path;
		this.#label = label;
	}

	/** The field's value as `read` makes it; null where there is none. */
	take<T>(key: string, read: Read<T>): T | null {
		this.#known.add(key);
		const value = Object.hasOwn(this.#object, key) ? this.#object[key] : undefined;
		if (value === undefined || value === null) return null;
		const path = this.#path === "" ? key : `${this.#path}.${key}`;
		return read(value, complainer(path, this.#label, value), path, this.#label);
	}

	/** Refuses what was not taken. */
	end(): void {
		for (const key of Object.keys(this.#object)) {
			if (!this.#known.has(key)) throw bad(`${this.#label(this.#path)} has no option "${key}"; there are ${[...this.#known].join(", ")}`);
		}
	}
}

function complainer(path: string, label: OptionLabel, value: unknown): Complain {
	return (wanted) => {
		const given = typeof value === "string" ? `"${value}"` : JSON.stringify(value);
		throw bad(`${label(path)}: ${given} is not ${wanted}`);
	};
}

/** Lists are arrays, or text with commas, or arrays of such text; a complaint is about the item. */
export function list<T>(read: (item: unknown, complain: Complain) => T): Read<T[]> {
	return (value, _complain, path, label) =>
		(Array.isArray(value) ? value : [value])
			.flatMap((item) => (typeof item === "string" ? item.split(",") : [item]))
			.map((item) => read(item, complainer(path, label, item)));
}

/** One of a few words. */
export function oneOf<T extends string>(...words: readonly T[]): Read<T> {
	return (value, complain) => (words.includes(value as T) ? (value as T) : complain(`${words.slice(0, -1).join(", ")} or ${words.at(-1)}`));
}

/** A whole number, or the text of one, between two bounds; null if it is none. */
export function whole(value: unknown, least: number, most: number): number | null {
	if (typeof value === "string") return readInteger(value, least, most);
	return Number.isInteger(value) && (value as number) >= least && (value as number) <= most ? (value as number) : null;
}

/** A quantity, as a number in its unit or as people write it. */
export function readQuantity(
	value: unknown,
	complain: Complain,
	read: (text: string) => number | null,
	least: number,
	most: number,
	wanted: string,
): number {
	const result = typeof value === "number" ? value : typeof value === "string" ? read(value) : null;
	if (result === null || !Number.isFinite(result) || result < least || result > most) return complain(wanted);
	return result;
}
