/**
 * Loss recovery: what is lost, and how many bytes may leave while it is repaired.
 *
 * Hides how acknowledgments become marks on pages. Two ways to find losses stand behind one interface: RACK-TLP (rack.ts)
 * for peers with SACK, duplicate ACKs (dupack.ts) for those without. What both share is here: entering and leaving
 * recovery, proportional rate reduction (RFC 6937), the time-out (RFC 6298 5, RFC 5681 3.1), and taking a reduction back
 * when it proves needless (RFC 4015 with the timestamps of RFC 3522).
 *
 * Recovery decides what is lost; congestion control (congestion.ts) is told so and decides `ssthresh`.
 */
import type { Connection } from "./connection.gen.ts";
import { dupAckRecovery } from "./dupack.ts";
import type { Tcp } from "./engine.ts";
import { rackRecovery } from "./rack.ts";
import { forgetSacks, inFlight, markAllLost, unmarkLost } from "./sendqueue.ts";
import { seqGeq, seqLt } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_LOSS, C_MODEL, C_RECOVERY, C_SACK, C_TLP_REPEATED, C_TS, P_SACKED } = state;

/** What one ACK said; one object per engine, filled by input.ts. */
export class AckSummary {
	/** `sndUna` before it. */
	priorUna = 0;
	/** Bytes acknowledged cumulatively that were not SACKed before. */
	acked = 0;
	/** Bytes SACKed for the first time. */
	sacked = 0;
	/** It repeats the last ACK: RFC 5681 2. */
	duplicate = false;
	/** It reported a duplicate (RFC 2883), which ended here. */
	dsack = false;
	dsackEnd = 0;
	/** Round-trip times in microseconds of the first and the last page acknowledged that were sent once; -1: none. */
	firstRtt = -1;
	lastRtt = -1;
	/** It covers something that was sent more than once: what was sent once below it waited for that, and gives no sample (Karn). */
	repeated = false;
	/** Arrival time. */
	time = 0;
	/** Echoed timestamp, if `echoed`. */
	tsEcr = 0;
	echoed = false;
}

export interface LossRecovery {
	/** A page was acknowledged or SACKed for the first time. */
	delivered(t: Tcp, c: Connection, page: number): void;
	/** All of an ACK was taken in: find losses, enter, go on with or leave recovery. */
	acknowledged(t: Tcp, c: Connection, ack: AckSummary): void;
	/** An ACK repeats the last one while nothing is out: it reports a duplicate, or a tail loss probe waits for its answer (RACK only). */
	idleAck(t: Tcp, c: Connection, ack: AckSummary): void;
	/** The reordering timer expired (RACK only). */
	reorderTimer(t: Tcp, c: Connection): void;
}

/** The way in which losses of this connection are found. */
export function recoveryOf(c: Connection): LossRecovery {
	return (c.flags & C_SACK) !== 0 ? rackRecovery : dupAckRecovery;
}

/** Losses were found in open state: one reduction for all of this window (RFC 5681 3.2, RFC 6675 5). */
export function enterRecovery(t: Tcp, c: Connection, flight: number): void {
	c.flags = (c.flags & ~C_TLP_REPEATED) | C_RECOVERY;
	c.recover = c.sndNxt;
	c.undoCwnd = c.cwnd;
	c.undoSsthresh = c.ssthresh;
	c.undoTs = 0;
	t.congestion.lossDetected(c, flight);
	c.prrDelivered = 0;
	c.prrOut = 0;
	c.prrFlight = Math.max(flight, c.mss);
	// RFC 8985 7.1: what a probe was to find out is known.
	c.tlpEnd = 0;
	t.counters.fastRecoveries++;
}

/** RFC 6937 3: sets `cwnd` so that what may leave now follows what has been delivered. `progress`: una advanced and nothing new is lost. */
export function proportionalRate(c: Connection, delivered: number, progress: boolean): void {
	if ((c.flags & C_MODEL) !== 0) return;
	c.prrDelivered += delivered;
	const pipe = inFlight(c);
	let send: number;
	if (pipe > c.ssthresh) {
		send = Math.ceil((c.prrDelivered * c.ssthresh) / c.prrFlight) - c.prrOut;
	} else {
		// Slow start reduction bound, with the conservative bound while losses go on (RFC 9937).
		let limit = Math.max(c.prrDelivered - c.prrOut, delivered);
		if (progress) limit += c.mss;
		send = Math.min(c.ssthresh - pipe, limit);
	}
	// The fast retransmit itself is never held back.
	if (c.prrOut === 0) send = Math.max(send, c.mss);
	// Not below the loss window (RFC 5681 3.1): with nothing in flight a segment leaves all the same, and a time-out takes half of what stands here.
	c.cwnd = Math.max(pipe + Math.max(send, 0), c.mss);
}

/** RFC 6937 3, end of recovery. */
export function leaveRecovery(c: Connection): void {
	c.flags &= ~(C_RECOVERY | C_LOSS);
	c.undoCwnd = 0;
}

/** The retransmission timer expired (RFC 6298 5.4 to 5.7, RFC 5681 3.1, RFC 8985 6.3). */
export function retransmissionTimeout(t: Tcp, c: Connection): void {
	t.counters.timeouts++;
	const backoff = c.retries & 0xff;
	if ((c.flags & C_LOSS) === 0) {
		const flight = inFlight(c) + c.lost;
		if ((c.flags & C_RECOVERY) === 0) {
			c.undoCwnd = c.cwnd;
			c.undoSsthresh = c.ssthresh;
		}
		t.congestion.timedOut(c, flight);
		c.undoTs = 0;
	}
	c.flags = (c.flags & ~(C_RECOVERY | C_TLP_REPEATED)) | C_LOSS;
	c.recover = c.sndNxt;
	// RFC 2018 8: after a time-out the segment at the left edge goes again, SACKed or not; a second time-out in a row means that the
	// peer has dropped what it had SACKed.
	if (c.sacked > 0 && (backoff > 0 || (t.pool.flags(c.sndHead) & P_SACKED) !== 0)) forgetSacks(t, c);
	markAllLost(t, c);
	c.cwnd = c.mss;
	c.tlpEnd = 0;
}

/**
 * RFC 3522, RFC 4015: the first ACK that advances after a retransmission echoes a timestamp from before it, so the original
 * had arrived: the reduction was needless and is taken back.
 */
export function maybeUndo(t: Tcp, c: Connection, ack: AckSummary): boolean {
	if (c.undoCwnd === 0 || c.undoTs === 0 || !ack.echoed || (c.flags & C_TS) === 0) return false;
	// Holes before the one that was repeated may have been filled by other repeats: only an ACK of that segment tells.
	if (ack.acked === 0 || seqLt(c.sndUna, c.undoEnd)) return false;
	const spurious = seqLt(ack.tsEcr, c.undoTs);
	const window = c.undoCwnd;
	// Only the first ACK after the retransmission tells originals from repeats.
	c.undoTs = 0;
	if (!spurious) return false;
	unmarkLost(t, c);
	c.cwnd = Math.max(c.cwnd, window);
	c.ssthresh = c.undoSsthresh;
	leaveRecovery(c);
	t.congestion.undone?.(c);
	t.counters.spuriousRecoveries++;
	return true;
}

/** Whether everything outstanding when recovery began is acknowledged. */
export function recovered(c: Connection): boolean {
	return seqGeq(c.sndUna, c.recover);
}
