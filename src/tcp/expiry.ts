/**
 * Expiry: what happens when a timer of a connection fires.
 *
 * Hides what an expired retransmission timer stands for (a time-out, a tail loss probe, a reordering window, a shut window), and what
 * follows: something is sent once more, or the connection is given up. When timers are set, and how they are filed, is in timers.ts.
 * Nothing here runs while segments come as they should.
 *
 * Read first: RFC 6298 5.4 to 5.7, RFC 8985 7.3, RFC 9293 3.8.4 and 3.8.6.1.
 */
import { finished, reset } from "./closing.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { output, sendKeepAlive, transmit } from "./output.ts";
import { restamp } from "./rack.ts";
import { recoveryOf, retransmissionTimeout } from "./recovery.ts";
import { backedOff } from "./rto.ts";
import { inFlight, ownPage, pageSpan, splitPage } from "./sendqueue.ts";
import { seqLeq } from "./seq.ts";
import {
	C_ACK_NOW,
	C_CWND_LIMITED,
	C_DETACHED,
	C_KEEPALIVE,
	C_LOSS,
	C_MODEL,
	C_NODELAY,
	C_ONE_WAY,
	C_RECOVERY,
	C_SEND_SYN,
	C_SYN_RETRANSMITTED,
	C_TLP_REPEATED,
	CLOSED,
	ERR_NONE,
	ERR_TIMEOUT,
	ESTABLISHED,
	FIN_WAIT_2,
	P_RETRANSMITTED,
	P_SACKED,
	P_SENT,
	SYN_RECEIVED,
	SYN_SENT,
	TIMER_PERSIST,
	TIMER_REORDER,
	TIMER_RTO,
	TIMER_TLP,
} from "./state.ts";
import { armRetransmit, persistDelay, refile, setIdle, setRetransmitTimer, stopRetransmitTimer, timerKind } from "./timers.ts";

/** A deadline of connection `index` may have come: fires what is due. */
export function timersDue(t: Tcp, index: number): void {
	const c = t.at(index);
	const generation = c.generation;
	if (c.ackAt !== 0 && seqLeq(c.ackAt, t.tick)) {
		c.ackAt = 0;
		c.flags |= C_ACK_NOW | C_ONE_WAY;
		t.counters.delayedAcks++;
		t.queueOutput(c, 1);
	}
	if (c.paceAt !== 0 && seqLeq(c.paceAt, t.tick)) {
		c.paceAt = 0;
		t.queueOutput(c, 2);
	}
	if (c.rtxAt !== 0 && seqLeq(c.rtxAt, t.tick)) {
		const kind = timerKind(c);
		stopRetransmitTimer(c);
		retransmissionDue(t, c, kind);
	}
	if (c.generation === generation && c.state !== CLOSED && c.idleAt !== 0 && seqLeq(c.idleAt, t.tick)) {
		c.idleAt = 0;
		idleDue(t, c);
	}
	if (c.generation !== generation || c.state === CLOSED) return;
	refile(t, c);
}

/** The retransmission timer fired, with the meaning `kind`. */
function retransmissionDue(t: Tcp, c: Connection, kind: number): void {
	if (c.state === SYN_SENT || c.state === SYN_RECEIVED) {
		synTimeout(t, c);
		return;
	}
	if (kind === TIMER_REORDER) {
		recoveryOf(c).reorderTimer(t, c);
		if (c.rtxAt === 0) armRetransmit(t, c, false);
		t.queueOutput(c, 2);
		return;
	}
	if (kind === TIMER_PERSIST || (c.sndWnd === 0 && kind !== TIMER_TLP)) {
		probeWindow(t, c);
		return;
	}
	if (kind === TIMER_TLP) {
		// RFC 8985 7.2: not in recovery, which may have begun while the timer ran.
		if ((c.flags & (C_RECOVERY | C_LOSS)) !== 0) armRetransmit(t, c, false);
		else probeTail(t, c);
		return;
	}
	if (c.sndUna === c.sndNxt) return;
	const backoff = (c.retries & 0xff) + 1;
	if (backoff > t.options.retries) {
		finished(t, c, ERR_TIMEOUT);
		return;
	}
	retransmissionTimeout(t, c);
	c.retries = (c.retries & ~0xff) | backoff;
	setRetransmitTimer(t, c, TIMER_RTO, backedOff(c, backoff, t.options));
	t.queueOutput(c, 2);
}

function synTimeout(t: Tcp, c: Connection): void {
	const backoff = (c.retries & 0xff) + 1;
	const limit = c.state === SYN_SENT ? t.options.synRetries : t.options.synAckRetries;
	if (backoff > limit) {
		finished(t, c, ERR_TIMEOUT);
		return;
	}
	c.retries = (c.retries & ~0xff) | backoff;
	c.retransmits++;
	t.counters.retransmits++;
	t.counters.timeouts++;
	c.flags |= C_SEND_SYN | C_SYN_RETRANSMITTED;
	t.queueOutput(c, 0);
}

