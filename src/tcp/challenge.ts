/**
 * Challenge ACKs: how many may leave (RFC 5961 7).
 *
 * One limit for all connections of an engine, and for every ACK that a segment without content can draw from us out of order, so that
 * no two stacks answer each other for ever; but for the first answer in a while to who probes a connection (input.ts, `ackOutside`).
 */
import type { Random } from "../time/clock.ts";
import type { TcpCounters } from "./counters.ts";

/** The limit is for so many ticks, ms. */
const PERIOD = 1000;

export class ChallengeLimit {
	readonly #random: Random;
	readonly #counters: TcpCounters;
	/** Challenges in a period on average. */
	readonly #most: number;
	#since = 0;
	#sent = 0;

	constructor(random: Random, counters: TcpCounters, most: number) {
		this.#random = random;
		this.#counters = counters;
		this.#most = most;
	}

	/** Whether a challenge ACK may be sent at `tick`; counts it. */
	allowed(tick: number): boolean {
		const passed = (tick - this.#since) | 0;
		if (passed >= PERIOD || passed < 0) {
			this.#since = tick;
			// A limit that nobody outside knows: a fixed one, shared by all connections, can be used to count them (CVE-2016-5696).
			this.#sent = -Math.floor(((this.#random.int32() >>> 0) / 2 ** 32) * this.#most);
		}
		if (this.#sent >= this.#most) {
			this.#counters.challengeAcksLimited++;
			return false;
		}
		this.#sent++;
		this.#counters.challengeAcks++;
		return true;
	}
}
