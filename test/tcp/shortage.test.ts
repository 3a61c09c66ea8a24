/** What connections have by right when pages run short (docs/design.md, decision 17): the sum that the thresholds have to keep. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PagePool } from "../../src/memory/pages.ts";
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
