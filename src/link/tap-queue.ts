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
import { FRAME_OFFSET, FRAME_ROOM, frameBytes, frameEntries } from "./frames.ts";

/** Bytes of the longest frame that stands for several segments: Ethernet, and what an IP length field can say. */
const SEGMENTED_MAX = 14 + 65535;

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
	/** Frames lost because they were longer than the memory that was offered for them. */
	rxTruncated = 0;
	/** Times that frames of many segments were asked for, and that they were no longer. */
	rxLongOn = 0;
	rxLongOff = 0;
	/** Times that the device took no more frames for now. */
	txStalled = 0;
	/** Frames lost because the kernel had no memory for them. */
	txNoMemory = 0;
	/** Frames lost because the interface was down. */
	txDown = 0;
	/** Frames lost because they cannot be sent: longer than the MTU allows, or shorter than an Ethernet header. */
	txRejected = 0;
}

/** What `send` answers when a frame is not one that can be sent. */
export const REFUSED = -2;

/** The frames of a device, through one descriptor at a time. */
export abstract class TapQueue {
	/** READY, DRAINED, STARVED or GONE, as the last call left it. */
	state = READY;
	/** The last `transmit` stopped because the device took no more. */
	stalled = false;
	/** The kernel sends no more long frames, but those that are queued are still to be read as such: until all queues were empty. */
	ending = false;
	/** The descriptor that is read and written. */
	fd: number;
	protected readonly pool: PagePool;
	protected readonly counters: TapCounters;
	protected readonly addresses: PageAddresses;
	protected readonly libc: Libc;
	readonly #limit: number;

	/** @param limit Bytes of the longest frame that may be sent as one segment. */
	constructor(fd: number, limit: number, pool: PagePool, counters: TapCounters) {
		this.fd = fd;
		this.#limit = limit;
		this.pool = pool;
		this.counters = counters;
		this.addresses = new PageAddresses(pool);
		this.libc = libc();
	}

	/** Appends frames to the batch, each stamped with `time`, until it is full or `state` says why there are no more. */
	abstract read(batch: Batch, time: number): void;

	/** After reading, with what was read: entries from `first` on, and `state`. */
	consider(_batch: Batch, _first: number): void {}

	/** Writes the frame of entries `first` to `first + parts`. Returns its bytes, -1 with errno set, or REFUSED. */
	protected abstract send(batch: Batch, first: number, parts: number): number;

	/** Gives back the pages that it holds. */
	abstract close(): void;

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

	/** Writes the frames of entries `first` to `end`; returns where it stopped, which is before `end` only if `stalled`. */
	write(batch: Batch, first: number, end: number): number {
		let bytes = 0;
		let sent = 0;
		let i = first;
		this.stalled = false;
		while (i < end) {
			const parts = (batch.flags[i]! & FRAME_MORE) === 0 ? 1 : frameEntries(batch, i);
			const length = parts === 1 ? batch.length[i]! : frameBytes(batch, i, parts);
			// The kernel would take a packet of any length from a device. (The list of parts has an end, too.)
			const refused = length > (batch.segment[i] === 0 ? this.#limit : SEGMENTED_MAX) || parts > BATCH_CAPACITY;
			const written = refused ? REFUSED : this.send(batch, i, parts);
			if (written >= 0) {
				bytes += written;
				sent++;
			} else {
				const errno = written === REFUSED ? EINVAL : this.libc.errno();
				if (errno === EAGAIN) {
					this.counters.txStalled++;
					this.stalled = true;
					break;
				}
				if (errno === EBADFD) this.state = GONE;
				if (errno === EBADFD || errno === EIO) this.counters.txDown++;
				else if (errno === ENOBUFS) this.counters.txNoMemory++;
				else this.counters.txRejected++;
			}
			i += parts;
		}
		this.counters.txFrames += sent;
		this.counters.txBytes += bytes;
		return i;
	}

	/** The state after a read that gave no frame. Call it right after the read. */
	protected afterRead(result: number): number {
		return result < 0 && this.libc.errno() === EBADFD ? GONE : DRAINED;
	}
}

/** A queue that moves each frame as it is, checksums complete. Those that come are at most FRAME_ROOM bytes long. */
export class PlainTapQueue extends TapQueue {
	readonly #parts = new Iovecs(BATCH_CAPACITY, this.addresses.base);

	read(batch: Batch, time: number): void {
		const pool = this.pool;
		const before = batch.count;
		let bytes = 0;
		this.state = READY;
		while (batch.count < batch.capacity) {
			const page = pool.alloc();
			if (page === 0) {
				this.counters.rxNoPage++;
				this.state = STARVED;
				break;
			}
			const start = pool.address(page) + FRAME_OFFSET;
			const length = this.libc.read(this.fd, this.addresses.of(page, start), FRAME_ROOM);
			if (length <= 0) {
				this.state = this.afterRead(length);
				pool.release(page);
				break;
			}
			bytes += length;
			batch.push(page, start, length, time);
		}
		const frames = batch.count - before;
		this.counters.rxFrames += frames;
		this.counters.rxBytes += bytes;
	}

	protected send(batch: Batch, first: number, parts: number): number {
		if (parts === 1) return this.libc.write(this.fd, this.addresses.of(batch.page[first]!, batch.start[first]!), batch.length[first]!);
		for (let i = 0; i < parts; i++) this.#parts.at(i, batch.start[first + i]!, batch.length[first + i]!);
		return this.libc.writev(this.fd, this.#parts.bytes, parts);
	}

	close(): void {}
}
