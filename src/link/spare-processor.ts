/**
 * Finds a processor that has time to spare for the kernel's work on what this thread sends, and gives it back when it has none.
 *
 * Hides when that pays. What a stack writes to a TAP device the kernel works on inside of the write, up to the peer's socket: up to half of what a
 * short connection takes of its thread. Another processor may do it instead (sys/rps.ts), at some cost for both:
 * - worth it only when this thread is full, and only while the other one is idle for a good part of the time; of two full ones both are slower;
 * - not for bulk data that are sent, whose copy to the peer then finds them in the wrong cache (at 16 KB a frame 0.93 times, at 64 KB 0.6 to 1.1 times);
 * - not for frames that leave one by one: a peer waits for each of them, and gets it 1.5 us sooner from this thread, which may well be full only
 *   because it stays awake (`spin`);
 * - one processor is enough: the kernel's part is at most half of what the thread did.
 *
 * Nothing is looked at but when frames are sent, once a second at most, and the processors only while this thread is full or helped. What had to be
 * given back is asked for again after a time that doubles, so that a load on the verge does not move to and fro.
 */
import type { Clock } from "../time/clock.ts";

/** Microseconds over which load is looked at: long beside a scheduler's slices and the 10 ms of a clock tick. */
const WINDOW = 1_000_000;
/** Batches sent between two looks at the clock, a power of two: a full thread sends thousands in a second. */
const CLOCK_EVERY = 256;
/** Share of its time that a full thread works. */
const FULL = 0.8;
/** Idle share from which on a processor is asked; the kernel's part is about 0.3 of it. */
const SPARE = 0.4;
/** Idle share below which it is in somebody's way. */
const BUSY = 0.1;
/** Mean bytes of a frame that is sent, from which on it is bulk. */
const BULK = 12_288;
/** Frames of a batch in the mean below which they leave one by one. */
const SEVERAL = 2;
/** Microseconds until a processor is asked again after the first time that it was given back, and at most. Held for longer than that, all is forgotten. */
const PAUSE = 2_000_000;
const PAUSE_MAX = 64_000_000;

/** Where loads are read: sys/processors.ts. */
export interface Gauge {
	threadSeconds(): number;
	idleSeconds(): ReadonlyMap<number, number>;
}

/** Frames and bytes that the link has sent since it was opened. */
export interface Traffic {
	readonly txFrames: number;
	readonly txBytes: number;
}

export class SpareProcessor {
	readonly #clock: Clock;
	readonly #traffic: Traffic;
	readonly #gauge: Gauge;
	readonly #ask: (processor: number | null) => void;
	#batches = 0;
	#helper: number | null = null;
	/** Beginning of this window, and what was read then. */
	#begin = -Infinity;
	#worked = 0;
	#frames = 0;
	#bytes = 0;
	#idle: ReadonlyMap<number, number> | null = null;
	#since = 0;
	#notBefore = 0;
	#pause = PAUSE;
	#ended = false;
	/** Processors that the kernel does not let be asked. */
	readonly #refused = new Set<number>();

	/** @param ask Has that processor do the kernel's work; null: no other one. If it throws EINVAL, that one cannot; anything else, and that was the last time. */
	constructor(clock: Clock, traffic: Traffic, gauge: Gauge, ask: (processor: number | null) => void) {
		this.#clock = clock;
		this.#traffic = traffic;
		this.#gauge = gauge;
		this.#ask = ask;
	}

	/** To be called after each batch that was sent. */
	sent(): void {
		if ((++this.#batches & (CLOCK_EVERY - 1)) !== 0 || this.#ended) return;
		const now = this.#clock.now();
		if (now - this.#begin < WINDOW) return;
		try {
			this.#look(now);
		} catch {
			// There is no /proc or no /sys to be read, or it may not be written: things stay as they are.
			this.#ended = true;
		}
	}

	#look(now: number): void {
		const elapsed = now - this.#begin;
		const { txFrames, txBytes } = this.#traffic;
		const worked = this.#gauge.threadSeconds();
		const frames = txFrames - this.#frames;
		const full = worked - this.#worked >= FULL * seconds(elapsed);
		const bulk = txBytes - this.#bytes >= BULK * frames;
		const several = frames >= SEVERAL * this.#batches;
		this.#begin = now;
		this.#worked = worked;
		this.#frames = txFrames;
		this.#bytes = txBytes;
		this.#batches = 0;
		const before = this.#idle;
		this.#idle = null;
		// A window in which nothing was sent for long says nothing of what is now.
		if (elapsed > 2 * WINDOW) return;
		if (this.#helper !== null) {
			const idle = this.#gauge.idleSeconds();
			this.#idle = idle;
			if (bulk || idleShare(this.#helper, before, idle, elapsed) < BUSY) this.#giveBack(now);
		} else if (full && several && !bulk && now >= this.#notBefore) {
			const idle = this.#gauge.idleSeconds();
			this.#idle = idle;
			if (before !== null) this.#choose(before, idle, elapsed, now);
		}
	}

	#choose(before: ReadonlyMap<number, number>, idle: ReadonlyMap<number, number>, elapsed: number, now: number): void {
		let best: number | null = null;
		let most = SPARE;
		for (const processor of idle.keys()) {
			const share = before.has(processor) ? idleShare(processor, before, idle, elapsed) : 0;
			if (share < most || this.#refused.has(processor)) continue;
			best = processor;
			most = share;
		}
		if (best === null) return;
		try {
			this.#ask(best);
		} catch (error) {
			// An isolated one (isolcpus), which is the idlest of all: another one is looked for.
			if ((error as { code?: unknown }).code !== "EINVAL") throw error;
			this.#refused.add(best);
			return;
		}
		this.#helper = best;
		this.#since = now;
	}

	#giveBack(now: number): void {
		this.#ask(null);
		this.#helper = null;
		if (now - this.#since >= PAUSE_MAX) this.#pause = PAUSE;
		this.#notBefore = now + this.#pause;
		this.#pause = Math.min(this.#pause * 2, PAUSE_MAX);
	}
}

/** Share of the time that the processor had nothing to do. One of which nothing was read counts as idle; one that is off now does not. */
function idleShare(
	processor: number,
	before: ReadonlyMap<number, number> | null,
	idle: ReadonlyMap<number, number>,
	elapsed: number,
): number {
	const now = idle.get(processor);
	if (now === undefined) return 0;
	const then = before?.get(processor);
	return then === undefined ? 1 : (now - then) / seconds(elapsed);
}

const seconds = (microseconds: number): number => microseconds / 1_000_000;
