/**
 * Frames that wait inside a link: what links share that hold frames between one call and another.
 *
 * Hides that a frame may be a run of entries (all but the last marked FRAME_MORE). A run is counted, copied, queued and handed
 * on as a whole; a run that its batch does not finish ends where the batch ends.
 *
 * A queue holds one reference on each page in it. Its capacity is in entries, fixed at creation; the caller asks `room` first.
 */
import { BATCH_CAPACITY, type Batch, FRAME_MORE } from "../memory/batch.ts";
import { PAGE_SIZE, type PagePool } from "../memory/pages.ts";

/** Where a copied frame begins in its page: 64 - 2, so that the IP header behind 14 bytes of Ethernet lies on a word boundary. */
export const FRAME_OFFSET = 62;
/** Bytes of a frame that one page takes. */
export const FRAME_ROOM = PAGE_SIZE - FRAME_OFFSET;
/** Bytes of an Ethernet header. */
const ETHERNET_HEADER = 14;
/** Smallest and largest MTU of a link: RFC 791 asks for 68; a length field in an IPv4 header ends at 65535. */
export const MTU_MIN = 68;
export const MTU_MAX = 65535;

/** The longest frame of a link, in bytes: its MTU and the header of its medium. */
export function frameLimit(link: { readonly medium: "ethernet" | "ip"; readonly mtu: number }): number {
	return link.mtu + (link.medium === "ethernet" ? ETHERNET_HEADER : 0);
}

/** Entries of the frame that begins at entry `at`. */
export function frameEntries(batch: Batch, at: number): number {
	let end = at;
	while ((batch.flags[end]! & FRAME_MORE) !== 0 && end + 1 < batch.count) end++;
	return end + 1 - at;
}

/** Frames in entries `at` and behind. */
export function frameCount(batch: Batch, at: number): number {
	let frames = 0;
	for (; at < batch.count; at += frameEntries(batch, at)) frames++;
	return frames;
}

/** Bytes of the frame in entries `at` to `at + entries`. */
export function frameBytes(batch: Batch, at: number, entries: number): number {
	let bytes = 0;
	for (let i = at; i < at + entries; i++) bytes += batch.length[i]!;
	return bytes;
}

/** Copies a frame to `target` at `offset`. */
export function copyFrame(batch: Batch, at: number, entries: number, target: Uint8Array, offset: number): void {
	for (let i = at; i < at + entries; i++) {
		batch.pool.copy.out(batch.start[i]!, target, offset, batch.length[i]!);
		offset += batch.length[i]!;
	}
}

/** Copies bytes to a pool's memory at `to`. Within one arena nothing is allocated; from anywhere else takes a view. */
export function copyBytes(from: Uint8Array, start: number, length: number, pool: PagePool, to: number): void {
	if (from === pool.u8) pool.copy.within(to, start, length);
	else pool.copy.in(from, start, to, length);
}

export class FrameQueue {
	/** Entries in the queue. */
	count = 0;
	readonly capacity: number;
	readonly #mask: number;
	#head = 0;
	readonly #page: Int32Array;
	readonly #start: Int32Array;
	readonly #length: Int32Array;
	readonly #time: Int32Array;
	readonly #flags: Int32Array;
	readonly #segment: Int32Array;

	/** @param capacity Entries that the queue takes, at least one batch. */
	constructor(capacity: number) {
		this.capacity = Math.max(capacity, BATCH_CAPACITY);
		const slots = 2 ** Math.ceil(Math.log2(this.capacity));
		this.#mask = slots - 1;
		this.#page = new Int32Array(slots);
		this.#start = new Int32Array(slots);
		this.#length = new Int32Array(slots);
		this.#time = new Int32Array(slots);
		this.#flags = new Int32Array(slots);
		this.#segment = new Int32Array(slots);
	}

	/** Entries that still fit. */
	get room(): number {
		return this.capacity - this.count;
	}

	/** Appends an entry, for which there is room; takes over the reference on the page. */
	push(page: number, start: number, length: number, time: number, flags: number, segment = 0): void {
		const at = (this.#head + this.count++) & this.#mask;
		this.#page[at] = page;
		this.#start[at] = start;
		this.#length[at] = length;
		this.#time[at] = time;
		this.#flags[at] = flags;
		this.#segment[at] = segment;
	}

	/**
	 * Appends a copy of the frame in `batch`, in pages of `pool`. The caller has made sure of `room` for `pagesFor(bytes)` entries and
	 * of as many free pages; the references of `batch` stay the caller's.
	 *
	 * @param flags Marks of the copy, without FRAME_MORE.
	 */
	pushCopy(batch: Batch, at: number, entries: number, pool: PagePool, time: number, flags = 0): void {
		const last = at + entries - 1;
		let segment = batch.segment[at]!;
		let page = pool.alloc();
		// Lies modulo 4 as what it is copied from: short frames go word by word then (memory/copy.ts).
		const offset = FRAME_OFFSET - ((FRAME_OFFSET - batch.start[at]!) & 3);
		let address = pool.address(page) + offset;
		let room = PAGE_SIZE - offset;
		let filled = 0;
		for (let i = at; i <= last; i++) {
			const length = batch.length[i]!;
			for (let done = 0; done < length; ) {
				if (filled === room) {
					this.push(page, address, filled, time, flags | FRAME_MORE, segment);
					segment = 0;
					page = pool.alloc();
					address = pool.address(page);
					room = PAGE_SIZE;
					filled = 0;
				}
				const part = Math.min(length - done, room - filled);
				pool.copy.over(batch.pool.arena, batch.start[i]! + done, address + filled, part);
				filled += part;
				done += part;
			}
		}
		this.push(page, address, filled, time, flags, segment);
	}

	/** Appends a copy of a frame given as bytes, under the same conditions. */
	pushBytes(bytes: Uint8Array, pool: PagePool, time: number): void {
		for (let from = 0; from < bytes.length; from += FRAME_ROOM) {
			const page = pool.alloc();
			const address = pool.address(page) + FRAME_OFFSET;
			const part = bytes.subarray(from, from + FRAME_ROOM);
			pool.u8.set(part, address);
			this.push(page, address, part.length, time, from + FRAME_ROOM < bytes.length ? FRAME_MORE : 0);
		}
	}

	/** Moves whole frames to `batch` while they fit; returns how many entries that were. */
	moveTo(batch: Batch): number {
		let moved = 0;
		while (this.count > 0) {
			let entries = 1;
			while ((this.#flags[(this.#head + entries - 1) & this.#mask]! & FRAME_MORE) !== 0) entries++;
			if (entries > batch.capacity - batch.count) break;
			for (let i = 0; i < entries; i++) {
				const at = this.#head & this.#mask;
				batch.push(this.#page[at]!, this.#start[at]!, this.#length[at]!, this.#time[at]!, this.#flags[at]!);
				batch.segment[batch.count - 1] = this.#segment[at]!;
				this.#head++;
			}
			this.#head &= this.#mask;
			this.count -= entries;
			moved += entries;
		}
		return moved;
	}

	/** Releases everything. */
	clear(pool: PagePool): void {
		while (this.count > 0) {
			pool.release(this.#page[this.#head]!);
			this.#head = (this.#head + 1) & this.#mask;
			this.count--;
		}
	}
}

/** Pages that a copy of so many bytes takes. */
export function pagesFor(bytes: number): number {
	return bytes <= FRAME_ROOM ? 1 : Math.ceil(bytes / FRAME_ROOM);
}
