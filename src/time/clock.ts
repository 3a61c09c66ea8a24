/**
 * What protocol code may know of the world outside: the time, chance, and "later".
 *
 * Hides the event loop. No file in the protocol layers reads a clock, a random source or a timer of the platform; they
 * are given this, so that a whole network can run in virtual time and be a function of its seed.
 */

/** Monotonic time. */
export interface Clock {
	/** Microseconds since an arbitrary start, as a whole number (beyond 2^32 as well). */
	now(): number;
}

/** A source of random numbers. */
export interface Random {
	/** A uniform 32-bit integer, signed. */
	int32(): number;
}

/** One alarm; setting it again moves it. */
export interface Alarm {
	/** Calls back once at or soon after `at` (microseconds of the runtime's clock). */
	set(at: number): void;
	/** It does not ring any more, unless it is set again. */
	clear(): void;
}

/** The event loop as the stack sees it. */
export interface Runtime {
	/** The time. */
	readonly clock: Clock;
	/** Chance. Initial sequence numbers and ports come from it: in production it must not be predictable. */
	readonly random: Random;
	/** Runs `task` once, after what runs now and the microtasks that it queued. Keeps the process alive until then. */
	defer(task: () => void): void;
	/**
	 * Runs now what a task has left to be run after it: microtasks, and what the platform has like them. Called between the events of two
	 * connections, so that what the first has set off comes before the second. May throw what they throw. Where it is missing, all of it
	 * comes after the turn.
	 */
	settle?(): void;
	/**
	 * Asks the platform for large pages under `memory`, before it is touched; says for how many bytes they may come. Where it is missing,
	 * or there are none, nothing differs but the time that memory takes.
	 */
	largePages?(memory: Uint8Array): number;
	/** An alarm that does not keep the process alive. */
	alarm(callback: () => void): Alarm;
}
