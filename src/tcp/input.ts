/**
 * Input: what a segment does to its connection, in the order of RFC 9293 3.10.7.
 *
 * Hides the RFC's cases behind one function per step. The segment's fields are locals and the engine's scratch objects;
 * nothing is allocated. A segment that is not acceptable changes nothing but counters and, where the RFC says so, sends an
 * ACK or a RST; that of a probe, which ends where the window begins, is heard as an ACK (`outside`).
 *
 * Read first: RFC 9293 3.10.7.1 to 3.10.7.4, RFC 5961 3 to 5, RFC 7323 4.3 and 5, RFC 6191.
 */
import type { IpPacket } from "../ip/transport.ts";
import * as tcp from "../wire/tcp.ts";
import {
	acknowledgment,
	destinationPort,
	flags as flagsOf,
	headerLength,
	parseTcpOptions,
	sequence,
	sourcePort,
	window as windowOf,
} from "../wire/tcp.ts";
import { enterTimeWait, finished, reset } from "./closing.ts";
import { initialWindow } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { noConnection, sendStrayReset, takeSyn } from "./listen.ts";
import { established } from "./opening.ts";
import { checksumRight } from "./output.ts";
import { paceByWindow } from "./pacing.ts";
import { receiveData, receiveLanding } from "./receive.ts";
import { type AckSummary, recoveryOf } from "./recovery.ts";
import { keepBackoff, sampleEcho, sampleRtt } from "./rto.ts";
import { takeSacks } from "./sacks.ts";
import { acknowledge, inFlight, markDropped } from "./sendqueue.ts";
import { seqGeq, seqGt, seqLeq, seqLt } from "./seq.ts";
import * as state from "./state.ts";
import { armRetransmit, delayAck, keepAliveAnswered, setIdle, stopRetransmitTimer, timerKind } from "./timers.ts";
import { timeWaitArrives } from "./timewait.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_ACK_NOW,
	C_DETACHED,
	C_FIN_ACKED,
	C_FIN_PENDING,
	C_FIN_RECEIVED,
	C_FINISHED,
	C_HELD,
	C_MODEL,
	C_ONE_WAY,
	C_PASSIVE,
	C_PURE_ACK,
	C_SACK,
	C_SEND_SYN,
	C_SYN_RETRANSMITTED,
	C_TLP_REPEATED,
	C_TS,
	CLOSE_WAIT,
	CLOSING,
	E_ACCEPT,
	E_CONNECTED,
	E_ENDED,
	E_READABLE,
	ERR_NONE,
	ERR_REFUSED,
	ERR_RESET,
	ESTABLISHED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	LAST_ACK,
	SYN_RECEIVED,
	SYN_SENT,
	TIMER_PERSIST,
	TIMER_REORDER,
} = state;
const { ACK, FIN, RST, SYN, TCP_HEADER } = tcp;

/** Segments at the start of a connection that are acknowledged at once, so that the peer's slow start is not held up (as Linux does). */
const QUICK_ACKS = 16;

/** Sequence numbers that a window probe takes at most: a byte, and a FIN. */
const PROBE = 2;
/** Probes of a connection are answered beside the common limit if the last was so many ms ago: as often as Linux answers one (tcp_invalid_ratelimit). */
const PROBE_INTERVAL = 500;

/** RFC 7323 5.5: 24 days, in milliseconds: before a clock that ticks every millisecond has turned half round. */
const PAWS_IDLE = 24 * 86_400_000;

