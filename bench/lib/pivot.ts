/**
 * Rows that belong in columns: those named `TITLE: WHAT | WHO`, of which there are too many for one below the other.
 *
 * Each title is a table of its own, whose lines are the WHATs and whose columns the WHOs, all in the order of the rows.
 */
import type { Row } from "./bench.ts";
import { number } from "./numbers.ts";

export interface Pivot {
	readonly title: string;
	/** The first row has the headings. */
	readonly cells: readonly (readonly string[])[];
}

/** The tables of such rows; null if they are others. */
export function pivots(rows: readonly Row[]): Pivot[] | null {
	const titles = new Map<string, Map<string, Map<string, Row>>>();
	for (const row of rows) {
		const parts = /^(.*?): (.*) \| (.*)$/.exec(row.name);
		if (parts === null) return null;
		const [, title, what, who] = parts as unknown as [string, string, string, string];
		const lines = titles.get(title) ?? new Map<string, Map<string, Row>>();
		titles.set(title, lines);
		const line = lines.get(what) ?? new Map<string, Row>();
		lines.set(what, line);
		line.set(who, row);
	}
	return [...titles].map(([title, lines]) => {
		const columns = [...new Set([...lines.values()].flatMap((line) => [...line.keys()]))];
		const unit = [...lines.values()][0]?.values().next().value?.unit ?? "";
		const body = [...lines].map(([what, line]) => [what, ...columns.map((who) => (line.has(who) ? number(line.get(who)!.value) : ""))]);
		return { title, cells: [[unit, ...columns], ...body] };
	});
}
