/** The pages of an AF_XDP socket, with rings that are arrays: what the kernel would not give back is not given to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { XdpCounters, XdpQueue } from "../../src/link/xdp-queue.ts";
import { Batch } from "../../src/memory/batch.ts";
import type { PagePool } from "../../src/memory/pages.ts";
import type { Xsk } from "../../src/sys/xsk.ts";
import { makePool } from "../helpers/memory-bench.ts";
import { pushFrame } from "./compliance.ts";

const LIMIT = 1514;

/** What crosses the rings of a socket, as a kernel would see it. */
function fakeSocket() {
	const sent: number[] = [];
	const socket = {
		fill: { room: () => 64, put() {}, submit() {}, needsWakeup: false },
		receive: { available: () => 0, release() {} },
		transmit: { room: () => 64, put: (_offset: number, length: number) => void sent.push(length), submit() {} },
		completion: { available: () => 0, release() {} },
		close() {},
	};
	return { sent, socket: socket as unknown as Xsk };
}

function queueOf(pool: PagePool, socket: Xsk): { queue: XdpQueue; counters: XdpCounters } {
	const counters = new XdpCounters();
	return { queue: new XdpQueue({ socket, pool, counters, lend: 8, limit: LIMIT, partial: "none" }), counters };
}

test("frames that are shorter than an Ethernet header are refused: the kernel drops them and keeps their pages", () => {
	const pool = makePool(32);
	const { sent, socket } = fakeSocket();
	const { queue, counters } = queueOf(pool, socket);
	const batch = new Batch(pool);
	pushFrame(batch, new Uint8Array(60));
	pushFrame(batch, new Uint8Array(13));
	batch.push(pool.alloc(), pool.address(1), 0);
	assert.equal(queue.transmit(batch), 3);
	assert.deepEqual(sent, [60]);
	assert.deepEqual([counters.txFrames, counters.txRejected, pool.inUse], [1, 2, 8 + 1]);
	queue.close();
	assert.equal(pool.inUse, 0);
});
