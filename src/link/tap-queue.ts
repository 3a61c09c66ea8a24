/**
 * The frames of a TAP descriptor, one system call each.
 *
 * Hides read(2), write(2) and what their errors mean for the device. What happened to the descriptor is left in `state`, for
 * the link to act on; a frame that went wrong is a counter.
 *
 * Frames are read straight into the arena and written straight from it. Measured per call on Node 20, kernel work included,
 * with frames of 60 and of 1514 bytes: read 0.75 us, write 1.1 and 1.5 us, a read that finds nothing 0.4 us; readv and writev
 * with one part take 0.08 us more, for the kernel copies the part list in. Of all these the foreign call itself is 0.03 us, so
 * the one way to save here is to make fewer calls: see `state`, and tap-offload.ts.
 */
import { BATCH_CAPACITY, type Batch, FRAME_MORE } from "../memory/batch.ts";
import { PAGE_SIZE, type PagePool } from "../memory/pages.ts";
import { PageAddresses } from "../sys/address.ts";
import { EAGAIN, EBADF, EBADFD, EIO, ENOBUFS } from "../sys/errno.ts";
import { Iovecs } from "../sys/iovec.ts";
import { type Libc, libc } from "../sys/libc.ts";

/** Where in its page a received frame begins: the IP header behind 14 bytes of Ethernet lands on a word. */
export const FRAME_OFFSET = 62;
/** The longest frame that fits a page. */
export const FRAME_MAX = PAGE_SIZE - FRAME_OFFSET;

/** More frames may be waiting. */
export const READY = 0;
/** The last read found nothing: there is no point in another one before the descriptor polls readable. */
export const DRAINED = 1;
/** Frames are waiting but no page is free. */
export const STARVED = 2;
/** The device is gone. */
export const GONE = 3;

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
	/** Times that the device took no more frames for now. */
	txStalled = 0;
	/** Frames lost because the kernel had no memory for them. */
	txNoMemory = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames that the kernel did not want: shorter than an Ethernet header, say. */
	txRejected = 0;
}

export interface TapQueue {
	/** READY, DRAINED, STARVED or GONE, as the last call left it. */
	state: number;
	/** The last `transmit` stopped because the device took no more. */
	stalled: boolean;
	/** As `Link.receive`; every frame is stamped with `time`. */
	receive(batch: Batch, time: number): number;
	/** As `Link.transmit`. */
	transmit(batch: Batch): number;
	/** Gives back the pages that it holds. */
	close(): void;
}

/** A queue that moves each frame as it is, checksums complete. Those that come are at most FRAME_MAX bytes long. */
export class PlainTapQueue implements TapQueue {
	state = READY;
	stalled = false;
	readonly #fd: number;
	readonly #pool: PagePool;
	readonly #counters: TapCounters;
	readonly #addresses: PageAddresses;
	readonly #libc: Libc;
	readonly #parts = new Iovecs(BATCH_CAPACITY);

	constructor(fd: number, pool: PagePool, counters: TapCounters) {
		this.#fd = fd;
		this.#pool = pool;
		this.#counters = counters;
		this.#addresses = new PageAddresses(pool);
		this.#libc = libc();
	}

	receive(batch: Batch, time: number): number {
		const pool = this.#pool;
		const before = batch.count;
		const room = batch.capacity - before;
		let bytes = 0;
		this.state = READY;
		for (let i = 0; i < room; i++) {
			const page = pool.alloc();
			if (page === 0) {
				this.#counters.rxNoPage++;
				this.state = STARVED;
				break;
			}
			const start = pool.address(page) + FRAME_OFFSET;
			const length = this.#libc.read(this.#fd, this.#addresses.of(page, start), FRAME_MAX);
			if (length <= 0) {
				this.state = length < 0 && gone(this.#libc.errno()) ? GONE : DRAINED;
				pool.release(page);
				break;
			}
			bytes += length;
			batch.push(page, start, length, time);
		}
		const frames = batch.count - before;
		this.#counters.rxFrames += frames;
		this.#counters.rxBytes += bytes;
		return frames;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		let bytes = 0;
		let sent = 0;
		let i = 0;
		this.stalled = false;
		while (i < count) {
			const parts = (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : runLength(batch, i);
			const written =
				parts === 1
					? this.#libc.write(this.#fd, this.#addresses.of(batch.page[i]!, batch.start[i]!), batch.length[i]!)
					: this.#gather(batch, i, parts);
			if (written >= 0) {
				bytes += written;
				sent++;
			} else {
				const errno = this.#libc.errno();
				if (errno === EAGAIN) {
					this.#counters.txStalled++;
					this.stalled = true;
					break;
				}
				if (gone(errno)) this.state = GONE;
				countLoss(this.#counters, errno);
			}
			i += parts;
		}
		this.#counters.txFrames += sent;
		this.#counters.txBytes += bytes;
		batch.drop(i);
		return i;
	}

	#gather(batch: Batch, first: number, parts: number): number {
		for (let i = 0; i < parts; i++)
			this.#parts.set(i, this.#addresses.of(batch.page[first + i]!, batch.start[first + i]!), batch.length[first + i]!);
		return this.#libc.writev(this.#fd, this.#parts.bytes, parts);
	}

	close(): void {}
}

/** Entries of the frame that begins with entry `first`, at most BATCH_CAPACITY. A run that nobody ended ends with the batch. */
export function runLength(batch: Batch, first: number): number {
	const last = Math.min(batch.count, first + BATCH_CAPACITY) - 1;
	let i = first;
	while (i < last && (batch.flags[i]! & FRAME_MORE) !== 0) i++;
	return i - first + 1;
}

/** Whether an error says that the interface behind the descriptor was removed. */
export function gone(errno: number): boolean {
	return errno === EBADFD || errno === EBADF;
}

/** Counts a frame that could not be written. */
export function countLoss(counters: TapCounters, errno: number): void {
	if (errno === EIO || gone(errno)) counters.txDown++;
	else if (errno === ENOBUFS) counters.txNoMemory++;
	else counters.txRejected++;
}
