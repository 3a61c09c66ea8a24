/** The stack without a kernel: two hosts in one process over a memory link, one core for both; and the server's side alone. */
import { alternate, type Bench, type Goal, type Options, type Result, type Row, row, valueAtLeast } from "../lib/bench.ts";
import { localNeeds, runProgram } from "../lib/local.ts";

interface Mode {
	readonly mode: string;
	readonly name: string;
	readonly unit: string;
	readonly scale: number;
	readonly goal?: Goal;
	/** The mode that this one is compared with. */
	readonly against?: string;
}

const MODES: readonly Mode[] = [
	{ mode: "requests", name: "host pair, 64 B requests on 64 connections", unit: "requests/s", scale: 1, goal: valueAtLeast(600_000) },
	{ mode: "short", name: "host pair, short connections", unit: "connections/s", scale: 1, goal: valueAtLeast(150_000) },
	{ mode: "bulk", name: "host pair, one flow", unit: "Gbit/s", scale: 1e-9, goal: valueAtLeast(10) },
	{
		mode: "bulk-sums",
		name: "host pair, one flow, checksums by vectors",
		unit: "Gbit/s",
		scale: 1e-9,
		against: "bulk-sums-words",
	},
	{ mode: "bulk-sums-words", name: "host pair, one flow, checksums by words", unit: "Gbit/s", scale: 1e-9 },
	{ mode: "server-requests", name: "host alone, 64 B requests from stateless clients", unit: "requests/s", scale: 1 },
	{ mode: "server-short", name: "host alone, short connections from stateless clients", unit: "connections/s", scale: 1 },
];

async function run(options: Options): Promise<Result> {
	const figures = await alternate(
		MODES.map(({ mode, name, scale }) => ({
			name,
			measure: async () => ({
				rate: (await runProgram<{ rate: number }>(options, "memlink", [mode, String(options.seconds)])).rate * scale,
			}),
		})),
		options,
	);
	const series = MODES.map(({ name, unit }, i) => ({ name, unit, values: figures[i]!.rate! }));
	const rows: Row[] = MODES.map(({ against, goal }, i) => row(series[i]!, series[MODES.findIndex(({ mode }) => mode === against)], goal));
	return { rounds: options.rounds, rows, notes: [], complete: true };
}

export const memlink: Bench = {
	name: "memlink",
	title: "two hosts in one process over a memory link, one core; and one host with stateless clients",
	isolated: false,
	needs: localNeeds,
	run,
};
