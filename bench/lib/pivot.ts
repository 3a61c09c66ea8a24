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

const NAME = /^(.*?): (.*) \| (.*)$/;

/** The tables of such rows; null if they are others. */
export function pivots(rows: readonly Row[]): Pivot[] | null {
	const figures = rows.flatMap(({ name, unit, value }) => {
		const parts = NAME.exec(name);
		return parts === null ? [] : [{ title: parts[1]!, what: parts[2]!, who: parts[3]!, unit, value }];
	});
	if (figures.length < rows.length) return null;
	return distinct(figures.map(({ title }) => title)).map((title) => {
		const own = figures.filter((figure) => figure.title === title);
		const columns = distinct(own.map(({ who }) => who));
		const line = (what: string): string[] =>
			columns.map((who) => {
				const figure = own.find((one) => one.what === what && one.who === who);
				return figure === undefined ? "" : number(figure.value);
			});
		return { title, cells: [[own[0]!.unit, ...columns], ...distinct(own.map(({ what }) => what)).map((what) => [what, ...line(what)])] };
	});
}

function distinct(texts: readonly string[]): string[] {
	return [...new Set(texts)];
}
