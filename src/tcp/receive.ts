/**
 * The receive segment: bytes in order that the application has not read, and what came too early.
 *
 * Hides how frames become a stream. The page that a frame came in is linked into the segment, not copied; a small piece is
 * copied behind the last page if it fits there, so that a flood of tiny segments cannot hold a page each. What came too
 * early waits in a list sorted by sequence number, whose runs are the SACK blocks (RFC 2018).
 *
 * Flow control follows what the application has really read: the right edge of the window moves only when bytes leave the
 * segment, and by silly-window avoidance (RFC 9293 3.8.6.2.2) only in steps worth telling.
 */
import * as pages from "../memory/pages.ts";
import { writeSack } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { seqGeq, seqGt, seqLeq, seqLt, seqMax } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_ACK_NOW, C_PURE_ACK, C_SACK, P_FIN } = state;
const { PAGE_SIZE } = pages;

/**
 * Takes the payload of an acceptable segment. On return `t.finArrived` says whether the peer's FIN is now in order.
 *
 * @param page The frame's page, [start, start + length) the payload, which begins at `seq`.
 * @returns True if the page was kept.
 */
export function receiveData(t: Tcp, c: Connection, page: number, start: number, length: number, seq: number, fin: boolean): boolean {
	let from = start;
	let left = length;
	let at = seq;
	let last = fin;
	const { rcvNxt } = c;
	const before = (rcvNxt - at) | 0;
	if (before > 0) {
		// RFC 2883 4: the duplicate part is reported in the next ACK.
		c.dsackStart = at;
		c.dsackEnd = (at + Math.min(before, left)) | 0;
		c.flags |= C_ACK_NOW | C_PURE_ACK;
		t.counters.duplicateSegments++;
		if (before > left || (before === left && !last)) return false;
		from += before;
		left -= before;
		at = rcvNxt;
	}
	const beyond = (at + left - c.rcvAdv) | 0;
	if (beyond > 0) {
		t.counters.beyondWindow++;
		c.flags |= C_ACK_NOW;
		last = false;
		left -= beyond;
		if (left <= 0) return false;
	}
	if (left === 0 && !last) return false;
	if (at === rcvNxt) {
		// The very last pages are for frames on their way in: ACKs must be heard for anything to be freed. The sender will repeat this.
		if (left > 0 && t.pool.free < t.lastPages) {
			t.counters.noPage++;
			return false;
		}
		return inOrder(t, c, page, from, left, last);
	}
	t.counters.outOfOrder++;
	c.flags |= C_ACK_NOW | C_PURE_ACK;
	const kept = insert(t, c, page, from, left, at, last);
	c.oooLast = at;
	return kept;
}

function inOrder(t: Tcp, c: Connection, page: number, start: number, length: number, fin: boolean): boolean {
	const kept = length > 0 && append(t, c, page, start, length);
	c.rcvNxt = (c.rcvNxt + length) | 0;
	if (fin) {
		t.finArrived = true;
		// The stream ends here, whatever a peer sent beyond it.
		dropEarly(t, c);
	}
	if (c.oooHead !== 0) {
		// RFC 5681 4.2: a segment that fills a hole is acknowledged at once.
		c.flags |= C_ACK_NOW;
		advance(t, c);
	}
	return kept;
}

/** Links a page behind the receive segment, or copies it into the last page; true if the page was kept. */
function append(t: Tcp, c: Connection, page: number, start: number, length: number): boolean {
	const pool = t.pool;
	const tail = c.rcvTail;
	c.rcvBytes += length;
	if (tail !== 0) {
		const end = pool.start(tail) + pool.length(tail);
		if (tail <= pool.capacity && end + length <= pool.address(tail) + PAGE_SIZE && pool.refs(tail) === 1) {
			pool.copy.within(end, start, length);
			pool.setLength(tail, pool.length(tail) + length);
			return false;
		}
		pool.setNext(tail, page);
	} else c.rcvHead = page;
	pool.setStart(page, start);
	pool.setLength(page, length);
	pool.setNext(page, 0);
	c.rcvTail = page;
	return true;
}

/**
 * As `receiveData`, of a landing that begins at `seq`. Only in order it stays what it is, so that the application may have it as a whole;
 * otherwise its bytes go into pages, which can be cut and sorted.
 *
 * @returns True if the landing was kept.
 */
