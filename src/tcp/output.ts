/**
 * Output: what a connection sends at the end of a turn, and the segments themselves.
 *
 * Runs once per turn for each connection that asked for it, after the application: so data, ACK and FIN of one turn share
 * segments. The order is: what is lost, then what is new, then an ACK if none has gone with data.
 *
 * Hides headers: they are written into the head room in front of the payload, so a page is sent without being copied.
 * Read first: RFC 9293 3.8.6.2.1 (silly-window avoidance of the sender), 3.7.4 (Nagle), RFC 5681 3 and 4.1.
 */
import * as frame from "../memory/batch.ts";
import * as pages from "../memory/pages.ts";
import { checksum, fold, pseudoHeader4, sum } from "../wire/checksum.ts";
import * as tcp from "../wire/tcp.ts";
import { setChecksumField, synOptionsLength, writeSynOptions, writeTcpHeader, writeTimestamps } from "../wire/tcp.ts";
import { initialWindow } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";
import { writeSackBlocks } from "./early.ts";
import type { Tcp } from "./engine.ts";
import { mssFor } from "./mss.ts";
import { paceBudget, paceDelay, paceSpent, UNPACED } from "./pacing.ts";
import { restamp } from "./rack.ts";
import { enqueueFin, inFlight, ownPage, pageSpan, splitPage } from "./sendqueue.ts";
import * as state from "./state.ts";
import { armRetransmit, persistDelay, setPaceTimer, setRetransmitTimer, startSynTimer } from "./timers.ts";
import { advertise } from "./window.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_ACK_NOW,
	C_CWND_LIMITED,
	C_FIN_PENDING,
	C_FRAGMENT,
	C_HELD,
	C_LOSS,
	C_MODEL,
	C_NODELAY,
	C_PURE_ACK,
	C_RECOVERY,
	C_SACK,
	C_SCALE,
	C_SEND_SYN,
	C_TS,
	ESTABLISHED,
	P_FIN,
	P_LOST,
	P_RETRANSMITTED,
	P_SENT,
	SYN_RECEIVED,
	SYN_SENT,
	TIMER_PERSIST,
} = state;
const { ACK, FIN, PROTOCOL_TCP, PSH, RST, SYN, TCP_HEADER, TIMESTAMPS_LENGTH } = tcp;
const { FRAME_CHECKED, FRAME_MAY_FRAGMENT, FRAME_PARTIAL_CHECKSUM } = frame;
const { HEADROOM } = pages;

/** Pages of a run at most: 64 KB, and well within a batch. */
const RUN_PAGES = 44;

/** Sends what connection `c` has to send. True if it stopped only because its turn was over. */
export function output(t: Tcp, c: Connection): boolean {
	if ((c.flags & C_SEND_SYN) !== 0) {
		sendSyn(t, c);
		return false;
	}
	if (c.state < ESTABLISHED) {
		if (c.state === SYN_RECEIVED && (c.flags & (C_ACK_NOW | C_HELD)) === C_ACK_NOW) sendAck(t, c);
		return false;
	}
	if ((c.flags & C_FIN_PENDING) !== 0) enqueueFin(t, c);
	if ((c.flags & (C_PURE_ACK | C_ACK_NOW)) === (C_PURE_ACK | C_ACK_NOW)) sendAck(t, c);
	c.flags &= ~C_CWND_LIMITED;
	let budget = t.turnSegments;
	if (c.lost > 0 || c.sndNext !== 0) {
		const paceable = c.paceRate === 0 ? UNPACED : paceBudget(t, c);
		t.paceLeft = paceable;
		if (c.lost > 0) budget = repeatLost(t, c, budget);
		if (c.sndNext !== 0 && c.lost === 0) budget = sendNew(t, c, budget);
		if (c.paceRate !== 0) paced(t, c, paceable);
	}
	if ((c.flags & C_MODEL) !== 0 && c.lost === 0 && ((c.sndEnd - c.sndNxt) | 0) < c.mss && inFlight(c) < c.cwnd) t.model!.appLimited(c);
	if ((c.flags & C_ACK_NOW) !== 0) sendAck(t, c);
	if (c.sndUna === c.sndNxt && c.sndNext !== 0 && c.rtxAt === 0 && c.paceAt === 0) {
		// Nothing in flight, so no ACK will come by itself: probe the window (RFC 9293 3.8.6.1).
		setRetransmitTimer(t, c, TIMER_PERSIST, persistDelay(t, c));
	}
	return budget === 0;
}

