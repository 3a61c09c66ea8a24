/** One flow as fast as it goes, each way: unmodified `net` source and sink over TAP and on kernel sockets, iperf3 beside them. */
import {
	alternate,
	type Bench,
	type Contestant,
	median,
	type Options,
	type Result,
	type Row,
	ratioAtLeast,
	row,
	valueAtLeast,
} from "../lib/bench.ts";
import { iperf3, kernel, millrace, type Serving } from "../lib/contestants.ts";
import { flow } from "../lib/flow.ts";
import { installed, isolationNeeds, type Lab } from "../lib/lab.ts";
import { withServers } from "../lib/servers.ts";

/** iperf3 on both sides over lo: what the kernel alone does on this machine. */
async function iperf(lab: Lab, server: Serving, mode: "pull" | "push", seconds: number): Promise<number> {
	const argv = ["iperf3", "-c", server.address, "-p", String(server.port), "-t", String(seconds), "-J", ...(mode === "pull" ? ["-R"] : [])];
	const report = JSON.parse(await lab.client(argv, { seconds: seconds + 15 }).output());
	return report.end.sum_received.bits_per_second;
}

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const { notes } = servers;
		const rows: Row[] = [];
		if (!installed("iperf3")) notes.push("iperf3 left out: apt-get install iperf3");
		for (const [mode, file, name] of [
			["pull", "source.mjs", "server sends"],
			["push", "sink.mjs", "server receives"],
		] as const) {
			const ours = await servers.ours("millrace", () => millrace(lab, options, file));
			const lo = await servers.theirs("kernel (lo)", () => kernel(lab, options, file, "lo"));
			const veth = options.short ? undefined : await servers.theirs("kernel (veth)", () => kernel(lab, options, file, "veth"));
			const reference = installed("iperf3") && !options.short ? await servers.theirs("iperf3", () => iperf3(lab)) : undefined;
			const contestants: Contestant[] = [];
			for (const server of [ours, lo, veth]) {
				if (server === undefined) continue;
				contestants.push({
					name: server.name,
					measure: async (round) => ({ gbits: (await flow(lab, mode, server, round < 0 ? 1 : options.seconds)) / 1e9 }),
				});
			}
			if (reference !== undefined) {
				contestants.push({
					name: reference.name,
					measure: async (round) => ({ gbits: (await iperf(lab, reference, mode, round < 0 ? 1 : options.seconds)) / 1e9 }),
				});
			}
			const figures = await alternate(contestants, options);
			const series = contestants.map((contestant, i) => ({
				name: `${name}, ${contestant.name}`,
				unit: "Gbit/s",
				values: figures[i]!.gbits!,
			}));
			const of = (server: Serving | undefined) => series[contestants.findIndex((contestant) => contestant.name === server?.name)];
			for (const one of series) {
				if (one !== of(ours)) rows.push(row(one));
				else {
					const kernelNet = of(lo);
					if (kernelNet) rows.push(row(one, kernelNet, ratioAtLeast(0.9)));
					if (kernelNet && median(kernelNet.values) >= 8) rows.push(row(one, undefined, valueAtLeast(5)));
					if (of(veth)) rows.push(row(one, of(veth)));
					if (of(reference)) rows.push(row(one, of(reference)));
				}
			}
			for (const server of [ours, lo, veth, reference]) await server?.stop();
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
