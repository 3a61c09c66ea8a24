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
	/** The address that offsets are relative to, in two words. */
	readonly #baseLow: number;
	readonly #baseHigh: number;

	/** @param base Address of the memory whose offsets `at` takes. */
	constructor(capacity: number, base = 0n) {
		this.capacity = capacity;
		this.#baseLow = Number(base & 0xffffffffn);
		this.#baseHigh = Number(base >> 32n);
		this.#addresses = new BigUint64Array(capacity * 2);
		this.#words = new Int32Array(this.#addresses.buffer);
		this.bytes = new Uint8Array(this.#addresses.buffer);
	}

	/** Makes piece `i` the `length` bytes at `address`. */
	set(i: number, address: bigint, length: number): void {
		this.#addresses[i * 2] = address;
		this.#words[i * 4 + 2] = length;
	}

	/** Makes piece `i` the `length` bytes at `offset` from the base. Half the cost of `set`: no BigInt is read, kept or written. */
	at(i: number, offset: number, length: number): void {
		const words = this.#words;
		const low = this.#baseLow + offset;
		const carry = low > 0xffffffff ? 1 : 0;
		words[i * 4] = low | 0;
		words[i * 4 + 1] = this.#baseHigh + carry;
		words[i * 4 + 2] = length;
	}

	/** The offset and the length of piece `i`, as `at` was given them. */
	offset(i: number): number {
		return (this.#words[i * 4]! - this.#baseLow) >>> 0;
	}
	length(i: number): number {
		return this.#words[i * 4 + 2]!;
	}
}