/** Notes what has left since the budget was `before`; if pacing has stopped output, the timer brings it back. */
function paced(t: Tcp, c: Connection, before: number): void {
	if (t.paceLeft < before) paceSpent(c, before - t.paceLeft);
	if (t.paceLeft > 0 || (c.flags & C_CWND_LIMITED) !== 0 || (c.sndNext === 0 && c.lost === 0)) return;
	setPaceTimer(t, c, paceDelay(t, c));
	// The window is in use all the same, so it may grow (not that of a model, which knows by itself).
	if (2 * inFlight(c) >= c.cwnd) c.flags |= C_CWND_LIMITED;
}

function repeatLost(t: Tcp, c: Connection, budget: number): number {
	const pool = t.pool;
	let before = 0;
	let left = budget;
	let sent = false;
	for (let page = c.sndHead; page !== 0 && page !== c.sndNext && c.lost > 0 && left > 0; before = page, page = pool.next(page)) {
		if ((pool.flags(page) & P_LOST) === 0) continue;
		if (t.paceLeft <= 0) break;
		// Of several segments the first goes alone.
		// RFC 9293 3.8.6: nothing beyond a window that has shrunk. One that is shut is probed.
		const edge = (c.sndUna + c.sndWnd - pool.seq(page)) | 0;
		if (edge <= 0) break;
		const most = Math.min(edge, c.mss);
		const span = Math.min(pageSpan(t, page), most);
		const flight = inFlight(c);
		// RFC 5681 3.2, step 3, and RFC 6582 3.2: without SACK, the first hole is repaired whatever the window.
		const firstHole = page === c.sndHead && (c.flags & (C_SACK | C_RECOVERY)) === C_RECOVERY;
		if (flight > 0 && flight + span > c.cwnd && !firstHole) {
			c.flags |= C_CWND_LIMITED;
			break;
		}
		page = ownPage(t, c, page, before);
		if (page === 0) break;
		// The peer's MSS may have shrunk since the page was filled (RFC 1191).
		if (pool.length(page) > most && !splitPage(t, c, page, most)) break;
		const now = pageSpan(t, page);
		pool.setFlags(page, (pool.flags(page) & ~P_LOST) | P_RETRANSMITTED);
		c.lost -= now;
		c.retransmits++;
		t.counters.retransmits++;
		t.paceLeft -= now;
		if (c.undoCwnd !== 0 && c.undoTs === 0) {
			c.undoTs = (t.tick + c.tsOffset) | 0 || 1;
			c.undoEnd = (pool.seq(page) + now) | 0;
		}
		if ((c.flags & C_RECOVERY) !== 0) c.prrOut += now;
		transmit(t, c, page);
		sent = true;
		left--;
	}
	if (sent) {
		c.lastSent = t.tick || -1;
		armRetransmit(t, c, false);
	}
	return left;
}

/** Nothing is out, and something may leave. */
function afterIdle(t: Tcp, c: Connection): void {
	restamp(t, c);
	const { lastSent } = c;
	// Even if nothing leaves, for want of window or of its time: what has passed is taken into account but once.
	c.lastSent = t.tick || -1;
	if (lastSent === 0 || (c.flags & C_MODEL) !== 0) return;
	const idle = (t.tick - lastSent) >>> 0;
	if (idle === 0) return;
	// RFC 5681 4.1: after an idle time of more than an RTO the old window says nothing of the path.
	if (idle * 1000 > c.rto) c.cwnd = Math.min(c.cwnd, initialWindow(c, t.options.initialWindow));
	t.congestion.idle?.(c, idle, t.now);
}

