/**
 * An event loop that allocates nothing: deferred tasks in a ring, and a clock that each turn moves on. The stack alone is then seen on the
 * heap; Node's loop makes an object for each task that is deferred, and a number for each look at the clock.
 */
import type { Runtime } from "../../src/time/clock.ts";

/** Tasks that wait at most; a power of two. A shard has three. */
const TASKS = 64;
/** Microseconds that a turn (two tasks) takes. */
const TURN = 50;

export class Loop implements Runtime {
	time: number;
	readonly clock = { now: () => this.time };
	readonly random = { int32: () => 1 };
	readonly #tasks: (() => void)[] = new Array(TASKS).fill(() => {});
	#head = 0;
	#tail = 0;

	/** @param start Where the clock begins, in microseconds. */
	constructor(start: number) {
		this.time = start;
	}

	defer(task: () => void): void {
		this.#tasks[this.#tail++ & (TASKS - 1)] = task;
	}

	/** Never rings: who uses this has no timer that matters. */
	alarm() {
		return { set() {}, clear() {} };
	}

	/** Turns until `done` says so. */
	run(done: () => boolean): void {
		while (!done()) {
			if (this.#head === this.#tail) throw new Error("nothing left to do");
			if ((this.#head & 1) === 0) this.time += TURN;
			this.#tasks[this.#head++ & (TASKS - 1)]!();
		}
	}
}
