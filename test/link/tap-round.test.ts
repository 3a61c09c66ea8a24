/** Several queues of a TAP device as one, over descriptors that are made up; and the flow hash of a frame against the kernel's. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { FlowSteering, flowHash } from "../../src/link/flow-steering.ts";
import { frameFlowHash } from "../../src/link/frame-flow.ts";
import { frameEntries } from "../../src/link/frames.ts";
import { DRAINED, GONE, READY, STARVED } from "../../src/link/queue-state.ts";
import { TapCounters, TapQueue } from "../../src/link/tap-queue.ts";
import { TapRound } from "../../src/link/tap-round.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch, FRAME_MORE } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { testRun } from "../../src/sys/bpf/bpf.ts";

const lack = process.platform === "linux" ? false : "needs Linux (the C library)";
const lackBpf = lack || (process.getuid?.() === 0 ? false : "needs root (bpf)");

/** A device with so many frames waiting in each queue. */
class MadeUpQueue extends TapQueue {
	readonly waiting: number[];
	readonly reads: number[] = [];
	/** Frames in the order in which they were written: their queue. */
	readonly sent: number[] = [];
	/** Bounds on what can be done, and how it ends. */
	stallAfter = Number.POSITIVE_INFINITY;
	failWith = READY;
	endAt = -1;
	ended = 0;
	/** When a batch is full, one frame more is read, and waits. */
	overhang = false;
	#over = -1;

	constructor(pool: PagePool, counters: TapCounters, waiting: number[]) {
		super([], 1514, 0, pool, counters);
		this.waiting = waiting;
	}

	read(batch: Batch, time: number): void {
		const queue = this.turn;
		this.reads.push(queue);
		this.state = READY;
		if (this.#over >= 0 && batch.count < batch.capacity) {
			this.counters.rxFrames++;
			batch.push(this.pool.alloc(), 0, this.#over, time);
			this.#over = -1;
		}
		while (batch.count < batch.capacity) {
			if (this.failWith !== READY || this.waiting[queue] === 0) {
				this.state = this.failWith === READY ? DRAINED : this.failWith;
				break;
			}
			this.waiting[queue]!--;
			this.counters.rxFrames++;
			batch.push(this.pool.alloc(), 0, queue, time); // its length says where it came from
		}
		if (this.overhang && this.state === READY && this.#over < 0 && this.waiting[queue]! > 0) {
			this.waiting[queue]!--;
			this.#over = queue;
		}
		if (queue === this.endAt) {
			this.endAt = -1;
			this.ending = true;
		}
	}

	override get held(): number {
		return this.#over < 0 ? 0 : 1;
	}

	override consider(): void {
		if (!this.ending || this.state !== DRAINED) return;
		this.ending = false;
		this.ended++;
	}

	override write(batch: Batch, first: number, end: number): number {
		this.stalled = false;
		for (let i = first; i < end; i += frameEntries(batch, i)) {
			if (this.sent.length === this.stallAfter) {
				this.counters.txStalled++;
				this.stalled = true;
				return i;
			}
			this.sent.push(this.turn);
			this.counters.txFrames++;
		}
		return end;
	}

	protected gather(): number {
		return 0;
	}
}

function make(waiting: number[], byFlow = false, lane = -1) {
	const pool = new PagePool(new Arena(1 << 20), 256);
	const counters = new TapCounters();
	const queue = new MadeUpQueue(pool, counters, waiting);
	const round = new TapRound(queue, waiting.length, counters, byFlow, lane);
	const batch = new Batch(pool);
	for (const [i, frames] of waiting.entries()) if (frames > 0) round.notice(i);
	return {
		pool,
		queue,
		counters,
		round,
		batch,
		/** Frames of each queue in the next batch. */
		next(): number[] {
			const frames = new Array<number>(waiting.length).fill(0);
			const got = round.receive(batch, 0);
			assert.equal(got, batch.count);
			for (let i = 0; i < got; i++) frames[batch.length[i]!]!++;
			batch.drop(got);
			return frames;
		},
	};
}

/** A frame of a flow, so that its queue by flow is known. */
function frameOf(port: number): Uint8Array {
	const frame = new Uint8Array(60);
	frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1]);
	frame.set([0, 80, port >> 8, port & 255], 34);
	return frame;
}
const hashOf = (port: number): number => flowHash(0x0a4d0001, 0x0a4d0002, port, 80);

