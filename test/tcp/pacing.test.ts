/** Pacing's budget: what a turn that comes late makes up for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import type { Tcp } from "../../src/tcp/engine.ts";
import { paceBudget } from "../../src/tcp/pacing.ts";

const MS = 1000;
/** Bytes a second: one in a microsecond. */
const RATE = 1e6;

/** Bytes of a turn that is `late` for a connection with something in flight, or nothing. */
function budget(late: number, srtt: number, inFlight = true): number {
	const now = 1e6;
	const record = { paceTime: now - late, paceRate: RATE, sndUna: 0, sndNxt: inFlight ? 1 : 0, lastSent: 900, srtt };
	return paceBudget({ now, tick: 1000 } as Tcp, record as Connection);
}

test("a turn that is late makes up for it up to a quarter of a round trip, from 4 to 20 ms, and has a millisecond ahead", () => {
	assert.equal(budget(0, 40 * MS), 1 * MS);
	assert.equal(budget(3 * MS, 100), 4 * MS);
	assert.equal(budget(6 * MS, 100), 5 * MS);
	assert.equal(budget(9 * MS, 40 * MS), 10 * MS);
	assert.equal(budget(15 * MS, 40 * MS), 11 * MS);
	assert.equal(budget(50 * MS, 400 * MS), 21 * MS);
});

test("a connection that had nothing in flight saves up no burst", () => {
	assert.equal(budget(50 * MS, 400 * MS, false), 1 * MS);
});
