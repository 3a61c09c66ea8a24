/**
 * Impairment: what a bad network does to the frames of one direction.
 *
 * Hides the order of the mishaps: drop rule, loss, duplication; then, for the frame and its double each, the bottleneck (rate and its
 * queue), corruption, delay with jitter, reordering. Everything is decided when a frame arrives, from its arrival time and the
 * direction's own random stream: so the outcome is a function of seed, frames and times, however late the event loop is.
 *
 * Time: microseconds of the clock, with fractions. A frame leaves the bottleneck at max(arrival, departure of the one before it) plus
 * its bits over the rate; late alarms never add up, because no departure depends on when a frame was really handed on.
 *
 * Jitter keeps the order: a frame is never through before the one ahead of it. A reordered frame is held back by `reorderBy`, and
 * those behind it pass.
 */
import type { MillraceError } from "../errors.ts";
import { Batch, FRAME_CHECKED } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import type { SeededRandom } from "../time/random.ts";
import { DelayLine } from "./delay-line.ts";
import { copyFrame, frameBytes } from "./frames.ts";
import { bad } from "./known-options.ts";

/** What can happen to the frames of one direction. Everything is off unless given. */
export interface Impairments {
	/** Probability that a frame is lost, 0 to 1. */
	readonly loss?: number;
	/** Time on the way, in microseconds, up to 60 s. */
	readonly delay?: number;
	/** The delay of each frame varies evenly by up to this many microseconds either way, without changing the order. */
	readonly jitter?: number;
	/** Bits of frames per second through the bottleneck. */
	readonly rate?: number;
	/** Frames that may wait at the bottleneck; more are dropped at the tail. 1 to 1000000, default 1000. */
	readonly limit?: number;
	/** Bytes that may wait at the bottleneck; no limit unless given. */
	readonly limitBytes?: number;
	/** Probability that a frame is held back so that later ones pass it, 0 to 1. */
	readonly reorder?: number;
	/** How long such a frame is held back, in microseconds; default half the delay, at least 1000. */
	readonly reorderBy?: number;
	/** Probability that a frame arrives twice, 0 to 1. */
	readonly duplicate?: number;
	/** Probability that one bit of a frame, anywhere in it, is flipped, 0 to 1. */
	readonly corrupt?: number;
}

/** True drops the frame. `frame` is valid only during the call; `index` counts the frames of that direction from 0. */
export type DropRule = (frame: Uint8Array, direction: "in" | "out", index: number) => boolean;

/** Options of `impairLink`: impairments of both directions, of one alone, or both of them with exceptions. */
export interface ImpairOptions extends Impairments {
	/** For frames towards the host; wins over the common values. */
	readonly in?: Impairments;
	/** For frames from the host; wins over the common values. */
	readonly out?: Impairments;
	/** Whole number that decides all chance; taken from the runtime's random source unless given. */
	readonly seed?: number;
	/** For tests: drops chosen frames. */
	readonly drop?: DropRule;
}

const LIMIT = 1000; // netem's and pfifo's default
const RANGES: Record<keyof Impairments, { what: string; ok: (value: number) => boolean }> = {
	loss: probability(),
	delay: microseconds(),
	jitter: microseconds(),
	rate: { what: "bits per second, from 1 to 1e12", ok: (value) => value >= 1 && value <= 1e12 },
	limit: { what: "a whole number of frames from 1 to 1000000", ok: (value) => Number.isInteger(value) && value >= 1 && value <= 1e6 },
	limitBytes: { what: "a whole number of bytes, at least 1", ok: (value) => Number.isInteger(value) && value >= 1 },
	reorder: probability(),
	reorderBy: microseconds(),
	duplicate: probability(),
	corrupt: probability(),
};

function probability() {
	return { what: "a probability from 0 to 1", ok: (value: number) => value >= 0 && value <= 1 };
}
function microseconds() {
	return { what: "microseconds from 0 to 60000000", ok: (value: number) => value >= 0 && value <= 60e6 };
}

/**
 * Makes sure that options are what their type says, for values that come from users.
 *
 * @throws MillraceError MILLRACE_BAD_OPTION naming the first key that is unknown or out of range.
 */
export function checkImpairOptions(options: ImpairOptions): void {
	check(options, "", ["in", "out", "seed", "drop"]);
	if (options.in !== undefined) check(options.in, "in.", []);
	if (options.out !== undefined) check(options.out, "out.", []);
	if (options.seed !== undefined && !Number.isSafeInteger(options.seed)) throw wrong(`seed ${String(options.seed)}: give a whole number`);
	if (options.drop !== undefined && typeof options.drop !== "function")
		throw wrong("drop: give a function (frame, direction, index) => boolean");
}

