/**
 * pcapng blocks (draft-ietf-opsawg-pcapng): the capture file format that Wireshark, tshark and tcpdump read.
 *
 * Hides block layout and buffering. Blocks are built in one fixed buffer and given to a sink when the next one does not fit, after
 * `flushAfter` microseconds, and on `flush` and `close`. Little-endian; one section; one interface block per captured link.
 *
 * Time: microseconds since 1970 as the file wants them are the runtime's clock plus an offset, fixed when the first link is opened so
 * that this moment is `startTime`. Without `startTime` the file shows the clock itself (virtual time begins in 1970).
 *
 * Failure: a sink that throws ends the capture, never the traffic: what comes after is counted, and `error` tells why.
 */
import { MillraceError } from "../errors.ts";
import type { Batch } from "../memory/batch.ts";
import type { Alarm, Runtime } from "../time/clock.ts";
import { copyFrame, frameBytes } from "./frames.ts";
import { refuseUnknown, withMethods } from "./known-options.ts";

/** Where a capture goes. */
export interface CaptureSink {
	/** Takes bytes; they are valid only during the call. May throw: the capture then ends. */
	write(bytes: Uint8Array): void;
	/** Called once, after the last bytes. */
	close?(): void;
}

/** Options of a `CaptureWriter`. */
export interface CaptureOptions {
	/** Where the file's bytes go. */
	readonly sink: CaptureSink;
	/** Microseconds since 1970-01-01 UTC, now; default: the runtime's clock. */
	readonly startTime?: number;
	/** Bytes of each frame that are written, 64 to 262144; default 262144, which is all of it. */
	readonly snapLength?: number;
	/** Bytes after which the capture ends, so that it fills no disk; no limit unless given. */
	readonly maxBytes?: number;
	/** Microseconds that a block may wait in the buffer; default 250000. */
	readonly flushAfter?: number;
}

const KNOWN = ["sink", "startTime", "snapLength", "maxBytes", "flushAfter"];

const SNAP_LENGTH = 262144; // what tcpdump takes
const BUFFER = 65536;
const FLUSH_AFTER = 250_000;

export const SECTION_HEADER = 0x0a0d0d0a;
export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const INTERFACE_DESCRIPTION = 1;
export const ENHANCED_PACKET = 6;
const LINKTYPE_ETHERNET = 1;
const LINKTYPE_RAW = 101;
const OPTION_END = 0;
const IF_NAME = 2;
export const IF_TSRESOL = 9;
const SHB_USERAPPL = 4;
export const EPB_FLAGS = 2;
const INBOUND = 1;
const OUTBOUND = 2;
/** An enhanced packet block around its bytes: 28 before them, 12 of options and 4 of length behind. */
const PACKET_OVERHEAD = 44;

/** Writes one pcapng file; shared by any number of capturing links, each an interface of the file. */
export class CaptureWriter {
	/** Frames written, frames that came after the end of the capture, bytes written. */
	frames = 0;
	/** Frames that came after the end of the capture. */
	dropped = 0;
	/** Bytes written. */
	bytes = 0;
	/** What the sink threw, once it did. */
	error: unknown = null;
	readonly #options: CaptureOptions;
	readonly #snapLength: number;
	readonly #buffer: Uint8Array;
	readonly #view: DataView;
	#filled = 0;
	#interfaces = 0;
	#open = 0;
	#offset = 0;
	#ended = false;
	#closed = false;
	#alarm: Alarm | null = null;
	#runtime: Runtime | null = null;

	/** @throws MillraceError MILLRACE_BAD_OPTION when an option is unknown or out of its range. */
	constructor(options: CaptureOptions) {
		refuseUnknown("a capture", options, KNOWN);
		withMethods("the sink of a capture", options.sink, ["write"], "an object with a write(bytes), such as that of openCaptureFile()");
		const { snapLength = SNAP_LENGTH, maxBytes = 1, startTime = 0, flushAfter = FLUSH_AFTER } = options;
		if (!Number.isInteger(snapLength) || snapLength < 64 || snapLength > SNAP_LENGTH) {
			throw new MillraceError(
				"MILLRACE_BAD_OPTION",
				`capture snapLength ${snapLength}: give a whole number of bytes from 64 to ${SNAP_LENGTH}`,
			);
		}
		if (!(maxBytes > 0)) throw new MillraceError("MILLRACE_BAD_OPTION", `capture maxBytes ${maxBytes}: give a number of bytes`);
		if (!(flushAfter >= 0)) throw new MillraceError("MILLRACE_BAD_OPTION", `capture flushAfter ${flushAfter}: give microseconds`);
		if (!(startTime >= 0 && startTime < 2 ** 53)) {
			throw new MillraceError("MILLRACE_BAD_OPTION", `capture startTime ${startTime}: give microseconds since 1970`);
		}
		this.#options = options;
		this.#snapLength = snapLength;
		this.#buffer = new Uint8Array(Math.max(BUFFER, snapLength + PACKET_OVERHEAD + 4));
		this.#view = new DataView(this.#buffer.buffer);
	}

