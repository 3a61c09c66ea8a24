/**
 * The Ethernet header (IEEE 802.3), without FCS: 6 bytes destination, 6 bytes source, 2 bytes type.
 *
 * A hardware address is two numbers here, its first 16 bits ("high") and its last 32 ("low", signed), so that it compares
 * and copies without a loop.
 */
import { get16, get32, set16, set32 } from "./bytes.ts";

/** Bytes of the header. */
export const ETHERNET_HEADER = 14;

/** EtherType of IPv4. */
export const ETHERTYPE_IPV4 = 0x0800;
/** EtherType of ARP. */
export const ETHERTYPE_ARP = 0x0806;
/** EtherType of IPv6. */
export const ETHERTYPE_IPV6 = 0x86dd;

/** The broadcast address, ff:ff:ff:ff:ff:ff. */
export const BROADCAST_HIGH = 0xffff;
/** Its last 32 bits. */
export const BROADCAST_LOW = -1;

/** First 16 bits of the hardware address at `at`. */
export function macHigh(u8: Uint8Array, at: number): number {
	return get16(u8, at);
}
/** Last 32 bits of the hardware address at `at`, signed. */
export function macLow(u8: Uint8Array, at: number): number {
	return get32(u8, at + 2);
}
/** Whether an address is a group address (multicast or broadcast), from its high half. */
export function isGroup(high: number): boolean {
	return (high & 0x0100) !== 0;
}

/** Destination, first 16 bits. */
export function destinationHigh(u8: Uint8Array, at: number): number {
	return get16(u8, at);
}
/** Destination, last 32 bits, signed. */
export function destinationLow(u8: Uint8Array, at: number): number {
	return get32(u8, at + 2);
}
/** Source, first 16 bits. */
export function sourceHigh(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}
/** Source, last 32 bits, signed. */
export function sourceLow(u8: Uint8Array, at: number): number {
	return get32(u8, at + 8);
}
/** What follows the header. */
export function etherType(u8: Uint8Array, at: number): number {
	return get16(u8, at + 12);
}

/** Writes the 14 bytes. */
export function writeEthernetHeader(
	u8: Uint8Array,
	at: number,
	destinationHigh: number,
	destinationLow: number,
	sourceHigh: number,
	sourceLow: number,
	type: number,
): void {
	set16(u8, at, destinationHigh);
	set32(u8, at + 2, destinationLow);
	set16(u8, at + 6, sourceHigh);
	set32(u8, at + 8, sourceLow);
	set16(u8, at + 12, type);
}
