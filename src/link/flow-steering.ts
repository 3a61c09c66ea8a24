/**
 * Flow steering: which receive queue gets the packets of a flow, decided in the kernel by a program and a table of ours.
 *
 * Hides the flow hash, twice (here and as instructions for the kernel, which must agree), and the indirection table between hash and
 * queue: hash -> flow group -> entry of the table. Moving a flow group is one store into the table, seen with the next packet. What an
 * entry means is for whoever asks the program: the number of a socket in a packet socket's fanout group (PACKET_FANOUT_DATA,
 * packet.ts), or of a queue of a TAP device (TUNSETSTEERINGEBPF). Both take the answer modulo the number of sockets or queues there
 * are, and both run programs of the socket filter kind.
 *
 * The hash is the Toeplitz hash of receive-side scaling over addresses and ports, with the key 0x6d5a repeated (Woo and Park, 2012):
 * with that key both directions of a flow have one hash. A key that repeats every 16 bits treats all 16-bit words of its input alike,
 * and the hash is linear over exclusive or; so the hash of a packet is that of the exclusive or of its words, and has 16 bits, which
 * the 32 bits that a network card computes with the same key repeat.
 *
 * Ports count for TCP and UDP. All fragments of a packet go by their addresses alone, as later ones have no ports; so does
 * what has no ports, ICMP errors about a flow too: they may reach another queue than the flow. What is not IP belongs to group 0.
 */
import { Assembler, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, type Register, swap16 } from "../sys/bpf/assembler.ts";
import {
	createMap,
	HEADER_NETWORK,
	LOAD_BYTES_RELATIVE,
	loadSocketFilter,
	MAP_ARRAY,
	MAP_LOOKUP,
	SKB_PROTOCOL,
	setWord,
} from "../sys/bpf/bpf.ts";
import { libc } from "../sys/libc.ts";
import { parseIpv4 } from "../wire/address.ts";
import { wholeNumber } from "./known-options.ts";

/** Flow groups of a table unless another number is asked for: as many as most network cards have. */
export const FLOW_GROUPS = 128;

const KEY = 0x6d5a;
const WORD_BITS = 16;

/** The key's bits from bit `i` on, as many as the hash has. */
const keyFrom = (i: number): number => ((KEY << i) | (KEY >>> (WORD_BITS - i))) & 0xffff;

/** The hash of the exclusive or of all 16-bit words that count: 0 to 65535. */
export function hashWord(word: number): number {
	let hash = 0;
	for (let i = 0; i < WORD_BITS; i++) if ((word & (0x8000 >> i)) !== 0) hash ^= keyFrom(i);
	return hash;
}

/** The hash of a flow over IPv4; its two ends may be given in either order. Addresses as words, most significant byte first. */
export function flowHash(from: number, to: number, fromPort: number, toPort: number): number {
	const words = from ^ to;
	return hashWord(((words ^ (words >>> 16)) & 0xffff) ^ fromPort ^ toPort);
}

/** The flow group, of so many, of packets between two ends written as text; as `flowHash`. */
export function flowGroup(from: string, fromPort: number, to: string, toPort: number, groups: number = FLOW_GROUPS): number {
	return flowHash(parseIpv4(from), parseIpv4(to), fromPort, toPort) & (groups - 1);
}

/** The program and its table. Holds two descriptors until it is closed; what the program was given to holds it by itself. */
export class FlowSteering {
	/** Flow groups, a power of two. */
	readonly groups: number;
	/** Descriptor of the program. */
	readonly program: number;
	readonly #table: number;
	readonly #entries: Int32Array;