/** RFC 9293 3.8.6.1: at least one octet of new data into a window of zero (or too small), for as long as it is answered. */
function probeWindow(t: Tcp, c: Connection): void {
	const probes = Math.min(((c.retries >> 16) & 0xff) + 1, 255);
	// Never given up while the peer answers; only when it has been silent for as many intervals as data would be sent again, and for as many
	// probes: it may have been silent long before the first, for nobody asked.
	if (probes > t.options.retries) {
		if ((t.tick - c.lastHeard) >>> 0 > t.options.retries * persistDelay(t, c)) {
			finished(t, c, ERR_TIMEOUT);
			return;
		}
		// RFC 6429 3: as long as it answers a peer may keep its window shut, but nobody is left here who could grow tired of it.
		if ((c.flags & C_DETACHED) !== 0) {
			t.counters.timedOut++;
			reset(t, c);
			return;
		}
	}
	c.retries = (c.retries & ~0xff0000) | (probes << 16);
	t.counters.windowProbes++;
	// A byte now and then says nothing of what the path can carry.
	if ((c.flags & C_MODEL) !== 0) t.model!.appLimited(c);
	let page = c.sndHead;
	if (page !== 0) {
		const room = Math.max(1, Math.min((c.sndUna + c.sndWnd - t.pool.seq(page)) | 0, c.mss));
		if (page === c.sndNext) {
			if (t.pool.length(page) > room && !splitPage(t, c, page, room)) page = 0;
			else {
				restamp(t, c);
				c.sndNext = t.pool.next(page);
				c.sndNxt = (c.sndNxt + pageSpan(t, page)) | 0;
				t.pool.setFlags(page, t.pool.flags(page) | P_SENT | P_RETRANSMITTED);
			}
		} else {
			page = t.pool.length(page) > room && !splitPage(t, c, page, room) ? 0 : ownPage(t, c, page, 0);
			if (page !== 0) {
				t.pool.setFlags(page, t.pool.flags(page) | P_RETRANSMITTED);
				if (t.pool.next(page) === c.sndNext) restamp(t, c);
			}
		}
		if (page !== 0) {
			transmit(t, c, page);
			t.onWork();
		}
	}
	if (page === 0) {
		// Without a page for what is cut off: a probe of nothing draws the same answer.
		sendKeepAlive(t, c);
		t.onWork();
	}
	setRetransmitTimer(t, c, TIMER_PERSIST, persistDelay(t, c));
}

/** RFC 8985 7.3: new data if there is some, else the last segment once more. */
function probeTail(t: Tcp, c: Connection): void {
	if (c.sndUna === c.sndNxt) return;
	t.counters.tailLossProbes++;
	const before = c.sndNxt;
	let probed = false;
	if (c.sndNext !== 0 && t.pool.length(c.sndNext) > c.mss) splitPage(t, c, c.sndNext, c.mss);
	if (c.sndNext !== 0 && t.pool.length(c.sndNext) <= ((c.sndUna + c.sndWnd - c.sndNxt) | 0)) {
		// One segment more than the window allows.
		const cwnd = c.cwnd;
		c.cwnd = inFlight(c) + c.mss;
		const nagle = c.flags & C_NODELAY;
		c.flags |= C_NODELAY;
		output(t, c);
		if (nagle === 0) c.flags &= ~C_NODELAY;
		c.cwnd = cwnd;
		c.flags &= ~(C_CWND_LIMITED | C_TLP_REPEATED);
	}
	if (c.sndNxt !== before) probed = true;
	else {
		let last = 0;
		let beforeLast = 0;
		let prev = 0;
		for (let page = c.sndHead; page !== 0 && page !== c.sndNext; prev = page, page = t.pool.next(page)) {
			if ((t.pool.flags(page) & P_SACKED) === 0) {
				last = page;
				beforeLast = prev;
			}
		}
		// Of a slab in as many pieces as it may have the last segment cannot be cut off.
		const segment = last === 0 ? 0 : lastSegment(t, c, last);
		last = segment === 0 ? 0 : ownPage(t, c, segment, segment === last ? beforeLast : last);
		if (last !== 0) {
			probed = true;
			t.pool.setFlags(last, t.pool.flags(last) | P_RETRANSMITTED);
			c.retransmits++;
			t.counters.retransmits++;
			c.flags |= C_TLP_REPEATED;
			c.prrFlight = t.now;
			transmit(t, c, last);
		}
	}
	// Without a probe there is no answer to wait for; the time-out is what is left.
	c.tlpEnd = probed ? c.sndNxt || 1 : 0;
	setRetransmitTimer(t, c, TIMER_RTO, backedOff(c, 0, t.options));
	t.onWork();
}

/** The last segment of a page that may hold several. */
function lastSegment(t: Tcp, c: Connection, page: number): number {
	const length = t.pool.length(page);
	if (length <= c.mss) return page;
	return splitPage(t, c, page, length - (length % c.mss || c.mss)) ? t.pool.next(page) : 0;
}

/** The idle timer fired: FIN-WAIT-2 ends, a silent peer is probed. */
function idleDue(t: Tcp, c: Connection): void {
	if (c.state === FIN_WAIT_2 && (c.flags & C_DETACHED) !== 0) {
		finished(t, c, ERR_NONE);
		return;
	}
	if ((c.flags & C_KEEPALIVE) === 0 || c.state < ESTABLISHED) return;
	if (c.sndHead !== 0) {
		// RFC 9293 3.8.4, MUST-26: only while no data is outstanding; what is out has its own timer.
		setIdle(t, c, c.keepIdle);
		return;
	}
	const idle = (t.tick - c.lastHeard) | 0;
	const probes = (c.retries >>> 24) & 0xff;
	if (idle < c.keepIdle) {
		c.retries &= 0x00ffffff;
		setIdle(t, c, c.keepIdle - idle);
		return;
	}
	if (probes >= ((c.error >>> 8) & 0xff || t.options.keepAliveProbes)) {
		finished(t, c, ERR_TIMEOUT);
		return;
	}
	c.retries = (c.retries & 0x00ffffff) | ((probes + 1) << 24);
	t.counters.keepAlives++;
	sendKeepAlive(t, c);
	t.onWork();
	setIdle(t, c, (c.error >>> 16) * 1000 || t.options.keepAliveInterval);
}
