/**
 * What came too early: a list of pages sorted by sequence number, whose runs are the SACK blocks (RFC 2018, RFC 2883).
 *
 * Hides how bytes that overlap are kept once, and found soon. The first page of each run knows the last one (its AUX word), so whoever looks
 * for a place steps from hole to hole, not from page to page. A piece that continues a run is copied into its last page if it fits there, as
 * in order. The list lives in the connection record (`ooo...`); receive.ts takes from its head what has become in order.
 *
 * A peer may scatter what it sends so that each byte wants a page and a run of its own (CVE-2018-5390, SegmentSmack). So pages and runs are
 * counted, and what goes beyond their limits is not kept: the sender repeats it (RFC 2018 8).
 */

import type { PagePool } from "../memory/pages.ts";
import * as pages from "../memory/pages.ts";
import { writeSack } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { seqGeq, seqLeq, seqLt } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_SACK, P_FIN } = state;
const { PAGE_SIZE } = pages;

/**
 * Most early pages: one for each 512 bytes (as a shift) of the receive buffer, and some for small ones. A whole window of segments of 536 bytes
 * (RFC 9293 3.7.1) ahead of one hole fits even when no two share a page; and bytes hold four times their length at most.
 */
const PAGES_SHIFT = 9;
const PAGES_MORE = 128;
/**
 * Most runs. Of 2,900 segments, 4 MiB, 512 are lost one by one at a loss of 23 percent, where no sender has as many under way. To step over
 * all of them takes microseconds.
 */
const RUNS = 512;

/** `oooCount` has pages in its low bits, more than fit 4 GiB, and runs in the others. */
const RUN_SHIFT = 21;
const ONE_RUN = 1 << RUN_SHIFT;
const PAGE_MASK = ONE_RUN - 1;

/** Puts a page into the early list. Bytes that are there already are cut off; a page that adds nothing, or is one too many, is not kept. */
export function insert(t: Tcp, c: Connection, page: number, start: number, length: number, seq: number, fin: boolean): boolean {
	const pool = t.pool;
	if (!t.shortage.mayKeepEarly(c.oooCount & PAGE_MASK)) {
		t.counters.noPage++;
		return false;
	}
	// The run that begins at or before `seq`, and the one behind it.
	let run = 0;
	let after = c.oooHead;
	if (c.oooTail !== 0 && seqGeq(seq, pool.seq(c.oooTail))) {
		run = c.oooTail;
		after = 0;
	} else {
		while (after !== 0 && seqLeq(pool.seq(after), seq)) {
			run = after;
			after = pool.next(pool.aux(after));
		}
	}
	const before = run === 0 ? 0 : pool.aux(run);
	let at = seq;
	let from = start;
	let left = length;
	let last = fin;
	let adjoins = false;
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
		adjoins = at === end;
	}
	const joins = adjoins && hasRoom(pool, before, left);
	// Asked before what is covered is given up for it.
	const alone = !adjoins && (after === 0 || seqLt((at + left) | 0, pool.seq(after)));
	if (!joins && tooMany(t, c, alone)) return false;
	// A run behind that is covered goes; one that is covered in part cuts this page's end.
	while (after !== 0) {
		const next = pool.seq(after);
		const end = (at + left) | 0;
		if (seqLeq(end, next)) break;
		const lastOfIt = pool.aux(after);
		const nextEnd = (pool.seq(lastOfIt) + pool.length(lastOfIt)) | 0;
		if (seqLt(end, nextEnd) || (pool.flags(lastOfIt) & P_FIN) !== 0) {
			duplicate(c, next, seqLt(end, nextEnd) ? end : nextEnd);
			left = (next - at) | 0;
			// The FIN stands behind bytes that are there already, with their own FIN if there is one.
			last = false;
			break;
		}
		duplicate(c, next, nextEnd);
		after = dropRun(t, c, after);
	}
	// What does not go on where the last one ended is in another block.
	if (!adjoins || seqLt(c.oooLast, pool.seq(run)) || seqGeq(c.oooLast, at)) c.oooBefore = c.oooLast;
	if (joins) {
		const behind = pool.length(before);
		pool.copy.within(pool.start(before) + behind, from, left);
		pool.setLength(before, behind + left);
		if (last) pool.setFlags(before, P_FIN);
	} else {
		pool.setStart(page, from);
		pool.setLength(page, left);
		pool.setSeq(page, at);
		pool.setFlags(page, last ? P_FIN : 0);
		if (before !== 0) pool.setNext(before, page);
		else c.oooHead = page;
		c.oooCount++;
	}
	const end = joins ? before : page;
	pool.setNext(end, after);
	if (!adjoins) {
		run = page;
		c.oooCount += ONE_RUN;
	}
	if (after !== 0 && pool.seq(after) === ((at + left) | 0)) {
		// The hole is filled: two runs become one.
		pool.setAux(run, pool.aux(after));
		if (c.oooTail === after) c.oooTail = run;
		c.oooCount -= ONE_RUN;
	} else {
		pool.setAux(run, end);
		if (after === 0) c.oooTail = run;
	}
	return !joins;
}

