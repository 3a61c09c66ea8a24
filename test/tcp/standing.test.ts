/** A queue that stands in the link: when windows are held, at what, whose are not, and that all get theirs back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import { readInto, receiveData } from "../../src/tcp/receive.ts";
import { edgeStep, shownBuffer } from "../../src/tcp/standing.ts";
import { advertise, windowUpdateDue } from "../../src/tcp/window.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";

const DEFAULT = 262_144;
const LEAST = 65_536;

function setup(slabs = 0) {
	const { t, pool, connection } = bareTcp({ receiveBuffer: DEFAULT, maxReceiveBuffer: 4_194_304 }, 64, 0, slabs);
	/** Looks once a millisecond at a link that has more, or has none. */
	const look = (ms: number, waiting: boolean) => {
		for (let n = 0; n < ms; n++) {
			t.setTime(t.nowFull + 1000);
			t.standing.look(t, waiting);
		}
	};
	const c = connection();
	c.rcvScale = 7;
	c.rcvAdv = c.rcvNxt;
	const window = () => advertise(t, c) << c.rcvScale;
	return { t, pool, c, look, window };
}

test("RFC 8289: a queue that stands for 5 ms has windows held, half as large each time, down to a frame", () => {
	const { t, c, look } = setup();
	look(5, true);
	assert.equal(shownBuffer(t, c), DEFAULT, "not before");
	c.rcvBuf = 4_194_304;
	const shown = [];
	for (let n = 0; n < 5; n++) {
		look(n === 0 ? 1 : 5, true);
		shown.push(shownBuffer(t, c));
	}
	assert.deepEqual(shown, [DEFAULT, DEFAULT / 2, LEAST, LEAST, LEAST]);
	assert.equal(t.counters.standingQueues, 5);
});

test("no window is held below its share of what comes in in 5 ms: with these nothing waits longer", () => {
	const { t, c, look } = setup();
	c.rcvBuf = 4_194_304;
	look(1, true);
	const shown = [];
	for (const bytes of [8_000_000, 800_000, 800_000, 800_000, 1000]) {
		t.counters.bytesIn += bytes;
		look(5, true);
		shown.push(shownBuffer(t, c));
	}
	// One connection, so all of it is its share.
	assert.deepEqual(shown, [4_194_304, 800_000, 800_000, 800_000, DEFAULT]);
});

test("a burst that is over within 5 ms, again and again, holds nobody", () => {
	const { t, c, look } = setup();
	for (let n = 0; n < 1000; n++) {
		look(5, true);
		look(1, false);
	}
	assert.equal(shownBuffer(t, c), DEFAULT);
	assert.equal(t.counters.standingQueues, 0);
});

test("once the link is found empty now and then the limit grows by a quarter each 20 ms, and after half a second holds nobody, whatever has been", () => {
	const { t, c, look } = setup();
	c.rcvBuf = 4_194_304;
	look(30, true);
	assert.equal(shownBuffer(t, c), LEAST);
	for (let n = 0; n < 6; n++) {
		look(3, true);
		look(1, false);
	}
	assert.equal(shownBuffer(t, c), LEAST + LEAST / 4);
	for (let n = 0; n < 100; n++) {
		look(4, true);
		look(1, false);
	}
	assert.equal(shownBuffer(t, c), c.rcvBuf);
	look(30, true);
	assert.equal(shownBuffer(t, c), LEAST);
	// Asleep meanwhile: one look says all.
	t.setTime(t.nowFull + 3_600_000_000);
	look(1, false);
	assert.equal(shownBuffer(t, c), c.rcvBuf);
});

test("who is far away behind a router is not held; a neighbor is, and who is near", () => {
	const { t, c, look } = setup();
	look(30, true);
	for (const [minRtt, neighbor, shown] of [
		[100, false, LEAST],
		[19_999, false, LEAST],
		[20_000, false, DEFAULT],
		[20_000, true, LEAST],
	] as const) {
		c.minRtt = minRtt;
		t.lower.isNeighbor = () => neighbor;
		assert.equal(shownBuffer(t, c), shown, `${minRtt} us`);
	}
	c.rcvBuf = 10_000;
	assert.equal(shownBuffer(t, c), 10_000, "what is smaller stays so");
});

test("a window that is held moves by whole long frames where the link has such, else by segments", () => {
	for (const slabs of [0, 8]) {
		const { t, c, look } = setup(slabs);
		assert.equal(edgeStep(t, c, shownBuffer(t, c), t.ownMss), t.ownMss);
		look(12, true);
		assert.equal(edgeStep(t, c, shownBuffer(t, c), t.ownMss), slabs > 0 ? 65_160 : t.ownMss);
		look(30, true);
		assert.equal(edgeStep(t, c, shownBuffer(t, c), t.ownMss), slabs > 0 ? LEAST / 2 : t.ownMss);
	}
});

/** A segment of `length` octets comes in order. */
function arrive(t: ReturnType<typeof setup>["t"], pool: ReturnType<typeof setup>["pool"], c: Connection, length: number): void {
	const page = pool.alloc();
	assert.notEqual(page, 0);
	if (!receiveData(t, c, page, pool.address(page), length, c.rcvNxt, false)) pool.release(page);
}

test("what was promised before a window is held stays promised; what comes uses it up, and no more is promised until the limit is reached", () => {
	const { t, pool, c, look, window } = setup();
	assert.equal(window(), DEFAULT);
	const edge = c.rcvAdv;
	look(30, true);
	const target = new Uint8Array(2048);
	for (let open = DEFAULT; open > LEAST + 1448; open -= 1448) {
		arrive(t, pool, c, 1448);
		readInto(t, c, target, 0, 2048);
		assert.equal(windowUpdateDue(t, c), false);
		const told = window();
		assert.equal(c.rcvAdv, edge, "the edge stands still");
		assert.ok(Math.abs(told - ((edge - c.rcvNxt) | 0)) < 128, "and is told as it stands");
	}
	for (let n = 0; n < 100; n++) {
		arrive(t, pool, c, 1448);
		readInto(t, c, target, 0, 2048);
		assert.ok(window() <= LEAST + 128);
	}
	assert.ok(((c.rcvAdv - c.rcvNxt) | 0) > LEAST - 2 * 1448, "which is kept open");
});

test("a peer that fills a held window, whatever its segments and the reads, is told of room as soon as all is read", () => {
	fc.assert(
		fc.property(
			fc.array(fc.record({ length: fc.integer({ min: 1, max: 1448 }), read: fc.nat(3000), held: fc.boolean() }), {
				minLength: 1,
				maxLength: 60,
			}),
			fc.constantFrom(0, 8),
			(steps, slabs) => {
				const { t, pool, c, look, window } = setup(slabs);
				window();
				const target = new Uint8Array(65_536);
				for (const { length, read, held } of steps) {
					look(held ? 12 : 1, held);
					if (((c.rcvAdv - c.rcvNxt) | 0) >= length) arrive(t, pool, c, length);
					const before = c.rcvAdv;
					readInto(t, c, target, 0, read);
					window();
					assert.ok(((c.rcvAdv - before) | 0) >= 0, "no promise is taken back");
				}
				// The rest of the window comes, and is read.
				for (let open = (c.rcvAdv - c.rcvNxt) | 0; open > 0; open = (c.rcvAdv - c.rcvNxt) | 0) {
					arrive(t, pool, c, Math.min(1448, open));
					while (c.rcvBytes > 0) readInto(t, c, target, 0, target.length);
				}
				assert.ok(windowUpdateDue(t, c), "the window is shut, and all is read");
				assert.ok(window() > 0);
			},
		),
		{ numRuns: 300 },
	);
});
