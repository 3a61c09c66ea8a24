/** The early list under floods, and under honest peers whose whole window comes ahead of one hole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeSackBlocks } from "../../src/tcp/early.ts";
import { dropReceived, readInto, receiveData } from "../../src/tcp/receive.ts";
import { C_SACK } from "../../src/tcp/state.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";
import { Invariants } from "../helpers/invariants.ts";
import { decodeSack } from "../helpers/segment.ts";

const KIB = 1024;
/** Most runs without a hole that a connection keeps ahead of the first. */
const RUNS = 512;
/** Where payload begins in a page that a link has filled: head room, and headers with timestamps. */
const PAYLOAD = 128 + 66;

/** A connection with a window of `buffer` bytes, of which nothing has come, and the peer's side of it. */
function peer(buffer: number, pages: number) {
	const { t, pool, connection } = bareTcp({ receiveBuffer: buffer, maxReceiveBuffer: buffer }, pages);
	const c = connection();
	c.flags |= C_SACK;
	t.table.insert(c.index);
	c.rcvAdv = (c.rcvNxt + buffer) | 0;
	c.rcvBuf = buffer;
	const origin = c.rcvNxt;
	const stream = Uint8Array.from({ length: buffer }, (_, i) => (i * 31) ^ (i >> 8));
	const invariants = new Invariants(t);
	const self = {
		t,
		pool,
		c,
		send(at: number, length: number, fin = false) {
			const page = pool.alloc() || assert.fail("the pool is empty");
			const start = pool.address(page) + PAYLOAD;
			pool.u8.set(stream.subarray(at, at + length), start);
			if (!receiveData(t, c, page, start, length, (origin + at) | 0, fin)) pool.release(page);
		},
		/** The early list, as SACK blocks relative to the first byte. */
		blocks() {
			const at = pool.arena.reserve(64);
			const edges = decodeSack(pool.u8.subarray(at, at + writeSackBlocks(t, c, at, 4)));
			return edges.map(([from, to]) => [(from - origin) | 0, (to - origin) | 0]);
		},
		early() {
			let bytes = 0;
			for (let page = c.oooHead; page !== 0; page = pool.next(page)) bytes += pool.length(page);
			return bytes;
		},
		check: () => invariants.check(false),
		/** All that has not come by now comes in order; what is read is right, and nothing is left. */
		complete(segment: number) {
			for (let at = (c.rcvNxt - origin) | 0; at < buffer; at = (c.rcvNxt - origin) | 0) {
				const length = Math.min(segment, buffer - at);
				self.send(at, length, at + length === buffer);
			}
			assert.equal(c.oooHead, 0);
			assert.equal(c.oooCount, 0);
			const all = new Uint8Array(buffer + 1);
			assert.equal(readInto(t, c, all, 0, all.length), buffer);
			assert.deepEqual(all.subarray(0, buffer), stream);
			dropReceived(t, c);
			assert.equal(pool.inUse, 0);
		},
	};
	return self;
}

test("RFC 2018 8: of scattered pieces no more are kept than there may be runs, and the stream is whole when the holes are filled", () => {
	for (const length of [1, 256]) {
		const { t, pool, c, send, check, early, complete } = peer(256 * KIB, 4096);
		let sent = 0;
		for (let at = 1; at + length <= 256 * KIB; at += length + 1, sent++) send(at, length);
		check();
		assert.equal(pool.inUse, RUNS);
		assert.equal(early(), RUNS * length);
		assert.equal(t.counters.earlyRuns, sent - RUNS);
		// What continues a run, fills a hole or covers runs adds none.
		send((length + 1) * RUNS, 1);
		send((length + 1) * 7, 1);
		send(1, length * 4 + 4);
		check();
		assert.equal(t.counters.earlyRuns, sent - RUNS);
		assert.equal(c.oooCount >>> 21, RUNS - 5);
		complete(length === 1 ? 1448 : 536);
	}
});

test("RFC 2018 8: pieces that come backwards, so that no two share a page, hold a bounded number of pages", () => {
	const { t, pool, send, check, early, complete } = peer(256 * KIB, 4096);
	for (let at = 256 * KIB - 1; at > 0; at--) send(at, 1);
	check();
	assert.equal(pool.inUse, 128 + 512);
	assert.equal(early(), pool.inUse);
	assert.equal(t.counters.earlyPages, 256 * KIB - 1 - pool.inUse);
	complete(1448);
});

test("crumbs in a row share pages, ahead of a hole as in order", () => {
	const { t, pool, send, check, blocks, complete } = peer(8 * KIB, 64);
	for (let at = 1; at < 8 * KIB; at++) send(at, 1, at === 8 * KIB - 1);
	check();
	assert.ok(pool.inUse <= 5, `${pool.inUse} pages`);
	assert.deepEqual(blocks(), [[1, 8 * KIB]]);
	t.finArrived = false;
	complete(1);
	assert.ok(t.finArrived, "the FIN came with the last crumb");
});

test("RFC 2018 4: a crumb that continues a block that was not the last makes it the first block, the others follow by age", () => {
	const { send, blocks, complete } = peer(8 * KIB, 64);
	send(10, 10);
	send(30, 10);
	send(50, 10);
	send(20, 2);
	assert.deepEqual(blocks().slice(0, 2), [
		[10, 22],
		[50, 60],
	]);
	send(22, 2);
	send(24, 2);
	assert.deepEqual(blocks().slice(0, 2), [
		[10, 26],
		[50, 60],
	]);
	complete(1448);
});

test("a page that somebody else still reads is not written to", () => {
	const { pool, c, send, complete } = peer(8 * KIB, 64);
	send(10, 10);
	const shared = c.oooHead;
	pool.retain(shared);
	send(20, 10);
	assert.equal(pool.length(shared), 10);
	pool.release(shared);
	complete(1448);
});

for (const [size, order] of [
	[1448, "in order"],
	[1448, "backwards"],
	[536, "in order"],
	[536, "backwards"],
	[200, "in order"],
] as const) {
	test(`a whole window of 4 MiB in segments of ${size}, ${order}, ahead of one hole is kept`, () => {
		const buffer = 4096 * KIB;
		const { t, send, check, early, complete } = peer(buffer, 9800);
		const count = Math.floor(buffer / size) - 1;
		for (let i = 0; i < count; i++) send((order === "in order" ? i + 1 : count - i) * size, size);
		assert.equal(early(), count * size);
		assert.equal(t.counters.earlyPages + t.counters.earlyRuns + t.counters.noPage, 0);
		check();
		complete(size);
	});
}

const piece = fc.record({
	at: fc.oneof(fc.nat(5000), fc.nat(300)),
	length: fc.oneof(fc.nat(1600), fc.nat(20)),
	/** The page is still read by somebody else: nothing is copied behind it. */
	shared: fc.boolean(),
});

test("whatever comes in whatever order, the list stays whole: sorted, runs as long as they can be, pages and runs counted", () => {
	fc.assert(
		fc.property(fc.array(piece, { minLength: 1, maxLength: 80, size: "max" }), (pieces) => {
			const { c, pool, send, check, complete } = peer(5000, 400);
			const held: number[] = [];
			for (const { at, length, shared } of pieces) {
				const count = Math.min(length, 5000 - at);
				if (count > 0) send(at, count, at + count === 5000);
				if (shared && c.oooHead !== 0) {
					const last = pool.aux(c.oooTail);
					pool.retain(last);
					held.push(last);
				}
				check();
			}
			for (const page of held) pool.release(page);
			complete(1448);
		}),
		{ numRuns: 300 },
	);
});
