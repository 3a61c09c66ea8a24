/**
 * RACK-TLP (RFC 8985): losses are found by time, not by counting duplicates.
 *
 * A page is lost when one that was sent later has been delivered and a reordering window has passed since. The window is
 * nothing while no reordering has been seen, a quarter of the smallest round-trip time once it has, and grows when DSACKs
 * show that it was too small. When the tail of a flight is silent, a probe after two round trips makes the receiver speak.
 *
 * Units: microseconds from arrival and send stamps. State: the `rack*` and `tlp*` words and the pages' send times.
 * Read first: RFC 8985 6.2 (steps 1 to 5), 7.2 to 7.4.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { type AckSummary, enterRecovery, type LossRecovery, leaveRecovery, maybeUndo, proportionalRate, recovered } from "./recovery.ts";
import { sampleRtt } from "./rto.ts";
import { inFlight, markLost, pageSpan } from "./sendqueue.ts";
import { seqGeq, seqGt, seqLt } from "./seq.ts";
import * as state from "./state.ts";
import { setRetransmitTimer } from "./timers.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_CWND_LIMITED,
	C_LOSS,
	C_MODEL,
	C_RECOVERY,
	C_REORDERED,
	C_TLP_REPEATED,
	P_LOST,
	P_FIN,
	P_RETRANSMITTED,
	P_SACKED,
	TIMER_REORDER,
} = state;

/** RFC 8985 6.2 step 4: segments SACKed that stand for reordering seen, when it comes to a window of nothing. */
const DUP_THRESH = 3;
/** RFC 8985 6.2 step 4: recoveries until the window shrinks back to its first size. */
const REO_WND_PERSIST = 16;

/** Was (time a, end a) sent after (time b, end b)? RFC 8985 5.1, RACK_sent_after. */
function sentAfter(timeA: number, endA: number, timeB: number, endB: number): boolean {
	const d = (timeA - timeB) | 0;
	return d > 0 || (d === 0 && seqGt(endA, endB));
}

/** Nothing else is out: what leaves now leaves after all that was delivered. Without this, what was noted last would be in the future after 36 minutes. */
export function restamp(t: Tcp, c: Connection): void {
	c.rackTime = (t.now - 1) | 0;
	c.rackEnd = c.sndUna;
}

function delivered(t: Tcp, c: Connection, page: number): void {
	const pool = t.pool;
	const flags = pool.flags(page);
	const sent = pool.time(page);
	if ((c.flags & C_MODEL) !== 0) t.model!.delivered(t, c, page);
	const { ack } = t;
	let rtt = (ack.time - sent) | 0;
	if (rtt < 1) rtt = 1;
	const { rackFack, rackRtt } = c;
	const end = (pool.seq(page) + pool.length(page) + ((flags & P_FIN) >> 4)) | 0;
	if ((flags & P_RETRANSMITTED) !== 0) {
		ack.repeated = true;
		// Step 2: an ACK sooner than the path allows, or that echoes an older timestamp, is for the original, and says nothing of the repeat.
		if (rtt < c.minRtt) return;
		// One tick of grace: the tick of sending is known only to within one.
		const sentTick = (t.tick - Math.floor(((t.now - sent) | 0) / 1000) - 1) | 0;
		if (ack.echoed && seqLt(ack.tsEcr, (sentTick + c.tsOffset) | 0)) return;
	} else {
		if (ack.firstRtt < rtt) ack.firstRtt = rtt;
		if (ack.lastRtt < 0 || ack.lastRtt > rtt) ack.lastRtt = rtt;
		// Step 3: delivered below what was delivered before, though sent once: reordering.
		if (rackRtt !== 0 && seqLt(end, rackFack)) c.flags |= C_REORDERED;
	}
	if (rackRtt === 0 || sentAfter(sent, end, c.rackTime, c.rackEnd)) {
		c.rackTime = sent;
		c.rackEnd = end;
		c.rackRtt = rtt;
	}
	if (rackFack === 0 || seqGt(end, rackFack)) c.rackFack = end;
}

/**
 * RFC 8985 6.2 step 4: a DSACK says that the reordering window was too small; once a round, that is until what is out now is acknowledged, or what
 * is sent next. Of a tail loss probe it says nothing: that one was sent for want of ACKs (Linux leaves it out as well).
 */
function needlessRepeat(c: Connection, ack: AckSummary): void {
	if ((c.flags & C_TLP_REPEATED) !== 0 && ack.dsackEnd === c.tlpEnd) return;
	const { sndUna, sndNxt, rackDsack } = c;
	const last = sndUna === sndNxt ? (sndNxt + 1) | 0 : sndNxt;
	// A round that would end beyond all that was sent is over, since 2 GiB or more.
	if (rackDsack !== 0 && !seqGeq(sndUna, rackDsack) && !seqGt(rackDsack, last)) return;
	c.rackDsack = last || 1;
	c.rackWindow = Math.min((c.rackWindow & 0xff || 1) + 1, 255) | (REO_WND_PERSIST << 8);
}

/** RFC 8985 6.2 step 4: RACK_update_reo_wnd. */
function reorderingWindow(c: Connection): number {
	const mult = c.rackWindow & 0xff || 1;
	if ((c.flags & C_REORDERED) === 0 && ((c.flags & (C_RECOVERY | C_LOSS)) !== 0 || c.sacked >= DUP_THRESH * c.mss)) return 0;
	return Math.min(mult * (c.minRtt >> 2), c.srtt);
}

