/**
 * A frame as a plain object, for tools, tests and people.
 *
 * Hides offsets and checks. Takes any bytes at all and never throws: what can be read is returned, and `malformed` says
 * where and why reading ended. Slow and generous with objects, so nothing on a packet path uses it.
 */
import { MillraceError } from "../errors.ts";
import { formatIpv4, formatIpv6, formatMac } from "./address.ts";
import * as arp from "./arp.ts";
import { get16, get32 } from "./bytes.ts";
import { checksum, pseudoHeader4 } from "./checksum.ts";
import * as ethernet from "./ethernet.ts";
import * as icmp from "./icmp.ts";
import * as ipv4 from "./ipv4.ts";
import * as tcp from "./tcp.ts";
import * as udp from "./udp.ts";

/** The Ethernet header. */
export interface DecodedEthernet {
	/** "02:00:00:00:00:01". */
	destination: string;
	/** "02:00:00:00:00:01". */
	source: string;
	/** EtherType, such as 0x0800. */
	type: number;
}

/** An ARP packet for IPv4 over Ethernet. Addresses as text. */
export interface DecodedArp {
	/** "request", "reply", or the number. */
	operation: "request" | "reply" | number;
	/** Who speaks. */
	senderMac: string;
	/** The address that the sender says it has; 0.0.0.0 in a probe. */
	senderAddress: string;
	/** Zeros in a request. */
	targetMac: string;
	/** Who is asked for, or spoken to. */
	targetAddress: string;
}

/** An IPv4 header. */
export interface DecodedIpv4 {
	/** "10.77.0.2". */
	source: string;
	/** "10.77.0.2". */
	destination: string;
	/** 1 ICMP, 6 TCP, 17 UDP ... */
	protocol: number;
	/** Time to live, hops. */
	ttl: number;
	/** Bytes of header and payload, as the header says. */
	length: number;
	/** Bytes, options included. */
	headerLength: number;
	/** Means something only for fragments (RFC 6864). */
	identification: number;
	/** DF. */
	dontFragment: boolean;
	/** MF. */
	moreFragments: boolean;
	/** Bytes into the original datagram. */
	fragmentOffset: number;
	/** Type of service: DSCP and ECN. */
	tos: number;
	/** The header's checksum is right. */
	checksumOk: boolean;
}

/** An IPv6 header. */
export interface DecodedIpv6 {
	/** As RFC 5952 writes it. */
	source: string;
	/** As RFC 5952 writes it. */
	destination: string;
	/** The type of what follows: a protocol or an extension header, which is not decoded further. */
	nextHeader: number;
	/** Hops that are left. */
	hopLimit: number;
	/** Bytes after the header, as the header says. */
	payloadLength: number;
}

/** A TCP header with its options. */
export interface DecodedTcp {
	/** 0 to 65535. */
	sourcePort: number;
	/** 0 to 65535. */
	destinationPort: number;
	/** Sequence and acknowledgment number, unsigned. */
	seq: number;
	/** Unsigned; means something only with the flag "A". */
	ack: number;
	/** Letters of the flags that are set, in the order "SFRPAUEC"; ACK is "A". */
	flags: string;
	/** As it stands there, not scaled. */
	window: number;
	/** The urgent pointer. */
	urgent: number;
	/** Bytes, options included. */
	headerLength: number;
	/** The checksum over pseudo-header and segment is right. */
	checksumOk: boolean;
	/** Only options that are there. Timestamps and edges are unsigned. */
	options: {
		mss?: number;
		windowScale?: number;
		sackPermitted?: true;
		timestamps?: { value: number; echo: number };
		sack?: [left: number, right: number][];
	};
}

/** A UDP header. */
export interface DecodedUdp {
	/** 0 to 65535. */
	sourcePort: number;
	/** 0 to 65535. */
	destinationPort: number;
	/** Bytes of header and payload, as the header says. */
	length: number;
	/** True also when the sender computed none. */
	checksumOk: boolean;
}