export function receiveLanding(t: Tcp, c: Connection, page: number, start: number, length: number, seq: number, fin: boolean): boolean {
	const { pool } = t;
	if (seq === c.rcvNxt && c.oooHead === 0 && ((seq + length - c.rcvAdv) | 0) <= 0) {
		if (c.rcvTail !== 0) pool.setNext(c.rcvTail, page);
		else c.rcvHead = page;
		pool.setStart(page, start);
		pool.setLength(page, length);
		pool.setNext(page, 0);
		c.rcvTail = page;
		c.rcvBytes += length;
		c.rcvNxt = (seq + length) | 0;
		if (fin) t.finArrived = true;
		return true;
	}
	const bytes = pool.landed(page);
	for (let done = 0; done < length; done += PAGE_SIZE) {
		const part = Math.min(PAGE_SIZE, length - done);
		const copy = pool.alloc();
		if (copy === 0) {
			// The sender will repeat the rest.
			t.counters.noPage++;
			c.flags |= C_ACK_NOW;
			break;
		}
		const at = pool.address(copy);
		pool.copy.in(bytes, start + done, at, part);
		if (!receiveData(t, c, copy, at, part, (seq + done) | 0, fin && done + part === length)) pool.release(copy);
	}
	return false;
}

/** Moves what has become in order from the early list to the receive segment. */
function advance(t: Tcp, c: Connection): void {
	const pool = t.pool;
	let page = c.oooHead;
	while (page !== 0 && seqLeq(pool.seq(page), c.rcvNxt)) {
		const next = pool.next(page);
		const skip = (c.rcvNxt - pool.seq(page)) | 0;
		const length = pool.length(page) - skip;
		const fin = (pool.flags(page) & P_FIN) !== 0;
		let kept = false;
		if (length > 0) {
			kept = append(t, c, page, pool.start(page) + skip, length);
			c.rcvNxt = (c.rcvNxt + length) | 0;
		}
		if (!kept) pool.release(page);
		page = next;
		if (fin && length >= 0) {
			t.finArrived = true;
			break;
		}
	}
	c.oooHead = page;
	if (page === 0) c.oooTail = 0;
	else if (t.finArrived) dropEarly(t, c);
}

/** Puts a page into the early list. Bytes that are there already are cut off; a page that adds nothing is not kept. */
function insert(t: Tcp, c: Connection, page: number, start: number, length: number, seq: number, fin: boolean): boolean {
	const pool = t.pool;
	// When pages run short, what is in order comes first: the early list is given up before the stream stops.
	if (pool.free < t.reservedPages) {
		t.counters.noPage++;
		return false;
	}
	let before = 0;
	let after = c.oooHead;
	if (c.oooTail !== 0 && seqGeq(seq, pool.seq(c.oooTail))) {
		before = c.oooTail;
		after = 0;
	} else {
		while (after !== 0 && seqLeq(pool.seq(after), seq)) {
			before = after;
			after = pool.next(after);
		}
	}
	let at = seq;
	let from = start;
	let left = length;
	let last = fin;
	if (before !== 0) {
		const end = (pool.seq(before) + pool.length(before)) | 0;
		const overlap = (end - at) | 0;
		if (overlap > 0) {
			duplicate(c, at, (at + Math.min(overlap, left)) | 0);
			if (overlap >= left && !(fin && overlap === left)) return false;
			at = end;
			from += overlap;
			left -= overlap;
		}
		if (left <= 0 && (!fin || (pool.flags(before) & P_FIN) !== 0)) return false;
	}
	// What lies behind and is covered goes; what is covered in part is cut from this page's end.
	while (after !== 0) {
		const next = pool.seq(after);
		const end = (at + left) | 0;
		if (seqLeq(end, next) && !(left === 0 && end === next)) break;
		const nextEnd = (next + pool.length(after)) | 0;
		if (seqGeq(end, nextEnd) && (pool.flags(after) & P_FIN) === 0) {
			duplicate(c, next, nextEnd);
			const gone = after;
			after = pool.next(after);
			pool.release(gone);
			if (before !== 0) pool.setNext(before, after);
			else c.oooHead = after;
			if (after === 0) c.oooTail = before;
			continue;
		}
		if (seqGt(end, next)) {
			duplicate(c, next, end);
			left = (next - at) | 0;
			// The FIN stands behind bytes that are there already, with their own FIN if there is one.
			last = false;
		}
		break;
	}
	if (left <= 0 && !last) return false;
	// What does not go on where the last one ended is in another block.
	if (before === 0 || pool.seq(before) !== c.oooLast || ((pool.seq(before) + pool.length(before)) | 0) !== at) c.oooBefore = c.oooLast;
	pool.setStart(page, from);
	pool.setLength(page, Math.max(left, 0));
	pool.setSeq(page, at);
	pool.setFlags(page, last ? P_FIN : 0);
	pool.setNext(page, after);
	if (before !== 0) pool.setNext(before, page);
	else c.oooHead = page;
	if (after === 0) c.oooTail = page;
	return true;
}

