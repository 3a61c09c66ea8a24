/**
 * What ICMP and unanswered neighbor requests tell a connection: hints, believed only where they fit it (RFC 5927).
 *
 * Read first: RFC 1122 4.2.3.9 (soft errors), RFC 1191 6.4, RFC 5927 4.
 */
import type { Unreachable } from "../ip/transport.ts";
import { finished } from "./closing.ts";
import type { Tcp } from "./engine.ts";
import { updateMss } from "./mss.ts";
import { markAllLost } from "./sendqueue.ts";
import { seqGt, seqLt } from "./seq.ts";
import { C_FRAGMENT, ERR_HOST, ERR_NET, ERR_REFUSED, ESTABLISHED, SYN_SENT } from "./state.ts";

/** Segments get no smaller than for this MTU, whoever says so: below it routers may cut them instead. */
const MIN_PATH_MTU = 296;

/** ICMP, or a neighbor that does not answer. */
export function unreachableArrives(t: Tcp, error: Unreachable): void {
	const found = t.table.lookup(0, 0, 0xffff, error.src3, error.srcPort, 0, 0, 0xffff, error.dst3, error.dstPort);
	if (found < 0) {
		t.counters.unreachableIgnored++;
		return;
	}
	const c = t.at(found);
	if (c.state === SYN_SENT) {
		if (error.reason !== "neighbor" && error.seq !== c.iss) {
			t.counters.unreachableIgnored++;
			return;
		}
		if (error.reason === "too-big") return;
		finished(t, c, error.reason === "port" || error.reason === "protocol" ? ERR_REFUSED : error.reason === "net" ? ERR_NET : ERR_HOST);
		return;
	}
	if (error.reason !== "neighbor" && (seqLt(error.seq, c.sndUna) || seqGt(error.seq, c.sndNxt))) {
		t.counters.unreachableIgnored++;
		return;
	}
	if (error.reason === "too-big" && error.mtu < t.lower.mtuTo(c.remote3) && c.state >= ESTABLISHED) {
		// RFC 1191 6.4: smaller segments from now on; what is out and too large goes again, cut.
		const before = c.mss;
		const cut = error.mtu < MIN_PATH_MTU && (c.flags & C_FRAGMENT) === 0;
		if (cut) c.flags |= C_FRAGMENT;
		updateMss(c, Math.min(Math.max(error.mtu, MIN_PATH_MTU), t.lower.mtuTo(c.remote3)) - 40);
		if (c.mss > before) c.mss = before;
		else if (c.mss < before || cut) {
			const pool = t.pool;
			let big = cut;
			for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page)) if (pool.length(page) > c.mss) big = true;
			if (big) markAllLost(t, c);
			t.queueOutput(c, 2);
		}
	}
	// All else is a soft error for a connection that stands (RFC 1122 4.2.3.9): retransmission goes on.
}
