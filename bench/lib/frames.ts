/**
 * TCP over IPv4 without a stack: turns a received segment round, in its own page, into the segment that answers it.
 *
 * Hides the arithmetic of headers for programs that stand in for a stack (the bare reflector) or for its peers (the
 * stateless client). They keep no state: what to say next is read from what was just received, as an answer's sequence
 * number is the acknowledgment number of the question.
 */
import { get16, get32, set16, set32 } from "../../src/wire/bytes.ts";
import { checksum, fold, pseudoHeader4 } from "../../src/wire/checksum.ts";
import {
	headerLength,
	PROTOCOL_TCP,
	parseTcpOptions,
	SYN,
	setChecksumField,
	TcpOptions,
	writeSynOptions,
	writeTimestamps,
} from "../../src/wire/tcp.ts";

const IP_HEADER = 20;
/** Scale 7 of 65535 is a window of 8 MiB: never what limits. */
const WINDOW_SCALE = 7;

/** A segment as it was received; one object for all. */
export class Seen {
	ip = 0;
	tcp = 0;
	flags = 0;
	seq = 0;
	ack = 0;
	/** Bytes of payload. */
	length = 0;
	readonly options: TcpOptions = new TcpOptions();

	/** False when the packet at `at` is not TCP over IPv4. */
	read(u8: Uint8Array, at: number): boolean {
		if (u8[at]! >> 4 !== 4 || u8[at + 9] !== PROTOCOL_TCP) return false;
		this.ip = at;
		this.tcp = at + ((u8[at]! & 15) << 2);
		const header = headerLength(u8, this.tcp);
		this.flags = u8[this.tcp + 13]!;
		this.seq = get32(u8, this.tcp + 4);
		this.ack = get32(u8, this.tcp + 8);
		this.length = get16(u8, at + 2) - (this.tcp - at) - header;
		parseTcpOptions(u8, this.tcp + 20, header - 20, this.options);
		return true;
	}
}

/**
 * Writes the answer over the segment that it answers: addresses and ports swapped, the same options as the other side uses.
 *
 * @param now Timestamp value for the answer.
 * @param payload What the answer carries.
 * @param partial The device completes TCP's checksum.
 * @returns Bytes of the IP packet, which begins where the received one did.
 */
export function turnRound(
	u8: Uint8Array,
	seen: Seen,
	flags: number,
	seq: number,
	ack: number,
	now: number,
	payload: Uint8Array,
	partial = false,
): number {
	const { ip, options } = seen;
	const src = get32(u8, ip + 16);
	const dst = get32(u8, ip + 12);
	const srcPort = get16(u8, seen.tcp + 2);
	const dstPort = get16(u8, seen.tcp);
	return writeTcp(u8, ip, src, dst, srcPort, dstPort, flags, seq, ack, options.timestamps, now, options.tsVal, payload, partial);
}

/** Writes an IPv4 packet with a TCP segment, checksums included (TCP's only begun if `partial`); returns its bytes. A SYN offers what Linux offers. */
export function writeTcp(
	u8: Uint8Array,
	ip: number,
	src: number,
	dst: number,
	srcPort: number,
	dstPort: number,
	flags: number,
	seq: number,
	ack: number,
	timestamps: boolean,
	tsVal: number,
	tsEcr: number,
	payload: Uint8Array,
	partial = false,
): number {
	const tcp = ip + IP_HEADER;
	set16(u8, tcp, srcPort);
	set16(u8, tcp + 2, dstPort);
	set32(u8, tcp + 4, seq);
	set32(u8, tcp + 8, ack);
	let options = 0;
	if ((flags & SYN) !== 0) options = writeSynOptions(u8, tcp + 20, 1460, WINDOW_SCALE, true, timestamps, tsVal, tsEcr);
	else if (timestamps) options = writeTimestamps(u8, tcp + 20, tsVal, tsEcr);
	u8[tcp + 12] = (20 + options) << 2;
	u8[tcp + 13] = flags;
	set16(u8, tcp + 14, 65535);
	set32(u8, tcp + 16, 0);
	u8.set(payload, tcp + 20 + options);
	const segment = 20 + options + payload.length;
	const pseudo = pseudoHeader4(src, dst, PROTOCOL_TCP, segment);
	if (partial) setChecksumField(u8, tcp, fold(pseudo));
	else setChecksumField(u8, tcp, checksum(u8, tcp, segment, pseudo));

	set32(u8, ip, (0x4500 << 16) | (IP_HEADER + segment));
	set32(u8, ip + 4, 0x4000); // don't fragment
	set32(u8, ip + 8, (64 << 24) | (PROTOCOL_TCP << 16));
	set32(u8, ip + 12, src);
	set32(u8, ip + 16, dst);
	set16(u8, ip + 10, checksum(u8, ip, IP_HEADER, 0));
	return IP_HEADER + segment;
}
