/**
 * The way in: from frames to transports.
 *
 * Hides the checks of RFC 1122 3.2.1, made in the order of a frame's bytes: station, version, lengths, checksum, addresses, options, fragments. A
 * packet that passes them reaches a transport by its protocol number; any other ends under a name in the counters, and its page goes back.
 *
 * A frame that a link merged from several TCP segments runs over several entries of a batch, so over several pages: only the first is looked at
 * here, where all headers are, and TCP takes the rest from the batch.
 *
 * Invariants: a frame ends under exactly one of the counters' fates; a page is released here unless a transport has taken it over.
 */
import { type Batch, FRAME_CHECKED, FRAME_MORE } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import { MAPPED } from "../wire/address.ts";
import { checksum } from "../wire/checksum.ts";
import * as ethernet from "../wire/ethernet.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { PROTOCOL_TCP } from "../wire/tcp.ts";
import type { Arp } from "./arp.ts";
import type { IpCounters } from "./counters.ts";
import type { Routes } from "./routes.ts";
import type { IpPacket, Transport } from "./transport.ts";

export interface IpInputOptions {
	pool: PagePool;
	counters: IpCounters;
	routes: Routes;
	/** Hears the ARP packets. */
	arp: Arp;
	/** By protocol number. */
	transports: readonly (Transport | undefined)[];
	/** Frames begin with an Ethernet header; else with IP's. */
	ethernet: boolean;
	/** Own hardware address, in the two parts of `wire/ethernet.ts`. */
	macHigh: number;
	macLow: number;
	/** What we send comes back by the link: our own addresses are no martians there. */
	loopbackLink: boolean;
	/** Packets to any host are taken. */
	acceptAny: boolean;
}

export class IpInput {
	/** Called with a packet that no transport is registered for. */
	onUnknownProtocol: ((packet: IpPacket) => void) | undefined;
	readonly #pool: PagePool;
	readonly #u8: Uint8Array;
	readonly #counters: IpCounters;
	readonly #routes: Routes;
	readonly #arp: Arp;
	readonly #transports: readonly (Transport | undefined)[];
	readonly #ethernet: boolean;
	readonly #macHigh: number;
	readonly #macLow: number;
	readonly #loopbackLink: boolean;
	readonly #acceptAny: boolean;

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

	constructor(options: IpInputOptions) {
		this.#pool = options.pool;
		this.#u8 = options.pool.u8;
		this.#counters = options.counters;
		this.#routes = options.routes;
		this.#arp = options.arp;
		this.#transports = options.transports;
		this.#ethernet = options.ethernet;
		this.#macHigh = options.macHigh;
		this.#macLow = options.macLow;
		this.#loopbackLink = options.loopbackLink;
		this.#acceptAny = options.acceptAny;
	}

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
			this.#counters.received++;
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
		if ((flags & FRAME_CHECKED) === 0 || this.#cut) this.#counters.chained++;
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
		const counters = this.#counters;
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
		const counters = this.#counters;
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
		return this.deliver(page, at, header, length, time, flags, source, destination, broadcast);
	}

	/** Whether a packet may come from `source` and is for us at `destination`; `#broadcast` says whether for others as well. */
	#addressed(source: number, destination: number): boolean {
		const counters = this.#counters;
		const routes = this.#routes;
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

	/** Gives a packet that is for us to its transport. True if that took over the page. */
	deliver(
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
			this.#counters.chained++;
			return false;
		}
		if (transport === undefined) {
			this.#counters.unknownProtocol++;
			this.onUnknownProtocol?.(packet);
			return false;
		}
		this.#counters.delivered++;
		return transport.input(packet);
	}
}
