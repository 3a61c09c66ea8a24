/**
 * The sum of the Internet checksum by vectors of 16 bytes: a WebAssembly function that runs on the arena's own memory.
 *
 * Hides the module: its bytes (scripts/checksum-wasm.mjs assembles them), when it is compiled (once, at the first arena), and engines
 * that do not have it. No SIMD, or a content security policy that forbids compiling: then there is no such function, and sums are
 * taken in JavaScript.
 *
 * An arena has an instance of its own, since a module's memory is fixed when it is instantiated. Two or three functions at one call
 * site are still called directly (12 ns for one, 15 to 18 ns for two that alternate; bench/micro/checksum.ts).
 */
import type { Arena } from "../memory/arena.ts";
import { CHECKSUM_MODULE } from "./checksum-vectors.gen.ts";

/** The folded sum of `length` bytes of the arena, an odd last one as the high half of a word: at most 131072 bytes, all of them in it. */
export type VectorSum = (start: number, length: number) => number;

/** The part of the WebAssembly interface that is used here; the name is global on every platform but not in every type library. */
declare const WebAssembly: {
	Module: new (bytes: Uint8Array) => object;
	Instance: new (module: object, imports: { arena: { memory: object } }) => { readonly exports: { readonly sum: VectorSum } };
};

/** null: not to be had here; undefined: not tried yet. */
let module: object | null | undefined;

function compiled(): object | null {
	if (module !== undefined) return module;
	try {
		module = new WebAssembly.Module(CHECKSUM_MODULE);
	} catch {
		module = null;
	}
	return module;
}

/** The sum over an arena's memory, or null where it is not to be had. */
export function vectorSum(memory: Arena["memory"]): VectorSum | null {
	const code = compiled();
	if (code === null) return null;
	try {
		return new WebAssembly.Instance(code, { arena: { memory } }).exports.sum;
	} catch {
		return null;
	}
}
