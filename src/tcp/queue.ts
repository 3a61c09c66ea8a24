/**
 * A queue of connection numbers, each in it at most once.
 *
 * Hides a ring as large as the table it serves, so that it can never be full: whoever pushes has checked the record's list
 * bit (`lists`), whoever shifts clears it.
 */
export class IndexQueue {
	readonly #ring: Int32Array;
	readonly #mask: number;
	#head = 0;
	#tail = 0;

	/** @param capacity Number of records. */
	constructor(capacity: number) {
		let size = 1;
		while (size < capacity) size *= 2;
		this.#ring = new Int32Array(size);
		this.#mask = size - 1;
	}

	get length(): number {
		return (this.#tail - this.#head) | 0;
	}

	/** The oldest entry, which stays; only while `length` is not 0. */
	get first(): number {
		return this.#ring[this.#head & this.#mask]!;
	}

	push(index: number): void {
		this.#ring[this.#tail & this.#mask] = index;
		this.#tail = (this.#tail + 1) | 0;
	}

	/** The oldest entry; only while `length` is not 0. */
	shift(): number {
		const index = this.#ring[this.#head & this.#mask]!;
		this.#head = (this.#head + 1) | 0;
		return index;
	}
}
