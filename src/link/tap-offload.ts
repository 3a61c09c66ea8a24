/**
 * The frames of a TAP descriptor with offloads: the kernel leaves out checksums and cutting into segments, both ways.
 *
 * Hides that a frame of up to 64 KiB lies in many pages, and that such frames are taken only while they pay. One system call
 * then moves what are 44 segments on a real wire, and each walks once through the kernel's stack.
 *
 * Marks, in: FRAME_CHECKED when the kernel vouches for the transport checksum; FRAME_PARTIAL_CHECKSUM with it when the checksum was
 * never computed (so that a frame may be sent on as it is); `segment` of a run's first entry is the payload of one segment
 * where the frame stands for several. Out: the same marks, of a frame's first entry, are orders. A frame with `segment` must
 * have FRAME_PARTIAL_CHECKSUM.
 *
 * In, two ways. Short: one read into one page, the header (vnet.ts) in front of the frame, which begins at byte 62 as ever. Long: the
 * kernel takes no frame apart to fit our memory, so each read must offer room for the longest; 33 pages wait for it in a row
 * of slots, a frame takes the first ones, which are filled again, and the rest stays. If the batch has no room for the frame, it
 * waits in the slots. Of frames that are all alike the payload goes to a buffer of its own (tap-landing.ts).
 *
 * Which way is tap-bulk.ts's to say; the kernel is told so by TUNSETOFFLOAD, at once for what it sends from then on. What is queued is still
 * as it was: until the queue was empty, or as many frames have come as it can hold, those that come say nothing about the new way, and
 * after long ones were turned off, all are read the long way. A frame that does not fit a short read has been cut, so it is counted and
 * dropped; that can happen only if pages are so short for so long that the slots have to be given up.
 *
 * Out, the header lies in front of the frame's first byte where the page has room: every frame begins at least 62 bytes into its page
 * or behind a stack's head room, which is nobody's until the next frame is built there, even if the page has several holders.
 *
 * Cost of the header for a frame of 60 bytes, measured on Node 20 with kernel work included, runs alternating: read 0.76 us without
 * and 0.85 us with it, write 1.14 and 1.28 us; what is left of it is the kernel's own. The long way costs 1.07 us a read; a header
 * as a part of its own (writev) 1.45 us. A frame of 1514 bytes: read 0.76 and 0.85 us, write 1.37 and 1.47 us, and the sum over
 * its payload, 0.05 us (wire/checksum.ts), is saved each way.
 */
import { BATCH_CAPACITY, type Batch, FRAME_CHECKED, FRAME_MORE } from "../memory/batch.ts";
import { PAGE_SIZE, type PagePool } from "../memory/pages.ts";
import { EBADFD } from "../sys/errno.ts";
import { Iovecs } from "../sys/iovec.ts";
import { setTapOffload, type Tap, TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, trySetTapOffload } from "../sys/tun.ts";
import { FRAME_OFFSET, FRAME_ROOM } from "./frames.ts";
import { DRAINED, GONE, READY, STARVED } from "./queue-state.ts";
import { BulkSense } from "./tap-bulk.ts";
import { TapLanding } from "./tap-landing.ts";
import { type TapCounters, TapQueue } from "./tap-queue.ts";
import { describeFrame, isTcp, VNET_HEADER, vnetFlags, vnetSegment } from "./vnet.ts";

/** Pages that hold the longest frame: 14 bytes of Ethernet, a VLAN tag, and an IP packet of 65535 bytes. */
const SLOTS = 1 + Math.ceil((18 + 65535 - FRAME_ROOM) / PAGE_SIZE);
/** Where a frame's header is read to in its page. */
const HEADER_OFFSET = FRAME_OFFSET - VNET_HEADER;
/** Bytes of a VLAN tag. */
const TAG = 4;
/** Microseconds without pages for the longest frame after which short frames must do. */
const STARVED_MAX = 20_000;

/** What the kernel may leave to the reader: nothing; checksums; and cutting. */
const PLAIN = 0;
const SHORT = TUN_F_CSUM;
const LONG = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

