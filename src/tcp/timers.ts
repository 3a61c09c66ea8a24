/**
 * Timers: the deadlines of a connection, and how they are filed.
 *
 * A connection has four: `rtxAt` for what is in flight (its meaning is in the flags: RTO, tail loss probe, reordering window, window
 * probe), `ackAt` for a delayed ACK, `paceAt` for pacing, `idleAt` for keep-alive, FIN-WAIT-2 and TIME-WAIT. The wheel holds the record
 * once, under the earliest of them. To stop a timer or to put it off writes one word; the wheel finds out when the old deadline comes.
 * So the timers that each segment starts and stops cost no filing. What follows when one fires is in expiry.ts.
 *
 * Units: ticks of a millisecond, wrapping; 0 is "not running".
 * Read first: RFC 6298 5.1 to 5.3, RFC 8985 7.2.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { backedOff, inMilliseconds } from "./rto.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_DETACHED, C_KEEPALIVE, C_LOSS, C_RECOVERY, C_SACK, FIN_WAIT_2, TIMER_MASK, TIMER_REORDER, TIMER_RTO, TIMER_SHIFT, TIMER_TLP } =
	state;

/** Smallest delay of a tail loss probe, ms: a delayed ACK of a busy peer is not a loss. */
const MIN_PROBE_DELAY = 10;
/** RFC 8985 7.2: what is added while one segment is out and its ACK may be delayed, ms. */
const WORST_ACK_DELAY = 200;

/** Files the record under its earliest deadline. A deadline that moved back is noticed when the old one fires. */
function file(t: Tcp, c: Connection, at: number): void {
	if (c.timerAt === 0 || ((at - c.timerAt) | 0) < 0) t.wheel.set(c.index, at);
}

/** Files the record anew, when its deadline has fired, under the next that it has. */
export function refile(t: Tcp, c: Connection): void {
	if (c.rtxAt !== 0) file(t, c, c.rtxAt);
	if (c.ackAt !== 0) file(t, c, c.ackAt);
	if (c.paceAt !== 0) file(t, c, c.paceAt);
	if (c.idleAt !== 0) file(t, c, c.idleAt);
}

/** What the retransmission timer stands for at the moment. */
export function timerKind(c: Connection): number {
	return (c.flags & TIMER_MASK) >> TIMER_SHIFT;
}

/** Starts the retransmission timer with a meaning. @param delay Milliseconds. */
export function setRetransmitTimer(t: Tcp, c: Connection, kind: number, delay: number): void {
	// One more tick: the present one has begun already, and a timer must not be early.
	const at = (t.tick + delay + 1) | 0 || 1;
	c.flags = (c.flags & ~TIMER_MASK) | (kind << TIMER_SHIFT);
	c.rtxAt = at;
	file(t, c, at);
}

export function stopRetransmitTimer(c: Connection): void {
	c.rtxAt = 0;
	c.flags &= ~TIMER_MASK;
}

/**
 * Starts what watches over data in flight: a tail loss probe where one is allowed (RFC 8985 7.2), else the RTO.
 *
 * @param fresh New data was sent: a probe is put off; a running RTO is left alone (RFC 6298 5.1).
 */
export function armRetransmit(t: Tcp, c: Connection, fresh: boolean): void {
	const { sndUna, sndNxt, flags } = c;
	if (sndUna === sndNxt) {
		stopRetransmitTimer(c);
		return;
	}
	const kind = (flags & TIMER_MASK) >> TIMER_SHIFT;
	if (c.rtxAt !== 0 && (kind === TIMER_REORDER || (kind === TIMER_RTO && fresh))) return;
	const backoff = c.retries & 0xff;
	const rto = backedOff(c, backoff, t.options);
	if ((flags & (C_SACK | C_RECOVERY | C_LOSS)) === C_SACK && c.tlpEnd === 0 && c.sacked === 0 && backoff === 0 && c.sndWnd > 0) {
		const { srtt } = c;
		let delay = srtt !== 0 ? Math.max(inMilliseconds(2 * srtt), MIN_PROBE_DELAY) : 1000;
		if (((sndNxt - sndUna) | 0) - c.lost <= c.mss) delay += WORST_ACK_DELAY;
		// RFC 8985 7.2: where the RTO would come first, the probe takes its place.
		setRetransmitTimer(t, c, TIMER_TLP, Math.min(delay, rto));
		return;
	}
	setRetransmitTimer(t, c, TIMER_RTO, rto);
}

/** Milliseconds until the next window probe: the RTO, doubled each time (RFC 9293 3.8.6.1). */
export function persistDelay(t: Tcp, c: Connection): number {
	return backedOff(c, (c.retries >> 16) & 0xff, t.options);
}

export function startSynTimer(t: Tcp, c: Connection): void {
	const backoff = c.retries & 0xff;
	setRetransmitTimer(t, c, TIMER_RTO, Math.min(t.options.initialRto * 2 ** backoff, t.options.maxRto));
}

/** Starts the delayed ACK, if it is not running. */
export function delayAck(t: Tcp, c: Connection): void {
	if (c.ackAt !== 0) return;
	c.ackAt = (t.tick + t.options.delayedAck) | 0 || 1;
	file(t, c, c.ackAt);
}

/** Output goes on when the next segment is due. @param delay Microseconds. */
export function setPaceTimer(t: Tcp, c: Connection, delay: number): void {
	c.paceAt = Math.max(t.tick + 1, Math.ceil((t.nowFull + delay) / 1000)) | 0 || 1;
	file(t, c, c.paceAt);
}

/** @param delay Milliseconds. */
export function setIdle(t: Tcp, c: Connection, delay: number): void {
	c.idleAt = (t.tick + delay) | 0 || 1;
	file(t, c, c.idleAt);
}

/** The peer of a connection that was probed lives: it may be idle again as long as at first. */
export function keepAliveAnswered(t: Tcp, c: Connection): void {
	c.retries &= 0x00ffffff;
	if ((c.flags & C_KEEPALIVE) === 0) return;
	if (c.state === FIN_WAIT_2 && (c.flags & C_DETACHED) !== 0) return;
	setIdle(t, c, c.keepIdle);
}
