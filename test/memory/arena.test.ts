import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARENA_MAX, Arena } from "../../src/memory/arena.ts";

test("regions are zeroed, aligned and do not overlap; the first bytes belong to nobody", () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 5000 }), fc.constantFrom(1, 4, 64, 4096)), { maxLength: 12 }), (requests) => {
			const arena = new Arena(1 << 17);
			let end = 64;
			for (const [bytes, align] of requests) {
				const start = arena.reserve(bytes, align);
				assert.equal(start % align, 0);
				assert.ok(start >= end);
				end = start + bytes;
				assert.equal(arena.used, end);
				assert.ok(arena.u8.subarray(start, end).every((byte) => byte === 0));
				arena.u8.fill(255, start, end);
			}
		}),
		{ numRuns: 100 },
	);
});

test("bytes and words are two views of the same memory", () => {
	const arena = new Arena(1);
	assert.equal(arena.size, 65536);
	assert.equal(arena.u8.buffer, arena.memory.buffer);
	assert.equal(arena.i32.buffer, arena.memory.buffer);
	arena.i32[16] = 0x01020304;
	assert.deepEqual([...arena.u8.subarray(64, 68)], [4, 3, 2, 1]);
});

test("an arena that is full, or of an impossible size, says so", () => {
	const arena = new Arena(65536);
	arena.reserve(65536 - 64);
	assert.equal(arena.used, arena.size);
	assert.throws(() => arena.reserve(1), /full.*raise the memory option/);
	for (const bytes of [0, -1, Number.NaN, ARENA_MAX + 1]) assert.throws(() => new Arena(bytes), /arena of .* bytes: give 1 to/);
});
