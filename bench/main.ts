/**
 * `npm run bench -- [NAME ...] [--short] [--node PATH] [--rounds N] [--seconds S]`: runs benches, prints and keeps what comes out.
 *
 * `npm run bench -- report` writes the kept results into docs/performance.md and the README, and draws docs/bench-NAME.svg; `-- list` names
 * the benches; `-- micro` measures single mechanisms. A missed goal is a result: the exit code is 1 only if something did not run that should have.
 */
import { parseArgs } from "node:util";
import { benches } from "./benches/index.ts";
import type { Bench, Options } from "./lib/bench.ts";
import { killAll } from "./lib/child.ts";
import { inside, reexecute } from "./lib/lab.ts";
import { report } from "./lib/report.ts";
import { nodeVersion, stored, table, write } from "./lib/results.ts";

const USAGE = "npm run bench -- [NAME ... | report | list | micro [NAME ...]] [--short] [--node PATH] [--rounds N] [--seconds S]";

function fail(message: string): never {
	console.error(`bench: ${message}\n${USAGE}`);
	process.exit(2);
}

function read(): { names: string[]; options: Options; flags: string[] } {
	try {
		const { values, positionals } = parseArgs({
			allowPositionals: true,
			options: {
				short: { type: "boolean", default: false },
				node: { type: "string" },
				rounds: { type: "string" },
				seconds: { type: "string" },
			},
		});
		const short = values.short === true;
		const node = values.node ?? process.execPath;
		const rounds = Number(values.rounds ?? (short ? 1 : 5));
		const seconds = Number(values.seconds ?? (short ? 1 : 2));
		if (!(rounds >= 1) || !(seconds >= 1) || !Number.isInteger(rounds) || !Number.isInteger(seconds))
			fail("--rounds and --seconds take whole numbers from 1");
		nodeVersion(node);
		const flags = ["--node", node, "--rounds", String(rounds), "--seconds", String(seconds), ...(short ? ["--short"] : [])];
		return { names: positionals, options: { short, node, rounds, seconds }, flags };
	} catch (error) {
		fail((error as Error).message);
	}
}

/** Runs one bench; true when all of ours ran. */
async function one(bench: Bench, options: Options, flags: readonly string[]): Promise<boolean> {
	const needs = bench.needs();
	if (needs.length > 0) {
		console.log(`${bench.name}: cannot run here, it needs ${needs.join("; ")}\n`);
		return true;
	}
	if (bench.isolated && !inside()) return (await reexecute([bench.name, ...flags])) === 0;
	const outcome = await bench.run(options);
	const result = stored(bench, options, outcome);
	console.log(table(result));
	if (!options.short && outcome.complete) console.log(`written: ${write(result)}\n`);
	return outcome.complete;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
	process.once(signal, () => {
		killAll();
		process.exit(1);
	});
}
process.once("exit", killAll);

const { names, options, flags } = read();
if (names[0] === "report") {
	for (const path of report(benches.map(({ name }) => name))) console.log(`written: ${path}`);
} else if (names[0] === "list") {
	for (const bench of benches) console.log(`${bench.name.padEnd(12)} ${bench.title}`);
} else if (names[0] === "micro") {
	const { micro, runMicro } = await import("./micro/index.ts");
	const unknown = names.slice(1).find((name) => micro[name] === undefined);
	if (unknown !== undefined) fail(`no micro-benchmark is called "${unknown}"; there are: ${Object.keys(micro).join(", ")}`);
	await runMicro(names.slice(1));
} else {
	const unknown = names.find((name) => !benches.some((bench) => bench.name === name));
	if (unknown !== undefined) fail(`no bench is called "${unknown}"; there are: ${benches.map((bench) => bench.name).join(", ")}`);
	let ok = true;
	for (const bench of benches) {
		if (names.length > 0 && !names.includes(bench.name)) continue;
		try {
			ok = (await one(bench, options, flags)) && ok;
		} catch (error) {
			console.error(`${bench.name}: ${(error as Error).message}\n`);
			ok = false;
		}
	}
	process.exit(ok ? 0 : 1);
}
