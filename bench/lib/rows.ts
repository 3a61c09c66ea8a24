/** Rows of servers that were measured in rounds: each by itself, or beside those that it is compared with. */
import { type Goal, type Row, ratioAtLeast, row, type Series } from "./bench.ts";
import type { Server } from "./contestants.ts";
import type { Figures } from "./servers.ts";

/** One server beside another one (or, without one, beside a fixed bound). */
export interface Comparison {
	readonly of: Server;
	readonly against?: Server;
	readonly goal?: Goal;
}

/** Each of ours beside each of the others, with the goal to be ahead. */
export function allPairs(servers: readonly Server[]): Comparison[] {
	const theirs = servers.filter(({ ours }) => !ours);
	const goal = ratioAtLeast(1);
	return servers.filter(({ ours }) => ours).flatMap((of) => theirs.map((against) => ({ of, against, goal })));
}

/** What the rows of one metric have in common. */
export interface Heading {
	/** Begins each name. */
	readonly title: string;
	/** Ends each name, for a metric that is not the title's own. */
	readonly suffix?: string;
	readonly metric: string;
	readonly unit: string;
}

/** The rows of one metric: a server has one for each comparison, or one by itself. Who has no figures has no part in it. */
export function rowsOf(figures: Figures, { title, suffix = "", metric, unit }: Heading, comparisons: readonly Comparison[] = []): Row[] {
	const series = new Map<Server, Series>();
	for (const [server, metrics] of figures) {
		const values = metrics[metric] ?? [];
		if (values.length > 0) series.set(server, { name: `${title}, ${server.name}${suffix}`, unit, values });
	}
	return [...series].flatMap(([server, own]) => {
		const wanted = comparisons.filter(({ of, against }) => of === server && (against === undefined || series.has(against)));
		if (wanted.length === 0) return [row(own)];
		return wanted.map(({ against, goal }) => row(own, against === undefined ? undefined : series.get(against), goal));
	});
}
