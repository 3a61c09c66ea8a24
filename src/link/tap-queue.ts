/**
 * The frames of a TAP descriptor: one system call each while they are few, one for many where io_uring is to be had.
 *
 * Hides read(2), write(2), their batches (sys/uring.ts) and what their errors mean for the device. What happened to the descriptor is
 * left in `state`, for the link to act on; a frame that went wrong is a counter.
 *
 * Frames are read straight into the arena and written straight from it. Measured per call on Node 20, kernel work included,
 * with frames of 60 and of 1514 bytes: read 0.75 us, write 1.1 and 1.5 us, a read that finds nothing 0.4 us; readv and writev
 * with one part take 0.08 us more, for the kernel copies the part list in. Of all these the foreign call itself is 0.03 us, so
 * the one way to save here is to make fewer calls: see `state`, tap-offload.ts, and the next paragraph.
 *
 * In batches. How many frames wait is not known, so as many reads are put down as the last time gave frames, and a few more; reads
 * that find nothing are the end, at a quarter of what each costs alone. While one or two frames come at a time, they are read and
 * written by plain calls, which are cheaper then: so a single request and its answer never pay for this.
 *
 * A device of several queues has a descriptor for each. One object serves them all: `fd` is the one whose turn it is
 * (tap-round.ts), and everything else, the kernel's offloads above all, is the device's.
 */
