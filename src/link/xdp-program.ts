/**
 * The XDP programs of the XDP link: which frames of an interface are the stack's.
 *
 * Hides the choice as instructions for the kernel (sys/bpf/assembler.ts). A program looks at each frame that arrives, before the
 * kernel makes a packet of it: what is the stack's goes to the socket of the queue that the frame came by; all else, and what
 * comes by a queue without a socket, goes on to the kernel untouched.
 *
 * Own address: ARP about an own address and IPv4 packets to it; with a hardware address of the stack's own, all frames to that.
 * Ports: TCP over IPv4 to an address of the machine and one of the ports, and ICMP errors about such a connection (path MTU).
 * The ports lie in a map of 2048 words, a bit each. Later fragments have no ports and go to the kernel, which drops them without a
 * word when the first one is missing.
 */
import { Assembler, R0, R1, R2, R3, R4, R5, R6, R7, R8, R10, swap16 } from "../sys/bpf/assembler.ts";
import { MAP_LOOKUP, REDIRECT_MAP, XDP_DATA, XDP_DATA_END, XDP_PASS, XDP_QUEUE } from "../sys/bpf/bpf.ts";

/** Words of the port map. */
export const PORT_WORDS = 65536 / 32;

/** Most addresses of one link: each is a comparison in the program. */
export const ADDRESSES_MAX = 32;

export interface ProgramOptions {
	/** Map from queues to sockets. */
	readonly sockets: number;
	/** IPv4 addresses, as words with the most significant byte first. */
	readonly addresses: readonly number[];
	/** A hardware address that nobody else uses: all frames to it are the stack's. */
	readonly mac?: Uint8Array | undefined;
	/** Map of ports, a bit each, and a range of ports on top; without it all ports are the stack's. */
	readonly ports?: { readonly map: number; readonly first: number; readonly last: number } | undefined;
	/** What becomes of a frame of the stack's on a queue without socket; XDP_PASS unless a test wants to tell. */
	readonly fallback?: number;
}

const ETHERNET = 14;
/** Offsets in a frame. */
const ETHERTYPE = 12;
const ARP_TARGET = ETHERNET + 24;
const ARP_END = ETHERNET + 28;
const IP_END = ETHERNET + 20;
/** Offsets in an IPv4 header. */
const FRAGMENT = 6;
const PROTOCOL = 9;
const SOURCE = 12;
const DESTINATION = 16;

const TYPE_IPV4 = 0x0800;
const TYPE_ARP = 0x0806;
const TYPE_VLAN = 0x8100;
/** Bytes of a VLAN's tag, and its bits that name the VLAN. */
const VLAN_TAG = 4;
const VLAN_ID = 0xfff;
const TCP = 6;
const ICMP = 1;
const ICMP_UNREACHABLE = 3;
const ICMP_HEADER = 8;

/** A number of the network as a little-endian machine loads it. */
const swap32 = (word: number): number => (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24) | 0;

/** R2 is where the frame begins, R3 where it ends; R6 the context, R7 the port in question. */
export function xdpProgram(options: ProgramOptions): Uint8Array {
	const { sockets, addresses, mac, ports, fallback = XDP_PASS } = options;
	const a = new Assembler();
	a.move(R6, R1).load("w", R2, R6, XDP_DATA).load("w", R3, R6, XDP_DATA_END);
	needs(a, ETHERNET);
	if (mac !== undefined) ownMac(a, mac);
	a.load("h", R4, R2, ETHERTYPE);
	skipPriorityTag(a);
	if (ports === undefined) ownAddress(a, addresses, mac === undefined);
	else ownPorts(a, addresses, ports);
	a.label("ours");
	a.load("w", R2, R6, XDP_QUEUE).map(R1, sockets).move(R3, fallback).call(REDIRECT_MAP).exit();
	a.label("kernel's").move(R0, XDP_PASS).exit();
	return a.assemble();
}

/** Moves R2 and R4 past the tag of VLAN 0, which says a priority alone (IEEE 802.1Q 9.6); frames of other VLANs go to the kernel. */
function skipPriorityTag(a: Assembler): void {
	a.jump("!=", R4, swap16(TYPE_VLAN), "untagged");
	needs(a, ETHERNET + VLAN_TAG);
	a.load("h", R5, R2, ETHERNET).jump("&", R5, swap16(VLAN_ID), "kernel's");
	a.load("h", R4, R2, ETHERTYPE + VLAN_TAG).alu("+", R2, VLAN_TAG);
	a.label("untagged");
}

