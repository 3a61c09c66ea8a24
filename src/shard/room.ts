/**
 * How large a shard's arena is: what its option `memory` asks for, and all tables.
 *
 * Hides what is beside the pages: descriptors, slabs, landings, records, hash buckets. An arena ends at 2 GiB, so what is left of that for
 * `memory` is less, by as much as the tables take.
 */
import { ARENA_MAX } from "../memory/arena.ts";
import { PAGE_SIZE, PagePool, SLAB_SIZE } from "../memory/pages.ts";
import { CONNECTION_WORDS } from "../tcp/connection.gen.ts";
import { congestionBytes } from "../tcp/engine.ts";
import type { TcpOptions } from "../tcp/options.ts";
import { TIME_WAIT_WORDS } from "../tcp/time-wait.gen.ts";

/** Most landings (memory/pages.ts), up to 64 KiB each: the largest receive window of a connection. */
export const LANDINGS = 64;
/** Most slabs (memory/pages.ts), 64 MiB: five each for 200 connections, of which three leave in a turn. And the part of the memory option that they may be. */
const SLABS = 1024;
const SLABS_PART = 4;
/** A page with its descriptor, in bytes. */
const PAGE_ROOM = PAGE_SIZE + 32;
/** Least pages: less than this moves nothing. */
const PAGES_MIN = 64;
/** What regions lose to being aligned, in bytes. */
const ALIGNMENT = 65536;

type Limits = Pick<TcpOptions, "congestion" | "maxConnections" | "maxTimeWait">;

/** Pages and slabs for so many bytes of memory. */
export function pagesOf(memory: number): { pages: number; slabs: number } {
	return {
		pages: Math.max(PAGES_MIN, Math.floor(memory / PAGE_ROOM)),
		slabs: Math.min(SLABS, Math.floor(memory / SLABS_PART / SLAB_SIZE)),
	};
}

/** Bytes of the arena for so many bytes of memory. */
export function arenaBytes(memory: number, limits: Limits): number {
	const { pages, slabs } = pagesOf(memory);
	return PagePool.bytes(pages, LANDINGS, slabs) + tableBytes(limits);
}

function tableBytes(limits: Limits): number {
	let buckets = 64;
	while (buckets < limits.maxConnections) buckets *= 2;
	const records = limits.maxConnections * CONNECTION_WORDS * 4 + limits.maxTimeWait * TIME_WAIT_WORDS * 4 + congestionBytes(limits);
	return records + buckets * 4 + ALIGNMENT;
}

/** The most bytes of memory that an arena can have, in whole pages beside all tables; 0 or less when these alone are too much. */
export function mostMemory(limits: Limits): number {
	const left = ARENA_MAX - PagePool.bytes(0, LANDINGS, SLABS) - tableBytes(limits);
	return Math.floor(left / PAGE_ROOM) * PAGE_ROOM;
}
