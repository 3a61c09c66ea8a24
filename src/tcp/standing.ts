/**
 * A standing queue: frames wait in the link all the time, and whatever comes, the first segment of a new connection too, waits behind all of them.
 *
 * Hides when windows are held, and at what. The name is RFC 8289's: a queue that never empties adds nothing to throughput, only delay. It stands where
 * many send more than this core takes, in a device whose queue holds 100 MB and more. A router would drop; the receiver itself need not, for it says
 * how much may come. So while the link has had more frames at each look for TARGET_MS, a window may be no larger than `limit`, half as much each time, down
 * to a frame, but not below each connection's share of what comes in in that time: with these windows nothing waits longer. Once the link is found
 * empty now and then, the limit grows, until it holds nobody.
 *
 * A window that is held moves by whole long frames (`edgeStep`): a sender that waits for its window fills it with what each ACK opens, and would
 * send shorter and shorter frames (the silly window of RFC 9293 3.8.6.2.2, at the scale of segmentation offload).
 *
 * Who is far away is not held: its window is that of its path, and what it sends waits here for less time than it was under way.
 *
 * Units: milliseconds of the engine's tick, bytes. One object per engine.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";

/** The delay that a queue may add: the target of CoDel (RFC 8289). */
const TARGET_MS = 5;
/** What the first limit is half of: the default of `tcp.receiveBuffer` is held first. */
const FIRST = 524_288;
/** The least: one frame of the longest kind. With less, each has fewer bytes, and costs as much. */
const LEAST = 65_536;
/** Payload of the longest frame of whole segments over an MTU of 1500: 45 of 1448 bytes. */
const FRAME = 65_160;
/** The limit grows by a quarter after so many milliseconds without a standing queue: from a frame to all that a connection may have in 0.4 s. */
const GROWTH_MS = 20;
/**
 * Round trip, in microseconds, from which on a peer behind a router is far away. Of a neighbor a long one says nothing: its handshake has waited in
 * the queue. So has one that came through a router, but beside held windows for less than this.
 */
const FAR = 20_000;
/** No window is larger (RFC 7323 2.3). */
const NONE = 1 << 30;

export class StandingQueue {
	/** Largest window, in bytes, of a peer that is near. */
	limit: number = NONE;
	/** Whether the link had more frames at the last look, and since when. */
	#waits = false;
	#since = 0;
	/** What had come in then, in bytes. */
	#bytes = 0;
	/** When the limit was moved last. */
	#moved = 0;

	/** After frames were taken in. @param waiting The link has more. */
	look(t: Tcp, waiting: boolean): void {
		const { tick } = t;
		if (!waiting) {
			this.#waits = false;
			if (this.limit !== NONE) this.#grow(tick, t.options.maxReceiveBuffer);
		} else if (!this.#waits) {
			this.#waits = true;
			this.#since = tick;
			this.#bytes = t.counters.bytesIn;
		} else if ((tick - this.#since) >>> 0 >= TARGET_MS) {
			t.counters.standingQueues++;
			const { bytesIn } = t.counters;
			const inTarget = ((bytesIn - this.#bytes) * TARGET_MS) / ((tick - this.#since) >>> 0);
			const share = Math.min(Math.floor(inTarget / Math.max(t.table.count, 1)), NONE);
			this.limit = Math.max(Math.min(this.limit, FIRST) >> 1, LEAST, share);
			this.#since = tick;
			this.#bytes = bytesIn;
			this.#moved = tick;
		}
	}

	#grow(tick: number, most: number): void {
		const passed = (tick - this.#moved) >>> 0;
		for (let ms = GROWTH_MS; ms <= passed && this.limit !== NONE; ms += GROWTH_MS) {
			this.limit += this.limit >> 2;
			this.#moved = tick;
			if (this.limit >= most) this.limit = NONE;
		}
	}
}

/** How much of its receive buffer a connection may show in its window. */
export function shownBuffer(t: Tcp, c: Connection): number {
	const { limit } = t.standing;
	const { rcvBuf } = c;
	return rcvBuf <= limit || (c.minRtt >= FAR && !t.lower.isNeighbor(c.remote3)) ? rcvBuf : limit;
}

/** By how many bytes the window's edge moves at least, `usual` in a window that is not held. @param shown What `shownBuffer` says. */
export function edgeStep(t: Tcp, c: Connection, shown: number, usual: number): number {
	return Math.min(shown >> 1, shown < c.rcvBuf && t.segmentation > 0 ? FRAME : usual);
}