/** A segment arrives. True if its page was kept. */
export function segmentArrives(t: Tcp, packet: IpPacket): boolean {
	const u8 = t.u8;
	const at = packet.start;
	const counters = t.counters;
	counters.segmentsIn++;
	const header = packet.length >= TCP_HEADER ? headerLength(u8, at) : 0;
	if (header < TCP_HEADER || header > packet.length) {
		counters.badHeader++;
		return false;
	}
	if (!checksumRight(t, at, packet.length, packet.src3, packet.dst3, packet.flags)) {
		counters.badChecksum++;
		return false;
	}
	const remotePort = sourcePort(u8, at);
	const localPort = destinationPort(u8, at);
	// RFC 1122 4.2.3.10: no connection with a broadcast or multicast address.
	if (packet.broadcast || remotePort === 0 || localPort === 0) {
		counters.badAddress++;
		return false;
	}
	if (!parseTcpOptions(u8, at + TCP_HEADER, header - TCP_HEADER, t.segmentOptions)) {
		counters.badOptions++;
		return false;
	}
	const found = t.table.lookup(
		packet.dst0,
		packet.dst1,
		packet.dst2,
		packet.dst3,
		localPort,
		packet.src0,
		packet.src1,
		packet.src2,
		packet.src3,
		remotePort,
	);
	const bits = flagsOf(u8, at);
	const seq = sequence(u8, at);
	const ack = acknowledgment(u8, at);
	const length = packet.length + packet.more - header;
	counters.bytesIn += length;
	if (found >= 0) {
		const c = t.at(found);
		c.segmentsIn++;
		if (c.state === SYN_SENT) return synSentArrives(t, c, packet, bits, seq, ack, at + header, length);
		return synchronizedArrives(t, c, packet, bits, seq, ack, at + header, length);
	}
	if (found < -1 && !timeWaitArrives(t, found, packet, bits, seq, ack, length, localPort, remotePort)) return false;
	return noConnection(t, packet, bits, seq, ack, length, localPort, remotePort, found);
}

/** RFC 9293 3.10.7.3: SYN-SENT. */
function synSentArrives(
	t: Tcp,
	c: Connection,
	packet: IpPacket,
	bits: number,
	seq: number,
	ack: number,
	data: number,
	length: number,
): boolean {
	// First, the ACK bit.
	if ((bits & ACK) !== 0 && (seqLeq(ack, c.iss) || seqGt(ack, c.sndNxt))) {
		t.counters.badAck++;
		if ((bits & RST) === 0) sendStrayReset(t, c.local3, c.localPort, c.remote3, c.remotePort, seq, ack, true, 0);
		return false;
	}
	// Second, the RST bit.
	if ((bits & RST) !== 0) {
		if ((bits & ACK) === 0) {
			t.counters.resetOutsideWindow++;
			return false;
		}
		t.counters.resetsIn++;
		finished(t, c, ERR_REFUSED);
		return false;
	}
	// Fourth, the SYN bit.
	if ((bits & SYN) === 0) {
		t.counters.noAck++;
		return false;
	}
	takeSyn(t, c, packet, seq);
	if ((bits & ACK) === 0) {
		// Simultaneous open.
		c.state = SYN_RECEIVED;
		c.flags |= C_SEND_SYN;
		c.retries &= ~0xff;
		t.queueOutput(c, 0);
		return false;
	}
	t.ack.time = packet.time;
	c.sndUna = ack;
	c.sndWl2 = ack;
	established(t, c);
	c.flags |= C_ACK_NOW;
	t.queueOutput(c, 1);
	t.raise(c, E_CONNECTED);
	// Data and FIN on the SYN-ACK: go on at the sixth step.
	if (length > 0 || (bits & FIN) !== 0) {
		c.rcvAdv = (c.rcvNxt + Math.min(c.rcvBuf, 65535)) | 0;
		return text(t, c, packet, data, length, (seq + 1) | 0, bits);
	}
	return false;
}

