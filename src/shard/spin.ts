/**
 * Adaptive spinning: how long an event loop that has run out of work should go on turning before it sleeps.
 *
 * Hides the judgement. A loop that sleeps in the kernel must be woken for the next frame, which costs tens of microseconds; one that
 * turns on finds it at once, and burns the processor meanwhile. That pays if the next frame is near. So the gaps are watched, from
 * when nothing was left to do until frames came, slept through or not:
 * - A gap of at most `most` is near: a spin could have covered it. Fewer than three of the last four near: no spin at all.
 * - A spin lasts as long as near gaps do, their mean and four mean deviations (the estimator of RFC 6298), never longer than `most`.
 * What is rare or irregular is thus never spun for, and a lull after dense traffic costs a few spins and then nothing.
 *
 * A gap that was slept through seems longer than it was, by the wake-up. So what was slept through for a little more than `most` is taken for
 * near as well, and a spin tells: a miss means that such gaps are as long as they look, and the next ones are not tried, twice as
 * many after each miss, until a spin hits.
 *
 * Units: microseconds. Time is given, never taken; so this is a function of what it was told.
 */

/** What is counted, beside the shard's own. */
export interface SpinCounters {
	spinHits: number;
	spinMisses: number;
	spinTime: number;
}

/** The share of near gaps is kept in so many parts; each gap moves it by an eighth of what is missing. */
const WHOLE = 1024;
const ENOUGH = (WHOLE * 3) / 4;

/** Turns in a row in which no time passes, after which the clock is deemed to stand still (virtual time): looking on would never end. */
const STALLED = 64;

/** What a wake-up may take, in microseconds: 20 to 50 on the machines where it was measured, virtual ones. */
const WAKE = 60;
/** Doubtful gaps that are not tried after a miss, at first and at most. */
const PATIENCE = 4;
const PATIENCE_MAX = 4096;

const NEVER = -1;

export class Spin {
	readonly #most: number;
	readonly #counters: SpinCounters;
	#share = 0;
	/** Eight times the mean of near gaps, and four times their mean deviation. */
	#mean = 0;
	#deviation = 0;
	/** When there was nothing left to do; NEVER while there is. */
	#since = NEVER;
	/** Until when to look on; NEVER when no spin goes on. */
	#until = NEVER;
	#last = 0;
	#stalled = 0;
	/** A spin has gone by in this gap, in vain. */
	#missed = false;
	/** Doubtful gaps that are still to be taken for far, and how many they will be after the next miss. */
	#doubted = 0;
	#patience = PATIENCE;

	/** @param most Longest spin, in microseconds. */
	constructor(most: number, counters: SpinCounters) {
		this.#most = most;
		this.#counters = counters;
	}

	/** How long a spin that began now would last; 0: none would. */
	get limit(): number {
		if (this.#share < ENOUGH) return 0;
		return Math.min(this.#most, (this.#mean >> 3) + this.#deviation + 1);
	}

	/** Frames came. */
	arrived(now: number): void {
		const since = this.#since;
		if (since === NEVER) return;
		this.#since = NEVER;
		const gap = now - since;
		if (this.#until !== NEVER) {
			this.#counters.spinHits++;
			this.#counters.spinTime += gap;
			this.#until = NEVER;
			this.#doubted = 0;
			this.#patience = PATIENCE;
		}
		const near = gap <= this.#most || (!this.#missed && gap <= this.#most + WAKE && this.#tryDoubtful());
		this.#share += ((near ? WHOLE : 0) - this.#share) >> 3;
		if (!near) return;
		const error = gap - (this.#mean >> 3);
		this.#mean += error;
		this.#deviation += Math.abs(error) - (this.#deviation >> 2);
	}

	#tryDoubtful(): boolean {
		if (this.#doubted === 0) return true;
		this.#doubted--;
		return false;
	}

	/**
	 * Nothing is left to do: whether to turn on nevertheless.
	 *
	 * @param allowed False ends a spin, and begins none.
	 */
	lookOn(now: number, allowed: boolean): boolean {
		if (this.#since === NEVER) {
			this.#since = now;
			this.#last = now;
			this.#stalled = 0;
			this.#missed = false;
			const limit = this.limit;
			if (limit > 0 && allowed) this.#until = now + limit;
		}
		if (this.#until === NEVER) return false;
		this.#stalled = now === this.#last ? this.#stalled + 1 : 0;
		this.#last = now;
		if (allowed && now < this.#until && this.#stalled < STALLED) return true;
		this.#missed = true;
		this.#doubted = this.#patience;
		this.#patience = Math.min(2 * this.#patience, PATIENCE_MAX);
		this.#counters.spinMisses++;
		this.#counters.spinTime += now - this.#since;
		this.#until = NEVER;
		return false;
	}
}
