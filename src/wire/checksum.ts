/**
 * The Internet checksum (RFC 1071), its incremental update (RFC 1624) and the pseudo-headers of TCP and UDP.
 *
 * Hides that the sum is taken over 32-bit words of the memory below the byte array. The ones-complement sum does not
 * depend on byte order (RFC 1071, 2 B), so words are added as the machine has them and the folded sum is swapped once, and
 * not even that when the data begin at an odd address. Little-endian machines only, as WebAssembly memory is.
 *
 * A sum on its way ("partial") is a small non-negative integer that need not be folded; up to some thousands of folded
 * sums may be added together before `fold`.
 *
 * In an arena that `sumByVectors` was told of, WebAssembly takes the sum, 16 bytes at a time (checksum-vectors.ts).
 *
 * Measured on Node 20, 1460 bytes: 0.7 us by bytes, 0.3 us by 16-bit words, 0.24 us by 32-bit words, 0.05 us by vectors, at any
 * alignment (`npm run bench -- micro checksum`).
 */
import type { Arena } from "../memory/arena.ts";
import { type VectorSum, vectorSum } from "./checksum-vectors.ts";

/** How a byte array is summed: by vectors, or by the words below it. */
interface Summer {
	readonly vectors: VectorSum | null;
	readonly words: Int32Array;
}

/** How each byte array that was summed lately is, since a checksum is asked for by byte array. */
const summers = new WeakMap<Uint8Array, Summer>();
// One arena is nearly always the same as the last time: saves the 5 ns of the WeakMap.
let lastBytes: Uint8Array | null = null;
let lastVectors: VectorSum | null = null;
let lastWords: Int32Array = new Int32Array(0);

function use(u8: Uint8Array): void {
	let summer = summers.get(u8);
	if (summer === undefined) {
		summer = { vectors: null, words: new Int32Array(u8.buffer, 0, u8.buffer.byteLength >> 2) };
		summers.set(u8, summer);
	}
	lastBytes = u8;
	lastVectors = summer.vectors;
	lastWords = summer.words;
}

/** From now on the bytes of this arena are summed by vectors; false, and nothing changes, where the engine has none. */
export function sumByVectors(arena: Arena): boolean {
	const vectors = vectorSum(arena.memory);
	if (vectors === null) return false;
	summers.set(arena.u8, { vectors, words: arena.i32 });
	if (lastBytes === arena.u8) use(arena.u8);
	return true;
}

/** Up to this length bytes are the fastest: 11 ns for an IP header, where a call of WebAssembly takes 12 and the way to words 26. */
const BY_BYTES = 24;
/** Without vectors, up to this length: even at 52. */
const BY_BYTES_NOT_WORDS = 48;

function sumBytes(u8: Uint8Array, start: number, length: number): number {
	const even = start + (length & ~1);
	let total = 0;
	for (let at = start; at < even; at += 2) total += (u8[at]! << 8) | u8[at + 1]!;
	if ((length & 1) !== 0) total += u8[even]! << 8;
	return fold(total);
}

/**
 * Adds the ones-complement sum of `length` bytes to a partial sum. An odd last byte counts as the high half of a word
 * (RFC 1071, 4.1), so only the last of several pieces may have an odd length.
 *
 * @param length At most 131072 bytes.
 * @param initial A partial sum to go on from, 0 to begin.
 * @returns A partial sum: `initial` plus at most 65535.
 */
export function sum(u8: Uint8Array, start: number, length: number, initial: number): number {
	if (length <= BY_BYTES) return initial + sumBytes(u8, start, length);
	if (u8 !== lastBytes) use(u8);
	if (lastVectors !== null) return initial + lastVectors(start, length);
	return initial + (length <= BY_BYTES_NOT_WORDS ? sumBytes(u8, start, length) : sumWords(u8, lastWords, start, length));
}

