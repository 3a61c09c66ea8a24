/**
 * A whole host that a fuzz test drives: frames and runs of frames in, time, and calls of the application.
 *
 * The other side has no state. What it sends is aimed by reading the connection's own record ("the next number expected, less
 * three"), so that wild segments still reach every branch of the protocol. One host serves many runs; each run ends with
 * `finish`, after which nothing may be left.
 *
 * Slots name connections: 0 to 3 come to a listener, 4 and 5 are opened by the host, 6 comes to the listener for all ports, 7 goes
 * where nobody listens.
 */
import assert from "node:assert/strict";
import { MillraceError } from "../../src/errors.ts";
import {
	createHost,
	type Host,
	type HostOptions,
	type SocketEvents,
	type TcpListener,
	type TcpRequest,
	type TcpSocket,
} from "../../src/host/host.ts";
import type { IpCounters } from "../../src/ip/counters.ts";
import { FrameCompleter } from "../../src/link/complete.ts";
import { frameEntries } from "../../src/link/frames.ts";
import type { Link, LinkContext, LinkOffload } from "../../src/link/link.ts";
import { type Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import { SECOND, type VirtualRuntime, VirtualTime } from "../../src/sim/runtime.ts";
import { Trace } from "../../src/sim/trace.ts";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import type { TcpCounters } from "../../src/tcp/counters.ts";
import type { Tcp } from "../../src/tcp/engine.ts";
import { C_TS, ESTABLISHED, STATE_NAMES, SYN_SENT } from "../../src/tcp/state.ts";
import { SeededRandom } from "../../src/time/random.ts";
import { formatIpv4 } from "../../src/wire/address.ts";
import { Invariants } from "./invariants.ts";
import { decode, encode, encodeIcmp, type Options, type Segment } from "./segment.ts";

const OWN = 0x0a000001;
const PEER = 0x0a000002;
const LISTEN = 80;
export const SLOTS = 8;

/** Where a received packet ends at IP; the sum is what was received. */
const IP_FATES: readonly (keyof IpCounters)[] = [
	"delivered",
	"unknownProtocol",
	"chained",
	"tooShort",
	"ipv6",
	"badVersion",
	"badHeaderLength",
	"badLength",
	"badChecksum",
	"sourceRouted",
	"martianSource",
	"martianDestination",
	"notOurs",
	"fragments",
];
/** Where a segment ends that belongs to no connection. */
const TCP_FATES: readonly (keyof TcpCounters)[] = [
	"badHeader",
	"badChecksum",
	"badAddress",
	"badOptions",
	"strayResets",
	"noListener",
	"badAck",
	"noAck",
	"acceptBacklogFull",
	"synBacklogFull",
	"connectionsFull",
	"duplicateSegments",
	"passiveOpens",
	// Of a TIME-WAIT record: any other counts the segment itself, too.
	"resetsIn",
];

interface Entry {
	bytes: Uint8Array;
	flags: number;
}

/** The link: what is injected waits for `receive`; what is sent is looked at and dropped. */
class FuzzLink implements Link {
	readonly name = "fuzz";
	readonly medium = "ip";
	readonly mtu = 1500;
	readonly offload: LinkOffload | undefined;
	/** Sees each segment that is sent. */
	segment: (segment: Segment) => void = () => {};
	readonly #completer = new FrameCompleter("ip");
	readonly incoming: Entry[] = [];
	/** The packet sent last, for ICMP errors about it. */
	last: Uint8Array | undefined;
	sent = 0;
	/** Pages that a slow link keeps. */
	readonly kept: number[] = [];
	/** Where the slices among them lie, and what they held. */
	readonly #slices: [number, Uint8Array][] = [];
	slow = false;
	#context: LinkContext | undefined;

	constructor(segmentation: boolean, longPieces: boolean) {
		this.offload = segmentation ? { checksum: true, segmentation: 65000, longPieces } : undefined;
	}

	open(context: LinkContext): void {
		this.#context = context;
	}

	inject(entries: readonly Entry[]): void {
		this.incoming.push(...entries);
		this.#context!.wake();
	}

	receive(batch: Batch): number {
		const { pool, runtime } = this.#context!;
		let taken = 0;
		while (this.incoming.length > 0) {
			// A run stays in one batch, as links promise.
			let run = 1;
			while ((this.incoming[run - 1]!.flags & FRAME_MORE) !== 0 && run < this.incoming.length) run++;
			if (batch.count + run > batch.capacity || pool.free < run) break;
			for (const { bytes, flags } of this.incoming.splice(0, run)) {
				const page = pool.alloc();
				const start = pool.address(page) + 62;
				pool.u8.set(bytes, start);
				batch.push(page, start, bytes.length, runtime.clock.now() | 0, flags);
				taken++;
			}
		}
		// No page is free, and none will be by itself: the frame is lost, as on a wire.
		if (taken === 0) this.incoming.length = 0;
		return taken;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		for (let i = 0, entries = 0; i < count; i += entries) {
			entries = frameEntries(batch, i);
			this.sent++;
			if ((batch.flags[i]! & FRAME_PARTIAL_CHECKSUM) === 0) {
				assert.equal(entries, 1, "a frame of several entries that is complete");
				this.#look(batch.frame(i));
			} else {
				const done = this.#completer.complete(batch, i, entries, (bytes) => this.#look(bytes));
				assert.ok(done, "a frame that cannot be completed");
			}
		}
		if (this.slow) {
			for (let i = 0; i < count; i++) {
				this.kept.push(batch.page[i]!);
				if (batch.pool.isSlice(batch.page[i]!)) this.#slices.push([batch.start[i]!, batch.frame(i).slice()]);
			}
			batch.shift(count);
		} else batch.drop(count);
		return count;
	}

	#look(bytes: Uint8Array): void {
		assert.ok(bytes.length <= this.mtu, `a packet of ${bytes.length} bytes`);
		this.last = bytes.slice();
		if (this.last[9] === 6) this.segment(decode(this.last));
	}

	/** A slow link has sent what it kept. */
	release(): void {
		for (const [start, bytes] of this.#slices.splice(0)) {
			if (Buffer.compare(this.#context!.pool.u8.subarray(start, start + bytes.length), bytes) !== 0)
				assert.fail("a slice was changed that the link still had to send");
		}
		for (const page of this.kept.splice(0)) this.#context!.pool.release(page);
	}

	flush(): void {}
	ref(): void {}
	unref(): void {}
	close(): void {
		this.release();
		this.#context = undefined;
	}
	counters(): Record<string, number> {
		return {};
	}
}

/** A segment of the peer's, aimed at a slot. Bases: see `#aim`. */
export interface Aimed {
	slot: number;
	flags: string;
	seqBase: number;
	seqOffset: number;
	ackBase: number;
	ackOffset: number;
	window: number;
	length: number;
	options: number;
	/** Entries that the segment comes in, merged by the link; 1: a frame of its own. */
	pieces: number;
	/** Bytes of the packet that are overwritten, and what with; the checksums are then wrong unless the link vouches for them. */
	edits: readonly (readonly [number, number])[];
	raw: Uint8Array;
}

/** What the program does by itself when it hears of something. */
export interface Manners {
	read: boolean;
	echo: boolean;
	closeOnEnd: boolean;
	cutOnConnect: boolean;
}

function patternByte(offset: number): number {
	return ((offset * 31) ^ (offset >>> 8)) & 255;
}

/** One socket's side of the program, which also holds the socket layer to its promises. */
class Program implements SocketEvents {
	socket!: TcpSocket;
	readonly #host: FuzzHost;
	readonly #active: boolean;
	#position = 0;
	/** What the stack took of it. */
	readonly #sent: Uint8Array[] = [];
	#written = 0;
	#over = false;
	#connected = false;
	#ended = false;

	constructor(host: FuzzHost, active: boolean) {
		this.#host = host;
		this.#active = active;
	}

	#told(what: string): void {
		assert.ok(!this.#over, `${what} after the end`);
		assert.ok(!this.#host.calling, `${what} from inside a call`);
	}

	connected(): void {
		this.#told("connected");
		assert.ok(this.#active && !this.#connected, "connected twice, or without asking");
		this.#connected = true;
		if (this.#host.manners.cutOnConnect) this.cut(false);
	}

	readable(): void {
		this.#told("readable");
		assert.ok(!this.#ended, "readable after ended");
		if (this.#host.manners.read) this.read(1 << 16);
	}

	writable(): void {
		this.#told("writable");
		if (this.#host.manners.echo) this.write(3000);
	}

	ended(): void {
		this.#told("ended");
		assert.equal(this.socket.available, 0, "ended with bytes unread");
		assert.ok(!this.#ended, "ended twice");
		this.#ended = true;
		if (this.#host.manners.closeOnEnd) this.cut(true);
	}

	closed(): void {
		this.#told("closed");
		this.#over = true;
		assert.ok(!this.socket.alive);
	}

	read(most: number): void {
		const before = this.socket.available;
		const bytes = this.socket.read(most);
		assert.equal(bytes?.length ?? 0, Math.min(before, most, 65536));
		if (bytes === null) return;
		if (!this.#host.dirty) {
			for (let i = 0; i < bytes.length; i++) {
				if (bytes[i] !== patternByte(this.#position + i)) assert.fail(`byte ${this.#position + i} of the stream is wrong`);
			}
		}
		this.#position += bytes.length;
		if (this.#host.manners.echo) this.#write(bytes);
	}

	write(length: number): void {
		const bytes = new Uint8Array(length);
		for (let i = 0; i < length; i++) bytes[i] = patternByte(this.#written + i);
		this.#write(bytes);
	}

	#write(bytes: Uint8Array): void {
		const taken = this.socket.write(bytes);
		this.#sent.push(bytes.slice(0, taken));
		this.#written += taken;
	}

	/** Whether these bytes leave as they were written, `at` bytes behind the first one. */
	left(at: number, bytes: Uint8Array): void {
		if (this.#sent.length > 1) this.#sent.splice(0, this.#sent.length, Buffer.concat(this.#sent));
		const all = this.#sent[0] ?? new Uint8Array(0);
		if (at < 0 || Buffer.compare(bytes, all.subarray(at, at + bytes.length)) !== 0)
			assert.fail(`bytes ${at} to ${at + bytes.length} that were sent are not those that were written`);
	}

	/** Ends it from this side. */
	cut(good: boolean): void {
		if (this.socket.alive) this.#over = true;
		if (good) this.socket.close();
		else this.socket.abort();
		assert.ok(!this.socket.alive);
	}
}

const endsOf = (...ends: (string | number)[]): string => ends.join();

export interface FuzzOptions extends Partial<HostOptions> {
	segmentation?: boolean;
	/** The link takes slices. */
	longPieces?: boolean;
	/** First microsecond. */
	start?: number;
}

export class FuzzHost {
	readonly host: Host;
	readonly tcp: Tcp;
	readonly invariants: Invariants;
	readonly link: FuzzLink;
	manners: Manners = { read: true, echo: false, closeOnEnd: false, cutOnConnect: false };
	/** Bytes on the wire were altered behind the checksum: streams are no longer known. */
	dirty = false;
	/** A call of the application is under way: no event may come. */
	calling = false;
	/** Frames and merged runs that were put in. */
	frames = 0;
	readonly #time: VirtualTime;
	readonly #runtime: VirtualRuntime;
	readonly #programs: (Program | undefined)[] = new Array(SLOTS).fill(undefined);
	readonly #all: Program[] = [];
	/** The program of the latest connection between each two ends: an altered frame may come from, or go to, whichever port. */
	readonly #byEnds = new Map<string, Program>();
	/** The highest number that each connection has sent up to. */
	readonly #highest = new Map<string, number>();
	/** Where the window of each connection ended when the turn began. */
	readonly #edges = new Map<string, number>();
	/** What the frames of this turn acknowledge. */
	readonly #acks = new Set<number>();
	readonly #requests: TcpRequest[] = [];
	#listener: TcpListener | undefined;
	#any: { close(): void } | undefined;

	constructor({ segmentation = false, longPieces = false, start = SECOND, ...options }: FuzzOptions = {}) {
		this.link = new FuzzLink(segmentation, longPieces);
		this.link.segment = (segment) => this.#left(segment);
		this.#time = new VirtualTime(new Trace(), start);
		this.#runtime = this.#time.runtime(new SeededRandom(1));
		this.host = createHost({
			memory: 1 << 20,
			...options,
			tcp: { maxConnections: 12, maxTimeWait: 3, synBacklog: 3, ...options.tcp },
			link: this.link,
			addresses: ["10.0.0.1/24"],
			runtime: this.#runtime,
		});
		this.tcp = this.host.shard.tcp;
		this.invariants = new Invariants(this.tcp);
		this.turn();
	}

	/** Listeners as every run begins with. */
	begin(manners: Manners): void {
		this.manners = manners;
		this.dirty = false;
		this.#listen();
		this.#listenAny();
	}

	#program(slot: number, active: boolean): Program {
		const program = new Program(this, active);
		this.#programs[slot] = program;
		this.#all.push(program);
		return program;
	}

	#listen(): void {
		if (this.#listener !== undefined) return;
		this.#listener = this.host.tcpListen({ port: LISTEN, backlog: 3 });
		this.#listener.onconnection = (socket) => {
			const program = this.#program((socket.remotePort - 5000) & 7, false);
			program.socket = socket;
			this.#know(program, socket);
			socket.events = program;
			if (this.manners.cutOnConnect) program.cut(true);
		};
	}

	#listenAny(): void {
		this.#any ??= this.host.tcpListenAny((request) => {
			this.#requests.push(request);
		});
	}

	/** A segment leaves: with the bytes that its connection was given. */
	#left({ src, dst, srcPort, dstPort, seq, flags, payload }: Segment): void {
		const found = this.tcp.table.lookup(0, 0, 0xffff, src | 0, srcPort, 0, 0, 0xffff, dst | 0, dstPort);
		if (found >= 0) this.#within(this.tcp.at(found), seq, flags, payload.length);
		if (payload.length === 0) return;
		const program = this.#byEnds.get(endsOf(formatIpv4(src), srcPort, formatIpv4(dst), dstPort));
		if (found < 0 || program === undefined) return;
		assert.ok(!flags.includes("S"));
		program.left((seq - this.tcp.at(found).iss - 1) | 0, payload);
	}

	/** Nothing new leaves beyond the peer's window but a probe, and what has no text not even when a probe is out (RFC 9293 3.8.6). */
	#within(c: Connection, seq: number, flags: string, length: number): void {
		if (c.state < ESTABLISHED) return;
		const edge = (c.sndUna + c.sndWnd) | 0;
		const span = length + (flags.includes("F") ? 1 : 0);
		const end = (seq + span) | 0;
		if (span === 0) {
			// RFC 9293 3.5.2: a reset without an ACK has its number from the segment that it answers; a good one may have come in the same turn.
			if (flags === "R" && this.#acks.has(seq | 0)) return;
			// What seems to be beyond it by less than its unit may only be so by rounding (RFC 7323 2.4). The answer to a frame that another one
			// of its turn has overtaken is from within the window of before.
			const before = this.#edges.get(`${c.index} ${c.generation}`) ?? edge;
			if (((seq - edge) | 0) >= 1 << c.sndScale && ((seq - before) | 0) > 0)
				assert.fail(`${flags} from ${(seq - edge) | 0} beyond the window`);
			return;
		}
		const key = `${c.index} ${c.generation}`;
		const highest = this.#highest.get(key) ?? c.iss;
		if (((end - highest) | 0) <= 0) return;
		this.#highest.set(key, end);
		const probes = (c.retries >> 16) & 0xff;
		if (((end - edge) | 0) > 0 && probes === 0) assert.fail(`${flags} ${length} bytes, up to ${(end - edge) | 0} beyond the window`);
	}

	/** Notes whose bytes the segments of a connection are. */
	#know(program: Program, { localAddress, localPort, remoteAddress, remotePort }: TcpSocket): void {
		this.#byEnds.set(endsOf(localAddress, localPort, remoteAddress, remotePort), program);
	}

	/** Lets everything happen that is due now. */
	turn(): void {
		this.#edges.clear();
		for (let index = 0; index < this.tcp.table.touched; index++) {
			const c = this.tcp.at(index);
			if (c.state >= ESTABLISHED) this.#edges.set(`${c.index} ${c.generation}`, (c.sndUna + c.sndWnd) | 0);
		}
		this.#time.advance(this.#time.now(), 100_000);
		this.#acks.clear();
		this.check();
	}

	advance(us: number): void {
		this.#time.advance(this.#time.now() + us, 1_000_000);
		this.#acks.clear();
		this.check();
	}

	check(): void {
		this.invariants.check(!this.tcp.busy);
		const held = this.invariants.pages;
		const { due } = this.invariants;
		const timeWait = this.tcp.table.expireTimeWait(this.tcp.tick);
		const earliest = timeWait < 0 ? due : Math.min(due, timeWait);
		// One tick more than what is past: it waits for the next turn.
		if ((Math.floor(this.tcp.nowFull / 1000) + Math.max(earliest, 1)) * 1000 < this.#time.next)
			assert.fail("a deadline, and no alarm that wakes the host for it");
		const { inUse } = this.host.shard.pool;
		// Pages that the slow link keeps are partly the connections' own.
		const { slabs, slabsFree } = this.host.shard.pool;
		const slabsHeld = this.invariants.slabs;
		if (slabs - slabsFree < slabsHeld || slabs - slabsFree > slabsHeld + this.link.kept.length)
			assert.fail(`${slabs - slabsFree} slabs in use, ${slabsHeld} of them with connections`);
		if (inUse < held || inUse > held + this.link.kept.length) assert.fail(`${inUse} pages in use, ${held} of them with connections`);
	}

	/** The record of a slot's connection, or undefined. */
	record(slot: number): Connection | undefined {
		const { local, remote } = this.#ports(slot);
		const found = this.tcp.table.lookup(0, 0, 0xffff, OWN, local, 0, 0, 0xffff, PEER, remote);
		return found >= 0 ? this.tcp.at(found) : undefined;
	}

	state(slot: number): string {
		return STATE_NAMES[this.record(slot)?.state ?? 0]!;
	}

	#ports(slot: number): { local: number; remote: number } {
		if (slot < 4) return { local: LISTEN, remote: 5000 + slot };
		if (slot < 6) return { local: 40_000 + slot, remote: 9000 + slot };
		return { local: slot === 6 ? 999 : 0x7fff, remote: 5000 + slot };
	}

	/** Numbers of a segment from what the connection holds. */
	#aim(aimed: Aimed): Segment {
		const { local, remote } = this.#ports(aimed.slot);
		const c = this.record(aimed.slot);
		let seq = aimed.seqOffset;
		let ack = aimed.ackOffset;
		const { pool } = this.host.shard;
		if (c !== undefined) {
			const early = c.oooTail === 0 ? c.rcvNxt : (pool.seq(c.oooTail) + pool.length(c.oooTail)) | 0;
			seq += [c.rcvNxt, c.rcvNxt, c.rcvNxt, c.rcvAdv, c.irs, early, 0][aimed.seqBase]!;
			const first = c.sndHead === 0 ? c.sndUna : (pool.seq(c.sndHead) + pool.length(c.sndHead)) | 0;
			ack += [c.sndNxt, c.sndNxt, c.sndUna, c.iss, first, c.sndEnd, 0][aimed.ackBase]!;
		}
		const payload = new Uint8Array(aimed.length);
		// A SYN takes a number of its own, and where none was seen before, the stream begins behind it.
		const syn = aimed.flags.includes("S") ? 1 : 0;
		const from = c === undefined || c.state === SYN_SENT ? 0 : seq + syn - (c.irs + 1);
		for (let i = 0; i < payload.length; i++) payload[i] = patternByte((from + i) | 0);
		return {
			src: PEER,
			dst: OWN,
			srcPort: remote,
			dstPort: local,
			seq: seq >>> 0,
			ack: ack >>> 0,
			flags: aimed.flags,
			window: aimed.window,
			urgent: 0,
			options: this.#options(aimed, c),
			payload,
			ttl: 64,
		};
	}

	#options(aimed: Aimed, c: Connection | undefined): Options {
		const tick = Math.floor(this.#time.now() / 1000);
		const ts = { val: tick >>> 0, ecr: c === undefined ? 0 : (tick - 1 + c.tsOffset) >>> 0 };
		const una = c?.sndUna ?? 0;
		const sack = (from: number, to: number): [number, number] => [(una + from) >>> 0, (una + to) >>> 0];
		const usual: Options = c !== undefined && (c.flags & C_TS) !== 0 ? { ts } : {};
		switch (aimed.options) {
			case 1:
				return { mss: 1460, sackPermitted: true, wscale: 7, ts };
			case 2:
				return { mss: 100, sackPermitted: true };
			case 3:
				return { ts: { val: (ts.val - 100_000) >>> 0, ecr: ts.ecr } };
			case 4: {
				const end = c === undefined ? 3000 : (c.sndNxt - c.sndUna) | 0;
				// From the second page on.
				const first = c === undefined || c.sndHead === 0 ? 1448 : this.host.shard.pool.length(c.sndHead);
				return { ...usual, sack: [sack(Math.min(first, end >> 1), end)] };
			}
			case 5:
				return { ...usual, sack: [sack(2896, 4344), sack(-1448, 0), sack(1448, 1 << 30)] };
			case 6:
				return { raw: aimed.raw };
			case 8: {
				// Anywhere in what is out, three blocks.
				const out = c === undefined ? 3000 : Math.max((c.sndNxt - c.sndUna) | 0, 1);
				const at = (n: number) => Math.abs(Math.imul(aimed.seqOffset + 7 * n, 0x9e3779b1)) % out;
				const block = (n: number) => sack(Math.min(at(n), at(n + 1)), Math.max(at(n), at(n + 1)) + 1);
				return { ...usual, sack: [block(1), block(3), block(5)] };
			}
			case 7:
				return { ...usual, sack: [sack(-100, 0), sack(100, 101)] };
			default:
				return usual;
		}
	}

	/** Puts a segment in; `together` leaves the turn to the next one. */
	segment(aimed: Aimed, together = false): void {
		const segment = this.#aim(aimed);
		const bytes = encode(segment);
		const header = bytes.length - segment.payload.length;
		const entries: Entry[] = [];
		const vouched = aimed.pieces > 1 || aimed.edits.length > 0;
		if (aimed.pieces > 1) {
			const piece = Math.max(1, Math.min(Math.ceil(segment.payload.length / aimed.pieces), 1400));
			for (let at = header; at < bytes.length || at === header; at += piece) {
				const end = Math.min(at + piece, bytes.length);
				const more = end < bytes.length ? FRAME_MORE : 0;
				entries.push({ bytes: bytes.slice(at === header ? 0 : at, end), flags: FRAME_CHECKED | more });
			}
		} else entries.push({ bytes: bytes.subarray(0, 1500), flags: vouched ? FRAME_CHECKED : 0 });
		for (const [at, value] of aimed.edits) if (at < entries[0]!.bytes.length) entries[0]!.bytes[at] = value;
		if (aimed.edits.length > 0) this.dirty = true;
		this.inject(entries, together);
	}

	/** Puts raw frames in. */
	inject(entries: readonly Entry[], together = false): void {
		this.frames++;
		if (together) {
			this.#put(entries);
			return;
		}
		this.turn();
		const before = this.#fates();
		this.#put(entries);
		this.turn();
		const after = this.#fates();
		assert.equal(after.ip - before.ip, after.received - before.received, "frames with more or less than one fate at IP");
		const segments = after.segments - before.segments;
		if (segments === 1 && after.passive === before.passive && after.touched === before.touched) {
			const fates = after.tcp - before.tcp;
			const taken = after.taken - before.taken;
			// A connection opened meanwhile forgets what its record counted before.
			if (taken >= 0 && !(taken === 1 || (taken === 0 && fates === 1)))
				assert.fail(`a segment with ${fates} fates, taken in ${taken} times`);
		}
	}

	#put(entries: readonly Entry[]): void {
		for (const { bytes } of entries) {
			const at = ((bytes[0] ?? 0) & 15) * 4 + 8;
			if (bytes.length >= at + 4) this.#acks.add(new DataView(bytes.buffer, bytes.byteOffset).getInt32(at));
		}
		this.link.inject(entries);
	}

	#fates() {
		const { ip, tcp } = this.host.shard;
		let taken = 0;
		for (let index = 0; index < tcp.table.touched; index++) taken += tcp.at(index).segmentsIn;
		return {
			received: ip.counters.received,
			ip: IP_FATES.reduce((sum, name) => sum + ip.counters[name], 0),
			segments: tcp.counters.segmentsIn,
			tcp: TCP_FATES.reduce((sum, name) => sum + tcp.counters[name], 0),
			passive: tcp.counters.passiveOpens,
			touched: tcp.table.touched,
			taken,
		};
	}

	/** An ICMP error about the packet sent last. */
	icmp(code: number, rest: number): void {
		if (this.link.last === undefined) return;
		this.inject([{ bytes: encodeIcmp(PEER, 3, code, this.link.last, rest), flags: 0 }]);
	}

	/** A handshake by the book. */
	establish(slot: number, options: number): void {
		const book = { slot, window: 65535, length: 0, pieces: 1, edits: [], raw: new Uint8Array(0) };
		const numbers = { seqBase: 0, seqOffset: 0, ackBase: 0, ackOffset: 0 };
		if (slot === 4 || slot === 5) {
			this.call("connect", slot, 0);
			this.segment({ ...book, ...numbers, flags: "S.", options });
		} else {
			this.segment({ ...book, ...numbers, flags: "S", seqOffset: 1000 + slot, options });
			if (slot === 6) this.call("proceed", slot, 0);
			this.segment({ ...book, ...numbers, flags: ".", options: 0 });
		}
	}

	/** A call of the application. */
	call(name: string, slot: number, amount: number): void {
		this.calling = true;
		try {
			this.#call(name, slot, amount);
		} catch (error) {
			if (!(error instanceof MillraceError) || !/^(EADDR|ENOBUFS)/.test(error.code)) throw error;
		}
		this.calling = false;
		this.turn();
	}

	#call(name: string, slot: number, amount: number): void {
		const program = this.#programs[slot];
		switch (name) {
			case "connect": {
				if (slot !== 4 && slot !== 5) return;
				const { local, remote } = this.#ports(slot);
				const events = new Program(this, true);
				events.socket = this.host.tcpConnect({ address: "10.0.0.2", port: remote, localPort: local }, events);
				this.#programs[slot] = events;
				this.#know(events, events.socket);
				this.#all.push(events);
				return;
			}
			case "proceed": {
				const request = this.#requests.shift();
				if (request === undefined) return;
				const events = new Program(this, true);
				const socket = request.accept(events);
				if (socket === null) return;
				events.socket = socket;
				this.#programs[6] = events;
				this.#know(events, socket);
				this.#all.push(events);
				return;
			}
			case "refuse":
				return this.#requests.shift()?.refuse();
			case "listen":
				this.#listen();
				return this.#listenAny();
			case "unlisten":
				this.#listener?.close();
				this.#listener = undefined;
				return;
			case "unlistenAny":
				this.#any?.close();
				this.#any = undefined;
				return;
			case "slow":
				this.link.slow = !this.link.slow;
				return this.link.release();
			case "read":
				return program?.read(amount);
			case "write":
				return program?.write(amount);
			case "finish":
				return program?.socket.finish();
			case "close":
				return program?.cut(true);
			case "abort":
				return program?.cut(false);
			case "nodelay":
				return program?.socket.setNoDelay(amount % 2 === 0);
			case "keepalive":
				return program?.socket.setKeepAlive(amount % 3 !== 0, 1 + (amount % 100));
			default:
				throw new Error(`no such call: ${name}`);
		}
	}

	/** Ends the run: all is given up, time passes, and nothing may be left. */
	finish(good: boolean): void {
		this.manners = { read: true, echo: false, closeOnEnd: true, cutOnConnect: true };
		this.link.slow = false;
		this.link.release();
		this.#listener?.close();
		this.#any?.close();
		this.#listener = undefined;
		this.#any = undefined;
		for (const request of this.#requests.splice(0)) request.refuse();
		for (const program of this.#all.splice(0)) program.cut(good);
		this.#programs.fill(undefined);
		this.turn();
		// Beyond all back-off, whatever the peer does not say any more.
		this.advance(2 * 3600 * SECOND);
		this.invariants.empty();
		assert.equal(this.host.stats().connections.total, 0);
		assert.equal(this.#runtime.pending, 0, "alarms or tasks left");
	}
}