/**
 * Landings of one batch at most, 512 KiB: what a core's second cache holds beside all else. Whoever is done with them in the turn in which they came
 * gives their buffers back while they are in it; each is a batch of segments by itself.
 */
const LANDED_MAX = 8;

export class OffloadTapQueue extends TapQueue {
	readonly #tap: Tap;
	/** Long or short for good: frames of one segment may be longer than a page, or long frames are not wanted. */
	readonly #fixed: boolean;
	readonly #sense = new BulkSense();
	/** A TCP frame of so many bytes is nearly as long as can be; one of more bytes than `#limit` stands for several. */
	readonly #nearlyFull: number;
	readonly #most: number;
	/** Frames are read the long way. */
	#long: boolean;
	/** Frames that all queues of the device together can hold; and those of them that may be from before the way was changed. */
	readonly #queueFrames: number;
	#before = 0;
	/** Since when there were no pages for the slots, where `#starved`. */
	#starved = false;
	#starvedSince = 0;
	/** The payload of the frame that waits is this landing; 0: it lies in the slots. */
	#landed = 0;
	/** Where the payload of long frames may be read to; null: to pages alone. */
	readonly #landing: TapLanding | null;
	readonly #ordered: boolean;
	readonly #slots = new Int32Array(SLOTS);
	readonly #slotParts = new Iovecs(SLOTS, this.base);
	#partCount = 0;
	/** Slots 0 to this, exclusive, have no page. */
	#empty = SLOTS;
	/** Bytes of the frame that lies in the slots; 0: none. */
	#waiting = 0;
	/** Headers of frames whose page has no room for them. */
	readonly #headers = new Uint8Array(BATCH_CAPACITY * VNET_HEADER);
	readonly #headersAddress: bigint;