/** RFC 9293 3.10.7.4: every state from SYN-RECEIVED on. */
function synchronizedArrives(
	t: Tcp,
	c: Connection,
	packet: IpPacket,
	bits: number,
	seq: number,
	ack: number,
	data: number,
	length: number,
): boolean {
	const options = t.segmentOptions;
	const { tsVal } = options;
	const { tick } = t;
	const span = length + (bits & FIN) + ((bits & SYN) >> 1);
	const stamped = options.timestamps && (c.flags & C_TS) !== 0;
	let fresh = stamped;
	if (stamped) {
		// RFC 7323 5.5: after so long a silence the timestamp noted last says nothing any more.
		if ((tick - c.lastHeard) >>> 0 > PAWS_IDLE) {
			// Only what is acceptable, or a probe, ends the silence: else anybody could send one segment that makes all others look old.
			if (!acceptable(c, seq, span)) return outside(t, c, packet, seq, ack, bits, length, span);
			if (mayEcho(c, bits, ack)) c.tsRecent = tsVal;
		}
		fresh = seqGeq(tsVal, c.tsRecent);
	}

	// RFC 7323 5.3: PAWS, before the sequence check. A segment without timestamps is let through: some peers leave them out.
	if (stamped && !fresh && (bits & (RST | SYN)) === 0) {
		t.counters.pawsRejected++;
		ackOutside(t, c, span);
		return false;
	}

	// First, the sequence number.
	if (!acceptable(c, seq, span)) return outside(t, c, packet, seq, ack, bits, length, span);
	c.lastHeard = tick;
	if (c.retries >>> 24 !== 0) keepAliveAnswered(t, c);

	// RFC 7323 4.3: the timestamp to echo is that of the segment that covers the last ACK sent.
	if (fresh && seqLeq(seq, c.lastAckSent) && mayEcho(c, bits, ack)) c.tsRecent = tsVal;

	// Second to fifth: a segment with ACK, without RST and SYN goes on.
	if ((bits & (RST | SYN | ACK)) !== ACK) {
		unusual(t, c, seq, bits);
		return false;
	}
	if (c.state === SYN_RECEIVED) {
		// A SYN-ACK that is held back has not been sent: nobody can have seen its number.
		if (seqLeq(ack, c.sndUna) || seqGt(ack, c.sndNxt) || (c.flags & C_HELD) !== 0) {
			t.counters.badAck++;
			sendStrayReset(t, c.local3, c.localPort, c.remote3, c.remotePort, seq, ack, true, 0);
			return false;
		}
		c.sndWnd = windowOf(t.u8, packet.start) << c.sndScale;
		c.sndWndMax = c.sndWnd;
		c.sndWl1 = seq;
		acknowledgeSyn(t, c, packet, ack);
	} else if (!ackArrives(t, c, packet, seq, ack, bits, length)) return false;

	// Sixth to eighth: text and FIN.
	if (length > 0 || (bits & FIN) !== 0) return text(t, c, packet, data, length, seq, bits);
	return false;
}

/**
 * Whether a segment's timestamp may be noted: only that of one which the fifth step takes (RFC 5961 5.2). Who guesses a number in the window, and
 * no acknowledgment, could else make all that the peer sends look old (RFC 7323 5.3), for ever.
 */
function mayEcho(c: Connection, bits: number, ack: number): boolean {
	if ((bits & (RST | SYN | ACK)) !== ACK || seqGt(ack, c.sndNxt)) return false;
	const behind = (c.sndUna - ack) | 0;
	return c.state === SYN_RECEIVED ? behind < 0 : behind <= c.sndWndMax;
}

