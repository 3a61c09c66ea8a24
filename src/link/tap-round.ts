/**
 * Several queues of a TAP device as one: read in turns, written where it does not move a flow.
 *
 * Hides the number of queues from the link: members are those of `TapQueue`, which does the reading and writing, with the
 * descriptor of one queue after the other. A link of one queue without an express lane uses a `TapQueue` alone and never comes here.
 *
 * In, fair: a batch begins with one queue and goes on with the next ones until it is full; only queues that have said that there
 * is something are looked at. A queue that filled a batch alone gives way to the next one; one that got what room was left begins
 * the next batch. So no queue waits longer than for a batch of each of the others. But for an express lane (express-lane.ts): batches begin with it.
 *
 * Out, two ways, for the kernel learns from what it is sent (drivers/net/tun.c, tun_flow_update):
 * - Without a steering program it notes by which queue the last frame of a flow came, and sends the flow's next frames to that
 *   queue. With all frames on one queue, that one would soon have all flows. So a frame leaves by the queue that its flow hash names,
 *   and the flow stays there from our first frame on. (The kernel remembers 4096 flows, each for 3 s; what it does not remember it
 *   spreads by a hash of its own.) Finding the queue and the kernel's note cost 0.35 us a frame, measured on Node 20 with 60 bytes.
 * - With a program it notes nothing. All queues lead to the same place, none of them stalls for another, so the first one is taken and
 *   no frame is looked at.
 *
 * Long frames are turned off for the whole device, and may then still be queued anywhere: all queues are marked as having
 * something, so that the end (`ending`) comes when each has been found empty since, or when as many
 * frames have come as all of them hold.
 */
import { type Batch, FRAME_MORE } from "../memory/batch.ts";
import { Poll } from "../sys/poll.ts";
import { frameFlowHash } from "./frame-flow.ts";
import { DRAINED, GONE, READY } from "./queue-state.ts";
import type { TapCounters, TapQueue } from "./tap-queue.ts";

/** What went through one queue. */
export interface TapQueueFigures {
	readonly rxFrames: number;
	readonly txFrames: number;
}

/** Full batches of the lane alone before the main queue has one: it must not wait for ever, and what has changed over to it (express-lane.ts) should seldom come too early. */
const LANE_BATCHES = 4;

export class TapRound {
	/** As in `TapQueue`, of all queues together. */
	state = READY;
	stalled = false;
	readonly #queue: TapQueue;
	/** Queues. */
	readonly #count: number;
	readonly #counters: TapCounters;
	/** Frames leave by a queue that their flow names. */
	readonly #byFlow: boolean;
	/** 1 for each queue that may have frames, and how many those are. */
	readonly #ready: Uint8Array;
	#readyCount = 0;
	/** The queue that batches begin with, until it has filled LANE_BATCHES of them alone; -1: none. */
	readonly #lane: number;
	#laneFilled = 0;
	/** The queue that the next batch begins with. */
	#first = 0;
	readonly #rxFrames: Float64Array;
	readonly #txFrames: Float64Array;

	/**
	 * @param byFlow There is no steering program: the kernel learns from what leaves by which queue.
	 * @param lane The queue that is read before the others, or -1.
	 */
	constructor(queue: TapQueue, count: number, counters: TapCounters, byFlow: boolean, lane = -1) {
		this.#queue = queue;
		this.#count = count;
		this.#counters = counters;
		this.#byFlow = byFlow;
		this.#lane = lane;
		this.#ready = new Uint8Array(count);
		this.#rxFrames = new Float64Array(count);
		this.#txFrames = new Float64Array(count);
	}