function check(values: object, prefix: string, others: readonly string[]): void {
	if (values === null || typeof values !== "object" || Array.isArray(values))
		throw wrong(`${prefix === "" ? "options" : prefix.slice(0, -1)}: give an object such as { loss: 0.01 }`);
	for (const [key, value] of Object.entries(values)) {
		if (others.includes(key) || value === undefined) continue;
		if (!Object.hasOwn(RANGES, key)) throw wrong(`"${prefix}${key}" is not known: use ${[...Object.keys(RANGES), ...others].join(", ")}`);
		const range = RANGES[key as keyof Impairments];
		if (typeof value !== "number" || !range.ok(value)) throw wrong(`${prefix}${key} ${String(value)}: give ${range.what}`);
	}
}

function wrong(message: string): MillraceError {
	return bad(`impairment ${message}`);
}

/** What happened in one direction. */
export interface ImpairmentCounters {
	/** Frames that came to it. */
	seen: number;
	/** Dropped by chance. */
	lost: number;
	/** Dropped by the drop rule. */
	ruled: number;
	/** Frames that got a double. */
	duplicated: number;
	/** Frames that got a wrong bit. */
	corrupted: number;
	/** Frames that were held back. */
	reordered: number;
	/** Dropped because the bottleneck's queue was full. */
	dropQueue: number;
	/** Dropped because the delay line was full. */
	dropFull: number;
	/** Not duplicated, or dropped instead of corrupted, because no page was free. */
	dropNoPage: number;
}

/** One direction of an impairing link: frames go in when they arrive and come out when they are through. */
export class Impairment {
	/** What happened so far. */
	readonly counters: ImpairmentCounters = {
		seen: 0,
		lost: 0,
		ruled: 0,
		duplicated: 0,
		corrupted: 0,
		reordered: 0,
		dropQueue: 0,
		dropFull: 0,
		dropNoPage: 0,
	};
	readonly #line = new DelayLine();
	readonly #direction: "in" | "out";
	readonly #random: SeededRandom;
	readonly #rule: DropRule | undefined;
	readonly #active: boolean;
	readonly #loss: number;
	readonly #delay: number;
	readonly #jitter: number;
	readonly #reorder: number;
	readonly #reorderBy: number;
	readonly #duplicate: number;
	readonly #corrupt: number;
	/** Microseconds per byte through the bottleneck; 0: no bottleneck. */
	readonly #byteTime: number;
	readonly #limit: number;
	readonly #limitBytes: number;
	/** What waits at the bottleneck: a ring of departure times and sizes. */
	readonly #departure: Float64Array;
	readonly #size: Float64Array;
	#head = 0;
	#waiting = 0;
	#waitingBytes = 0;
	#lastDeparture = 0;
	/** When the last frame that was not held back is through. */
	#lastDue = 0;
	/** Doubles are made here. */
	readonly #double: Batch;

	/** @param options Checked by `checkImpairOptions`. */
	constructor(direction: "in" | "out", options: ImpairOptions, random: SeededRandom, pool: PagePool) {
		const own: Impairments = { ...options, ...options[direction] };
		this.#direction = direction;
		this.#random = random;
		this.#rule = options.drop;
		this.#loss = own.loss ?? 0;
		this.#delay = own.delay ?? 0;
		this.#jitter = own.jitter ?? 0;
		this.#reorder = own.reorder ?? 0;
		this.#reorderBy = own.reorderBy ?? Math.max(1000, this.#delay / 2);
		this.#duplicate = own.duplicate ?? 0;
		this.#corrupt = own.corrupt ?? 0;
		this.#byteTime = own.rate === undefined ? 0 : 8e6 / own.rate;
		this.#limit = own.limit ?? LIMIT;
		this.#limitBytes = own.limitBytes ?? Number.POSITIVE_INFINITY;
		const slots = this.#byteTime > 0 ? this.#limit : 0;
		this.#departure = new Float64Array(slots);
		this.#size = new Float64Array(slots);
		this.#double = new Batch(pool);
		this.#active =
			this.#rule !== undefined ||
			this.#loss + this.#delay + this.#jitter + this.#reorder + this.#duplicate + this.#corrupt + this.#byteTime > 0;
	}

	/** True when frames may as well go past it. */
	get idle(): boolean {
		return !this.#active;
	}
	/** Frames on their way. */
	get frames(): number {
		return this.#line.frames;
	}
	/** When the next frame is through; Infinity when there is none. */
	get next(): number {
		return this.#line.next;
	}

	/** Takes over the frame in entries `at` to `at + entries` of `batch`, which arrived at `arrival`. */
	admit(batch: Batch, at: number, entries: number, arrival: number): void {
		const index = this.counters.seen++;
		if (this.#rule?.(wholeFrame(batch, at, entries), this.#direction, index) === true) {
			this.counters.ruled++;
			return release(batch, at, entries);
		}
		if (this.#happens(this.#loss)) {
			this.counters.lost++;
			return release(batch, at, entries);
		}
		const twice = this.#happens(this.#duplicate) && this.#makeDouble(batch, at, entries);
		this.#pass(batch, at, entries, arrival);
		if (twice) {
			this.counters.duplicated++;
			this.#pass(this.#double, 0, entries, arrival);
		}
	}

