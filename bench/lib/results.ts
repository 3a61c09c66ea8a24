/**
 * What is left of a run: a table on the terminal and a JSON file.
 *
 * A result of the machine's own Node goes to `bench/results/NAME.json`; of another one, to `NAME-nodeMAJOR.json`. Each names the
 * machine, so that nobody compares figures of two machines by accident.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import type { Bench, Options, Result, Row } from "./bench.ts";
import { root } from "./contestants.ts";
import { number, times } from "./numbers.ts";
import { pivots } from "./pivot.ts";

export interface Machine {
	readonly cpu: string;
	readonly cores: number;
	readonly memoryGiB: number;
	readonly kernel: string;
}

/** The content of a result file. */
export interface Stored {
	readonly name: string;
	readonly title: string;
	readonly date: string;
	readonly machine: Machine;
	/** Version of the Node that ran the measured programs. */
	readonly node: string;
	readonly rounds: number;
	readonly seconds: number;
	readonly rows: readonly Row[];
	readonly notes: readonly string[];
}

export const resultsFolder = join(root, "bench/results");

export function machine(): Machine {
	return {
		cpu: cpus()[0]?.model ?? "unknown",
		cores: availableParallelism(),
		memoryGiB: Math.round(totalmem() / 2 ** 30),
		kernel: `Linux ${/^[\d.]+\d/.exec(release())?.[0] ?? release()}`,
	};
}

export function nodeVersion(node: string): string {
	const { stdout, error } = spawnSync(node, ["--version"], { encoding: "utf8", timeout: 10_000 });
	const version = stdout?.trim().replace(/^v/, "");
	if (error !== undefined || version === "") throw new Error(`--node ${node}: ${error?.message ?? "does not answer to --version"}`);
	return version;
}

export function stored(bench: Bench, options: Options, result: Result): Stored {
	return {
		name: bench.name,
		title: bench.title,
		date: new Date().toISOString().slice(0, 10),
		machine: machine(),
		node: nodeVersion(options.node),
		rounds: result.rounds,
		seconds: result.seconds ?? options.seconds,
		rows: result.rows,
		notes: result.notes,
	};
}

/** Writes the result file and returns its path within the package. */
export function write(result: Stored): string {
	const own = result.node === process.versions.node;
	const file = own ? `${result.name}.json` : `${result.name}-node${result.node.split(".")[0]}.json`;
	mkdirSync(resultsFolder, { recursive: true });
	writeFileSync(join(resultsFolder, file), `${JSON.stringify(result, rounded, 2)}\n`);
	return `bench/results/${file}`;
}

export const read = (path: string): Stored => JSON.parse(readFileSync(path, "utf8"));

const rounded = (_key: string, value: unknown): unknown => (typeof value === "number" ? Number(value.toPrecision(5)) : value);

export const HEADINGS = ["what", "median", "unit", "range", "against", "ratio", "goal", "met"] as const;

/** The cells of a row, in the order of HEADINGS. */
export function cells(row: Row): string[] {
	return [
		row.name,
		number(row.value),
		row.unit,
		row.low === row.high ? "" : `${number(row.low)} - ${number(row.high)}`,
		row.against ?? "",
		row.ratio === null ? "" : times(row.ratio, row.goal, row.met),
		row.goal ?? "",
		row.met === null ? "" : row.met ? "yes" : "NO",
	];
}

/** Cells in columns under a line of headings; numbers stand to the right. */
function aligned(rows: readonly (readonly string[])[], right: ReadonlySet<number>): string[] {
	const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
	const lines = rows.map((row) =>
		row
			.map((cell, column) => (right.has(column) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
			.join("  ")
			.trimEnd(),
	);
	lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
	return lines;
}

export function table(result: Stored): string {
	const columns = pivots(result.rows);
	const lines =
		columns === null
			? aligned([[...HEADINGS], ...result.rows.map(cells)], new Set([1, 5]))
			: columns.flatMap(({ title, cells }) => [title, ...aligned(cells, new Set(cells[0]!.map((_, column) => column).slice(1))), ""]);
	const { cpu, cores, kernel } = result.machine;
	const head = `${result.name}: ${result.title}\nNode ${result.node}, ${result.rounds} rounds of ${result.seconds} s, ${cores} cores of ${cpu}, ${kernel}`;
	return [head, "", ...lines, ...result.notes.map((note) => `note: ${note}`), ""].join("\n");
}
