/** One flow as fast as it goes, each way: unmodified `net` source and sink over TAP and on kernel sockets, iperf3 beside them. */
import { type Bench, median, type Options, type Result, type Row, ratioAtLeast, valueAtLeast } from "../lib/bench.ts";
import { pin, pinLoopback } from "../lib/congestion.ts";
import { iperf3, kernel, millrace, type Path, type Server, type Serving } from "../lib/contestants.ts";
import { flow } from "../lib/flow.ts";
import { CUBIC, installed, isolationNeeds, type Lab } from "../lib/lab.ts";
import { type Comparison, rowsOf } from "../lib/rows.ts";
import { LONG_WARM_UP, withServers } from "../lib/servers.ts";

/** iperf3 on both sides over lo: what the kernel alone does on this machine. */
async function iperf(lab: Lab, mode: "pull" | "push", server: Serving, seconds: number, congestion: string): Promise<number> {
	const direction = mode === "pull" ? ["-R"] : [];
	const argv = ["iperf3", "-c", server.address, "-p", String(server.port), "-t", String(seconds), "-C", congestion, "-J", ...direction];
	const report = JSON.parse(await lab.client(argv, { seconds: seconds + 15 }).output());
	return report.end.sum_received.bits_per_second;
}

/** What the kernel's servers send by; what its client sends by is said to the client. Millrace sends by a CUBIC of its own. */
function pinServers(lab: Lab, paths: readonly Path[], congestion: string): void {
	pinLoopback(congestion);
	if (paths.includes("veth")) pin("veth1", congestion, lab.far());
}

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const rows: Row[] = [];
		if (!installed("iperf3")) servers.notes.push("iperf3 left out: apt-get install iperf3");
		// Where the machine gives its connections something else, that is measured as well: BBR's model decides otherwise.
		const others = options.short ? [] : [lab.machinesChoice].filter((name) => name !== CUBIC);
		for (const congestion of [CUBIC, ...others]) {
			const usual = congestion === CUBIC;
			const paths: readonly Path[] = options.short || !usual ? ["lo"] : ["lo", "veth"];
			pinServers(lab, paths, congestion);
			for (const [mode, file, name] of [
				["pull", "source.mjs", "server sends"],
				["push", "sink.mjs", "server receives"],
			] as const) {
				const title = usual ? name : `${name} (kernel: ${congestion})`;
				const ours = millrace(lab, options, file);
				const kernels = paths.map((path) => kernel(lab, options, file, path));
				const lo = kernels[0]!;
				const references = usual && installed("iperf3") && !options.short ? [iperf3(lab)] : [];
				const load = async (serving: Serving, seconds: number, server: Server) => {
					const run = references.includes(server) ? iperf : flow;
					return { gbits: (await run(lab, mode, serving, seconds, congestion)) / 1e9 };
				};
				const figures = await servers.rounds(title, [ours, ...kernels, ...references], load, LONG_WARM_UP);
				const comparisons: Comparison[] = [{ of: ours, against: lo, goal: ratioAtLeast(0.9) }];
				if (median(figures.get(lo)?.gbits ?? []) >= 8) comparisons.push({ of: ours, goal: valueAtLeast(5) });
				for (const against of [...kernels.slice(1), ...references]) comparisons.push({ of: ours, against });
				rows.push(...rowsOf(figures, { title, metric: "gbits", unit: "Gbit/s" }, comparisons));
			}
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
