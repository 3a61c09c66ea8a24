import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";

function make(capacity = 4, pages = 16): { pool: PagePool; batch: Batch } {
	const pool = new PagePool(new Arena(1 << 17), pages);
	return { pool, batch: new Batch(pool, capacity) };
}

test("add copies a frame so that the IP header behind 14 bytes of Ethernet lies on a word", () => {
	const { pool, batch } = make();
	const bytes = Uint8Array.of(1, 2, 3);
	assert.ok(batch.add(bytes, 2 ** 32 + 5));
	assert.equal((batch.start[0]! + 14) % 4, 0);
	assert.deepEqual([...batch.frame(0)], [1, 2, 3]);
	assert.equal(batch.time[0], 5);
	assert.equal(pool.refs(batch.page[0]!), 1);
});

test("add refuses a frame that does not fit, a full batch and an exhausted pool, and takes nothing", () => {
	const { pool, batch } = make(2, 16);
	assert.ok(!batch.add(new Uint8Array(PAGE_SIZE - 61), 0));
	assert.equal(pool.inUse, 0);
	assert.ok(batch.add(new Uint8Array(PAGE_SIZE - 62), 0));
	assert.ok(batch.add(new Uint8Array(0), 0));
	assert.ok(!batch.add(new Uint8Array(1), 0));
	assert.equal(pool.inUse, 2);
	const poor = make(4, 1);
	assert.ok(poor.batch.add(new Uint8Array(1), 0));
	assert.ok(!poor.batch.add(new Uint8Array(1), 0));
	assert.equal(poor.batch.count, 1);
});

test("push, drop and shift keep the order of entries; drop releases, shift does not", () => {
	const step = fc.oneof(
		fc.record({ kind: fc.constant("push" as const), n: fc.nat(1000) }),
		fc.record({ kind: fc.constantFrom("drop" as const, "shift" as const), n: fc.nat(8) }),
	);
	fc.assert(
		fc.property(fc.array(step, { maxLength: 40, size: "max" }), (steps) => {
			const { pool, batch } = make(6, 16);
			const model: number[][] = [];
			let held = 0;
			for (const { kind, n } of steps) {
				if (kind === "push") {
					const page = pool.alloc();
					if (page === 0) continue;
					const entry = [page, pool.address(page), n, n * 3, n & 7];
					const taken = batch.push(entry[0]!, entry[1]!, entry[2]!, entry[3], entry[4]);
					assert.equal(taken, model.length < 6);
					if (taken) {
						batch.segment[batch.count - 1] = n + 1;
						model.push([...entry, n + 1]);
					} else pool.release(page);
				} else {
					const count = Math.min(n, model.length);
					const gone = model.splice(0, count);
					if (kind === "drop") batch.drop(count);
					else {
						batch.shift(count);
						held += count;
						for (const [page] of gone) assert.equal(pool.refs(page!), 1);
					}
				}
				assert.equal(batch.count, model.length);
				assert.equal(pool.inUse, model.length + held);
				const rows = model.map((_, i) =>
					[batch.page, batch.start, batch.length, batch.time, batch.flags, batch.segment].map((column) => column[i]),
				);
				assert.deepEqual(rows, model);
			}
		}),
		{ numRuns: 300 },
	);
});

test("an entry that is pushed does not inherit the segment length of the one that was there before", () => {
	const { pool, batch } = make();
	batch.push(pool.alloc(), 0, 10);
	batch.segment[0] = 1460;
	batch.drop(1);
	batch.push(pool.alloc(), 0, 10);
	assert.equal(batch.segment[0], 0);
});