/** First: what lies outside of the window. */
function outside(t: Tcp, c: Connection, packet: IpPacket, seq: number, ack: number, bits: number, length: number, span: number): boolean {
	if ((bits & RST) !== 0) {
		t.counters.resetOutsideWindow++;
		return false;
	}
	if (c.state === SYN_RECEIVED && (bits & SYN) !== 0 && seq === c.irs) {
		// The SYN again: our SYN-ACK got lost. (RFC 9293 asks for an ACK, which would not open the peer; all stacks repeat the SYN-ACK.)
		if ((bits & ACK) !== 0 && ack === c.sndNxt && (c.flags & C_HELD) === 0) return acknowledgeSyn(t, c, packet, ack);
		t.counters.duplicateSegments++;
		if ((c.flags & C_HELD) === 0) {
			// What was sent already is now sent twice: its ACK will not say which was meant (Karn), and one of them got lost (RFC 5681 3.1).
			if ((c.flags & C_SEND_SYN) === 0) c.flags |= C_SEND_SYN | C_SYN_RETRANSMITTED;
			t.queueOutput(c, 0);
		}
		return false;
	}
	t.counters.outsideWindow++;
	if (length > 0 && seqLt(seq, c.rcvNxt)) {
		t.counters.duplicateSegments++;
		c.dsackStart = seq;
		c.dsackEnd = seqLt((seq + length) | 0, c.rcvNxt) ? (seq + length) | 0 : c.rcvNxt;
		c.flags |= C_PURE_ACK;
	}
	// RFC 9293: the ACK of a segment at the left edge of a shut window still counts. So does that of a probe that comes again, and one from
	// before a probe: who has sent it cannot know that it was taken while our ACK is under way. If both sides probe, neither ACK may ever be heard else.
	// Nor can it know how much was taken of what was out when its window was shut: then what acknowledges more than any before counts from there.
	const behind = (c.rcvNxt - seq - span) | 0;
	let asked = false;
	const heard = behind <= PROBE || (span === 0 && behind <= c.rcvBuf && seqGt(ack, c.sndUna));
	if (seqLeq(seq, c.rcvNxt) && heard && (bits & (ACK | SYN)) === ACK && c.state !== SYN_RECEIVED) {
		asked = (t.tick - c.lastHeard) >>> 0 >= PROBE_INTERVAL;
		c.lastHeard = t.tick;
		if (c.retries >>> 24 !== 0) keepAliveAnswered(t, c);
		// Who probes an idle connection knows its numbers, and may send nothing else until his clock has gone half round.
		const options = t.segmentOptions;
		if (options.timestamps && (c.flags & C_TS) !== 0 && seqLeq(seq, c.lastAckSent) && mayEcho(c, bits, ack)) c.tsRecent = options.tsVal;
		ackArrives(t, c, packet, seq, ack, bits, length);
	}
	if (c.state !== 0) ackOutside(t, c, span, asked);
	return false;
}

/** Second to fifth, inside the window: RST, SYN, no ACK. */
function unusual(t: Tcp, c: Connection, seq: number, bits: number): void {
	// Second, the RST bit.
	if ((bits & RST) !== 0) {
		if (seq === c.rcvNxt) resetArrives(t, c);
		else if (seq === c.rcvAdv) t.counters.resetOutsideWindow++;
		else {
			// RFC 5961 3.2: inside the window but not exact: challenge.
			t.counters.resetInWindow++;
			challenge(t, c);
		}
	} else if ((bits & SYN) !== 0) {
		// Fourth, the SYN bit. RFC 5961 4.2: challenge, whatever the sequence number.
		t.counters.synInWindow++;
		challenge(t, c);
	} else t.counters.noAck++;
}

/**
 * RFC 9293 3.10.7.4, table of acceptability; and one number more for what has no text: who has filled the window acknowledges from where it
 * ends, whatever of it is lost. (Linux takes that, too.)
 */
function acceptable(c: Connection, seq: number, span: number): boolean {
	const window = (c.rcvAdv - c.rcvNxt) | 0;
	const offset = (seq - c.rcvNxt) | 0;
	if (span === 0) return offset >= 0 && offset <= window;
	if (window === 0) return false;
	const end = (offset + span - 1) | 0;
	return (offset >= 0 && offset < window) || (end >= 0 && end < window) || (offset < 0 && end >= window);
}

/**
 * An unacceptable segment is answered; one without content only as often as challenges (RFC 5961 7), so that no two stacks answer each other for ever.
 *
 * @param asked It is a probe, and the first in a while: its sender ends the connection if it gets no answer, however many others ask.
 */
function ackOutside(t: Tcp, c: Connection, span: number, asked = false): void {
	if (c.state === SYN_RECEIVED && (c.flags & C_HELD) !== 0) return;
	if (span === 0 && !asked && !t.challenges.allowed(t.tick)) return;
	c.flags |= C_ACK_NOW;
	t.queueOutput(c, 1);
}

function challenge(t: Tcp, c: Connection): void {
	if (!t.challenges.allowed(t.tick)) return;
	c.flags |= C_ACK_NOW;
	t.queueOutput(c, 1);
}

