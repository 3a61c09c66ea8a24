/**
 * Stream link: frames over whatever carries bytes or messages to somebody who speaks frames too.
 *
 * Hides the framing. "length": a byte stream on which each frame stands behind its length, 4 bytes, most significant first: QEMU's
 * `-netdev stream` (and `socket`), gvisor-tap-vsock, container2wasm. "message": a message is a frame: QEMU's `-netdev dgram`, and the
 * WebSocket relays of v86.
 *
 * What arrives is copied once, into pages, also when a frame comes in pieces; what leaves is copied once, into one array per batch
 * (or per message), because a pipe sends later than its `write` returns.
 *
 * Bounds: frames that wait for the host (`capacity`, in pages) and bytes that wait for the pipe (`backlog`); beyond them frames are dropped
 * and counted. A length that no frame can have means that the borders are lost: the link fails, or, where another peer may come
 * (`Pipe.reject`), has nothing more to do with this one.
 */
import { MillraceError } from "../errors.ts";
import { type Batch, FRAME_MORE } from "../memory/batch.ts";
import {
	copyFrame,
	FRAME_OFFSET,
	FRAME_ROOM,
	FrameQueue,
	frameBytes,
	frameEntries,
	frameLimit,
	MTU_MAX,
	MTU_MIN,
	pagesFor,
} from "./frames.ts";
import { bad, inRange, refuseUnknown, stationMac, withMethods } from "./known-options.ts";
import type { Link, LinkContext } from "./link.ts";
import type { Pipe } from "./pipe.ts";

export { type Pipe, type PipeEvents, type WebSocketLike, webSocketPipe } from "./pipe.ts";

/** Options of `streamLink`. */
export interface StreamLinkOptions {
	/** "length" (default): lengths in front of frames; "message": one frame a message. */
	readonly framing?: "length" | "message";
	/** Default "ethernet", as the virtual machines have it. */
	readonly medium?: "ethernet" | "ip";
	/** Largest IP packet, in bytes: 68 to 65535, default 1500. */
	readonly mtu?: number;
	/** The host's hardware address, 6 bytes; default: the host chooses. */
	readonly mac?: Uint8Array;
	/** Pages that may wait for the host: 64 to 1048576, default 1024. */
	readonly capacity?: number;
	/** Bytes that may wait for the pipe, default 4 MiB. */
	readonly backlog?: number;
	/** Name in messages, default "stream". */
	readonly name?: string;
}

const KNOWN = ["framing", "medium", "mtu", "mac", "capacity", "backlog", "name"];
const CAPACITY = 1024;
const BACKLOG = 4 << 20;
const LENGTH_BYTES = 4;
/** Longest frame that the framing allows: what QEMU's receiver takes (64 KiB and 4 KiB of headers). */
const FRAMING_MAX = 65536 + 4096;

class StreamLink implements Link {
	readonly name: string;
	readonly medium: "ethernet" | "ip";
	readonly mtu: number;
	readonly mac?: Uint8Array;
	readonly #pipe: Pipe;
	readonly #framed: boolean;
	readonly #limit: number;
	readonly #backlog: number;
	readonly #queue: FrameQueue;
	#context: LinkContext | null = null;
	#used = false;
	/** The length field so far, and how many of its bytes. */
	#length = 0;
	#lengthBytes = 0;
	/** Bytes of the current frame that have not come; 0 between frames. */
	#missing = 0;
	/** The rest of the current frame is let pass. */
	#skip = false;
	/** Pages of the current frame, and the bytes in the last of them. */
	readonly #pages = new Int32Array(Math.ceil(FRAMING_MAX / FRAME_ROOM));
	#pageCount = 0;
	#filled = 0;
	#rxFrames = 0;
	#rxBytes = 0;
	#rxDropSize = 0;
	#rxDropFull = 0;
	#rxDropNoPage = 0;
	#rxBadFraming = 0;
	#txFrames = 0;
	#txBytes = 0;
	#txDropSize = 0;
	#txDropFull = 0;
	#txDropNoPeer = 0;

	constructor(pipe: Pipe, options: StreamLinkOptions) {
		refuseUnknown("a stream link", options, KNOWN);
		const { framing = "length", medium = "ethernet", mtu = 1500, capacity = CAPACITY, backlog = BACKLOG, name = "stream" } = options;
		choose("framing", framing, ["length", "message"]);
		choose("medium", medium, ["ethernet", "ip"]);
		inRange("a stream link", "mtu", mtu, MTU_MIN, MTU_MAX);
		inRange("a stream link", "capacity", capacity, 64, 2 ** 20);
		inRange("a stream link", "backlog", backlog, 1, 2 ** 40);
		if (options.mac !== undefined) {
			this.mac = stationMac(options.mac);
		}
		this.name = name;
		this.medium = medium;
		this.mtu = mtu;
		this.#pipe = pipe;
		this.#framed = framing === "length";
		this.#limit = frameLimit(this);
		this.#backlog = backlog;
		this.#queue = new FrameQueue(capacity);
	}

