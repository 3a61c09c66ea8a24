/**
 * A batch: up to 64 frames on their way between a link and the stack, as a structure of arrays.
 *
 * Hides nothing but saves an object per frame. An entry is a page, the extent of the frame in the arena (absolute byte
 * offset and length: a frame on its way out begins in the page's head room, before the extent that the page's descriptor
 * names), its arrival time and flags. The batch holds one reference on each of its pages.
 *
 * A frame longer than a page is a run of entries, all but the last marked FRAME_MORE.
 */
import { MillraceError } from "../errors.ts";
import { PAGE_SIZE, type PagePool } from "./pages.ts";

/** Frames in a batch: IX (OSDI 2014) found no gain beyond 64, and a bound keeps a turn short. */
export const BATCH_CAPACITY = 64;

/** Flag: the frame goes on in the next entry. */
export const FRAME_MORE = 1;
/** Flag, inward: the link vouches for the transport checksum. */
export const FRAME_CHECKED = 2;
/** Flag, outward: the transport checksum field holds only the pseudo-header sum; the link completes it. */
export const FRAME_PARTIAL_CHECKSUM = 4;

/** Flag, from a transport to ip, which takes it off: routers may cut the packet. */
export const FRAME_MAY_FRAGMENT = 8;

/** Up to `capacity` entries, each a frame or a piece of one, as columns of words. */
export class Batch {
	/** The pool that the pages are from. */
	readonly pool: PagePool;
	/** Most entries. */
	readonly capacity: number;
	/** Entries at the moment; those from here on mean nothing. */
	count = 0;
	/** The page of each entry. */
	readonly page: Int32Array;
	/** Absolute byte offset of the frame's first byte. */
	readonly start: Int32Array;
	/** Bytes of the frame in this entry. */
	readonly length: Int32Array;
	/** Arrival time in microseconds, wrapping at 2^32; unused on the way out. */
	readonly time: Int32Array;
	/** FRAME_MORE, FRAME_CHECKED, FRAME_PARTIAL_CHECKSUM. */
	readonly flags: Int32Array;
	/** Outward, with segmentation offload: payload bytes per segment; 0 for a frame that is one segment. */
	readonly segment: Int32Array;

	constructor(pool: PagePool, capacity: number = BATCH_CAPACITY) {
		if (typeof pool?.alloc !== "function") throw new MillraceError("MILLRACE_BAD_OPTION", "a batch needs the PagePool of its pages");
		this.pool = pool;
		this.capacity = capacity;
		this.page = new Int32Array(capacity);
		this.start = new Int32Array(capacity);
		this.length = new Int32Array(capacity);
		this.time = new Int32Array(capacity);
		this.flags = new Int32Array(capacity);
		this.segment = new Int32Array(capacity);
	}

	/** Appends a frame; the batch takes over the caller's reference on the page. False when the batch is full. */
	push(page: number, start: number, length: number, time = 0, flags = 0): boolean {
		const i = this.count;
		if (i === this.capacity) return false;
		this.page[i] = page;
		this.start[i] = start;
		this.length[i] = length;
		this.time[i] = time;
		this.flags[i] = flags;
		this.segment[i] = 0;
		this.count = i + 1;
		return true;
	}

	/**
	 * Copies a frame into a page of its own and appends it. For links that get their frames as byte arrays.
	 *
	 * @param bytes The frame, at most a page less 64 bytes.
	 * @param time Arrival time in microseconds, from the clock that the link was opened with.
	 * @returns False, with nothing changed, when the batch is full, no page is free or the frame does not fit a page.
	 */
	add(bytes: Uint8Array, time: number): boolean {
		// 62 = 64 - 2: the IP header behind a 14-byte Ethernet header lands on a word boundary.
		if (this.count === this.capacity || bytes.length > PAGE_SIZE - 62) return false;
		const page = this.pool.alloc();
		if (page === 0) return false;
		const start = this.pool.address(page) + 62;
		this.pool.u8.set(bytes, start);
		return this.push(page, start, bytes.length, time | 0);
	}

	/** The bytes of entry `i`, a view into the arena: valid only until the page is released. */
	frame(i: number): Uint8Array {
		const start = this.start[i]!;
		return this.pool.u8.subarray(start, start + this.length[i]!);
	}

	/** Releases the first `n` entries and moves the rest to the front. */
	drop(n: number): void {
		for (let i = 0; i < n; i++) this.pool.release(this.page[i]!);
		this.shift(n);
	}

	/** Moves the entries from `n` on to the front, without touching the references of the first `n`. */
	shift(n: number): void {
		const rest = this.count - n;
		if (rest > 0 && n > 0) {
			this.page.copyWithin(0, n, this.count);
			this.start.copyWithin(0, n, this.count);
			this.length.copyWithin(0, n, this.count);
			this.time.copyWithin(0, n, this.count);
			this.flags.copyWithin(0, n, this.count);
			this.segment.copyWithin(0, n, this.count);
		}
		this.count = rest;
	}
}