/** Second: an exact RST. */
function resetArrives(t: Tcp, c: Connection): void {
	t.counters.resetsIn++;
	switch (c.state) {
		case SYN_RECEIVED:
			// A passive open goes back to LISTEN; an active one (simultaneous open) was refused.
			finished(t, c, (c.flags & C_PASSIVE) !== 0 ? ERR_RESET : ERR_REFUSED);
			return;
		case CLOSING:
		case LAST_ACK:
			finished(t, c, ERR_NONE);
			return;
		default:
			finished(t, c, ERR_RESET);
	}
}

/** Our SYN is acknowledged: SYN-RECEIVED becomes ESTABLISHED. */
function acknowledgeSyn(t: Tcp, c: Connection, packet: IpPacket, ack: number): boolean {
	const listener = c.listener >= 0 ? t.listeners.byId(c.listener) : undefined;
	t.ack.time = packet.time;
	c.sndWl2 = ack;
	c.sndUna = (c.iss + 1) | 0;
	if (c.rcvAdv === c.rcvNxt) {
		// Simultaneous open, and our SYN-ACK has not left: nothing has told the peer yet that its SYN is here.
		c.rcvAdv = (c.rcvNxt + Math.min(c.rcvBuf, 65535)) | 0;
		c.flags |= C_ACK_NOW;
		t.queueOutput(c, 1);
	}
	established(t, c);
	if (listener !== undefined) {
		listener.halfOpen--;
		if (!listener.held) {
			listener.pending++;
			t.raise(c, E_ACCEPT);
			return false;
		}
	}
	// Somebody waits to hear: an active open, or a request that was accepted, whether its listener is still there or not.
	t.raise(c, E_CONNECTED);
	return false;
}

/** Fifth: ACK in a synchronized state. False: the segment goes no further. */
function ackArrives(t: Tcp, c: Connection, packet: IpPacket, seq: number, ack: number, bits: number, length: number): boolean {
	const options = t.segmentOptions;
	// What is read from the record once: none of it moves before the pages that `ack` covers are freed.
	const { sndUna, sndNxt, flags } = c;
	const ahead = (ack - sndUna) | 0;
	// RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, else a challenge ACK.
	if (seqGt(ack, sndNxt) || ((sndUna - ack) | 0) > c.sndWndMax) {
		t.counters.badAck++;
		challenge(t, c);
		return false;
	}
	const summary = t.ack;
	const advances = ahead > 0;
	const oldWindow = c.sndWnd;
	let window = oldWindow;

	// RFC 9293: SND.WND, unless the segment is older than the one that set it. What acknowledges more than any before is not, whatever its number
	// (as in Linux): once its window has shrunk, a peer's ACKs come from before what it had sent into that.
	const age = (c.sndWl1 - seq) | 0;
	if (advances || (ahead === 0 && (age < 0 || (age === 0 && seqLeq(c.sndWl2, ack))))) {
		window = windowOf(t.u8, packet.start) << c.sndScale;
		c.sndWnd = window;
		c.sndWl1 = seq;
		c.sndWl2 = ack;
		if (window > c.sndWndMax) c.sndWndMax = window;
	}
	// The probes of a shut window begin anew only when it has moved: their interval grows even while they are answered (RFC 9293 3.8.6.1).
	if ((c.retries & 0xff0000) !== 0 && (advances || window > oldWindow)) c.retries &= ~0xff0000;
	if (sndUna === sndNxt && !advances) {
		// Nothing is out: at most the window has opened, or what was sent again proves to have been needless.
		if (c.sndNext !== 0 && window > oldWindow) {
			if (timerKind(c) === TIMER_PERSIST) stopRetransmitTimer(c);
			t.queueOutput(c, 2);
		}
		if (ahead === 0 && ((flags & C_TLP_REPEATED) !== 0 || (options.sackCount > 0 && (flags & C_SACK) !== 0))) {
			idleAck(t, c, packet, ack, length === 0 && (bits & FIN) === 0 && window === oldWindow && options.sackCount === 0);
		}
		return true;
	}

	summary.priorUna = sndUna;
	summary.acked = 0;
	summary.sacked = 0;
	summary.dsack = false;
	summary.firstRtt = -1;
	summary.lastRtt = -1;
	summary.repeated = false;
	summary.time = packet.time;
	summary.echoed = options.timestamps && (flags & C_TS) !== 0;
	summary.tsEcr = options.tsEcr;
	// RFC 5681 2: a duplicate ACK. The answer to a probe of a shut window is none.
	summary.duplicate = ahead === 0 && length === 0 && (bits & FIN) === 0 && window === oldWindow && window > 0 && sndUna !== sndNxt;

	const recovery = recoveryOf(c);
	let backoff = 0;
	// A FIN that still waits for a page has no number yet.
	const finOut = (flags & (C_FINISHED | C_FIN_PENDING)) === C_FINISHED && c.sndNext === 0 && ack === c.sndEnd && ack === sndNxt;
	if (advances) {
		const sacked = c.sacked;
		acknowledge(t, c, ack, recovery.delivered);
		summary.acked = ahead - (sacked - c.sacked);
		const { retries } = c;
		backoff = retries & 0xff;
		c.retries = retries & ~0xff;
		if (finOut) c.flags |= C_FIN_ACKED;
	}
	if (options.sackCount > 0 && (flags & C_SACK) !== 0) takeSacks(t, c, ack);
	if (summary.firstRtt > 0 && !summary.repeated) {
		sampleRtt(c, summary.firstRtt, t.options);
		if (summary.lastRtt < c.minRtt) c.minRtt = summary.lastRtt;
		t.congestion.sampled?.(c, summary.lastRtt);
	} else if (advances && (summary.repeated || backoff > 0)) notMeasured(t, c, summary, backoff);
	if (advances && timerKind(c) !== TIMER_REORDER) stopRetransmitTimer(c);
	recovery.acknowledged(t, c, summary);
	if (t.options.pacing && (flags & C_MODEL) === 0) paceByWindow(t, c);

	const out = c.sndUna !== sndNxt;
	if (window > 0 && oldWindow === 0 && out) {
		// The window opens again: what came into the shut one was dropped there. No ACK has come of it that would spread what leaves now, as
		// after an idle time (RFC 5681 4.1).
		markDropped(t, c, packet.time);
		if ((c.flags & C_MODEL) !== 0) t.model!.appLimited(c);
		else c.cwnd = Math.min(c.cwnd, Math.max(initialWindow(c, t.options.initialWindow), inFlight(c) + c.mss));
		stopRetransmitTimer(c);
		c.retries &= ~0xff00ff;
	}
	if (!out) stopRetransmitTimer(c);
	else if (c.rtxAt === 0) armRetransmit(t, c, false);
	if (c.sndNext !== 0 || c.lost > 0) t.queueOutput(c, 2);
	if (advances) {
		t.roomCame(c);
		return finAcknowledged(t, c);
	}
	return true;
}

