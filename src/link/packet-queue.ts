/**
 * The frames that arrive at a packet socket: out of its ring into pages.
 *
 * Hides the ring and what the kernel says of a frame. Receiving takes no system call, and one copy of each frame (packet-ring.ts says why).
 *
 * The kernel merges TCP segments before packet sockets see them (GRO, and what another kernel on the same machine never cut), and leaves
 * checksums out that no device has asked for. Three ways to deal with that:
 * - **Offload**: a merged frame is handed on as a run that says how long its segments are; what is not summed is marked. Where a run
 *   finds no room or too few pages, it is cut, a few pages at a time.
 * - **Plain**: merged frames are cut into the segments that they were (cut.ts), and checksums completed.
 * - **Without headers** the kernel does not say how long segments were: they are cut as long as the interface takes them. Checksums are completed.
 */
import { type Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../memory/batch.ts";
import { PAGE_SIZE, type PagePool } from "../memory/pages.ts";
import type { PacketRing } from "../sys/packet-ring.ts";
import { Cutter } from "./cut.ts";
import { copyBytes, FRAME_OFFSET, FRAME_ROOM } from "./frames.ts";
import { completeChecksum, isPartial } from "./partial.ts";
import { DRAINED, READY, STARVED } from "./queue-state.ts";
import { VNET_HEADER, vnetFlags, vnetSegment } from "./vnet.ts";

/** What `host.stats()` shows of a packet link. */
export class PacketCounters {
	rxFrames = 0;
	rxBytes = 0;
	txFrames = 0;
	txBytes = 0;
	/** Times that frames had to wait in the ring because no page was free. */
	rxNoPage = 0;
	/** Frames that the kernel had merged; and how many of them were cut again. */
	rxMergedSeen = 0;
	rxCutSeen = 0;
	/** Frames that came without their transport checksum. */
	rxPartialSeen = 0;
	/** Frames lost because they were merged and are not TCP over IPv4, or are longer than a page. */
	rxTooLong = 0;
	/** Frames of other VLANs. */
	rxTagged = 0;
	/** Times that the socket took no more frames for now, or no slot of its ring was free. */
	txStalled = 0;
	/** Frames lost because the device or the kernel had no room for them. */
	txNoMemory = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames lost because they cannot be sent: longer than the MTU allows, shorter than an Ethernet header, or refused by the kernel. */
	txRejected = 0;
	/** Frames go through queueing disciplines since a long one was refused on the way past them. */
	txBypassOff = 0;
}

/** How merged and incomplete frames are dealt with. */
export type Treatment = "offload" | "plain" | "headerless";

export interface PacketQueueOptions {
	readonly ring: PacketRing;
	readonly pool: PagePool;
	/** Bytes of the longest frame of one segment. */
	readonly limit: number;
	readonly treatment: Treatment;
	readonly counters: PacketCounters;
}

/** Merged, but who knows of what. */
const UNKNOWN = -1;

export class PacketQueue {
	/** READY, DRAINED or STARVED, as the last `receive` left it. */
	state = READY;
	/** Frames that came this way. */
	frames = 0;
	readonly #ring: PacketRing;
	readonly #pool: PagePool;
	readonly #limit: number;
	readonly #headers: boolean;
	/** Frames are to be whole, with their checksums. */
	readonly #plain: boolean;
	readonly #counters: PacketCounters;
	readonly #cutter = new Cutter();
	/** The next segment of the merged frame in the current slot; 0: it was not looked at, or is not being cut. */
	#cut = 0;

	constructor({ ring, pool, limit, treatment, counters }: PacketQueueOptions) {
		this.#ring = ring;
		this.#pool = pool;
		this.#limit = limit;
		this.#headers = treatment !== "headerless";
		this.#plain = treatment !== "offload";
		this.#counters = counters;
	}

	/** As `Link.receive`; every frame is stamped with `time`. No more frames are looked at than the batch has entries, also of those dropped. */
	receive(batch: Batch, time: number): number {
		const ring = this.#ring;
		const counters = this.#counters;
		const before = batch.count;
		this.state = READY;
		for (let looks = batch.capacity; looks > 0 && batch.count < batch.capacity; looks--) {
			if (!ring.look()) {
				this.state = DRAINED;
				break;
			}
			const segment = this.#segment();
			if (ring.tagged) counters.rxTagged++;
			else if (ring.captured < ring.length || (segment === 0 && ring.length > FRAME_ROOM)) counters.rxTooLong++;
			else if (!(segment === 0 ? this.#take(batch, time) : this.#takeMerged(batch, segment, time))) break;
			ring.advance();
		}
		return batch.count - before;
	}

	/** Payload of each segment of the current frame, UNKNOWN, or 0 for a frame that was not merged. */
	#segment(): number {
		const ring = this.#ring;
		if (this.#headers) return vnetSegment(ring.u8, ring.start - VNET_HEADER);
		return ring.length > this.#limit ? UNKNOWN : 0;
	}

	/** A frame as it is. False if it must wait. */
	#take(batch: Batch, time: number): boolean {
		const ring = this.#ring;
		const page = this.#page();
		if (page === 0) return false;
		const { u8 } = this.#pool;
		const { length } = ring;
		const to = this.#pool.address(page) + FRAME_OFFSET;
		copyBytes(ring.u8, ring.start, length, this.#pool, to);
		let flags = this.#headers ? vnetFlags(ring.u8, ring.start - VNET_HEADER) : ring.partial ? FRAME_PARTIAL_CHECKSUM : 0;
		if ((flags & FRAME_PARTIAL_CHECKSUM) !== 0) this.#counters.rxPartialSeen++;
		if (this.#plain) {
			if ((flags & FRAME_PARTIAL_CHECKSUM) !== 0 && isPartial(u8, to, length)) completeChecksum(u8, to);
			flags = 0;
		}
		batch.push(page, to, length, time, flags);
		this.#count(length);
		return true;
	}

	/** A merged frame, as a run or in segments. False if all of it, or the rest of it, must wait. */
	#takeMerged(batch: Batch, segment: number, time: number): boolean {
		const ring = this.#ring;
		const counters = this.#counters;
		const cutter = this.#cutter;
		if (this.#cut === 0) {
			const known = segment !== UNKNOWN;
			const good = known
				? cutter.begin(ring.u8, ring.start, ring.length, segment)
				: cutter.beginAtMost(ring.u8, ring.start, ring.length, Math.min(this.#limit, FRAME_ROOM));
			if (!good || cutter.longest > FRAME_ROOM) {
				counters.rxTooLong++;
				return true;
			}
			if (!this.#plain) {
				const entries = ring.length <= FRAME_ROOM ? 1 : 1 + Math.ceil((ring.length - FRAME_ROOM) / PAGE_SIZE);
				if (entries <= this.#pool.free && entries <= batch.capacity) {
					if (entries > batch.capacity - batch.count) return false;
					counters.rxMergedSeen++;
					this.#takeRun(batch, segment, time);
					return true;
				}
			}
		}
		return this.#cutInto(batch, time);
	}

	/** A merged frame in as many pages as it takes, which are there. */
	#takeRun(batch: Batch, segment: number, time: number): void {
		const ring = this.#ring;
		const pool = this.#pool;
		const flags = vnetFlags(ring.u8, ring.start - VNET_HEADER);
		const first = batch.count;
		for (let done = 0; done < ring.length; ) {
			const page = pool.alloc();
			const offset = done === 0 ? FRAME_OFFSET : 0;
			const to = pool.address(page) + offset;
			const part = Math.min(ring.length - done, PAGE_SIZE - offset);
			copyBytes(ring.u8, ring.start + done, part, pool, to);
			done += part;
			batch.push(page, to, part, time, done < ring.length ? flags | FRAME_MORE : flags);
		}
		batch.segment[first] = segment;
		if ((flags & FRAME_PARTIAL_CHECKSUM) !== 0) this.#counters.rxPartialSeen++;
		this.#count(ring.length);
	}

	/** The segments of a merged frame, as many as there is room for. Their checksums were verified, or never computed, by who merged them. */
	#cutInto(batch: Batch, time: number): boolean {
		const cutter = this.#cutter;
		const counters = this.#counters;
		while (this.#cut < cutter.segments) {
			const page = batch.count < batch.capacity ? this.#page() : 0;
			if (page === 0) return false;
			if (this.#cut === 0) {
				counters.rxMergedSeen++;
				counters.rxCutSeen++;
				if (this.#ring.partial) counters.rxPartialSeen++;
			}
			const to = this.#pool.address(page) + FRAME_OFFSET;
			const bytes = cutter.write(this.#cut++, this.#pool, to, this.#plain);
			batch.push(page, to, bytes, time, this.#plain ? 0 : FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM);
			this.#count(bytes);
		}
		this.#cut = 0;
		return true;
	}

	#count(bytes: number): void {
		this.frames++;
		this.#counters.rxFrames++;
		this.#counters.rxBytes += bytes;
	}

	#page(): number {
		const page = this.#pool.alloc();
		if (page === 0) {
			this.#counters.rxNoPage++;
			this.state = STARVED;
		}
		return page;
	}
}