/** An ICMP message. */
export interface DecodedIcmp {
	/** 0 echo reply, 3 destination unreachable, 8 echo request, 11 time exceeded ... */
	type: number;
	/** What it means depends on the type. */
	code: number;
	/** The checksum is right. */
	checksumOk: boolean;
	/** Echo request and reply. */
	identifier?: number;
	/** Echo request and reply. */
	sequence?: number;
	/** Fragmentation needed. */
	mtu?: number;
	/** Errors: the packet that the error is about, as far as it was quoted (so it is usually `malformed`: cut short). */
	about?: DecodedFrame;
}

/** What `decodeFrame` found. Only layers that are there are present. */
export interface DecodedFrame {
	/** Only on an Ethernet medium. */
	ethernet?: DecodedEthernet;
	/** Behind Ethernet type 0x0806. */
	arp?: DecodedArp;
	/** IPv4. */
	ipv4?: DecodedIpv4;
	/** IPv6, of which only the header is read. */
	ipv6?: DecodedIpv6;
	/** TCP over IPv4. */
	tcp?: DecodedTcp;
	/** UDP over IPv4. */
	udp?: DecodedUdp;
	/** ICMP over IPv4. */
	icmp?: DecodedIcmp;
	/** What follows the innermost header that was decoded: a view into the bytes given. */
	payload: Uint8Array;
	/** Why decoding ended early. */
	malformed?: string;
}

/**
 * Decodes a frame or packet, whatever its bytes are.
 *
 * @param bytes The frame, without FCS.
 * @param medium "ethernet" if it begins with an Ethernet header, "ip" if with an IP header.
 * @throws {MillraceError} EINVAL for what is no array of bytes; nothing else.
 */
export function decodeFrame(bytes: Uint8Array, medium: "ethernet" | "ip" = "ethernet"): DecodedFrame {
	// Not by instanceof: arrays of other realms are good.
	if (!ArrayBuffer.isView(bytes) || (bytes as Uint8Array).BYTES_PER_ELEMENT !== 1)
		throw new MillraceError(
			"EINVAL",
			`a frame of type ${bytes === null ? "null" : typeof bytes}: give its bytes, a Uint8Array or a Buffer`,
		);
	const frame: DecodedFrame = { payload: bytes };
	if (medium === "ip") {
		decodeIp(frame, bytes, false);
		return frame;
	}
	if (bytes.length < ethernet.ETHERNET_HEADER) return cut(frame, "Ethernet header", bytes);
	const type = ethernet.etherType(bytes, 0);
	frame.ethernet = { destination: formatMac(bytes, 0), source: formatMac(bytes, 6), type };
	const rest = bytes.subarray(ethernet.ETHERNET_HEADER);
	frame.payload = rest;
	if (type === ethernet.ETHERTYPE_ARP) decodeArp(frame, rest);
	else if (type === ethernet.ETHERTYPE_IPV4 || type === ethernet.ETHERTYPE_IPV6) decodeIp(frame, rest, false);
	return frame;
}

function cut(frame: DecodedFrame, what: string, bytes: Uint8Array): DecodedFrame {
	frame.malformed = `${what} cut short at ${bytes.length} bytes`;
	return frame;
}

function decodeArp(frame: DecodedFrame, bytes: Uint8Array): void {
	if (bytes.length < arp.ARP_LENGTH) {
		cut(frame, "ARP", bytes);
		return;
	}
	if (!arp.isIpv4OverEthernet(bytes, 0)) {
		frame.malformed = "ARP not for IPv4 over Ethernet";
		return;
	}
	const operation = arp.operation(bytes, 0);
	frame.arp = {
		operation: operation === arp.ARP_REQUEST ? "request" : operation === arp.ARP_REPLY ? "reply" : operation,
		senderMac: formatMac(bytes, 8),
		senderAddress: formatIpv4(arp.senderAddress(bytes, 0)),
		targetMac: formatMac(bytes, 18),
		targetAddress: formatIpv4(arp.targetAddress(bytes, 0)),
	};
	frame.payload = bytes.subarray(arp.ARP_LENGTH);
}