/** RFC 8985 6.2 step 4, 7.4.2: all was acknowledged, a tail loss probe perhaps with it; another ACK says what has arrived twice. */
function idleAck(t: Tcp, c: Connection, packet: IpPacket, ack: number, duplicate: boolean): void {
	const summary = t.ack;
	summary.acked = 0;
	summary.sacked = 0;
	summary.dsack = false;
	summary.duplicate = duplicate;
	summary.time = packet.time;
	if (t.segmentOptions.sackCount > 0) takeSacks(t, c, ack);
	recoveryOf(c).idleAck(t, c, summary);
}

/** Karn: an ACK of what was sent more than once measures nothing, unless it echoes a timestamp. Without a measurement the back-off stays. */
function notMeasured(t: Tcp, c: Connection, ack: AckSummary, backoff: number): void {
	const echoed = ack.repeated && ack.echoed;
	if (echoed && sampleEcho(c, (t.tick + c.tsOffset - ack.tsEcr) | 0, (t.now - ack.time) | 0, t.options)) return;
	if (backoff > 0) keepBackoff(c, backoff, t.options);
}

/** The states that wait for the ACK of our FIN. */
function finAcknowledged(t: Tcp, c: Connection): boolean {
	if ((c.flags & C_FIN_ACKED) === 0) return true;
	switch (c.state) {
		case FIN_WAIT_1:
			c.state = FIN_WAIT_2;
			if ((c.flags & C_DETACHED) !== 0) setIdle(t, c, t.options.finWait2);
			return true;
		case CLOSING:
			enterTimeWait(t, c);
			return false;
		case LAST_ACK:
			finished(t, c, ERR_NONE);
			return false;
	}
	return true;
}

