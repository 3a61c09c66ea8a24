/** What connections have by right when pages run short (docs/design.md, decision 17): the sum that the thresholds have to keep. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PagePool } from "../../src/memory/pages.ts";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import type { Tcp } from "../../src/tcp/engine.ts";
import { Shortage } from "../../src/tcp/shortage.ts";

test("whatever the pool and the connections, a page to hear and one to write are left for each, as far as a quarter of the pages goes", () => {
	for (const capacity of [210, 288, 4096, 131_072]) {
		for (const count of [0, 1, 20, capacity >> 3, capacity >> 2, capacity]) {
			const shortage = new Shortage({ table: { count } } as Tcp, { capacity } as PagePool, capacity);
			const { lastPages, firstPages, reservedPages, scarcePages, tightPages, writeReserve } = shortage;
			const thresholds = [0, lastPages, firstPages, reservedPages, scarcePages, tightPages, writeReserve, capacity];
			const where = `${count} connections, thresholds ${thresholds.join(" ")}`;
			assert.deepEqual(
				thresholds,
				thresholds.toSorted((a, b) => a - b),
				where,
			);
			assert.ok(lastPages < firstPages && scarcePages < tightPages && tightPages < writeReserve && writeReserve < 0.6 * capacity, where);
			// Who is held to a share may have half a step together, and a segment each that goes beyond it; and a page each may be written.
			const step = writeReserve - scarcePages;
			assert.ok(tightPages - lastPages >= (step >> 1) + 2 * Math.min(count, capacity >> 3), where);
		}
	}
});

test("early bytes beyond a connection's share leave writers pages to pass on; up to its share they take what writers leave", () => {
	for (const capacity of [4096, 131_072]) {
		for (const count of [1, 20, capacity >> 3]) {
			const pool = { capacity, free: capacity };
			const shortage = new Shortage({ table: { count } } as Tcp, pool as PagePool, capacity);
			const writer = { sndHead: 1 } as Connection;
			const mine = Math.floor(((shortage.writeReserve - shortage.scarcePages) >> 1) / count);
			while (shortage.mayKeepEarly(mine + 1)) pool.free--;
			let passed = 0;
			while (shortage.mayWrite(writer, passed)) passed++;
			assert.ok(passed >= (capacity >> 4) - 1, `${capacity} pages, ${count} connections: ${passed} pages are left to write`);
			while (mine > 0 && shortage.mayKeepEarly(mine - 1)) pool.free--;
			if (mine > 0) assert.equal(pool.free, shortage.reservedPages - 1);
		}
	}
});
