/**
 * The tables of connections: records by number, numbers by address, and the small records of TIME-WAIT.
 *
 * Hides how a segment finds its connection: a chained hash table in the arena over both addresses and ports, keyed with
 * two secret words (so that nobody outside can aim at one bucket), never a search over connections. Connections and
 * TIME-WAIT records share the buckets: a bucket word is 0, n + 1 for connection n, or -(n + 1) for TIME-WAIT record n.
 *
 * Invariants: records are touched for the first time when they are first used, so an idle table costs address space
 * only; a freed record counts its generation up, so that (number, generation) never names two connections.
 */
import type { Arena } from "../memory/arena.ts";
import type { Random } from "../time/clock.ts";
import { CONNECTION_WORDS, Connection, connectionOffset } from "./connection.gen.ts";
import { seqLeq } from "./seq.ts";
import { C_TS, CLOSED } from "./state.ts";
import { TIME_WAIT_WORDS, TimeWait, timeWaitOffset } from "./time-wait.gen.ts";

export class ConnectionTable {
	/** Connections in use. */
	count = 0;
	/** Most connections ever in use at once. */
	highWater = 0;
	/** Records in TIME-WAIT. */
	timeWaitCount = 0;
	readonly capacity: number;
	readonly words: Int32Array;
	/** Word offset of connection record 0. */
	readonly base: number;
	readonly #timeWait: TimeWait;
	readonly #timeWaitCapacity: number;
	readonly #buckets: number;
	readonly #mask: number;
	readonly #secret0: number;
	readonly #secret1: number;
	readonly #probe: Connection;
	#free = 0;
	#fresh = 0;
	#timeWaitFree = 0;
	#timeWaitFresh = 0;
	/** Oldest and newest TIME-WAIT record, as number + 1. All last equally long, so the list is sorted by expiry. */
	#oldest = 0;
	#newest = 0;

	constructor(arena: Arena, capacity: number, timeWaitCapacity: number, random: Random) {
		this.words = arena.i32;
		this.capacity = capacity;
		this.base = arena.reserve(capacity * CONNECTION_WORDS * 4) >> 2;
		this.#timeWaitCapacity = timeWaitCapacity;
		this.#timeWait = new TimeWait(arena.i32, arena.reserve(timeWaitCapacity * TIME_WAIT_WORDS * 4) >> 2);
		let buckets = 64;
		while (buckets < capacity) buckets *= 2;
		this.#buckets = arena.reserve(buckets * 4) >> 2;
		this.#mask = buckets - 1;
		this.#secret0 = random.int32();
		this.#secret1 = random.int32();
		this.#probe = new Connection(this.words, this.base);
	}

	/** A new flyweight over the connection records. */
	cursor(): Connection {
		return new Connection(this.words, this.base);
	}

	/** Records ever used: the table's real memory is this times the record size. */
	get touched(): number {
		return this.#fresh;
	}

	/** Bytes of records ever used. */
	get touchedBytes(): number {
		return this.#fresh * CONNECTION_WORDS * 4 + this.#timeWaitFresh * TIME_WAIT_WORDS * 4;
	}

