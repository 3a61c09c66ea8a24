/**
 * The virtio-net header (virtio 1.2, 5.1.6): what a TAP device and its reader say to each other about a frame.
 *
 * Hides its layout: 10 bytes in front of the frame, little-endian: flags, gso_type, hdr_len (16), gso_size (16), csum_start (16),
 * csum_offset (16). Checksums are given as "sum from here to the end, store there"; segments by their payload. Nothing of it is
 * ever seen on a wire, and nothing of it is needed to understand the frame: our own marks say the same (batch.ts).
 */
import { type Batch, FRAME_CHECKED, FRAME_PARTIAL_CHECKSUM } from "../memory/batch.ts";

/** Bytes of the header. */
export const VNET_HEADER = 10;

const NEEDS_CSUM = 1;
const DATA_VALID = 2;
const GSO_NONE = 0;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_UDP_L4 = 5;

const ETHERNET = 14;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;

/** What the header at `at` means for the frame behind it: FRAME_CHECKED, FRAME_PARTIAL_CHECKSUM. */
export function vnetFlags(u8: Uint8Array, at: number): number {
	const flags = u8[at]!;
	if ((flags & NEEDS_CSUM) !== 0) return FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM;
	return (flags & DATA_VALID) !== 0 ? FRAME_CHECKED : 0;
}

/** Payload bytes of a segment of the frame behind the header at `at`; 0 for a frame that is one segment. */
export function vnetSegment(u8: Uint8Array, at: number): number {
	return u8[at + 1] === GSO_NONE ? 0 : u8[at + 4]! | (u8[at + 5]! << 8);
}

/** Writes to `target` the header of the frame that begins with entry `i`. False if what the frame asks for cannot be done. */
export function describeFrame(batch: Batch, i: number, target: Uint8Array, at: number): boolean {
	const segment = batch.segment[i]!;
	let flags = 0;
	let type = GSO_NONE;
	let headers = 0;
	let transport = 0;
	let field = 0;
	if ((batch.flags[i]! & FRAME_PARTIAL_CHECKSUM) !== 0) {
		const { u8 } = batch.pool;
		const start = batch.start[i]!;
		const length = batch.length[i]!;
		if (length < ETHERNET + 20) return false;
		const ethertype = (u8[start + 12]! << 8) | u8[start + 13]!;
		if (ethertype !== IPV4 && ethertype !== IPV6) return false;
		const protocol = u8[start + (ethertype === IPV4 ? 23 : 20)]!;
		transport = ETHERNET + (ethertype === IPV4 ? (u8[start + 14]! & 15) * 4 : 40);
		if ((protocol !== TCP && protocol !== UDP) || length < transport + (protocol === TCP ? 20 : 8)) return false;
		flags = NEEDS_CSUM;
		field = protocol === TCP ? 16 : 6;
		if (segment !== 0) {
			headers = transport + (protocol === TCP ? (u8[start + transport + 12]! >> 4) * 4 : 8);
			type = protocol === UDP ? GSO_UDP_L4 : ethertype === IPV4 ? GSO_TCPV4 : GSO_TCPV6;
		}
	} else if (segment !== 0) return false;
	target[at] = flags;
	target[at + 1] = type;
	target[at + 2] = headers;
	target[at + 3] = headers >> 8;
	target[at + 4] = segment;
	target[at + 5] = segment >> 8;
	target[at + 6] = transport; // below 256: Ethernet and the longest IPv4 header are 74 bytes
	target[at + 7] = 0;
	target[at + 8] = field;
	target[at + 9] = 0;
	return true;
}

/** Says in the header at `at` that the first `bytes` of the frame are its headers: a hint, of how many to hold together. */
export function setHeaderLength(u8: Uint8Array, at: number, bytes: number): void {
	u8[at + 2] = bytes;
	u8[at + 3] = bytes >> 8;
}

/** Whether the Ethernet frame at `start` is TCP, by the look of its IP header. */
export function isTcp(u8: Uint8Array, start: number): boolean {
	const ethertype = (u8[start + 12]! << 8) | u8[start + 13]!;
	return (ethertype === IPV4 && u8[start + 23] === TCP) || (ethertype === IPV6 && u8[start + 20] === TCP);
}

/** Bytes of the headers of the TCP frame over IPv4 at `start`, as they say themselves. */
export function tcpHeaders4(u8: Uint8Array, start: number): number {
	const ip = (u8[start + ETHERNET]! & 15) * 4;
	return ETHERNET + ip + (u8[start + ETHERNET + ip + 12]! >> 4) * 4;
}

/** Whether the Ethernet frame at `start` is TCP over IPv4. */
export function isTcp4(u8: Uint8Array, start: number): boolean {
	return u8[start + 12] === IPV4 >> 8 && u8[start + 13] === (IPV4 & 255) && u8[start + 23] === TCP;
}
