/**
 * Frames whose transport checksum was never completed, and that do not say so.
 *
 * A virtual device (veth) moves a frame of the kernel's from memory to memory, and the kernel leaves the checksum to a device
 * that has none to do. Beside the frame it is noted that the checksum field holds only the sum of the pseudo-header; XDP sees the frame
 * without that note. So it is told from the field: if it is that very sum, the frame is taken as one that was never on a wire. A
 * frame that was damaged on a wire looks so once in 65,536 times, as often as a damaged frame passes the checksum itself: hence only for
 * links that are known to be virtual, and for captures, which show what a kernel sends and what it has merged in that state, too.
 */
import { get16, get32, set16 } from "../wire/bytes.ts";
import { checksum, fold, pseudoHeader4 } from "../wire/checksum.ts";
import { ETHERNET_HEADER, ETHERTYPE_IPV4, etherType } from "../wire/ethernet.ts";

const IPV4_HEADER = 20;
const TCP = 6;
const UDP = 17;

/** Where in a transport header the checksum lies: of TCP, of UDP. */
const fieldOf = (protocol: number): number => (protocol === TCP ? 16 : 6);

/** Whether the Ethernet frame at `start` is TCP or UDP over IPv4 whose checksum field holds the pseudo-header's sum. */
export function isPartial(u8: Uint8Array, start: number, length: number): boolean {
	return (
		length > ETHERNET_HEADER &&
		etherType(u8, start) === ETHERTYPE_IPV4 &&
		isPartialPacket(u8, start + ETHERNET_HEADER, length - ETHERNET_HEADER)
	);
}

/** The same of a packet at `ip`, of which `room` bytes are there; it may be of any kind. */
export function isPartialPacket(u8: Uint8Array, ip: number, room: number): boolean {
	if (room < IPV4_HEADER || u8[ip]! >> 4 !== 4) return false;
	const protocol = u8[ip + 9]!;
	if (protocol !== TCP && protocol !== UDP) return false;
	const header = (u8[ip]! & 15) * 4;
	const rest = get16(u8, ip + 2) - header;
	if (header < IPV4_HEADER || rest < (protocol === TCP ? 20 : 8) || header + rest > room) return false;
	const sum = fold(pseudoHeader4(get32(u8, ip + 12), get32(u8, ip + 16), protocol, rest));
	return get16(u8, ip + header + fieldOf(protocol)) === sum;
}

/** Completes the checksum of such a frame. */
export function completeChecksum(u8: Uint8Array, start: number): void {
	completePacketChecksum(u8, start + ETHERNET_HEADER);
}

/** Completes the checksum of such a packet. */
export function completePacketChecksum(u8: Uint8Array, ip: number): void {
	const protocol = u8[ip + 9]!;
	const header = (u8[ip]! & 15) * 4;
	const rest = get16(u8, ip + 2) - header;
	// The field holds the pseudo-header's sum, so summing over it sums all.
	const value = checksum(u8, ip + header, rest, 0);
	set16(u8, ip + header + fieldOf(protocol), protocol === UDP && value === 0 ? 0xffff : value);
}