	open(context: LinkContext): void {
		if (this.#used)
			throw new MillraceError("MILLRACE_LINK_USED", `link ${this.name} was opened before: a link serves one host, once; make another`);
		this.#used = true;
		this.#context = context;
		this.#pipe.start({
			arrived: (bytes) => this.#arrived(bytes),
			restarted: () => this.#restart(context),
			closed: (error) => this.#gone(error),
		});
		this.#pipe.unref?.();
	}

	receive(batch: Batch): number {
		return this.#queue.moveTo(batch);
	}

	look(): number {
		return -1;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		const room = this.#context === null ? 0 : this.#backlog - this.#pipe.pending;
		if (this.#framed) this.#writeAll(batch, room);
		else this.#writeEach(batch, room);
		batch.drop(count);
		return count;
	}

	flush(): void {}

	ref(): void {
		if (this.#context !== null) this.#pipe.ref?.();
	}
	unref(): void {
		if (this.#context !== null) this.#pipe.unref?.();
	}

	close(): void {
		const context = this.#context;
		if (!this.#used) {
			this.#used = true;
			this.#pipe.close();
		}
		if (context === null) return;
		this.#context = null;
		this.#discard(context);
		this.#queue.clear(context.pool);
		this.#pipe.close();
	}

	counters(): Readonly<Record<string, number>> {
		return {
			rxFrames: this.#rxFrames,
			rxBytes: this.#rxBytes,
			rxDropSize: this.#rxDropSize,
			rxDropFull: this.#rxDropFull,
			rxDropNoPage: this.#rxDropNoPage,
			rxBadFraming: this.#rxBadFraming,
			txFrames: this.#txFrames,
			txBytes: this.#txBytes,
			txDropSize: this.#txDropSize,
			txDropFull: this.#txDropFull,
			txDropNoPeer: this.#txDropNoPeer,
			...this.#pipe.counters?.(),
		};
	}

	/** Whether a frame of so many bytes may leave; counts it either way. */
	#admit(bytes: number, room: number): boolean {
		if (bytes > this.#limit || bytes === 0) this.#txDropSize++;
		else if (this.#context === null || this.#pipe.connected === false) this.#txDropNoPeer++;
		else if (bytes > room) this.#txDropFull++;
		else {
			this.#txFrames++;
			this.#txBytes += bytes;
			return true;
		}
		return false;
	}

	/** One array for all frames of the batch: one write, and on most pipes one system call. */
	#writeAll(batch: Batch, room: number): void {
		let total = 0;
		for (let i = 0; i < batch.count; i++) total += LENGTH_BYTES + batch.length[i]!;
		const bytes = new Uint8Array(total);
		let filled = 0;
		for (let at = 0, entries = 0; at < batch.count; at += entries) {
			entries = frameEntries(batch, at);
			const length = frameBytes(batch, at, entries);
			if (!this.#admit(length, room - filled)) continue;
			bytes[filled] = length >>> 24;
			bytes[filled + 1] = length >>> 16;
			bytes[filled + 2] = length >>> 8;
			bytes[filled + 3] = length;
			copyFrame(batch, at, entries, bytes, filled + LENGTH_BYTES);
			filled += LENGTH_BYTES + length;
		}
		if (filled > 0) this.#pipe.write(filled === total ? bytes : bytes.subarray(0, filled));
	}

	#writeEach(batch: Batch, room: number): void {
		for (let at = 0, entries = 0; at < batch.count; at += entries) {
			entries = frameEntries(batch, at);
			const length = frameBytes(batch, at, entries);
			if (!this.#admit(length, room)) continue;
			room -= length;
			const bytes = new Uint8Array(length);
			copyFrame(batch, at, entries, bytes, 0);
			this.#pipe.write(bytes);
		}
	}

	#arrived(bytes: Uint8Array): void {
		const context = this.#context;
		if (context === null) return;
		const waiting = this.#queue.count;
		const time = context.runtime.clock.now() | 0;
		if (this.#framed) this.#parse(bytes, context, time);
		else {
			this.#begin(bytes.length, context);
			this.#append(bytes, 0, bytes.length, context);
			this.#end(context, time);
		}
		if (this.#queue.count > waiting) context.wake();
	}

	#parse(bytes: Uint8Array, context: LinkContext, time: number): void {
		for (let at = 0; at < bytes.length; ) {
			if (this.#missing > 0) {
				const part = Math.min(this.#missing, bytes.length - at);
				this.#append(bytes, at, part, context);
				at += part;
				this.#missing -= part;
				if (this.#missing === 0) this.#end(context, time);
				continue;
			}
			this.#length = (this.#length << 8) | bytes[at++]!;
			if (++this.#lengthBytes < LENGTH_BYTES) continue;
			const length = this.#length >>> 0;
			this.#lengthBytes = 0;
			this.#length = 0;
			if (length > FRAMING_MAX) return this.#lost(length, context);
			this.#begin(length, context);
			this.#missing = length;
			if (length === 0) this.#end(context, time);
		}
	}

	/** A frame begins: decides whether it can be had. */
	#begin(length: number, context: LinkContext): void {
		const pages = pagesFor(length);
		this.#skip = true;
		if (length > this.#limit || length === 0) this.#rxDropSize++;
		else if (this.#queue.room < pages) this.#rxDropFull++;
		else if (context.pool.free < pages) this.#rxDropNoPage++;
		else this.#skip = false;
		this.#filled = FRAME_ROOM; // as if the page before the first were full
	}

	#append(bytes: Uint8Array, at: number, length: number, context: LinkContext): void {
		const { pool } = context;
		for (let done = 0; done < length && !this.#skip; ) {
			if (this.#filled === FRAME_ROOM) {
				const page = pool.alloc();
				if (page === 0) {
					// Somebody took the pages while the frame was coming.
					this.#discard(context);
					this.#skip = true;
					this.#rxDropNoPage++;
					return;
				}
				this.#pages[this.#pageCount++] = page;
				this.#filled = 0;
			}
			const part = Math.min(length - done, FRAME_ROOM - this.#filled);
			const from = at + done;
			const whole = from === 0 && part === bytes.length;
			pool.u8.set(
				whole ? bytes : bytes.subarray(from, from + part),
				pool.address(this.#pages[this.#pageCount - 1]!) + FRAME_OFFSET + this.#filled,
			);
			this.#filled += part;
			done += part;
		}
	}

	/** A frame is complete. */
	#end(context: LinkContext, time: number): void {
		if (this.#skip) return;
		const last = this.#pageCount - 1;
		for (let i = 0; i <= last; i++) {
			const page = this.#pages[i]!;
			const start = context.pool.address(page) + FRAME_OFFSET;
			this.#queue.push(page, start, i < last ? FRAME_ROOM : this.#filled, time, i < last ? FRAME_MORE : 0);
		}
		this.#rxFrames++;
		this.#rxBytes += last * FRAME_ROOM + this.#filled;
		this.#pageCount = 0;
	}

	/** Releases the pages of an unfinished frame. */
	#discard(context: LinkContext): void {
		for (let i = 0; i < this.#pageCount; i++) context.pool.release(this.#pages[i]!);
		this.#pageCount = 0;
	}

	/** The next byte is the first of a length. */
	#restart(context: LinkContext): void {
		this.#discard(context);
		this.#length = this.#lengthBytes = this.#missing = 0;
	}

	/** Nobody knows where the next frame begins. */
	#lost(length: number, context: LinkContext): void {
		this.#rxBadFraming++;
		if (this.#pipe.reject === undefined) {
			const what = `a frame of ${length} bytes was announced: the peer does not put 4-byte lengths in front of frames`;
			return this.#fail("MILLRACE_FRAMING", what);
		}
		this.#restart(context);
		this.#pipe.reject();
	}

	#gone(error?: Error): void {
		const code = (error as { code?: unknown } | undefined)?.code;
		// Which of these it is depends on who was faster.
		const gone = error === undefined || code === "EPIPE" || code === "ECONNRESET";
		this.#fail(typeof code === "string" ? code : "ECONNRESET", gone ? "the peer closed" : error.message);
	}

	#fail(code: string, what: string): void {
		const context = this.#context;
		if (context === null) return;
		this.close();
		context.failed(new MillraceError(code, `link ${this.name}: ${what}. Connect again, and open a new link`));
	}
}

/**
 * A link over a pipe: a virtual machine, a relay, another process.
 *
 * @throws MillraceError MILLRACE_BAD_OPTION when a value is out of its range, and for what is no pipe.
 */
export function streamLink(pipe: Pipe, options: StreamLinkOptions = {}): Link {
	withMethods("the pipe of a stream link", pipe, ["start", "write", "close"], "a pipe, such as that of socketPipe() or webSocketPipe()");
	return new StreamLink(pipe, options);
}

function choose(option: string, value: string, choices: readonly string[]): void {
	if (!choices.includes(value)) throw bad(`${option} ${String(value)} of a stream link is not known: give ${choices.join(" or ")}`);
}
