/**
 * A list of memory pieces for readv and writev: struct iovec[], two words of 64 bits each.
 *
 * Hides the layout. The list is written in place and handed to the kernel as bytes; setting a piece makes no garbage.
 */
export class Iovecs {
	/** What readv and writev take. */
	readonly bytes: Uint8Array;
	readonly capacity: number;
	readonly #addresses: BigUint64Array;
	readonly #words: Int32Array;

	constructor(capacity: number) {
		this.capacity = capacity;
		this.#addresses = new BigUint64Array(capacity * 2);
		this.#words = new Int32Array(this.#addresses.buffer);
		this.bytes = new Uint8Array(this.#addresses.buffer);
	}

	/** Makes piece `i` the `length` bytes at `address`. */
	set(i: number, address: bigint, length: number): void {
		this.#addresses[i * 2] = address;
		this.#words[i * 4 + 2] = length;
	}
}