	/** Takes a record, zeroed but for its generation and its place on lists; -1 when all are in use. */
	alloc(): number {
		let index: number;
		if (this.#free !== 0) {
			index = this.#free - 1;
			this.#free = this.#probe.at(index).hashNext;
		} else {
			if (this.#fresh === this.capacity) return -1;
			index = this.#fresh++;
		}
		const c = this.#probe.at(index);
		const generation = c.generation;
		const lists = c.lists;
		this.words.fill(0, c.b, c.b + CONNECTION_WORDS);
		c.generation = generation;
		// A record may still stand in a queue for its last use: the queue's owner drops it when its turn comes.
		c.lists = lists;
		this.count++;
		if (this.count > this.highWater) this.highWater = this.count;
		return index;
	}

	/** Gives a record back; it must be out of the hash table and hold no page and no timer. */
	free(index: number): void {
		const c = this.#probe.at(index);
		c.state = CLOSED;
		c.generation = (c.generation + 1) | 0;
		c.hashNext = this.#free;
		this.#free = index + 1;
		this.count--;
	}

	#bucket(local: number, remote: number, mixed: number, ports: number): number {
		let h = Math.imul(local ^ this.#secret0, 0x9e3779b1) ^ Math.imul(remote ^ this.#secret1, 0x85ebca6b) ^ mixed;
		h = Math.imul(h ^ (h >>> 15) ^ ports, 0xc2b2ae35);
		h = Math.imul(h ^ (h >>> 13) ^ this.#secret0, 0x27d4eb2f);
		return this.#buckets + ((h ^ (h >>> 16)) & this.#mask);
	}

	#bucketOf(c: Connection | TimeWait): number {
		const mixed =
			Math.imul(c.local0 ^ c.remote1, 0x165667b1) ^ Math.imul(c.local1 ^ c.remote0, 0x2c1b3c6d) ^ c.local2 ^ Math.imul(c.remote2, 5);
		return this.#bucket(c.local3, c.remote3, mixed, (c.localPort << 16) | c.remotePort);
	}

	/** Enters the connection under its addresses and ports, which must not change while it is in. */
	insert(index: number): void {
		const c = this.#probe.at(index);
		const bucket = this.#bucketOf(c);
		c.hashNext = this.words[bucket]!;
		this.words[bucket] = index + 1;
	}

	/** Takes the connection out. */
	remove(index: number): void {
		const c = this.#probe.at(index);
		this.#unlink(this.#bucketOf(c), index + 1, c.hashNext);
	}

	#unlink(bucket: number, entry: number, next: number): void {
		const words = this.words;
		let at = bucket;
		for (let found = words[at]!; found !== entry; found = words[at]!) {
			if (found === 0) throw new Error("millrace: a connection is not where the hash table has it");
			at = this.#nextWord(found);
		}
		words[at] = next;
	}

