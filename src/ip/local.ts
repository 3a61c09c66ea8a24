/**
 * Packets that do not leave the host: those that we send to ourselves, and those that found no neighbor.
 *
 * Hides that a transport is never entered from inside its own output: what it sends to ourselves waits in a bounded queue until `pump`.
 *
 * Ownership: a page in the queue is the queue's. A packet to ourselves whose page somebody else holds too (a transport that may send it again) is
 * copied first, since receiver and sender would both use its descriptor.
 */
import { FRAME_CHECKED } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import { get16, get32 } from "../wire/bytes.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { IpCounters } from "./counters.ts";
import type { IpInput } from "./input.ts";
import { LoopQueue } from "./loop-queue.ts";
import type { Transport, Unreachable } from "./transport.ts";

export interface LocalOptions {
	pool: PagePool;
	runtime: Runtime;
	counters: IpCounters;
	/** Receives what we sent to ourselves. */
	input: IpInput;
	/** By protocol number; hear of what found no neighbor. */
	transports: readonly (Transport | undefined)[];
	/** Most packets that wait. */
	loopMax: number;
	/** Called when the first packet waits for `pump`. */
	onWork: () => void;
}

export class Local {
	readonly #pool: PagePool;
	readonly #u8: Uint8Array;
	readonly #runtime: Runtime;
	readonly #counters: IpCounters;
	readonly #input: IpInput;
	readonly #transports: readonly (Transport | undefined)[];
	readonly #loop: LoopQueue;
	readonly #onWork: () => void;
	readonly #error: Unreachable = { reason: "neighbor", mtu: 0, dst3: 0, src3: 0, protocol: 0, srcPort: 0, dstPort: 0, seq: 0 };

	constructor(options: LocalOptions) {
		this.#pool = options.pool;
		this.#u8 = options.pool.u8;
		this.#runtime = options.runtime;
		this.#counters = options.counters;
		this.#input = options.input;
		this.#transports = options.transports;
		this.#loop = new LoopQueue(options.loopMax);
		this.#onWork = options.onWork;
	}

	/** A packet to ourselves: kept for `pump`, in a page of its own. Takes over the reference on the page. */
	send(page: number, at: number, total: number): void {
		const pool = this.#pool;
		if (pool.refs(page) === 1) {
			this.#keep(page, at, total);
			return;
		}
		const copy = this.#loop.count < this.#loop.capacity ? pool.alloc() : 0;
		if (copy === 0) {
			this.#counters.loopOverflow++;
		} else {
			const to = at - pool.address(page) + pool.address(copy);
			pool.copy.within(to, at, total);
			this.#keep(copy, to, total);
		}
		pool.release(page);
	}

	#keep(page: number, at: number, total: number): void {
		if (!this.#loop.put(page, at, total)) {
			this.#counters.loopOverflow++;
			this.#pool.release(page);
			return;
		}
		this.#counters.looped++;
		if (this.#loop.count === 1) this.#onWork();
	}

	/** Receives what was sent to ourselves, as many packets as are there now. Returns how many. */
	pump(): number {
		const loop = this.#loop;
		const { count } = loop;
		if (count === 0) return 0;
		const time = this.#runtime.clock.now() | 0;
		for (let i = 0; i < count && loop.take(); i++) {
			const { page, start, length } = loop;
			const source = ipv4.source(this.#u8, start);
			const destination = ipv4.destination(this.#u8, start);
			if (!this.#input.deliver(page, start, ipv4.IPV4_HEADER, length, time, FRAME_CHECKED, source, destination, false))
				this.#pool.release(page);
		}
		return count;
	}

	/** Tells a transport that the packet at `at`, which it sent, met no neighbor. Not from inside its own output. */
	tellUnreachable(at: number): void {
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

	/** Gives back every page that is held. */
	close(): void {
		while (this.#loop.take()) this.#pool.release(this.#loop.page);
	}
}
