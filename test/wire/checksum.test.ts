import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { checksum, fold, pseudoHeader4, pseudoHeader6, sum, sumByVectors, update16, update32 } from "../../src/wire/checksum.ts";

/** The sum as RFC 1071 defines it: 16-bit words in network order, carries added back at once. */
function naive(bytes: Uint8Array): number {
	let total = 0;
	for (let i = 0; i < bytes.length; i += 2) {
		total += (bytes[i]! << 8) | (bytes[i + 1] ?? 0);
		if (total > 0xffff) total -= 0xffff;
	}
	return total;
}

test("RFC 1071 3: the example sums to ddf2", () => {
	const bytes = Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
	assert.equal(fold(sum(bytes, 0, 8, 0)), 0xddf2);
	assert.equal(checksum(bytes, 0, 8, 0), ~0xddf2 & 0xffff);
});

test("RFC 1071: the sum equals the definition at every alignment and length, in an arena and in views with an offset", () => {
	const arena = new Arena(65536);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), (bytes, shift) => {
			arena.u8.fill(0xee);
			arena.u8.set(bytes, 512 + shift);
			assert.equal(fold(sum(arena.u8, 512 + shift, bytes.length, 0)), naive(bytes));
			const plain = new Uint8Array(shift + bytes.length + 3).fill(0xee);
			plain.set(bytes, shift);
			assert.equal(fold(sum(plain, shift, bytes.length, 0)), naive(bytes));
			assert.equal(fold(sum(plain.subarray(shift), 0, bytes.length, 0)), naive(bytes));
		}),
		{ numRuns: 2000 },
	);
});

/** An arena whose sums are taken by vectors. */
function vectorArena(bytes: number): Arena {
	const arena = new Arena(bytes);
	assert.ok(sumByVectors(arena), "this engine has WebAssembly SIMD");
	return arena;
}

test("RFC 1071: the sum by vectors equals the definition at every alignment and length, whatever lies around", () => {
	const { u8 } = vectorArena(65536);
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(31), fc.nat(255), (bytes, shift, around) => {
			u8.fill(around, 0, 1024);
			u8.set(bytes, 512 + shift);
			assert.equal(sum(u8, 512 + shift, bytes.length, 7), naive(bytes) + 7);
		}),
		{ numRuns: 3000 },
	);
});

test("RFC 1071: no carry is lost by vectors, whatever lane or half it is in", () => {
	const { u8 } = vectorArena(1 << 18);
	const words = [0, 1, 0xff, 0x100, 0x7fff, 0x8000, 0xff00, 0xfffe, 0xffff];
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom(...words), { minLength: 1, maxLength: 16 }),
			fc.constantFrom(25, 63, 1460, 1461, 9000, 65535, 131071, 131072),
			fc.nat(15),
			(pattern, length, shift) => {
				for (let i = 0; i < length; i++) {
					const word = pattern[(i >> 1) % pattern.length]!;
					u8[shift + i] = (i & 1) === 0 ? word >> 8 : word;
				}
				assert.equal(sum(u8, shift, length, 0), naive(u8.subarray(shift, shift + length)));
			},
		),
		{ numRuns: 300 },
	);
});

test("sums by vectors reach to the last byte of the arena, and stay their own arena's", () => {
	const first = vectorArena(65536);
	const second = vectorArena(65536);
	const plain = new Arena(65536);
	for (const [i, { u8, size }] of [first, second, plain].entries()) {
		u8.fill(i + 1);
		u8[size - 1] = 0x7b;
	}
	for (const length of [40, 41, 100, 1461]) {
		for (const { u8, size } of [first, second, plain, first])
			assert.equal(sum(u8, size - length, length, 0), naive(u8.subarray(size - length)), `${length} bytes`);
	}
});

test("where WebAssembly SIMD is not to be had, an arena is summed as before", async (t) => {
	const engine = (globalThis as unknown as { WebAssembly: { Module: unknown } }).WebAssembly;
	const real = engine.Module;
	t.after(() => {
		engine.Module = real;
	});
	let tried = 0;
	engine.Module = class {
		constructor() {
			tried++;
			throw new Error("invalid value type");
		}
	};
	// An instance of its own: the one that the other tests use has compiled the module already.
	const fresh: string = "../../src/wire/checksum-vectors.js?old-engine";
	const { vectorSum } = await import(fresh);
	assert.equal(vectorSum(new Arena(65536).memory), null);
	assert.equal(vectorSum(new Arena(65536).memory), null);
	assert.equal(tried, 1);
});