function sendNew(t: Tcp, c: Connection, budget: number): number {
	const pool = t.pool;
	if (c.sndUna === c.sndNxt) afterIdle(t, c);
	let flight = inFlight(c);
	// RFC 3042: the first two duplicate ACKs each let one new segment out.
	const duplicates = (c.retries >> 8) & 0xff;
	const limited = (c.flags & (C_SACK | C_RECOVERY | C_LOSS)) === 0 && duplicates <= 2 ? duplicates * c.mss : 0;
	const { mss } = c;
	let left = budget;
	let sent = false;
	// With segmentation by the link, full pages in a row leave as one frame.
	const runMax = (c.flags & (C_RECOVERY | C_FRAGMENT)) === 0 ? t.segmentation : 0;
	let runFirst = 0;
	let runCount = 0;
	let runBytes = 0;
	for (let page = c.sndNext; page !== 0 && left > 0; page = c.sndNext) {
		let length = pool.length(page);
		if (length > mss && runMax !== 0 && pool.isSlice(page) && t.lower.runs(c.remote3)) {
			if (runCount > 0) {
				transmitRun(t, c, runFirst, runCount, runBytes);
				runCount = 0;
			}
			const bytes = frameShare(t, c, page, c.cwnd + limited - flight, flight, runMax);
			if (bytes === 0) break;
			if (bytes > mss) {
				const span = sendSlice(t, c, page, bytes);
				if (span === 0) break;
				flight += span;
				left = Math.max(left - Math.ceil(bytes / mss), 0);
				sent = true;
				continue;
			}
		}
		if (length > mss) {
			if (!splitPage(t, c, page, mss)) break;
			length = mss;
		}
		const { sndUna, sndNxt } = c;
		let flags = pool.flags(page);
		const fin = (flags & P_FIN) !== 0;
		let span = length + ((flags & P_FIN) >> 4);
		const room = (sndUna + c.sndWnd - sndNxt) | 0;
		if (span > room) {
			// RFC 9293 3.8.6.2.1: part of a segment goes only if it is half of the largest window the peer ever offered.
			if (room <= 0 || room < Math.min(c.sndWndMax >> 1, length)) break;
			const part = Math.min(length, room);
			if (!splitPage(t, c, page, part)) break;
			length = part;
			// The FIN went with the rest, which is nothing else where only the FIN does not fit.
			span = part;
			flags &= ~P_FIN;
		}
		// Nagle, RFC 9293 3.7.4: a short segment at the end waits while anything is unacknowledged. (One before the end was cut for a window.)
		const next = pool.next(page);
		if (length < mss && !fin && next === 0 && (c.flags & C_NODELAY) === 0 && sndNxt !== sndUna) break;
		if (flight > 0 && flight + length > c.cwnd + limited) {
			c.flags |= C_CWND_LIMITED;
			break;
		}
		if (t.paceLeft <= 0) break;
		const slice = pool.isSlice(page);
		if (slice && pool.free === 0) {
			t.counters.noPage++;
			break;
		}
		t.paceLeft -= span;
		pool.setFlags(page, flags | P_SENT);
		c.sndNext = next;
		c.sndNxt = (sndNxt + span) | 0;
		flight += span;
		if ((c.flags & C_RECOVERY) !== 0) c.prrOut += span;
		sent = true;
		left--;
		if (runCount > 0 && (slice || length === 0 || runCount === RUN_PAGES || runBytes + length > runMax)) {
			transmitRun(t, c, runFirst, runCount, runBytes);
			runCount = 0;
		}
		if (runMax === 0 || slice) {
			transmit(t, c, page);
			continue;
		}
		if (runCount === 0) {
			runFirst = page;
			runBytes = 0;
		}
		runCount++;
		runBytes += length;
		// All pieces of a run but the last are full.
		if (length !== mss || fin) {
			transmitRun(t, c, runFirst, runCount, runBytes);
			runCount = 0;
		}
	}
	if (runCount > 0) transmitRun(t, c, runFirst, runCount, runBytes);
	if (sent) {
		c.lastSent = t.tick || -1;
		armRetransmit(t, c, true);
		t.roomCame(c);
		// A window that is full although no segment was held back: the next byte would have been.
		if (flight + mss > c.cwnd) c.flags |= C_CWND_LIMITED;
	}
	return left;
}

/**
 * How many bytes of a slice of several segments leave as one frame: the slice or some whole segments; one segment if the windows say less,
 * or nothing of it at all; 0 to wait.
 *
 * @param allowed What the congestion window lets out.
 */
