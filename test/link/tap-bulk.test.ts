/** When frames of many segments are asked for, and when no longer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BulkSense } from "../../src/link/tap-bulk.ts";

/** Batches of bulk until long frames are asked for. */
function batchesUntilOn(sense: BulkSense): number {
	for (let n = 1; n < 5000; n++) if (sense.batch(64, 64)) return n;
	return Number.POSITIVE_INFINITY;
}

/** Frames, every `every`th of them long, until long ones are asked for no more. */
function framesUntilOff(sense: BulkSense, every: number): number {
	for (let n = 1; n < 100_000; n++) if (sense.frame(n % every === 0)) return n;
	return Number.POSITIVE_INFINITY;
}

test("several batches in a row must be bulk, three quarters of each, and of a size that is worth it", () => {
	const sense = new BulkSense();
	for (let i = 0; i < 100; i++) assert.equal(sense.batch(15, 15), false);
	for (let i = 0; i < 100; i++) assert.equal(sense.batch(64, 47), false);
	for (let i = 0; i < 100; i++) assert.equal(sense.batch(64, i % 4 === 3 ? 0 : 64), false);
	assert.equal(batchesUntilOn(sense), 4);
});

test("as long as one frame in 64 is long they are asked for, and then no more", () => {
	const sense = new BulkSense();
	batchesUntilOn(sense);
	assert.equal(framesUntilOff(sense, 64), Number.POSITIVE_INFINITY);
	assert.equal(framesUntilOff(sense, 100) <= 1024, true);
});

test("each spell that was a mistake makes the next one harder to get, up to a bound, and a good one forgives", () => {
	const sense = new BulkSense();
	const needed = Array.from({ length: 11 }, () => {
		const n = batchesUntilOn(sense);
		framesUntilOff(sense, 1000);
		return n;
	});
	assert.deepEqual(needed, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
	batchesUntilOn(sense);
	for (let i = 0; i < 10_000; i++) assert.equal(sense.frame(true), false);
	framesUntilOff(sense, 1000);
	assert.equal(batchesUntilOn(sense), 4);
});
