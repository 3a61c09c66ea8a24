/**
 * Numbers that must not be guessed: initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 5.4).
 *
 * Hides the keyed hash (HalfSipHash-2-4 over addresses and ports): ISN = M + F(connection, secret), where M counts 4 us, so
 * that the numbers of one connection go up with time and those of different connections tell nothing of each other.
 */
import type { Random } from "../time/clock.ts";
import type { Connection } from "./connection.gen.ts";

export class Secrets {
	readonly #k0: number;
	readonly #k1: number;
	#v0 = 0;
	#v1 = 0;
	#v2 = 0;
	#v3 = 0;

	constructor(random: Random) {
		this.#k0 = random.int32();
		this.#k1 = random.int32();
	}

	/** @param now Microseconds. */
	initialSequence(c: Connection, now: number): number {
		return (Math.floor(now / 4) + this.#hash(c, 1)) | 0;
	}

	/** Never 0, so that 0 can stand for "no timestamps". */
	timestampOffset(c: Connection): number {
		return this.#hash(c, 2) || 1;
	}

	#hash(c: Connection, purpose: number): number {
		this.#v0 = this.#k0;
		this.#v1 = this.#k1;
		this.#v2 = 0x6c796765 ^ this.#k0;
		this.#v3 = 0x74656462 ^ this.#k1;
		this.#word(c.local0 ^ (c.remote0 << 1));
		this.#word(c.local1);
		this.#word(c.local2);
		this.#word(c.local3);
		this.#word(c.remote1);
		this.#word(c.remote2);
		this.#word(c.remote3);
		this.#word((c.localPort << 16) | c.remotePort);
		this.#word(purpose);
		this.#v2 ^= 0xff;
		for (let i = 0; i < 4; i++) this.#round();
		return this.#v1 ^ this.#v3;
	}

	#word(m: number): void {
		this.#v3 ^= m;
		this.#round();
		this.#round();
		this.#v0 ^= m;
	}

	#round(): void {
		let v0 = this.#v0;
		let v1 = this.#v1;
		let v2 = this.#v2;
		let v3 = this.#v3;
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
		this.#v0 = v0;
		this.#v1 = v1;
		this.#v2 = v2;
		this.#v3 = v3;
	}
}
