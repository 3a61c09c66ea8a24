/** The UDP header (RFC 768). */
import { get16, set16 } from "./bytes.ts";

/** Protocol number. */
export const PROTOCOL_UDP = 17;
/** Bytes of the header. */
export const UDP_HEADER = 8;
/** Offset of the checksum in the header, for links that complete it. */
export const UDP_CHECKSUM_OFFSET = 6;

/** Source port; 0: the sender expects no answer. */
export function sourcePort(u8: Uint8Array, at: number): number {
	return get16(u8, at);
}
/** Destination port. */
export function destinationPort(u8: Uint8Array, at: number): number {
	return get16(u8, at + 2);
}
/** Bytes of header and payload. */
export function length(u8: Uint8Array, at: number): number {
	return get16(u8, at + 4);
}
/** 0: the sender computed none. */
export function checksumField(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}
/** Writes a checksum; one that comes out as 0 is sent as ffff, for 0 says that there is none. */
export function setChecksumField(u8: Uint8Array, at: number, value: number): void {
	set16(u8, at + 6, value === 0 ? 0xffff : value);
}

/** Writes a header with checksum 0. */
export function writeUdpHeader(u8: Uint8Array, at: number, sourcePort: number, destinationPort: number, length: number): void {
	set16(u8, at, sourcePort);
	set16(u8, at + 2, destinationPort);
	set16(u8, at + 4, length);
	set16(u8, at + 6, 0);
}
