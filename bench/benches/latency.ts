/** 64 bytes there and back on one connection: an unmodified `net` echo server over TAP (staying awake between frames for 50 us, not at all, or for 100 us) and on kernel sockets. */
import { type Bench, type Options, type Result, ratioAtMost } from "../lib/bench.ts";
import { kernel, millrace, type Path, variant } from "../lib/contestants.ts";
import { roundTrips } from "../lib/flow.ts";
import { isolationNeeds } from "../lib/lab.ts";
import { type Comparison, rowsOf } from "../lib/rows.ts";
import { withServers } from "../lib/servers.ts";

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const paths: readonly Path[] = options.short ? ["lo"] : ["lo", "veth"];
		const ours = millrace(lab, options, "echo.mjs");
		const sleeping = variant(lab, options, "echo.mjs", "--spin", "off");
		const spinning = variant(lab, options, "echo.mjs", "--spin");
		const kernels = paths.map((path) => kernel(lab, options, "echo.mjs", path));
		const lo = kernels[0]!;
		const comparisons: Comparison[] = [
			...kernels.map((against) => ({ of: ours, against, ...(against === lo && { goal: ratioAtMost(1) }) })),
			{ of: sleeping, against: lo },
			{ of: spinning, against: lo },
		];
		const figures = await servers.rounds("round trip", [ours, sleeping, spinning, ...kernels], (serving, seconds) =>
			roundTrips(lab, serving, seconds),
		);
		return ["p50", "p99"].flatMap((metric) => rowsOf(figures, { title: `round trip ${metric}`, metric, unit: "us" }, comparisons));
	});

export const latency: Bench = {
	name: "latency",
	title: "64-byte round trips on one connection, a net echo server over TAP against kernel net, blocking kernel client",
	isolated: true,
	needs: isolationNeeds,
	run,
};
