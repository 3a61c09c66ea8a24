/** One IP layer with ICMP, driven by hand: frames in as bytes, frames out decoded, time by `at`. */
import { Icmp } from "../../src/icmp/icmp.ts";
import { IpLayer, type IpOptions } from "../../src/ip/ip.ts";
import type { IpPacket, Transport, Unreachable } from "../../src/ip/transport.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { HEADROOM, PagePool } from "../../src/memory/pages.ts";
import { parseIpv4, parseMac } from "../../src/wire/address.ts";
import * as arp from "../../src/wire/arp.ts";
import { checksum, pseudoHeader4 } from "../../src/wire/checksum.ts";
import { type DecodedFrame, decodeFrame } from "../../src/wire/decode.ts";
import * as ethernet from "../../src/wire/ethernet.ts";
import * as icmp from "../../src/wire/icmp.ts";
import * as ipv4 from "../../src/wire/ipv4.ts";
import * as tcp from "../../src/wire/tcp.ts";
import * as udp from "../../src/wire/udp.ts";

export const OWN = "10.77.0.2";
export const PEER = "10.77.0.1";
export const OWN_MAC = "02:00:0a:4d:00:02";
export const PEER_MAC = "02:00:0a:4d:00:01";
export const ALL_MAC = "ff:ff:ff:ff:ff:ff";

