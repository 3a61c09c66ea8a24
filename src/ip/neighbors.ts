/**
 * Neighbors: which hardware address an IPv4 address on this link has, found out by ARP (RFC 826).
 *
 * Hides that the answer takes time, gets old and may never come. A packet for a neighbor that is not known yet waits here, and is given back
 * when nobody has answered. However many packets come, a neighbor is asked once a second (RFC 1122 2.3.2.1), as long as there is room for all that are asked for; the next packet after that begins anew (as in
 * Linux), so that a station which comes up late is found as soon as it is there.
 *
 * Life of a neighbor: resolving (asked by broadcast, 3 times, 1 s apart) → reachable (30 to 60 s after the last proof, at
 * random so that neighbors do not fall due together) → stale (used once more starts) → probing (asked by unicast, 3 times;
 * packets keep flowing to the old address) → reachable again or forgotten. Resolving without an answer → forgotten. One that says, unasked, that
 * it has another hardware address is stale at once: the next packet goes there, and asks.
 *
 * Bounds: half of the room is for neighbors that are known, half for those that are asked for, so that a flood to dead
 * addresses cannot push out live ones. The oldest goes first. At most
 * WAITING_MAX packets wait per neighbor, and so many in all as its maker says, of which the oldest go first: room for the first SYNs of many connections at once.
 *
 * Units: microseconds of the runtime's clock. No timer of its own: `advance` does what is due.
 */
import type { Runtime } from "../time/clock.ts";
import { BROADCAST_HIGH, BROADCAST_LOW } from "../wire/ethernet.ts";
import type { IpCounters } from "./counters.ts";

/** Time between requests, and how many are sent. */
export const RETRY_US = 1_000_000;
export const ATTEMPTS = 3;
/** How long a proof lasts: this and up to as much again. */
export const REACHABLE_US = 30_000_000;
/** Packets that wait for one neighbor. */
export const WAITING_MAX = 128;

/** Bounds of a table. */
export interface NeighborLimits {
	/** Most neighbors, known and asked for. */
	readonly neighbors: number;
	/** Most packets that wait for any. */
	readonly waiting: number;
}

const RESOLVING = 0;
const REACHABLE = 1;
const STALE = 2;
const PROBING = 3;

interface Packet {
	page: number;
	/** Absolute offset of the IP header, and bytes from there. */
	start: number;
	length: number;
	flags: number;
}

/** One neighbor. `high` and `low` are its hardware address, valid in the states reachable, stale and probing. */
export interface Neighbor {
	readonly address: number;
	high: number;
	low: number;
	state: number;
	attempts: number;
	/** When its state ends, or Infinity. */
	deadline: number;
	waiting: Packet[];
}

/** What becomes of packets that wait for a neighbor; they are handed over with their reference. */
export interface WaitingActions {
	/** Sends a packet that waited. */
	transmit(page: number, start: number, length: number, flags: number, high: number, low: number): void;
	/** A packet waited in vain. */
	failed(page: number, start: number, length: number): void;
	/** A packet is not kept any longer. */
	discard(page: number): void;
}

export class Neighbors {
	/** When `advance` has something to do. */
	deadline = Infinity;
	/** Grows when any neighbor's address or state changes: what was looked up before may be wrong now. */
	changes = 0;
	readonly #runtime: Runtime;
	readonly #actions: WaitingActions;
	readonly #request: (address: number, high: number, low: number) => void;
	readonly #counters: IpCounters;
	readonly #half: number;
	readonly #waitingMax: number;
	/** Oldest proof first. */
	readonly #known = new Map<number, Neighbor>();
	/** Oldest question first. */
	readonly #asked = new Map<number, Neighbor>();
	/** Packets that wait for any. */
	#waiting = 0;

	/**
	 * @param request Asks for an address, of one station or of all.
	 */
	constructor(
		runtime: Runtime,
		actions: WaitingActions,
		request: (address: number, high: number, low: number) => void,
		counters: IpCounters,
		limits: NeighborLimits,
	) {
		this.#runtime = runtime;
		this.#actions = actions;
		this.#request = request;
		this.#counters = counters;
		this.#half = Math.max(1, limits.neighbors >> 1);
		this.#waitingMax = Math.max(1, limits.waiting);
	}

	/** Number of neighbors, known and asked for. */
	get size(): number {
		return this.#known.size + this.#asked.size;
	}

	/** The neighbor, if it is known and fresh: its hardware address may be used until `changes` grows. */
	fresh(address: number): Neighbor | undefined {
		const neighbor = this.#known.get(address);
		return neighbor !== undefined && neighbor.state === REACHABLE ? neighbor : undefined;
	}

	/** Sends a packet to a neighbor, now or when it has answered; takes the reference. */
	send(address: number, page: number, start: number, length: number, flags: number): void {
		const known = this.#known.get(address);
		if (known !== undefined) {
			if (known.state === STALE) this.#probe(known);
			this.#actions.transmit(page, start, length, flags, known.high, known.low);
			return;
		}
		const asked = this.#asked.get(address) ?? this.#ask(address);
		this.#counters.waited++;
		// Where too many wait in all, whoever has us wait for many stations must not have all pages.
		if (asked.waiting.length === WAITING_MAX) this.#discardOldest(asked);
		else if (this.#waiting >= this.#waitingMax) this.#discardOldest(this.#fullest());
		asked.waiting.push({ page, start, length, flags });
		this.#waiting++;
	}

	#discardOldest(neighbor: Neighbor): void {
		this.#waiting--;
		this.#counters.waitOverflow++;
		this.#actions.discard(neighbor.waiting.shift()!.page);
	}

