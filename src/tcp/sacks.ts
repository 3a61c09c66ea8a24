/**
 * SACK blocks that came: they become marks on the pages of the send segment (RFC 2018, RFC 6675), and reports of duplicates (RFC 2883).
 *
 * Hides that a page may be a slice of many segments: it is cut where a block begins or ends, at the border of a segment.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { recoveryOf } from "./recovery.ts";
import { pageSpan, splitPage } from "./sendqueue.ts";
import { seqGeq, seqGt, seqLeq, seqLt } from "./seq.ts";
import { P_LOST, P_SACKED, P_SENT } from "./state.ts";

/** Marks what SACK blocks cover (RFC 2018, RFC 6675), and sees duplicates that they report (RFC 2883 4). */
export function takeSacks(t: Tcp, c: Connection, ack: number): void {
	const pool = t.pool;
	const { sackEdges, sackCount } = t.segmentOptions;
	const summary = t.ack;
	const recovery = recoveryOf(c);
	for (let i = 0; i < sackCount; i++) {
		const left = sackEdges[2 * i]!;
		const right = sackEdges[2 * i + 1]!;
		if (seqGeq(left, right)) continue;
		t.counters.sackBlocksIn++;
		if (i === 0) {
			// RFC 2883 5: below the cumulative ACK, or inside the second block: a duplicate report.
			const inside = sackCount > 1 && seqGeq(left, sackEdges[2]!) && seqLeq(right, sackEdges[3]!);
			if (seqLeq(right, ack) || inside) {
				summary.dsack = true;
				t.counters.dsacksIn++;
				continue;
			}
		}
		if (seqLeq(right, c.sndUna) || seqGt(right, c.sndNxt)) continue;
		for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page)) {
			const seq = pool.seq(page);
			if (seqGeq(seq, right)) break;
			const flags = pool.flags(page);
			if ((flags & P_SACKED) !== 0) continue;
			const slice = pool.isSlice(page);
			if (seqLt(seq, left)) {
				if (slice) cutSegments(t, c, page, (left - seq + c.mss - 1) | 0);
				continue;
			}
			let span = pageSpan(t, page);
			if (seqGt((seq + span) | 0, right)) {
				if (!slice || !cutSegments(t, c, page, (right - seq) | 0)) break;
				span = pageSpan(t, page);
			}
			if ((flags & P_LOST) !== 0) c.lost -= span;
			// Not `flags`: a cut has left the FIN with the rest.
			pool.setFlags(page, (pool.flags(page) & ~P_LOST) | P_SACKED | P_SENT);
			c.sacked += span;
			summary.sacked += span;
			recovery.delivered(t, c, page);
		}
	}
}

/** Cuts a slice where its last whole segment within `bytes` ends. False if there is nothing to cut. Never within a segment: the peer would have us cut bytes. */
function cutSegments(t: Tcp, c: Connection, slice: number, bytes: number): boolean {
	const whole = bytes - (bytes % c.mss);
	return whole > 0 && whole < t.pool.length(slice) && splitPage(t, c, slice, whole);
}