describe("several queues as one", { skip: lack }, () => {
	test("busy queues get a batch each in turn, and idle ones are not read", () => {
		const { queue, round, next } = make([1000, 0, 1000, 1000]);
		const batches = Array.from({ length: 6 }, next);
		assert.deepEqual(
			batches,
			[0, 2, 3, 0, 2, 3].map((busy) => [0, 1, 2, 3].map((i) => (i === busy ? 64 : 0))),
		);
		assert.ok(!queue.reads.includes(1));
		assert.equal(round.state, READY);
		assert.deepEqual(
			round.figures().map(({ rxFrames }) => rxFrames),
			[128, 0, 128, 128],
		);
	});

	test("batches begin with the lane; what is left of them is the main queue's, and each fifth one where the lane fills all others", () => {
		const { counters, next } = make([1000, 10], false, 1);
		assert.deepEqual(
			[next(), next()],
			[
				[54, 10],
				[64, 0],
			],
		);
		assert.equal(counters.rxExpress, 10);
		const full = make([1000, 1000], false, 1);
		assert.deepEqual(
			Array.from({ length: 11 }, full.next),
			[1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1].map((busy) => [busy === 0 ? 64 : 0, busy === 1 ? 64 : 0]),
		);
		assert.equal(full.counters.rxExpress, 9 * 64);
	});

	test("a frame that was read for one batch and came with the next counts for the queue that it came by", () => {
		const { queue, round, next } = make([300, 200, 70]);
		queue.overhang = true;
		const got = [0, 0, 0];
		for (let i = 0; i < 20; i++) for (const [at, frames] of next().entries()) got[at]! += frames;
		assert.deepEqual(got, [300, 200, 70]);
		assert.deepEqual(
			round.figures().map(({ rxFrames }) => rxFrames),
			got,
		);
	});

	test("a batch goes on with the next queue, and the one that got what room was left begins the next", () => {
		const { round, next } = make([50, 100, 10]);
		assert.deepEqual(next(), [50, 14, 0]);
		assert.deepEqual(next(), [0, 64, 0], "it begins");
		assert.deepEqual(next(), [0, 22, 10], "it filled a batch and gave way; then there was room for it");
		assert.equal(round.state, DRAINED);
		assert.deepEqual(next(), [0, 0, 0]);
	});

	test("however busy the others are, a queue waits no longer than for a batch of each", () => {
		fc.assert(
			fc.property(fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 2, maxLength: 8 }), fc.nat(), (waiting, pick) => {
				const slow = pick % waiting.length;
				const { queue, round, next } = make(waiting.map((frames, i) => (i === slow ? 0 : frames + 1000)));
				for (let i = 0; i < pick % 5; i++) next();
				queue.waiting[slow] = 1;
				round.notice(slow);
				let batches = 0;
				while (next()[slow] === 0) assert.ok(++batches <= waiting.length);
			}),
		);
	});

	test("a round that ends early says how: no page, or no device", () => {
		const starved = make([5, 5]);
		starved.queue.failWith = STARVED;
		assert.deepEqual(starved.next(), [0, 0]);
		assert.equal(starved.round.state, STARVED);
		assert.deepEqual(starved.queue.reads, [0], "no page for one is no page for all");
		starved.queue.failWith = READY;
		assert.deepEqual(starved.next(), [5, 5]);
		const gone = make([5, 5]);
		gone.queue.failWith = GONE;
		gone.next();
		assert.equal(gone.round.state, GONE);
	});

	test("long frames have ended only when all queues were found empty after the kernel was told", () => {
		const { queue, round, next } = make([3, 3, 0, 0]);
		queue.endAt = 1;
		assert.deepEqual(next(), [3, 3, 0, 0]);
		assert.deepEqual([round.state, queue.ending, queue.ended], [READY, true, 0], "queues 0, 2 and 3 may have some");
		queue.waiting[2] = 1;
		assert.deepEqual(next(), [0, 0, 1, 0]);
		assert.deepEqual([round.state, queue.ending, queue.ended], [DRAINED, false, 1]);
		assert.deepEqual(queue.reads, [0, 1, 0, 1, 2, 3]);
	});

	test("frames leave by the first queue where a program steers, and in runs by the queue of their flow where the kernel learns from it", () => {
		const ports = Array.from({ length: 40 }, (_, i) => 5000 + ((i * 7) % 13));
		for (const byFlow of [false, true]) {
			const { queue, round, batch, pool } = make([0, 0, 0], byFlow);
			for (const port of ports) batch.add(frameOf(port), 0);
			// A frame of two pieces, whose second one looks like nothing.
			batch.add(frameOf(77), 0);
			batch.flags[40] = FRAME_MORE;
			batch.add(new Uint8Array(60), 0);
			assert.equal(round.transmit(batch), 42);
			const expected = [...ports, 77].map((port) => (byFlow ? hashOf(port) % 3 : 0));
			assert.deepEqual(queue.sent, expected);
			assert.deepEqual(
				round.figures().map(({ txFrames }) => txFrames),
				[0, 1, 2].map((at) => expected.filter((queue) => queue === at).length),
			);
			assert.ok(!byFlow || new Set(expected).size === 3, "the flows of this test use all queues");
			assert.equal(pool.inUse, 0);
		}
	});

	test("what a device does not take stays in the batch, in order, by flow as well", () => {
		const { queue, round, batch } = make([0, 0, 0], true);
		const ports = Array.from({ length: 20 }, (_, i) => 5000 + i);
		for (const port of ports) batch.add(frameOf(port), 0);
		queue.stallAfter = 7;
		assert.equal(round.transmit(batch), 7);
		assert.equal(round.stalled, true);
		assert.equal(batch.count, 13);
		queue.stallAfter = Number.POSITIVE_INFINITY;
		assert.equal(round.transmit(batch), 13);
		assert.equal(round.stalled, false);
		assert.deepEqual(
			queue.sent,
			ports.map((port) => hashOf(port) % 3),
		);
	});
});

