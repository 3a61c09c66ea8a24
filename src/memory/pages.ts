/**
 * Pages: fixed 2048-byte pieces of the arena, each holding one frame or one piece of a stream, and their descriptors.
 *
 * Hides how free pages are found. A page is a small positive integer; 0 means "no page". Free pages form a list through
 * their descriptors; pages never used before are taken in order, so that memory is touched only when it is needed.
 *
 * Ownership: `alloc` gives one reference, `retain` adds one, `release` takes one away and frees the page with the last.
 * Whoever holds a page with `refs(page) > 1` must not rewrite its bytes: somebody else (a link that still sends it, say)
 * reads them. Two references too many or too few are a defect of the stack itself, so `release` asserts.
 *
 * A descriptor is 8 words, whose meaning after START and LENGTH belongs to the owner of the page (see the setters).
 *
 * Landings: a long piece of a stream that a link has read into a buffer outside of the arena, so that the application can have that very
 * buffer. A landing has a number beyond those of the pages, a descriptor and references like a page, but START counts from the first byte
 * of its buffer. The buffer may be longer by a few bytes (LANDING_SLACK) than what came; these are cleared before anybody else has it, for
 * they are of whatever was in that memory before. Only who was told of landings meets them: the receive path of TCP; all others see pages.
 */
import { MillraceError } from "../errors.ts";
import type { Arena } from "./arena.ts";
import { ArenaCopy } from "./copy.ts";

const PAGE_SHIFT = 11;
/** Bytes of a page: an Ethernet frame of 1514 bytes with head room, and half of what AF_XDP calls a chunk of 4096. */
export const PAGE_SIZE: number = 1 << PAGE_SHIFT;
/** Head room that a stream page leaves before its data: 12 vnet header, 14 Ethernet, 40 IPv6, 60 TCP, rounded up to a cache line. */
export const HEADROOM = 128;
/**
 * Bytes that a landing's buffer may be longer than what counts of it and still be given away: as many as are cheaper to clear than any copy is.
 * Senders that fill 64 KiB with whole segments now and then fall a few bytes short (8, Linux); what differs by more is of another kind.
 */
export const LANDING_SLACK = 64;
/**
 * Buffers of landings that are kept to be used again: as many 64 KiB as a core's second cache holds (1 MiB). The kernel's copy to memory that is in
 * a cache takes half the time; more would only be held in vain.
 */
const SPARES = 16;

/** Bytes of a slab: the payload of the longest frame. */
export const SLAB_SIZE = 65536;
/** Most slices of a slab: one for each segment of 512 bytes, so that whatever is lost can be cut out, and nobody takes those of another slab. */
const SLICES_PER_SLAB = 128;

/** Words of a descriptor; the accessors say `<< 3`, for with few enough bytecodes V8 inlines them whatever else is in their caller. */
const DESCRIPTOR_WORDS = 8;
const START = 0;
const LENGTH = 1;
const NEXT = 2;
const SEQ = 3;
const TIME = 4;
const FLAGS = 5;
const REFS = 6;
const AUX = 7;

function descriptorWords(capacity: number, landings: number, slabs: number): number {
	return (capacity + 1 + landings + slabs * SLICES_PER_SLAB) * DESCRIPTOR_WORDS;
}

/** The pages of an arena, counted by references. */
export class PagePool {
	/** The arena that they are part of. */
	readonly arena: Arena;
	/** The whole arena as bytes: index it with absolute offsets such as `start(page)`. */
	readonly u8: Uint8Array;
	/** Copies into, out of and within the arena. */
	readonly copy: ArenaCopy;
	/** Number of pages. */
	readonly capacity: number;
	/** Most landings at a time. */
	readonly landings: number;
	/** Number of slabs. */
	readonly slabs: number;
	/** How often `alloc` found no page. */
	exhausted = 0;
	/** The descriptors: of page n from word 8 n on. */
	readonly #d: Int32Array;
	readonly #base: number;
	#freeHead = 0;
	#fresh = 1;
	#inUse = 0;
	/** The buffers of landings, null where nobody has one or it was given away; and those without a buffer, as numbers. */
	readonly #buffers: (Uint8Array | null)[];
	readonly #vacant: number[] = [];
	/** Buffers of landings that came back, the last one last. */
	readonly #spares: Uint8Array[] = [];
	/** The number of the first slice; those never used; and a list of those that are free. */
	readonly #firstSlice: number;
	#freshSlice: number;
	#freeSlice = 0;
	readonly #slabBase: number;
	/** Slices of each slab, and the slabs without any. */
	readonly #slabRefs: Int32Array;
	readonly #freeSlabs: number[] = [];
	#slabsTouched = 0;

	/** Bytes of the arena that a pool takes. */
	static bytes(capacity: number, landings = 0, slabs = 0): number {
		return capacity * PAGE_SIZE + descriptorWords(capacity, landings, slabs) * 4 + slabs * SLAB_SIZE + 2 * 4096;
	}

