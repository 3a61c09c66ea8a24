import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { ArenaCopy } from "../../src/memory/copy.ts";

const length = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2048 }), fc.integer({ min: 2000, max: 9000 }));
const place = fc.integer({ min: 0, max: 40 });
/** Bytes that no shift looks like. */
const pattern = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 167 + (i >> 8) * 31) & 255);

/** The copies as they are, and where WebAssembly cannot be had. */
async function copies(): Promise<Record<string, (arena: Arena) => ArenaCopy>> {
	const made: Record<string, (arena: Arena) => ArenaCopy> = { "memory.copy": (arena) => new ArenaCopy(arena) };
	const engine = (globalThis as unknown as { WebAssembly: { Module: unknown } }).WebAssembly;
	const { Module } = engine;
	// A copy of the module of its own, that has not compiled anything yet.
	const fresh: string = "../../src/memory/copy.js?no-webassembly";
	const { ArenaCopy: Bare } = (await import(fresh)) as { ArenaCopy: typeof ArenaCopy };
	made.bytes = (arena) => {
		engine.Module = class {
			constructor() {
				throw new Error("forbidden");
			}
		};
		try {
			return new Bare(arena);
		} finally {
			engine.Module = Module;
		}
	};
	return made;
}

for (const [name, make] of Object.entries(await copies())) {
	it(`copies what it is asked to and nothing beside, at any place (${name})`, () => {
		const arena = new Arena(65536);
		const copy = make(arena);
		const base = arena.reserve(20_000);
		fc.assert(
			fc.property(length, place, place, (n, from, to) => {
				const around = pattern(n + 100);
				arena.u8.fill(0, base, base + 20_000);
				copy.in(around, from, base + 8 + to, n);
				assert.deepEqual(arena.u8.slice(base + 8 + to, base + 8 + to + n), around.slice(from, from + n));
				assert.equal(arena.u8[base + 8 + to - 1], 0);
				assert.equal(arena.u8[base + 8 + to + n], 0);

				const back = new Uint8Array(n + 100);
				copy.out(base + 8 + to, back, from + 1, n);
				assert.deepEqual(back.slice(from + 1, from + 1 + n), around.slice(from, from + n));
				assert.equal(back[from], 0);
				assert.equal(back[from + 1 + n], 0);

				copy.within(base + 9000 + from, base + 8 + to, n);
				assert.deepEqual(arena.u8.slice(base + 9000 + from, base + 9000 + from + n), around.slice(from, from + n));
			}),
			{ numRuns: 500 },
		);
	});

	it(`copies from another arena, and from this one, at any place (${name})`, () => {
		const other = new Arena(65536);
		const arena = new Arena(65536);
		const copy = make(arena);
		const base = arena.reserve(20_000);
		const there = other.reserve(10_000);
		fc.assert(
			fc.property(length, place, place, (n, from, to) => {
				other.u8.set(pattern(n + 50), there);
				for (const source of [other, arena]) {
					arena.u8.fill(0, base, base + 20_000);
					const at = source === other ? there + from : base + 10_000 + from;
					if (source === arena) arena.u8.set(pattern(n + 50), base + 10_000);
					copy.over(source, at, base + 8 + to, n);
					assert.deepEqual(arena.u8.slice(base + 8 + to, base + 8 + to + n), pattern(n + 50).slice(from, from + n));
					assert.equal(arena.u8[base + 8 + to - 1], 0);
					if (source === other) assert.equal(arena.u8[base + 8 + to + n], 0);
				}
			}),
			{ numRuns: 500 },
		);
	});

	it(`moves what overlaps (${name})`, () => {
		const arena = new Arena(65536);
		const copy = make(arena);
		const base = arena.reserve(4096);
		fc.assert(
			fc.property(
				fc.integer({ min: 0, max: 1000 }),
				fc.integer({ min: 0, max: 1000 }),
				fc.integer({ min: 0, max: 2000 }),
				(from, to, n) => {
					const bytes = pattern(4096);
					arena.u8.set(bytes, base);
					copy.within(base + to, base + from, n);
					bytes.copyWithin(to, from, from + n);
					assert.deepEqual(arena.u8.slice(base, base + 4096), bytes);
				},
			),
		);
	});

	it(`copies from a view that does not begin where its buffer does (${name})`, () => {
		const arena = new Arena(65536);
		const copy = make(arena);
		const base = arena.reserve(4096);
		for (let skew = 0; skew < 8; skew++) {
			const view = pattern(2000).subarray(skew + 1, skew + 1 + 1448);
			copy.in(view, 0, base, 1448);
			assert.deepEqual(arena.u8.slice(base, base + 1448), view.slice());
			const target = new Uint8Array(2000).subarray(skew + 3, skew + 3 + 1448);
			copy.out(base, target, 0, 1448);
			assert.deepEqual(target.slice(), view.slice());
		}
	});
}
