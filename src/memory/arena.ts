/**
 * The arena: one block of memory that holds every byte of a stack: frames, rings, records, counters.
 *
 * Hides where that memory comes from. It is a `WebAssembly.Memory` because such memory is page-aligned (the kernel can map rings and
 * packet memory into it), may be as large as 2 GiB without being touched, and is what WebAssembly code can work on. It is not a shared
 * one: all that uses it runs in one thread, and V8 copies bytes of shared memory one after the other in all cases but the best, where
 * it takes 1.1 to 1.7 times as long as memmove; elsewhere it is 5 to 13 times (`npm run bench -- micro copy`).
 *
 * Invariants: the size is fixed at creation and never grows (growing would detach nothing but would move the limit under
 * running code); regions are carved off once, at start-up, and never given back. The operating system gives real memory
 * only to what is touched, so a large arena costs address space, not RAM.
 */

import { MillraceError } from "../errors.ts";

/** Bytes of one WebAssembly page: the unit in which an arena is sized. */
const WASM_PAGE = 65536;

/** Largest arena, in bytes: 32-bit WebAssembly memory ends at 4 GiB, and byte offsets must stay positive as int32. */
export const ARENA_MAX = 2 ** 31 - WASM_PAGE;

/** The part of the WebAssembly interface that is used here; the name is global on every platform but not in every type library. */
declare const WebAssembly: {
	Memory: new (descriptor: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
};

function memoryOf(pages: number): { readonly buffer: ArrayBuffer } {
	if (typeof WebAssembly === "undefined") {
		throw new MillraceError("MILLRACE_PLATFORM", "there is no WebAssembly here, whose memory is the stack's: run without --jitless");
	}
	try {
		return new WebAssembly.Memory({ initial: pages, maximum: pages });
	} catch (cause) {
		const remedy = "raise the limit on address space (ulimit -v), or give less memory";
		throw new MillraceError("ENOMEM", `${Math.ceil((pages * WASM_PAGE) / 2 ** 20)} MB of memory cannot be had: ${remedy}`, { cause });
	}
}

/** One block of memory, from which regions are carved at start-up. */
export class Arena {
	/** The arena as bytes. */
	readonly u8: Uint8Array;
	/** The arena as signed 32-bit words: sequence numbers and clocks wrap, and V8 keeps int32 loads unboxed. */
	readonly i32: Int32Array;
	/** Size in bytes. */
	readonly size: number;
	/** Kept referenced: kernel mappings laid over this memory live as long as it does. */
	readonly memory: { readonly buffer: ArrayBuffer };
	#used = 64;

	/** @param bytes Size of the arena; rounded up to 64 KiB. */
	constructor(bytes: number) {
		if (typeof bytes !== "number" || !(bytes > 0 && bytes <= ARENA_MAX))
			throw new MillraceError("MILLRACE_BAD_OPTION", `arena of ${String(bytes)} bytes: give 1 to ${ARENA_MAX}`);
		const pages = Math.ceil(bytes / WASM_PAGE);
		this.memory = memoryOf(pages);
		this.u8 = new Uint8Array(this.memory.buffer);
		this.i32 = new Int32Array(this.memory.buffer);
		this.size = pages * WASM_PAGE;
	}

	/** Bytes carved off so far. */
	get used(): number {
		return this.#used;
	}

	/**
	 * Carves off a zeroed region and returns its byte offset.
	 *
	 * @param bytes Size of the region.
	 * @param align Alignment in bytes, a power of two; 64 keeps regions on cache lines of their own.
	 */
	reserve(bytes: number, align = 64): number {
		const start = (this.#used + align - 1) & -align;
		if (start + bytes > this.size)
			throw new RangeError(`millrace: arena of ${this.size} bytes is full: ${bytes} more bytes were asked for; raise the memory option`);
		this.#used = start + bytes;
		return start;
	}
}
