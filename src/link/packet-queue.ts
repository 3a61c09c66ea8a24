/**
 * The frames of a packet socket: out of its ring into pages, and from pages to the interface.
 *
 * Hides the ring, the virtio-net headers and sendmmsg. A frame that arrives is copied, for a slot must be given back before the
 * kernel comes round; so receiving takes no system call. Frames that go out take one for a batch.
 *
 * The kernel merges TCP segments before packet sockets see them (GRO, and what another kernel on the same machine never cut): those are cut
 * again (cut.ts), a few pages at a time as the batch has room. Their checksums were verified, or never computed, by whoever merged them.
 */
import { BATCH_CAPACITY, type Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { PageAddresses } from "../sys/address.ts";
import { EAGAIN, ENETDOWN, ENOBUFS, ENXIO } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { Messages } from "../sys/messages.ts";
import type { PacketRing } from "../sys/packet-socket.ts";
import { Cutter } from "./cut.ts";
import { FRAME_OFFSET, FRAME_ROOM, frameBytes, frameEntries } from "./frames.ts";
import { completeChecksum, isPartial } from "./partial.ts";
import { describeFrame, VNET_HEADER, vnetFlags, vnetSegment } from "./vnet.ts";

/** What `host.stats()` shows of a packet link. */
export class PacketCounters {
	rxFrames = 0;
	rxBytes = 0;
	txFrames = 0;
	txBytes = 0;
	/** Times that frames had to wait in the ring because no page was free. */
	rxNoPage = 0;
	/** Frames that were merged, and cut again. */
	rxMergedSeen = 0;
	/** Frames lost because they were merged and are not TCP over IPv4, or are longer than a page. */
	rxTooLong = 0;
	/** Frames of other VLANs. */
	rxTagged = 0;
	/** Times that the socket took no more frames for now. */
	txStalled = 0;
	/** Frames lost because the device or the kernel had no room for them. */
	txNoMemory = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames lost because they cannot be sent: longer than the MTU allows, or shorter than an Ethernet header. */
	txRejected = 0;
}

/** More frames may be waiting. */
export const READY = 0;
/** The ring is empty. */
export const DRAINED = 1;
/** Frames are waiting but no page is free. */
export const STARVED = 2;

/** Bytes of the longest frame that stands for several segments. */
const SEGMENTED_MAX = 14 + 65535;

export class PacketQueue {
	/** READY, DRAINED or STARVED, as the last `receive` left it. */
	state = READY;
	/** The last `transmit` stopped because the socket took no more. */
	stalled = false;
	readonly #fd: number;
	readonly #ring: PacketRing;
	readonly #pool: PagePool;
	readonly #counters: PacketCounters;
	readonly #limit: number;
	readonly #plain: boolean;
	readonly #addresses: PageAddresses;
	readonly #messages = new Messages(2 * BATCH_CAPACITY);
	/** Entries of the batch up to and with each message. */
	readonly #entries = new Int32Array(BATCH_CAPACITY);
	readonly #bytes = new Int32Array(BATCH_CAPACITY);
	readonly #headers: Uint8Array;
	readonly #headerAddresses: bigint[];
	readonly #cutter = new Cutter();
	/** The next segment of the merged frame in the current slot; 0: none was looked at. */
	#cut = 0;

	/**
	 * @param limit Bytes of the longest frame that may be sent as one segment.
	 * @param plain Frames are to be whole, with their checksums.
	 */
	constructor(fd: number, ring: PacketRing, pool: PagePool, limit: number, plain: boolean, counters: PacketCounters) {
		this.#fd = fd;
		this.#ring = ring;
		this.#pool = pool;
		this.#limit = limit;
		this.#plain = plain;
		this.#counters = counters;
		this.#addresses = new PageAddresses(pool);
		this.#headers = new Uint8Array(BATCH_CAPACITY * VNET_HEADER);
		const base = libc().address(this.#headers);
		this.#headerAddresses = Array.from({ length: BATCH_CAPACITY }, (_, i) => base + BigInt(i * VNET_HEADER));
	}

	/** As `Link.receive`; every frame is stamped with `time`. */
	receive(batch: Batch, time: number): number {
		const ring = this.#ring;
		const counters = this.#counters;
		const before = batch.count;
		this.state = READY;
		while (batch.count < batch.capacity) {
			if (!ring.ready) {
				this.state = DRAINED;
				break;
			}
			const start = ring.start;
			const segment = vnetSegment(ring.u8, start - VNET_HEADER);
			if (ring.tagged) counters.rxTagged++;
			else if (ring.captured < ring.length || (segment === 0 && ring.length > FRAME_ROOM)) counters.rxTooLong++;
			else if (segment === 0) {
				if (!this.#take(batch, start, ring.length, time)) break;
			} else if (!this.#cutInto(batch, start, ring.length, segment, time)) break;
			ring.advance();
		}
		return batch.count - before;
	}

	/** A frame as it is. False if it must wait. */
	#take(batch: Batch, start: number, length: number, time: number): boolean {
		const page = this.#page();
		if (page === 0) return false;
		const { u8 } = this.#pool;
		const to = this.#pool.address(page) + FRAME_OFFSET;
		u8.set(this.#ring.u8.subarray(start, start + length), to);
		let flags = vnetFlags(this.#ring.u8, start - VNET_HEADER);
		if (this.#plain) {
			if ((flags & FRAME_PARTIAL_CHECKSUM) !== 0 && isPartial(u8, to, length)) completeChecksum(u8, to);
			flags = 0;
		}
		batch.push(page, to, length, time, flags);
		this.#counters.rxFrames++;
		this.#counters.rxBytes += length;
		return true;
	}

	/** The segments of a merged frame, as many as there is room for. False if some must wait. */
	#cutInto(batch: Batch, start: number, length: number, size: number, time: number): boolean {
		const cutter = this.#cutter;
		const counters = this.#counters;
		if (this.#cut === 0) {
			if (!cutter.begin(this.#ring.u8, start, length, size) || cutter.longest > FRAME_ROOM) {
				counters.rxTooLong++;
				return true;
			}
			counters.rxMergedSeen++;
		}
		while (this.#cut < cutter.segments) {
			const page = batch.count < batch.capacity ? this.#page() : 0;
			if (page === 0) return false;
			const to = this.#pool.address(page) + FRAME_OFFSET;
			const bytes = cutter.write(this.#cut++, this.#pool.u8, to, this.#plain);
			batch.push(page, to, bytes, time, this.#plain ? 0 : FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM);
			counters.rxFrames++;
			counters.rxBytes += bytes;
		}
		this.#cut = 0;
		return true;
	}

	#page(): number {
		const page = this.#pool.alloc();
		if (page === 0) {
			this.#counters.rxNoPage++;
			this.state = STARVED;
		}
		return page;
	}

	/** As `Link.transmit`. */
	transmit(batch: Batch): number {
		const messages = this.#messages;
		const entries = this.#entries;
		const { count } = batch;
		this.stalled = false;
		messages.clear();
		for (let i = 0; i < count; ) {
			const parts = (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : frameEntries(batch, i);
			const length = parts === 1 ? batch.length[i]! : frameBytes(batch, i, parts);
			const at = messages.count;
			const refused = length > (batch.segment[i] === 0 ? this.#limit : SEGMENTED_MAX) || length < 14;
			i += parts;
			if (refused || !describeFrame(batch, i - parts, this.#headers, at * VNET_HEADER)) {
				this.#counters.txRejected++;
				// Goes with the frame before it.
				if (at > 0) entries[at - 1] = i;
				else {
					batch.drop(i);
					return i + this.transmit(batch);
				}
				continue;
			}
			messages.begin();
			messages.add(this.#headerAddresses[at]!, VNET_HEADER);
			for (let k = i - parts; k < i; k++) messages.add(this.#addresses.of(batch.page[k]!, batch.start[k]!), batch.length[k]!);
			entries[at] = i;
			this.#bytes[at] = length;
		}
		const done = this.#send();
		const taken = done === 0 ? 0 : entries[done - 1]!;
		batch.drop(taken);
		return taken;
	}

	/** Sends the messages; returns how many are done with, sent or lost. */
	#send(): number {
		const messages = this.#messages;
		const counters = this.#counters;
		let done = 0;
		while (done < messages.count) {
			const sent = messages.send(this.#fd, done);
			if (sent > 0) {
				for (let i = done; i < done + sent; i++) counters.txBytes += this.#bytes[i]!;
				counters.txFrames += sent;
				done += sent;
				continue;
			}
			const errno = libc().errno();
			if (errno === EAGAIN) {
				counters.txStalled++;
				this.stalled = true;
				break;
			}
			if (errno === ENOBUFS) counters.txNoMemory++;
			else if (errno === ENETDOWN || errno === ENXIO) counters.txDown++;
			else counters.txRejected++;
			done++;
		}
		return done;
	}
}
