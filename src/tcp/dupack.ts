/**
 * Loss recovery for peers without SACK: three duplicate ACKs and NewReno (RFC 5681 3.2, RFC 6582).
 *
 * The window is inflated by what the duplicates say has left the network, so `inFlight` (which cannot know it) stays
 * comparable with `cwnd`. A partial ACK names the next hole.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { type AckSummary, enterRecovery, type LossRecovery, leaveRecovery, maybeUndo, recovered } from "./recovery.ts";
import { inFlight, markHeadLost } from "./sendqueue.ts";
import { seqGt } from "./seq.ts";
import { C_LOSS, C_RECOVERY, P_RETRANSMITTED } from "./state.ts";

/** RFC 5681 3.2 */
const DUP_THRESH = 3;

function delivered(t: Tcp, c: Connection, page: number): void {
	if ((t.pool.flags(page) & P_RETRANSMITTED) !== 0) {
		t.ack.repeated = true;
		return;
	}
	const rtt = (t.ack.time - t.pool.time(page)) | 0;
	if (t.ack.firstRtt < rtt) t.ack.firstRtt = Math.max(rtt, 1);
	t.ack.lastRtt = Math.max(rtt, 1);
	if (c.minRtt === 0) c.minRtt = t.ack.lastRtt;
}

function dupAcks(c: Connection): number {
	return (c.retries >> 8) & 0xff;
}

function setDupAcks(c: Connection, n: number): void {
	c.retries = (c.retries & ~0xff00) | (Math.min(n, 255) << 8);
}

function acknowledged(t: Tcp, c: Connection, ack: AckSummary): void {
	maybeUndo(t, c, ack);
	const inRecovery = (c.flags & C_RECOVERY) !== 0;
	if (ack.acked > 0) {
		setDupAcks(c, 0);
		if (inRecovery) {
			if (recovered(c)) {
				// RFC 6582 3.2 step 3, full acknowledgment.
				c.cwnd = Math.min(c.ssthresh, Math.max(inFlight(c), c.mss) + c.mss);
				leaveRecovery(c);
			} else {
				// Step 3, partial acknowledgment: the next hole, and the window shrinks by what left it.
				markHeadLost(t, c);
				c.cwnd = Math.max(c.cwnd - ack.acked, c.mss);
				if (ack.acked >= c.mss) c.cwnd += c.mss;
			}
			return;
		}
		if ((c.flags & C_LOSS) !== 0 && recovered(c)) leaveRecovery(c);
		// Below `sndUna` it has nothing to say any more, and 2 GiB later would seem to be above.
		if (c.recover !== 0 && seqGt(c.sndUna, c.recover)) c.recover = 0;
		t.grow(c, ack);
		return;
	}
	if (!ack.duplicate) return;
	const n = dupAcks(c) + 1;
	setDupAcks(c, n);
	// RFC 5681 3.2, 4: by what has left the network, which is no more than was out when recovery began, however many duplicates somebody makes.
	if (inRecovery) c.cwnd = Math.min(c.cwnd + c.mss, c.ssthresh + c.prrFlight);
	else if (n === DUP_THRESH && (c.flags & C_LOSS) === 0 && (c.recover === 0 || seqGt(c.sndUna, c.recover))) {
		enterRecovery(t, c, inFlight(c));
		markHeadLost(t, c);
		c.cwnd = c.ssthresh + DUP_THRESH * c.mss;
	}
}

/** Without SACK an ACK says nothing of what has arrived twice, */
function idleAck(): void {}

/** nor is there such a timer. */
function reorderTimer(): void {}

export const dupAckRecovery: LossRecovery = { delivered, acknowledged, idleAck, reorderTimer };