function decodeIp(frame: DecodedFrame, bytes: Uint8Array, quoted: boolean): void {
	if (bytes.length < 1) cut(frame, "IP header", bytes);
	else if (ipv4.version(bytes, 0) === 4) decodeIpv4(frame, bytes, quoted);
	else if (ipv4.version(bytes, 0) === 6) decodeIpv6(frame, bytes);
	else frame.malformed = `IP version ${ipv4.version(bytes, 0)}`;
}

function decodeIpv6(frame: DecodedFrame, bytes: Uint8Array): void {
	if (bytes.length < 40) {
		cut(frame, "IPv6 header", bytes);
		return;
	}
	frame.ipv6 = {
		source: formatIpv6(get32(bytes, 8), get32(bytes, 12), get32(bytes, 16), get32(bytes, 20)),
		destination: formatIpv6(get32(bytes, 24), get32(bytes, 28), get32(bytes, 32), get32(bytes, 36)),
		nextHeader: bytes[6]!,
		hopLimit: bytes[7]!,
		payloadLength: get16(bytes, 4),
	};
	frame.payload = bytes.subarray(40);
}

function decodeIpv4(frame: DecodedFrame, bytes: Uint8Array, quoted: boolean): void {
	if (bytes.length < ipv4.IPV4_HEADER) {
		cut(frame, "IPv4 header", bytes);
		return;
	}
	const headerLength = ipv4.headerLength(bytes, 0);
	const length = ipv4.totalLength(bytes, 0);
	const fragment = ipv4.fragmentField(bytes, 0);
	const header: DecodedIpv4 = {
		source: formatIpv4(ipv4.source(bytes, 0)),
		destination: formatIpv4(ipv4.destination(bytes, 0)),
		protocol: ipv4.protocol(bytes, 0),
		ttl: ipv4.timeToLive(bytes, 0),
		length,
		headerLength,
		identification: ipv4.identification(bytes, 0),
		dontFragment: (fragment & ipv4.DONT_FRAGMENT) !== 0,
		moreFragments: (fragment & ipv4.MORE_FRAGMENTS) !== 0,
		fragmentOffset: (fragment & 0x1fff) << 3,
		tos: ipv4.typeOfService(bytes, 0),
		checksumOk: headerLength >= ipv4.IPV4_HEADER && headerLength <= bytes.length && checksum(bytes, 0, headerLength, 0) === 0,
	};
	frame.ipv4 = header;
	if (headerLength < ipv4.IPV4_HEADER || headerLength > length) {
		frame.malformed = `IPv4 header length ${headerLength} of ${length} bytes`;
		return;
	}
	// Ethernet pads short packets; what is behind the packet's own length is not part of it.
	const body = bytes.subarray(headerLength, length);
	frame.payload = body;
	if (length > bytes.length) cut(frame, `IPv4 packet of ${length} bytes`, bytes);
	if (header.fragmentOffset > 0) return;
	const whole = length <= bytes.length && !header.moreFragments;
	const pseudo = pseudoHeader4(ipv4.source(bytes, 0), ipv4.destination(bytes, 0), header.protocol, body.length);
	if (header.protocol === tcp.PROTOCOL_TCP) decodeTcp(frame, body, whole, pseudo);
	else if (header.protocol === udp.PROTOCOL_UDP) decodeUdp(frame, body, whole, pseudo);
	else if (header.protocol === ipv4.PROTOCOL_ICMP) decodeIcmp(frame, body, whole, quoted);
}

