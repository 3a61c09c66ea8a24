/**
 * The frames that leave by a packet socket's transmit ring (`txRing`): copied into its slots, taken by the kernel with one system call per batch.
 *
 * Hides the ring (sys/packet-tx-ring.ts), which frames are worth it, and what becomes of those that the kernel does not take. Pages are
 * given back as soon as they are copied, so none is held while a device is slow; what is held then are slots, and when there is none
 * left the batch waits.
 *
 * The kernel would take a slot's memory as part of its packet without copying it. But pieces of memory cost it more than a copy does, and where
 * another reader is near (veth, a capture) it copies them anyway. So each frame has a virtio-net header that calls all of it headers,
 * which are copied. Over a veth pair, all that its other end does included, in us a frame (Linux 6.18, Node 20, the quietest of 8 rounds):
 *
 *     bytes    ring    ring, in pieces    sendmmsg
 *     60       1.11         -               1.44
 *     590      1.15       1.49              1.62
 *     1514     1.15       1.48              1.44
 *     57 KB      -       14.0               8.8
 *
 * Long frames, of many segments, are better read by the kernel from the pages where they lie: the rest of a batch that has one goes by
 * sendmmsg, from another socket, once what is in the ring was taken.
 */
import { type Batch, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { EAGAIN, ENETDOWN, ENOBUFS, ENXIO } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { PacketTxRing, txRingRoom } from "../sys/packet-tx-ring.ts";
import type { PacketCounters } from "./packet-queue.ts";
import type { PacketOut, PacketSender } from "./packet-send.ts";
import { describeFrame, setHeaderLength, VNET_HEADER } from "./vnet.ts";

export interface RingSenderOptions {
	/** A socket with virtio-net headers, for the ring alone. */
	readonly fd: number;
	readonly pool: PagePool;
	/** Bytes of the longest frame that may be sent as one segment. */
	readonly limit: number;
	readonly counters: PacketCounters;
	/** The way of long frames. */
	readonly long: PacketSender;
}

/** Bytes that the ring takes of an arena. */
export function sendRingRoom(limit: number): number {
	return txRingRoom(VNET_HEADER + limit);
}

export class PacketRingSender implements PacketOut {
	stalled = false;
	readonly #pool: PagePool;
	readonly #limit: number;
	readonly #counters: PacketCounters;
	readonly #ring: PacketTxRing;
	readonly #long: PacketSender;

	constructor({ fd, pool, limit, counters, long }: RingSenderOptions) {
		this.#pool = pool;
		this.#limit = limit;
		this.#counters = counters;
		this.#long = long;
		this.#ring = new PacketTxRing(fd, VNET_HEADER + limit, pool.arena);
	}

	transmit(batch: Batch): number {
		const ring = this.#ring;
		const { count } = batch;
		this.stalled = false;
		for (let i = 0; i < count; i++) {
			if ((batch.flags[i]! & FRAME_MORE) !== 0 || batch.segment[i] !== 0) return this.#sendRest(batch, i);
			const length = batch.length[i]!;
			const refused = length > this.#limit || length < 14;
			if (!refused && !this.#hasSlot()) {
				batch.drop(i);
				return i;
			}
			if (refused || !describeFrame(batch, i, ring.u8, ring.place)) {
				this.#counters.txRejected++;
				continue;
			}
			setHeaderLength(ring.u8, ring.place, length);
			this.#copy(batch.start[i]!, ring.place + VNET_HEADER, length);
			ring.put(VNET_HEADER + length);
		}
		batch.drop(count);
		return count;
	}

	flush(): boolean {
		const ring = this.#ring;
		const counters = this.#counters;
		while (ring.pending > 0) {
			const errno = ring.send() < 0 ? libc().errno() : EAGAIN;
			for (let length = ring.taken(); length >= 0; length = ring.taken()) {
				counters.txFrames++;
				counters.txBytes += length - VNET_HEADER;
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

	/** Entries from `first` on, of which the first is long; those before it are in the ring, and leave before. */
	#sendRest(batch: Batch, first: number): number {
		batch.drop(first);
		if (!this.flush()) return first;
		const taken = this.#long.transmit(batch);
		this.stalled = this.#long.stalled;
		return first + taken;
	}

	/** Whether a slot is free, if need be once the kernel has looked at them. */
	#hasSlot(): boolean {
		const ring = this.#ring;
		if (ring.free) return true;
		this.flush();
		if (ring.free) return true;
		// The device is reading all of them.
		if (!this.stalled) this.#counters.txStalled++;
		this.stalled = true;
		return false;
	}

	/** The kernel has not taken the oldest frame. False if it may do so later; otherwise that frame is lost, or all are. */
	#refused(errno: number): boolean {
		const ring = this.#ring;
		const counters = this.#counters;
		if (!ring.wrong && errno === EAGAIN) return false;
		if (errno === ENETDOWN || errno === ENXIO) {
			counters.txDown += ring.clear();
			return true;
		}
		if (!ring.wrong && errno === ENOBUFS) counters.txNoMemory++;
		else counters.txRejected++;
		ring.skip();
		return true;
	}

	#copy(from: number, to: number, length: number): void {
		const { copy, u8 } = this.#pool;
		if (this.#ring.u8 === u8) copy.within(to, from, length);
		else copy.out(from, this.#ring.u8, to, length);
	}
}
