/**
 * Copies into, out of and within an arena.
 *
 * Hides which way of copying is the fastest for how many bytes, measured on Node 20 and 26 (`npm run bench -- micro copy`): single bytes
 * where a view would cost more than the copy, else a view and `set`, and WebAssembly's memory.copy within the arena.
 *
 * Nothing is kept between calls; a view is made for each longer copy from or to an array of the application.
 */
import type { Arena } from "./arena.ts";

/** Up to so many bytes out of the arena go by bytes: a view costs as much, and is the only thing that is allocated on the way to a reader. */
const BYTES = 64;
/** Up to so many bytes from one arena to another go word by word, if they lie alike modulo 4: a view costs more than 29 words. */
const WORDS = 256;

/** memory.copy: target, source, length. */
type Copy = (to: number, from: number, length: number) => void;

declare const WebAssembly: {
	Module: new (bytes: Uint8Array) => object;
	Instance: new (module: object, imports: { arena: { memory: object } }) => { readonly exports: { readonly copy: Copy } };
};

// By the WebAssembly specification, 5.5: one function of one instruction.
const MODULE = Uint8Array.of(
	...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
	// Type 0: three i32, no result.
	...[1, 7, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0],
	// Import arena.memory, of 1 to 32768 pages: that of any arena.
	...[2, 20, 1, 5, 0x61, 0x72, 0x65, 0x6e, 0x61, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 1, 1, 0x80, 0x80, 2],
	...[3, 2, 1, 0],
	...[7, 8, 1, 4, 0x63, 0x6f, 0x70, 0x79, 0, 0],
	// local.get 0, 1, 2; memory.copy; end.
	...[10, 14, 1, 12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 0, 0, 0x0b],
);

/** null: not to be had here; undefined: not tried yet. */
let module: object | null | undefined;

function memoryCopy(arena: Arena): Copy | null {
	if (module === null) return null;
	try {
		module ??= new WebAssembly.Module(MODULE);
		return new WebAssembly.Instance(module, { arena: { memory: arena.memory } }).exports.copy;
	} catch {
		module = null;
		return null;
	}
}

/** By eights: on Node 20 that takes half as long as byte after byte. */
function copyBytes(source: Uint8Array, from: number, target: Uint8Array, to: number, length: number): void {
	const eights = from + (length & ~7);
	let at = from;
	let put = to;
	for (; at < eights; at += 8, put += 8) {
		target[put] = source[at]!;
		target[put + 1] = source[at + 1]!;
		target[put + 2] = source[at + 2]!;
		target[put + 3] = source[at + 3]!;
		target[put + 4] = source[at + 4]!;
		target[put + 5] = source[at + 5]!;
		target[put + 6] = source[at + 6]!;
		target[put + 7] = source[at + 7]!;
	}
	for (const end = from + length; at < end; at++) target[put++] = source[at]!;
}

/** The copies of one arena. */
export class ArenaCopy {
	readonly #u8: Uint8Array;
	readonly #i32: Int32Array;
	readonly #copy: Copy | null;

	constructor(arena: Arena) {
		this.#u8 = arena.u8;
		this.#i32 = arena.i32;
		this.#copy = memoryCopy(arena);
	}

	/** `length` bytes of `bytes` at `from` to the arena at `to`. */
	in(bytes: Uint8Array, from: number, to: number, length: number): void {
		this.#u8.set(length === bytes.length ? bytes : bytes.subarray(from, from + length), to);
	}

	/** `length` bytes of the arena at `from` to `bytes` at `to`. */
	out(from: number, bytes: Uint8Array, to: number, length: number): void {
		if (length <= BYTES) copyBytes(this.#u8, from, bytes, to, length);
		else bytes.set(this.#u8.subarray(from, from + length), to);
	}

	/** `length` bytes at `from` of an arena, this one or another, to `to` in this one. */
	over(source: Arena, from: number, to: number, length: number): void {
		if (source.u8 === this.#u8) this.within(to, from, length);
		else if (length > WORDS || ((from ^ to) & 3) !== 0) this.in(source.u8, from, to, length);
		else this.#words(source, from, to, length);
	}

	#words(source: Arena, from: number, to: number, length: number): void {
		const bytes = source.u8;
		const words = source.i32;
		const end = from + length;
		let at = from;
		let target = to;
		while ((at & 3) !== 0 && at < end) this.#u8[target++] = bytes[at++]!;
		let word = target >> 2;
		for (let i = at >> 2; i < end >> 2; i++) this.#i32[word++] = words[i]!;
		const rest = (end - at) & ~3;
		if (rest > 0) {
			at += rest;
			target += rest;
		}
		while (at < end) this.#u8[target++] = bytes[at++]!;
	}

	/** `length` bytes of the arena from `from` to `to`; they may overlap. */
	within(to: number, from: number, length: number): void {
		if (this.#copy === null) this.#u8.copyWithin(to, from, from + length);
		else this.#copy(to, from, length);
	}
}
