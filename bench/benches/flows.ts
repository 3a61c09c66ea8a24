/**
 * Many bulk flows at once, each way: the source and the sink of `bulk`, with clients of `net` on kernel sockets; and how long a new connection takes
 * beside them, and a request on an open one.
 */
import type { Bench, Options, Result, Row } from "../lib/bench.ts";
import { pinLoopback } from "../lib/congestion.ts";
import { kernel, millrace, type Server, variant } from "../lib/contestants.ts";
import { flows as load } from "../lib/flow.ts";
import { CUBIC, isolationNeeds } from "../lib/lab.ts";
import { rowsOf } from "../lib/rows.ts";
import { LONG_WARM_UP, withServers } from "../lib/servers.ts";

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const rows: Row[] = [];
		// What the kernel's server sends by; what its clients send by is said to them.
		pinLoopback(CUBIC);
		for (const count of options.short ? [20] : [20, 200]) {
			for (const [mode, file, name] of [
				["pull", "source-beside.mjs", "server sends"],
				["push", "sink-beside.mjs", "server receives"],
			] as const) {
				const title = `${count} flows, ${name}`;
				const ours = millrace(lab, options, file);
				const theirs = kernel(lab, options, file, "lo");
				const others: Server[] = [variant(lab, options, file, "--express-lane", "off")];
				// Windows are those of who receives.
				if (mode === "push") others.push(variant(lab, options, file, "--hold-windows", "off"));
				const comparisons = [ours, ...others].map((of) => ({ of, against: theirs }));
				const figures = await servers.rounds(
					title,
					[ours, ...others, theirs],
					async (serving, seconds) => {
						const { bits, ...beside } = await load(lab, mode, serving, seconds, count, CUBIC);
						return { gbits: bits / 1e9, ...beside };
					},
					LONG_WARM_UP,
				);
				rows.push(...rowsOf(figures, { title, metric: "gbits", unit: "Gbit/s" }, comparisons));
				rows.push(...rowsOf(figures, { title, suffix: ": a connection beside them", metric: "connect", unit: "ms" }, comparisons));
				rows.push(...rowsOf(figures, { title, suffix: ": a request beside them", metric: "request", unit: "ms" }, comparisons));
			}
		}
		return rows;
	});

export const flows: Bench = {
	name: "flows",
	title: "20 and 200 flows at once each way, a net source and sink over TAP against kernel net",
	isolated: true,
	needs: isolationNeeds,
	run,
};