	/** Every flow group goes to 0 until it is told otherwise. */
	constructor(groups: number = FLOW_GROUPS) {
		this.groups = groups;
		this.#entries = new Int32Array(groups);
		this.#table = createMap(MAP_ARRAY, 4, 4, groups);
		try {
			this.program = loadSocketFilter(steeringProgram(this.#table, groups), "millrace");
		} catch (error) {
			libc().close(this.#table);
			throw error;
		}
	}

	/** The flow group of a hash. */
	groupOf(hash: number): number {
		return hash & (this.groups - 1);
	}

	/** Where a flow group goes. */
	target(group: number): number {
		return this.#entries[group]!;
	}

	/** Where each flow group goes, a copy. */
	get reta(): number[] {
		return Array.from(this.#entries);
	}

	/** Sends a flow group elsewhere from the next packet on. */
	steer(group: number, target: number): void {
		setWord(this.#table, group, target);
		this.#entries[group] = target;
	}

	/** As `steer`, for an operator: with numbers that may be wrong. `what` is what a target is called. Throws MILLRACE_BAD_OPTION. */
	move(group: number, what: string, target: number, targets: number): void {
		wholeNumber("flow group", group, 0, this.groups - 1);
		wholeNumber(what, target, 0, targets - 1);
		this.steer(group, target);
	}

	/** Deals all flow groups out to targets 0 to `targets`, exclusive. */
	spread(targets: number): void {
		for (let group = 0; group < this.groups; group++) this.steer(group, group % targets);
	}

	close(): void {
		libc().close(this.program);
		libc().close(this.#table);
	}
}

const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
/** Bytes of headers, and what is looked at in them. */
const IPV4 = 20;
const IPV6 = 40;
const FRAGMENT = 6;
const PROTOCOL4 = 9;
const PROTOCOL6 = 6;
const ADDRESSES4 = 12;
const ADDRESSES6 = 8;
/** Places on the program's stack: the IP header, the ports, the key into the table. */
const HEADER_AT = -48;
const PORTS_AT = -8;
const GROUP_AT = -4;

/**
 * The program: the table's entry for the packet's flow group.
 *
 * R6 is the context, R7 the length of the IP header, R8 the protocol, R9 the exclusive or of what counts. It reads by copying to its
 * stack, for not all who run it have the packet in one piece, and not all begin it at the same header.
 */
export function steeringProgram(table: number, groups: number): Uint8Array {
	const a = new Assembler();
	a.move(R6, R1).move(R9, 0);
	a.load("w", R4, R6, SKB_PROTOCOL);
	a.jump("==", R4, swap16(TYPE_IPV4), "IPv4").jump("!=", R4, swap16(TYPE_IPV6), "group");

	copyToStack(a, 0, HEADER_AT, IPV6, "group");
	for (let at = ADDRESSES6; at < IPV6; at += 4) a.load("w", R4, R10, HEADER_AT + at).alu("^", R9, R4);
	a.load("b", R8, R10, HEADER_AT + PROTOCOL6)
		.move(R7, IPV6)
		.goto("ports");

	a.label("IPv4");
	copyToStack(a, 0, HEADER_AT, IPV4, "group");
	for (let at = ADDRESSES4; at < IPV4; at += 4) a.load("w", R4, R10, HEADER_AT + at).alu("^", R9, R4);
	a.load("h", R4, R10, HEADER_AT + FRAGMENT).jump("&", R4, swap16(0x3fff), "hash");
	a.load("b", R8, R10, HEADER_AT + PROTOCOL4);
	a.load("b", R7, R10, HEADER_AT).alu("&", R7, 15).alu("<<", R7, 2);

	a.label("ports").jump("==", R8, TCP, "with ports").jump("!=", R8, UDP, "hash").label("with ports");
	copyToStack(a, R7, PORTS_AT, 4, "hash");
	a.load("w", R4, R10, PORTS_AT).alu("^", R9, R4);

	a.label("hash").move(R4, R9).alu(">>", R4, 16).alu("^", R9, R4).fromNetwork(R9, 16);
	a.move(R5, 0);
	for (let i = 0; i < WORD_BITS; i++) {
		// The key's window, times the bit.
		a.move(R4, R9)
			.alu(">>", R4, WORD_BITS - 1 - i)
			.alu("&", R4, 1)
			.alu("*", R4, keyFrom(i))
			.alu("^", R5, R4);
	}
	a.move(R9, R5).alu("&", R9, groups - 1);

	a.label("group").store("w", R10, GROUP_AT, R9);
	a.map(R1, table).move(R2, R10).alu("+", R2, GROUP_AT).call(MAP_LOOKUP);
	a.jump("!=", R0, 0, "found").exit(); // never: the table has all groups
	a.label("found").load("w", R0, R0, 0).exit();
	return a.assemble();
}

/** Copies bytes of the packet, counted from its IP header, to the stack; goes on at `short` if they are not there. */
export function copyToStack(a: Assembler, from: Register | number, to: number, bytes: number, short: string): void {
	a.move(R1, R6).move(R2, from).move(R3, R10).alu("+", R3, to).move(R4, bytes).move(R5, HEADER_NETWORK).call(LOAD_BYTES_RELATIVE);
	a.jump("!=", R0, 0, short);
}
