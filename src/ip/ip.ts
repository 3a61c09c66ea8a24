/**
 * The IP layer of one shard: IPv4 over Ethernet or over bare IP packets.
 *
 * Hides the network from the transports: addresses, routes, neighbors, headers. The way in is in input.ts. Outward, the header is written
 * into the head room in front of the segment and the packet goes to the link, to the queue of a neighbor that is being resolved, or, if it
 * is for ourselves, to one that `pump` empties (local.ts). Where a packet goes is found out once for a row of packets to the same address.
 * `outputRun` sends a segment that the link will cut.
 *
 * Ownership: `input` and `output` take over the references they are given; a transport that returns true took over the
 * page's.
 */
import { MillraceError } from "../errors.ts";
import { type Batch, FRAME_MAY_FRAGMENT, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { Arp } from "./arp.ts";
import { IpCounters } from "./counters.ts";
import { IpInput } from "./input.ts";
import { Local } from "./local.ts";
import type { Neighbors } from "./neighbors.ts";
import { type AddressOption, type RouteOption, Routes } from "./routes.ts";
import type { IpPacket, Outbox, Transport } from "./transport.ts";

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
	/** Neighbors kept, half of them known and half asked for; default 2048, so that who tries a thousand addresses at once (as many as Linux keeps) asks each once a second. */
	neighborsMax?: number;
	out: Outbox;
}

/** 127.0.0.1. */
const LOCALHOST = 0x7f000001;

export class IpLayer {
	readonly counters: IpCounters = new IpCounters();
	readonly routes: Routes;
	/** On Ethernet: who has which hardware address. */
	readonly neighbors: Neighbors;
	/** Called when the first packet to ourselves waits for `pump`. */
	onWork?: () => void;
	/** Called when another station claims an own address, at most every 10 s. */
	onConflict?: (address: number) => void;

	readonly #pool: PagePool;
	readonly #u8: Uint8Array;
	readonly #out: Outbox;
	readonly #ethernet: boolean;
	#mtu = 0;
	#identification = 0;
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
	readonly #input: IpInput;
	readonly #local: Local;

	/** @throws MillraceError for addresses, routes, MTU or hardware address that cannot work. */
	constructor(options: IpOptions) {
		const { pool, mac, mtu } = options;
		this.#pool = pool;
		this.#u8 = pool.u8;
		this.#out = options.out;
		this.#ethernet = options.medium === "ethernet";
		this.setMtu(mtu);
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
					this.#local.tellUnreachable(start);
					pool.release(page);
				},
				discard: (page) => pool.release(page),
			},
			neighborsMax: options.neighborsMax ?? 2048,
			announce: this.#ethernet && !this.#loopbackLink,
			conflict: (address) => this.onConflict?.(address),
		});
		this.neighbors = this.#arp.neighbors;
		this.#input = new IpInput({
			pool,
			counters: this.counters,
			routes: this.routes,
			arp: this.#arp,
			transports: this.#transports,
			ethernet: this.#ethernet,
			macHigh: this.#macHigh,
			macLow: this.#macLow,
			loopbackLink: this.#loopbackLink,
			acceptAny: this.#acceptAny,
		});
		this.#local = new Local({
			pool,
			runtime: options.runtime,
			counters: this.counters,
			input: this.#input,
			transports: this.#transports,
			loopMax: options.loopMax ?? 1024,
			onWork: () => this.onWork?.(),
		});
	}

	/** Makes a transport receive the packets of a protocol, and hear of those it sent that could not be delivered. */
	register(protocol: number, transport: Transport): void {
		this.#transports[protocol] = transport;
	}

	/** The transport of a protocol. */
	transport(protocol: number): Transport | undefined {
		return this.#transports[protocol];
	}

	/** Makes `tell` see the packets that no transport is registered for. Only to look at: ip releases them. */
	registerUnknown(tell: (packet: IpPacket) => void): void {
		this.#input.onUnknownProtocol = tell;
	}

	// Inward.

	/** Receives all frames of a batch, which is empty afterwards. */
	input(batch: Batch): void {
		this.#input.input(batch);
	}

	/**
	 * Receives the packets that were sent to ourselves, as many as are there now.
	 *
	 * @returns How many there were.
	 */
	pump(): number {
		return this.#local.pump();
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
	output(page: number, start: number, length: number, src: number, dst: number, protocol: number, marks: number): boolean {
		const flags = marks & ~FRAME_MAY_FRAGMENT;
		const at = start - ipv4.IPV4_HEADER;
		const total = length + ipv4.IPV4_HEADER;
		if (total > this.#mtu) {
			this.counters.tooLong++;
			this.#pool.release(page);
			return true;
		}
		ipv4.writeIpv4Header(this.#u8, at, total, this.#ttl, protocol, src, dst);
		if (flags !== marks) {
			this.#identification = (this.#identification + 1) & 0xffff;
			ipv4.allowFragments(this.#u8, at, this.#identification);
		}
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
			else this.#local.send(page, at, total);
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

	/** Largest packet of the link, for one that knows it only when it is open. */
	setMtu(mtu: number): void {
		if (!(mtu >= 68 && mtu <= 65535))
			throw new MillraceError("MILLRACE_MTU", `MTU of ${mtu} bytes: IPv4 needs 68 to 65535; give the link another`);
		this.#mtu = mtu;
	}

	isNeighbor(destination: number): boolean {
		return this.routes.connected(destination) !== 0;
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

	/** Does what is due at `now`; the first call announces our addresses. */
	advance(now: number): void {
		this.#arp.advance(now);
	}

	/** Gives back every page that is held. */
	close(): void {
		this.#arp.close();
		this.#local.close();
	}
}
