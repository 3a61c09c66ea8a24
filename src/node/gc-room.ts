/**
 * Room for the garbage collector while bulk data are read.
 *
 * Hides a spiral of V8's. Every chunk of a kilobyte and more that a handle hands out is an ArrayBuffer outside of the heap, but counts against the heap's limit,
 * which is a small multiple of what lives in the heap. A server with 9 MB of objects gets a limit of 30 MB, so 32 MiB of chunks (what V8
 * lets come together before it looks at the young ones) are answered with a collection of the whole heap: one per 25 ms at 10 Gbit/s,
 * which takes up to half of the core, which V8 answers with lower limits. The kernel's sockets suffer from it, too, with twice the room.
 *
 * So while bulk data come, a heap that is small may grow further before it is collected as a whole: V8's own switch
 * `heap-growing-percent`, which it reads at the end of each collection. Heaps of more than SMALL have the room anyway. From V8 14 on that is not
 * enough: there each 64 MB outside of the heap begin a collection of the whole heap by themselves, whatever the limit, unless they are told to
 * count against it (`external-memory-accounted-in-global-limit`). A second with hardly any, and V8 decides alone again. It is a setting of the whole process, so nothing is done before `makeGcRoom`: a program that was put on
 * the stack calls it, a library does not.
 */
import v8 from "node:v8";

/** Bytes that the heap may grow before it is collected as a whole: four times what V8 lets come together. */
const ROOM = 128 << 20;
/** Bytes of a heap that has the room by V8's own rule, which is at least to double. */
const SMALL = ROOM / 2;
/** Bytes between two looks at the heap: what V8 lets come together. */
const INTERVAL = 32 << 20;
/** The first V8 that has a limit of its own for memory outside of the heap, and the switch that does without it. */
const OWN_LIMIT_V8 = 14;
const OWN_LIMIT = Number.parseInt(process.versions.v8, 10) >= OWN_LIMIT_V8;
/** Shorter chunks do not count: they lie in V8's heap or in Node's pool, or cost the heap as much as the memory outside. So requests are no bulk data, however many. */
const CHUNK_MIN = 1024;
/** Fewer bytes in a second are none either. */
const BULK = 8 << 20;
const SECOND_MS = 1000;

/** Bytes until the next look; for ever while nobody asked for any. */
let left = Number.POSITIVE_INFINITY;
let percent = 0;
let timer: NodeJS.Timeout | null = null;
/** `left` when the timer last rang, and whether there was a look since. */
let leftBefore = 0;
let looked = false;

/** From now on. */
export function makeGcRoom(): void {
	left = INTERVAL;
}

/** Says that a chunk was handed out. */
export function handedOut(bytes: number): void {
	if (bytes < CHUNK_MIN) return;
	left -= bytes;
	if (left <= 0) look();
}

function look(): void {
	left = INTERVAL;
	looked = true;
	const { used_heap_size: used } = v8.getHeapStatistics();
	setPercent(used < SMALL ? Math.ceil((100 * ROOM) / used) : 0);
	timer ??= setInterval(idle, SECOND_MS).unref();
}

function idle(): void {
	const bulk = looked || leftBefore - left >= BULK;
	leftBefore = left;
	looked = false;
	if (bulk) return;
	clearInterval(timer!);
	timer = null;
	left = INTERVAL;
	setPercent(0);
}

function setPercent(value: number): void {
	// Not for every kilobyte that the heap has grown.
	if (value !== 0 && percent !== 0 && Math.abs(value - percent) < percent >> 2) return;
	if (value === percent) return;
	if (OWN_LIMIT && (percent === 0) !== (value === 0))
		v8.setFlagsFromString(`--${value === 0 ? "no-" : ""}external-memory-accounted-in-global-limit`);
	percent = value;
	v8.setFlagsFromString(`--heap-growing-percent=${value}`);
}

/** What V8 was told, for tests; 0: nothing. */
export function heapGrowingPercent(): number {
	return percent;
}
