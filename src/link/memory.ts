/**
 * Memory link: two links in one process, joined like two network cards by a cable.
 *
 * Hides that there is no device. What one end transmits is put, stamped with the time, into the other end's bounded queue, in pages of
 * the other end's pool; the other end is woken by `flush`. Frames are copied, because the sender keeps its pages until they are
 * acknowledged; only when both ends use one pool, and nobody else holds the page (an acknowledgement, say), the page itself
 * changes hands.
 *
 * What crosses no wire needs no checksums and no cutting: frames that were left incomplete, and runs of up to 64 KiB that stand for
 * several segments, cross as they are, if both ends may have such frames. If the other end must not, they are completed here.
 * Only frames that were left incomplete are vouched for: any other may have come from anywhere.
 *
 * As with a cable, what the other end cannot take is lost, and counted at the end that sent it: a full queue, no page, or nobody
 * there (not open yet, or closed).
 */
import { MillraceError } from "../errors.ts";
import { type Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../memory/batch.ts";
import { FrameCompleter } from "./complete.ts";
import { FrameQueue, frameBytes, frameEntries, frameLimit, MTU_MAX, MTU_MIN, pagesFor } from "./frames.ts";
import { bad, inRange, refuseUnknown } from "./known-options.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "./link.ts";

/** Options of `memoryLinkPair`. */
export interface MemoryLinkOptions {
	/** "ip" (default): frames are IP packets, no address resolution is needed. "ethernet": as on a network card. */
	readonly medium?: "ethernet" | "ip";
	/** Largest IP packet, in bytes: 68 to 65535, default 1500. */
	readonly mtu?: number;
	/** Pages that may wait in each direction (a frame of more than 1986 bytes takes several): 64 to 1048576, default 1024. */
	readonly capacity?: number;
	/** Name of the pair in messages, default "memory"; the ends add ":a" and ":b". */
	readonly name?: string;
}

/** Pages that may wait: as many as a Linux network card queues by default (txqueuelen 1000). */
const CAPACITY = 1024;
const CAPACITY_MAX = 2 ** 20;

const KNOWN = ["medium", "mtu", "capacity", "name"];

const OFFLOAD: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true };

/** One end of a cable; the loop-back link is an end whose other end is itself. Made by `memoryLinkPair` and `loopbackLink`. */
export class MemoryLink implements Link {
	/** Name of the pair, with ":a" or ":b". */
	readonly name: string;
	/** As it was asked for. */
	readonly medium: "ethernet" | "ip";
	/** Largest IP packet, in bytes. */
	readonly mtu: number;
	/** Whether the other end is this one. */
	readonly loopback: boolean;
	readonly #limit: number;
	/** Bytes of the longest run that stands for several segments. */
	readonly #runLimit: number;
	readonly #queue: FrameQueue;
	/** Where frames go. Set once, right after creation. */
	#peer: MemoryLink = this;
	#context: LinkContext | null = null;
	/** Makes frames whole for a peer that wants them so; made when first needed. */
	#completer: FrameCompleter | null = null;
	#closed = false;
	/** Frames were queued here since the last wake. */
	#stale = false;
	#rxFrames = 0;
	#rxBytes = 0;
	#txFrames = 0;
	#txBytes = 0;
	#txDropSize = 0;
	#txDropNoPeer = 0;
	#txDropFull = 0;
	#txDropNoPage = 0;
	#txDropIncomplete = 0;

	constructor(options: { name: string; medium: "ethernet" | "ip"; mtu: number; capacity: number; loopback: boolean }) {
		const whose = options.loopback ? "a loop-back link" : "a memory link";
		inRange(whose, "mtu", options.mtu, MTU_MIN, MTU_MAX);
		inRange(whose, "capacity", options.capacity, 64, CAPACITY_MAX);
		if (options.medium !== "ethernet" && options.medium !== "ip") {
			throw bad(`medium ${String(options.medium)} of link ${options.name} is not known: give "ethernet" or "ip"`);
		}
		this.name = options.name;
		this.medium = options.medium;
		this.mtu = options.mtu;
		this.loopback = options.loopback;
		this.#limit = frameLimit(this);
		this.#runLimit = frameLimit({ medium: this.medium, mtu: MTU_MAX });
		this.#queue = new FrameQueue(options.capacity);
	}

	/** @internal Joins two ends. */
	static join(a: MemoryLink, b: MemoryLink): void {
		a.#peer = b;
		b.#peer = a;
	}

	/** None if this end must have plain frames, or the other end is known to. */
	get offload(): LinkOffload | undefined {
		return this.#context === null || this.#context.plain === true || this.#peer.#context?.plain === true ? undefined : OFFLOAD;
	}

	open(context: LinkContext): void {
		if (this.#context !== null || this.#closed) {
			throw new MillraceError("MILLRACE_LINK_USED", `link ${this.name} was opened before: a link serves one host, once; make another`);
		}
		this.#context = context;
	}

