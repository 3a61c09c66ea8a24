/**
 * Virtual time: one event queue that is the Runtime of every host of a simulation.
 *
 * Hides the event loop, and that there is none. Time stands still while something runs and jumps to the next alarm when nothing is
 * left to run now; so an hour costs what its events cost, and the order of everything is a function of what the tasks do.
 *
 * Order: tasks that are due now run first in, first out, whichever host they belong to. When there are none, the clock moves to the
 * earliest alarm; alarms for the same microsecond run in the order in which they were set. One task or alarm is one step.
 *
 * Microtasks: between two steps of `settle` all promise reactions run, as they do on a real event loop. `run` gives them no chance and
 * is several times faster: for programs that use events only.
 */
import { MillraceError } from "../errors.ts";
import type { Alarm, Clock, Random, Runtime } from "../time/clock.ts";
import type { SeededRandom } from "../time/random.ts";
import type { Trace } from "./trace.ts";

/** Microseconds in a second: the clock counts microseconds, people give seconds. */
export const SECOND = 1_000_000;

/** Why a run stopped: nothing is left to do, the time is over, `done` said so. */
export type Stop = "quiet" | "time" | "done";

/** Bounds of a run. */
export interface RunLimits {
	/** Last microsecond of virtual time at which something may happen. */
	readonly until: number;
	/** Steps after which the run is given up as endless. */
	readonly steps: number;
	/** Asked after each step; true stops the run. */
	done?(): boolean;
}

class VirtualAlarm implements Alarm {
	at = 0;
	order = 0;
	/** Place in the heap, -1 when not set. */
	place = -1;
	readonly owner: VirtualRuntime;
	readonly callback: () => void;
	readonly #time: VirtualTime;

	constructor(time: VirtualTime, owner: VirtualRuntime, callback: () => void) {
		this.#time = time;
		this.owner = owner;
		this.callback = callback;
	}

	set(at: number): void {
		this.#time.schedule(this, at);
	}

	clear(): void {
		this.#time.cancel(this);
	}
}

/** The Runtime of one host: the common clock and queue, and a random stream of its own. */
export class VirtualRuntime implements Runtime {
	/** Virtual microseconds; the same for all runtimes of a simulation. */
	readonly clock: Clock;
	/** The random stream of this host. */
	readonly random: Random;
	/** Number of this runtime within its simulation, from 0. */
	readonly id: number;
	/** Alarms that are set, and deferred tasks that have not run: 0 when nothing of this host will happen by itself. */
	pending = 0;
	/** @internal Nothing of this host runs before this time. */
	heldUntil = 0;
	readonly #time: VirtualTime;

	constructor(time: VirtualTime, id: number, random: Random) {
		this.#time = time;
		this.clock = time;
		this.id = id;
		this.random = random;
	}

	/** Runs `task` after what runs now, at the same virtual time. */
	defer(task: () => void): void {
		this.#time.enqueue(this, task);
	}

	/** An alarm in virtual time. */
	alarm(callback: () => void): Alarm {
		return new VirtualAlarm(this.#time, this, callback);
	}

	/** Holds up this host until `at` (microseconds), as a program does that keeps the event loop to itself; others go on. */
	hold(at: number): void {
		this.heldUntil = Math.max(this.heldUntil, at);
	}
}

/** The clock, and everything that is still to happen. */
export class VirtualTime implements Clock {
	/** Steps taken so far. */
	steps = 0;
	/** What happened so far, as a hash. */
	readonly trace: Trace;
	#now: number;
	#order = 0;
	#runtimes = 0;
	// Deferred tasks: a queue in two arrays that swap, so that neither end is costly.
	#due: (() => void)[] = [];
	#dueOwner: VirtualRuntime[] = [];
	#dueHead = 0;
	readonly #heap: VirtualAlarm[] = [];

	/**
	 * @param trace What happens is noted here.
	 * @param start First microsecond. Not 0 by default, and close to where 32 bits wrap when asked for, so that code which confuses
	 *   "no time" with "time 0", or forgets wrapping, is found out.
	 */
	constructor(trace: Trace, start: number = SECOND) {
		this.trace = trace;
		this.#now = start;
	}

	/** Virtual microseconds. */
	now(): number {
		return this.#now;
	}

