/**
 * What a bench is: a named comparison that yields rows, each row a median, most of them beside what it is compared with.
 *
 * Hides nothing; it is the vocabulary of this folder. A ratio is always "ours over theirs" of two medians of the same run,
 * because absolute figures of a shared machine mean little and drift from one minute to the next. A missed goal is a
 * result, not an error.
 */

/** What the command line asked for. */
export interface Options {
	/** CI mode: one short round, fewer contestants, no warm-up, nothing written. */
	readonly short: boolean;
	/** The Node binary that runs the measured programs. */
	readonly node: string;
	/** Node's own flags for measured servers. */
	readonly nodeFlags?: readonly string[];
	/** Rounds per contestant. */
	readonly rounds: number;
	/** Seconds per measurement. */
	readonly seconds: number;
}

export interface Row {
	/** What was measured, of whom. */
	readonly name: string;
	/** Median over the rounds. */
	readonly value: number;
	readonly unit: string;
	/** Smallest and largest of the rounds. */
	readonly low: number;
	readonly high: number;
	/** The row that this one is compared with. */
	readonly against: string | null;
	/** `value` over the value of `against`, or over a fixed limit. */
	readonly ratio: number | null;
	/** The goal in words, such as `ratio >= 1.6` or `value <= 3`. */
	readonly goal: string | null;
	readonly met: boolean | null;
}

export interface Result {
	readonly rounds: number;
	/** Of a measurement, where it is not what the command line asked for. */
	readonly seconds?: number;
	readonly rows: readonly Row[];
	/** What a reader must know to judge the rows: errors seen, contestants left out. */
	readonly notes: readonly string[];
	/** False when a contestant of ours did not run: the command then ends with code 1. */
	readonly complete: boolean;
}

export interface Bench {
	readonly name: string;
	/** One line: what is compared with what. */
	readonly title: string;
	/** Runs in a network namespace of its own, as root. */
	readonly isolated: boolean;
	/** Why it cannot run here; empty when it can. */
	needs(): string[];
	run(options: Options): Promise<Result>;
}

/** A bound that a goal sets on the ratio or on the value itself. */
export interface Goal {
	readonly of: "ratio" | "value";
	readonly bound: ">=" | "<=";
	readonly limit: number;
}

export const ratioAtLeast = (limit: number): Goal => ({ of: "ratio", bound: ">=", limit });
export const ratioAtMost = (limit: number): Goal => ({ of: "ratio", bound: "<=", limit });
export const valueAtLeast = (limit: number): Goal => ({ of: "value", bound: ">=", limit });
export const valueAtMost = (limit: number): Goal => ({ of: "value", bound: "<=", limit });

/** The values that one contestant reached for one metric, a value per round. */
export interface Series {
	readonly name: string;
	readonly unit: string;
	readonly values: readonly number[];
}

export function median(values: readonly number[]): number {
	if (values.length === 0) return Number.NaN;
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A row for a series, compared with another series (or a named constant) and held against a goal. */
export function row(series: Series, against?: Series, goal?: Goal): Row {
	const value = median(series.values);
	const ratio = against === undefined ? null : value / median(against.values);
	const held = goal === undefined ? null : goal.of === "ratio" ? ratio : value;
	return {
		name: series.name,
		value,
		unit: series.unit,
		low: Math.min(...series.values),
		high: Math.max(...series.values),
		against: against?.name ?? null,
		ratio,
		goal: goal === undefined ? null : `${goal.of} ${goal.bound} ${goal.limit}`,
		met: held === null || goal === undefined ? null : goal.bound === ">=" ? held >= goal.limit : held <= goal.limit,
	};
}

/** Measures one contestant once: named metrics. */
export interface Contestant {
	readonly name: string;
	/** Rounds come in as 0, 1, ... */
	measure(round: number): Promise<Readonly<Record<string, number>>>;
}

/** The contestant, left out from its first failure on, which `left` hears of, instead of ending the bench for all. */
export function leavingOut({ name, measure }: Contestant, left: (round: number, error: Error) => void): Contestant {
	let failed = false;
	return {
		name,
		async measure(round) {
			if (failed) return {};
			try {
				return await measure(round);
			} catch (error) {
				failed = true;
				left(round, error as Error);
				return {};
			}
		},
	};
}

/**
 * Alternates between the contestants, so that a disturbance of the machine meets all of them, each round beginning with
 * another one, so that none always runs in the wake of the same neighbour. An error names the contestant.
 *
 * @returns For each contestant, in the given order, the values of each metric.
 */
export async function alternate(
	contestants: readonly Contestant[],
	{ rounds }: Pick<Options, "rounds">,
): Promise<Record<string, number[]>[]> {
	const table: Record<string, number[]>[] = contestants.map(() => ({}));
	for (let round = 0; round < rounds; round++) {
		for (let i = 0; i < contestants.length; i++) {
			const at = (i + round) % contestants.length;
			const { name, measure } = contestants[at]!;
			const figures = await measure(round).catch((error: Error) => {
				throw new Error(`${name}: ${error.message}`, { cause: error });
			});
			for (const [metric, value] of Object.entries(figures)) {
				const values = table[at]![metric] ?? [];
				values.push(value);
				table[at]![metric] = values;
			}
		}
	}
	return table;
}