	/** Notes `frames` that went past it: an idle one only counts. */
	pass(frames: number): void {
		this.counters.seen += frames;
	}

	/** Moves what is through at `now` to `batch` while it fits, stamped with the time it was through; returns how many entries. */
	moveDue(batch: Batch, now: number): number {
		return this.#line.moveDue(batch, now);
	}

	/** Releases everything. */
	clear(pool: PagePool): void {
		this.#line.clear(pool);
	}

	#pass(batch: Batch, at: number, entries: number, arrival: number): void {
		const departure = this.#byteTime === 0 ? arrival : this.#bottleneck(frameBytes(batch, at, entries), arrival);
		if (departure < 0) {
			this.counters.dropQueue++;
			return release(batch, at, entries);
		}
		if (this.#happens(this.#corrupt) && !this.#flipBit(batch, at, entries)) {
			this.counters.dropNoPage++;
			return release(batch, at, entries);
		}
		let due = departure + this.#delay;
		if (this.#jitter > 0) due = Math.max(departure, due + (2 * this.#random.float() - 1) * this.#jitter);
		due = Math.max(due, this.#lastDue);
		if (this.#happens(this.#reorder)) {
			this.counters.reordered++;
			due += this.#reorderBy;
		} else this.#lastDue = due;
		if (!this.#line.insert(batch, at, entries, due)) {
			this.counters.dropFull++;
			release(batch, at, entries);
		}
	}

	/** When a frame has passed the bottleneck; -1 when there is no room to wait for it. */
	#bottleneck(bytes: number, arrival: number): number {
		while (this.#waiting > 0 && this.#departure[this.#head]! <= arrival) {
			this.#waitingBytes -= this.#size[this.#head]!;
			this.#waiting--;
			this.#head = this.#head + 1 === this.#limit ? 0 : this.#head + 1;
		}
		if (this.#waiting === this.#limit || this.#waitingBytes + bytes > this.#limitBytes) return -1;
		const departure = Math.max(this.#lastDeparture, arrival) + bytes * this.#byteTime;
		const tail = (this.#head + this.#waiting) % this.#limit;
		this.#departure[tail] = departure;
		this.#size[tail] = bytes;
		this.#waiting++;
		this.#waitingBytes += bytes;
		this.#lastDeparture = departure;
		return departure;
	}

	#happens(chance: number): boolean {
		return chance > 0 && this.#random.float() < chance;
	}

	/**
	 * Copies a frame into pages of its own. A second reference would not do: on the way in, the host links each page it receives into
	 * one list, by the page's only descriptor.
	 */
	#makeDouble(batch: Batch, at: number, entries: number): boolean {
		const double = this.#double;
		double.count = 0; // the last double went into the delay line, or was released
		if (batch.pool.free < entries) {
			this.counters.dropNoPage++;
			return false;
		}
		for (let i = at; i < at + entries; i++) {
			const page = copyPage(batch, i);
			double.push(
				page,
				batch.start[i]! - batch.pool.address(batch.page[i]!) + batch.pool.address(page),
				batch.length[i]!,
				0,
				batch.flags[i]!,
			);
			double.segment[i - at] = batch.segment[i]!;
		}
		return true;
	}

	/** Flips one bit, if there is any, in place if nobody else holds the page, else in a copy; false when no page is free. */
	#flipBit(batch: Batch, at: number, entries: number): boolean {
		const bits = frameBytes(batch, at, entries) * 8;
		if (bits === 0) return true;
		const bit = this.#random.below(bits);
		let i = at;
		let byte = bit >> 3;
		while (byte >= batch.length[i]!) byte -= batch.length[i++]!;
		const pool = batch.pool;
		const page = batch.page[i]!;
		if (pool.refs(page) > 1) {
			if (pool.free === 0) return false;
			const copy = copyPage(batch, i);
			batch.start[i]! += pool.address(copy) - pool.address(page);
			batch.page[i] = copy;
			pool.release(page);
		}
		const offset = batch.start[i]! + byte;
		pool.u8[offset]! ^= 1 << (bit & 7);
		batch.flags[i]! &= ~FRAME_CHECKED; // whoever vouched for the frame did so before this
		this.counters.corrupted++;
		return true;
	}
}

/** A new page with the bytes of entry `i` at the same place; there is a free one. */
function copyPage(batch: Batch, i: number): number {
	const pool = batch.pool;
	const page = pool.alloc();
	const start = batch.start[i]!;
	pool.copy.within(start - pool.address(batch.page[i]!) + pool.address(page), start, batch.length[i]!);
	return page;
}

/** The frame in one piece: a view where it is one already. */
function wholeFrame(batch: Batch, at: number, entries: number): Uint8Array {
	if (entries === 1) return batch.frame(at);
	const bytes = new Uint8Array(frameBytes(batch, at, entries));
	copyFrame(batch, at, entries, bytes, 0);
	return bytes;
}

function release(batch: Batch, at: number, entries: number): void {
	for (let i = at; i < at + entries; i++) batch.pool.release(batch.page[i]!);
}
