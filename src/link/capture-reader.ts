/**
 * Capture files as a sequence of frames: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng).
 *
 * Hides which of the two it is, byte orders, time resolutions and block types. The file is bytes in memory and is trusted in
 * nothing: every length is checked against what is there, and a file that ends in the middle ends with its last whole frame, which
 * the reader then returns as "cut".
 */
import { MillraceError } from "../errors.ts";
import { BYTE_ORDER_MAGIC, ENHANCED_PACKET, EPB_FLAGS, IF_TSRESOL, INTERFACE_DESCRIPTION, SECTION_HEADER } from "./pcapng.ts";

/** A frame of a capture; `bytes` is a view into the file. One that the file does not hold as it says has no bytes. */
export interface CapturedFrame {
	/** Microseconds since 1970, with fractions; that of the frame before where the capture does not say, and NaN where there is none. */
	readonly time: number;
	readonly bytes: Uint8Array;
	/** Bytes that the frame had on the wire; more than `bytes` if the capture cut it. */
	readonly length: number;
	readonly medium: "ethernet" | "ip" | "other";
	/** As the capture says; null when it does not. */
	readonly direction: "in" | "out" | null;
}

/** How a file ends: with a whole frame, or in the middle of something. */
export type CaptureEnd = "whole" | "cut";
type Frames = Generator<CapturedFrame, CaptureEnd, void>;

/** Obsolete (appendix A), but written once: as an enhanced one, with a short number of the interface. */
const PACKET = 2;
const SIMPLE_PACKET = 3;
const IF_TSOFFSET = 14;
const PCAP_MICROSECONDS = 0xa1b2c3d4;
const PCAP_NANOSECONDS = 0xa1b23c4d;
const PCAP_HEADER = 24;
const PCAP_RECORD = 16;

/**
 * The frames of a capture file, in its order.
 *
 * @throws MillraceError MILLRACE_CAPTURE_FORMAT when the bytes are no capture, at the first frame asked for.
 */
export function* captureFrames(bytes: Uint8Array): Frames {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const magic = bytes.length >= 4 ? view.getUint32(0, true) : 0;
	if (magic === SECTION_HEADER) return yield* pcapng(bytes, view);
	for (const little of [true, false]) {
		const word = bytes.length >= PCAP_HEADER ? view.getUint32(0, little) : 0;
		if (word === PCAP_MICROSECONDS) return yield* pcap(bytes, view, little, 1);
		if (word === PCAP_NANOSECONDS) return yield* pcap(bytes, view, little, 1000);
	}
	throw new MillraceError(
		"MILLRACE_CAPTURE_FORMAT",
		"this is not a capture: neither pcap nor pcapng. Record one with tcpdump -w, or with --capture",
	);
}

function mediumOf(linkType: number): CapturedFrame["medium"] {
	if (linkType === 1) return "ethernet";
	// 101: raw IP. 12, 14: what some systems write for it. 228, 229: IPv4 and IPv6 alone.
	return [12, 14, 101, 228, 229].includes(linkType) ? "ip" : "other";
}

function* pcap(bytes: Uint8Array, view: DataView, little: boolean, perMicrosecond: number): Frames {
	const medium = mediumOf(view.getUint32(20, little) & 0xffff); // above: length of the frame check sequence
	let at = PCAP_HEADER;
	while (at + PCAP_RECORD <= bytes.length) {
		const kept = view.getUint32(at + 8, little);
		const end = at + PCAP_RECORD + kept;
		if (end > bytes.length) return "cut";
		yield {
			time: view.getUint32(at, little) * 1e6 + view.getUint32(at + 4, little) / perMicrosecond,
			bytes: bytes.subarray(at + PCAP_RECORD, end),
			length: view.getUint32(at + 12, little),
			medium,
			direction: null,
		};
		at = end;
	}
	return at === bytes.length ? "whole" : "cut";
}

interface Interface {
	medium: CapturedFrame["medium"];
	snapLength: number;
	/** Microseconds per unit of its time stamps, and at stamp 0. */
	unit: number;
	offset: number;
}

