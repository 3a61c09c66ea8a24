/**
 * Replaying link: the frames of a capture arrive again, with the time between them as it was.
 *
 * Hides the file. The first frame arrives when the link is opened (or when it is told to begin, if it `waits`), each other one as much
 * later as it was then, over `speed`; its arrival time is that moment, however late the host fetches it. What the host sends goes
 * nowhere and is counted.
 *
 * A kernel merges segments before a capture sees them, and leaves the checksum of those, and of what it sends itself, to a device: where the
 * field shows that (partial.ts), the checksum is completed. TCP segments longer than a page are vouched for besides, as by a link that
 * merges them itself: they were never on a wire as they are.
 *
 * A frame that the capture cut, of another medium, or longer than the link's MTU allows, cannot be replayed: it is counted.
 */
import { MillraceError } from "../errors.ts";
import { type Batch, FRAME_CHECKED, FRAME_MORE } from "../memory/batch.ts";
import type { Alarm } from "../time/clock.ts";
import { ETHERNET_HEADER, ETHERTYPE_IPV4 } from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL_TCP } from "../wire/tcp.ts";
import { type CapturedFrame, type CaptureEnd, captureFrames } from "./capture-reader.ts";
import { FRAME_OFFSET, FRAME_ROOM, frameEntries, frameLimit, MTU_MAX, MTU_MIN, pagesFor } from "./frames.ts";
import { bad, inRange, refuseUnknown } from "./known-options.ts";
import type { Link, LinkContext } from "./link.ts";
import { completePacketChecksum, isPartialPacket } from "./partial.ts";

const ETHERTYPE_VLAN = 0x8100;
const VLAN_TAG = 4;
const KNOWN = ["speed", "only", "medium", "mtu", "waits", "name", "ended"];

/** Options of `replayLink`. */
export interface ReplayOptions {
	/** How many times as fast as it was; default 1. Infinity: all at once. */
	readonly speed?: number;
	/** Only frames that the capture has as received ("in") or sent ("out"); default all. A host that plays the part of the one that was captured wants "in". */
	readonly only?: "in" | "out";
	/**
	 * "ip": also of a capture on Ethernet only the IPv4 packets are replayed, without their Ethernet headers. A host then takes what is for
	 * its address whatever hardware address that had, and answers without asking for hardware addresses, which nobody would tell
	 * it. Default: as it was captured.
	 */
	readonly medium?: "ip";
	/** Largest IP packet, in bytes: 68 to 65535, default 1500. */
	readonly mtu?: number;
	/**
	 * Begin not when the link is opened but when `begin` is called, or when the host first sends something: for a program that has to
	 * open its ports before anybody can come. Default false.
	 */
	readonly waits?: boolean;
	/** Name in messages, default "pcap". */
	readonly name?: string;
	/** Called once, when the host has the last frame. */
	ended?(): void;
}

/** A link on which a capture arrives again. Made by `replayLink`; members as in `Link`. */
export class ReplayLink implements Link {
	readonly name: string;
	readonly medium: "ethernet" | "ip";
	readonly mtu: number;
	readonly #limit: number;
	readonly #speed: number;
	readonly #only: "in" | "out" | undefined;
	/** The capture's, which is not the link's where Ethernet headers are taken off. */
	readonly #captured: "ethernet" | "ip";
	readonly #ended: (() => void) | undefined;
	readonly #frames: Iterator<CapturedFrame, CaptureEnd, void>;
	/** The next frame, when it was captured and when it is due. */
	#frame: CapturedFrame | null;
	#first: number;
	#due = 0;
	/** When the first frame arrived, or is to. */
	#begun = 0;
	#waits: boolean;
	#context: LinkContext | null = null;
	#used = false;
	#alarm: Alarm | null = null;
	/** Where a frame is made whole. */
	#whole: Uint8Array | null = null;
	#rxFrames = 0;
	#rxBytes = 0;
	#rxDropSize = 0;
	#rxDropNoPage = 0;
	#rxSkipped = 0;
	#txFrames = 0;
	#txBytes = 0;

