/**
 * The send segment: the pages that hold what the application wrote and the peer has not acknowledged.
 *
 * Hides how a stream is cut. A page holds at most one segment's payload; its SEQ is the sequence number of its first byte,
 * its TIME when it was last sent, its flags whether it is sent, SACKed, deemed lost, sent again, or carries the FIN. RACK
 * (RFC 8985) works on these, so a send time per segment costs nothing extra.
 *
 * Where the link cuts segments, long writes go to slabs instead (memory/pages.ts): a slice holds as many segments as one frame can, is cut
 * where only a part of it is sent, acknowledged, SACKed or lost, and has its headers elsewhere. "Page" here means either.
 *
 * Invariants: pages are in sequence order and without gaps from `sndUna` to `sndEnd`; those before `sndNext` are sent,
 * those from it on are not; `sacked` and `lost` of the record are the sums over the pages so flagged.
 */
import * as pages from "../memory/pages.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { carryNote } from "./rate.ts";
import { seqLeq, seqLt } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_FIN_PENDING, C_LOSS, C_MODEL, C_RECOVERY, ESTABLISHED, P_FIN, P_LOST, P_SACKED, P_SENT } = state;
const { HEADROOM, PAGE_SIZE, SLAB_SIZE } = pages;

/**
 * What may wait in slabs at most, in send buffers: with the default, a mebibyte, as much as the second cache of a core. And no more than leaves in one
 * turn: where many send, each has a share of that, and what waited behind it would take slabs from the others. Two slabs are worth a turn anyway.
 */
const WAITING_BUFFERS = 4;
const TURN_SLABS = 2;
/**
 * What may wait in slabs is this part of those that are free, at most, so that however many connections write, each finds some. (Choudhury and Hahne, "Dynamic
 * Queue Length Thresholds for Shared-Memory Packet Switches", 1998: n of them get slabs / (n + SLAB_SHARE) each.) While half of them are free, a
 * send buffer may wait all the same: where memory is small, there are only a few slabs.
 */
const SLAB_SHARE = 8;
/** Bytes of a write from which on a slab is worth it, for it is taken from all other connections. */
const LONG_WRITE = 8192;
/**
 * Smallest MSS for which a slab is used: for a smaller one there would not be a slice for each segment. And smallest for which bytes count as
 * they are: a page holds one segment, so a peer with an MSS of 64 would have thirty times the pages for what waits for it, and an ACK a list as long to walk.
 * Below it buffers hold less, so that bytes take four times their length at most (as early ones do, early.ts).
 */
const FULL_MSS_MIN = 512;

/** Sequence space of a page: its bytes and the FIN. */
export function pageSpan(t: Tcp, page: number): number {
	return t.pool.length(page) + ((t.pool.flags(page) & P_FIN) >> 4);
}

/** Bytes in flight: sent, neither acknowledged nor SACKed nor deemed lost (RFC 6675's pipe). */
export function inFlight(c: Connection): number {
	return ((c.sndNxt - c.sndUna) | 0) - c.sacked - c.lost;
}

/**
 * Whether long writes go to slabs. A model of the path keeps notes in each segment's page; a small MSS would have more segments than slices.
 * Before the handshake is complete, neither is known.
 */
function usesSlabs(t: Tcp, c: Connection): boolean {
	return t.longPieces && c.state >= ESTABLISHED && (c.flags & C_MODEL) === 0 && c.mss >= FULL_MSS_MIN;
}

/** What a buffer of so many bytes holds of this connection's segments. */
function held(c: Connection, bytes: number): number {
	const { mss } = c;
	return mss >= FULL_MSS_MIN ? bytes : Math.ceil((bytes / FULL_MSS_MIN) * mss);
}

