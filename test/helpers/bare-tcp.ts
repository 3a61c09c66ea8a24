/** An engine without anything below or above it, for tests of its parts. */

import { SEGMENTATION_MAX } from "../../src/link/link.ts";
import { Arena } from "../../src/memory/arena.ts";
import { PagePool } from "../../src/memory/pages.ts";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import { congestionBytes, Tcp } from "../../src/tcp/engine.ts";
import { begin } from "../../src/tcp/opening.ts";
import { TCP_DEFAULTS, type TcpOptions } from "../../src/tcp/options.ts";
import { ESTABLISHED } from "../../src/tcp/state.ts";
import { VirtualClock } from "./runtime.ts";

/** @param slabs With any, as over a link that takes slices. */
export function bareTcp(options: Partial<TcpOptions> = {}, pages = 256, landings = 0, slabs = 0) {
	const all = { ...TCP_DEFAULTS, maxConnections: 4, maxTimeWait: 4, ...options };
	const arena = new Arena(PagePool.bytes(pages, landings, slabs) + congestionBytes(all) + 65536 * 2);
	const pool = new PagePool(arena, pages, landings, slabs);
	const { runtime } = new VirtualClock();
	const lower = {
		output(page: number) {
			pool.release(page);
			return true;
		},
		mtuTo: () => 1500,
		isNeighbor: () => true,
		runs: () => false,
		outputRun() {},
		append() {},
	};
	const t = new Tcp(arena, pool, runtime, lower, { events() {}, quiet: () => false, accept() {} }, 1500, all);
	t.segmentation = slabs > 0 ? SEGMENTATION_MAX : 0;
	t.longPieces = slabs > 0;
	const connection = (): Connection => {
		const c = t.at(t.table.alloc());
		c.state = ESTABLISHED;
		begin(t, c);
		c.sndUna = c.sndNxt = c.sndEnd = (c.iss + 1) | 0;
		c.peerMss = 1460;
		c.mss = 1448;
		c.sndWnd = 65535;
		return c;
	};
	return { t, pool, connection };
}
