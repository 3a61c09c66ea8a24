/**
 * The frames that leave by a packet socket's transmit ring (`txRing`): copied into its slots, taken by the kernel with one system call per batch.
 *
 * Hides the ring (sys/packet-tx-ring.ts), and what becomes of frames that the kernel does not take. Pages are given back as soon as they are
 * copied, so none is held while a device is slow; what is held then are slots, and when there is none left the batch waits.
 *
 * What the kernel says of a frame, it says of the oldest one that is left: then that one is counted and lost, as without a ring, and the
 * rest is sent. See packet-send.ts for frames that bypass queueing disciplines.
 */
import { type Batch, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { EAGAIN, ENETDOWN, ENOBUFS, ENXIO } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { setQdiscBypass } from "../sys/packet-socket.ts";
import { PacketTxRing } from "../sys/packet-tx-ring.ts";
import { frameBytes, frameEntries } from "./frames.ts";
import type { PacketCounters } from "./packet-queue.ts";
import { type PacketOut, type PacketSenderOptions, SEGMENTED_MAX } from "./packet-send.ts";
import { describeFrame, setHeaderLength, VNET_HEADER, vnetSegment } from "./vnet.ts";

/** What the kernel is told to copy of a frame, at most, in bytes: it takes short ones in one piece for less than a piece of our memory beside their headers. */
const LINEAR = 256;

export interface RingSenderOptions extends PacketSenderOptions {
	/** Frames of many segments may be sent. */
	readonly segments: boolean;
}

/** Bytes of the longest frame, as it lies in a slot. */
export function longestInSlot(limit: number, headers: boolean, segments: boolean): number {
	return (headers ? VNET_HEADER : 0) + (segments ? SEGMENTED_MAX : limit);
}

export class PacketRingSender implements PacketOut {
	stalled = false;
	readonly #fd: number;
	readonly #pool: PagePool;
	readonly #limit: number;
	readonly #headers: number;
	readonly #counters: PacketCounters;
	readonly #ring: PacketTxRing;
	#mayEndBypass: boolean;

	constructor({ fd, pool, limit, headers, segments, mayEndBypass, counters }: RingSenderOptions) {
		this.#fd = fd;
		this.#pool = pool;
		this.#limit = limit;
		this.#headers = headers ? VNET_HEADER : 0;
		this.#counters = counters;
		this.#mayEndBypass = mayEndBypass;
		this.#ring = new PacketTxRing(fd, longestInSlot(limit, headers, segments), pool.arena);
	}

	transmit(batch: Batch): number {
		const ring = this.#ring;
		const headers = this.#headers;
		const { count } = batch;
		this.stalled = false;
		let i = 0;
		while (i < count) {
			const parts = (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : frameEntries(batch, i);
			const length = parts === 1 ? batch.length[i]! : frameBytes(batch, i, parts);
			const refused = length > (batch.segment[i] === 0 ? this.#limit : SEGMENTED_MAX) || length < 14;
			if (!refused && !ring.free) {
				this.flush();
				if (!ring.free) {
					// The device is reading all of it.
					if (!this.stalled) this.#counters.txStalled++;
					this.stalled = true;
					break;
				}
			}
			const to = ring.place;
			if (refused || (headers > 0 && !describeFrame(batch, i, ring.u8, to))) {
				this.#counters.txRejected++;
			} else {
				this.#copy(batch, i, parts, to + headers);
				if (headers > 0 && batch.segment[i] === 0) setHeaderLength(ring.u8, to, Math.min(length, LINEAR));
				ring.put(headers + length);
			}
			i += parts;
		}
		batch.drop(i);
		return i;
	}

	flush(): boolean {
		const ring = this.#ring;
		const counters = this.#counters;
		while (ring.pending > 0) {
			const errno = ring.send() < 0 ? libc().errno() : EAGAIN;
			for (let length = ring.taken(); length >= 0; length = ring.taken()) {
				counters.txFrames++;
				counters.txBytes += length - this.#headers;
			}
			if (ring.pending > 0 && !this.#refused(errno)) {
				counters.txStalled++;
				this.stalled = true;
				return false;
			}
		}
		return true;
	}

	/** Gives the ring back, after the socket was closed. */
	close(): void {
		this.#ring.close();
	}

	/** The kernel has not taken the oldest frame. False if it may do so later; otherwise that frame is dealt with. */
	#refused(errno: number): boolean {
		const ring = this.#ring;
		const counters = this.#counters;
		if (ring.wrong) counters.txRejected++;
		else if (errno === EAGAIN) return false;
		else if (errno === ENETDOWN || errno === ENXIO) {
			counters.txDown += ring.clear();
			return true;
		} else if (errno !== ENOBUFS) counters.txRejected++;
		else if (this.#mayEndBypass && this.#headers > 0 && vnetSegment(ring.u8, ring.oldest) !== 0) {
			setQdiscBypass(this.#fd, false);
			this.#mayEndBypass = false;
			counters.txBypassOff++;
			return true;
		} else counters.txNoMemory++;
		ring.skip();
		return true;
	}

	/** The frame of entries `first` to `first + parts` to the ring's memory at `to`. */
	#copy(batch: Batch, first: number, parts: number, to: number): void {
		const { copy, u8 } = this.#pool;
		const target = this.#ring.u8;
		let at = to;
		for (let i = first; i < first + parts; i++) {
			const length = batch.length[i]!;
			if (target === u8) copy.within(at, batch.start[i]!, length);
			else copy.out(batch.start[i]!, target, at, length);
			at += length;
		}
	}
}
