/**
 * The frames that leave by a packet socket: from pages to the interface.
 *
 * Hides sendmmsg, the virtio-net headers, and what becomes of frames that the kernel does not take. A batch takes one system call.
 *
 * The kernel cuts a frame of many segments behind the queueing disciplines, if the device does not. A frame that bypasses them must
 * be cut by the device: the kernel drops it otherwise, with ENOBUFS (net/core/dev.c, __dev_direct_xmit). The device may stop to do
 * so at any time (ethtool -K), so when such a frame is refused, frames go through the disciplines from then on, where the link may
 * choose (`txBypassOff`). A device that had no room looks the same; it is no loss then either, for a discipline would have kept the frame.
 */
import { BATCH_CAPACITY, type Batch, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { EAGAIN, ENETDOWN, ENOBUFS, ENXIO } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { Messages } from "../sys/messages.ts";
import { setQdiscBypass } from "../sys/packet-socket.ts";
import { frameBytes, frameEntries } from "./frames.ts";
import type { PacketCounters } from "./packet-queue.ts";
import { describeFrame, VNET_HEADER } from "./vnet.ts";

/** Bytes of the longest frame that stands for several segments. */
const SEGMENTED_MAX = 14 + 65535;

export interface PacketSenderOptions {
	readonly fd: number;
	readonly pool: PagePool;
	/** Bytes of the longest frame that may be sent as one segment. */
	readonly limit: number;
	/** Each frame goes with a virtio-net header. */
	readonly headers: boolean;
	/** Sockets whose frames bypass queueing disciplines, and need not: that ends for all at once, for frames must not overtake each other. */
	readonly bypassing: readonly number[];
	readonly counters: PacketCounters;
}

/** The way out of a packet link. */
export interface PacketOut {
	/** The last call stopped because the socket took no more. */
	readonly stalled: boolean;
	/** As `Link.transmit`. */
	transmit(batch: Batch): number;
	/** As `Link.flush`; false if something must be tried again later. */
	flush(): boolean;
	/** Gives memory back, after the socket was closed. */
	close(): void;
}

export class PacketSender implements PacketOut {
	stalled = false;
	readonly #fd: number;
	readonly #limit: number;
	readonly #counters: PacketCounters;
	readonly #messages: Messages;
	/** Entries of the batch up to and with each message. */
	readonly #entries = new Int32Array(BATCH_CAPACITY);
	readonly #bytes = new Int32Array(BATCH_CAPACITY);
	/** Frames refused behind each message, which go with it: they are counted when it is done with, for until then they may be offered again. */
	readonly #refused = new Int32Array(BATCH_CAPACITY);
	/** Room for a header for each message; null: frames go without. */
	readonly #headers: Uint8Array | null;
	readonly #headerAddresses: readonly bigint[];
	#bypassing: readonly number[];

	constructor({ fd, pool, limit, headers, bypassing, counters }: PacketSenderOptions) {
		this.#fd = fd;
		this.#limit = limit;
		this.#counters = counters;
		this.#bypassing = bypassing;
		this.#messages = new Messages(2 * BATCH_CAPACITY, libc().address(pool.u8));
		this.#headers = headers ? new Uint8Array(BATCH_CAPACITY * VNET_HEADER) : null;
		const base = this.#headers === null ? 0n : libc().address(this.#headers);
		this.#headerAddresses = Array.from({ length: headers ? BATCH_CAPACITY : 0 }, (_, i) => base + BigInt(i * VNET_HEADER));
	}

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
			if (refused || !this.#begin(batch, i - parts)) {
				// Goes with the frame before it.
				if (at > 0) {
					entries[at - 1] = i;
					this.#refused[at - 1]!++;
				} else {
					this.#counters.txRejected++;
					batch.drop(i);
					return i + this.transmit(batch);
				}
				continue;
			}
			for (let k = i - parts; k < i; k++) messages.addAt(batch.start[k]!, batch.length[k]!);
			entries[at] = i;
			this.#bytes[at] = length;
			this.#refused[at] = 0;
		}
		const done = this.#send(batch);
		for (let i = 0; i < done; i++) this.#counters.txRejected += this.#refused[i]!;
		const taken = done === 0 ? 0 : entries[done - 1]!;
		batch.drop(taken);
		return taken;
	}

	/** Nothing to do: each batch left with its own system call. */
	flush(): boolean {
		return true;
	}

	close(): void {}

	/** Begins a message, with the header of the frame at entry `i`. False if what the frame asks for cannot be done. */
	#begin(batch: Batch, i: number): boolean {
		const messages = this.#messages;
		const headers = this.#headers;
		if (headers === null) {
			messages.begin();
			return true;
		}
		const at = messages.count;
		if (!describeFrame(batch, i, headers, at * VNET_HEADER)) return false;
		messages.begin();
		messages.add(this.#headerAddresses[at]!, VNET_HEADER);
		return true;
	}

	/** Sends the messages; returns how many are done with, sent or lost. */
	#send(batch: Batch): number {
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
			if (errno === ENOBUFS) {
				if (this.#bypassing.length > 0 && batch.segment[done === 0 ? 0 : this.#entries[done - 1]!] !== 0) {
					for (const fd of this.#bypassing) setQdiscBypass(fd, false);
					this.#bypassing = [];
					counters.txBypassOff++;
					continue;
				}
				counters.txNoMemory++;
			} else if (errno === ENETDOWN || errno === ENXIO) counters.txDown++;
			else counters.txRejected++;
			done++;
		}
		return done;
	}
}
