/**
 * Freed memory that stays in the process.
 *
 * Hides one habit of glibc's allocator. Each chunk of a bulk transfer is an ArrayBuffer of up to 64 KiB, and V8 frees them by the
 * thousand; when more than 128 KiB at the top of the heap are free, `free` gives them back to the kernel, and the next chunk pays for
 * every page with a fault and with zeroing, up to 30 us per chunk. The limit grows by itself as soon as a large block is freed (mallopt(3),
 * M_MMAP_THRESHOLD: "dynamic"), to twice the block's size, as happens in most long-running programs sooner or later. Here it happens now.
 */
import { libc } from "./libc.ts";

/** The largest block that glibc takes as a hint on 64-bit machines is 32 MiB, header included; V8 lets 32 MiB of chunks come together before it looks. */
const HINT = (32 << 20) - 65536;

/**
 * Lets the allocator keep up to 64 MiB of what is freed, and take blocks of up to 32 MiB from what it keeps instead of from the kernel.
 * Without effect on an allocator other than glibc's. Takes no memory by itself, but freed blocks below one that lives stay with the process.
 */
export function keepFreedMemory(): void {
	const c = libc();
	const block = c.malloc(HINT);
	if (block !== 0) c.free(block);
}
