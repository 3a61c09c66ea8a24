/** One flow as fast as it goes, each way: unmodified `net` source and sink over TAP and on kernel sockets, iperf3 beside them. */
import { type Bench, median, type Options, type Result, type Row, ratioAtLeast, valueAtLeast } from "../lib/bench.ts";
import { iperf3, kernel, millrace, type Path, type Serving } from "../lib/contestants.ts";
import { flow } from "../lib/flow.ts";
import { installed, isolationNeeds, type Lab } from "../lib/lab.ts";
import { type Comparison, rowsOf } from "../lib/rows.ts";
import { withServers } from "../lib/servers.ts";

/** iperf3 on both sides over lo: what the kernel alone does on this machine. */
async function iperf(lab: Lab, mode: "pull" | "push", server: Serving, seconds: number): Promise<number> {
	const argv = ["iperf3", "-c", server.address, "-p", String(server.port), "-t", String(seconds), "-J", ...(mode === "pull" ? ["-R"] : [])];
	const report = JSON.parse(await lab.client(argv, { seconds: seconds + 15 }).output());
	return report.end.sum_received.bits_per_second;
}

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const rows: Row[] = [];
		const paths: readonly Path[] = options.short ? ["lo"] : ["lo", "veth"];
		if (!installed("iperf3")) servers.notes.push("iperf3 left out: apt-get install iperf3");
		for (const [mode, file, title] of [
			["pull", "source.mjs", "server sends"],
			["push", "sink.mjs", "server receives"],
		] as const) {
			const ours = millrace(lab, options, file);
			const kernels = paths.map((path) => kernel(lab, options, file, path));
			const lo = kernels[0]!;
			const references = installed("iperf3") && !options.short ? [iperf3(lab)] : [];
			const figures = await servers.rounds(title, [ours, ...kernels, ...references], async (serving, seconds, server) => {
				const load = references.includes(server) ? iperf : flow;
				return { gbits: (await load(lab, mode, serving, seconds)) / 1e9 };
			});
			const comparisons: Comparison[] = [{ of: ours, against: lo, goal: ratioAtLeast(0.9) }];
			if (median(figures.get(lo)?.gbits ?? []) >= 8) comparisons.push({ of: ours, goal: valueAtLeast(5) });
			for (const against of [...kernels.slice(1), ...references]) comparisons.push({ of: ours, against });
			rows.push(...rowsOf(figures, { title, metric: "gbits", unit: "Gbit/s" }, comparisons));
		}
		return rows;
	});

export const bulk: Bench = {
	name: "bulk",
	title: "one flow each way, a net source and sink over TAP against kernel net and iperf3",
	isolated: true,
	needs: isolationNeeds,
	run,
};
