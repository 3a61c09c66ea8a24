/** ICMP for IPv4 (RFC 792): an 8-byte header, then the echoed data or the packet that an error is about. */
import { get16, set16, set32 } from "./bytes.ts";

/** Bytes of the header. */
export const ICMP_HEADER = 8;

/** Message types, RFC 792. */
export const ECHO_REPLY = 0;
/** Type: an error with one of the codes below. */
export const DESTINATION_UNREACHABLE = 3;
/** Type: obsolete (RFC 6633). */
export const SOURCE_QUENCH = 4;
/** Type: another router is nearer. */
export const REDIRECT = 5;
/** Type: to be answered with the same data. */
export const ECHO_REQUEST = 8;
/** Type: the time to live was over. */
export const TIME_EXCEEDED = 11;
/** Type: a header that cannot be read. */
export const PARAMETER_PROBLEM = 12;

/** Codes of DESTINATION_UNREACHABLE. */
export const NET_UNREACHABLE = 0;
/** Code: nobody has that address. */
export const HOST_UNREACHABLE = 1;
/** Code: nobody there speaks that protocol. */
export const PROTOCOL_UNREACHABLE = 2;
/** Code: nobody listens on that port. */
export const PORT_UNREACHABLE = 3;
/** Code: too big, and DF was set; `nextHopMtu` says how big it may be (RFC 1191). */
export const FRAGMENTATION_NEEDED = 4;

/** The message type. */
export function type(u8: Uint8Array, at: number): number {
	return u8[at]!;
}
/** The code. */
export function code(u8: Uint8Array, at: number): number {
	return u8[at + 1]!;
}
/** The checksum as it stands there. */
export function checksumField(u8: Uint8Array, at: number): number {
	return get16(u8, at + 2);
}
/** Writes the checksum. */
export function setChecksumField(u8: Uint8Array, at: number, value: number): void {
	set16(u8, at + 2, value);
}
/** Of echo request and reply. */
export function identifier(u8: Uint8Array, at: number): number {
	return get16(u8, at + 4);
}
/** Of echo request and reply. */
export function sequenceNumber(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}
/** Of FRAGMENTATION_NEEDED (RFC 1191 4); 0 from routers that do not know it. */
export function nextHopMtu(u8: Uint8Array, at: number): number {
	return get16(u8, at + 6);
}

/** Writes the 8 bytes of an error's header, with checksum and the rest 0. */
export function writeIcmpError(u8: Uint8Array, at: number, type: number, code: number): void {
	set32(u8, at, (type << 24) | (code << 16));
	set32(u8, at + 4, 0);
}

/** Whether a type tells of an error, so that nothing may be sent in answer to it (RFC 1122 3.2.2). */
export function isError(type: number): boolean {
	return (
		type === DESTINATION_UNREACHABLE || type === SOURCE_QUENCH || type === REDIRECT || type === TIME_EXCEEDED || type === PARAMETER_PROBLEM
	);
}