function frameShare(t: Tcp, c: Connection, slice: number, allowed: number, flight: number, runMax: number): number {
	const pool = t.pool;
	const { mss, sndWnd } = c;
	const length = pool.length(slice);
	const flags = pool.flags(slice);
	const room = (c.sndUna + sndWnd - c.sndNxt) | 0;
	const most = Math.min(allowed, room, runMax, c.paceRate === 0 ? runMax : Math.max(t.paceLeft, mss));
	let share = length;
	if (length + ((flags & P_FIN) >> 4) > most) {
		// Less than all of it, even if it is only the FIN that does not fit.
		const part = Math.min(most, length - 1);
		share = part - (part % mss);
		if (share <= 0) {
			// Not a segment: what would hold one back, as in `sendNew`, before it is cut off.
			if (room < mss && (room <= 0 || room < c.sndWndMax >> 1)) return 0;
			if (flight > 0 && allowed < Math.min(mss, room)) {
				c.flags |= C_CWND_LIMITED;
				return 0;
			}
			return mss;
		}
		// A part makes this frame and the next one short, so it waits while enough is out to bring an ACK soon, and little of the window is unused:
		// a third, as in Linux (tcp_tso_should_defer). Not what duplicate ACKs let out (RFC 3042): they may be all that comes.
		if (flight >= share && 3 * share < Math.min(sndWnd, c.cwnd) && c.paceRate === 0 && (c.retries & 0xff00) === 0) {
			if (allowed <= room) c.flags |= C_CWND_LIMITED;
			return 0;
		}
	} else if ((flags & P_FIN) === 0 && pool.next(slice) === 0 && (c.flags & C_NODELAY) === 0) {
		// Nagle, as below: behind whole segments, a short one at the end waits.
		share -= length % mss;
	}
	return Math.max(share, mss);
}

/** Sends the first `bytes` bytes of an unsent slice, several segments, as one segment that the link cuts; returns its sequence space, 0 if there is no page. */
function sendSlice(t: Tcp, c: Connection, slice: number, bytes: number): number {
	const pool = t.pool;
	if (bytes < pool.length(slice) && !splitPage(t, c, slice, bytes)) return 0;
	const page = pool.alloc();
	if (page === 0) {
		t.counters.noPage++;
		return 0;
	}
	const flags = pool.flags(slice);
	const next = pool.next(slice);
	const { local3, remote3, mss, sndNxt } = c;
	const span = bytes + ((flags & P_FIN) >> 4);
	pool.setFlags(slice, flags | P_SENT);
	pool.setTime(slice, t.now);
	c.sndNext = next;
	c.sndNxt = (sndNxt + span) | 0;
	t.paceLeft -= span;
	const stamps = (c.flags & C_TS) !== 0 ? TIMESTAMPS_LENGTH : 0;
	const header = TCP_HEADER + stamps;
	const start = pool.address(page) + HEADROOM;
	let bits = ACK;
	if ((flags & P_FIN) !== 0) bits |= FIN;
	if (next === 0) bits |= PSH;
	writeTcpHeader(t.u8, start, c.localPort, c.remotePort, sndNxt, c.rcvNxt, header, bits, advertise(t, c));
	if (stamps !== 0) writeTimestamps(t.u8, start + TCP_HEADER, (t.tick + c.tsOffset) | 0, c.tsRecent);
	const segments = Math.ceil(bytes / mss);
	t.counters.bytesOut += bytes;
	t.counters.segmentsOut += segments;
	c.segmentsOut += segments;
	acknowledged(c);
	setChecksumField(t.u8, start, fold(pseudoHeader4(local3, remote3, PROTOCOL_TCP, header + bytes)));
	pool.retain(slice);
	t.lower.outputRun(page, start, header, bytes, local3, remote3, PROTOCOL_TCP, FRAME_PARTIAL_CHECKSUM, mss, 2);
	t.lower.append(slice, pool.start(slice), bytes, true);
	return span;
}

/** Sends one segment, a page or a slice of the send segment, with the ACK that is due. */
export function transmit(t: Tcp, c: Connection, page: number): void {
	const pool = t.pool;
	const length = pool.length(page);
	const flags = pool.flags(page);
	pool.setTime(page, t.now);
	if ((c.flags & C_MODEL) !== 0) t.model!.sent(t, c, page);
	let carrier = page;
	if (pool.isSlice(page)) {
		// One segment is soon copied, and what goes wherever pages go is simpler than what cannot.
		carrier = pool.alloc();
		if (carrier === 0) {
			t.counters.noPage++;
			return;
		}
		pool.setStart(carrier, pool.address(carrier) + HEADROOM);
		pool.copy.within(pool.start(carrier), pool.start(page), length);
	} else pool.retain(page);
	const stamps = (c.flags & C_TS) !== 0 ? TIMESTAMPS_LENGTH : 0;
	const header = TCP_HEADER + stamps;
	const start = pool.start(carrier) - header;
	let bits = ACK;
	if ((flags & P_FIN) !== 0) bits |= FIN;
	if (pool.next(page) === 0 && length > 0) bits |= PSH;
	writeTcpHeader(t.u8, start, c.localPort, c.remotePort, pool.seq(page), c.rcvNxt, header, bits, advertise(t, c));
	if (stamps !== 0) writeTimestamps(t.u8, start + TCP_HEADER, (t.tick + c.tsOffset) | 0, c.tsRecent);
	t.counters.bytesOut += length;
	acknowledged(c);
	emit(t, c, carrier, start, header + length);
}