/** A transport that notes what it gets, and keeps pages if told to. */
export class Probe implements Transport {
	readonly packets: (Omit<IpPacket, "page"> & { bytes: Uint8Array })[] = [];
	readonly errors: Unreachable[] = [];
	readonly kept: number[] = [];
	keep = false;
	readonly #pool: PagePool;
	constructor(pool: PagePool) {
		this.#pool = pool;
	}
	input(packet: IpPacket): boolean {
		const { page, ...rest } = packet;
		this.packets.push({ ...rest, bytes: this.#pool.u8.slice(packet.start, packet.start + packet.length) });
		if (this.keep) this.kept.push(page);
		return this.keep;
	}
	unreachable(error: Unreachable): void {
		this.errors.push({ ...error });
	}
}

export interface Station {
	pool: PagePool;
	ip: IpLayer;
	icmp: Icmp;
	/** Registered for TCP's number. */
	tcp: Probe;
	/** Sets the clock to seconds since the start and does what is due. */
	at(seconds: number): number;
	/** One frame in. */
	receive(bytes: Uint8Array, flags?: number): void;
	/** All frames that went out since the last call, decoded. */
	sent(): DecodedFrame[];
	/** Sends a TCP segment with these bytes behind the ports; its page's only reference goes with it. */
	send(to: string, options?: { from?: string; payload?: Uint8Array; hold?: boolean }): { routed: boolean; page: number };
}

export function station(options: Partial<IpOptions> = {}, pages = 256): Station {
	const pool = options.pool ?? new PagePool(new Arena(pages * 2048 + 65536), pages);
	const medium = options.medium ?? "ethernet";
	let now = 1e10; // Beyond 2^32: nothing may depend on the clock's start.
	const origin = now;
	const out: Uint8Array[] = [];
	const runtime = {
		clock: { now: () => now },
		random: { int32: () => 0 },
		defer: (task: () => void) => task(),
		alarm: () => ({ set() {}, clear() {} }),
	};
	const ip = new IpLayer({
		pool,
		runtime,
		medium,
		mtu: 1500,
		mac: parseMac(OWN_MAC),
		addresses: [`${OWN}/24`],
		routes: [{ to: "0.0.0.0/0", via: PEER }],
		out: {
			push(page, start, length) {
				out.push(pool.u8.slice(start, start + length));
				pool.release(page);
			},
		},
		...options,
	});
	const tcpProbe = new Probe(pool);
	ip.register(tcp.PROTOCOL_TCP, tcpProbe);
	const icmpLayer = new Icmp({ pool, runtime, ip });
	const batch = new Batch(pool);
	return {
		pool,
		ip,
		icmp: icmpLayer,
		tcp: tcpProbe,
		at(seconds) {
			now = origin + seconds * 1e6;
			ip.advance(now);
			return (ip.deadline - origin) / 1e6;
		},
		receive(bytes, flags = 0) {
			batch.add(bytes, now);
			batch.flags[0] = flags;
			ip.input(batch);
		},
		sent() {
			return out.splice(0).map((bytes) => decodeFrame(bytes, medium));
		},
		send(to, { from = OWN, payload = new Uint8Array(0), hold = false } = {}) {
			const page = pool.alloc();
			const start = pool.address(page) + HEADROOM;
			const length = tcp.TCP_HEADER + payload.length;
			tcp.writeTcpHeader(pool.u8, start, 1234, 80, 0x11223344, 0, 20, tcp.SYN, 1000);
			pool.u8.set(payload, start + tcp.TCP_HEADER);
			const sum = pseudoHeader4(parseIpv4(from), parseIpv4(to), tcp.PROTOCOL_TCP, length);
			tcp.setChecksumField(pool.u8, start, checksum(pool.u8, start, length, sum));
			if (hold) pool.retain(page);
			return { routed: ip.output(page, start, length, parseIpv4(from), parseIpv4(to), tcp.PROTOCOL_TCP, 0), page };
		},
	};
}

/** A station that has been told its peer's hardware address, and whose announcements are over. */
export function acquainted(options: Partial<IpOptions> = {}): Station {
	const host = station(options);
	host.at(0);
	host.at(2);
	host.receive(arpFrame({ operation: arp.ARP_REQUEST, target: OWN }));
	host.sent();
	return host;
}

export function arpFrame(fields: {
	operation: number;
	sender?: string;
	senderMac?: string;
	target: string;
	targetMac?: string;
	to?: string;
}): Uint8Array {
	const { operation, sender = PEER, senderMac = PEER_MAC, target, targetMac = "00:00:00:00:00:00", to = ALL_MAC } = fields;
	const frame = new Uint8Array(60); // Padded, as Ethernet does.
	const [senderBytes, targetBytes] = [parseMac(senderMac), parseMac(targetMac)];
	arp.writeArp(
		frame,
		14,
		operation,
		ethernet.macHigh(senderBytes, 0),
		ethernet.macLow(senderBytes, 0),
		parseIpv4(sender),
		ethernet.macHigh(targetBytes, 0),
		ethernet.macLow(targetBytes, 0),
		parseIpv4(target),
	);
	return onEthernet(frame.subarray(14), { to, from: senderMac, type: ethernet.ETHERTYPE_ARP });
}

export function onEthernet(packet: Uint8Array, { to = OWN_MAC, from = PEER_MAC, type = ethernet.ETHERTYPE_IPV4 } = {}): Uint8Array {
	const frame = new Uint8Array(14 + packet.length);
	frame.set(parseMac(to), 0);
	frame.set(parseMac(from), 6);
	frame[12] = type >> 8;
	frame[13] = type;
	frame.set(packet, 14);
	return frame;
}

/** An IPv4 packet; `edit` changes the header before its checksum is computed. */
export function packet(
	body: Uint8Array,
	fields: { from?: string; to?: string; protocol?: number; options?: number[]; edit?: (header: Uint8Array) => void } = {},
): Uint8Array {
	const { from = PEER, to = OWN, protocol = tcp.PROTOCOL_TCP, options = [], edit } = fields;
	const header = ipv4.IPV4_HEADER + options.length;
	const bytes = new Uint8Array(header + body.length);
	ipv4.writeIpv4Header(bytes, 0, bytes.length, 64, protocol, parseIpv4(from), parseIpv4(to));
	bytes[0] = 0x40 | (header >> 2);
	bytes.set(options, ipv4.IPV4_HEADER);
	bytes.set(body, header);
	edit?.(bytes);
	bytes.fill(0, 10, 12);
	const sum = checksum(bytes, 0, header, 0);
	bytes[10] = sum >> 8;
	bytes[11] = sum;
	return bytes;
}

export function tcpSegment(flags: number = tcp.SYN, { from = PEER, to = OWN } = {}): Uint8Array {
	const bytes = new Uint8Array(tcp.TCP_HEADER);
	tcp.writeTcpHeader(bytes, 0, 4321, 80, 7, 0, 20, flags, 512);
	tcp.setChecksumField(bytes, 0, checksum(bytes, 0, 20, pseudoHeader4(parseIpv4(from), parseIpv4(to), tcp.PROTOCOL_TCP, 20)));
	return bytes;
}

export function udpDatagram(payload = 5): Uint8Array {
	const bytes = new Uint8Array(udp.UDP_HEADER + payload);
	udp.writeUdpHeader(bytes, 0, 5353, 53, bytes.length);
	return bytes;
}

export function icmpMessage(type: number, code: number, body: Uint8Array, rest = 0): Uint8Array {
	const bytes = new Uint8Array(icmp.ICMP_HEADER + body.length);
	icmp.writeIcmpError(bytes, 0, type, code);
	bytes[6] = rest >> 8;
	bytes[7] = rest;
	bytes.set(body, icmp.ICMP_HEADER);
	icmp.setChecksumField(bytes, 0, checksum(bytes, 0, bytes.length, 0));
	return bytes;
}

/** The fates of received packets; their sum must be `received + looped`. */
const FATES = [
	"delivered",
	"unknownProtocol",
	"chained",
	"tooShort",
	"otherStation",
	"badStation",
	"unknownType",
	"ipv6",
	"badVersion",
	"badHeaderLength",
	"badLength",
	"badChecksum",
	"sourceRouted",
	"martianSource",
	"martianDestination",
	"linkBroadcast",
	"notOurs",
	"fragments",
	"arpMalformed",
	"arpRequests",
	"arpReplies",
	"arpOther",
	"arpConflicts",
] as const;

export function fates({ ip }: Station): number {
	return FATES.reduce((sum, name) => sum + ip.counters[name], 0);
}

/** The counters that are not 0, apart from `received` and what ARP sent. */
export function counted({ ip }: Station): Record<string, number> {
	return Object.fromEntries(
		Object.entries(ip.counters).filter(([name, value]) => value !== 0 && !["received", "arpRequestsSent", "arpRepliesSent"].includes(name)),
	);
}