/** Leaves frames to the kernel that end before `bytes` from R2 on. */
function needs(a: Assembler, bytes: number): void {
	a.move(R5, R2).alu("+", R5, bytes).jump(">", R5, R3, "kernel's");
}

/** Goes on at `label` if R5 is one of the addresses. */
function among(a: Assembler, addresses: readonly number[], label: string): void {
	for (const address of addresses) a.jump32("==", R5, swap32(address), label);
}

function ownMac(a: Assembler, mac: Uint8Array): void {
	const view = new DataView(mac.buffer, mac.byteOffset, 6);
	a.load("h", R4, R2, 0)
		.jump32("!=", R4, view.getUint16(0, true), "not to our station")
		.load("w", R4, R2, 2)
		.jump32("==", R4, view.getInt32(2, true), "ours")
		.label("not to our station");
}

function ownAddress(a: Assembler, addresses: readonly number[], ip: boolean): void {
	if (ip) {
		a.jump("!=", R4, swap16(TYPE_IPV4), "not IPv4");
		needs(a, IP_END);
		a.load("w", R5, R2, ETHERNET + DESTINATION);
		among(a, addresses, "ours");
		a.goto("kernel's").label("not IPv4");
	}
	a.jump("!=", R4, swap16(TYPE_ARP), "kernel's");
	needs(a, ARP_END);
	a.load("w", R5, R2, ARP_TARGET);
	among(a, addresses, "ours");
	a.goto("kernel's");
}

function ownPorts(a: Assembler, addresses: readonly number[], ports: NonNullable<ProgramOptions["ports"]>): void {
	a.jump("!=", R4, swap16(TYPE_IPV4), "kernel's");
	a.alu("+", R2, ETHERNET);
	needs(a, 20);
	a.load("w", R5, R2, DESTINATION);
	among(a, addresses, "to us");
	a.goto("kernel's").label("to us");
	a.load("b", R8, R2, PROTOCOL);
	skipHeader(a);
	a.jump("==", R8, TCP, "TCP").jump("!=", R8, ICMP, "kernel's");

	// An ICMP error holds the header of the packet that it is about, and the ports behind it.
	needs(a, ICMP_HEADER + 20);
	a.load("b", R5, R2, 0).jump("!=", R5, ICMP_UNREACHABLE, "kernel's");
	a.alu("+", R2, ICMP_HEADER);
	a.load("b", R5, R2, PROTOCOL).jump("!=", R5, TCP, "kernel's");
	a.load("w", R5, R2, SOURCE);
	among(a, addresses, "about us");
	a.goto("kernel's").label("about us");
	skipHeader(a);
	needs(a, 4);
	a.load("h", R7, R2, 0).goto("port");

	a.label("TCP");
	needs(a, 4);
	a.load("h", R7, R2, 2);

	a.label("port").fromNetwork(R7, 16);
	if (ports.first <= ports.last) a.jump("<", R7, ports.first, "in map").jump("<=", R7, ports.last, "ours").label("in map");
	a.move(R4, R7).alu(">>", R4, 5).store("w", R10, -4, R4);
	a.map(R1, ports.map).move(R2, R10).alu("+", R2, -4).call(MAP_LOOKUP);
	a.jump("==", R0, 0, "kernel's");
	a.load("w", R0, R0, 0).alu("&", R7, 31).alu(">>", R0, R7).jump("&", R0, 1, "ours").goto("kernel's");
}

/** Moves R2 from an IPv4 header, of which 20 bytes are there, to what follows it; fragments but the first go to the kernel. */
function skipHeader(a: Assembler): void {
	a.load("h", R5, R2, FRAGMENT).jump("&", R5, swap16(0x1fff), "kernel's");
	a.load("b", R5, R2, 0).move(R4, R5).alu("&", R4, 0xf0).jump("!=", R4, 0x40, "kernel's");
	a.alu("&", R5, 15).jump("<", R5, 5, "kernel's").alu("<<", R5, 2).alu("+", R2, R5);
}