/** Bytes that the application may still write now. */
export function sendRoom(t: Tcp, c: Connection): number {
	const options = t.options;
	// What is SACKed has left the network but not the buffer: it must not keep new data out of the window.
	const { sendBuffer } = options;
	const { sndEnd, cwnd } = c;
	const limit = Math.min(Math.max(sendBuffer, 2 * cwnd + c.sacked), options.maxSendBuffer);
	// What is in flight may be as much as the network takes; what waits is only to bridge the application's next turn. More would be
	// bytes that have left the cache when their turn comes, and that are old when they arrive. Slabs are cheap to send, so there the turns are few.
	return Math.min(held(c, limit) - ((sndEnd - c.sndUna) | 0), waitingMost(t, c) - ((sndEnd - c.sndNxt) | 0));
}

/** Bytes that may wait until they are sent. */
function waitingMost(t: Tcp, c: Connection): number {
	const { sendBuffer } = t.options;
	if (!usesSlabs(t, c)) return held(c, sendBuffer);
	const { slabs, slabsFree } = t.pool;
	const turn = Math.max(TURN_SLABS * SLAB_SIZE, t.turnSegments * c.mss);
	const most = Math.min(Math.max(sendBuffer, Math.min(c.cwnd, WAITING_BUFFERS * sendBuffer)), turn);
	const share = Math.max(2 * slabsFree >= slabs ? sendBuffer : SLAB_SIZE, (slabsFree * SLAB_SIZE) / SLAB_SHARE);
	return most <= share ? most : Math.floor(share);
}

/** Whether so much room has come that it is worth waking up for: a third of the buffer, so that writes come in strides. */
export function muchRoom(t: Tcp, c: Connection): boolean {
	return 3 * sendRoom(t, c) >= Math.min(t.options.sendBuffer, waitingMost(t, c));
}

/** Copies bytes into the send segment, as many as there is room for; returns how many. */
export function enqueue(t: Tcp, c: Connection, bytes: Uint8Array, offset: number, length: number): number {
	const pool = t.pool;
	let left = Math.min(length, sendRoom(t, c));
	if (left <= 0) return 0;
	const { mss } = c;
	const most = Math.min(mss, PAGE_SIZE - HEADROOM);
	// What a frame can hold, so that frames and slabs end together; the rest of a slab stays empty.
	const unused = t.longPieces ? SLAB_SIZE - (t.segmentation - (t.segmentation % mss)) : 0;
	// While losses are repaired, what comes next may have to be cut small.
	let long = left >= LONG_WRITE && usesSlabs(t, c) && (c.flags & (C_RECOVERY | C_LOSS)) === 0;
	let from = offset;
	while (left > 0) {
		let page = c.sndTail;
		let room = 0;
		if (page !== 0 && c.sndNext !== 0) {
			if (pool.isSlice(page)) room = pool.behind(page) - unused;
			else room = Math.min(most - pool.length(page), pool.address(page) + PAGE_SIZE - pool.start(page) - pool.length(page));
		}
		if (room <= 0 && long) {
			page = pool.openSlab();
			if (page === 0) {
				t.counters.noSlab++;
				long = false;
			} else {
				t.counters.slabsOpened++;
				append(t, c, page);
				room = SLAB_SIZE - unused;
			}
		}
		if (room <= 0) {
			// The last pages of the pool are kept for what comes in and for control segments: without them nothing would ever be freed.
			page = t.shortage.mayWrite(c, 0) ? pool.alloc() : 0;
			if (page === 0) {
				t.counters.noPage++;
				break;
			}
			pool.setStart(page, pool.address(page) + HEADROOM);
			append(t, c, page);
			room = most;
		}
		const n = Math.min(left, room);
		const at = pool.start(page) + pool.length(page);
		pool.copy.in(bytes, from, at, n);
		pool.setLength(page, pool.length(page) + n);
		c.sndEnd = (c.sndEnd + n) | 0;
		from += n;
		left -= n;
	}
	return from - offset;
}