	receive(batch: Batch): number {
		const before = batch.count;
		const moved = this.#queue.moveTo(batch);
		for (let i = before; i < batch.count; i++) {
			this.#rxBytes += batch.length[i]!;
			if ((batch.flags[i]! & FRAME_MORE) === 0) this.#rxFrames++;
		}
		return moved;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		if (this.#context === null) {
			batch.drop(count);
			return count;
		}
		const peer = this.#peer;
		const context = peer.#context;
		const time = context === null ? 0 : context.runtime.clock.now() | 0;
		for (let at = 0, entries = 0; at < count; at += entries) {
			entries = frameEntries(batch, at);
			const kept = this.#send(batch, at, entries, context, peer, time);
			if (!kept) for (let i = at; i < at + entries; i++) batch.pool.release(batch.page[i]!);
		}
		batch.shift(count);
		return count;
	}

	/** Gives one frame to the other end; true if its pages went along. */
	#send(batch: Batch, at: number, entries: number, context: LinkContext | null, peer: MemoryLink, time: number): boolean {
		const bytes = frameBytes(batch, at, entries);
		const marks = batch.flags[at]! & (FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM);
		const incomplete = (marks & FRAME_PARTIAL_CHECKSUM) !== 0;
		if (bytes > (incomplete && batch.segment[at] !== 0 ? this.#runLimit : this.#limit) || bytes === 0) {
			this.#txDropSize++;
			return false;
		}
		if (context === null) {
			this.#txDropNoPeer++;
			return false;
		}
		if (incomplete && context.plain === true) {
			this.#sendCompleted(batch, at, entries, context, peer, time);
			return false;
		}
		const pool = context.pool;
		const queue = peer.#queue;
		const flags = incomplete ? marks | FRAME_CHECKED : marks;
		const handOver = entries === 1 && batch.pool === pool && pool.refs(batch.page[at]!) === 1;
		const pages = pagesFor(bytes);
		if (queue.room < pages) {
			this.#txDropFull++;
			return false;
		}
		if (handOver) queue.push(batch.page[at]!, batch.start[at]!, bytes, time, flags, batch.segment[at]!);
		else if (pool.free < pages) {
			this.#txDropNoPage++;
			return false;
		} else queue.pushCopy(batch, at, entries, pool, time, flags);
		this.#txFrames++;
		this.#txBytes += bytes;
		peer.#stale = true;
		return handOver;
	}

	/** Gives one incomplete frame to the other end as frames that are complete. */
	#sendCompleted(batch: Batch, at: number, entries: number, context: LinkContext, peer: MemoryLink, time: number): void {
		this.#completer ??= new FrameCompleter(this.medium);
		const { pool } = context;
		const queue = peer.#queue;
		const done = this.#completer.complete(batch, at, entries, (frame) => {
			const pages = pagesFor(frame.length);
			if (frame.length > this.#limit) this.#txDropSize++;
			else if (queue.room < pages) this.#txDropFull++;
			else if (pool.free < pages) this.#txDropNoPage++;
			else {
				queue.pushBytes(frame, pool, time);
				this.#txFrames++;
				this.#txBytes += frame.length;
				peer.#stale = true;
			}
		});
		if (!done) this.#txDropIncomplete++;
	}

	flush(): void {
		const peer = this.#peer;
		if (!peer.#stale) return;
		peer.#stale = false;
		peer.#context?.wake();
	}

	/** Without effect: nothing outside the process is waited for. */
	ref(): void {}
	unref(): void {}

	close(): void {
		if (this.#context !== null) this.#queue.clear(this.#context.pool);
		this.#context = null;
		this.#stale = false;
		this.#closed = true;
	}

	counters(): Readonly<Record<string, number>> {
		return {
			rxFrames: this.#rxFrames,
			rxBytes: this.#rxBytes,
			txFrames: this.#txFrames,
			txBytes: this.#txBytes,
			txDropSize: this.#txDropSize,
			txDropNoPeer: this.#txDropNoPeer,
			txDropFull: this.#txDropFull,
			txDropNoPage: this.#txDropNoPage,
			txDropIncomplete: this.#txDropIncomplete,
		};
	}
}

/**
 * Two links, joined: what goes into one comes out of the other. For hosts in one process: tests, gateways, simulations.
 *
 * @throws MillraceError MILLRACE_BAD_OPTION when an option is unknown or out of its range.
 */
export function memoryLinkPair(options: MemoryLinkOptions = {}): [MemoryLink, MemoryLink] {
	refuseUnknown("a memory link", options, KNOWN);
	const { name = "memory", medium = "ip", mtu = 1500, capacity = CAPACITY } = options;
	if (typeof name !== "string") throw bad(`name ${String(name)} of a memory link: give a text`);
	const a = new MemoryLink({ name: `${name}:a`, medium, mtu, capacity, loopback: false });
	const b = new MemoryLink({ name: `${name}:b`, medium, mtu, capacity, loopback: false });
	MemoryLink.join(a, b);
	return [a, b];
}
