/**
 * "Not now": the three moments at which a handle does what it must not do inside a call.
 *
 * Hides the queues. `settleSoon` comes after the running JavaScript and before anything else, as the kernel's answer to a write
 * that it took at once; so what follows from it (the next write, a FIN) still leaves in the same turn of the stack.
 * `pumpLater` comes from the event loop, as bytes that the kernel has do, and where C++ parses them from outside of Node's callback scope
 * (outside.ts). One tick or one immediate serves all handles, so neither costs a closure or an object per call. `pumpSettled` comes a turn of the event loop
 * later than that: behind all immediates that were set before it was called.
 */

import { asCallback, outside } from "./outside.ts";
import { laterInRoot, runTicks } from "./runtime.ts";

export interface Settles {
	settle(): void;
}
export interface Pumps {
	/** Whether it is to be called from outside of Node's callback scope. */
	readonly outside: boolean;
	pumpNow(): void;
	/** `pumpNow` comes next, and what the program was told last it has answered. */
	settled(): void;
}

let settling: Settles[] = [];
let pumping: Pumps[] = [];
let pumpingOutside: Pumps[] = [];
let unsettled: Pumps[] = [];
/** C++ is at work outside, and runs ticks before it is through. */
let underWay = false;

/** Calls `target.settle()` on the next tick, and not while C++ is in the middle of what it was given. Call it once until then. */
export function settleSoon(target: Settles): void {
	if (settling.push(target) === 1 && !underWay) process.nextTick(settleAll);
}

/** Calls `target.pumpNow()` from the event loop. Call it once until then. */
export function pumpLater(target: Pumps): void {
	if (target.outside) pumpOutside(target);
	else if (pumping.push(target) === 1) laterInRoot(pumpAll);
}

/** Calls `target.pumpNow()` as `pumpLater` does, when all immediates of now have run. Call it once until then. */
export function pumpSettled(target: Pumps): void {
	if (unsettled.push(target) === 1) laterInRoot(settledAll);
}

function settledAll(): void {
	const now = unsettled;
	unsettled = [];
	for (const target of now) {
		target.settled();
		pumpLater(target);
	}
}

function pumpOutside(target: Pumps): void {
	if (pumpingOutside.push(target) === 1) outside(pumpAllOutside);
}

function pumpAllOutside(): void {
	const now = pumpingOutside;
	pumpingOutside = [];
	let i = 0;
	try {
		while (i < now.length) {
			underWay = true;
			now[i++]!.pumpNow();
			underWay = false;
			if (!asCallback(settleAll)) runTicks();
		}
	} finally {
		if (underWay && settling.length > 0) process.nextTick(settleAll);
		underWay = false;
		while (i < now.length) pumpLater(now[i++]!);
	}
}

function settleAll(): void {
	const now = settling;
	settling = [];
	let i = 0;
	try {
		while (i < now.length) now[i++]!.settle();
	} finally {
		// A callback of the program threw: the rest must not suffer.
		while (i < now.length) settleSoon(now[i++]!);
	}
}

function pumpAll(): void {
	const now = pumping;
	pumping = [];
	let i = 0;
	try {
		while (i < now.length) {
			if (i > 0) runTicks();
			const target = now[i++]!;
			// Who was a socket when its bytes came may be an HTTP/2 session by now.
			if (target.outside) pumpOutside(target);
			else target.pumpNow();
		}
	} finally {
		while (i < now.length) pumpLater(now[i++]!);
	}
}

/**
 * What a program's callback threw while the stack was at work becomes an uncaught exception of its own, so that the other
 * connections of the same turn get their events: with kernel sockets, too, one callback's exception is nobody else's.
 */
export function throwLater(error: unknown): void {
	const heard = process.listenerCount("uncaughtException") > 0 || process.hasUncaughtExceptionCaptureCallback();
	// Where nobody listens the process ends, and Node prints a line of source first: of a tick that which threw last, which is ours, of a microtask
	// that where the error was made. Who listens has the context of a tick.
	if (heard) process.nextTick(rethrow, error);
	else process.nextTick(queueMicrotask, () => rethrow(error));
}

function rethrow(error: unknown): never {
	throw error;
}
