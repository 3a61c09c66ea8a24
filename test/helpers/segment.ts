/**
 * IPv4/TCP packets by hand, for tests: built and taken apart without the code under test, so that both cannot be wrong alike.
 *
 * Also the notation of packet scripts: `S. 0:0(0) ack 1 win 65535 <mss 1460,nop,wscale 7>`. Numbers in a Segment are what is on the
 * wire; making them relative is the script's business.
 */

export interface Timestamps {
	val: number;
	ecr: number;
}

/** TCP options; what is absent is not in the header. */
export interface Options {
	mss?: number;
	wscale?: number;
	sackPermitted?: boolean;
	sack?: [number, number][];
	ts?: Timestamps;
	/** Raw bytes, for malformed options. */
	raw?: Uint8Array;
}

export interface Segment {
	src: number;
	dst: number;
	srcPort: number;
	dstPort: number;
	seq: number;
	ack: number;
	/** Letters of SFRPUEC, and "." for ACK. */
	flags: string;
	window: number;
	urgent: number;
	options: Options;
	payload: Uint8Array;
	ttl: number;
	/** The IP header's word of identification and flags; only when taken apart. */
	fragmentWord?: number;
}

const FLAG_BITS: Readonly<Record<string, number>> = { F: 1, S: 2, R: 4, P: 8, ".": 16, U: 32, E: 64, C: 128 };
const FLAG_ORDER = "SFRPUEC.";

function sum(bytes: Uint8Array, start: number, end: number, initial: number): number {
	let total = initial;
	for (let i = start; i < end; i += 2) total += (bytes[i]! << 8) | (i + 1 < end ? bytes[i + 1]! : 0);
	while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
	return total;
}

