/**
 * Delay line: frames that are on their way for a while, each with the time at which it is through.
 *
 * Hides in which order they come out: by time, and among equal times by the order in which they went in. A frame is a chain of slots
 * (one per entry); a binary heap holds the first slot of each. Times are microseconds as fractions of any size, not 32-bit stamps:
 * the departures of a rate limit add up, and rounding each of them would bend the rate.
 *
 * Bound: LINE_MAX entries. The tables begin small and double, so a line that is never used costs next to nothing.
 */
import { type Batch, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";

/** Entries that a line holds at most: 20 ms of 64-byte frames at 1.6 Gbit/s, 0.8 s of full frames at 1 Gbit/s. */
export const LINE_MAX = 65536;

const FIRST_SIZE = 64;

export class DelayLine {
	/** Frames in the line. */
	frames = 0;
	/** Entries in the line. */
	entries = 0;
	#size = 0;
	/** Due time and order of the frame that begins in a slot. */
	#due = new Float64Array(0);
	#order = new Float64Array(0);
	#page = new Int32Array(0);
	#start = new Int32Array(0);
	#length = new Int32Array(0);
	#flags = new Int32Array(0);
	#segment = new Int32Array(0);
	/** Next slot of the frame, or of the free list; -1 at the end. */
	#next = new Int32Array(0);
	#heap = new Int32Array(0);
	#free = -1;
	#inserted = 0;

	/** When the first frame is through; Infinity when there is none. */
	get next(): number {
		return this.frames === 0 ? Number.POSITIVE_INFINITY : this.#due[this.#heap[0]!]!;
	}

	/** Puts in the frame in entries `at` to `at + entries` and takes over their references; false, with nothing changed, when the line is full. */
	insert(batch: Batch, at: number, entries: number, due: number): boolean {
		if (this.entries + entries > LINE_MAX) return false;
		while (this.entries + entries > this.#size) this.#grow();
		let first = -1;
		let last = -1;
		for (let i = at; i < at + entries; i++) {
			const slot = this.#free;
			this.#free = this.#next[slot]!;
			this.#page[slot] = batch.page[i]!;
			this.#start[slot] = batch.start[i]!;
			this.#length[slot] = batch.length[i]!;
			this.#flags[slot] = i < at + entries - 1 ? batch.flags[i]! | FRAME_MORE : batch.flags[i]! & ~FRAME_MORE;
			this.#segment[slot] = batch.segment[i]!;
			this.#next[slot] = -1;
			if (last === -1) first = slot;
			else this.#next[last] = slot;
			last = slot;
		}
		this.entries += entries;
		this.#due[first] = due;
		this.#order[first] = this.#inserted++;
		this.#rise(this.frames++, first);
		return true;
	}

	/** Moves the frames that are through at `now` to `batch` while they fit, stamped with the time they were through; returns how many entries. */
	moveDue(batch: Batch, now: number): number {
		const before = batch.count;
		while (this.frames > 0) {
			const first = this.#heap[0]!;
			const due = this.#due[first]!;
			if (due > now) break;
			let entries = 0;
			for (let slot = first; slot !== -1; slot = this.#next[slot]!) entries++;
			if (entries > batch.capacity - batch.count) break;
			for (let slot = first; slot !== -1; ) {
				const i = batch.count;
				batch.push(this.#page[slot]!, this.#start[slot]!, this.#length[slot]!, due | 0, this.#flags[slot]!);
				batch.segment[i] = this.#segment[slot]!;
				slot = this.#give(slot);
			}
			this.#pop();
		}
		return batch.count - before;
	}

	/** Releases everything. */
	clear(pool: PagePool): void {
		for (let i = 0; i < this.frames; i++) {
			for (let slot = this.#heap[i]!; slot !== -1; ) {
				pool.release(this.#page[slot]!);
				slot = this.#give(slot);
			}
		}
		this.frames = 0;
	}

	/** Puts a slot on the free list; returns the slot that followed it. */
	#give(slot: number): number {
		const next = this.#next[slot]!;
		this.#next[slot] = this.#free;
		this.#free = slot;
		this.entries--;
		return next;
	}

	#before(a: number, b: number): boolean {
		const due = this.#due;
		return due[a]! < due[b]! || (due[a] === due[b] && this.#order[a]! < this.#order[b]!);
	}

	/** Places `slot` in the heap at `place` or above. */
	#rise(place: number, slot: number): void {
		const heap = this.#heap;
		while (place > 0) {
			const parent = (place - 1) >> 1;
			if (!this.#before(slot, heap[parent]!)) break;
			heap[place] = heap[parent]!;
			place = parent;
		}
		heap[place] = slot;
	}

	/** Takes the first frame out of the heap. */
	#pop(): void {
		const heap = this.#heap;
		const count = --this.frames;
		const slot = heap[count]!;
		let place = 0;
		for (;;) {
			let child = 2 * place + 1;
			if (child >= count) break;
			if (child + 1 < count && this.#before(heap[child + 1]!, heap[child]!)) child++;
			if (!this.#before(heap[child]!, slot)) break;
			heap[place] = heap[child]!;
			place = child;
		}
		heap[place] = slot;
	}

	#grow(): void {
		const old = this.#size;
		const size = old === 0 ? FIRST_SIZE : old * 2;
		const words = (from: Int32Array<ArrayBuffer>) => {
			const to = new Int32Array(size);
			to.set(from);
			return to;
		};
		const numbers = (from: Float64Array<ArrayBuffer>) => {
			const to = new Float64Array(size);
			to.set(from);
			return to;
		};
		this.#due = numbers(this.#due);
		this.#order = numbers(this.#order);
		this.#page = words(this.#page);
		this.#start = words(this.#start);
		this.#length = words(this.#length);
		this.#flags = words(this.#flags);
		this.#segment = words(this.#segment);
		this.#next = words(this.#next);
		this.#heap = words(this.#heap);
		for (let slot = size - 1; slot >= old; slot--) {
			this.#next[slot] = this.#free;
			this.#free = slot;
		}
		this.#size = size;
	}
}
