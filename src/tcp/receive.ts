/**
 * The receive segment: bytes in order that the application has not read.
 *
 * Hides how frames become a stream. The page that a frame came in is linked into the segment, not copied; a small piece is
 * copied behind the last page if it fits there, so that a flood of tiny segments cannot hold a page each. What came too
 * early waits in a list of its own (early.ts); what is read opens the window (window.ts).
 */
import * as pages from "../memory/pages.ts";
import type { Connection } from "./connection.gen.ts";
import { dropEarly, insert, shiftEarly } from "./early.ts";
import type { Tcp } from "./engine.ts";
import { sendAck } from "./output.ts";
import { seqLeq } from "./seq.ts";
import * as state from "./state.ts";
import { tuneBuffer } from "./window.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_ACK_NOW, C_NO_PAGE, C_PURE_ACK, C_SACK, P_FIN } = state;
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
		last = false;
		left -= beyond;
		// What is early asks for its ACK below.
		if (left <= 0 || at === rcvNxt) c.flags |= C_ACK_NOW;
		if (left <= 0) return false;
	}
	if (left === 0 && !last) return false;
	if (at === rcvNxt) {
		// The sender will repeat this.
		if (left > 0 && !t.shortage.mayKeep(c)) {
			t.counters.noPage++;
			t.shortage.shut(c);
			return false;
		}
		return inOrder(t, c, page, from, left, last);
	}
	t.counters.outOfOrder++;
	// RFC 5681 4.2: an ACK for each early segment. With SACK one can tell of all that came in this turn; without, the peer counts to three.
	if ((c.flags & (C_SACK | C_ACK_NOW)) === C_ACK_NOW) sendAck(t, c);
	c.flags |= C_ACK_NOW | C_PURE_ACK;
	const kept = insert(t, c, page, from, left, at, last);
	c.oooLast = at;
	return kept;
}

function inOrder(t: Tcp, c: Connection, page: number, start: number, length: number, fin: boolean): boolean {
	const kept = length > 0 && append(t, c, page, start, length);
	taken(c, length);
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

/** Bytes in order were taken: if others found no page, what is left of the window may come now. */
function taken(c: Connection, length: number): void {
	c.rcvNxt = (c.rcvNxt + length) | 0;
	if ((c.flags & C_NO_PAGE) !== 0) c.flags &= ~C_NO_PAGE;
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
		taken(c, length);
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
	while (c.oooHead !== 0 && seqLeq(pool.seq(c.oooHead), c.rcvNxt)) {
		const page = shiftEarly(t, c);
		const skip = (c.rcvNxt - pool.seq(page)) | 0;
		const length = pool.length(page) - skip;
		const fin = (pool.flags(page) & P_FIN) !== 0;
		let kept = false;
		if (length > 0) {
			kept = append(t, c, page, pool.start(page) + skip, length);
			c.rcvNxt = (c.rcvNxt + length) | 0;
		}
		if (!kept) pool.release(page);
		if (fin && length >= 0) {
			t.finArrived = true;
			dropEarly(t, c);
		}
	}
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
	return beginAt(t, c, page, to - offset);
}

/**
 * What came first, where it lies: the bytes of a landing, or of pages one behind the other. Null if nothing is there. They are the receive
 * segment's until `dropFirst` frees them.
 */
export function firstPiece(t: Tcp, c: Connection): Uint8Array | null {
	const { pool } = t;
	const head = c.rcvHead;
	if (head === 0) return null;
	const start = pool.start(head);
	let end = start + pool.length(head);
	if (head > pool.capacity) return pool.landed(head).subarray(start, end);
	for (let page = pool.next(head); page !== 0 && page <= pool.capacity && pool.start(page) === end; page = pool.next(page))
		end += pool.length(page);
	return pool.u8.subarray(start, end);
}

/** Frees the first `length` bytes, or as many as there are, without a copy; returns how many. */
export function dropFirst(t: Tcp, c: Connection, length: number): number {
	const { pool } = t;
	let page = c.rcvHead;
	let left = length;
	while (page !== 0 && left > 0) {
		const have = pool.length(page);
		if (have > left) {
			pool.setStart(page, pool.start(page) + left);
			pool.setLength(page, have - left);
			left = 0;
			break;
		}
		left -= have;
		const next = pool.next(page);
		pool.release(page);
		page = next;
	}
	return beginAt(t, c, page, length - left);
}

/** So many bytes were taken, and the receive segment begins with `page` now. */
function beginAt(t: Tcp, c: Connection, page: number, taken: number): number {
	c.rcvHead = page;
	if (page === 0) c.rcvTail = 0;
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
	beginAt(t, c, next, length);
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
