/**
 * Puts the kept results into docs/performance.md, between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, and draws the charts.
 *
 * The document's prose is written by hand; only what stands between the marks is replaced, so a table can never
 * disagree with the file it comes from.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./contestants.ts";
import { cells, HEADINGS, read, resultsFolder, type Stored } from "./results.ts";
import { chart } from "./svg.ts";

function markdown(result: Stored): string {
	const { cpu, cores, memoryGiB, kernel } = result.machine;
	const line = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
	return [
		`Node ${result.node}, ${result.rounds} rounds of ${result.seconds} s, ${cores} cores of ${cpu}, ${memoryGiB} GiB, ${kernel}, ${result.date}`,
		"",
		line(HEADINGS),
		line(HEADINGS.map((_, column) => (column === 1 || column === 5 ? "---:" : "---"))),
		...result.rows.map((row) => line(cells(row).map((text) => text.replace(/^(>=|<=)/, "\\$1")))),
		...(result.notes.length > 0 ? ["", ...result.notes.map((note) => `- ${note}`)] : []),
	].join("\n");
}

/** Returns what was written, as paths within the package. */
export function report(): string[] {
	const written: string[] = [];
	const sections = new Map<string, string[]>();
	for (const file of existsSync(resultsFolder) ? readdirSync(resultsFolder).sort() : []) {
		if (!file.endsWith(".json")) continue;
		const result = read(join(resultsFolder, file));
		const section = sections.get(result.name) ?? [];
		const svg = `docs/bench-${file.replace(/\.json$/, "")}.svg`;
		writeFileSync(join(root, svg), chart(result));
		written.push(svg);
		section.push(markdown(result), "", `![${result.name}, Node ${result.node}](bench-${file.replace(/\.json$/, "")}.svg)`, "");
		sections.set(result.name, section);
	}
	const path = join(root, "docs/performance.md");
	let text = readFileSync(path, "utf8");
	for (const [name, section] of sections) {
		const open = `<!-- bench:${name} -->`;
		const close = `<!-- /bench:${name} -->`;
		const from = text.indexOf(open);
		const to = text.indexOf(close);
		if (from < 0 || to < from) throw new Error(`docs/performance.md has no section ${open} ... ${close}`);
		text = `${text.slice(0, from + open.length)}\n\n${section.join("\n").trimEnd()}\n\n${text.slice(to)}`;
	}
	writeFileSync(path, text);
	return [...written, "docs/performance.md"];
}