function decodeTcp(frame: DecodedFrame, bytes: Uint8Array, whole: boolean, pseudo: number): void {
	if (bytes.length < tcp.TCP_HEADER) {
		frame.malformed ??= `TCP header cut short at ${bytes.length} bytes`;
		return;
	}
	const headerLength = tcp.headerLength(bytes, 0);
	const flags = tcp.flags(bytes, 0);
	const header: DecodedTcp = {
		sourcePort: tcp.sourcePort(bytes, 0),
		destinationPort: tcp.destinationPort(bytes, 0),
		seq: tcp.sequence(bytes, 0) >>> 0,
		ack: tcp.acknowledgment(bytes, 0) >>> 0,
		flags: [..."SFRPAUEC"].filter((_, i) => (flags & FLAG_BITS[i]!) !== 0).join(""),
		window: tcp.window(bytes, 0),
		urgent: tcp.urgentPointer(bytes, 0),
		headerLength,
		checksumOk: whole && checksum(bytes, 0, bytes.length, pseudo) === 0,
		options: {},
	};
	frame.tcp = header;
	if (headerLength < tcp.TCP_HEADER || headerLength > bytes.length) {
		frame.malformed ??= `TCP header length ${headerLength} of ${bytes.length} bytes`;
		return;
	}
	const parsed = new tcp.TcpOptions();
	if (!tcp.parseTcpOptions(bytes, tcp.TCP_HEADER, headerLength - tcp.TCP_HEADER, parsed))
		frame.malformed ??= "TCP option overruns the header";
	const { options } = header;
	if (parsed.mss > 0) options.mss = parsed.mss;
	if (parsed.windowScale >= 0) options.windowScale = parsed.windowScale;
	if (parsed.sackPermitted) options.sackPermitted = true;
	if (parsed.timestamps) options.timestamps = { value: parsed.tsVal >>> 0, echo: parsed.tsEcr >>> 0 };
	if (parsed.sackCount > 0) {
		options.sack = Array.from({ length: parsed.sackCount }, (_, i) => [parsed.sackEdges[2 * i]! >>> 0, parsed.sackEdges[2 * i + 1]! >>> 0]);
	}
	frame.payload = bytes.subarray(headerLength);
}

const FLAG_BITS = [tcp.SYN, tcp.FIN, tcp.RST, tcp.PSH, tcp.ACK, tcp.URG, tcp.ECE, tcp.CWR];

function decodeUdp(frame: DecodedFrame, bytes: Uint8Array, whole: boolean, pseudo: number): void {
	if (bytes.length < udp.UDP_HEADER) {
		frame.malformed ??= `UDP header cut short at ${bytes.length} bytes`;
		return;
	}
	const length = udp.length(bytes, 0);
	const fits = length >= udp.UDP_HEADER && length <= bytes.length;
	// The pseudo-header counts UDP's own length, which may be less than what IP carries.
	const right = fits && checksum(bytes, 0, length, pseudo - bytes.length + length) === 0;
	frame.udp = {
		sourcePort: udp.sourcePort(bytes, 0),
		destinationPort: udp.destinationPort(bytes, 0),
		length,
		checksumOk: udp.checksumField(bytes, 0) === 0 || (whole && right),
	};
	if (!fits) frame.malformed ??= `UDP length ${length} of ${bytes.length} bytes`;
	frame.payload = bytes.subarray(udp.UDP_HEADER, fits ? length : bytes.length);
}

function decodeIcmp(frame: DecodedFrame, bytes: Uint8Array, whole: boolean, quoted: boolean): void {
	if (bytes.length < icmp.ICMP_HEADER) {
		frame.malformed ??= `ICMP header cut short at ${bytes.length} bytes`;
		return;
	}
	const type = icmp.type(bytes, 0);
	const code = icmp.code(bytes, 0);
	const header: DecodedIcmp = { type, code, checksumOk: whole && checksum(bytes, 0, bytes.length, 0) === 0 };
	frame.icmp = header;
	frame.payload = bytes.subarray(icmp.ICMP_HEADER);
	if (type === icmp.ECHO_REQUEST || type === icmp.ECHO_REPLY) {
		header.identifier = icmp.identifier(bytes, 0);
		header.sequence = icmp.sequenceNumber(bytes, 0);
	} else if (icmp.isError(type)) {
		if (type === icmp.DESTINATION_UNREACHABLE && code === icmp.FRAGMENTATION_NEEDED) header.mtu = icmp.nextHopMtu(bytes, 0);
		// One level only: nobody answers an error with an error, so deeper nesting is made to exhaust the stack.
		if (quoted) return;
		header.about = { payload: frame.payload };
		decodeIp(header.about, frame.payload, true);
	}
}
