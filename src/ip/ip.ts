/**
 * The IP layer of one shard: IPv4 over Ethernet or over bare IP packets.
 *
 * Hides the network from the transports: addresses, routes, neighbors, headers. Inward, a frame passes the checks of
 * RFC 1122 3.2.1 in the order of its bytes and reaches a transport by its protocol number, or ends under a name in the
 * counters. Outward, the header is written into the head room in front of the segment and the packet goes to the link, to
 * the queue of a neighbor that is being resolved, or, if it is for ourselves, to a queue that `pump` empties: a transport
 * is never entered from inside its own output.
 *
 * Ownership: `input` and `output` take over the references they are given; a transport that returns true took over the
 * page's. A packet to ourselves whose page somebody else holds too (a transport that may send it again) is copied first,
 * since receiver and sender would both use its descriptor.
 *
 * A frame that a link merged from several TCP segments runs over several pages: ip looks at the first, where all headers
 * are, and TCP takes the rest from the batch. The other way, `outputRun` sends a segment that the link will cut.
 */
import { MillraceError } from "../errors.ts";
import { type Batch, FRAME_CHECKED, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import { MAPPED } from "../wire/address.ts";
import { get16, get32 } from "../wire/bytes.ts";
import { checksum } from "../wire/checksum.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL_TCP } from "../wire/tcp.ts";
import { Arp } from "./arp.ts";
import { IpCounters } from "./counters.ts";
import { LoopQueue } from "./loop-queue.ts";
import type { Neighbors } from "./neighbors.ts";
import { type AddressOption, type RouteOption, Routes } from "./routes.ts";
import type { IpPacket, Outbox, Transport, Unreachable } from "./transport.ts";

export type { Outbox };

export interface IpOptions {
	pool: PagePool;
	runtime: Runtime;
	/** What frames begin with. */
	medium: "ethernet" | "ip";
	/** Largest IP packet, bytes; at least 68 (RFC 791 3.2). */
	mtu: number;
	/** Own hardware address, 6 bytes; must be given for Ethernet. */
	mac?: Uint8Array;
	/** Frames that are sent come back: packets to ourselves, 127.0.0.0/8 included, then cross the link. */
	loopbackLink?: boolean;
	/** Own addresses, such as "10.77.0.2/24". */
	addresses: readonly AddressOption[];
	routes?: readonly RouteOption[];
	/** Take packets to any host's address as if it were our own: for gateways. */
	acceptAny?: boolean;
	/** Time to live of packets sent; default 64. */
	ttl?: number;
	/** Packets to ourselves that wait for `pump`; default 1024. */
	loopMax?: number;
	/** Neighbors kept; default 512. */
	neighborsMax?: number;
	out: Outbox;
}

/** 127.0.0.1. */
const LOCALHOST = 0x7f000001;
/** In the loop queue's flags: the packet is kept to be told unreachable, not to be received. */
const REFUSED = 1 << 30;

export class IpLayer {
	readonly counters: IpCounters = new IpCounters();
	readonly routes: Routes;
	/** On Ethernet: who has which hardware address. */
	readonly neighbors: Neighbors;
	/** Called when the first packet to ourselves waits for `pump`. */
	onWork?: () => void;
	/** Called with a packet that no transport is registered for. Only to look at: ip releases it. */
	onUnknownProtocol?: (packet: IpPacket) => void;

	readonly #pool: PagePool;
	readonly #u8: Uint8Array;
	readonly #runtime: Runtime;
	readonly #out: Outbox;
	readonly #ethernet: boolean;
	readonly #mtu: number;
	readonly #macHigh: number = 0;
	readonly #macLow: number = 0;
	readonly #loopbackLink: boolean;
	readonly #acceptAny: boolean;
	readonly #ttl: number;
	readonly #transports: (Transport | undefined)[] = new Array<Transport | undefined>(256).fill(undefined);

	/** Where the last packet went, good while `neighbors.changes` stands; 0.0.0.0 is nobody's address. */
	#flow = 0;
	#flowHigh = 0;
	#flowLow = 0;
	#flowChanges = -1;

	readonly #arp: Arp;
	readonly #loop: LoopQueue;

	/** The addresses of the last packet that was for us alone, once there was one: those of the next are most likely the same. */
	#addressedBefore = false;
	#lastSource = 0;
	#lastDestination = 0;
	/** What `#addressed` has found out. */
	#broadcast = false;

	/** Inside a run that is being dropped. */
	#cut = false;

	readonly #packet: IpPacket = {
		version: 4,
		page: 0,
		start: 0,
		length: 0,
		more: 0,
		batch: null,
		firstMore: 0,
		lastMore: 0,
		time: 0,
		flags: 0,
		src0: 0,
		src1: 0,
		src2: MAPPED,
		src3: 0,
		dst0: 0,
		dst1: 0,
		dst2: MAPPED,
		dst3: 0,
		protocol: 0,
		ttl: 0,
		headerStart: 0,
		broadcast: false,
	};
	readonly #error: Unreachable = { reason: "neighbor", mtu: 0, dst3: 0, src3: 0, protocol: 0, srcPort: 0, dstPort: 0, seq: 0 };

	/** @throws MillraceError for addresses, routes, MTU or hardware address that cannot work. */
	constructor(options: IpOptions) {
		const { pool, mac, mtu } = options;
		this.#pool = pool;
		this.#u8 = pool.u8;
		this.#runtime = options.runtime;
		this.#out = options.out;
		this.#ethernet = options.medium === "ethernet";
		if (!(mtu >= 68 && mtu <= 65535))
			throw new MillraceError("MILLRACE_MTU", `MTU of ${mtu} bytes: IPv4 needs 68 to 65535; give the link another`);
		this.#mtu = mtu;
		if (this.#ethernet) {
			if (mac?.length !== 6 || ethernet.isGroup(ethernet.macHigh(mac, 0))) {
				throw new MillraceError(
					"MILLRACE_MAC",
					"an Ethernet link needs a hardware address of 6 bytes that is no group address, such as 02:00:0a:4d:00:02",
				);
			}
			this.#macHigh = ethernet.macHigh(mac, 0);
			this.#macLow = ethernet.macLow(mac, 0);
		}
		this.#loopbackLink = options.loopbackLink ?? false;
		this.#acceptAny = options.acceptAny ?? false;
		this.#ttl = options.ttl ?? 64;
		this.#loop = new LoopQueue(options.loopMax ?? 1024);
		this.routes = new Routes(options.addresses, options.routes ?? [], this.#ethernet);
		this.#arp = new Arp({
			pool,
			runtime: options.runtime,
			out: options.out,
			counters: this.counters,
			routes: this.routes,
			macHigh: this.#macHigh,
			macLow: this.#macLow,
			waiting: {
				transmit: (page, start, length, flags, high, low) => this.#transmit(page, start, length, flags, high, low),
				failed: (page, start) => {
					this.counters.waitFailed++;
					this.#tellUnreachable(start);
					pool.release(page);
				},
				refused: (page, start, length) => this.#keep(page, start, length, REFUSED),
				discard: (page) => pool.release(page),
			},
			neighborsMax: options.neighborsMax ?? 512,
			announce: this.#ethernet && !this.#loopbackLink,
		});
		this.neighbors = this.#arp.neighbors;
	}

	/** Makes a transport receive the packets of a protocol, and hear of those it sent that could not be delivered. */
	register(protocol: number, transport: Transport): void {
		this.#transports[protocol] = transport;
	}

	/** The transport of a protocol. */
	transport(protocol: number): Transport | undefined {
		return this.#transports[protocol];
	}

	// Inward.

	/** Receives all frames of a batch, which is empty afterwards. */
	input(batch: Batch): void {
		const pool = this.#pool;
		const { count } = batch;
		for (let i = 0; i < count; i++) {
			const page = batch.page[i]!;
			const flags = batch.flags[i]!;
			if (this.#cut) {
				// The rest of a run that the end of the last batch cut.
				this.#cut = (flags & FRAME_MORE) !== 0;
				pool.release(page);
				continue;
			}
			this.counters.received++;
			if ((flags & FRAME_MORE) !== 0) {
				i = this.#run(batch, i, count);
				continue;
			}
			const start = batch.start[i]!;
			const length = batch.length[i]!;
			const time = batch.time[i]!;
			const kept = this.#ethernet ? this.#frame(page, start, length, time, flags) : this.#datagram(page, start, length, time, flags, false);
			if (!kept) pool.release(page);
		}
		batch.count = 0;
	}

	/** A frame that runs over several entries, from entry `first` on; returns its last entry. */
	#run(batch: Batch, first: number, count: number): number {
		const pool = this.#pool;
		const packet = this.#packet;
		let last = first;
		let more = 0;
		while ((batch.flags[last]! & FRAME_MORE) !== 0 && last + 1 < count) {
			last++;
			more += batch.length[last]!;
		}
		const page = batch.page[first]!;
		const flags = batch.flags[first]!;
		let kept = false;
		// A link that merges frames has verified them, and keeps each run within one batch.
		this.#cut = (batch.flags[last]! & FRAME_MORE) !== 0;
		if ((flags & FRAME_CHECKED) === 0 || this.#cut) this.counters.chained++;
		else {
			packet.more = more;
			packet.batch = batch;
			packet.firstMore = first + 1;
			packet.lastMore = last;
			const start = batch.start[first]!;
			const length = batch.length[first]!;
			const time = batch.time[first]!;
			kept = this.#ethernet ? this.#frame(page, start, length, time, flags) : this.#datagram(page, start, length, time, flags, false);
			packet.more = 0;
			packet.batch = null;
		}
		if (!kept) pool.release(page);
		for (let i = first + 1; i <= last; i++) pool.release(batch.page[i]!);
		return last;
	}

	/** An Ethernet frame. True if a transport took over the page. */
	#frame(page: number, start: number, length: number, time: number, flags: number): boolean {
		const u8 = this.#u8;
		const { counters } = this;
		if (length < ethernet.ETHERNET_HEADER) {
			counters.tooShort++;
			return false;
		}
		const high = ethernet.destinationHigh(u8, start);
		const group = ethernet.isGroup(high);
		if (!group && (high !== this.#macHigh || ethernet.destinationLow(u8, start) !== this.#macLow)) {
			counters.otherStation++;
			return false;
		}
		if (ethernet.isGroup(ethernet.sourceHigh(u8, start))) {
			counters.badStation++;
			return false;
		}
		const at = start + ethernet.ETHERNET_HEADER;
		const rest = length - ethernet.ETHERNET_HEADER;
		switch (ethernet.etherType(u8, start)) {
			case ethernet.ETHERTYPE_IPV4:
				return this.#datagram(page, at, rest, time, flags, group);
			case ethernet.ETHERTYPE_ARP:
				this.#arp.input(at, rest);
				return false;
			case ethernet.ETHERTYPE_IPV6:
				counters.ipv6++;
				return false;
			default:
				counters.unknownType++;
				return false;
		}
	}

	/** An IP packet at `at`, in `room` bytes. True if a transport took over the page. */
	#datagram(page: number, at: number, room: number, time: number, flags: number, group: boolean): boolean {
		const u8 = this.#u8;
		const { counters } = this;
		if (room < ipv4.IPV4_HEADER) {
			counters.tooShort++;
			return false;
		}
		// RFC 1122 3.2.1.1: version.
		const version = ipv4.version(u8, at);
		if (version !== 4) {
			if (version === 6) counters.ipv6++;
			else counters.badVersion++;
			return false;
		}
		const header = ipv4.headerLength(u8, at);
		if (header < ipv4.IPV4_HEADER || header > room) {
			counters.badHeaderLength++;
			return false;
		}
		// What is behind the total length is Ethernet's padding.
		const { more } = this.#packet;
		const length = ipv4.totalLength(u8, at) - more;
		if (length < header || length > room || (more > 0 && length !== room)) {
			counters.badLength++;
			return false;
		}
		// RFC 1122 3.2.1.2: checksum.
		if ((flags & FRAME_CHECKED) === 0 && checksum(u8, at, header, 0) !== 0) {
			counters.badChecksum++;
			return false;
		}
		// RFC 1122 3.2.1.3: addressing. 3.2.1.7: the time to live is not ours to judge.
		const source = ipv4.source(u8, at);
		const destination = ipv4.destination(u8, at);
		let broadcast = false;
		if (source !== this.#lastSource || destination !== this.#lastDestination || !this.#addressedBefore) {
			if (!this.#addressed(source, destination)) return false;
			broadcast = this.#broadcast;
		}
		if (group && !broadcast) {
			counters.linkBroadcast++;
			return false;
		}
		if (header > ipv4.IPV4_HEADER && ipv4.isSourceRouted(u8, at + ipv4.IPV4_HEADER, at + header)) {
			counters.sourceRouted++;
			return false;
		}
		if ((ipv4.fragmentField(u8, at) & ~ipv4.DONT_FRAGMENT & 0x7fff) !== 0) {
			counters.fragments++;
			return false;
		}
		return this.#deliver(page, at, header, length, time, flags, source, destination, broadcast);
	}

	/** Whether a packet may come from `source` and is for us at `destination`; `#broadcast` says whether for others as well. */
	#addressed(source: number, destination: number): boolean {
		const { counters, routes } = this;
		if (ipv4.isNoHost(source) || (!this.#loopbackLink && (ipv4.isLoopback(source) || routes.isOwn(source))) || routes.isBroadcast(source)) {
			counters.martianSource++;
			return false;
		}
		this.#broadcast = false;
		if (!routes.isOwn(destination)) {
			this.#broadcast = routes.isBroadcast(destination);
			if (this.#broadcast) return true;
			if (ipv4.isMulticast(destination)) {
				counters.notOurs++;
				return false;
			}
			const loopback = ipv4.isLoopback(destination);
			if (ipv4.isNoHost(destination) || (loopback && !this.#loopbackLink)) {
				counters.martianDestination++;
				return false;
			}
			if (!loopback && !this.#acceptAny) {
				counters.notOurs++;
				return false;
			}
		}
		this.#addressedBefore = true;
		this.#lastSource = source;
		this.#lastDestination = destination;
		return true;
	}

	#deliver(
		page: number,
		at: number,
		header: number,
		length: number,
		time: number,
		flags: number,
		source: number,
		destination: number,
		broadcast: boolean,
	): boolean {
		const u8 = this.#u8;
		const packet = this.#packet;
		packet.page = page;
		packet.start = at + header;
		packet.length = length - header;
		packet.time = time;
		packet.flags = flags;
		packet.src3 = source;
		packet.dst3 = destination;
		packet.protocol = ipv4.protocol(u8, at);
		packet.ttl = ipv4.timeToLive(u8, at);
		packet.headerStart = at;
		packet.broadcast = broadcast;
		const transport = this.#transports[packet.protocol];
		if (packet.more > 0 && packet.protocol !== PROTOCOL_TCP) {
			// Only TCP segments are ever merged.
			this.counters.chained++;
			return false;
		}
		if (transport === undefined) {
			this.counters.unknownProtocol++;
			this.onUnknownProtocol?.(packet);
			return false;
		}
		this.counters.delivered++;
		return transport.input(packet);
	}

	// Outward.

	/**
	 * Sends a transport's segment. Writes the IP and link headers into the head room in front of it and takes over the
	 * caller's reference on the page, whatever happens.
	 *
	 * @param start Absolute offset of the segment, with at least 34 bytes of head room.
	 * @param src An own address (or, for gateways, any), as a word.
	 * @param flags FRAME_PARTIAL_CHECKSUM or 0; passed on to the link.
	 * @returns False if there is no route. A packet that is lost otherwise is counted.
	 */
	output(page: number, start: number, length: number, src: number, dst: number, protocol: number, flags: number): boolean {
		const at = start - ipv4.IPV4_HEADER;
		const total = length + ipv4.IPV4_HEADER;
		if (total > this.#mtu) {
			this.counters.tooLong++;
			this.#pool.release(page);
			return true;
		}
		ipv4.writeIpv4Header(this.#u8, at, total, this.#ttl, protocol, src, dst);
		if (dst === this.#flow && this.#flowChanges === this.neighbors.changes) {
			this.#transmit(page, at, total, flags, this.#flowHigh, this.#flowLow);
			return true;
		}
		return this.#route(page, at, total, dst, flags);
	}

	/** Whether `outputRun` would find its way: the flow is the last one's, and its neighbor is known. */
	runs(dst: number): boolean {
		return dst === this.#flow && this.#flowChanges === this.neighbors.changes && (this.#loopbackLink || !this.#isSelf(dst));
	}

	/**
	 * Sends the beginning of a segment that the link will cut (only while `runs` says so): headers and first payload are in
	 * the page, `more` bytes follow in the entries that the caller pushes by `append`.
	 *
	 * @param segment Payload bytes of each piece that the link cuts.
	 * @param entries Number of entries, this one included.
	 */
	outputRun(
		page: number,
		start: number,
		length: number,
		more: number,
		src: number,
		dst: number,
		protocol: number,
		flags: number,
		segment: number,
		entries: number,
	): void {
		const at = start - ipv4.IPV4_HEADER;
		const here = length + ipv4.IPV4_HEADER;
		ipv4.writeIpv4Header(this.#u8, at, here + more, this.#ttl, protocol, src, dst);
		this.counters.sent++;
		if (!this.#ethernet) {
			this.#out.push(page, at, here, flags | FRAME_MORE, segment, entries);
			return;
		}
		const first = at - ethernet.ETHERNET_HEADER;
		ethernet.writeEthernetHeader(this.#u8, first, this.#flowHigh, this.#flowLow, this.#macHigh, this.#macLow, ethernet.ETHERTYPE_IPV4);
		this.#out.push(page, first, here + ethernet.ETHERNET_HEADER, flags | FRAME_MORE, segment, entries);
	}

	/** A further piece of the run that `outputRun` began. */
	append(page: number, start: number, length: number, last: boolean): void {
		this.#out.push(page, start, length, last ? 0 : FRAME_MORE, 0, 0);
	}

	/** Finds out where a packet goes that does not go where the last one went. */
	#route(page: number, at: number, total: number, dst: number, flags: number): boolean {
		if (this.#isSelf(dst)) {
			if (this.#loopbackLink) this.#transmitFlow(page, at, total, flags, dst, this.#macHigh, this.#macLow);
			else this.#loopBack(page, at, total);
			return true;
		}
		const hop = this.routes.nextHop(dst);
		if (hop === 0) {
			this.counters.noRoute++;
			this.#pool.release(page);
			return false;
		}
		if (!this.#ethernet) {
			this.#transmitFlow(page, at, total, flags, dst, 0, 0);
			return true;
		}
		const neighbor = this.neighbors.fresh(hop);
		if (neighbor !== undefined) this.#transmitFlow(page, at, total, flags, dst, neighbor.high, neighbor.low);
		else this.neighbors.send(hop, page, at, total, flags);
		return true;
	}

	#transmitFlow(page: number, at: number, total: number, flags: number, dst: number, high: number, low: number): void {
		this.#flow = dst;
		this.#flowHigh = high;
		this.#flowLow = low;
		this.#flowChanges = this.neighbors.changes;
		this.#transmit(page, at, total, flags, high, low);
	}

	/** Gives a packet whose IP header is written to the link. */
	#transmit(page: number, at: number, total: number, flags: number, high: number, low: number): void {
		this.counters.sent++;
		if (!this.#ethernet) {
			this.#out.push(page, at, total, flags);
			return;
		}
		const start = at - ethernet.ETHERNET_HEADER;
		ethernet.writeEthernetHeader(this.#u8, start, high, low, this.#macHigh, this.#macLow, ethernet.ETHERTYPE_IPV4);
		this.#out.push(page, start, total + ethernet.ETHERNET_HEADER, flags);
	}

	/** A packet to ourselves: kept for `pump`, in a page of its own. */
	#loopBack(page: number, at: number, total: number): void {
		const pool = this.#pool;
		if (pool.refs(page) === 1) {
			this.#keep(page, at, total, FRAME_CHECKED);
			return;
		}
		const copy = this.#loop.count < this.#loop.capacity ? pool.alloc() : 0;
		if (copy === 0) {
			this.counters.loopOverflow++;
		} else {
			const to = at - pool.address(page) + pool.address(copy);
			pool.copy.within(to, at, total);
			this.#keep(copy, to, total, FRAME_CHECKED);
		}
		pool.release(page);
	}

	#keep(page: number, at: number, total: number, flags: number): void {
		if (!this.#loop.put(page, at, total, flags)) {
			this.counters.loopOverflow++;
			this.#pool.release(page);
			return;
		}
		this.counters.looped++;
		if (this.#loop.count === 1) this.onWork?.();
	}

	/**
	 * Receives the packets that were sent to ourselves, and tells transports of those refused: as many as are there now.
	 *
	 * @returns How many there were.
	 */
	pump(): number {
		const loop = this.#loop;
		const { count } = loop;
		if (count === 0) return 0;
		const time = this.#runtime.clock.now() | 0;
		for (let i = 0; i < count && loop.take(); i++) {
			const { page, start, length, flags } = loop;
			if (flags === REFUSED) {
				this.counters.undeliverable++;
				this.#tellUnreachable(start);
			} else {
				const source = ipv4.source(this.#u8, start);
				const destination = ipv4.destination(this.#u8, start);
				if (this.#deliver(page, start, ipv4.IPV4_HEADER, length, time, flags, source, destination, false)) continue;
			}
			this.#pool.release(page);
		}
		return count;
	}

	/** Tells a transport that the packet at `at`, which it sent, met no neighbor. */
	#tellUnreachable(at: number): void {
		const u8 = this.#u8;
		const error = this.#error;
		const transport = this.#transports[ipv4.protocol(u8, at)];
		if (transport?.unreachable === undefined) return;
		const start = at + ipv4.IPV4_HEADER;
		const ports = ipv4.totalLength(u8, at) >= ipv4.IPV4_HEADER + 8;
		error.dst3 = ipv4.destination(u8, at);
		error.src3 = ipv4.source(u8, at);
		error.protocol = ipv4.protocol(u8, at);
		error.srcPort = ports ? get16(u8, start) : 0;
		error.dstPort = ports ? get16(u8, start + 2) : 0;
		error.seq = ports ? get32(u8, start + 4) : 0;
		transport.unreachable(error);
	}

	// What transports ask.

	/** Whether packets sent to an address come back to us without being seen by anybody else. */
	#isSelf(address: number): boolean {
		return ipv4.isLoopback(address) || this.routes.isOwn(address);
	}

	/** Whether connections to an address are ours to take: own addresses, 127.0.0.0/8, and with `acceptAny` every host's. */
	isLocal(address: number): boolean {
		return this.#isSelf(address) || (this.#acceptAny && !ipv4.isNoHost(address) && !this.routes.isBroadcast(address));
	}

	/** The own address to send from to `destination`; 0 if there is no route. */
	source(destination: number): number {
		if (this.routes.isOwn(destination)) return destination;
		return ipv4.isLoopback(destination) ? LOCALHOST : this.routes.source(destination);
	}

	/** Largest packet to `destination`, bytes of IP header and all. */
	mtuTo(_destination: number): number {
		return this.#mtu;
	}

	// Time.

	/** When `advance` has something to do, microseconds of the runtime's clock; Infinity for never. Sending may bring it nearer. */
	get deadline(): number {
		return this.#arp.deadline;
	}

	/** Does what is due at `now`; the first call announces our addresses. Returns when to come again, or Infinity. */
	advance(now: number): number {
		return this.#arp.advance(now);
	}

	/** Gives back every page that is held. */
	close(): void {
		this.#arp.close();
		while (this.#loop.take()) this.#pool.release(this.#loop.page);
	}
}