	/**
	 * @param limit Bytes of the longest frame of one segment.
	 * @param plain Frames come whole and complete; the only reason for this queue is then that they are longer than a page.
	 * @param landings The payload of long frames may come as a landing.
	 * @param ordered The pages of long frames are put into the order of memory.
	 * @param queueFrames Frames that all queues of the device together can hold.
	 */
	constructor(
		tap: Tap,
		limit: number,
		plain: boolean,
		landings: boolean,
		ordered: boolean,
		queueFrames: number,
		pool: PagePool,
		counters: TapCounters,
	) {
		super(tap.fds, limit, VNET_HEADER, pool, counters);
		this.#tap = tap;
		this.#queueFrames = queueFrames;
		this.#most = limit + TAG;
		this.#nearlyFull = (limit * 3) >> 2;
		this.#long = this.#most >= FRAME_ROOM;
		this.#ordered = ordered;
		this.#fixed = this.#long || plain;
		this.#headersAddress = this.libc.address(this.#headers);
		this.#landing = landings && !this.#fixed ? new TapLanding(pool, this.libc, this.base) : null;
		setTapOffload(tap, plain ? PLAIN : this.#long ? LONG : SHORT);
	}

	read(batch: Batch, time: number): void {
		this.state = READY;
		if (!this.#long) return this.readPages(batch, time);
		const enough = this.counters.rxLanded + LANDED_MAX;
		while (batch.count < batch.capacity && this.counters.rxLanded !== enough) {
			if (this.#waiting === 0 && !this.#readLong(time)) break;
			if (!this.#deliver(batch, time)) break;
		}
	}

	/** Whether long frames are worth it from now on. Not while pages are short: they take more of them. */
	override consider(batch: Batch, first: number): void {
		if (this.#long) {
			if (this.state === DRAINED) this.#before = 0;
			if (this.ending && this.#before === 0) this.#shorten();
			return;
		}
		const frames = batch.count - first;
		if (frames === 0 || this.#fixed || this.state === STARVED) return;
		if (this.#sense.batch(frames, this.#countFull(batch, first))) this.#lengthen();
	}

	/** TCP frames of nearly full size from entry `first` on. */
	#countFull(batch: Batch, first: number): number {
		const { u8 } = this.pool;
		let full = 0;
		for (let i = first; i < batch.count; i++) {
			if (batch.length[i]! >= this.#nearlyFull && isTcp(u8, batch.start[i]!)) full++;
		}
		return full;
	}

	#lengthen(): void {
		if (!trySetTapOffload(this.#tap, LONG)) return;
		this.counters.rxLongOn++;
		this.#before = this.#queueFrames;
		this.#long = true;
		this.ending = false;
		this.#starved = false;
	}

	/** Back to the short way. */
	#shorten(): void {
		this.#long = false;
		this.ending = false;
		this.#giveSlots();
	}

	/** Reads a frame into the slots. */
	#readLong(time: number): boolean {
		if (!this.#fill()) {
			this.counters.rxNoPage++;
			this.state = STARVED;
			this.#starve(time);
			return false;
		}
		this.#starved = false;
		const landing = this.#landing?.ready === true ? this.#landing : null;
		const start = this.pool.address(this.#slots[0]!) + HEADER_OFFSET;
		const bytes = landing === null ? this.libc.readv(this.fd, this.#slotParts.bytes, this.#partCount) : landing.read(this.fd, start);
		if (bytes <= VNET_HEADER) {
			this.state = bytes < 0 && this.libc.errno() === EBADFD ? GONE : DRAINED;
			return false;
		}
		this.#waiting = bytes - VNET_HEADER;
		if (landing !== null) this.#land(landing, this.#waiting);
		return true;
	}

	/** The frame was read by a guess. */
	#land(landing: TapLanding, bytes: number): void {
		const start = this.pool.address(this.#slots[0]!) + FRAME_OFFSET;
		if ((vnetFlags(this.pool.u8, start - VNET_HEADER) & FRAME_CHECKED) !== 0) this.#landed = landing.land(start, bytes);
		if (this.#landed !== 0) this.counters.rxLanded++;
		else if (bytes > landing.headers) {
			this.counters.rxScattered++;
			landing.scatter(this.#slots, bytes, FRAME_ROOM, PAGE_SIZE);
		}
	}

	/** The pages may be waiting for acknowledgements that wait here: after a while rather lose long frames than keep them waiting. */
	#starve(time: number): void {
		if (!this.#starved) {
			this.#starved = true;
			this.#starvedSince = time;
		} else if (!this.#fixed && ((time - this.#starvedSince) | 0) > STARVED_MAX) {
			if (!this.ending) this.#stopLong();
			this.#shorten();
		}
	}

	/** Gives each slot a page. From the last empty one on, so that those without stay the first ones when pages run out. */
	#fill(): boolean {
		if (this.#empty === 0) return true;
		while (this.#empty > 0) {
			const page = this.pool.alloc();
			if (page === 0) return false;
			this.#slots[--this.#empty] = page;
		}
		if (this.#ordered) this.#sort();
		this.#describe();
		return true;
	}

	/**
	 * Puts the slots into the order of memory: pages that lie one behind the other are then one piece, for the kernel that fills them and for
	 * the application that reads them. What was in order comes back in order, so there is hardly anything to do but once.
	 */
	#sort(): void {
		const slots = this.#slots;
		for (let i = 1; i < SLOTS; i++) {
			const page = slots[i]!;
			let at = i;
			for (; at > 0 && slots[at - 1]! > page; at--) slots[at] = slots[at - 1]!;
			slots[at] = page;
		}
	}

	/** Makes the slots the pieces of a read, neighbours as one. */
	#describe(): void {
		const { pool } = this;
		const slots = this.#slots;
		let count = 0;
		let start = pool.address(slots[0]!) + HEADER_OFFSET;
		let end = pool.address(slots[0]!) + PAGE_SIZE;
		for (let i = 1; i < SLOTS; i++) {
			const address = pool.address(slots[i]!);
			if (address !== end) {
				this.#slotParts.at(count++, start, end - start);
				start = address;
			}
			end = address + PAGE_SIZE;
		}
		this.#slotParts.at(count++, start, end - start);
		this.#partCount = count;
	}

	override get held(): number {
		return this.#waiting === 0 ? 0 : 1;
	}

	/** Moves the frame from the slots to the batch. False when it must wait for the next batch. */
	#deliver(batch: Batch, time: number): boolean {
		const bytes = this.#waiting;
		if (this.#landed !== 0) return this.#deliverLanded(batch, time);
		const entries = bytes <= FRAME_ROOM ? 1 : 1 + Math.ceil((bytes - FRAME_ROOM) / PAGE_SIZE);
		if (entries > batch.capacity) {
			this.counters.rxTooLong++;
			this.#waiting = 0;
			return true;
		}
		const first = batch.count;
		if (entries > batch.capacity - first) return false;
		const { pool } = this;
		const start = pool.address(this.#slots[0]!) + FRAME_OFFSET;
		const flags = vnetFlags(pool.u8, start - VNET_HEADER);
		let rest = bytes;
		for (let i = 0; i < entries; i++) {
			const page = this.#slots[i]!;
			const length = Math.min(rest, i === 0 ? FRAME_ROOM : PAGE_SIZE);
			rest -= length;
			batch.push(page, i === 0 ? start : pool.address(page), length, time, rest > 0 ? flags | FRAME_MORE : flags);
		}
		batch.segment[first] = vnetSegment(pool.u8, start - VNET_HEADER);
		if (bytes > this.#most) this.#landing?.learn(start, bytes);
		this.#delivered(entries, bytes);
		return true;
	}

	/** As `#deliver`: the headers from the first slot, and the landing. */
	#deliverLanded(batch: Batch, time: number): boolean {
		const first = batch.count;
		if (batch.capacity - first < 2) return false;
		const { headers } = this.#landing!;
		const payload = this.#waiting - headers;
		const page = this.#slots[0]!;
		const start = this.pool.address(page) + FRAME_OFFSET;
		const flags = vnetFlags(this.pool.u8, start - VNET_HEADER);
		batch.push(page, start, headers, time, flags | FRAME_MORE);
		batch.push(this.#landed, 0, payload, time, flags);
		batch.segment[first] = vnetSegment(this.pool.u8, start - VNET_HEADER);
		this.#landed = 0;
		this.#delivered(1, headers + payload);
		return true;
	}

	/** A frame has left the slots, with the first `pages` of their pages. */
	#delivered(pages: number, bytes: number): void {
		this.#empty = pages;
		this.#waiting = 0;
		this.counters.rxFrames++;
		this.counters.rxBytes += bytes;
		if (this.#fixed) return;
		const long = bytes > this.#most;
		if (this.ending) this.#before = Math.max(0, this.#before - 1);
		else if (this.#before > 0 && !long) this.#before--;
		else {
			this.#before = 0;
			if (this.#sense.frame(long)) this.#stopLong();
		}
	}

	#stopLong(): void {
		if (!trySetTapOffload(this.#tap, SHORT)) return;
		this.counters.rxLongOff++;
		this.#before = this.#queueFrames;
		this.ending = true;
	}

	protected gather(batch: Batch, first: number, entries: number, at: number, nth: number): number {
		const { pieces } = this;
		const header = batch.start[first]! - VNET_HEADER;
		let count = 1;
		if (header >= this.pool.address(batch.page[first]!)) {
			if (!describeFrame(batch, first, this.pool.u8, header)) return 0;
			pieces.at(at, header, VNET_HEADER + batch.length[first]!);
		} else {
			if (!describeFrame(batch, first, this.#headers, nth * VNET_HEADER)) return 0;
			pieces.set(at, this.#headersAddress + BigInt(nth * VNET_HEADER), VNET_HEADER);
			pieces.at(at + count++, batch.start[first]!, batch.length[first]!);
		}
		for (let i = first + 1; i < first + entries; i++) pieces.at(at + count++, batch.start[i]!, batch.length[i]!);
		return count;
	}

	#giveSlots(): void {
		for (let i = this.#empty; i < SLOTS; i++) this.pool.release(this.#slots[i]!);
		if (this.#landed !== 0) this.pool.release(this.#landed);
		this.#landed = 0;
		this.#empty = SLOTS;
		this.#waiting = 0;
	}

	override close(): void {
		super.close();
		this.#giveSlots();
	}
}
