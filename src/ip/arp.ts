/**
 * The ARP speaker: what is said and heard about IPv4 addresses on an Ethernet (RFC 826, RFC 5227).
 *
 * Hides ARP packets from ip, and from `Neighbors`, which decides when to ask and what to believe. Answers questions for own
 * addresses, announces them at the start, and defends them, at most every 10 s, against another station that claims one.
 */
import { HEADROOM, type PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import * as wire from "../wire/arp.ts";
import * as ethernet from "../wire/ethernet.ts";
import { isLoopback, isNoHost } from "../wire/ipv4.ts";
import type { IpCounters } from "./counters.ts";
import { Neighbors, type WaitingActions } from "./neighbors.ts";
import type { Routes } from "./routes.ts";
import type { Outbox } from "./transport.ts";

/** RFC 5227 2.3: an address is announced twice, 2 s apart. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_US = 2_000_000;
/** RFC 5227 2.4: shortest time between two defences. */
const DEFEND_US = 10_000_000;

export interface ArpOptions {
	pool: PagePool;
	runtime: Runtime;
	out: Outbox;
	counters: IpCounters;
	routes: Routes;
	/** Own hardware address, in the two parts of `wire/ethernet.ts`. */
	macHigh: number;
	macLow: number;
	/** What becomes of packets that wait for a neighbor. */
	waiting: WaitingActions;
	/** Most neighbors. */
	neighborsMax: number;
	/** Whether there is an Ethernet with other stations, to whom addresses are announced. */
	announce: boolean;
	/** Another station claims an own address; told as often as the address is defended. */
	conflict: (address: number) => void;
}

export class Arp {
	readonly neighbors: Neighbors;
	readonly #pool: PagePool;
	readonly #runtime: Runtime;
	readonly #out: Outbox;
	readonly #counters: IpCounters;
	readonly #routes: Routes;
	readonly #conflict: (address: number) => void;
	readonly #macHigh: number;
	readonly #macLow: number;
	#announcements = 0;
	#announceAt = Infinity;
	#defendAt = -Infinity;

	constructor(options: ArpOptions) {
		const { pool, runtime, out, counters, routes, macHigh, macLow, waiting } = options;
		this.#pool = pool;
		this.#runtime = runtime;
		this.#out = out;
		this.#counters = counters;
		this.#routes = routes;
		this.#conflict = options.conflict;
		this.#macHigh = macHigh;
		this.#macLow = macLow;
		this.neighbors = new Neighbors(runtime, waiting, (address, high, low) => this.#ask(address, high, low), counters, {
			neighbors: options.neighborsMax,
			waiting: pool.capacity >> 1,
		});
		if (options.announce && routes.addresses.length > 0) {
			this.#announcements = ANNOUNCEMENTS;
			this.#announceAt = -Infinity;
		}
	}

	/** Hears a packet at `at`, in `room` bytes. */
	input(at: number, room: number): void {
		const u8 = this.#pool.u8;
		const counters = this.#counters;
		const routes = this.#routes;
		if (room < wire.ARP_LENGTH || !wire.isIpv4OverEthernet(u8, at)) {
			counters.arpMalformed++;
			return;
		}
		const operation = wire.operation(u8, at);
		const high = wire.senderHigh(u8, at);
		const low = wire.senderLow(u8, at);
		const sender = wire.senderAddress(u8, at);
		const request = operation === wire.ARP_REQUEST;
		// A probe (RFC 5227 2.1.1) has 0.0.0.0 as sender: it may be answered, but tells no address.
		const impossible = sender !== 0 && (isNoHost(sender) || isLoopback(sender));
		if ((!request && operation !== wire.ARP_REPLY) || ethernet.isGroup(high) || impossible) {
			counters.arpMalformed++;
			return;
		}
		if (routes.isOwn(sender)) {
			if (high === this.#macHigh && low === this.#macLow) counters.arpOther++;
			else this.#defend(sender);
			return;
		}
		const target = wire.targetAddress(u8, at);
		const forUs = routes.isOwn(target);
		// Who asks for us will be answered, so is worth knowing, if it is where we would look for it; else only what we asked for or know is believed.
		if (sender !== 0) this.neighbors.learn(sender, high, low, forUs && request && routes.nextHop(sender) === sender);
		if (!forUs) {
			counters.arpOther++;
		} else if (request) {
			counters.arpRequests++;
			if (this.#send(wire.ARP_REPLY, high, low, target, high, low, sender)) counters.arpRepliesSent++;
		} else {
			counters.arpReplies++;
		}
	}

	/** When `advance` has something to do. */
	get deadline(): number {
		const { deadline } = this.neighbors;
		if (this.#announceAt < deadline) return this.#announceAt;
		return deadline;
	}

	/** Does what is due; the first call announces our addresses. */
	advance(now: number): void {
		if (now >= this.#announceAt) {
			for (const address of this.#routes.addresses) if (!isLoopback(address)) this.#announce(address);
			this.#announceAt = --this.#announcements > 0 ? now + ANNOUNCE_US : Infinity;
		}
		this.neighbors.advance(now);
	}

	/** Says and asks nothing more, and gives back the packets that wait. */
	close(): void {
		this.neighbors.clear();
		this.#announceAt = Infinity;
	}

	#defend(address: number): void {
		this.#counters.arpConflicts++;
		const now = this.#runtime.clock.now();
		if (now < this.#defendAt) return;
		this.#defendAt = now + DEFEND_US;
		this.#announce(address);
		this.#conflict(address);
	}

	#announce(address: number): void {
		this.#request(ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW, address, address);
	}

	#ask(address: number, high: number, low: number): void {
		this.#request(high, low, this.#routes.connected(address) || this.#routes.addresses[0]!, address);
	}

	#request(high: number, low: number, sender: number, target: number): void {
		if (this.#send(wire.ARP_REQUEST, high, low, sender, 0, 0, target)) this.#counters.arpRequestsSent++;
	}

	/** Sends a packet in the name of `sender`, to the station `high`, `low`. */
	#send(operation: number, high: number, low: number, sender: number, targetHigh: number, targetLow: number, target: number): boolean {
		const pool = this.#pool;
		const page = pool.alloc();
		if (page === 0) {
			this.#counters.arpNoPage++;
			return false;
		}
		const at = pool.address(page) + HEADROOM;
		const start = at - ethernet.ETHERNET_HEADER;
		ethernet.writeEthernetHeader(pool.u8, start, high, low, this.#macHigh, this.#macLow, ethernet.ETHERTYPE_ARP);
		wire.writeArp(pool.u8, at, operation, this.#macHigh, this.#macLow, sender, targetHigh, targetLow, target);
		this.#out.push(page, start, ethernet.ETHERNET_HEADER + wire.ARP_LENGTH, 0);
		return true;
	}
}
