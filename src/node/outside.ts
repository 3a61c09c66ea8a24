/**
 * Calls from outside of Node's callback scope: how a stream in C++ is told of its bytes.
 *
 * Hides where such a call can come from. Node runs ticks and promises after each callback that C++ makes, but only after the outermost one:
 * a parser, TLS or an HTTP/2 session that is given a chunk from within JavaScript runs them when it is through with all of it, where with a kernel
 * socket they run between the messages or frames of the chunk. An `http2` server would then learn of a stream that its client opened and reset in
 * one go when it is over, and a `respond` that cannot fail with kernel sockets throws. All of Node's own callbacks are inside of a scope; those
 * of a descriptor on the event loop by sys/poll.ts are not. So there is one that can always be read, looked at while somebody waits.
 *
 * In a worker thread, and where there are no system calls to be had, nothing is outside: the call comes from an immediate then.
 */
import { isMainThread } from "node:worker_threads";
import { libc } from "../sys/libc.ts";
import { Poll } from "../sys/poll.ts";
import { laterInRoot } from "./runtime.ts";

const EFD_NONBLOCK = 0o4000;
const EFD_CLOEXEC = 0o2000000;

let waiting: (() => void) | null = null;
let poll: Poll | null | undefined;
let armed = false;
let inside = false;
let nodeTick = process.nextTick;

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

/** A descriptor that can always be read, looked at from now on; null where there are none. */
function watch(): Poll | null {
	if (!isMainThread) return null;
	try {
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
	const { nextTick } = process;
	nodeTick = nextTick;
	inside = true;
	process.nextTick = guardedTick;
	try {
		task();
	} finally {
		inside = false;
		// Somebody who put something around it meanwhile keeps that: it passes everything on from now on.
		if (process.nextTick === guardedTick) process.nextTick = nextTick;
	}
}

/**
 * `process.nextTick` meanwhile. What a tick throws comes out in the middle of C++ that is not through with its chunk, with a JavaScript caller below, for
 * which V8 keeps it: it would come up in the next call of C++ that somebody makes, and Node, which was told of no uncaught exception, would miss the end of that tick.
 * A microtask's exception is uncaught at once, wherever it runs.
 */
function guardedTick(callback: (...args: unknown[]) => void, ...args: unknown[]): void {
	if (inside && typeof callback === "function") nodeTick(guarded, callback, args);
	else nodeTick(callback, ...args);
}

function guarded(callback: (...args: unknown[]) => void, args: unknown[]): void {
	try {
		callback(...args);
	} catch (error) {
		queueMicrotask(() => {
			throw error;
		});
	}
}