/** Sends `count` pages in a row as one segment that the link cuts into pieces of `mss` bytes. */
function transmitRun(t: Tcp, c: Connection, first: number, count: number, bytes: number): void {
	const pool = t.pool;
	if (count === 1 || !t.lower.runs(c.remote3)) {
		for (let page = first, n = count; n > 0; n--, page = pool.next(page)) transmit(t, c, page);
		return;
	}
	let last = first;
	for (let n = count; n > 0; n--) {
		pool.setTime(last, t.now);
		if ((c.flags & C_MODEL) !== 0) t.model!.sent(t, c, last);
		pool.retain(last);
		if (n > 1) last = pool.next(last);
	}
	const stamps = (c.flags & C_TS) !== 0 ? TIMESTAMPS_LENGTH : 0;
	const header = TCP_HEADER + stamps;
	const start = pool.start(first) - header;
	let bits = ACK;
	if ((pool.flags(last) & P_FIN) !== 0) bits |= FIN;
	if (pool.next(last) === 0) bits |= PSH;
	writeTcpHeader(t.u8, start, c.localPort, c.remotePort, pool.seq(first), c.rcvNxt, header, bits, advertise(t, c));
	if (stamps !== 0) writeTimestamps(t.u8, start + TCP_HEADER, (t.tick + c.tsOffset) | 0, c.tsRecent);
	t.counters.bytesOut += bytes;
	t.counters.segmentsOut += count;
	c.segmentsOut += count;
	acknowledged(c);
	const { local3, remote3, mss } = c;
	setChecksumField(t.u8, start, fold(pseudoHeader4(local3, remote3, PROTOCOL_TCP, header + bytes)));
	const here = pool.length(first);
	t.lower.outputRun(first, start, header + here, bytes - here, local3, remote3, PROTOCOL_TCP, FRAME_PARTIAL_CHECKSUM, mss, count);
	for (let page = pool.next(first), n = count - 1; n > 0; n--) {
		// The link may let go of a page while it takes the next: read the list first.
		const next = pool.next(page);
		t.lower.append(page, pool.start(page), pool.length(page), n === 1);
		page = next;
	}
}

/** What an ACK that leaves makes superfluous. */
function acknowledged(c: Connection): void {
	c.lastAckSent = c.rcvNxt;
	c.ackAt = 0;
	// A SACK block or duplicate that is still to be reported keeps its own ACK.
	if ((c.flags & C_PURE_ACK) === 0) c.flags &= ~C_ACK_NOW;
}

/**
 * The sequence number of a segment without text: SND.NXT, but not from beyond the window. There a probe has gone, or what was sent before the
 * window shrank; the peer would drop the ACK unread (RFC 9293 3.10.7.4, first) and answer it, from beyond our own window perhaps.
 */
function bareSequence(c: Connection): number {
	const { sndUna, sndNxt, sndWnd } = c;
	const beyond = (sndNxt - sndUna - sndWnd) | 0;
	// A SYN is in no window.
	if (beyond <= 0 || c.state < ESTABLISHED) return sndNxt;
	// A window that is rounded down seems to shrink by less than its unit (RFC 7323 2.4): what was sent into it is still taken.
	const probes = (c.retries >> 16) & 0xff;
	return probes === 0 && beyond < 1 << c.sndScale ? sndNxt : (sndNxt - beyond) | 0;
}

/** Sends an ACK without data, with SACK blocks if there are any. */
export function sendAck(t: Tcp, c: Connection): void {
	c.flags &= ~C_PURE_ACK;
	control(t, c, bareSequence(c), ACK);
	acknowledged(c);
}

/** A probe that no receiver takes for data (RFC 9293 3.8.4, keep-alive): one before the next sequence number. */
export function sendKeepAlive(t: Tcp, c: Connection): void {
	control(t, c, (c.sndUna - 1) | 0, ACK);
}

/** Sends a RST that ends the connection on the other side. */
export function sendReset(t: Tcp, c: Connection): void {
	t.counters.resetsOut++;
	control(t, c, bareSequence(c), c.state === SYN_SENT ? RST : RST | ACK);
}

