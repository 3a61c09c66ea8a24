/**
 * The figures of a host: what each layer counts, under one roof.
 *
 * Hides where the layers keep them. Every call gives an object of its own, which does not change any more.
 */
import { SLAB_SIZE } from "../memory/pages.ts";
import type { Shard } from "../shard/shard.ts";

/** Figures of a host, by layer. Numbers count from the start unless their name says otherwise. */
export interface HostStats {
	/** Connections at the moment, by state; TIME-WAIT beside them. */
	connections: { total: number; halfOpen: number; timeWait: number; highWater: number };
	/** The arena and its pages. */
	memory: {
		/** Bytes of the arena: reserved, carved off, and really touched by pages and records. */
		arena: number;
		reserved: number;
		touched: number;
		/** Bytes of it under which large pages may come: 0 unless the option `largePages` was given, and where there are none. */
		largePages: number;
		/** Pages held at the moment, there, and how often none could be had. */
		pagesInUse: number;
		pages: number;
		pagesExhausted: number;
		/** Slabs held at the moment, and there; `tcp.noSlab` is how often none could be had. */
		slabsInUse: number;
		slabs: number;
	};
	/** The loop: turns, full batches, frames each way, longest time that the program held the thread (microseconds). */
	shard: Record<string, number>;
	/** The link's own counters, under the names that it gives them. */
	link: Record<string, number>;
	/** IpCounters: each frame ends under one name. */
	ip: Record<string, number>;
	/** IcmpCounters. */
	icmp: Record<string, number>;
	/** TcpCounters: segments, bytes, retransmissions, drops by reason, limits that were hit. */
	tcp: Record<string, number>;
}

/** Reads the counters of every layer. */
export function hostStats(shard: Shard): HostStats {
	const { tcp, ip, icmp, pool, arena, link, largePages, counters } = shard;
	return {
		connections: { total: tcp.table.count, halfOpen: tcp.halfOpen, timeWait: tcp.table.timeWaitCount, highWater: tcp.table.highWater },
		memory: {
			arena: arena.size,
			reserved: arena.used,
			touched: pool.touched * 2080 + pool.slabsTouched * SLAB_SIZE + tcp.table.touchedBytes,
			largePages,
			pagesInUse: pool.inUse,
			pages: pool.capacity,
			pagesExhausted: pool.exhausted,
			slabsInUse: pool.slabs - pool.slabsFree,
			slabs: pool.slabs,
		},
		shard: { ...counters },
		link: { ...link.counters() },
		ip: { ...ip.counters },
		icmp: { ...icmp.counters },
		tcp: { ...tcp.counters },
	};
}