function* pcapng(bytes: Uint8Array, view: DataView): Frames {
	let little = true;
	let interfaces: Interface[] = [];
	let time = Number.NaN;
	let at = 0;
	while (at + 12 <= bytes.length) {
		if (view.getUint32(at, true) === SECTION_HEADER) {
			interfaces = [];
			little = view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC;
		}
		const type = view.getUint32(at, little);
		const length = view.getUint32(at + 4, little);
		if (length < 12 || length % 4 !== 0 || at + length > bytes.length) return "cut";
		const body = at + 8;
		const end = at + length - 4;
		if (type === INTERFACE_DESCRIPTION && body + 8 <= end) interfaces.push(describe(view, body, end, little));
		else if ((type === ENHANCED_PACKET || type === PACKET) && body + 20 <= end) {
			const face = interfaces[type === PACKET ? view.getUint16(body, little) : view.getUint32(body, little)];
			const kept = view.getUint32(body + 12, little);
			if (face === undefined || kept > end - body - 20) yield unreadable(time, interfaces);
			else {
				const stamp = view.getUint32(body + 4, little) * 2 ** 32 + view.getUint32(body + 8, little);
				time = stamp * face.unit + face.offset;
				yield {
					time,
					bytes: bytes.subarray(body + 20, body + 20 + kept),
					length: view.getUint32(body + 16, little),
					medium: face.medium,
					direction: direction(view, body + 20 + ((kept + 3) & ~3), end, little),
				};
			}
		} else if (type === SIMPLE_PACKET && interfaces.length === 0) yield unreadable(time, interfaces);
		else if (type === SIMPLE_PACKET && body + 4 <= end) {
			// It has neither time nor direction, and is cut to the first interface's snap length.
			const { medium, snapLength } = interfaces[0]!;
			const whole = view.getUint32(body, little);
			const kept = Math.min(whole, snapLength, end - body - 4);
			yield { time, bytes: bytes.subarray(body + 4, body + 4 + kept), length: whole, medium, direction: null };
		}
		at += length;
	}
	return at === bytes.length ? "whole" : "cut";
}

/** A packet block that names no interface, or more bytes than it has. */
function unreadable(time: number, interfaces: readonly Interface[]): CapturedFrame {
	return { time, bytes: new Uint8Array(0), length: 1, medium: interfaces[0]?.medium ?? "other", direction: null };
}

/** Calls back with each option of a block: its code, where it begins, its length. */
function options(
	view: DataView,
	at: number,
	end: number,
	little: boolean,
	found: (code: number, at: number, length: number) => void,
): void {
	while (at + 4 <= end) {
		const code = view.getUint16(at, little);
		const length = view.getUint16(at + 2, little);
		if (code === 0 || at + 4 + length > end) return;
		found(code, at + 4, length);
		at += 4 + ((length + 3) & ~3);
	}
}

function describe(view: DataView, body: number, end: number, little: boolean): Interface {
	const face: Interface = {
		medium: mediumOf(view.getUint16(body, little)),
		snapLength: view.getUint32(body + 4, little) || 0xffffffff,
		unit: 1,
		offset: 0,
	};
	options(view, body + 8, end, little, (code, at, length) => {
		if (code === IF_TSRESOL && length === 1) {
			const resolution = view.getUint8(at);
			face.unit = 1e6 / ((resolution & 0x80) === 0 ? 10 : 2) ** (resolution & 0x7f);
		} else if (code === IF_TSOFFSET && length === 8) face.offset = Number(view.getBigInt64(at, little)) * 1e6;
	});
	return face;
}

function direction(view: DataView, at: number, end: number, little: boolean): CapturedFrame["direction"] {
	let found: CapturedFrame["direction"] = null;
	options(view, at, end, little, (code, value, length) => {
		if (code !== EPB_FLAGS || length !== 4) return;
		const bits = view.getUint32(value, little) & 3;
		found = bits === 1 ? "in" : bits === 2 ? "out" : null;
	});
	return found;
}