test("the WebAssembly module is what the script assembles", () => {
	const script = fileURLToPath(new URL("../../../scripts/checksum-wasm.mjs", import.meta.url));
	const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
	assert.equal(status, 0, stderr);
});

test("RFC 1071: 64 KiB of ones do not overflow", () => {
	for (const length of [1460, 65534, 65535, 131072]) {
		const bytes = new Uint8Array(length).fill(255);
		assert.equal(fold(sum(bytes, 0, length, 0xffff)), naive(bytes));
	}
});

test("RFC 1071 2: a sum may be taken in pieces of even length", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(50), (bytes, half) => {
			const cut = Math.min(half * 2, bytes.length & ~1);
			assert.equal(fold(sum(bytes, cut, bytes.length - cut, sum(bytes, 0, cut, 0))), naive(bytes));
		}),
	);
});

test("data that hold their checksum check to 0, and no single flipped bit does", () => {
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 20, maxLength: 60 }), fc.nat(), (bytes, at) => {
			bytes[10] = 0;
			bytes[11] = 0;
			const value = checksum(bytes, 0, bytes.length, 0);
			bytes[10] = value >>> 8;
			bytes[11] = value;
			assert.equal(checksum(bytes, 0, bytes.length, 0), 0);
			const bit = at % (bytes.length * 8);
			bytes[bit >> 3]! ^= 1 << (bit & 7);
			assert.notEqual(checksum(bytes, 0, bytes.length, 0), 0);
		}),
	);
});

test("RFC 1624: a changed word is followed incrementally", () => {
	// RFC 1624 4: the case that RFC 1141 got wrong.
	assert.equal(update16(0xdd2f, 0x5555, 0x3285), 0x0000);
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), fc.nat(7), fc.integer(), (bytes, word, value) => {
			bytes[0] = 0x45; // A header is never all zero, where -0 and +0 would differ.
			const view = new DataView(bytes.buffer, bytes.byteOffset);
			const at = 2 + word * 2;
			const before16 = checksum(bytes, 0, 20, 0);
			const from16 = view.getUint16(at);
			view.setUint16(at, value & 0xffff);
			const after16 = checksum(bytes, 0, 20, 0);
			assert.equal(update16(before16, from16, value & 0xffff), after16);
			const from32 = view.getInt32(at);
			view.setInt32(at, ~value);
			assert.equal(update32(after16, from32, ~value), checksum(bytes, 0, 20, 0));
		}),
	);
});

test("RFC 9293 3.1 and RFC 8200 8.1: pseudo-header sums equal the sums over their bytes", () => {
	fc.assert(
		fc.property(
			fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 8, maxLength: 8 }),
			fc.nat(65535),
			(words, length) => {
				const [a, b, c, d, e, f, g, h] = words as [number, number, number, number, number, number, number, number];
				const four = new DataView(new ArrayBuffer(12));
				four.setInt32(0, a);
				four.setInt32(4, b);
				four.setUint8(9, 6);
				four.setUint16(10, length);
				assert.equal(fold(pseudoHeader4(a, b, 6, length)), naive(new Uint8Array(four.buffer)));
				const six = new DataView(new ArrayBuffer(40));
				for (const [i, word] of words.entries()) six.setInt32(i * 4, word);
				six.setUint32(32, length + 70000);
				six.setUint8(39, 17);
				assert.equal(fold(pseudoHeader6(a, b, c, d, e, f, g, h, 17, length + 70000)), naive(new Uint8Array(six.buffer)));
			},
		),
	);
});

test("RFC 1624 3: no checksum of ours is ffff; RFC 1071: one that is, as Linux sends it for 0, is right", () => {
	const { u8 } = vectorArena(65536);
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 30, maxLength: 80 }), fc.constantFrom(true, false), (bytes, vectors) => {
			const length = bytes.length & ~1;
			const data = vectors ? u8 : new Uint8Array(length);
			data.set(bytes.subarray(0, length));
			data[0] = 1; // not all zeros, as no header is
			data[2] = data[3] = data[4] = data[5] = 0;
			// The word at 4 makes the checksum, at 2, come out as 0.
			const rest = checksum(data, 0, length, 0);
			data[4] = rest >> 8;
			data[5] = rest;
			assert.equal(checksum(data, 0, length, 0), 0);
			data[2] = data[3] = 0xff;
			assert.equal(checksum(data, 0, length, 0), 0);
		}),
	);
});
