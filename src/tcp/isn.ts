/**
 * Numbers that must not be guessed: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4).
 *
 * Hides the keyed hash (HalfSipHash-2-4 with an output of 64 bits, over addresses and ports): ISN = M + F(connection, secret), where M
 * counts 4 us, so that the numbers of one connection go up with time and those of different connections tell nothing of each other.
 * The other half of the output is the offset, so one hash serves both.
 */
import type { Random } from "../time/clock.ts";
import type { Connection } from "./connection.gen.ts";

export class Secrets {
	readonly #k0: number;
	readonly #k1: number;
	/** What is hashed: addresses and ports. */
	readonly #words = new Int32Array(9);
	/** The halves of the output. */
	#first = 0;
	#second = 0;

	constructor(random: Random) {
		this.#k0 = random.int32();
		this.#k1 = random.int32();
	}

	/** Turns to a connection, of which the methods below then speak. */
	of(c: Connection): void {
		const words = this.#words;
		words[0] = c.local0;
		words[1] = c.local1;
		words[2] = c.local2;
		words[3] = c.local3;
		words[4] = c.remote0;
		words[5] = c.remote1;
		words[6] = c.remote2;
		words[7] = c.remote3;
		words[8] = (c.localPort << 16) | c.remotePort;
		this.#hash();
	}

	/** @param now Microseconds. */
	initialSequence(now: number): number {
		return (Math.floor(now / 4) + this.#first) | 0;
	}

	/** Never 0, so that 0 can stand for "no timestamps". */
	timestampOffset(): number {
		return this.#second || 1;
	}

	#hash(): void {
		const words = this.#words;
		const last = words.length;
		let v0 = this.#k0;
		let v1 = this.#k1 ^ 0xee;
		let v2 = 0x6c796765 ^ this.#k0;
		let v3 = 0x74656462 ^ this.#k1;
		// Two rounds for each word, then four for each half of the output.
		for (let i = 0; i <= last + 1; i++) {
			const m = i < last ? words[i]! : 0;
			v3 ^= m;
			if (i === last) v2 ^= 0xee;
			else if (i > last) v1 ^= 0xdd;
			for (let rounds = i < last ? 2 : 4; rounds > 0; rounds--) {
				v0 = (v0 + v1) | 0;
				v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
				v0 = (v0 << 16) | (v0 >>> 16);
				v2 = (v2 + v3) | 0;
				v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
				v0 = (v0 + v3) | 0;
				v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
				v2 = (v2 + v1) | 0;
				v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
				v2 = (v2 << 16) | (v2 >>> 16);
			}
			v0 ^= m;
			if (i === last) this.#first = v1 ^ v3;
		}
		this.#second = v1 ^ v3;
	}
}
