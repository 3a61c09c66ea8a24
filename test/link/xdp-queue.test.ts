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

/** A socket that has received these frames, each to a page that was lent to it. */
function received(pool: PagePool, ...frames: readonly Uint8Array[]): Xsk {
	const { socket } = fakeSocket();
	const starts: number[] = [];
	const lent: number[] = [];
	const fill = { ...socket.fill, put: (offset: number) => void lent.push(offset) };
	const receive = {
		available: () => frames.length - starts.length,
		offset(i: number): number {
			const start = lent[i]! + 258;
			pool.u8.set(frames[i]!, start);
			return start;
		},
		length: (i: number) => frames[i]!.length,
		release: (n: number) => void starts.push(...new Array<number>(n).fill(0)),
	};
	return Object.assign(socket, { fill, receive });
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

test("IEEE 802.1Q 9.6: the tag of VLAN 0 says a priority alone, and is taken off; those of other VLANs stay", () => {
	const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);
	const tagged = (vlan: number, length = 60): Uint8Array => {
		const frame = bytes(length);
		frame.set([0x81, 0, 0xa0 | (vlan >> 8), vlan & 255].slice(0, length - 12), 12);
		return frame;
	};
	const pool = makePool(32);
	const frames = [bytes(60), tagged(0), tagged(5), tagged(256), tagged(0, 17), bytes(12)];
	const { queue, counters } = queueOf(pool, received(pool, ...frames));
	const batch = new Batch(pool);
	assert.equal(queue.receive(batch, 0), frames.length);
	const untagged = Uint8Array.of(...frames[1]!.subarray(0, 12), ...frames[1]!.subarray(16));
	assert.deepEqual(
		frames.map((_, i) => new Uint8Array(batch.frame(i))),
		frames.with(1, untagged),
	);
	assert.equal(counters.rxBytes, frames.reduce((sum, { length }) => sum + length, 0) - 4);
	batch.drop(batch.count);
	queue.close();
	assert.equal(pool.inUse, 0);
});
