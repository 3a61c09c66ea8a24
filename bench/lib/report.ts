/**
 * Puts the kept results into docs/performance.md and the README, between marks `<!-- NAME -->` and `<!-- /NAME -->`, and draws the charts.
 *
 * In docs/performance.md `bench:NAME` holds the tables of a bench and `goals` all goals; in the README `figures` holds a choice. The
 * documents' prose is written by hand; only what stands between the marks is replaced, so a table can never disagree with the file it
 * comes from.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./contestants.ts";
import { figuresTable } from "./figures.ts";
import { goalsTable } from "./goals.ts";
import { pivots } from "./pivot.ts";
import { cells, HEADINGS, read, resultsFolder, type Stored } from "./results.ts";
import { chart } from "./svg.ts";

function markdown(result: Stored): string {
	const { cpu, cores, memoryGiB, kernel } = result.machine;
	const line = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
	const rule = (count: number, right: (column: number) => boolean): string =>
		line(Array.from({ length: count }, (_, column) => (right(column) ? "---:" : "---")));
	const columns = pivots(result.rows);
	const tables =
		columns === null
			? [
					line(HEADINGS),
					rule(HEADINGS.length, (column) => column === 1 || column === 5),
					...result.rows.map((row) => line(cells(row).map((text) => text.replace(/^(>=|<=)/, "\\$1")))),
				]
			: columns.flatMap(({ title, cells: [head = [], ...body] }) => [
					`${title[0]!.toUpperCase()}${title.slice(1)}:`,
					"",
					line(head),
					rule(head.length, (column) => column > 0),
					...body.map(line),
					"",
				]);
	return [
		`Node ${result.node}, ${result.rounds} rounds of ${result.seconds} s, ${cores} cores of ${cpu}, ${memoryGiB} GiB, ${kernel}, ${result.date}`,
		"",
		tables.join("\n").trimEnd(),
		...(result.notes.length > 0 ? ["", ...result.notes.map((note) => `- ${note}`)] : []),
	].join("\n");
}

/** Replaces what stands between the marks of a name. */
function between(text: string, name: string, content: string, path: string): string {
	const open = `<!-- ${name} -->`;
	const from = text.indexOf(open);
	const to = text.indexOf(`<!-- /${name} -->`);
	if (from < 0 || to < from) throw new Error(`${path} has no section ${open} ... <!-- /${name} -->`);
	return `${text.slice(0, from + open.length)}\n\n${content}\n\n${text.slice(to)}`;
}

function rewrite(path: string, sections: ReadonlyMap<string, string>): string {
	let text = readFileSync(join(root, path), "utf8");
	for (const [name, content] of sections) text = between(text, name, content, path);
	writeFileSync(join(root, path), text);
	return path;
}

/**
 * Returns what was written, as paths within the package.
 *
 * @param order Names of the benches, in the order of the table of goals.
 */
export function report(order: readonly string[]): string[] {
	const written: string[] = [];
	const results = new Map<string, Stored>();
	const tables = new Map<string, string>();
	for (const file of existsSync(resultsFolder) ? readdirSync(resultsFolder).sort() : []) {
		if (!file.endsWith(".json")) continue;
		const name = file.replace(/\.json$/, "");
		const result = read(join(resultsFolder, file));
		results.set(name, result);
		const mark = `bench:${result.name}`;
		const before = tables.has(mark) ? `${tables.get(mark)}\n\n` : "";
		let text = markdown(result);
		// What takes columns to be read as a table is too much for bars.
		if (pivots(result.rows) === null) {
			const svg = `docs/bench-${name}.svg`;
			writeFileSync(join(root, svg), chart(result));
			written.push(svg);
			text += `\n\n![${result.name}, Node ${result.node}](bench-${name}.svg)`;
		}
		tables.set(mark, `${before}${text}`);
	}
	tables.set("goals", goalsTable([...results.values()], order));
	written.push(rewrite("docs/performance.md", tables));
	written.push(rewrite("README.md", new Map([["figures", figuresTable(results)]])));
	return written;
}