function append(t: Tcp, c: Connection, page: number): void {
	const pool = t.pool;
	pool.setSeq(page, c.sndEnd);
	if (c.sndTail === 0) c.sndHead = page;
	else pool.setNext(c.sndTail, page);
	c.sndTail = page;
	if (c.sndNext === 0) c.sndNext = page;
}

/** Puts the FIN behind the last byte: on the last page if that is not sent yet, else on an empty page of its own. */
export function enqueueFin(t: Tcp, c: Connection): void {
	const pool = t.pool;
	let page = c.sndNext === 0 ? 0 : c.sndTail;
	if (page === 0) {
		// Many connections that close at once must leave pages for the ACKs that free theirs.
		page = pool.free > t.shortage.reservedPages ? pool.alloc() : 0;
		if (page === 0) {
			t.counters.noPage++;
			c.flags |= C_FIN_PENDING;
			t.shortage.starve(c);
			return;
		}
		pool.setStart(page, pool.address(page) + HEADROOM);
		append(t, c, page);
	}
	c.flags &= ~C_FIN_PENDING;
	pool.setFlags(page, pool.flags(page) | P_FIN);
	c.sndEnd = (c.sndEnd + 1) | 0;
}

/** Cuts a page in two: the first keeps `bytes` bytes, the second gets the rest (and the FIN). False when no page is free. */
export function splitPage(t: Tcp, c: Connection, page: number, bytes: number): boolean {
	const pool = t.pool;
	const slice = pool.isSlice(page);
	// Not of the pages that are kept for what comes in: each of many connections may hold such a rest for as long as its peer likes.
	const rest = slice ? pool.cutSlice(page, bytes) : pool.free > t.shortage.reservedPages ? pool.alloc() : 0;
	if (rest === 0) {
		t.counters.noPage++;
		return false;
	}
	if (!slice) {
		const start = pool.address(rest) + HEADROOM;
		const length = pool.length(page) - bytes;
		pool.copy.within(start, pool.start(page) + bytes, length);
		pool.setStart(rest, start);
		pool.setLength(rest, length);
		carryNote(pool, page, rest);
		pool.setLength(page, bytes);
	}
	const flags = pool.flags(page);
	pool.setSeq(rest, (pool.seq(page) + bytes) | 0);
	pool.setTime(rest, pool.time(page));
	pool.setFlags(rest, flags);
	pool.setNext(rest, pool.next(page));
	pool.setNext(page, rest);
	pool.setFlags(page, flags & ~P_FIN);
	if (c.sndTail === page) c.sndTail = rest;
	return true;
}

/**
 * A page that somebody else still reads (a link that has not sent it yet) is replaced by a copy, so that its header can be rewritten. A slice
 * has none, but leaves in a page. 0: there is no page for either.
 */
export function ownPage(t: Tcp, c: Connection, page: number, before: number): number {
	const pool = t.pool;
	const slice = pool.isSlice(page);
	if (slice ? pool.free > 0 : pool.refs(page) === 1) return page;
	const copy = slice ? 0 : pool.alloc();
	if (copy === 0) {
		t.counters.noPage++;
		return 0;
	}
	const start = pool.address(copy) + HEADROOM;
	pool.copy.within(start, pool.start(page), pool.length(page));
	pool.setStart(copy, start);
	pool.setLength(copy, pool.length(page));
	pool.setSeq(copy, pool.seq(page));
	pool.setTime(copy, pool.time(page));
	pool.setFlags(copy, pool.flags(page));
	carryNote(pool, page, copy);
	pool.setNext(copy, pool.next(page));
	if (before === 0) c.sndHead = copy;
	else pool.setNext(before, copy);
	if (c.sndTail === page) c.sndTail = copy;
	if (c.sndNext === page) c.sndNext = copy;
	pool.release(page);
	return copy;
}