const byte = fc.integer({ min: 0, max: 255 });
/** Ethernet and IPv4 headers of all kinds, and what is nearly one. */
const frame = fc
	.record({
		bytes: fc.uint8Array({ minLength: 78, maxLength: 78 }),
		type: fc.constantFrom([8, 0], [8, 0], [8, 0], [8, 6], [0x88, 0xb5]),
		header: fc.constantFrom(0x45, 0x45, 0x46, 0x4f),
		protocol: fc.oneof(fc.constantFrom(6, 17, 1), byte),
		fragment: fc.constantFrom([0, 0], [0x40, 0], [0x20, 0], [0, 1], [0x1f, 0xff], [0x80, 0]),
	})
	.map(({ bytes, type, header, protocol, fragment }) => {
		bytes.set(type, 12);
		bytes[14] = header;
		bytes.set(fragment, 20);
		bytes[23] = protocol;
		return bytes;
	});

test("the flow hash of a frame is the one by which the program in the kernel finds the flow group", { skip: lackBpf }, () => {
	const steering = new FlowSteering(65536);
	try {
		const u8 = new Uint8Array(256);
		fc.assert(
			fc.property(frame, fc.integer({ min: 34, max: 78 }), (bytes, length) => {
				// One of so many groups is marked, and the program must find just that one.
				u8.set(bytes, 3);
				const hash = frameFlowHash(u8, 3, length);
				steering.steer(hash, 7);
				try {
					assert.equal(testRun(steering.program, bytes.subarray(0, length)), 7);
				} finally {
					steering.steer(hash, 0);
				}
			}),
			{ numRuns: 500 },
		);
	} finally {
		steering.close();
	}
});

test("the flow hash of a frame is that of its addresses and ports, the same both ways", () => {
	const a = frameOf(4711);
	assert.equal(frameFlowHash(a, 0, a.length), hashOf(4711));
	const back = a.slice();
	back.set([10, 77, 0, 1, 10, 77, 0, 2, 4711 >> 8, 4711 & 255, 0, 80], 26);
	assert.equal(frameFlowHash(back, 0, back.length), hashOf(4711));
	assert.equal(frameFlowHash(a, 0, 37), flowHash(0x0a4d0001, 0x0a4d0002, 0, 0), "ends before the ports");
	assert.equal(frameFlowHash(a, 0, 33), 0, "ends before the addresses");
});