function optionBytes(options: Options): number[] {
	const out: number[] = [];
	const put32 = (value: number) => out.push((value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
	if (options.mss !== undefined) out.push(2, 4, options.mss >> 8, options.mss & 255);
	if (options.sackPermitted) out.push(4, 2);
	if (options.ts) {
		out.push(8, 10);
		put32(options.ts.val);
		put32(options.ts.ecr);
	}
	if (options.wscale !== undefined) out.push(3, 3, options.wscale);
	if (options.sack) {
		out.push(5, 2 + 8 * options.sack.length);
		for (const [left, right] of options.sack) {
			put32(left);
			put32(right);
		}
	}
	if (options.raw) out.push(...options.raw);
	while (out.length % 4 !== 0) out.push(1);
	return out;
}

/** The IPv4 packet of a segment. */
export function encode(segment: Segment): Uint8Array {
	const options = optionBytes(segment.options);
	const header = 20 + options.length;
	const bytes = new Uint8Array(20 + header + segment.payload.length);
	const view = new DataView(bytes.buffer);
	view.setUint8(0, 0x45);
	view.setUint16(2, bytes.length);
	view.setUint16(6, 0x4000);
	view.setUint8(8, segment.ttl);
	view.setUint8(9, 6);
	view.setUint32(12, segment.src);
	view.setUint32(16, segment.dst);
	view.setUint16(10, ~sum(bytes, 0, 20, 0) & 0xffff);
	view.setUint16(20, segment.srcPort);
	view.setUint16(22, segment.dstPort);
	view.setUint32(24, segment.seq);
	view.setUint32(28, segment.ack);
	let flags = 0;
	for (const flag of segment.flags) flags |= FLAG_BITS[flag] ?? 0;
	view.setUint8(32, (header / 4) << 4);
	view.setUint8(33, flags);
	view.setUint16(34, segment.window);
	view.setUint16(38, segment.urgent);
	bytes.set(options, 40);
	bytes.set(segment.payload, 20 + header);
	view.setUint16(36, ~sum(bytes, 20, bytes.length, sum(bytes, 12, 20, 6 + header + segment.payload.length)) & 0xffff);
	return bytes;
}

/** Completes the TCP checksum of a packet whose field holds the sum of the pseudo-header; throws if it holds anything else. */
export function completeSum(bytes: Uint8Array): void {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	const length = bytes.length - 20;
	const pseudo = sum(bytes, 12, 20, 6 + length);
	if (view.getUint16(36) !== pseudo) throw new Error(`checksum field ${view.getUint16(36)}, the pseudo-header's sum is ${pseudo}`);
	view.setUint16(36, ~sum(bytes, 20, bytes.length, 0) & 0xffff);
}

/** Takes a packet apart; throws an Error that says what is wrong with it. */
export function decode(bytes: Uint8Array): Segment {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	if (bytes.length < 40) throw new Error(`packet of ${bytes.length} bytes`);
	if (view.getUint8(0) !== 0x45) throw new Error(`IP version and header length ${view.getUint8(0).toString(16)}`);
	if (view.getUint16(2) !== bytes.length) throw new Error(`IP total length ${view.getUint16(2)} in a packet of ${bytes.length}`);
	if (view.getUint8(9) !== 6) throw new Error(`IP protocol ${view.getUint8(9)}`);
	if (sum(bytes, 0, 20, 0) !== 0xffff) throw new Error("IP header checksum");
	if (sum(bytes, 20, bytes.length, sum(bytes, 12, 20, 6 + bytes.length - 20)) !== 0xffff) throw new Error("TCP checksum");
	const header = (view.getUint8(32) >> 4) * 4;
	if (header < 20 || 20 + header > bytes.length) throw new Error(`TCP data offset ${header}`);
	if ((view.getUint8(32) & 15) !== 0) throw new Error("TCP reserved bits set");
	let flags = "";
	for (const flag of FLAG_ORDER) if ((view.getUint8(33) & FLAG_BITS[flag]!) !== 0) flags += flag;
	return {
		src: view.getUint32(12),
		dst: view.getUint32(16),
		srcPort: view.getUint16(20),
		dstPort: view.getUint16(22),
		seq: view.getUint32(24),
		ack: view.getUint32(28),
		flags,
		window: view.getUint16(34),
		urgent: view.getUint16(38),
		options: decodeOptions(view, 40, 20 + header),
		payload: bytes.slice(20 + header),
		ttl: view.getUint8(8),
		fragmentWord: view.getUint32(4),
	};
}

function decodeOptions(view: DataView, start: number, end: number): Options {
	const options: Options = {};
	let at = start;
	while (at < end) {
		const kind = view.getUint8(at);
		if (kind === 0) break;
		if (kind === 1) {
			at++;
			continue;
		}
		const length = at + 1 < end ? view.getUint8(at + 1) : 0;
		if (length < 2 || at + length > end) throw new Error(`TCP option ${kind} of length ${length}`);
		if (kind === 2 && length === 4) options.mss = view.getUint16(at + 2);
		else if (kind === 3 && length === 3) options.wscale = view.getUint8(at + 2);
		else if (kind === 4 && length === 2) options.sackPermitted = true;
		else if (kind === 8 && length === 10) options.ts = { val: view.getUint32(at + 2), ecr: view.getUint32(at + 6) };
		else if (kind === 5) {
			options.sack = [];
			for (let block = at + 2; block + 8 <= at + length; block += 8) options.sack.push([view.getUint32(block), view.getUint32(block + 4)]);
		} else throw new Error(`TCP option ${kind} of length ${length}`);
		at += length;
	}
	return options;
}

/** The edges of the SACK option among option bytes, signed. */
export function decodeSack(bytes: Uint8Array): [number, number][] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	return (decodeOptions(view, 0, bytes.length).sack ?? []).map(([left, right]) => [left | 0, right | 0]);
}

/** An IPv4 ICMP message about `quoted`, a packet that the receiver of the message sent. */
export function encodeIcmp(src: number, type: number, code: number, quoted: Uint8Array, rest = 0): Uint8Array {
	const quote = quoted.subarray(0, Math.min(quoted.length, 28));
	const bytes = new Uint8Array(28 + quote.length);
	const view = new DataView(bytes.buffer);
	view.setUint8(0, 0x45);
	view.setUint16(2, bytes.length);
	view.setUint8(8, 64);
	view.setUint8(9, 1);
	view.setUint32(12, src);
	view.setUint32(16, new DataView(quoted.buffer, quoted.byteOffset).getUint32(12));
	view.setUint16(10, ~sum(bytes, 0, 20, 0) & 0xffff);
	view.setUint8(20, type);
	view.setUint8(21, code);
	view.setUint32(24, rest);
	bytes.set(quote, 28);
	view.setUint16(22, ~sum(bytes, 20, bytes.length, 0) & 0xffff);
	return bytes;
}