function duplicate(c: Connection, start: number, end: number): void {
	if (start === end) return;
	c.dsackStart = start;
	c.dsackEnd = end;
}

/**
 * Writes the SACK option; returns its length. First the duplicate range (RFC 2883), then the block that changed last, then those
 * that were reported before it (RFC 2018 4): so a block that is news reaches the sender even when the ACK that told of it is lost.
 */
export function writeSackBlocks(t: Tcp, c: Connection, at: number, most: number): number {
	if ((c.flags & C_SACK) === 0) return 0;
	const edges = t.sackEdges;
	let count = 0;
	if (c.dsackStart !== c.dsackEnd) {
		edges[0] = c.dsackStart;
		edges[1] = c.dsackEnd;
		c.dsackStart = c.dsackEnd;
		count = 1;
	}
	if (c.oooHead === 0) return writeSack(t.u8, at, edges, count);
	const pool = t.pool;
	const blocks = t.sackBlocks;
	blocks.fill(0);
	for (let page = c.oooHead; page !== 0; ) {
		const start = pool.seq(page);
		let end = start;
		for (; page !== 0 && seqLeq(pool.seq(page), end); page = pool.next(page)) end = seqMax(end, (pool.seq(page) + pool.length(page)) | 0);
		// Nothing but a FIN makes no block.
		if (start === end) continue;
		if (seqLeq(start, c.oooLast) && seqLt(c.oooLast, end)) setBlock(blocks, NEWEST, start, end);
		else if (seqLeq(start, c.oooBefore) && seqLt(c.oooBefore, end)) setBlock(blocks, BEFORE, start, end);
		else {
			// The higher, the newer, most of the time: the highest come first, the lowest drop off.
			blocks.copyWithin(2 * HIGHEST + 2, 2 * HIGHEST, 2 * BLOCKS - 2);
			setBlock(blocks, HIGHEST, start, end);
		}
	}
	for (let i = 0; i < BLOCKS && count < most; i++) {
		if (blocks[2 * i] === blocks[2 * i + 1]) continue;
		setBlock(edges, count, blocks[2 * i]!, blocks[2 * i + 1]!);
		count++;
	}
	return writeSack(t.u8, at, edges, count);
}

/** Places of blocks before they are put in a row. */
const NEWEST = 0;
const BEFORE = 1;
const HIGHEST = 2;
/** All places: as many for the highest as an option has blocks. */
const BLOCKS = 6;

function setBlock(edges: Int32Array, i: number, start: number, end: number): void {
	edges[2 * i] = start;
	edges[2 * i + 1] = end;
}

/** Copies up to `length` bytes out of the receive segment; returns how many. */
export function readInto(t: Tcp, c: Connection, target: Uint8Array, offset: number, length: number): number {
	const pool = t.pool;
	let page = c.rcvHead;
	let to = offset;
	let left = length;
	const { capacity } = pool;
	while (page !== 0 && left > 0) {
		const start = pool.start(page);
		let n = 0;
		if (page > capacity) {
			const have = pool.length(page);
			n = Math.min(have, left);
			target.set(pool.landed(page).subarray(start, start + n), to);
			to += n;
			left -= n;
			if (n < have) {
				pool.setStart(page, start + n);
				pool.setLength(page, have - n);
				break;
			}
			const next = pool.next(page);
			pool.release(page);
			page = next;
			continue;
		}
		// Pages of a long frame lie one behind the other: one copy for all of them.
		do {
			const have = pool.length(page);
			if (have > left - n) {
				const part = left - n;
				pool.setStart(page, start + left);
				pool.setLength(page, have - part);
				n = left;
				break;
			}
			n += have;
			const next = pool.next(page);
			// Its bytes stay what they are until the next page is asked for.
			pool.release(page);
			page = next;
		} while (page !== 0 && n < left && pool.start(page) === start + n && page <= capacity);
		pool.copy.out(start, target, to, n);
		to += n;
		left -= n;
	}
	c.rcvHead = page;
	if (page === 0) c.rcvTail = 0;
	const taken = to - offset;
	c.rcvBytes -= taken;
	tuneBuffer(t, c, taken);
	return taken;
}