function control(t: Tcp, c: Connection, seq: number, bits: number): void {
	const page = t.pool.alloc();
	if (page === 0) {
		t.counters.noPage++;
		return;
	}
	const start = t.pool.address(page) + HEADROOM;
	let header = TCP_HEADER;
	if ((c.flags & C_TS) !== 0) header += writeTimestamps(t.u8, start + header, (t.tick + c.tsOffset) | 0, c.tsRecent);
	if ((bits & RST) === 0) header += writeSackBlocks(t, c, start + header, sackBlocks(t, c));
	writeTcpHeader(t.u8, start, c.localPort, c.remotePort, seq, (bits & ACK) !== 0 ? c.rcvNxt : 0, header, bits, advertise(t, c));
	emit(t, c, page, start, header);
}

/** SACK blocks that fit the header beside the other options, and the link. */
function sackBlocks(t: Tcp, c: Connection): number {
	const stamps = (c.flags & C_TS) !== 0;
	return Math.min(stamps ? 3 : 4, (t.ownMss + (stamps ? 0 : TIMESTAMPS_LENGTH) - 4) >> 3);
}

/** Sends our SYN, with ACK if the peer's has come. */
function sendSyn(t: Tcp, c: Connection): void {
	c.flags &= ~(C_SEND_SYN | C_ACK_NOW);
	const page = t.pool.alloc();
	startSynTimer(t, c);
	if (page === 0) {
		t.counters.noPage++;
		return;
	}
	const reply = c.state === SYN_RECEIVED;
	const options = t.options;
	// A SYN-ACK confirms what the SYN offered; a SYN offers all.
	const stamps = reply ? (c.flags & C_TS) !== 0 : options.timestamps;
	const sack = reply ? (c.flags & C_SACK) !== 0 : options.sack;
	const scale = (reply ? (c.flags & C_SCALE) !== 0 : options.windowScaling) ? t.windowScale : -1;
	const start = t.pool.address(page) + HEADROOM;
	const length = synOptionsLength(scale, sack, stamps);
	const header = TCP_HEADER + length;
	// RFC 7323 2.2: the window of a SYN is never scaled.
	const window = Math.min(c.rcvBuf, 65535);
	writeTcpHeader(t.u8, start, c.localPort, c.remotePort, c.iss, reply ? c.rcvNxt : 0, header, reply ? SYN | ACK : SYN, window);
	writeSynOptions(t.u8, start + TCP_HEADER, mssFor(t, c), scale, sack, stamps, (t.tick + c.tsOffset) | 0, reply ? c.tsRecent : 0);
	if (reply) {
		c.rcvAdv = (c.rcvNxt + window) | 0;
		c.lastAckSent = c.rcvNxt;
	}
	c.rackTime = t.now;
	emit(t, c, page, start, header);
}

/** Completes the checksum and hands the segment down. Takes the reference on the page. */
function emit(t: Tcp, c: Connection, page: number, start: number, length: number): void {
	c.segmentsOut++;
	t.counters.segmentsOut++;
	const pseudo = pseudoHeader4(c.local3, c.remote3, PROTOCOL_TCP, length);
	const may = (c.flags & C_FRAGMENT) !== 0 ? FRAME_MAY_FRAGMENT : 0;
	if (t.checksumOffload) {
		setChecksumField(t.u8, start, fold(pseudo));
		t.lower.output(page, start, length, c.local3, c.remote3, PROTOCOL_TCP, FRAME_PARTIAL_CHECKSUM | may);
		return;
	}
	setChecksumField(t.u8, start, checksum(t.u8, start, length, pseudo));
	t.lower.output(page, start, length, c.local3, c.remote3, PROTOCOL_TCP, may);
}

/** Hands down a segment of no connection, complete but for its checksum. Takes the reference on the page. */
export function emitAlone(t: Tcp, local: number, remote: number, page: number, start: number, length: number): void {
	t.counters.segmentsOut++;
	setChecksumField(t.u8, start, checksum(t.u8, start, length, pseudoHeader4(local, remote, PROTOCOL_TCP, length)));
	t.lower.output(page, start, length, local, remote, PROTOCOL_TCP, 0);
}

/** Whether the transport checksum of a received segment is right. */
export function checksumRight(t: Tcp, start: number, length: number, src: number, dst: number, flags: number): boolean {
	if ((flags & FRAME_CHECKED) !== 0) return true;
	return fold(sum(t.u8, start, length, pseudoHeader4(src, dst, PROTOCOL_TCP, length))) === 0xffff;
}
