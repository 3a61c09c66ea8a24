/** The way out of a packet link without a ring, with a kernel that takes as many messages as it is told to. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { PacketCounters } from "../../src/link/packet-queue.ts";
import { PacketSender } from "../../src/link/packet-send.ts";
import { Batch } from "../../src/memory/batch.ts";
import { EAGAIN, ENETDOWN, ENOBUFS } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import { makePool } from "../helpers/memory-bench.ts";
import { pushFrame } from "./compliance.ts";

const skip = process.platform !== "linux" ? "needs Linux" : false;
const LIMIT = 1514;

const { sendmmsg, errno } = skip === false ? libc() : ({} as ReturnType<typeof libc>);
afterEach(() => {
	if (skip === false) Object.assign(libc(), { sendmmsg, errno });
});

/** Answers of sendmmsg, in their order: messages sent, or an error number below 0; then all there are. */
function sending(...answers: number[]) {
	let last = 0;
	Object.assign(libc(), {
		sendmmsg(_fd: number, _messages: Uint8Array, count: number): number {
			const answer = answers.shift() ?? count;
			last = -answer;
			return answer < 0 ? -1 : answer;
		},
		errno: () => last,
	});
	const pool = makePool(32);
	const counters = new PacketCounters();
	const sender = new PacketSender({ fd: -1, pool, limit: LIMIT, headers: false, bypassing: [], counters });
	const batch = new Batch(pool);
	return { pool, counters, sender, batch };
}

test("a frame that is refused behind one that waits is counted once, when that one has left", { skip }, () => {
	const { pool, counters, sender, batch } = sending(1, -EAGAIN);
	for (const length of [60, 70, LIMIT + 1, 80]) pushFrame(batch, new Uint8Array(length));
	assert.equal(sender.transmit(batch), 1);
	assert.deepEqual([sender.stalled, batch.count, counters.txRejected], [true, 3, 0]);
	assert.equal(sender.transmit(batch), 3);
	const { txFrames, txBytes, txRejected, txStalled } = counters;
	assert.deepEqual({ txFrames, txBytes, txRejected, txStalled }, { txFrames: 3, txBytes: 210, txRejected: 1, txStalled: 1 });
	assert.equal(pool.inUse, 0);
});

test("what the kernel has no room for, or no interface, is lost alone; frames refused before, between and behind are counted", {
	skip,
}, () => {
	const { pool, counters, sender, batch } = sending(1, -ENOBUFS, -ENETDOWN, 1);
	for (const length of [13, 60, LIMIT + 1, 70, 80, 90, 5]) pushFrame(batch, new Uint8Array(length));
	assert.equal(sender.transmit(batch), 7);
	const { txFrames, txBytes, txRejected, txNoMemory, txDown } = counters;
	assert.deepEqual([txFrames, txBytes, txRejected, txNoMemory, txDown], [2, 150, 3, 1, 1]);
	assert.equal(pool.inUse, 0);
});
