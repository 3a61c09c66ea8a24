import assert from "node:assert/strict";
import { it, mock } from "node:test";
import { handedOut, heapGrowingPercent, makeGcRoom } from "../../src/node/gc-room.ts";

it("the heap gets room while bulk data are handed out, and loses it a second later", () => {
	mock.timers.enable({ apis: ["setInterval"] });
	try {
		for (let i = 0; i < 1000; i++) handedOut(65536);
		assert.equal(heapGrowingPercent(), 0, "nobody asked for it");
		makeGcRoom();
		for (let i = 0; i < 511; i++) handedOut(65536);
		assert.equal(heapGrowingPercent(), 0, "32 MiB are not yet bulk");
		handedOut(65536);
		const percent = heapGrowingPercent();
		assert.ok(percent >= 200, `a heap of less than 64 MB may grow by 128 MiB, not by ${percent} %`);
		for (let second = 0; second < 10; second++) {
			mock.timers.tick(1000);
			assert.ok(heapGrowingPercent() > 0, "20 MB a second are bulk");
			for (let i = 0; i < 320; i++) handedOut(65536);
		}
		mock.timers.tick(1000);
		assert.ok(heapGrowingPercent() > 0);
		mock.timers.tick(1000);
		assert.equal(heapGrowingPercent(), 0);
		for (let i = 0; i < 512; i++) handedOut(65536);
		assert.ok(heapGrowingPercent() > 0, "and again");
	} finally {
		mock.timers.tick(2000);
		mock.timers.reset();
	}
});
