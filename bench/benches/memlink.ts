/** The stack without a kernel: two hosts in one process over a memory link, one core for both; and the server's side alone. */
import { alternate, type Bench, type Goal, type Options, type Result, type Row, row, valueAtLeast } from "../lib/bench.ts";
import { localNeeds, runProgram } from "../lib/local.ts";
import { LONG_WARM_UP } from "../lib/servers.ts";

interface Mode {
	readonly mode: string;
	readonly name: string;
	readonly unit: string;
	readonly scale: number;
	readonly goal?: Goal;
	/** Options of Node's. */
	readonly flags?: readonly string[];
	/** The name of the row that this one is compared with. */
	readonly against?: string;
}

/** V8's own limit, which the program leaves as it was given (inlining.ts). */
const PLAIN_INLINING = ["--max-inlined-bytecode-size-cumulative=920"];
const REQUESTS = "host pair, 64 B requests on 64 connections";
const SHORT = "host pair, short connections";
const WORDS = "host pair, one flow, checksums by words";

const MODES: readonly Mode[] = [
	{
		mode: "requests",
		name: REQUESTS,
		unit: "requests/s",
		scale: 1,
		goal: valueAtLeast(600_000),
		against: `${REQUESTS}, inlining by V8's limit`,
	},
	{ mode: "requests", name: `${REQUESTS}, inlining by V8's limit`, unit: "requests/s", scale: 1, flags: PLAIN_INLINING },
	{ mode: "short", name: SHORT, unit: "connections/s", scale: 1, goal: valueAtLeast(150_000), against: `${SHORT}, inlining by V8's limit` },
	{ mode: "short", name: `${SHORT}, inlining by V8's limit`, unit: "connections/s", scale: 1, flags: PLAIN_INLINING },
	{ mode: "bulk", name: "host pair, one flow", unit: "Gbit/s", scale: 1e-9, goal: valueAtLeast(10) },
	{
		mode: "bulk-sums",
		name: "host pair, one flow, checksums by vectors",
		unit: "Gbit/s",
		scale: 1e-9,
		against: WORDS,
	},
	{ mode: "bulk-sums-words", name: WORDS, unit: "Gbit/s", scale: 1e-9 },
	{ mode: "server-requests", name: "host alone, 64 B requests from stateless clients", unit: "requests/s", scale: 1 },
	{ mode: "server-short", name: "host alone, short connections from stateless clients", unit: "connections/s", scale: 1 },
];

async function run(options: Options): Promise<Result> {
	const figures = await alternate(
		MODES.map(({ mode, name, scale, flags }) => ({
			name,
			measure: async () => {
				const args = [mode, String(options.seconds), String(options.short ? 0 : LONG_WARM_UP)];
				return { rate: (await runProgram<{ rate: number }>(options, "memlink", args, flags)).rate * scale };
			},
		})),
		options,
	);
	const series = MODES.map(({ name, unit }, i) => ({ name, unit, values: figures[i]!.rate! }));
	const rows: Row[] = MODES.map(({ against, goal }, i) => row(series[i]!, series[MODES.findIndex(({ name }) => name === against)], goal));
	return { rounds: options.rounds, rows, notes: [], complete: true };
}

export const memlink: Bench = {
	name: "memlink",
	title: "two hosts in one process over a memory link, one core; and one host with stateless clients",
	isolated: false,
	needs: localNeeds,
	run,
};