	/**
	 * @param capacity Number of pages.
	 * @param landings Most landings at a time.
	 * @param slabs Number of slabs.
	 */
	constructor(arena: Arena, capacity: number, landings = 0, slabs = 0) {
		if (typeof arena?.reserve !== "function") throw new MillraceError("MILLRACE_BAD_OPTION", "a page pool needs an Arena to lie in");
		if (!Number.isInteger(capacity) || capacity < 1)
			throw new MillraceError("MILLRACE_BAD_OPTION", `a page pool of ${String(capacity)} pages: give a whole number from 1 on`);
		this.arena = arena;
		this.u8 = arena.u8;
		this.copy = new ArenaCopy(arena);
		this.capacity = capacity;
		this.landings = landings;
		this.#buffers = new Array<Uint8Array | null>(landings).fill(null);
		for (let i = landings; i > 0; i--) this.#vacant.push(capacity + i);
		this.slabs = slabs;
		this.#slabRefs = new Int32Array(slabs);
		for (let i = slabs; i > 0; i--) this.#freeSlabs.push(i - 1);
		this.#firstSlice = capacity + landings + 1;
		this.#freshSlice = this.#firstSlice;
		const words = descriptorWords(capacity, landings, slabs);
		const descriptors = arena.reserve(words * 4) >> 2;
		this.#d = arena.i32.subarray(descriptors, descriptors + words);
		// 4096: two pages make one system page, the unit in which kernels take packet memory.
		this.#base = arena.reserve(capacity * PAGE_SIZE, 4096) - PAGE_SIZE;
		this.#slabBase = arena.reserve(slabs * SLAB_SIZE, 4096);
	}

	/** Pages that are held by somebody. */
	get inUse(): number {
		return this.#inUse;
	}

	/** Pages that can still be had. */
	get free(): number {
		return this.capacity - this.#inUse;
	}

	/** Pages ever touched: the pool's real memory is this times PAGE_SIZE. */
	get touched(): number {
		return this.#fresh - 1;
	}

	/** A page with one reference, START at its first byte, all else 0; or 0 when the pool is exhausted. */
	alloc(): number {
		const d = this.#d;
		let page = this.#freeHead;
		let at: number;
		if (page !== 0) {
			at = page << 3;
			this.#freeHead = d[at + NEXT]!;
		} else {
			if (this.#fresh > this.capacity) {
				this.exhausted++;
				return 0;
			}
			page = this.#fresh++;
			at = page << 3;
		}
		this.#inUse++;
		d[at + START] = this.#base + (page << PAGE_SHIFT);
		d[at + LENGTH] = 0;
		d[at + NEXT] = 0;
		d[at + SEQ] = 0;
		d[at + TIME] = 0;
		d[at + FLAGS] = 0;
		d[at + REFS] = 1;
		d[at + AUX] = 0;
		return page;
	}

	/** Adds a reference. */
	retain(page: number): void {
		this.#d[(page << 3) + REFS]!++;
	}

	/** Takes one reference away; the last one frees the page. */
	release(page: number): void {
		const d = this.#d;
		const at = page << 3;
		const refs = d[at + REFS]! - 1;
		if (refs < 0 || page <= 0) throw new Error(`millrace: page ${page} released more often than held`);
		d[at + REFS] = refs;
		if (refs === 0) {
			if (page > this.capacity) return this.#vacate(page);
			d[at + NEXT] = this.#freeHead;
			this.#freeHead = page;
			this.#inUse--;
		}
	}

	/** Landings that can still be had. */
	get landingsFree(): number {
		return this.#vacant.length;
	}

	/** Makes a buffer a landing with one reference, of which the first `length` bytes count; 0 when there are as many as there may be. */
	land(buffer: Uint8Array, length: number): number {
		const page = this.#vacant.pop();
		if (page === undefined) return 0;
		this.#buffers[page - this.capacity - 1] = buffer;
		const at = page << 3;
		this.#d.fill(0, at, at + DESCRIPTOR_WORDS);
		this.#d[at + LENGTH] = length;
		this.#d[at + REFS] = 1;
		return page;
	}

	/** The buffer of a landing. */
	landed(page: number): Uint8Array {
		return this.#buffers[page - this.capacity - 1]!;
	}

	/** Whether the buffer of a landing may be given away: nothing before the bytes that count, and hardly anything behind them. */
	isWhole(page: number): boolean {
		return this.start(page) === 0 && this.landed(page).length - this.length(page) <= LANDING_SLACK;
	}

	/**
	 * Gives the buffer of a landing that is whole away, for good: the holder of its last reference may then only release it. A view of the
	 * bytes that count, if not all do; behind them are zeros then.
	 */
	giveLanded(page: number): Uint8Array {
		const buffer = this.landed(page);
		const length = this.length(page);
		this.#buffers[page - this.capacity - 1] = null;
		return length === buffer.length ? buffer : buffer.fill(0, length).subarray(0, length);
	}

	/** The buffer of a landing that was released without being given away, the last one first, or null: to be used again by whoever makes landings. */
	takeSpare(): Uint8Array | null {
		return this.#spares.pop() ?? null;
	}

	/** Slabs without a slice. */
	get slabsFree(): number {
		return this.#freeSlabs.length;
	}

	/** Slabs ever opened: their real memory is this times SLAB_SIZE. */
	get slabsTouched(): number {
		return this.#slabsTouched;
	}

