/**
 * Calls from outside of Node's callback scope: how a stream in C++ is told of its bytes.
 *
 * Hides where such a call can come from. Node runs ticks and promises after each callback that C++ makes, but only after the outermost one:
 * a parser, TLS or an HTTP/2 session that is given a chunk from within JavaScript runs them when it is through with all of it, where with a kernel
 * socket they run between the messages or frames of the chunk. An `http2` server would then learn of a stream that its client opened and reset in
 * one go when it is over, and a `respond` that cannot fail with kernel sockets throws. All of Node's own callbacks are inside of a scope; those
 * of a descriptor on the event loop by sys/poll.ts are not. So there is one that can always be read, looked at while somebody waits.
 *
 * In a worker thread, and where there are no system calls to be had, nothing is outside: the call comes from an immediate then. So it does where
 * the program's user says so.
 */
import { isMainThread } from "node:worker_threads";
import { libc } from "../sys/libc.ts";
import { Poll } from "../sys/poll.ts";
import { JSStream } from "./internals.ts";
import { inRoot, laterInRoot } from "./runtime.ts";

type Tick = (...args: unknown[]) => void;

/** Set to "0": nothing is called from outside. */
const VARIABLE = "MILLRACE_OUTSIDE";
const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

let waiting: (() => void) | null = null;
let poll: Poll | null | undefined;
let armed = false;
let inside = false;
let stage: (JSStream & { onread: () => void }) | null = null;

const nodeTick = process.nextTick;
const nodeMicrotask = queueMicrotask;
let guarding = false;

/** Calls `task` from the event loop, outside of Node's callback scope where that can be had. One task at a time: call it once until then. */
export function outside(task: () => void): void {
	if (poll === undefined) poll = watch();
	if (poll === null) return laterInRoot(task);
	waiting = task;
	poll.ref();
	if (armed) return;
	armed = true;
	poll.resume();
}

/**
 * Calls `task` as C++ calls back, if this is outside: for what is done there in JavaScript. Whatever is called outside under an asynchronous id of its own, a tick
 * first of all, must not come to a callback of C++: that would be the outermost one, and Node ends the process where such a one is
 * over and an id is left (with async hooks on, which AsyncLocalStorage is on Node 20).
 *
 * @returns Whether ticks and promises have run behind it.
 */
export function asCallback(task: () => void): boolean {
	if (!inside) {
		task();
		return false;
	}
	// To tell its reader is all that a stream without a transport does by itself.
	stage ??= inRoot(() => new JSStream() as JSStream & { onread: () => void });
	stage.onread = task;
	stage.emitEOF();
	return true;
}

function wanted(): boolean {
	return isMainThread && process.env[VARIABLE] !== "0";
}

/** A descriptor that can always be read, looked at from now on; null where there are none. */
function watch(): Poll | null {
	if (!wanted()) return null;
	try {
		guardTicks();
		const fd = libc().eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
		if (fd < 0) return null;
		const made = new Poll(fd, run, () => {});
		made.pause();
		return made;
	} catch {
		return null;
	}
}

function run(): void {
	const task = waiting;
	waiting = null;
	// Armed one turn longer than it is needed: while connections are busy, each turn brings something.
	if (task === null) {
		armed = false;
		poll!.pause();
		return;
	}
	poll!.unref();
	inside = true;
	try {
		task();
	} finally {
		inside = false;
	}
}

/**
 * Puts a guard around `process.nextTick`, for good: programs keep it, and put something of their own around it. What a tick throws while C++ is not through with its
 * chunk comes out in the middle of that, with a JavaScript caller below, for which V8 keeps it: it would come up in the next call of C++ that somebody makes, and
 * Node, which was told of no uncaught exception, would miss the end of that tick. A microtask's exception is uncaught at once, wherever it runs.
 * The preload calls this before the program is loaded.
 */
export function guardTicks(): void {
	if (guarding || !wanted()) return;
	guarding = true;
	for (const name of ["name", "length"]) Object.defineProperty(guardedTick, name, Object.getOwnPropertyDescriptor(nodeTick, name)!);
	// Where `process` is frozen it stays as it is.
	Reflect.set(process, "nextTick", guardedTick);
}

function guardedTick(callback: Tick, ...args: unknown[]): void {
	if (inside && typeof callback === "function") return nodeTick(guarded, callback, args);
	// Counted out: each tick of the program comes by here.
	switch (args.length) {
		case 0:
			return nodeTick(callback);
		case 1:
			return nodeTick(callback, args[0]);
		case 2:
			return nodeTick(callback, args[0], args[1]);
		case 3:
			return nodeTick(callback, args[0], args[1], args[2]);
		default:
			return nodeTick(callback, ...args);
	}
}

function guarded(callback: Tick, args: unknown[]): void {
	try {
		callback(...args);
	} catch (error) {
		nodeMicrotask(() => {
			throw error;
		});
	}
}