	/** A runtime on this clock. */
	runtime(random: SeededRandom): VirtualRuntime {
		return new VirtualRuntime(this, this.#runtimes++, random);
	}

	/** True when nothing will ever happen again by itself. */
	get quiet(): boolean {
		return this.#dueHead === this.#due.length && this.#heap.length === 0;
	}

	/** When the next thing happens, in microseconds; Infinity when nothing will. */
	get next(): number {
		if (this.#dueHead < this.#due.length) return this.#now;
		return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#heap[0]!.at;
	}

	/** Runs until a limit is reached, without letting promise reactions run in between. */
	run(limits: RunLimits): Stop {
		const last = this.steps + limits.steps;
		for (;;) {
			const stop = this.#stop(limits, last);
			if (stop !== null) return stop;
			this.#step();
		}
	}

	/** Runs everything up to `at`, and leaves the clock there even if there was nothing to do; `done` may stop it before. */
	advance(at: number, steps: number, done?: () => boolean): Stop {
		const stop = this.run(done === undefined ? { until: at, steps } : { until: at, steps, done });
		if (stop === "quiet") this.#now = Math.max(this.#now, at);
		return stop;
	}

	/** Runs until a limit is reached, with all promise reactions after each step. */
	async settle(limits: RunLimits): Promise<Stop> {
		const last = this.steps + limits.steps;
		const turn = macrotask();
		try {
			for (;;) {
				await turn.next();
				const stop = this.#stop(limits, last);
				if (stop !== null) return stop;
				this.#step();
			}
		} finally {
			turn.close();
		}
	}

	/** @internal */
	enqueue(owner: VirtualRuntime, task: () => void): void {
		owner.pending++;
		this.#due.push(task);
		this.#dueOwner.push(owner);
	}

	/** @internal */
	schedule(alarm: VirtualAlarm, at: number): void {
		if (Number.isNaN(at)) throw new MillraceError("MILLRACE_SIM_TIME", "an alarm was set to NaN; give microseconds");
		if (at === Number.POSITIVE_INFINITY) return this.cancel(alarm);
		alarm.at = Math.max(this.#now, Math.ceil(at));
		alarm.order = ++this.#order;
		if (alarm.place === -1) {
			alarm.place = this.#heap.length;
			this.#heap.push(alarm);
			alarm.owner.pending++;
		}
		this.#sift(alarm);
	}

	/** @internal */
	cancel(alarm: VirtualAlarm): void {
		const place = alarm.place;
		if (place === -1) return;
		alarm.place = -1;
		alarm.owner.pending--;
		const last = this.#heap.pop()!;
		if (last === alarm) return;
		this.#heap[place] = last;
		last.place = place;
		this.#sift(last);
	}

	#stop(limits: RunLimits, last: number): Stop | null {
		if (limits.done?.() === true) return "done";
		const next = this.next;
		if (next === Number.POSITIVE_INFINITY) return "quiet";
		if (next > limits.until) {
			this.#now = Math.max(this.#now, limits.until);
			return "time";
		}
		if (this.steps >= last) {
			const at = (this.#now / SECOND).toFixed(6);
			throw new MillraceError(
				"MILLRACE_SIM_STEPS",
				`${limits.steps} steps were not enough: the clock stands at ${at} s. Something keeps itself busy, or steps must be raised`,
			);
		}
		return null;
	}

	#step(): void {
		this.steps++;
		if (this.#dueHead < this.#due.length) {
			const task = this.#due[this.#dueHead]!;
			const owner = this.#dueOwner[this.#dueHead]!;
			if (++this.#dueHead >= 1024 || this.#dueHead === this.#due.length) {
				this.#due.splice(0, this.#dueHead);
				this.#dueOwner.splice(0, this.#dueHead);
				this.#dueHead = 0;
			}
			owner.pending--;
			if (owner.heldUntil > this.#now) new VirtualAlarm(this, owner, task).set(owner.heldUntil);
			else {
				this.trace.step(this.#now, owner.id << 1);
				task();
			}
			return;
		}
		const alarm = this.#heap[0]!;
		this.cancel(alarm);
		this.#now = alarm.at;
		if (alarm.owner.heldUntil > this.#now) {
			alarm.set(alarm.owner.heldUntil);
			return;
		}
		this.trace.step(this.#now, (alarm.owner.id << 1) | 1);
		alarm.callback();
	}

	/** Moves an alarm to where it belongs in the heap. */
	#sift(alarm: VirtualAlarm): void {
		const heap = this.#heap;
		let place = alarm.place;
		while (place > 0) {
			const parent = heap[(place - 1) >> 1]!;
			if (!before(alarm, parent)) break;
			heap[place] = parent;
			parent.place = place;
			place = (place - 1) >> 1;
		}
		for (;;) {
			let child = 2 * place + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
			const below = heap[child]!;
			if (!before(below, alarm)) break;
			heap[place] = below;
			below.place = place;
			place = child;
		}
		heap[place] = alarm;
		alarm.place = place;
	}
}

/** Global on every platform without setImmediate, but not in every type library. */
declare const MessageChannel: new () => {
	port1: { onmessage: (() => void) | null; close(): void };
	port2: { postMessage(message: unknown): void };
};

function before(a: VirtualAlarm, b: VirtualAlarm): boolean {
	return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** "After all microtasks" of whatever platform this runs on: only a macrotask is after them all, and none of these waits for time. */
function macrotask(): { next(): Promise<void>; close(): void } {
	if (typeof setImmediate === "function") return { next: () => new Promise((resolve) => setImmediate(resolve)), close() {} };
	const { port1, port2 } = new MessageChannel();
	return {
		next: () =>
			new Promise((resolve) => {
				port1.onmessage = () => resolve();
				port2.postMessage(0);
			}),
		close() {
			port1.close();
		},
	};
}
