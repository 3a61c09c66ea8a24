/**
 * The TCP header and its options (RFC 9293 3.1, RFC 7323, RFC 2018).
 *
 * Hides where the fields are. Accessors take the byte array and the offset of the header; nothing here checks bounds except
 * the option parser, whose input is any bytes at all: it reads only the extent that it is given, and a length of 0 or one
 * that overruns ends the parse (RFC 9293 MUST-7).
 */
import { get16, get32, set16, set32 } from "./bytes.ts";

/** Protocol number. */
export const PROTOCOL_TCP = 6;
/** Bytes of a header without options. */
export const TCP_HEADER = 20;
/** Most bytes of options: the data offset counts to 15 words. */
export const TCP_OPTIONS_MAX = 40;

/** Flag: the sender sends no more. */
export const FIN = 0x01;
/** Flag: synchronises sequence numbers. */
export const SYN = 0x02;
/** Flag: resets the connection. */
export const RST = 0x04;
/** Flag: the sender has no more for the moment. */
export const PSH = 0x08;
/** Flag: the acknowledgment number counts. */
export const ACK = 0x10;
/** Flag: the urgent pointer counts. */
export const URG = 0x20;
/** Flag: congestion was seen (RFC 3168). */
export const ECE = 0x40;
/** Flag: the window was reduced (RFC 3168). */
export const CWR = 0x80;

/** Offset of the checksum in the header, for links that complete it. */
export const TCP_CHECKSUM_OFFSET = 16;

/** Source port. */
export function sourcePort(u8: Uint8Array, at: number): number {
	return get16(u8, at);
}
/** Destination port. */
export function destinationPort(u8: Uint8Array, at: number): number {
	return get16(u8, at + 2);
}
/** Sequence number, signed. */
export function sequence(u8: Uint8Array, at: number): number {
	return get32(u8, at + 4);
}
/** Acknowledgment number, signed. */
export function acknowledgment(u8: Uint8Array, at: number): number {
	return get32(u8, at + 8);
}
/** Bytes of the header with its options; 0 to 60, so below 20 is malformed. */
export function headerLength(u8: Uint8Array, at: number): number {
	return (u8[at + 12]! >>> 4) << 2;
}
/** CWR to FIN. */
export function flags(u8: Uint8Array, at: number): number {
	return u8[at + 13]!;
}
/** The window as it stands there, not scaled. */
export function window(u8: Uint8Array, at: number): number {
	return get16(u8, at + 14);
}
/** The checksum as it stands there. */
export function checksumField(u8: Uint8Array, at: number): number {
	return get16(u8, at + 16);
}
/** Writes the checksum. */
export function setChecksumField(u8: Uint8Array, at: number, value: number): void {
	set16(u8, at + 16, value);
}
/** Offset of the end of urgent data. */
export function urgentPointer(u8: Uint8Array, at: number): number {
	return get16(u8, at + 18);
}

/**
 * Writes the 20 bytes of the fixed header, with checksum and urgent pointer 0.
 *
 * @param length Bytes of the header with its options, a multiple of 4.
 * @param window As it stands in the header: shifted right, at most 65535.
 */
export function writeTcpHeader(
	u8: Uint8Array,
	at: number,
	sourcePort: number,
	destinationPort: number,
	sequence: number,
	acknowledgment: number,
	length: number,
	flags: number,
	window: number,
): void {
	set16(u8, at, sourcePort);
	set16(u8, at + 2, destinationPort);
	set32(u8, at + 4, sequence);
	set32(u8, at + 8, acknowledgment);
	u8[at + 12] = length << 2;
	u8[at + 13] = flags;
	set16(u8, at + 14, window);
	set32(u8, at + 16, 0);
}

/** Option kind: the list ends. */
export const OPTION_END = 0;
/** Option kind: padding. */
export const OPTION_NOP = 1;
/** Option kind: maximum segment size. */
export const OPTION_MSS = 2;
/** Option kind: window scale (RFC 7323). */
export const OPTION_WINDOW_SCALE = 3;
/** Option kind: SACK may be used (RFC 2018). */
export const OPTION_SACK_PERMITTED = 4;
/** Option kind: SACK blocks (RFC 2018). */
export const OPTION_SACK = 5;
/** Option kind: timestamps (RFC 7323). */
export const OPTION_TIMESTAMPS = 8;

/** Largest shift count (RFC 7323 2.3). */
export const WINDOW_SCALE_MAX = 14;
/** Bytes that an established connection's timestamps take: NOP NOP and the option (RFC 7323 appendix A). */
export const TIMESTAMPS_LENGTH = 12;
const NOP_NOP_TIMESTAMPS = 0x0101080a;

/** The options of one segment. Flat and reusable: one object serves all segments. */
export class TcpOptions {
	/** Maximum segment size, bytes; 0 if not there. */
	mss = 0;
	/** Shift count, 0 to 14; -1 if not there. */
	windowScale = -1;
	/** Whether the option is there. */
	sackPermitted = false;
	/** Whether there is a timestamps option. */
	timestamps = false;
	/** Timestamp value, signed; 0 if there is no timestamps option. */
	tsVal = 0;
	/** Timestamp echo reply, likewise. */
	tsEcr = 0;
	/** Number of SACK blocks, 0 to 4. */
	sackCount = 0;
	/** Left and right edge of each block: `sackEdges[2 * i]` and `sackEdges[2 * i + 1]`. */
	readonly sackEdges: Int32Array = new Int32Array(8);
}