import { BATCH_CAPACITY, type Batch, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { PageAddresses } from "../sys/address.ts";
import { EAGAIN, EBADFD, EINVAL, EIO, ENOBUFS } from "../sys/errno.ts";
import { Iovecs } from "../sys/iovec.ts";
import { type Libc, libc } from "../sys/libc.ts";
import { URING_READ, URING_WRITE, URING_WRITEV, Uring } from "../sys/uring.ts";
import { FRAME_OFFSET, FRAME_ROOM, frameBytes, frameEntries } from "./frames.ts";
import { DRAINED, GONE, READY, STARVED } from "./queue-state.ts";
import { vnetFlags } from "./vnet.ts";

/** Bytes of the longest frame that stands for several segments: Ethernet, and what an IP length field can say. */
const SEGMENTED_MAX = 14 + 65535;

/** What `host.stats()` shows of a TAP link. */
export class TapCounters {
	rxFrames = 0;
	rxBytes = 0;
	txFrames = 0;
	txBytes = 0;
	/** Times that frames had to wait in the kernel's queue because no page was free. */
	rxNoPage = 0;
	/** Frames lost because they were longer than a whole batch. */
	rxTooLong = 0;
	/** Frames lost because they were longer than the memory that was offered for them. */
	rxTruncated = 0;
	/** Times that frames of many segments were asked for, and that they were no longer. */
	rxLongOn = 0;
	rxLongOff = 0;
	/** Frames whose payload was read to where the application has it, and those that were guessed to be of that kind and were not. */
	rxLanded = 0;
	rxScattered = 0;
	/** Frames that came by the express lane. */
	rxExpress = 0;
	/** Times that the device took no more frames for now. */
	txStalled = 0;
	/** Frames lost because the kernel had no memory for them. */
	txNoMemory = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames lost because they cannot be sent: longer than the MTU allows, or shorter than an Ethernet header. */
	txRejected = 0;
	/** Times that another processor was given the kernel's work on what is sent, and that it was taken back. */
	rpsOn = 0;
	rpsOff = 0;
	/** System calls that read, and that wrote, many frames at once. */
	rxBatchCalls = 0;
	txBatchCalls = 0;
}

/** Frames from which on a batch is cheaper than plain calls (figures in sys/uring.ts). */
const RX_BATCH_MIN = 4;
const TX_BATCH_MIN = 3;

/** The frames of a device, through one descriptor at a time. */
export abstract class TapQueue {
	/** READY, DRAINED, STARVED or GONE, as the last call left it. */
	state = READY;
	/** The last `transmit` stopped because the device took no more. */
	stalled = false;
	/** The kernel sends no more long frames, but those that are queued are still to be read as such: until all queues were empty, or as many frames came as they hold. */
	ending = false;
	/** Which descriptor is read and written. */
	turn = 0;
	protected readonly pool: PagePool;
	protected readonly counters: TapCounters;
	/** Address of the arena. */
	protected readonly base: bigint;
	/** A page is read to and written from at places that do not change, but are not the same. */
	readonly #readPlaces: PageAddresses;
	readonly #writePlaces: PageAddresses;
	protected readonly libc: Libc;
	/** The pieces of frames that are about to be written. */
	protected readonly pieces: Iovecs;
	readonly #fds: readonly number[];
	readonly #limit: number;
	/** Bytes of the kernel's header in front of each frame. */
	readonly #header: number;
	/** Batches of calls, where the kernel has them. */
	#uring: Uring | null = null;
	/** Frames that are expected to wait. */
	#expected = 1;
	/** Pages of the reads that were put down. */
	readonly #pages = new Int32Array(BATCH_CAPACITY);

	/**
	 * @param fds The descriptors of the device's queues.
	 * @param limit Bytes of the longest frame that may be sent as one segment.
	 * @param header Bytes of the kernel's header in front of each frame, or 0.
	 */
	constructor(fds: readonly number[], limit: number, header: number, pool: PagePool, counters: TapCounters) {
		this.#fds = fds;
		this.#limit = limit;
		this.#header = header;
		this.pool = pool;
		this.counters = counters;
		this.#readPlaces = new PageAddresses(pool);
		this.#writePlaces = new PageAddresses(pool);
		this.base = this.#readPlaces.base;
		// Each entry of a batch is a piece, and each frame may have its header as one more.
		this.pieces = new Iovecs(2 * BATCH_CAPACITY, this.base);
		this.libc = libc();
	}

	/** The descriptor that is read and written. */
	protected get fd(): number {
		return this.#fds[this.turn]!;
	}

	/** Reads and writes many frames with one system call. Throws a MillraceError where that cannot be had; all goes on without. */
	useUring(): void {
		this.#uring = new Uring(this.#fds[0]!, this.base, this.pieces);
	}

	/** Appends frames to the batch, each stamped with `time`, until it is full or `state` says why there are no more. */
	abstract read(batch: Batch, time: number): void;

	/** Frames that were read and wait for a batch with room: the next `read` gives them, whichever queue it is of. */
	get held(): number {
		return 0;
	}

	/** After reading, with what was read: entries from `first` on, and `state`. */
	consider(_batch: Batch, _first: number): void {}

	/**
	 * Makes the frame of entries `first` to `first + entries` a row of pieces from place `at` on, header included: how many; 0 for a frame
	 * that cannot be sent. A single piece lies in the frame's first page.
	 *
	 * @param nth How many frames lie in the pieces before it.
	 */
	protected abstract gather(batch: Batch, first: number, entries: number, at: number, nth: number): number;

	/** Gives back what it holds. */
	close(): void {
		this.#uring?.close();
		this.#uring = null;
	}

	/** As `Link.receive`. */
	receive(batch: Batch, time: number): number {
		const first = batch.count;
		this.read(batch, time);
		this.consider(batch, first);
		return batch.count - first;
	}

	/** As `Link.transmit`. */
	transmit(batch: Batch): number {
		const taken = this.write(batch, 0, batch.count);
		batch.drop(taken);
		return taken;
	}

	/** As `read`, of frames that are at most FRAME_ROOM bytes long: a page each, the header in front. */
	protected readPages(batch: Batch, time: number): void {
		const { counters } = this;
		const before = counters.rxFrames;
		this.state = READY;
		let wanted = this.#expected;
		for (let room = batch.capacity - batch.count; room > 0 && this.state === READY; ) {
			const calls = Math.min(wanted, room);
			if (this.#uring === null || calls < RX_BATCH_MIN) {
				this.#readOne(batch, time);
				room--;
			} else {
				this.#readMany(this.#uring, calls, batch, time);
				room -= calls;
			}
			// What was asked for came, so there may well be as much again.
			wanted = Math.max(wanted, (counters.rxFrames - before) * 2);
		}
		const frames = counters.rxFrames - before;
		this.#expected = frames + 1 + (frames >> 3);
	}

	#readOne(batch: Batch, time: number): void {
		const page = this.#alloc();
		if (page === 0) return;
		const start = this.pool.address(page) + FRAME_OFFSET - this.#header;
		const result = this.libc.read(this.fd, this.#readPlaces.of(page, start), this.#header + FRAME_ROOM);
		if (result <= this.#header) this.state = result < 0 && this.libc.errno() === EBADFD ? GONE : DRAINED;
		this.#take(batch, page, result, time);
	}

	#readMany(uring: Uring, calls: number, batch: Batch, time: number): void {
		const pages = this.#pages;
		const { fd } = this;
		let count = 0;
		for (; count < calls; count++) {
			const page = this.#alloc();
			if (page === 0) break;
			pages[count] = page;
			uring.one(URING_READ, fd, this.pool.address(page) + FRAME_OFFSET - this.#header, this.#header + FRAME_ROOM);
		}
		if (count === 0) return;
		uring.run();
		this.counters.rxBatchCalls++;
		const { result } = uring;
		// Frames may come between two reads, so only a last one that finds nothing is the end.
		if (result[count - 1]! <= this.#header) this.state = result[count - 1] === -EBADFD ? GONE : DRAINED;
		for (let i = 0; i < count; i++) this.#take(batch, pages[i]!, result[i]!, time);
	}

	#alloc(): number {
		const page = this.pool.alloc();
		if (page === 0) {
			this.counters.rxNoPage++;
			this.state = STARVED;
		}
		return page;
	}

	/** Appends what was read to a page, if it was a frame. */
	#take(batch: Batch, page: number, result: number, time: number): void {
		const header = this.#header;
		const length = result - header;
		if (length <= 0) {
			this.pool.release(page);
			return;
		}
		// With a header the kernel takes no frame apart to fit our memory, and cuts what is longer.
		if (header > 0 && length === FRAME_ROOM) {
			this.counters.rxTruncated++;
			this.pool.release(page);
			return;
		}
		const start = this.pool.address(page) + FRAME_OFFSET;
		this.counters.rxFrames++;
		this.counters.rxBytes += length;
		batch.push(page, start, length, time, header > 0 ? vnetFlags(this.pool.u8, start - header) : 0);
	}

	/** Writes the frames of entries `first` to `end`; returns where it stopped, which is before `end` only if `stalled`. */
	write(batch: Batch, first: number, end: number): number {
		this.stalled = false;
		if (this.#uring !== null && end - first >= TX_BATCH_MIN) return this.#writeMany(this.#uring, batch, first, end);
		let i = first;
		while (i < end) {
			const entries = entriesAt(batch, i);
			const count = this.#sendable(batch, i, entries) ? this.gather(batch, i, entries, 0, 0) : 0;
			this.#sent(count === 0 ? -EINVAL : this.#writeOne(batch.page[i]!, count));
			if (this.stalled) break;
			i += entries;
		}
		return i;
	}

	/** Writes the first `count` pieces; returns bytes, or an error number below 0. */
	#writeOne(page: number, count: number): number {
		const { libc, pieces } = this;
		const written =
			count === 1
				? libc.write(this.fd, this.#writePlaces.of(page, pieces.offset(0)), pieces.length(0))
				: libc.writev(this.fd, pieces.bytes, count);
		return written < 0 ? -libc.errno() : written;
	}

	#writeMany(uring: Uring, batch: Batch, first: number, end: number): number {
		const { fd, pieces } = this;
		let at = 0;
		for (let i = first; i < end; ) {
			const entries = entriesAt(batch, i);
			const count = this.#sendable(batch, i, entries) ? this.gather(batch, i, entries, at, uring.count) : 0;
			if (count === 1) uring.one(URING_WRITE, fd, pieces.offset(at), pieces.length(at));
			else if (count > 1) uring.many(URING_WRITEV, fd, at, count);
			else this.#sent(-EINVAL);
			at += count;
			i += entries;
		}
		if (uring.count === 0) return end;
		const calls = uring.run();
		this.counters.txBatchCalls++;
		// A device without a limit of its own never says that it is full. If one does, later frames have left already, so there is no
		// stopping here: the frame is lost, and counted.
		for (let i = 0; i < calls; i++) this.#sent(uring.result[i] === -EAGAIN ? -ENOBUFS : uring.result[i]!);
		return end;
	}

	/** Whether the frame is as long as it may be. The kernel would take a packet of any length from a device. */
	#sendable(batch: Batch, first: number, entries: number): boolean {
		const length = entries === 1 ? batch.length[first]! : frameBytes(batch, first, entries);
		return length <= (batch.segment[first] === 0 ? this.#limit : SEGMENTED_MAX) && entries <= BATCH_CAPACITY;
	}

	/** Counts what became of a frame: bytes, or an error number below 0. */
	#sent(written: number): void {
		const { counters } = this;
		if (written >= 0) {
			counters.txFrames++;
			counters.txBytes += written - this.#header;
		} else if (written === -EAGAIN) {
			counters.txStalled++;
			this.stalled = true;
		} else if (written === -EBADFD) {
			this.state = GONE;
			counters.txDown++;
		} else if (written === -EIO) counters.txDown++;
		else if (written === -ENOBUFS) counters.txNoMemory++;
		else counters.txRejected++;
	}
}

/** Entries of the frame at entry `i`. */
function entriesAt(batch: Batch, i: number): number {
	return (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : frameEntries(batch, i);
}

/** A queue that moves each frame as it is, checksums complete. Those that come are at most FRAME_ROOM bytes long. */
export class PlainTapQueue extends TapQueue {
	constructor(fds: readonly number[], limit: number, pool: PagePool, counters: TapCounters) {
		super(fds, limit, 0, pool, counters);
	}

	read(batch: Batch, time: number): void {
		this.readPages(batch, time);
	}

	protected gather(batch: Batch, first: number, entries: number, at: number): number {
		for (let i = 0; i < entries; i++) this.pieces.at(at + i, batch.start[first + i]!, batch.length[first + i]!);
		return entries;
	}
}
