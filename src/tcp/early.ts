/**
 * What came too early: a list of pages sorted by sequence number, whose runs are the SACK blocks (RFC 2018, RFC 2883).
 *
 * Hides how bytes that overlap are kept once. The list lives in the connection record (`ooo...`); receive.ts takes from its head
 * what has become in order.
 */
import { writeSack } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { seqGeq, seqGt, seqLeq, seqLt, seqMax } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_SACK, P_FIN } = state;

/** Puts a page into the early list. Bytes that are there already are cut off; a page that adds nothing is not kept. */
export function insert(t: Tcp, c: Connection, page: number, start: number, length: number, seq: number, fin: boolean): boolean {
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