function sumWords(u8: Uint8Array, words: Int32Array, start: number, length: number): number {
	const base = u8.byteOffset;
	const end = start + length;
	const odd = (base + start) & 1;
	let at = start;
	let halves = 0;
	if (odd !== 0 && at < end) halves = u8[at++]! << 8;
	if (((base + at) & 2) !== 0 && at + 2 <= end) {
		halves += u8[at]! | (u8[at + 1]! << 8);
		at += 2;
	}
	let i = (base + at) >> 2;
	const stop = (base + end) >> 2;
	if (i < stop) {
		// Sum of the words modulo 2^32, and of their upper halves: what is missing, the sum of the lower halves, follows.
		let total = 0;
		let upper = 0;
		at += (stop - i) << 2;
		for (const last = stop - 4; i <= last; i += 4) {
			const a = words[i]!;
			const b = words[i + 1]!;
			const c = words[i + 2]!;
			const d = words[i + 3]!;
			total = (total + a + b + c + d) | 0;
			upper = (upper + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0;
		}
		for (; i < stop; i++) {
			const a = words[i]!;
			total = (total + a) | 0;
			upper = (upper + (a >>> 16)) | 0;
		}
		const lower = (total - (upper << 16)) | 0;
		halves += (lower >>> 16) + (lower & 0xffff) + (upper >>> 16) + (upper & 0xffff);
	}
	if (at + 2 <= end) {
		halves += u8[at]! | (u8[at + 1]! << 8);
		at += 2;
	}
	if (at < end) halves += u8[at]!;
	halves = fold(halves);
	return odd !== 0 ? halves : ((halves & 0xff) << 8) | (halves >>> 8);
}

/** Folds a partial sum into 16 bits. */
export function fold(partial: number): number {
	const once = (partial & 0xffff) + (partial >>> 16);
	return (once & 0xffff) + (once >>> 16);
}

/**
 * The checksum of `length` bytes, to be written into a header whose checksum field is 0 while it is summed. Over data that
 * hold their checksum the result is 0 if the checksum is right.
 *
 * @param initial A partial sum that belongs to it as well, such as a pseudo-header's.
 */
export function checksum(u8: Uint8Array, start: number, length: number, initial: number): number {
	return ~fold(sum(u8, start, length, initial)) & 0xffff;
}

/**
 * The checksum after one 16-bit word under it changed (RFC 1624, equation 3: right where RFC 1141 is not). Data that are
 * nothing but zeros after the change, which no IP or TCP header can be, need ffff where this gives 0.
 *
 * @param old The checksum as it stands in the header.
 */
export function update16(old: number, from: number, to: number): number {
	return ~fold((~old & 0xffff) + (~from & 0xffff) + (to & 0xffff)) & 0xffff;
}

/** The checksum after a 32-bit word (at an even offset) under it changed. */
export function update32(old: number, from: number, to: number): number {
	return ~fold((~old & 0xffff) + (~from >>> 16) + (~from & 0xffff) + (to >>> 16) + (to & 0xffff)) & 0xffff;
}

/**
 * Partial sum of the pseudo-header of TCP and UDP over IPv4 (RFC 9293 3.1).
 *
 * @param src Addresses as 32-bit numbers.
 * @param length Bytes of transport header and payload.
 */
export function pseudoHeader4(src: number, dst: number, protocol: number, length: number): number {
	return (src >>> 16) + (src & 0xffff) + (dst >>> 16) + (dst & 0xffff) + protocol + length;
}

/** Partial sum of the pseudo-header of TCP, UDP and ICMPv6 over IPv6 (RFC 8200 8.1); addresses as four 32-bit numbers each. */
export function pseudoHeader6(
	src0: number,
	src1: number,
	src2: number,
	src3: number,
	dst0: number,
	dst1: number,
	dst2: number,
	dst3: number,
	protocol: number,
	length: number,
): number {
	return (
		pseudoHeader4(src0, dst0, protocol, length & 0xffff) +
		pseudoHeader4(src1, dst1, 0, length >>> 16) +
		pseudoHeader4(src2, dst2, 0, 0) +
		pseudoHeader4(src3, dst3, 0, 0)
	);
}
