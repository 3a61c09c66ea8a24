/** ARP for IPv4 over Ethernet (RFC 826): 28 bytes behind the Ethernet header. Hardware addresses as in `ethernet.ts`. */
import { get16, get32, set16, set32 } from "./bytes.ts";

/** Bytes of a packet. */
export const ARP_LENGTH = 28;
/** Operations. */
export const ARP_REQUEST = 1;
/** Operations. */
export const ARP_REPLY = 2;

/** Whether it is about IPv4 over Ethernet at all: hardware type 1, protocol 0x0800, lengths 6 and 4. */
export function isIpv4OverEthernet(u8: Uint8Array, at: number): boolean {
	return get32(u8, at) === 0x00010800 && get16(u8, at + 4) === 0x0604;
}
/** ARP_REQUEST, ARP_REPLY, or what else stands there. */
export function operation(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}
/** Sender's hardware address, first 16 bits. */
export function senderHigh(u8: Uint8Array, at: number): number {
	return get16(u8, at + 8);
}
/** Sender's hardware address, last 32 bits, signed. */
export function senderLow(u8: Uint8Array, at: number): number {
	return get32(u8, at + 10);
}
/** Sender's IPv4 address, signed. */
export function senderAddress(u8: Uint8Array, at: number): number {
	return get32(u8, at + 14);
}
/** Target's hardware address, first 16 bits. */
export function targetHigh(u8: Uint8Array, at: number): number {
	return get16(u8, at + 18);
}
/** Target's hardware address, last 32 bits, signed. */
export function targetLow(u8: Uint8Array, at: number): number {
	return get32(u8, at + 20);
}
/** Target's IPv4 address, signed. */
export function targetAddress(u8: Uint8Array, at: number): number {
	return get32(u8, at + 24);
}

/** Writes a whole packet, ARP_LENGTH bytes. */
export function writeArp(
	u8: Uint8Array,
	at: number,
	operation: number,
	senderHigh: number,
	senderLow: number,
	senderAddress: number,
	targetHigh: number,
	targetLow: number,
	targetAddress: number,
): void {
	set32(u8, at, 0x00010800);
	set16(u8, at + 4, 0x0604);
	set16(u8, at + 6, operation);
	set16(u8, at + 8, senderHigh);
	set32(u8, at + 10, senderLow);
	set32(u8, at + 14, senderAddress);
	set16(u8, at + 18, targetHigh);
	set32(u8, at + 20, targetLow);
	set32(u8, at + 24, targetAddress);
}
