/**
 * A bar chart as SVG: one bar per row, grouped by unit, each group on its own scale.
 *
 * No library: a chart is rectangles and text. Colours work on light and dark pages; bars of ours are filled, the others grey.
 */
import type { Row } from "./bench.ts";
import { number } from "./numbers.ts";
import type { Stored } from "./results.ts";

const LABEL_MIN = 350;
/** Width of a character of a label, on average and then some. */
const CHARACTER = 6.3;
const BAR = 380;
/** Room behind the longest bar, for its value. */
const VALUE = 160;
const LINE = 22;

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const ours = (row: Row): boolean => row.name.includes("millrace") || row.name.includes("host");

export function chart(result: Stored): string {
	const parts: string[] = [];
	const label = Math.max(LABEL_MIN, Math.ceil(Math.max(...result.rows.map((row) => row.name.length)) * CHARACTER) + 20);
	const chartWidth = label + BAR + VALUE;
	let y = 24;
	const text = (x: number, at: number, content: string, extra = ""): void => {
		parts.push(`<text x="${x}" y="${at}"${extra}>${escaped(content)}</text>`);
	};
	text(12, y, `${result.name}: ${result.title}`, ' font-weight="bold"');
	y += 18;
	text(
		12,
		y,
		`Node ${result.node}, medians of ${result.rounds} rounds, ${result.machine.cores} cores of ${result.machine.cpu}, ${result.machine.kernel}`,
		' fill="#777" font-size="11"',
	);
	y += 12;
	const groups = new Map<string, Row[]>();
	for (const row of result.rows) {
		const group = groups.get(row.unit) ?? [];
		// A row stands once for each comparison; one bar is enough.
		if (!group.some((other) => other.name === row.name)) group.push(row);
		groups.set(row.unit, group);
	}
	for (const [unit, rows] of groups) {
		y += LINE;
		text(12, y, unit, ' font-style="italic" fill="#777"');
		const top = Math.max(...rows.map((row) => row.value), Number.MIN_VALUE);
		for (const row of rows) {
			y += LINE;
			const width = Math.max(1, (row.value / top) * BAR);
			text(label - 8, y, row.name, ' text-anchor="end"');
			parts.push(
				`<rect x="${label}" y="${y - 13}" width="${width.toFixed(1)}" height="16" rx="2" fill="${ours(row) ? "#2a7ab9" : "#9aa5ad"}"/>`,
			);
			text(Math.round(label + width + 6), y, number(row.value));
		}
		y += 6;
	}
	const height = y + 16;
	return `<svg xmlns="http://www.w3.org/2000/svg" width="${chartWidth}" height="${height}" viewBox="0 0 ${chartWidth} ${height}" font-family="sans-serif" font-size="12" fill="#555">
<rect width="${chartWidth}" height="${height}" rx="6" fill="#fbfbfb"/>
${parts.join("\n")}
</svg>
`;
}