/** Marks a sent page as lost. */
export function markLost(t: Tcp, c: Connection, page: number): void {
	const pool = t.pool;
	const flags = pool.flags(page);
	if ((flags & (P_LOST | P_SACKED)) !== 0 || (flags & P_SENT) === 0) return;
	pool.setFlags(page, flags | P_LOST);
	c.lost += pageSpan(t, page);
}

/** Marks the first segment that is out as lost. */
export function markHeadLost(t: Tcp, c: Connection): void {
	const page = c.sndHead;
	if (t.pool.length(page) > c.mss) splitPage(t, c, page, c.mss);
	markLost(t, c, page);
}

/** Marks everything sent and not SACKed as lost (RFC 8985 6.3, RFC 6675 5.1). */
export function markAllLost(t: Tcp, c: Connection): void {
	const pool = t.pool;
	for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page)) markLost(t, c, page);
}

/**
 * Marks what came to a shut window as lost. What left within a round trip of `time`, when an ACK came that says that it is open, comes there after
 * that ACK has left; within half of one for sure, whatever the path was like before.
 */
export function markDropped(t: Tcp, c: Connection, time: number): void {
	const pool = t.pool;
	const crossing = c.minRtt >> 1;
	for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page))
		if ((time - pool.time(page)) >>> 0 >= crossing) markLost(t, c, page);
}

/** Takes back the marks of pages that were only deemed lost: the time-out was in error. */
export function unmarkLost(t: Tcp, c: Connection): void {
	const pool = t.pool;
	for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page)) {
		const flags = pool.flags(page);
		if ((flags & P_LOST) !== 0) {
			pool.setFlags(page, flags & ~P_LOST);
			c.lost -= pageSpan(t, page);
		}
	}
}

/** The peer has lost what it had SACKed (RFC 2018 8): the marks go, at a time-out. */
export function forgetSacks(t: Tcp, c: Connection): void {
	const pool = t.pool;
	for (let page = c.sndHead; page !== 0 && page !== c.sndNext; page = pool.next(page)) pool.setFlags(page, pool.flags(page) & ~P_SACKED);
	c.sacked = 0;
}

/** Frees the pages before `ack` and trims the one that it falls into. `visit` sees each page that is acknowledged for the first time. */
export function acknowledge(t: Tcp, c: Connection, ack: number, visit: (t: Tcp, c: Connection, page: number) => void): void {
	const pool = t.pool;
	let page = c.sndHead;
	while (page !== 0 && page !== c.sndNext) {
		const flags = pool.flags(page);
		const seq = pool.seq(page);
		const span = pool.length(page) + ((flags & P_FIN) >> 4);
		if (seqLeq((seq + span) | 0, ack)) {
			if ((flags & P_SACKED) !== 0) c.sacked -= span;
			else {
				if ((flags & P_LOST) !== 0) c.lost -= span;
				visit(t, c, page);
			}
			const next = pool.next(page);
			if (page === c.sndTail) c.sndTail = 0;
			pool.release(page);
			page = next;
			continue;
		}
		if (seqLt(seq, ack)) {
			const bytes = (ack - seq) | 0;
			// Of a slice some segments are acknowledged, as their pages would be.
			if (pool.isSlice(page) && splitPage(t, c, page, bytes)) continue;
			if ((flags & P_SACKED) !== 0) c.sacked -= bytes;
			else if ((flags & P_LOST) !== 0) c.lost -= bytes;
			pool.setStart(page, pool.start(page) + bytes);
			pool.setLength(page, pool.length(page) - bytes);
			pool.setSeq(page, ack);
		}
		break;
	}
	c.sndHead = page;
	c.sndUna = ack;
}

/** Frees the whole send segment. */
export function dropSendQueue(t: Tcp, c: Connection): void {
	for (let page = c.sndHead; page !== 0; ) {
		const next = t.pool.next(page);
		t.pool.release(page);
		page = next;
	}
	c.sndHead = 0;
	c.sndNext = 0;
	c.sndTail = 0;
	c.sacked = 0;
	c.lost = 0;
}
