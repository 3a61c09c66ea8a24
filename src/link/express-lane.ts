/**
 * The express lane: a queue of a TAP device beside the main one, for flows that send little, read first.
 *
 * Hides which frames go there. Where many send bulk data, the device's queue holds a hundred milliseconds of them, and whatever comes waits
 * behind: the SYN of a new connection, its first request, the ACKs that let others go on. Flow queueing gives *sparse* flows priority, those
 * that have little queued (RFC 8290 1.2 and 4.2, Hoeiland-Joergensen et al.); here a program of ours in the kernel does, by a table of flows:
 *
 * - a flow goes by the lane as long as it is sparse: at most FIRST_BYTES, and what LEAK_SHIFT allows it in the time, since its SYN. So
 *   requests on an open connection go there for ever. Once it has sent more, it goes by the main queue, until it was quiet for QUIET_NS;
 * - so does an ACK without anything else, always: it may overtake its flow's data, for its number is no older than theirs;
 * - and what is not IPv4, ARP above all. All else, fragments too, goes by the main queue.
 *
 * A flow changes over from the lane to the main queue, and the lane is read first, so it stays in order. Out of order, once, is seen what changes
 * over while the lane holds more batches than it is given in a row (tap-round.ts), and a flow that was quiet while the main queue was longer than QUIET_NS.
 *
 * Flows share an entry of the table where their hashes meet: then the sparse one of them counts as bulk, which costs it what it had without.
 */
import { Assembler, R0, R1, R2, R4, R5, R6, R7, R8, R9, R10, swap16 } from "../sys/bpf/assembler.ts";
import { createMap, KTIME_GET_NS, loadSocketFilter, MAP_ARRAY, MAP_LOOKUP, SKB_LENGTH, SKB_PROTOCOL } from "../sys/bpf/bpf.ts";
import { libc } from "../sys/libc.ts";
import { copyToStack } from "./flow-steering.ts";

/** Queues by what they are for. */
export const MAIN_QUEUE = 0;
export const LANE_QUEUE = 1;

/** Bytes of a flow, frame headers included, that are sparse: an initial window of ten segments (RFC 6928). */
const FIRST_BYTES = 16_384;
/** Nanoseconds by which a byte of a sparse flow is forgotten, as a shift: 1 us, which is 1 MB/s, some thousand requests each second. */
const LEAK_SHIFT = 10;
/** A flow that was quiet for so long is new again, in nanoseconds: longer than the main queue of a device that is read. */
const QUIET_NS = 200_000_000;
/** Entries of the table, as a shift. Each has a time and a number of bytes. */
const ENTRIES_SHIFT = 13;
const ENTRY = 16;
/** A multiplier for hashing by the upper bits (Knuth's, 2 to the 32 over the golden ratio). */
const GOLDEN = 0x9e3779b1;

const TYPE_IPV4 = 0x0800;
const TCP = 6;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
/** Bytes of headers, and what is looked at in them. */
const IPV4 = 20;
const TOTAL = 2;
const FRAGMENT = 6;
const PROTOCOL = 9;
const SOURCE = 12;
const DESTINATION = 16;
const TCP_TO_FLAGS = 14;
const DATA_OFFSET = 12;
const FLAGS = 13;
/** Places on the program's stack: the IP header, the TCP header, the key into the table. */
const IP_AT = -48;
const TCP_AT = -24;
const KEY_AT = -4;

/** The program and its table. Holds two descriptors until it is closed; the device holds them by itself. */
export class ExpressLane {
	/** Descriptor of the program. */
	readonly program: number;
	readonly #table: number;

	/** Throws MillraceError where the kernel has no such programs, or permits none. */
	constructor() {
		this.#table = createMap(MAP_ARRAY, 4, ENTRY, 1 << ENTRIES_SHIFT);
		try {
			this.program = loadSocketFilter(laneProgram(this.#table), "millrace_lane");
		} catch (error) {
			libc().close(this.#table);
			throw error;
		}
	}

	close(): void {
		libc().close(this.program);
		libc().close(this.#table);
	}
}

/** The program: the queue of the packet. R6 is the context, R7 the length of the IP header, R8 the flags and then the entry, R9 the flow's hash. */
export function laneProgram(table: number): Uint8Array {
	const a = new Assembler();
	a.move(R6, R1);
	a.load("w", R4, R6, SKB_PROTOCOL).jump("!=", R4, swap16(TYPE_IPV4), "lane");
	// What is cut short goes by the main queue.
	copyToStack(a, 0, IP_AT, IPV4, "main");
	a.load("h", R4, R10, IP_AT + FRAGMENT).jump("&", R4, swap16(0x3fff), "main");
	a.load("b", R4, R10, IP_AT + PROTOCOL).jump("!=", R4, TCP, "main");
	a.load("b", R7, R10, IP_AT).alu("&", R7, 15).alu("<<", R7, 2);
	copyToStack(a, R7, TCP_AT, TCP_TO_FLAGS, "main");

	// An ACK alone: no other flag of the stream's, and nothing behind its header.
	a.load("b", R8, R10, TCP_AT + FLAGS);
	a.move(R4, R8)
		.alu("&", R4, FIN | SYN | RST | ACK)
		.jump("!=", R4, ACK, "stream");
	a.load("b", R4, R10, TCP_AT + DATA_OFFSET)
		.alu(">>", R4, 4)
		.alu("<<", R4, 2)
		.alu("+", R4, R7);
	a.load("h", R5, R10, IP_AT + TOTAL)
		.fromNetwork(R5, 16)
		.jump("==", R4, R5, "lane");

	a.label("stream");
	a.load("w", R9, R10, IP_AT + SOURCE)
		.load("w", R4, R10, IP_AT + DESTINATION)
		.alu("^", R9, R4);
	a.load("w", R4, R10, TCP_AT).alu("^", R9, R4);
	a.alu32("*", R9, GOLDEN | 0).alu32(">>", R9, 32 - ENTRIES_SHIFT);
	a.store("w", R10, KEY_AT, R9);
	a.map(R1, table).move(R2, R10).alu("+", R2, KEY_AT).call(MAP_LOOKUP);
	a.jump("==", R0, 0, "main"); // never: the table has all entries
	a.move(R9, R8).move(R8, R0).call(KTIME_GET_NS);
	// Since the flow's last packet; and what it had sent since it was new, but for what is forgotten.
	a.load("dw", R4, R8, 0);
	// Another processor may have come between, with a later time.
	a.jump(">=", R0, R4, "later").move(R0, R4).label("later");
	a.store("dw", R8, 0, R0).alu("-", R0, R4).load("dw", R5, R8, 8);
	a.jump("&", R9, SYN, "new").jump(">", R0, QUIET_NS, "new");
	// Its packets are in the main queue, and none must come before them.
	a.jump(">", R5, FIRST_BYTES, "old");
	a.alu(">>", R0, LEAK_SHIFT).jump(">=", R0, R5, "new").alu("-", R5, R0).goto("old");
	a.label("new").move(R5, 0).label("old");
	a.load("w", R4, R6, SKB_LENGTH).alu("+", R5, R4).store("dw", R8, 8, R5);
	a.jump("<=", R5, FIRST_BYTES, "lane");
	a.label("main").move(R0, MAIN_QUEUE).exit();
	a.label("lane").move(R0, LANE_QUEUE).exit();
	return a.assemble();
}
