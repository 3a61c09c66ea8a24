/**
 * A hierarchical timer wheel over records in the arena: 4 levels of 256 slots, one tick a millisecond.
 *
 * Hides how many alarms become one. A record is in the wheel at most once, under one tick; its links are three words of
 * the record itself, so that a timer costs no memory of its own and goes where its record goes. The owner keeps the
 * deadlines of its several timers in the record, files the record under the earliest, and files it again when it fires:
 * a timer that is pushed back on every packet (the retransmission timer) then costs one comparison a packet.
 *
 * Level n holds what is due within 256^(n+1) ticks, in slot (tick >> 8n) & 255; when level n wraps, the next slot of
 * level n+1 is filed again below. A bitmap per level finds the next deadline without walking empty slots.
 *
 * Ticks are signed 32-bit and wrap after 49 days: a deadline may lie at most 2^31 - 1 ticks ahead. 0 in the `at` word
 * means "not in the wheel", so tick 0 is filed as 1.
 */

const LEVELS = 4;
const SLOTS = 256;
const MASK = SLOTS - 1;

/** Where a wheel finds its words in a record: offsets in words. */
export interface WheelFields {
	readonly at: number;
	readonly prev: number;
	readonly next: number;
}

export class TimerWheel {
	/** Records in the wheel. */
	count = 0;
	readonly #w: Int32Array;
	readonly #base: number;
	readonly #stride: number;
	readonly #at: number;
	readonly #prev: number;
	readonly #next: number;
	/** First record of each slot, as record number + 1. */
	readonly #head = new Int32Array(LEVELS * SLOTS);
	readonly #bits = new Int32Array((LEVELS * SLOTS) / 32);
	#now: number;

	/**
	 * @param words The arena as words.
	 * @param base Word offset of record 0.
	 * @param stride Words per record.
	 * @param now The present tick.
	 */
	constructor(words: Int32Array, base: number, stride: number, fields: WheelFields, now: number) {
		this.#w = words;
		this.#base = base;
		this.#stride = stride;
		this.#at = fields.at;
		this.#prev = fields.prev;
		this.#next = fields.next;
		this.#now = now | 0;
	}

	/** The tick that `advance` has reached: what `nextDelay` counts from. Behind the clock until the next `advance`. */
	get now(): number {
		return this.#now;
	}

	/** Files record `index` under `tick`; moves it if it is in the wheel already. What is past is due at the next `advance`. */
	set(index: number, tick: number): void {
		const b = this.#base + index * this.#stride;
		if (this.#w[b + this.#at] !== 0) this.remove(index);
		let at = tick | 0;
		if (((at - this.#now) | 0) < 1) at = (this.#now + 1) | 0;
		if (at === 0) at = 1;
		this.#w[b + this.#at] = at;
		this.#file(index, b, at);
		this.count++;
	}

	#file(index: number, b: number, at: number): void {
		const delay = (at - this.#now) >>> 0;
		const level = delay < 0x100 ? 0 : delay < 0x10000 ? 1 : delay < 0x1000000 ? 2 : 3;
		const slot = level * SLOTS + ((at >>> (8 * level)) & MASK);
		const old = this.#head[slot]!;
		this.#w[b + this.#prev] = -(slot + 1);
		this.#w[b + this.#next] = old;
		if (old !== 0) this.#w[this.#base + (old - 1) * this.#stride + this.#prev] = index + 1;
		else this.#bits[slot >> 5]! |= 1 << (slot & 31);
		this.#head[slot] = index + 1;
	}

	/** Takes a record out; harmless if it is not in. */
	remove(index: number): void {
		const b = this.#base + index * this.#stride;
		if (this.#w[b + this.#at] === 0) return;
		const prev = this.#w[b + this.#prev]!;
		const next = this.#w[b + this.#next]!;
		if (next !== 0) this.#w[this.#base + (next - 1) * this.#stride + this.#prev] = prev;
		if (prev < 0) {
			const slot = -prev - 1;
			this.#head[slot] = next;
			if (next === 0) this.#bits[slot >> 5]! &= ~(1 << (slot & 31));
		} else this.#w[this.#base + (prev - 1) * this.#stride + this.#next] = next;
		this.#w[b + this.#at] = 0;
		this.count--;
	}

	/** Moves time to `tick` and calls `due` for each record whose tick has come; the record is out of the wheel by then. */
	advance(tick: number, due: (index: number) => void): void {
		const target = tick | 0;
		// An empty wheel may be any time behind, also more than half a turn of the ticks.
		if (this.count === 0) {
			this.#now = target;
			return;
		}
		while (((target - this.#now) | 0) > 0) {
			if (this.count === 0) {
				this.#now = target;
				return;
			}
			const steps = this.#emptySteps((target - this.#now) | 0);
			if (steps > 0) {
				this.#now = (this.#now + steps) | 0;
				continue;
			}
			this.#now = (this.#now + 1) | 0;
			if ((this.#now & MASK) === 0) this.#cascade(1);
			this.#fire(this.#now & MASK, due);
		}
	}

	/** How many ticks can be skipped before the next one that has to be looked at; at most `limit`. */
	#emptySteps(limit: number): number {
		const from = (this.#now & MASK) + 1;
		let slot = from;
		while (slot < SLOTS) {
			const word = this.#bits[slot >> 5]! >>> (slot & 31);
			if (word !== 0) {
				slot += 31 - Math.clz32(word & -word);
				break;
			}
			slot = (slot | 31) + 1;
		}
		return Math.min(slot - from, limit);
	}

	#cascade(level: number): void {
		const index = (this.#now >>> (8 * level)) & MASK;
		if (index === 0 && level < LEVELS - 1) this.#cascade(level + 1);
		const slot = level * SLOTS + index;
		let entry = this.#head[slot]!;
		this.#head[slot] = 0;
		this.#bits[slot >> 5]! &= ~(1 << (slot & 31));
		while (entry !== 0) {
			const b = this.#base + (entry - 1) * this.#stride;
			const next = this.#w[b + this.#next]!;
			this.#file(entry - 1, b, this.#w[b + this.#at]!);
			entry = next;
		}
	}

	#fire(slot: number, due: (index: number) => void): void {
		// `due` may file the record again, never into this slot: `set` moves what is not in the future to the next tick.
		for (let entry = this.#head[slot]!; entry !== 0; entry = this.#head[slot]!) {
			this.remove(entry - 1);
			due(entry - 1);
		}
	}

	/** Ticks from `now` until `advance` should be called next: exact below 256 ticks, never late above; -1 when nothing is filed. */
	nextDelay(): number {
		if (this.count === 0) return -1;
		const now = this.#now;
		let least = 0x7fffffff;
		for (let level = 0; level < LEVELS; level++) {
			const shift = 8 * level;
			const from = (now >>> shift) & MASK;
			for (let i = 1; i <= SLOTS; i++) {
				const slot = level * SLOTS + ((from + i) & MASK);
				const word = this.#bits[slot >> 5]! >>> (slot & 31);
				if (word === 0) {
					i += 31 - (slot & 31);
					continue;
				}
				i += 31 - Math.clz32(word & -word);
				// Level 0: the very tick. Above: when the slot is filed again below, which is never after its first record is due.
				const delay = level === 0 ? i : ((((now >>> shift) + i) << shift) - now) | 0;
				if (delay > 0 && delay < least) least = delay;
				break;
			}
		}
		return least;
	}
}
