/**
 * Seeded random numbers: xoshiro128** over a state that splitmix32 fills from a seed (both public domain algorithms by Blackman,
 * Vigna and others, written anew here).
 *
 * Hides how one seed serves many users. `fork(label)` derives a stream from the seed and the label alone, not from what was
 * drawn before: so one more user, or one more draw by one of them, leaves the numbers of all others as they were, and a failing
 * run stays recognizable while it is being reduced.
 *
 * Not for secrets: whoever sees a few numbers knows the rest.
 */
import type { Random } from "./clock.ts";

/** Scrambles 32 bits (the finalizer of splitmix32): near inputs give far outputs. */
export function mix32(value: number): number {
	let z = (value + 0x9e3779b9) | 0;
	z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
	z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
	return z ^ (z >>> 15);
}

/** Random numbers that are a function of a seed: for tests and simulations, never for secrets. */
export class SeededRandom implements Random {
	/** The seed that this stream began with, a signed 32-bit integer. */
	readonly seed: number;
	#a: number;
	#b: number;
	#c: number;
	#d: number;

	/** @param seed Any number; its low 32 bits count. */
	constructor(seed: number) {
		this.seed = seed | 0;
		this.#a = mix32(this.seed);
		this.#b = mix32(this.#a);
		this.#c = mix32(this.#b);
		this.#d = mix32(this.#c) | 1; // the all-zero state would be a fixed point
	}

	/** A uniform 32-bit integer, signed. */
	int32(): number {
		const b = this.#b;
		const m = Math.imul(b, 5);
		const result = Math.imul((m << 7) | (m >>> 25), 9);
		this.#c ^= this.#a;
		this.#d ^= b;
		this.#b ^= this.#c;
		this.#a ^= this.#d;
		this.#c ^= b << 9;
		this.#d = (this.#d << 11) | (this.#d >>> 21);
		return result;
	}

	/** A number in [0, 1). */
	float(): number {
		return (this.int32() >>> 0) / 4294967296;
	}

	/** A whole number in [0, n), n at most 2^32. */
	below(n: number): number {
		return Math.floor(this.float() * n);
	}

	/** A whole number in [low, high]. */
	between(low: number, high: number): number {
		return low + this.below(high - low + 1);
	}

	/** True with the given probability. */
	chance(probability: number): boolean {
		return this.float() < probability;
	}

	/** One of the items. */
	pick<T>(items: readonly T[]): T {
		return items[this.below(items.length)] as T;
	}

	/** An independent stream, a function of this stream's seed and the label only. */
	fork(label: string): SeededRandom {
		let hash = this.seed;
		for (let i = 0; i < label.length; i++) hash = mix32(hash ^ label.charCodeAt(i));
		return new SeededRandom(mix32(hash ^ label.length));
	}
}