/** Whether `bytes` more can be copied behind what a page of the early list holds: as far as it is free, and nobody else reads it. */
function hasRoom(pool: PagePool, page: number, bytes: number): boolean {
	const end = pool.start(page) + pool.length(page);
	return end + bytes <= pool.address(page) + PAGE_SIZE && pool.refs(page) === 1 && (pool.flags(page) & P_FIN) === 0;
}

/** Whether one more page is too much, or one more run. */
function tooMany(t: Tcp, c: Connection, alone: boolean): boolean {
	if ((c.oooCount & PAGE_MASK) >= PAGES_MORE + (c.rcvBuf >> PAGES_SHIFT)) {
		t.counters.earlyPages++;
		return true;
	}
	if (alone && c.oooCount >>> RUN_SHIFT >= RUNS) {
		t.counters.earlyRuns++;
		return true;
	}
	return false;
}

/** Frees a run; returns the one behind it. The list is not whole until the caller has linked something in its place. */
function dropRun(t: Tcp, c: Connection, run: number): number {
	const pool = t.pool;
	const behind = pool.next(pool.aux(run));
	for (let page = run; page !== behind; ) {
		const next = pool.next(page);
		pool.release(page);
		c.oooCount--;
		page = next;
	}
	c.oooCount -= ONE_RUN;
	return behind;
}

/** Takes the first page off the list; it is the caller's then. */
export function shiftEarly(t: Tcp, c: Connection): number {
	const pool = t.pool;
	const page = c.oooHead;
	const next = pool.next(page);
	const end = pool.aux(page);
	c.oooCount--;
	if (page === end) c.oooCount -= ONE_RUN;
	else pool.setAux(next, end);
	if (c.oooTail === page) c.oooTail = next;
	c.oooHead = next;
	return page;
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
	let others = 0;
	for (let run = c.oooHead; run !== 0; ) {
		const last = pool.aux(run);
		const start = pool.seq(run);
		const end = (pool.seq(last) + pool.length(last)) | 0;
		run = pool.next(last);
		// Nothing but a FIN makes no block.
		if (start === end) continue;
		if (seqLeq(start, c.oooLast) && seqLt(c.oooLast, end)) setBlock(blocks, NEWEST, start, end);
		else if (seqLeq(start, c.oooBefore) && seqLt(c.oooBefore, end)) setBlock(blocks, BEFORE, start, end);
		else setBlock(blocks, OTHERS + (others++ & OTHERS_MASK), start, end);
	}
	count = takeBlock(blocks, NEWEST, edges, count, most);
	count = takeBlock(blocks, BEFORE, edges, count, most);
	// The higher, the newer, most of the time: the highest first.
	for (let i = others - 1; i >= 0 && i >= others - 1 - OTHERS_MASK; i--)
		count = takeBlock(blocks, OTHERS + (i & OTHERS_MASK), edges, count, most);
	return writeSack(t.u8, at, edges, count);
}

/** Places of blocks before they are put in a row: the last, the one before it, and a ring of the others, as many as an option has blocks. */
const NEWEST = 0;
const BEFORE = 1;
const OTHERS = 2;
const OTHERS_MASK = 3;

/** Puts a block behind the `count` that are there, if there is one and room for it; returns how many are there then. */
function takeBlock(blocks: Int32Array, place: number, edges: Int32Array, count: number, most: number): number {
	const start = blocks[2 * place]!;
	const end = blocks[2 * place + 1]!;
	if (start === end || count >= most) return count;
	setBlock(edges, count, start, end);
	return count + 1;
}

function setBlock(edges: Int32Array, i: number, start: number, end: number): void {
	edges[2 * i] = start;
	edges[2 * i + 1] = end;
}

/** How many early pages there are. */
export function earlyPages(c: Connection): number {
	return c.oooCount & PAGE_MASK;
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
	c.oooCount = 0;
}