	/** Word offset of the link of a bucket entry. */
	#nextWord(entry: number): number {
		return entry > 0
			? this.base + (entry - 1) * CONNECTION_WORDS + connectionOffset.hashNext
			: this.#timeWait.base + (-entry - 1) * TIME_WAIT_WORDS + timeWaitOffset.hashNext;
	}

	/**
	 * Finds who a segment belongs to.
	 *
	 * @returns n >= 0 for connection n, -2 - n for TIME-WAIT record n, -1 for nobody.
	 */
	lookup(
		local0: number,
		local1: number,
		local2: number,
		local3: number,
		localPort: number,
		remote0: number,
		remote1: number,
		remote2: number,
		remote3: number,
		remotePort: number,
	): number {
		const mixed = Math.imul(local0 ^ remote1, 0x165667b1) ^ Math.imul(local1 ^ remote0, 0x2c1b3c6d) ^ local2 ^ Math.imul(remote2, 5);
		let entry = this.words[this.#bucket(local3, remote3, mixed, (localPort << 16) | remotePort)]!;
		const c = this.#probe;
		const tw = this.#timeWait;
		while (entry !== 0) {
			if (entry > 0) {
				c.at(entry - 1);
				if (
					c.remotePort === remotePort &&
					c.localPort === localPort &&
					c.remote3 === remote3 &&
					c.local3 === local3 &&
					c.remote0 === remote0 &&
					c.remote1 === remote1 &&
					c.remote2 === remote2 &&
					c.local0 === local0 &&
					c.local1 === local1 &&
					c.local2 === local2
				)
					return entry - 1;
				entry = c.hashNext;
			} else {
				tw.at(-entry - 1);
				if (
					tw.remotePort === remotePort &&
					tw.localPort === localPort &&
					tw.remote3 === remote3 &&
					tw.local3 === local3 &&
					tw.remote0 === remote0 &&
					tw.remote1 === remote1 &&
					tw.remote2 === remote2 &&
					tw.local0 === local0 &&
					tw.local1 === local1 &&
					tw.local2 === local2
				)
					return -2 - (-entry - 1);
				entry = tw.hashNext;
			}
		}
		return -1;
	}

	/** The TIME-WAIT record of a lookup result below -1. */
	timeWaitAt(found: number): TimeWait {
		return this.#timeWait.at(-2 - found);
	}

	/**
	 * Makes a TIME-WAIT record of connection `index`, which is to leave the hash table before anything is looked up.
	 *
	 * @returns True if the oldest record had to go early to make room.
	 */
	addTimeWait(index: number, expires: number): boolean {
		if (this.#timeWaitCapacity === 0) return true;
		const early = this.timeWaitCount === this.#timeWaitCapacity;
		if (early) this.removeTimeWait(this.#oldest - 1);
		let slot: number;
		const tw = this.#timeWait;
		if (this.#timeWaitFree !== 0) {
			slot = this.#timeWaitFree - 1;
			this.#timeWaitFree = tw.at(slot).hashNext;
		} else slot = this.#timeWaitFresh++;
		const c = this.#probe.at(index);
		tw.at(slot);
		tw.localPort = c.localPort;
		tw.remotePort = c.remotePort;
		tw.local0 = c.local0;
		tw.local1 = c.local1;
		tw.local2 = c.local2;
		tw.local3 = c.local3;
		tw.remote0 = c.remote0;
		tw.remote1 = c.remote1;
		tw.remote2 = c.remote2;
		tw.remote3 = c.remote3;
		tw.sndNxt = c.sndNxt;
		tw.rcvNxt = c.rcvNxt;
		tw.tsRecent = c.tsRecent;
		tw.tsOffset = (c.flags & C_TS) !== 0 ? c.tsOffset || 1 : 0;
		const bucket = this.#bucketOf(tw);
		tw.hashNext = this.words[bucket]!;
		this.words[bucket] = -(slot + 1);
		this.#append(slot, expires);
		this.timeWaitCount++;
		return early;
	}

	#append(slot: number, expires: number): void {
		const tw = this.#timeWait.at(slot);
		tw.expires = expires;
		tw.fifoNext = 0;
		tw.fifoPrev = this.#newest;
		if (this.#newest !== 0) this.#timeWait.at(this.#newest - 1).fifoNext = slot + 1;
		else this.#oldest = slot + 1;
		this.#newest = slot + 1;
	}

	/** RFC 9293 3.10.7.4: a retransmitted FIN restarts the 2 MSL time-out. */
	restartTimeWait(found: number, expires: number): void {
		const slot = -2 - found;
		this.#unlinkFifo(slot);
		this.#append(slot, expires);
	}

	#unlinkFifo(slot: number): void {
		const tw = this.#timeWait;
		const next = tw.at(slot).fifoNext;
		const prev = tw.fifoPrev;
		if (prev === 0) this.#oldest = next;
		else tw.at(prev - 1).fifoNext = next;
		if (next === 0) this.#newest = prev;
		else tw.at(next - 1).fifoPrev = prev;
	}

	/** Forgets TIME-WAIT record `slot`. */
	removeTimeWait(slot: number): void {
		const tw = this.#timeWait.at(slot);
		this.#unlink(this.#bucketOf(tw), -(slot + 1), tw.hashNext);
		this.#unlinkFifo(slot);
		tw.at(slot);
		tw.generation = (tw.generation + 1) | 0;
		tw.hashNext = this.#timeWaitFree;
		this.#timeWaitFree = slot + 1;
		this.timeWaitCount--;
	}

	/** Forgets what has expired at `tick`; returns ticks until the next expiry, or -1. */
	expireTimeWait(tick: number): number {
		while (this.#oldest !== 0) {
			const expires = this.#timeWait.at(this.#oldest - 1).expires;
			if (!seqLeq(expires, tick)) return (expires - tick) | 0;
			this.removeTimeWait(this.#oldest - 1);
		}
		return -1;
	}
}
