/** The IPv4 header (RFC 791 3.1), and what can be told from an IPv4 address alone (RFC 6890). Addresses as signed words. */
import { get16, get32, set16, set32 } from "./bytes.ts";
import { checksum, fold } from "./checksum.ts";

/** Bytes of a header without options. */
export const IPV4_HEADER = 20;
/** Fragment field: more fragments follow. */
export const MORE_FRAGMENTS = 0x2000;
/** Fragment field: do not fragment. */
export const DONT_FRAGMENT = 0x4000;

/** Protocol numbers besides TCP's and UDP's own files. */
export const PROTOCOL_ICMP = 1;

/** Option types that steer a packet by a route of its own (RFC 791 3.1). */
export const OPTION_LOOSE_SOURCE_ROUTE = 131;
/** Every hop is named. */
export const OPTION_STRICT_SOURCE_ROUTE = 137;

/** 4 in an IPv4 packet. */
export function version(u8: Uint8Array, at: number): number {
	return u8[at]! >>> 4;
}
/** Bytes of the header with its options; 0 to 60, so below 20 is malformed. */
export function headerLength(u8: Uint8Array, at: number): number {
	return (u8[at]! & 15) << 2;
}
/** DSCP and ECN. */
export function typeOfService(u8: Uint8Array, at: number): number {
	return u8[at + 1]!;
}
/** Bytes of header and payload. */
export function totalLength(u8: Uint8Array, at: number): number {
	return get16(u8, at + 2);
}
/** Names the fragments of one packet. */
export function identification(u8: Uint8Array, at: number): number {
	return get16(u8, at + 4);
}
/** DONT_FRAGMENT, MORE_FRAGMENTS and, in the low 13 bits, the offset in units of 8 bytes. */
export function fragmentField(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}
/** Hops that are left. */
export function timeToLive(u8: Uint8Array, at: number): number {
	return u8[at + 8]!;
}
/** What follows the header. */
export function protocol(u8: Uint8Array, at: number): number {
	return u8[at + 9]!;
}
/** The header's checksum as it stands there. */
export function checksumField(u8: Uint8Array, at: number): number {
	return get16(u8, at + 10);
}
/** Source address, a signed word. */
export function source(u8: Uint8Array, at: number): number {
	return get32(u8, at + 12);
}
/** Destination address, a signed word. */
export function destination(u8: Uint8Array, at: number): number {
	return get32(u8, at + 16);
}

/**
 * Writes a header without options, with "do not fragment" set and identification 0 (RFC 6864 4.1: an atomic datagram needs
 * none). Its checksum is added up from the values, so no byte is read back.
 *
 * @param length Bytes of header and payload.
 */
export function writeIpv4Header(
	u8: Uint8Array,
	at: number,
	length: number,
	timeToLive: number,
	protocol: number,
	source: number,
	destination: number,
): void {
	const word = (timeToLive << 8) | protocol;
	const halves = (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
	set32(u8, at, 0x45000000 | length);
	set32(u8, at + 4, DONT_FRAGMENT);
	set32(u8, at + 8, (word << 16) | (~fold(0x4500 + DONT_FRAGMENT + length + word + halves) & 0xffff));
	set32(u8, at + 12, source);
	set32(u8, at + 16, destination);
}

/** Lets routers cut a packet whose header is written: without DF, and with an identification (RFC 6864 4.2). */
export function allowFragments(u8: Uint8Array, at: number, identification: number): void {
	set32(u8, at + 4, identification << 16);
	set16(u8, at + 10, 0);
	set16(u8, at + 10, checksum(u8, at, IPV4_HEADER, 0));
}

/**
 * Whether the options between `start` and `end` hold a source route, or are malformed so that nobody can say. Reads only
 * what lies between.
 */
export function isSourceRouted(u8: Uint8Array, start: number, end: number): boolean {
	let at = start;
	while (at < end) {
		const type = u8[at]!;
		if (type === 0) return false;
		if (type === 1) {
			at++;
			continue;
		}
		if (type === OPTION_LOOSE_SOURCE_ROUTE || type === OPTION_STRICT_SOURCE_ROUTE || at + 1 >= end) return true;
		const length = u8[at + 1]!;
		if (length < 2) return true;
		at += length;
	}
	return at > end;
}

/** 127.0.0.0/8. */
export function isLoopback(address: number): boolean {
	return address >>> 24 === 127;
}
/** 224.0.0.0/4. */
export function isMulticast(address: number): boolean {
	return address >>> 28 === 14;
}
/** Addresses that no single host can have: 0.0.0.0/8, 224.0.0.0/4, 240.0.0.0/4 with 255.255.255.255. */
export function isNoHost(address: number): boolean {
	return address >>> 24 === 0 || address >>> 28 >= 14;
}