	/**
	 * Adds a link to the capture, with the runtime whose clock stamps its frames; returns its number.
	 *
	 * @throws MillraceError MILLRACE_CAPTURE_ENDED when the capture has ended.
	 */
	addInterface(name: string, medium: "ethernet" | "ip", runtime: Runtime): number {
		if (this.#closed) {
			throw new MillraceError("MILLRACE_CAPTURE_ENDED", `cannot capture ${name}: the capture ended with its last link; begin another`);
		}
		if (this.#interfaces === 0) {
			this.#runtime = runtime;
			this.#alarm = runtime.alarm(() => this.flush());
			if (this.#options.startTime !== undefined) this.#offset = this.#options.startTime - runtime.clock.now();
			const at = this.#begin(SECTION_HEADER, 64);
			this.#u32(BYTE_ORDER_MAGIC);
			this.#u32(1); // version 1.0
			this.#u32(-1); // length of the section: not known, 64 bits
			this.#u32(-1);
			this.#text(SHB_USERAPPL, "millrace");
			this.#end(at);
		}
		const at = this.#begin(INTERFACE_DESCRIPTION, 64 + 4 * 255);
		this.#u32(medium === "ethernet" ? LINKTYPE_ETHERNET : LINKTYPE_RAW);
		this.#u32(this.#snapLength);
		this.#text(IF_NAME, name.slice(0, 255));
		this.#option(IF_TSRESOL, 1);
		this.#u32(6); // 10^-6 s
		this.#end(at);
		this.#open++;
		return this.#interfaces++;
	}

	/** Writes the frame in entries `at` to `at + entries`, which crossed the link at `time` (microseconds of the runtime's clock, not wrapped). */
	frame(link: number, direction: "in" | "out", time: number, batch: Batch, at: number, entries: number): void {
		const length = frameBytes(batch, at, entries);
		const kept = Math.min(length, this.#snapLength);
		const padded = (kept + 3) & ~3;
		if (this.#ended || this.bytes + padded + PACKET_OVERHEAD > (this.#options.maxBytes ?? Number.POSITIVE_INFINITY)) {
			this.#ended = true;
			this.dropped++;
			return;
		}
		const stamp = time + this.#offset;
		const block = this.#begin(ENHANCED_PACKET, kept + PACKET_OVERHEAD + 3);
		this.#u32(link);
		this.#u32(Math.floor(stamp / 2 ** 32));
		this.#u32(stamp);
		this.#u32(kept);
		this.#u32(length);
		if (kept === length) copyFrame(batch, at, entries, this.#buffer, this.#filled);
		else this.#copyPart(batch, at, kept);
		this.#pad(kept);
		this.#option(EPB_FLAGS, 4);
		this.#u32(direction === "in" ? INBOUND : OUTBOUND);
		this.#end(block);
		this.frames++;
	}

	/** Gives what is buffered to the sink. */
	flush(): void {
		const filled = this.#filled;
		if (filled === 0) return;
		this.#filled = 0;
		this.#alarm?.clear();
		if (this.error !== null) return;
		try {
			this.#options.sink.write(this.#buffer.subarray(0, filled));
		} catch (error) {
			this.error = error;
			this.#ended = true;
		}
	}

	/** One link is gone; the capture ends with the last. */
	removeInterface(): void {
		this.flush();
		if (--this.#open === 0) this.close();
	}

	/** Ends the capture. */
	close(): void {
		if (this.#closed) return;
		this.flush();
		this.#closed = true;
		this.#ended = true;
		try {
			this.#options.sink.close?.();
		} catch (error) {
			this.error ??= error;
		}
	}

	/** Begins a block of at most `most` bytes; returns where. */
	#begin(type: number, most: number): number {
		if (this.#filled + most > this.#buffer.length) this.flush();
		if (this.#filled === 0) {
			const runtime = this.#runtime!;
			this.#alarm!.set(runtime.clock.now() + (this.#options.flushAfter ?? FLUSH_AFTER));
		}
		const at = this.#filled;
		this.#u32(type);
		this.#u32(0); // the length, when it is known
		return at;
	}

	#end(at: number): void {
		this.#u32(OPTION_END);
		const length = this.#filled + 4 - at;
		this.#u32(length);
		this.#view.setUint32(at + 4, length, true);
		this.bytes += length;
	}

	#u32(value: number): void {
		this.#view.setUint32(this.#filled, value, true); // takes the value modulo 2^32
		this.#filled += 4;
	}

	#option(code: number, length: number): void {
		this.#u32(code | (length << 16));
	}

	#text(code: number, text: string): void {
		const bytes = new TextEncoder().encode(text);
		this.#option(code, bytes.length);
		this.#buffer.set(bytes, this.#filled);
		this.#pad(bytes.length);
	}

	/** Goes past `length` bytes, and the zeros that fill up the last word. */
	#pad(length: number): void {
		const end = this.#filled + length;
		const padded = (end + 3) & ~3;
		this.#buffer.fill(0, end, padded);
		this.#filled = padded;
	}

	#copyPart(batch: Batch, at: number, kept: number): void {
		for (let i = at, done = 0; done < kept; i++) {
			const part = Math.min(batch.length[i]!, kept - done);
			this.#buffer.set(batch.pool.u8.subarray(batch.start[i]!, batch.start[i]! + part), this.#filled + done);
			done += part;
		}
	}
}