	/** A queue has frames. */
	notice(queue: number): void {
		if (this.#ready[queue] !== 0) return;
		this.#ready[queue] = 1;
		this.#readyCount++;
	}

	/** Any queue may have frames. */
	noticeAll(): void {
		for (let i = 0; i < this.#count; i++) this.notice(i);
	}

	receive(batch: Batch, time: number): number {
		const queue = this.#queue;
		const before = batch.count;
		const wasEnding = queue.ending;
		let state = this.#round(batch, time);
		if (queue.ending && !wasEnding) {
			this.noticeAll();
			if (state === DRAINED) state = READY;
		}
		this.state = state;
		queue.state = state;
		queue.consider(batch, before);
		return batch.count - before;
	}

	/** Reads from one queue after the other; the state that they are left in. */
	#round(batch: Batch, time: number): number {
		const queue = this.#queue;
		const count = this.#count;
		const before = batch.count;
		const lane = this.#lane;
		let at = lane >= 0 && this.#laneFilled < LANE_BATCHES ? lane : this.#first;
		for (let n = 0; n < count && this.#readyCount > 0; n++) {
			if (this.#ready[at] === 1) {
				const had = batch.count;
				const frames = this.#counters.rxFrames + queue.held;
				queue.turn = at;
				queue.read(batch, time);
				const read = this.#counters.rxFrames + queue.held - frames;
				this.#rxFrames[at]! += read;
				if (at === lane) this.#counters.rxExpress += read;
				if (queue.state === DRAINED) {
					this.#ready[at] = 0;
					this.#readyCount--;
				} else {
					// Full, or no more can be had from any queue.
					const alone = had === before && batch.count > had;
					this.#first = alone ? this.#after(at) : at;
					this.#laneFilled = alone && at === lane ? this.#laneFilled + 1 : 0;
					return queue.state;
				}
			}
			at = this.#after(at);
		}
		return this.#readyCount > 0 ? READY : DRAINED;
	}

	#after(queue: number): number {
		return queue + 1 < this.#count ? queue + 1 : 0;
	}

	transmit(batch: Batch): number {
		const taken = this.#byFlow ? this.#writeByFlow(batch) : this.#write(batch, 0, batch.count, 0);
		this.stalled = this.#queue.stalled;
		if (this.#queue.state === GONE) this.state = GONE;
		batch.drop(taken);
		return taken;
	}

	#writeByFlow(batch: Batch): number {
		let taken = 0;
		let at = this.#queueOf(batch, 0);
		for (let i = 1; i < batch.count; i++) {
			if ((batch.flags[i - 1]! & FRAME_MORE) !== 0) continue;
			const next = this.#queueOf(batch, i);
			if (next === at) continue;
			taken = this.#write(batch, taken, i, at);
			if (this.#queue.stalled) return taken;
			at = next;
		}
		return this.#write(batch, taken, batch.count, at);
	}

	/** The queue by which the frame that begins with entry `i` leaves. */
	#queueOf(batch: Batch, i: number): number {
		return frameFlowHash(batch.pool.u8, batch.start[i]!, batch.length[i]!) % this.#count;
	}

	#write(batch: Batch, first: number, end: number, at: number): number {
		const frames = this.#counters.txFrames;
		this.#queue.turn = at;
		const taken = this.#queue.write(batch, first, end);
		this.#txFrames[at]! += this.#counters.txFrames - frames;
		return taken;
	}

	/** What went through each queue. */
	figures(): TapQueueFigures[] {
		return Array.from(this.#rxFrames, (rxFrames, i) => ({ rxFrames, txFrames: this.#txFrames[i]! }));
	}

	close(): void {
		this.#queue.close();
	}
}

/** The poll handles of all queues as one; members as in `Poll`. */
export class TapPolls {
	readonly #polls: Poll[] = [];
	#paused = false;

	constructor(fds: readonly number[], readable: (queue: number) => void, failed: () => void) {
		try {
			for (const [i, fd] of fds.entries()) this.#polls.push(new Poll(fd, () => readable(i), failed));
		} catch (error) {
			this.close();
			throw error;
		}
	}

	// One handle is enough to keep the process alive.
	ref(): void {
		this.#polls[0]?.ref();
	}
	unref(): void {
		this.#polls[0]?.unref();
	}

	pause(): void {
		if (this.#paused) return;
		this.#paused = true;
		for (const poll of this.#polls) poll.pause();
	}
	resume(): void {
		if (!this.#paused) return;
		this.#paused = false;
		for (const poll of this.#polls) poll.resume();
	}

	close(): void {
		for (const poll of this.#polls.splice(0)) poll.close();
	}
}
