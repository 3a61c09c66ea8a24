import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { it, mock } from "node:test";
import { handedOut, heapGrowingPercent, makeGcRoom } from "../../src/node/gc-room.ts";
import { createNet } from "../../src/node/net.ts";
import { connection, loopbackHost } from "./loopback-host.ts";

it("the heap gets room while bulk data are handed out, and loses it a second later", () => {
	mock.timers.enable({ apis: ["setInterval"] });
	try {
		for (let i = 0; i < 1000; i++) handedOut(65536);
		assert.equal(heapGrowingPercent(), 0, "nobody asked for it");
		makeGcRoom();
		for (let i = 0; i < 200_000; i++) handedOut(500);
		assert.equal(heapGrowingPercent(), 0, "requests are no bulk, however many");
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
		for (let i = 0; i < 2000; i++) handedOut(2000);
		mock.timers.tick(1000);
		assert.equal(heapGrowingPercent(), 0, "4 MB a second are none either");
		for (let i = 0; i < 512; i++) handedOut(65536);
		assert.ok(heapGrowingPercent() > 0, "and again");
	} finally {
		mock.timers.tick(2000);
		mock.timers.reset();
	}
});

for (const [reader, plainHandles] of [
	["client", true],
	["server", true],
	["server", false],
] as const) {
	it(`what a ${reader} reads counts, ${plainHandles ? "by the handle that it has" : "by a JSStream handle"}`, async () => {
		mock.timers.enable({ apis: ["setInterval"] });
		const host = loopbackHost();
		try {
			makeGcRoom();
			const { client, peer } = await connection(createNet(host, { plainHandles }));
			const [from, to] = reader === "client" ? [peer, client] : [client, peer];
			to.resume();
			for (let i = 0; i < 512; i++) await new Promise((resolve) => from.write(Buffer.alloc(65537), resolve));
			while (to.bytesRead < 512 * 65537) await new Promise(setImmediate);
			assert.ok(heapGrowingPercent() > 0);
			client.destroy();
			peer.destroy();
		} finally {
			mock.timers.tick(1000);
			mock.timers.tick(1000);
			mock.timers.reset();
			await host.close();
		}
	});
}

/**
 * Collections of the whole heap in a process of its own that lets 2 GiB of chunks come and, when they are old, go, where a small heap may grow twentyfold: "percent", by V8's
 * switch for that alone; "room", by gc-room.ts; "over", likewise, after seconds without bulk data. Each at once when it is due: how many end of those
 * that are spread over time depends on what else the machine does.
 */
function fullCollections(how: "percent" | "room" | "over"): number {
	const module = JSON.stringify(new URL("../../src/node/gc-room.js", import.meta.url).href);
	const program = `
		import { mock } from "node:test";
		import v8 from "node:v8";
		import { handedOut, makeGcRoom } from ${module};
		const how = "${how}";
		mock.timers.enable({ apis: ["setInterval"] });
		if (how !== "percent") makeGcRoom();
		for (let i = 0; i < 1024; i++) handedOut(65536);
		if (how === "over") for (let second = 0; second < 3; second++) mock.timers.tick(1000);
		if (how !== "room") v8.setFlagsFromString("--heap-growing-percent=2000");
		console.log("from here on");
		const kept = [];
		for (let i = 0; i < 32768; i++) {
			kept[i % 2048] = new Uint8Array(65536);
			if (how === "room") handedOut(65536);
			if (i % 32 === 0) await new Promise(setImmediate);
		}
		console.log("to here");
	`;
	const { status, stdout, stderr } = spawnSync(
		process.execPath,
		["--trace-gc", "--no-incremental-marking", "--input-type=module", "--eval", program],
		{
			encoding: "utf8",
			timeout: 120_000,
		},
	);
	assert.equal(status, 0, stderr);
	const [, counted] = /from here on([\s\S]*)to here/.exec(stdout) ?? [];
	assert.match(counted!, /Scavenge/, "the young ones are collected anyway");
	return counted!.match(/Mark-Compact/g)?.length ?? 0;
}

const { v8 } = process.versions;
const skip = Number.parseInt(v8, 10) >= 14 ? false : `V8 ${v8} has no limit of its own for memory outside of the heap (from 14 on)`;

it("chunks outside of the heap count against the heap's limit while bulk data are handed out, on a V8 that has another for them", {
	skip,
}, () => {
	const [percent, room, over] = [fullCollections("percent"), fullCollections("room"), fullCollections("over")];
	assert.ok(percent >= 4, `${percent} collections of the whole heap without`);
	assert.ok(room <= percent / 2, `${room} collections with, ${percent} without`);
	assert.ok(over > percent / 2, `${over} afterwards, ${percent} without`);
});