	constructor(capture: Uint8Array, options: ReplayOptions) {
		refuseUnknown("a replay", options, KNOWN);
		// Not by instanceof: arrays of other realms are good.
		if (!ArrayBuffer.isView(capture) || (capture as Uint8Array).BYTES_PER_ELEMENT !== 1)
			throw bad("what a replay plays has no bytes: give the capture's file as a Uint8Array");
		const { speed = 1, mtu = 1500, name = "pcap", only, medium, waits = false, ended } = options;
		if (!(speed > 0)) throw new MillraceError("MILLRACE_BAD_OPTION", `speed ${speed} of a replay: give a number above 0`);
		inRange("a replay", "mtu", mtu, MTU_MIN, MTU_MAX);
		if (only !== undefined && only !== "in" && only !== "out") {
			throw new MillraceError("MILLRACE_BAD_OPTION", `only ${String(only)} of a replay is not known: give "in" or "out"`);
		}
		if (medium !== undefined && medium !== "ip")
			throw new MillraceError("MILLRACE_BAD_OPTION", `medium ${String(medium)} of a replay is not known: give "ip", or none`);
		this.name = name;
		this.mtu = mtu;
		this.#speed = speed;
		this.#only = only;
		this.#waits = waits;
		this.#ended = ended;
		this.#frames = captureFrames(capture);
		const first = this.#frames.next();
		if (first.done === true)
			throw new MillraceError("MILLRACE_CAPTURE_FORMAT", `capture ${name} holds no frame: there is nothing to replay`);
		const captured = first.value.medium;
		if (captured === "other") {
			throw new MillraceError(
				"MILLRACE_CAPTURE_FORMAT",
				`capture ${name} is neither of Ethernet frames nor of IP packets: capture on an Ethernet interface`,
			);
		}
		this.#captured = captured;
		this.medium = medium ?? captured;
		this.#limit = frameLimit(this);
		this.#frame = this.#usable(first.value) ?? this.#next();
		this.#first = this.#frame?.time ?? 0;
	}

