/**
 * A token bucket: at most `burst` events at once and `rate` a second in the long run.
 *
 * Time is passed in, as microseconds; a bucket costs no timer.
 */
export class TokenBucket {
	readonly #rate: number;
	readonly #burst: number;
	#tokens: number;
	#at = 0;

	/** @param rate Events per second. */
	constructor(rate: number, burst: number) {
		this.#rate = rate;
		this.#burst = burst;
		this.#tokens = burst;
	}

	/** Takes a token if there is one. */
	take(now: number): boolean {
		this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) * this.#rate) / 1e6);
		this.#at = now;
		if (this.#tokens < 1) return false;
		this.#tokens--;
		return true;
	}
}
