/**
 * Pacing: segments leave at a rate, not in the bursts in which acknowledgments let them go.
 *
 * Hides the timer's coarseness. Each connection has a virtual departure time that moves on by what was sent over the rate.
 * Whatever is due within the next millisecond (the tick of the timer wheel) leaves at once; then output stops and `paceAt`
 * brings it back. A turn that comes late finds more due and makes up for it, up to a quarter of a round trip, so the rate is right
 * in the long run although no single departure is exact; a connection that had nothing to send saves up no burst.
 *
 * State: `paceRate`, `paceTime` and `paceAt` of the record; `lastSent` tells a `paceTime` of long ago. Model-based congestion control
 * sets the rate itself; for the others `paceByWindow` does, when the option `pacing` is on.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";

/** How far ahead of its time a segment may leave, microseconds. */
const AHEAD = 1000;
/** How much time a late turn may make up for: a quarter of a round trip, whose burst the path has room for, within these bounds, microseconds. */
const CREDIT_LEAST = 4000;
const CREDIT_MOST = 20_000;
/** No departure is further away than this, microseconds: when nothing has left for so long, the stamp is one from before the clock wrapped. */
const FARTHEST = 60_000_000;
/** Budget of a connection that is not paced. */
export const UNPACED = 0x7fffffff;
/** Linux's figures: twice the window a round trip in slow start, so that it can double; then a little more than the window. */
const SLOW_START_GAIN = 2;
const GAIN = 1.2;

/** Bytes that may leave now; the last segment may overshoot. Not above 0: none. */
export function paceBudget(t: Tcp, c: Connection): number {
	const late = (t.now - c.paceTime) | 0;
	const most = c.sndUna === c.sndNxt ? 0 : Math.max(CREDIT_LEAST, Math.min(c.srtt >> 2, CREDIT_MOST));
	if (late > most || (t.tick - c.lastSent) >>> 0 > FARTHEST / 1000) c.paceTime = (t.now - most) | 0;
	return (((t.now + AHEAD - c.paceTime) | 0) * c.paceRate) / 1e6;
}

/** Bytes have left. */
export function paceSpent(c: Connection, bytes: number): void {
	c.paceTime = (c.paceTime + Math.min(Math.round((bytes * 1e6) / c.paceRate), FARTHEST >> 1)) | 0;
}

/** Microseconds until something may leave again. */
export function paceDelay(t: Tcp, c: Connection): number {
	return (c.paceTime - AHEAD - t.now) | 0;
}

/** The rate that fits a window: for algorithms that know no other. */
export function paceByWindow(t: Tcp, c: Connection): void {
	if (c.srtt === 0) return;
	if (c.paceRate === 0) c.paceTime = t.now;
	const gain = c.cwnd < c.ssthresh >> 1 ? SLOW_START_GAIN : GAIN;
	c.paceRate = Math.max(1, Math.min(UNPACED, Math.floor((gain * c.cwnd * 1e6) / c.srtt)));
}
