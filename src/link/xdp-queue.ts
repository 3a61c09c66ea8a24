/**
 * The frames of one AF_XDP socket: the pages of the pool are the memory that it shares with the kernel.
 *
 * Hides who holds which page. A page is lent to the kernel to be filled (fill ring), comes back with a frame (receive ring), is lent
 * to be sent (transmit ring) and comes back when it was (completion ring). The lender counts what it lent, so that all of it comes
 * back when the socket is closed, wherever it is then.
 *
 * A frame that arrived is handed over in exchange for a free page, which takes its place in the fill ring: so the kernel never runs
 * short of pages because the stack holds many. Without a free page frames wait in the receive ring.
 *
 * No frame costs a system call. Sending costs one per batch (kernels before 6.17: per 32 frames), filling none unless the driver
 * asks for it.
 */
import { type Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { EAGAIN } from "../sys/errno.ts";
import type { Xsk } from "../sys/xsk.ts";
import { get16 } from "../wire/bytes.ts";
import { ETHERNET_HEADER } from "../wire/ethernet.ts";
import { copyFrame, FRAME_OFFSET, frameBytes, frameEntries } from "./frames.ts";
import { completeChecksum, isPartial } from "./partial.ts";
import { DRAINED, READY, STARVED } from "./queue-state.ts";

/** What `host.stats()` shows of an XDP link. */
export class XdpCounters {
	rxFrames = 0;
	rxBytes = 0;
	txFrames = 0;
	txBytes = 0;
	/** Times that frames had to wait in the receive ring, or answers to ARP in their socket, because no page was free. */
	rxNoPage = 0;
	/** Entries of the kernel's rings that name no page of ours. */
	badEntries = 0;
	/** Times that the transmit ring was full. */
	txStalled = 0;
	/** Times that the device took no more frames for now. */
	txDelayed = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames lost because they cannot be sent: longer than the MTU allows, or shorter than an Ethernet header. */
	txRejected = 0;
	/** Frames lost because no page was free to join their parts in. */
	txNoPage = 0;
}

/** Where a frame has its ethertype, or the tag of a VLAN in its place; and the bytes of that. */
const ETHERTYPE = 12;
const ETHERTYPE_VLAN = 0x8100;
const VLAN_TAG = 4;
/** Bits of a VLAN tag that name the VLAN. */
const VLAN_ID = 0xfff;

/** Whether a frame has a tag of VLAN 0, which says a priority alone (IEEE 802.1Q 9.6). */
function isPriorityTagged(u8: Uint8Array, start: number, length: number): boolean {
	return length >= ETHERNET_HEADER + VLAN_TAG && get16(u8, start + ETHERTYPE) === ETHERTYPE_VLAN && (get16(u8, start + 14) & VLAN_ID) === 0;
}

/** How frames that arrive without their transport checksum are dealt with. */
export type Partial = "none" | "mark" | "complete";

export interface XdpQueueOptions {
	readonly socket: Xsk;
	readonly pool: PagePool;
	readonly counters: XdpCounters;
	/** Pages to lend for frames that arrive. */
	readonly lend: number;
	/** Bytes of the longest frame that may be sent. */
	readonly limit: number;
	readonly partial: Partial;
}

export class XdpQueue {
	/** READY, DRAINED or STARVED, as the last `receive` left it. */
	state = READY;
	readonly socket: Xsk;
	readonly #pool: PagePool;
	readonly #counters: XdpCounters;
	readonly #limit: number;
	readonly #partial: Partial;
	/** References that the kernel holds on each page. */
	readonly #lent: Uint16Array;
	/** Frames were put into the transmit ring since the last kick. */
	#unkicked = false;

	constructor(options: XdpQueueOptions) {
		const { socket, pool } = options;
		this.socket = socket;
		this.#pool = pool;
		this.#counters = options.counters;
		this.#limit = options.limit;
		this.#partial = options.partial;
		this.#lent = new Uint16Array(pool.capacity + 1);
		for (let i = Math.min(options.lend, socket.fill.room(options.lend)); i > 0; i--) {
			const page = pool.alloc();
			if (page === 0) break;
			this.#lend(page);
		}
		socket.fill.submit();
	}

	/** As `Link.receive`; every frame is stamped with `time`. */
	receive(batch: Batch, time: number): number {
		const { receive: ring, fill } = this.socket;
		const pool = this.#pool;
		const lent = this.#lent;
		const counters = this.#counters;
		const { u8 } = pool;
		const available = ring.available();
		const wanted = Math.min(available, batch.capacity - batch.count);
		this.state = wanted === available ? DRAINED : READY;
		if (wanted <= 0) return 0;
		const first = batch.count;
		let bytes = 0;
		let taken = 0;
		for (; taken < wanted; taken++) {
			let start = ring.offset(taken);
			const page = pool.pageAt(start);
			if (page === 0 || lent[page] === 0) {
				counters.badEntries++;
				continue;
			}
			const fresh = pool.alloc();
			if (fresh === 0) {
				counters.rxNoPage++;
				this.state = STARVED;
				break;
			}
			this.#lend(fresh);
			lent[page]!--;
			let length = ring.length(taken);
			if (u8[start + ETHERTYPE] === ETHERTYPE_VLAN >> 8 && isPriorityTagged(u8, start, length)) {
				u8.copyWithin(start + VLAN_TAG, start, start + ETHERTYPE);
				start += VLAN_TAG;
				length -= VLAN_TAG;
			}
			bytes += length;
			batch.push(page, start, length, time, this.#partial === "none" ? 0 : this.#look(start, length));
		}
		ring.release(taken);
		fill.submit();
		if (fill.needsWakeup) this.socket.kickReceive();
		const frames = batch.count - first;
		counters.rxFrames += frames;
		counters.rxBytes += bytes;
		return frames;
	}

	/** As `Link.transmit`. */
	transmit(batch: Batch): number {
		const ring = this.socket.transmit;
		const pool = this.#pool;
		const counters = this.#counters;
		const { count } = batch;
		this.reap();
		let room = ring.room(count);
		let i = 0;
		while (i < count) {
			if (room === 0) {
				counters.txStalled++;
				break;
			}
			const parts = (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : frameEntries(batch, i);
			const length = parts === 1 ? batch.length[i]! : frameBytes(batch, i, parts);
			let page = batch.page[i]!;
			let start = batch.start[i]!;
			// One without a header never leaves, and the kernel would not give its page back.
			if (length > this.#limit || length < ETHERNET_HEADER) {
				counters.txRejected++;
				for (let k = 0; k < parts; k++) pool.release(batch.page[i + k]!);
				i += parts;
				continue;
			}
			if (parts > 1) {
				// Rare: without segmentation the stack sends frames of one page.
				page = pool.alloc();
				if (page === 0) counters.txNoPage++;
				else {
					start = pool.address(page) + FRAME_OFFSET;
					copyFrame(batch, i, parts, pool.u8, start);
				}
				for (let k = 0; k < parts; k++) pool.release(batch.page[i + k]!);
			}
			i += parts;
			if (page === 0) continue;
			this.#lent[page]!++;
			ring.put(start, length);
			room--;
			counters.txFrames++;
			counters.txBytes += length;
			this.#unkicked = true;
		}
		ring.submit();
		batch.shift(i);
		return i;
	}

	/** Loses what is to be sent; returns how many entries that were. */
	lose(batch: Batch): number {
		const { count } = batch;
		for (let i = 0; i < count; i++) if ((batch.flags[i]! & FRAME_MORE) === 0) this.#counters.txDown++;
		batch.drop(count);
		return count;
	}

	/** Makes the kernel send what is in the transmit ring. 0, or the error number of why some of it is left: EAGAIN where it is to be tried again. */
	kick(): number {
		if (!this.#unkicked) return 0;
		const { socket } = this;
		const ring = socket.transmit;
		let left = ring.pending;
		while (left > 0 && ring.needsWakeup) {
			const errno = socket.kickTransmit();
			const before = left;
			left = ring.pending;
			// It takes so many frames at once, and none while the device is busy or down.
			if (left === before) {
				this.#counters.txDelayed++;
				this.reap();
				return errno === 0 ? EAGAIN : errno;
			}
		}
		this.#unkicked = false;
		this.reap();
		return 0;
	}

	/** Takes back the pages whose frames were sent. */
	reap(): void {
		const ring = this.socket.completion;
		const pool = this.#pool;
		const count = ring.available();
		for (let i = 0; i < count; i++) {
			const page = pool.pageAt(ring.offset(i));
			if (page === 0 || this.#lent[page] === 0) {
				this.#counters.badEntries++;
				continue;
			}
			this.#lent[page]!--;
			pool.release(page);
		}
		if (count > 0) ring.release(count);
	}

	/** Closes the socket and takes all pages back. */
	close(): void {
		this.socket.close();
		const lent = this.#lent;
		for (let page = 1; page < lent.length; page++) {
			for (; lent[page]! > 0; lent[page]!--) this.#pool.release(page);
		}
	}

	#lend(page: number): void {
		this.#lent[page]!++;
		this.socket.fill.put(this.#pool.address(page));
	}

	#look(start: number, length: number): number {
		const { u8 } = this.#pool;
		if (!isPartial(u8, start, length)) return 0;
		if (this.#partial === "mark") return FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM;
		completeChecksum(u8, start);
		return 0;
	}
}
