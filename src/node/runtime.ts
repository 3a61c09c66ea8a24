/**
 * The runtime of protocol code on Node: its clock, chance and "later" are those of this process.
 *
 * Hides Node's timers. Three choices, each by measurement (Node 20 to 26 on one machine):
 * - The clock is `performance.now()`: 70 to 84 ns a call, as `process.hrtime()` (58 to 85 ns) but without an array for each
 *   call; `process.hrtime.bigint()` takes 93 to 120 ns.
 * - Random numbers come from a buffer that the system's generator fills 1024 words at a time: a call of the generator costs
 *   more than a hundred reads of the buffer.
 * - `defer` is `setImmediate`: what runs now, and the promises and ticks that it queued, come first, and the process stays
 *   alive until then.
 *
 * Turns of the stack belong to nobody: they are deferred from the context in which this module was loaded, so that the events of one
 * connection never run in the AsyncLocalStorage context of another's request, which happened to wake the stack.
 */
import { AsyncResource } from "node:async_hooks";
import { getRandomValues } from "node:crypto";
import { adviseLargePages } from "../sys/large-pages.ts";
import { clearTimeout, milliseconds, setImmediate, setTimeout } from "../sys/timers.ts";
import type { Alarm, Clock, Random, Runtime } from "../time/clock.ts";
import { tickCallback } from "./undeprecated.ts";

const clock: Clock = {
	now: () => Math.floor(milliseconds() * 1000),
};

const root = new AsyncResource("MILLRACE");

/** Calls `task` in nobody's context. */
export function inRoot<R>(task: () => R): R {
	return root.runInAsyncScope(task);
}

/** `setImmediate`, in nobody's context. */
export function laterInRoot<A extends unknown[]>(task: (...args: A) => void, ...args: A): void {
	root.runInAsyncScope(setImmediate as (task: (...args: A) => void, ...args: A) => unknown, undefined, task, ...args);
}

/**
 * Runs the ticks and promises that callbacks have left behind, as Node does after each callback of its own. An exception of theirs must get
 * out to the event loop and is not to be caught: Node would lose count of whose callback it is in. Node's own function for that has
 * no public name; where it is gone, promises run at the end of the turn.
 */
export const runTicks: () => void = tickCallback;

/** `setTimeout`, in nobody's context. */
function timeoutInRoot<A>(task: (argument: A) => void, delay: number, argument: A): NodeJS.Timeout {
	return root.runInAsyncScope(
		setTimeout as (task: (argument: A) => void, delay: number, argument: A) => NodeJS.Timeout,
		undefined,
		task,
		delay,
		argument,
	);
}

class SystemRandom implements Random {
	readonly #words = new Int32Array(1024);
	#next = this.#words.length;

	int32(): number {
		if (this.#next === this.#words.length) {
			getRandomValues(this.#words);
			this.#next = 0;
		}
		return this.#words[this.#next++]!;
	}
}

/**
 * An alarm over one timer that is replaced only when it would ring too late. An alarm that is put off keeps its timer,
 * which finds nothing due and sets itself anew: moving a deadline forward, the common case, then costs one store.
 */
class TimerAlarm implements Alarm {
	readonly #callback: () => void;
	#timer: NodeJS.Timeout | null = null;
	/** When the alarm is to ring; Infinity: never. */
	#at = Number.POSITIVE_INFINITY;
	/** When the timer rings. */
	#armedFor = Number.POSITIVE_INFINITY;

	constructor(callback: () => void) {
		this.#callback = callback;
	}

	set(at: number): void {
		this.#at = at;
		if (at < this.#armedFor) this.#arm(at);
	}

	clear(): void {
		this.#at = Number.POSITIVE_INFINITY;
	}

	#arm(at: number): void {
		if (this.#timer !== null) clearTimeout(this.#timer);
		this.#armedFor = at;
		// Rounded up, so that it never rings early; longer than 2^31 ms would ring at once.
		const delay = Math.min(Math.max(Math.ceil((at - clock.now()) / 1000), 1), 0x7fffffff);
		this.#timer = timeoutInRoot(ring, delay, this as TimerAlarm);
		this.#timer.unref();
	}

	/** The timer rang: rings the alarm if it is due, else sets the timer for what is left. */
	rang(): void {
		this.#timer = null;
		this.#armedFor = Number.POSITIVE_INFINITY;
		const at = this.#at;
		if (at === Number.POSITIVE_INFINITY) return;
		if (at > clock.now()) return this.#arm(at);
		this.#at = Number.POSITIVE_INFINITY;
		this.#callback();
	}
}

function ring(alarm: TimerAlarm): void {
	alarm.rang();
}

/** The runtime of this process. Each call has random numbers of its own; the clock is the same for all. */
export function nodeRuntime(): Runtime {
	return {
		clock,
		random: new SystemRandom(),
		defer: laterInRoot,
		settle: runTicks,
		largePages: adviseLargePages,
		alarm: (callback) => new TimerAlarm(callback),
	};
}
