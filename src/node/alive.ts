/**
 * What keeps the process alive while sockets of the stack need it.
 *
 * Hides that a link may have nothing the event loop waits for (a link in memory has no file descriptor). One timer that never rings
 * is referenced while anything holds; toggling it costs less than making it anew. The host is told, too, for its link's sake.
 */

import { setInterval } from "../sys/timers.ts";
import type { StackHost } from "./stack.ts";

/** The longest that a timer takes, 24.8 days; an interval, so that it does not matter. */
const FOREVER = 0x7fffffff;

let timer: NodeJS.Timeout | null = null;
let holders = 0;

/** Keeps the process alive until `releaseProcess` was called as often as this. */
export function holdProcess(): void {
	if (holders++ > 0) return;
	if (timer === null) timer = setInterval(() => {}, FOREVER);
	else timer.ref();
}

export function releaseProcess(): void {
	if (--holders === 0) timer!.unref();
}

/** Keeps the process and the host's link alive until `release` was called as often as this. */
export function hold(host: StackHost): void {
	holdProcess();
	host.ref();
}

export function release(host: StackHost): void {
	releaseProcess();
	host.unref();
}