	/** The neighbor that most packets wait for; some do. */
	#fullest(): Neighbor {
		let fullest: Neighbor | null = null;
		for (const neighbor of this.#asked.values())
			if (fullest === null || neighbor.waiting.length > fullest.waiting.length) fullest = neighbor;
		return fullest!;
	}

	/**
	 * Takes notice of a station that says it has an address.
	 *
	 * @param create Whether to take it up if nobody asked for it: it spoke to us, so we shall answer (RFC 826).
	 */
	learn(address: number, high: number, low: number, create: boolean): void {
		let neighbor = this.#known.get(address);
		const asked = this.#asked.get(address);
		if (neighbor === undefined) {
			if (asked === undefined && !create) return;
			if (this.#known.size >= this.#half) this.#evict(this.#known);
			neighbor = { address, high, low, state: REACHABLE, attempts: 0, deadline: 0, waiting: [] };
		} else {
			this.#known.delete(address);
		}
		this.#known.set(address, neighbor);
		// Nobody asked, and it is somebody else than it was: it may be a lie (RFC 5227 2.4 tells whom it is about). Who is asked next has to prove it.
		const moved = (neighbor.high !== high || neighbor.low !== low) && neighbor.state !== PROBING && asked === undefined;
		neighbor.high = high;
		neighbor.low = low;
		if (moved) {
			neighbor.state = STALE;
			neighbor.deadline = Infinity;
		} else {
			neighbor.state = REACHABLE;
			this.#due(neighbor, this.#runtime.clock.now() + REACHABLE_US + ((this.#runtime.random.int32() >>> 0) % REACHABLE_US));
		}
		this.changes++;
		if (asked === undefined) return;
		this.#asked.delete(address);
		this.#waiting -= asked.waiting.length;
		for (const packet of asked.waiting) this.#actions.transmit(packet.page, packet.start, packet.length, packet.flags, high, low);
	}

	/** Does what is due. */
	advance(now: number): void {
		if (now < this.deadline) return;
		this.deadline = Infinity;
		for (const neighbor of this.#known.values()) if (neighbor.deadline <= now) this.#expireKnown(neighbor, now);
		for (const neighbor of this.#asked.values()) if (neighbor.deadline <= now) this.#expireAsked(neighbor, now);
		for (const neighbor of this.#known.values()) this.deadline = Math.min(this.deadline, neighbor.deadline);
		for (const neighbor of this.#asked.values()) this.deadline = Math.min(this.deadline, neighbor.deadline);
	}

	/** Forgets all neighbors and discards what waits for them. */
	clear(): void {
		for (const neighbor of this.#asked.values()) for (const packet of neighbor.waiting) this.#actions.discard(packet.page);
		this.#asked.clear();
		this.#waiting = 0;
		this.#known.clear();
		this.deadline = Infinity;
		this.changes++;
	}

	#due(neighbor: Neighbor, at: number): void {
		neighbor.deadline = at;
		if (at < this.deadline) this.deadline = at;
	}

	#ask(address: number): Neighbor {
		if (this.#asked.size >= this.#half) this.#evict(this.#asked);
		const neighbor: Neighbor = { address, high: 0, low: 0, state: RESOLVING, attempts: 1, deadline: 0, waiting: [] };
		this.#asked.set(address, neighbor);
		this.#due(neighbor, this.#runtime.clock.now() + RETRY_US);
		this.#request(address, BROADCAST_HIGH, BROADCAST_LOW);
		return neighbor;
	}

	#probe(neighbor: Neighbor): void {
		neighbor.state = PROBING;
		neighbor.attempts = 1;
		this.#due(neighbor, this.#runtime.clock.now() + RETRY_US);
		this.#request(neighbor.address, neighbor.high, neighbor.low);
	}

	#expireKnown(neighbor: Neighbor, now: number): void {
		this.changes++;
		if (neighbor.state === REACHABLE) {
			neighbor.state = STALE;
			neighbor.deadline = Infinity;
		} else if (neighbor.attempts < ATTEMPTS) {
			neighbor.attempts++;
			neighbor.deadline = now + RETRY_US;
			this.#request(neighbor.address, neighbor.high, neighbor.low);
		} else {
			// It may have moved to another station: the next packet asks all of them.
			this.#known.delete(neighbor.address);
			this.#counters.neighborsFailed++;
		}
	}

	#expireAsked(neighbor: Neighbor, now: number): void {
		if (neighbor.attempts < ATTEMPTS) {
			neighbor.attempts++;
			neighbor.deadline = now + RETRY_US;
			this.#request(neighbor.address, BROADCAST_HIGH, BROADCAST_LOW);
		} else {
			this.#asked.delete(neighbor.address);
			this.#counters.neighborsFailed++;
			this.#waiting -= neighbor.waiting.length;
			for (const packet of neighbor.waiting) this.#actions.failed(packet.page, packet.start, packet.length);
		}
	}

	/** Forgets the first, which is the oldest, of a full map. */
	#evict(neighbors: Map<number, Neighbor>): void {
		for (const neighbor of neighbors.values()) {
			neighbors.delete(neighbor.address);
			this.#counters.neighborsEvicted++;
			this.#counters.waitOverflow += neighbor.waiting.length;
			this.#waiting -= neighbor.waiting.length;
			for (const packet of neighbor.waiting) this.#actions.discard(packet.page);
			this.changes++;
			return;
		}
	}
}