/** RFC 8985 6.2 step 5: marks what is lost; returns microseconds until more may be deemed lost, 0 for never. */
function detect(t: Tcp, c: Connection, now: number): number {
	// Into a shut window nothing is sent but probes, and no ACK says that the peer did not get one.
	if (c.rackRtt === 0 || c.sndWnd === 0) return 0;
	const pool = t.pool;
	const head = c.sndHead;
	if (head === 0 || head === c.sndNext) return 0;
	// Nothing SACKed and nothing repeated: pages were sent in order, so the first one is the oldest.
	if (c.sacked === 0 && (c.flags & (C_RECOVERY | C_LOSS)) === 0) {
		if (!sentAfter(c.rackTime, c.rackEnd, pool.time(head), (pool.seq(head) + pageSpan(t, head)) | 0)) return 0;
	}
	const window = reorderingWindow(c);
	let timeout = 0;
	for (let page = head; page !== 0 && page !== c.sndNext; page = pool.next(page)) {
		if ((pool.flags(page) & (P_SACKED | P_LOST)) !== 0) continue;
		const sent = pool.time(page);
		if (!sentAfter(c.rackTime, c.rackEnd, sent, (pool.seq(page) + pageSpan(t, page)) | 0)) continue;
		const remaining = (sent + c.rackRtt + window - now) | 0;
		if (remaining <= 0) markLost(t, c, page);
		else if (remaining > timeout) timeout = remaining;
	}
	return timeout;
}

/** RFC 8985 7.4.2: what the ACK says of the tail loss probe. */
function probeAnswered(t: Tcp, c: Connection, ack: AckSummary, flight: number): void {
	const { sndUna, tlpEnd, flags } = c;
	if (!seqGeq(sndUna, tlpEnd)) return;
	const repeated = (flags & C_TLP_REPEATED) !== 0;
	const beyond = seqGt(sndUna, tlpEnd);
	if (repeated && !ack.dsack && !beyond && !(ack.duplicate && ack.sacked === 0)) return;
	c.tlpEnd = 0;
	c.flags = flags & ~C_TLP_REPEATED;
	if (!repeated) return;
	if (ack.dsack) {
		// The ACK before was for the original or for the probe, but this one is for the copy that came second: no sooner than the probe allows.
		const rtt = (ack.time - c.prrFlight) | 0;
		if (ack.dsackEnd === tlpEnd && rtt > 0 && rtt <= t.options.maxRto * 1000) sampleRtt(c, rtt, t.options);
	} else if (beyond && (flags & (C_RECOVERY | C_LOSS)) === 0) {
		// The probe repaired a loss that nobody else noticed: react to it once.
		t.congestion.lossDetected(c, flight);
		if ((flags & C_MODEL) === 0) c.cwnd = Math.min(c.cwnd, c.ssthresh);
	}
}

function idleAck(t: Tcp, c: Connection, ack: AckSummary): void {
	if (ack.dsack) needlessRepeat(c, ack);
	if ((c.flags & C_TLP_REPEATED) !== 0) probeAnswered(t, c, ack, 0);
}

function acknowledged(t: Tcp, c: Connection, ack: AckSummary): void {
	const flight = inFlight(c) + ack.acked + ack.sacked;
	const lostBefore = c.lost;
	if (ack.dsack) needlessRepeat(c, ack);
	if (c.tlpEnd !== 0) probeAnswered(t, c, ack, flight);
	if (c.undoCwnd !== 0 && maybeUndo(t, c, ack)) c.flags &= ~C_CWND_LIMITED;
	if ((c.flags & (C_RECOVERY | C_LOSS)) !== 0 && recovered(c)) {
		if ((c.flags & C_RECOVERY) !== 0) {
			if ((c.flags & C_MODEL) === 0) c.cwnd = c.ssthresh;
			const persist = (c.rackWindow >> 8) & 0xff;
			if (persist > 0) c.rackWindow = persist === 1 ? 1 : (c.rackWindow & 0xff) | ((persist - 1) << 8);
		}
		leaveRecovery(c);
	}
	const timeout = detect(t, c, ack.time);
	const { flags, lost } = c;
	const newlyLost = lost - lostBefore;
	if ((flags & (C_RECOVERY | C_LOSS)) === 0) {
		if (lost > 0) {
			enterRecovery(t, c, flight);
			proportionalRate(c, ack.acked + ack.sacked, false);
		} else t.grow(c, ack);
	} else if ((flags & C_RECOVERY) !== 0) {
		proportionalRate(c, ack.acked + ack.sacked, ack.acked > 0 && newlyLost <= 0);
	} else t.grow(c, ack);
	if ((flags & C_MODEL) !== 0) t.model!.acknowledgedAll(t, c, ack, Math.max(newlyLost, 0));
	if (timeout > 0) setRetransmitTimer(t, c, TIMER_REORDER, Math.ceil(timeout / 1000));
}

function reorderTimer(t: Tcp, c: Connection): void {
	const flight = inFlight(c);
	const timeout = detect(t, c, t.now);
	if (c.lost > 0 && (c.flags & (C_RECOVERY | C_LOSS)) === 0) {
		enterRecovery(t, c, flight);
		proportionalRate(c, 0, false);
	}
	if (timeout > 0) setRetransmitTimer(t, c, TIMER_REORDER, Math.ceil(timeout / 1000));
}

export const rackRecovery: LossRecovery = { delivered, acknowledged, idleAck, reorderTimer };