/** Sixth to eighth: the segment's text, and its FIN. True if the page was kept. */
function text(t: Tcp, c: Connection, packet: IpPacket, data: number, length: number, seq: number, bits: number): boolean {
	const current = c.state;
	if (current !== ESTABLISHED && current !== FIN_WAIT_1 && current !== FIN_WAIT_2) {
		// The peer's FIN has come already: what comes now lies beyond it.
		t.counters.duplicateSegments++;
		c.flags |= C_ACK_NOW;
		t.queueOutput(c, 1);
		return false;
	}
	if (length > 0 && (c.flags & C_DETACHED) !== 0 && seqGt((seq + length) | 0, c.rcvNxt)) {
		// RFC 9293 3.6.1: nobody will read it, and the sender must know.
		t.counters.dataAfterClose++;
		reset(t, c);
		return false;
	}
	const before = c.rcvNxt;
	const headBefore = c.rcvBytes;
	t.finArrived = false;
	const fin = (bits & FIN) !== 0;
	const first = length - packet.more;
	const kept = receiveData(t, c, packet.page, data, first, seq, fin && packet.more === 0);
	if (packet.more > 0) receiveMore(t, c, packet, (seq + first) | 0, fin);
	if (c.rcvNxt !== before) {
		if (c.rcvBytes !== headBefore) t.raise(c, E_READABLE);
		if ((c.flags & C_ACK_NOW) === 0) acknowledgeText(t, c, length);
	}
	if (t.finArrived) finArrives(t, c);
	if ((c.flags & C_ACK_NOW) !== 0) t.queueOutput(c, 1);
	return kept;
}

/** The further pages of a segment that the link merged: each as if it were a segment of its own. */
function receiveMore(t: Tcp, c: Connection, packet: IpPacket, seq: number, fin: boolean): void {
	const batch = packet.batch!;
	const { pool } = t;
	const { capacity } = pool;
	let at = seq;
	for (let i = packet.firstMore; i <= packet.lastMore; i++) {
		const page = batch.page[i]!;
		const length = batch.length[i]!;
		const last = fin && i === packet.lastMore;
		const start = batch.start[i]!;
		const kept = page > capacity ? receiveLanding(t, c, page, start, length, at, last) : receiveData(t, c, page, start, length, at, last);
		if (kept) pool.retain(page);
		at = (at + length) | 0;
	}
}

/**
 * RFC 9293 3.8.6.3, RFC 5681 4.2: an ACK for every second full segment, at once while the connection is young, else within the delay.
 * At the end of each turn to a peer that gets no answers: with Nagle's algorithm it sends nothing short before its ACK has come.
 */
function acknowledgeText(t: Tcp, c: Connection, length: number): void {
	const unacknowledged = (c.rcvNxt - c.lastAckSent) | 0;
	const { flags } = c;
	if ((flags & C_ONE_WAY) !== 0 || unacknowledged >= 2 * c.mss || (length >= c.mss && c.segmentsIn <= QUICK_ACKS))
		c.flags = flags | C_ACK_NOW;
	else delayAck(t, c);
}

/** Eighth: the peer's FIN is in order. */
function finArrives(t: Tcp, c: Connection): void {
	if ((c.flags & C_FIN_RECEIVED) !== 0) return;
	c.rcvNxt = (c.rcvNxt + 1) | 0;
	if (seqLt(c.rcvAdv, c.rcvNxt)) c.rcvAdv = c.rcvNxt;
	c.flags |= C_FIN_RECEIVED | C_ACK_NOW;
	if (c.rcvHead === 0) t.raise(c, E_ENDED);
	t.queueOutput(c, 1);
	switch (c.state) {
		case ESTABLISHED:
			c.state = CLOSE_WAIT;
			return;
		case FIN_WAIT_1:
			c.state = CLOSING;
			return;
		case FIN_WAIT_2:
			enterTimeWait(t, c);
	}
}
