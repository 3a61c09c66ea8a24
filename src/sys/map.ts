/**
 * Kernel memory inside an arena: mmap(2) with MAP_FIXED over pages of a WebAssembly memory.
 *
 * Hides what may be mapped where. Only whole pages of the machine (64 KiB on some) inside the arena, which stays referenced by its
 * user. When a mapping is given back, zeroed memory is laid over it at once, so that a late read finds zeros, not a hole.
 */
import type { Arena } from "../memory/arena.ts";
import { systemError } from "./errno.ts";
import { libc } from "./libc.ts";

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_PRIVATE = 0x02;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_POPULATE = 0x8000;

/** The largest page of any machine: what a region's offset and length are multiples of. */
export const MAP_UNIT = 65536;

/** Rounds up to whole pages. */
export function mapLength(bytes: number): number {
	return Math.ceil(bytes / MAP_UNIT) * MAP_UNIT;
}

/** Lays `bytes` of what a descriptor maps at `fileOffset` over the arena from `offset` on. */
export function mapInto(arena: Arena, offset: number, bytes: number, fd: number, fileOffset: number, what: string): void {
	const address = libc().address(arena.u8) + BigInt(offset);
	if (libc().mmap(address, bytes, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, fileOffset) === -1)
		throw systemError(`map ${what}`, libc().errno(), "Free some memory, or ask for less");
}

/** Lays zeros over a mapping. */
export function unmapFrom(arena: Arena, offset: number, bytes: number): void {
	const address = libc().address(arena.u8) + BigInt(offset);
	libc().mmap(address, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