/** What came first, if it is a landing that is whole: its buffer, or a view of it (memory/pages.ts), which is the caller's then. Else null. */
export function takeLanding(t: Tcp, c: Connection): Uint8Array | null {
	const { pool } = t;
	const page = c.rcvHead;
	if (page <= pool.capacity) return null;
	if (!pool.isWhole(page)) return null;
	const length = pool.length(page);
	const bytes = pool.giveLanded(page);
	const next = pool.next(page);
	pool.release(page);
	c.rcvHead = next;
	if (next === 0) c.rcvTail = 0;
	c.rcvBytes -= length;
	tuneBuffer(t, c, length);
	return bytes;
}

/** Of the first `most` bytes, how many there are before the first landing that is whole: what is best copied, for that can be taken. */
export function beforeLanding(t: Tcp, c: Connection, most: number): number {
	const { pool } = t;
	if (pool.landingsFree === pool.landings) return most;
	let bytes = 0;
	for (let page = c.rcvHead; page !== 0 && bytes < most; page = pool.next(page)) {
		if (page > pool.capacity && pool.isWhole(page)) return bytes;
		bytes += pool.length(page);
	}
	return most;
}

/** Microseconds of a measuring interval while no round-trip time is known. */
const UNKNOWN_ROUND_TRIP = 100_000;

/**
 * Receive buffer tuning: when the application reads more than half of the buffer within one round trip, the window is what
 * holds the sender back, so the buffer doubles what was read (dynamic right-sizing; Linux does the same).
 */
function tuneBuffer(t: Tcp, c: Connection, taken: number): void {
	c.rcvRttBytes += taken;
	const elapsed = (t.now - c.rcvRttStart) >>> 0;
	if (elapsed < (c.srtt || UNKNOWN_ROUND_TRIP)) return;
	if (2 * c.rcvRttBytes > c.rcvBuf) c.rcvBuf = Math.min(Math.max(2 * c.rcvRttBytes, 2 * c.rcvBuf), t.options.maxReceiveBuffer);
	c.rcvRttStart = t.now;
	c.rcvRttBytes = 0;
}

/** The window to advertise now, as it stands in the header; notes the edge that this promises. */
export function advertise(t: Tcp, c: Connection): number {
	const { rcvAdv, rcvNxt, rcvBuf } = c;
	const old = (rcvAdv - rcvNxt) | 0;
	let window = rcvBuf - c.rcvBytes;
	// RFC 9293 3.8.6.2.2: move the edge by a full segment or half the buffer, or not at all; and never to the left. When the pool
	// runs short nobody gets more.
	if (window - old < Math.min(rcvBuf >> 1, t.ownMss) || t.pool.free < t.scarcePages) window = old;
	if (window < old) window = old;
	const scale = c.rcvScale;
	const field = Math.min((window + (1 << scale) - 1) >> scale, 65535);
	c.rcvAdv = seqMax((rcvNxt + (field << scale)) | 0, rcvAdv);
	return field;
}

/** Whether the application has read so much that the sender should be told (RFC 9293 3.8.6.2.2). */
export function windowUpdateDue(t: Tcp, c: Connection): boolean {
	const open = (c.rcvAdv - c.rcvNxt) | 0;
	// Not more than the header can say: without scaling, a buffer beyond 64 KiB opens nothing.
	const gain = Math.min(c.rcvBuf - c.rcvBytes, 65535 << c.rcvScale) - open;
	// Worth an ACK of its own when the sender may be held back: the window was nearly shut, or a quarter of the buffer is new.
	return gain >= Math.min(c.rcvBuf >> 1, 2 * t.ownMss) && (open < 2 * t.ownMss || gain >= c.rcvBuf >> 2);
}

/** Frees everything received. */
export function dropReceived(t: Tcp, c: Connection): void {
	for (let page = c.rcvHead; page !== 0; ) {
		const next = t.pool.next(page);
		t.pool.release(page);
		page = next;
	}
	c.rcvHead = 0;
	c.rcvTail = 0;
	c.rcvBytes = 0;
	dropEarly(t, c);
}

/** Frees what came too early: allowed by RFC 2018 8, done only when the connection needs it no more. */
export function dropEarly(t: Tcp, c: Connection): void {
	for (let page = c.oooHead; page !== 0; ) {
		const next = t.pool.next(page);
		t.pool.release(page);
		page = next;
	}
	c.oooHead = 0;
	c.oooTail = 0;
}
