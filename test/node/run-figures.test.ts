import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesText, countText, type Figures, figuresLine } from "../../src/node/run-figures.ts";

test("counts and bytes have at most four digits", () => {
	assert.deepEqual([0, 999, 1000, 9949, 99_940, 99_960, 999_400, 999_600].map(countText), [
		"0",
		"999",
		"1.0k",
		"9.9k",
		"99.9k",
		"100k",
		"999k",
		"1.0M",
	]);
	assert.deepEqual([0, 1500, 2.5e6, 1e13].map(bytesText), ["0 B", "1.5 kB", "2.5 MB", "10000 GB"]);
});

test("a line tells rates over the time that passed, the connections of the moment, and retransmits in all and new", () => {
	const none: Figures = { connections: 0, segmentsIn: 0, segmentsOut: 0, bytesIn: 0, bytesOut: 0, retransmits: 4 };
	const some: Figures = { connections: 1, segmentsIn: 200, segmentsOut: 3000, bytesIn: 0, bytesOut: 4e6, retransmits: 4 };
	assert.equal(figuresLine(none, some, 2), "1 connection, in 100 segments/s 0 B/s, out 1.5k segments/s 2.0 MB/s, retransmits 4");
	assert.equal(
		figuresLine(none, { ...none, retransmits: 6 }, 1),
		"0 connections, in 0 segments/s 0 B/s, out 0 segments/s 0 B/s, retransmits 6 (+2)",
	);
});