/**
 * Reads the options of a segment into `into`, which forgets what it held.
 *
 * Kinds that are not known are skipped, and so are known kinds with a length that they cannot have. An option given twice
 * counts the last time. Shift counts above 14 count as 14 (RFC 7323 2.3). Which options mean something outside a SYN is for
 * the caller to say.
 *
 * @param start Offset of the first option byte: 20 bytes into the header.
 * @param length Bytes of options: the header's length less 20.
 * @returns False if an option has a length below 2 or overruns; `into` holds what came before it.
 */
export function parseTcpOptions(u8: Uint8Array, start: number, length: number, into: TcpOptions): boolean {
	into.mss = 0;
	into.windowScale = -1;
	into.sackPermitted = false;
	into.sackCount = 0;
	// What nearly every segment carries: nothing, or just timestamps in the layout of RFC 7323 appendix A.
	if (length === TIMESTAMPS_LENGTH && get32(u8, start) === NOP_NOP_TIMESTAMPS) {
		into.timestamps = true;
		into.tsVal = get32(u8, start + 4);
		into.tsEcr = get32(u8, start + 8);
		return true;
	}
	into.timestamps = false;
	into.tsVal = 0;
	into.tsEcr = 0;
	return length === 0 || parseEach(u8, start, start + length, into);
}

function parseEach(u8: Uint8Array, start: number, end: number, into: TcpOptions): boolean {
	let at = start;
	while (at < end) {
		const kind = u8[at]!;
		if (kind === OPTION_END) return true;
		if (kind === OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 1 >= end) return false;
		const length = u8[at + 1]!;
		if (length < 2 || at + length > end) return false;
		switch (kind) {
			case OPTION_MSS:
				if (length === 4) into.mss = get16(u8, at + 2);
				break;
			case OPTION_WINDOW_SCALE:
				if (length === 3) into.windowScale = Math.min(u8[at + 2]!, WINDOW_SCALE_MAX);
				break;
			case OPTION_SACK_PERMITTED:
				if (length === 2) into.sackPermitted = true;
				break;
			case OPTION_SACK:
				if ((length & 7) === 2 && length >= 10 && length <= 34) {
					into.sackCount = (length - 2) >> 3;
					for (let i = 0; i < into.sackCount << 1; i++) into.sackEdges[i] = get32(u8, at + 2 + (i << 2));
				}
				break;
			case OPTION_TIMESTAMPS:
				if (length === 10) {
					into.timestamps = true;
					into.tsVal = get32(u8, at + 2);
					into.tsEcr = get32(u8, at + 6);
				}
				break;
		}
		at += length;
	}
	return true;
}

/** Bytes that `writeSynOptions` will write, a multiple of 4. */
export function synOptionsLength(windowScale: number, sackPermitted: boolean, timestamps: boolean): number {
	return 4 + (timestamps ? TIMESTAMPS_LENGTH : sackPermitted ? 4 : 0) + (windowScale >= 0 ? 4 : 0);
}

/**
 * Writes the options of a SYN: MSS always, the others if asked for, padded to words.
 *
 * @param windowScale Shift count, or -1 for none.
 * @returns Bytes written, 4 to 20.
 */
export function writeSynOptions(
	u8: Uint8Array,
	at: number,
	mss: number,
	windowScale: number,
	sackPermitted: boolean,
	timestamps: boolean,
	tsVal: number,
	tsEcr: number,
): number {
	let next = at;
	set32(u8, next, (OPTION_MSS << 24) | (4 << 16) | mss);
	next += 4;
	if (timestamps) {
		// SACK-permitted takes the place of the two NOPs.
		set32(u8, next, sackPermitted ? (OPTION_SACK_PERMITTED << 24) | (2 << 16) | 0x080a : NOP_NOP_TIMESTAMPS);
		set32(u8, next + 4, tsVal);
		set32(u8, next + 8, tsEcr);
		next += TIMESTAMPS_LENGTH;
	} else if (sackPermitted) {
		set32(u8, next, 0x01010000 | (OPTION_SACK_PERMITTED << 8) | 2);
		next += 4;
	}
	if (windowScale >= 0) {
		set32(u8, next, 0x01000000 | (OPTION_WINDOW_SCALE << 16) | (3 << 8) | windowScale);
		next += 4;
	}
	return next - at;
}

/** Writes NOP NOP and the timestamps option, 12 bytes; returns 12. */
export function writeTimestamps(u8: Uint8Array, at: number, tsVal: number, tsEcr: number): number {
	set32(u8, at, NOP_NOP_TIMESTAMPS);
	set32(u8, at + 4, tsVal);
	set32(u8, at + 8, tsEcr);
	return TIMESTAMPS_LENGTH;
}

/** Most SACK blocks that fit into a header (RFC 2018 3): 3 beside timestamps, else 4. */
export function sackBlocksMax(timestamps: boolean): number {
	return timestamps ? 3 : 4;
}

/** Bytes that `writeSack` will write. */
export function sackLength(count: number): number {
	return count === 0 ? 0 : 4 + (count << 3);
}

/**
 * Writes NOP NOP and a SACK option with `count` blocks; nothing if `count` is 0. Returns the bytes written.
 *
 * @param edges Left and right edge of each block in turn, the newest block first (RFC 2018 4).
 */
export function writeSack(u8: Uint8Array, at: number, edges: Int32Array, count: number): number {
	if (count === 0) return 0;
	set32(u8, at, 0x01010000 | (OPTION_SACK << 8) | (2 + (count << 3)));
	for (let i = 0; i < count << 1; i++) set32(u8, at + 4 + (i << 2), edges[i]!);
	return 4 + (count << 3);
}
