/** Bytes per idle connection of a server on the portable face: arena, JavaScript heap and RSS apart. */
import { alternate, type Bench, type Options, type Result, type Row, row, valueAtMost } from "../lib/bench.ts";
import { localNeeds, runProgram } from "../lib/local.ts";
import { number } from "../lib/numbers.ts";

const PARTS = ["arena", "heap", "rss"] as const;

async function run(options: Options): Promise<Result> {
	const rows: Row[] = [];
	// Nothing here depends on the clock: three rounds show as much as five.
	const rounds = Math.min(options.rounds, 3);
	for (const count of options.short ? [1000] : [1000, 100_000]) {
		const [figures] = await alternate(
			[
				{
					name: "millrace",
					measure: () => runProgram<Record<string, number>>(options, "memory", [String(count)], ["--expose-gc"]),
				},
			],
			{ rounds },
		);
		for (const part of PARTS) {
			const series = { name: `millrace host.tcp, ${number(count)} idle: ${part}`, unit: "bytes/connection", values: figures![part]! };
			rows.push(row(series, undefined, part === "arena" ? valueAtMost(400) : undefined));
		}
	}
	return { rounds, rows, notes: [], complete: true };
}

export const memory: Bench = {
	name: "memory",
	title: "bytes per idle connection of a server on host.tcp: arena, JavaScript heap, RSS",
	isolated: false,
	needs: localNeeds,
	run,
};