	/** Whether this is the number of a slice. */
	isSlice(page: number): boolean {
		return page >= this.#firstSlice;
	}

	/** The first slice of a slab that nobody has, without bytes, with one reference, all else 0; or 0 when there is none. */
	openSlab(): number {
		const slab = this.#freeSlabs.pop();
		if (slab === undefined) return 0;
		this.#slabsTouched = Math.max(this.#slabsTouched, slab + 1);
		return this.#slice(slab, this.#slabBase + slab * SLAB_SIZE);
	}

	/** The bytes of a slice from `bytes` on as a slice of their own, with one reference, all but START and LENGTH 0; or 0 when its slab has too many. */
	cutSlice(slice: number, bytes: number): number {
		const d = this.#d;
		const at = slice << 3;
		const slab = d[at + AUX]!;
		if (this.#slabRefs[slab] === SLICES_PER_SLAB) return 0;
		const rest = this.#slice(slab, d[at + START]! + bytes);
		d[(rest << 3) + LENGTH] = d[at + LENGTH]! - bytes;
		d[at + LENGTH] = bytes;
		return rest;
	}

	/** Bytes of its slab that lie behind a slice. Only the owner of its last slice may use them. */
	behind(slice: number): number {
		const d = this.#d;
		const at = slice << 3;
		return this.#slabBase + (d[at + AUX]! + 1) * SLAB_SIZE - d[at + START]! - d[at + LENGTH]!;
	}

	#slice(slab: number, start: number): number {
		const d = this.#d;
		let slice = this.#freeSlice;
		if (slice !== 0) this.#freeSlice = d[(slice << 3) + NEXT]!;
		else slice = this.#freshSlice++;
		const at = slice << 3;
		d.fill(0, at, at + DESCRIPTOR_WORDS);
		d[at + START] = start;
		d[at + REFS] = 1;
		d[at + AUX] = slab;
		this.#slabRefs[slab]!++;
		return slice;
	}

	#vacate(page: number): void {
		if (page >= this.#firstSlice) {
			const at = page << 3;
			const slab = this.#d[at + AUX]!;
			this.#d[at + NEXT] = this.#freeSlice;
			this.#freeSlice = page;
			if (--this.#slabRefs[slab]! === 0) this.#freeSlabs.push(slab);
			return;
		}
		const i = page - this.capacity - 1;
		const buffer = this.#buffers[i]!;
		if (buffer !== null && this.#spares.length < SPARES) this.#spares.push(buffer);
		this.#buffers[i] = null;
		this.#vacant.push(page);
	}

	/** Number of references held on the page. */
	refs(page: number): number {
		return this.#d[(page << 3) + REFS]!;
	}

	/** Absolute byte offset of the page's first byte. */
	address(page: number): number {
		return this.#base + (page << PAGE_SHIFT);
	}

	/** The page that contains an absolute byte offset, or 0: for links whose hardware gives offsets back. */
	pageAt(offset: number): number {
		const page = Math.floor((offset - this.#base) / PAGE_SIZE);
		return page >= 1 && page <= this.capacity ? page : 0;
	}

	/** Absolute byte offset of the first byte that counts. */
	start(page: number): number {
		return this.#d[(page << 3) + START]!;
	}
	/** @param offset Absolute byte offset. */
	setStart(page: number, offset: number): void {
		this.#d[(page << 3) + START] = offset;
	}
	/** Number of bytes that count. */
	length(page: number): number {
		return this.#d[(page << 3) + LENGTH]!;
	}
	/** Number of bytes that count from START on. */
	setLength(page: number, bytes: number): void {
		this.#d[(page << 3) + LENGTH] = bytes;
	}
	/** The owner's list link. */
	next(page: number): number {
		return this.#d[(page << 3) + NEXT]!;
	}
	/** The owner's list link; 0 ends a list. */
	setNext(page: number, next: number): void {
		this.#d[(page << 3) + NEXT] = next;
	}
	/** Stream pages: the sequence number of the first byte. */
	seq(page: number): number {
		return this.#d[(page << 3) + SEQ]!;
	}
	/** Sequence number of the first byte. */
	setSeq(page: number, seq: number): void {
		this.#d[(page << 3) + SEQ] = seq;
	}
	/** Microseconds, wrapping: when the page was last sent (send segments) or arrived (receive segments). */
	time(page: number): number {
		return this.#d[(page << 3) + TIME]!;
	}
	/** @param us Microseconds, wrapping. */
	setTime(page: number, us: number): void {
		this.#d[(page << 3) + TIME] = us;
	}
	/** The owner's flags. */
	flags(page: number): number {
		return this.#d[(page << 3) + FLAGS]!;
	}
	/** The owner's flags. */
	setFlags(page: number, flags: number): void {
		this.#d[(page << 3) + FLAGS] = flags;
	}
	/** The owner's spare word. */
	aux(page: number): number {
		return this.#d[(page << 3) + AUX]!;
	}
	/** The owner's spare word. */
	setAux(page: number, value: number): void {
		this.#d[(page << 3) + AUX] = value;
	}
}
