/**
 * Addresses of arena memory, as foreign calls want them.
 *
 * Hides where the arena lies in the process. The kernel is given `base + offset`; what that costs in a call depends on how the
 * number reaches koffi. Measured with write(2) of 1500 bytes to the null device, best of 5, in ns per call, with what the call
 * leaves to the garbage collector:
 *
 *     Node 20   Node 26   garbage
 *     327       332       0          BigInt made before
 *     335       343       a BigInt   BigInt, base + BigInt(offset)
 *     333       332       16 bytes   number, parameter declared int64_t
 *     347       366       16 bytes   number, parameter declared void *
 *     345       341       0          Uint8Array made before
 *     393       391       a view     u8.subarray(...)
 *
 * So each page remembers the last address that was asked of it, as a BigInt. A received frame always begins at the same
 * place of its page, and nearly always so does a sent one; a page that is asked for another place makes one new BigInt.
 *
 * Invariant: the arena never moves nor grows (see arena.ts), so an address stays true as long as the arena is referenced.
 */
import type { PagePool } from "../memory/pages.ts";
import { libc } from "./libc.ts";

export class PageAddresses {
	/** The address of the arena's first byte. */
	readonly base: bigint;
	readonly #address: bigint[];
	readonly #offset: Int32Array;

	constructor(pool: PagePool) {
		this.base = libc().address(pool.u8);
		this.#address = new Array<bigint>(pool.capacity + 1).fill(0n);
		this.#offset = new Int32Array(pool.capacity + 1).fill(-1);
	}

	/** The address of the arena's byte `offset`, which lies in `page`. */
	of(page: number, offset: number): bigint {
		if (this.#offset[page] === offset) return this.#address[page]!;
		const address = this.base + BigInt(offset);
		this.#offset[page] = offset;
		this.#address[page] = address;
		return address;
	}
}