	open(context: LinkContext): void {
		if (this.#used)
			throw new MillraceError("MILLRACE_LINK_USED", `link ${this.name} was opened before: a link serves one host, once; make another`);
		this.#used = true;
		this.#context = context;
		this.#alarm = context.runtime.alarm(() => context.wake());
		if (!this.#waits) this.#begin(context);
	}

	/** Lets the first frame arrive now, if it has waited for that. */
	begin(): void {
		if (this.#waits && this.#context !== null) this.#begin(this.#context);
	}

	receive(batch: Batch): number {
		const context = this.#context;
		if (context === null || this.#frame === null || this.#waits) return 0;
		const now = context.runtime.clock.now();
		const before = batch.count;
		while (this.#frame !== null && this.#due <= now) {
			const pages = pagesFor(this.#frame.bytes.length);
			if (pages > batch.capacity - batch.count) break;
			if (pages > context.pool.free) this.#rxDropNoPage++;
			else this.#give(this.#completed(this.#frame.bytes), batch);
			this.#frame = this.#next();
			if (this.#frame !== null) this.#schedule(this.#frame);
			// Later: the host is in the middle of fetching, and may well be closed by whoever is told.
			else if (this.#ended !== undefined) context.runtime.defer(this.#ended);
		}
		return batch.count - before;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		if (this.#context !== null) {
			for (let at = 0; at < count; at += frameEntries(batch, at)) this.#txFrames++;
			for (let i = 0; i < count; i++) this.#txBytes += batch.length[i]!;
			if (count > 0) this.begin();
		}
		batch.drop(count);
		return count;
	}

	flush(): void {}
	/** Without effect: a host that waits for frames waits by itself. */
	ref(): void {}
	unref(): void {}

	close(): void {
		this.#used = true;
		this.#context = null;
		this.#frame = null;
		this.#alarm?.clear();
	}

	counters(): Readonly<Record<string, number>> {
		return {
			rxFrames: this.#rxFrames,
			rxBytes: this.#rxBytes,
			rxDropSize: this.#rxDropSize,
			rxDropNoPage: this.#rxDropNoPage,
			rxSkipped: this.#rxSkipped,
			txFrames: this.#txFrames,
			txBytes: this.#txBytes,
		};
	}

	#begin(context: LinkContext): void {
		this.#waits = false;
		// Not from within `open`: the host that is being made is not there yet for whoever is told.
		if (this.#frame === null) return context.runtime.defer(() => this.#context !== null && this.#ended?.());
		this.#begun = context.runtime.clock.now();
		this.#due = this.#begun;
		this.#schedule(this.#frame);
	}

	/** The frame with its transport checksum; the capture itself is somebody else's. */
	#completed(bytes: Uint8Array): Uint8Array {
		const at = this.medium === "ethernet" ? ETHERNET_HEADER : 0;
		if (at > 0 && etherType(bytes, at - 2) !== ETHERTYPE_IPV4) return bytes;
		if (!isPartialPacket(bytes, at, bytes.length - at)) return bytes;
		this.#whole ??= new Uint8Array(this.#limit);
		this.#whole.set(bytes);
		completePacketChecksum(this.#whole, at);
		return this.#whole.subarray(0, bytes.length);
	}

	/** Copies a frame into pages, for which there is room. */
	#give(bytes: Uint8Array, batch: Batch): void {
		const { pool } = batch;
		const checked = bytes.length > FRAME_ROOM && this.#context?.plain !== true && isTcp(bytes, this.medium) ? FRAME_CHECKED : 0;
		for (let at = 0; at < bytes.length; at += FRAME_ROOM) {
			const part = Math.min(bytes.length - at, FRAME_ROOM);
			const page = pool.alloc();
			const start = pool.address(page) + FRAME_OFFSET;
			pool.u8.set(bytes.subarray(at, at + part), start);
			batch.push(page, start, part, this.#due | 0, at + part < bytes.length ? checked | FRAME_MORE : checked);
		}
		this.#rxFrames++;
		this.#rxBytes += bytes.length;
	}

	/** The next frame that can be replayed; null at the end. */
	#next(): CapturedFrame | null {
		for (let step = this.#frames.next(); step.done !== true; step = this.#frames.next()) {
			const frame = this.#usable(step.value);
			if (frame !== null) return frame;
		}
		return null;
	}

	/** The frame as it is to arrive; null, and counted, if it is not. */
	#usable(captured: CapturedFrame): CapturedFrame | null {
		if (captured.bytes.length === 0) {
			this.#rxDropSize++;
			return null;
		}
		const frame = captured.medium === this.medium ? captured : packetOf(captured);
		if (captured.medium !== this.#captured || frame === null || (this.#only !== undefined && frame.direction !== this.#only))
			this.#rxSkipped++;
		else if (frame.bytes.length < frame.length || frame.bytes.length > this.#limit) this.#rxDropSize++;
		else return frame;
		return null;
	}

	/** Determines when the next frame is due, and has the host woken then. */
	#schedule(frame: CapturedFrame): void {
		// One without a time goes with the frame before it.
		if (Number.isNaN(this.#first)) this.#first = frame.time;
		const after = Number.isNaN(frame.time) ? 0 : frame.time - this.#first;
		// Captures of several interfaces may go back a little in time: a clock does not.
		this.#due = Math.max(this.#due, this.#begun + Math.floor(after / this.#speed));
		this.#alarm!.set(this.#due);
	}
}

/** Whether a frame longer than its headers is TCP over IPv4. */
function isTcp(bytes: Uint8Array, medium: "ethernet" | "ip"): boolean {
	const at = medium === "ethernet" ? ETHERNET_HEADER : 0;
	if (at > 0 && etherType(bytes, at - 2) !== ETHERTYPE_IPV4) return false;
	return ipv4.version(bytes, at) === 4 && ipv4.protocol(bytes, at) === PROTOCOL_TCP;
}

/** The IPv4 packet in a captured frame, also behind VLAN tags; null if there is none. */
export function packetOf(frame: CapturedFrame): CapturedFrame | null {
	const { bytes, length } = frame;
	if (frame.medium === "ip") return frame;
	if (frame.medium === "other") return null;
	let at = 12;
	let type = etherType(bytes, at);
	for (; type === ETHERTYPE_VLAN; type = etherType(bytes, at)) at += VLAN_TAG;
	if (type !== ETHERTYPE_IPV4) return null;
	return { ...frame, bytes: bytes.subarray(at + 2), length: length - at - 2, medium: "ip" };
}

/** The type at `at`; 0 where the frame ends before. */
function etherType(bytes: Uint8Array, at: number): number {
	return at + 2 <= bytes.length ? (bytes[at]! << 8) | bytes[at + 1]! : 0;
}

/**
 * A link on which a capture arrives again.
 *
 * @param capture The contents of a pcap or pcapng file.
 * @throws MillraceError MILLRACE_CAPTURE_FORMAT when it is none, or holds nothing to replay; MILLRACE_BAD_OPTION.
 */
export function replayLink(capture: Uint8Array, options: ReplayOptions = {}): ReplayLink {
	return new ReplayLink(capture, options);
}
