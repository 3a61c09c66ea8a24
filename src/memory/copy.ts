/**
 * Copies into, out of and within an arena.
 *
 * Hides that V8 copies shared memory word by word only where source and target lie alike modulo 8, and byte by byte elsewhere: 0.1 and
 * 0.46 us for a full segment. They lie otherwise more often than not: behind a response header of odd length, or when a peer sends no
 * timestamps. WebAssembly's memory.copy does not care (0.03 us), but sees only the arena. So a copy that would go by bytes goes over
 * a piece of the arena that lies right: 0.12 us. Where WebAssembly is not to be had, bytes it is.
 *
 * Nothing is kept between calls; a view is made for each copy from or to an array of the application.
 */
import type { Arena } from "./arena.ts";

/** Longest piece that takes the way over the stage, in bytes: a page. */
const STAGE = 2048;
/** Shorter pieces go by bytes for less. */
const SHORT = 128;

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
	// Import arena.memory, shared, of 1 to 32768 pages: that of any arena.
	...[2, 20, 1, 5, 0x61, 0x72, 0x65, 0x6e, 0x61, 6, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 2, 3, 1, 0x80, 0x80, 2],
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

/** The copies of one arena. */
export class ArenaCopy {
	readonly #u8: Uint8Array;
	readonly #copy: Copy | null;
	/** A place of STAGE bytes for each remainder modulo 8, overlapping. */
	readonly #stage: number;

	constructor(arena: Arena) {
		this.#u8 = arena.u8;
		this.#copy = memoryCopy(arena);
		this.#stage = this.#copy === null ? 0 : arena.reserve(STAGE + 8);
	}

	/** `length` bytes of `bytes` at `from` to the arena at `to`. */
	in(bytes: Uint8Array, from: number, to: number, length: number): void {
		const part = length === bytes.length ? bytes : bytes.subarray(from, from + length);
		const lie = bytes.byteOffset + from;
		if (((lie ^ to) & 7) === 0 || length < SHORT || length > STAGE || this.#copy === null) {
			this.#u8.set(part, to);
			return;
		}
		const stage = this.#stage + (lie & 7);
		this.#u8.set(part, stage);
		this.#copy(to, stage, length);
	}

	/** `length` bytes of the arena at `from` to `bytes` at `to`. */
	out(from: number, bytes: Uint8Array, to: number, length: number): void {
		const lie = bytes.byteOffset + to;
		let start = from;
		if (((lie ^ from) & 7) !== 0 && length >= SHORT && length <= STAGE && this.#copy !== null) {
			start = this.#stage + (lie & 7);
			this.#copy(start, from, length);
		}
		bytes.set(this.#u8.subarray(start, start + length), to);
	}

	/** `length` bytes of the arena from `from` to `to`; they may overlap. */
	within(to: number, from: number, length: number): void {
		if (this.#copy === null) this.#u8.copyWithin(to, from, from + length);
		else this.#copy(to, from, length);
	}
}
