/**
 * Rounds of ours against peers, and their rows: each of ours beside each peer, with the goal to be ahead.
 *
 * A peer that fails in a round is left out from then on, with a note; one of ours that fails is an error.
 */
import { alternate, type Options, type Row, ratioAtLeast, row, type Series } from "./bench.ts";

export interface Entry {
	readonly name: string;
	readonly ours: boolean;
	measure(round: number): Promise<Readonly<Record<string, number>>>;
}

/** The values of each metric, per entry. */
export type Figures = ReadonlyMap<Entry, Readonly<Record<string, readonly number[]>>>;

export async function rounds(entries: readonly Entry[], options: Pick<Options, "rounds" | "short">, notes: string[]): Promise<Figures> {
	const failed = new Set<Entry>();
	const guarded = entries.map((entry) => ({
		name: entry.name,
		measure: async (round: number): Promise<Readonly<Record<string, number>>> => {
			if (failed.has(entry)) return {};
			try {
				return await entry.measure(round);
			} catch (error) {
				if (entry.ours) throw error;
				failed.add(entry);
				notes.push(`${entry.name} left out from round ${round + 1} on: ${(error as Error).message}`);
				return {};
			}
		},
	}));
	const table = await alternate(guarded, options);
	return new Map(entries.map((entry, i) => [entry, table[i]!]));
}

/** What the rows of one metric have in common. */
export interface Heading {
	/** Begins each name: the mode. */
	readonly mode: string;
	/** Ends each name, for a metric that is not the mode's own. */
	readonly suffix?: string;
	readonly metric: string;
	readonly unit: string;
}

/** Rows of one metric. `compared`: each of ours beside each peer, goal included; otherwise a row each. */
export function peerRows(figures: Figures, { mode, suffix = "", metric, unit }: Heading, compared: boolean): Row[] {
	const rows: Row[] = [];
	const series = new Map<Entry, Series>();
	for (const [entry, metrics] of figures) {
		const values = metrics[metric] ?? [];
		if (values.length > 0) series.set(entry, { name: `${mode}, ${entry.name}${suffix}`, unit, values });
	}
	for (const [entry, own] of series) {
		const peers = entry.ours && compared ? [...series].filter(([other]) => !other.ours) : [];
		if (peers.length === 0) rows.push(row(own));
		for (const [, theirs] of peers) rows.push(row(own, theirs, ratioAtLeast(1)));
	}
	return rows;
}
