/**
 * A bounded queue of packets that have not left the host: a ring of page, IP header offset and length.
 *
 * Holds one reference on each page. `take` moves the oldest packet into the fields, so that nothing is allocated.
 */
const WORDS = 3;

export class LoopQueue {
	readonly capacity: number;
	count = 0;
	/** The packet that `take` took last. */
	page = 0;
	/** Absolute offset of its IP header, and bytes from there. */
	start = 0;
	length = 0;
	readonly #ring: Int32Array;
	#head = 0;

	constructor(capacity: number) {
		this.capacity = capacity;
		this.#ring = new Int32Array(capacity * WORDS);
	}

	/** Appends a packet; false if the queue is full. */
	put(page: number, start: number, length: number): boolean {
		if (this.count === this.capacity) return false;
		const slot = ((this.#head + this.count) % this.capacity) * WORDS;
		const ring = this.#ring;
		ring[slot] = page;
		ring[slot + 1] = start;
		ring[slot + 2] = length;
		this.count++;
		return true;
	}

	/** Takes the oldest packet; false if there is none. */
	take(): boolean {
		if (this.count === 0) return false;
		const slot = this.#head * WORDS;
		const ring = this.#ring;
		this.page = ring[slot]!;
		this.start = ring[slot + 1]!;
		this.length = ring[slot + 2]!;
		this.#head = (this.#head + 1) % this.capacity;
		this.count--;
		return true;
	}
}
