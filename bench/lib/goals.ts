/**
 * All goals in one table: each row of the kept results that has a goal, with what came out on each Node.
 *
 * Hides that the results of one bench lie in a file per Node. A goal is told apart by bench, row and what it is held against.
 */
import type { Row } from "./bench.ts";
import { number, times } from "./numbers.ts";
import type { Stored } from "./results.ts";

interface Line {
	readonly bench: string;
	readonly row: Row;
	/** What came out, by the major version of Node. */
	readonly outcomes: Map<string, string>;
}

const majorOf = (result: Stored): string => result.node.split(".")[0]!;

function outcome(row: Row): string {
	const figure = row.goal!.startsWith("ratio") ? times(row.ratio!, row.goal, row.met) : number(row.value);
	return row.met ? figure : `**${figure}**`;
}

/** A bound in words: "ratio >= 2" is one of a ratio, "value <= 400" one in the row's unit. */
function bound({ goal, unit }: Row): string {
	const [kind, sign, limit] = goal!.split(" ") as [string, string, string];
	return kind === "ratio" ? `\\${sign} ${limit}x` : `\\${sign} ${number(Number(limit))} ${unit}`;
}

/** The table in Markdown; what missed its goal is bold. Benches stand in the order of `order`. */
export function goalsTable(results: readonly Stored[], order: readonly string[]): string {
	// By what is compared; within that by the goal, which may be another one on another Node.
	const compared = new Map<string, Map<string, Line>>();
	const majors = [...new Set(results.map(majorOf))].sort((a, b) => Number(a) - Number(b));
	const sorted = [...results].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name) || Number(majorOf(a)) - Number(majorOf(b)));
	for (const result of sorted) {
		for (const row of result.rows) {
			if (row.goal === null) continue;
			const key = [result.name, row.name, row.against].join("\n");
			const lines = compared.get(key) ?? new Map<string, Line>();
			compared.set(key, lines);
			const line = lines.get(row.goal) ?? { bench: result.name, row, outcomes: new Map() };
			lines.set(row.goal, line);
			line.outcomes.set(majorOf(result), outcome(row));
		}
	}
	const cells = (texts: readonly string[]): string => `| ${texts.join(" | ")} |`;
	return [
		cells(["bench", "what", "against", "goal", ...majors.map((major) => `Node ${major}`)]),
		cells(["---", "---", "---", "---", ...majors.map(() => "---:")]),
		...[...compared.values()]
			.flatMap((lines) => [...lines.values()])
			.map(({ bench, row, outcomes }) =>
				cells([
					`\`${bench}\``,
					row.name,
					row.goal!.startsWith("ratio") ? row.against! : "",
					bound(row),
					...majors.map((major) => outcomes.get(major) ?? ""),
				]),
			),
	].join("\n");
}
