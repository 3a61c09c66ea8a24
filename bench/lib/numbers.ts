/** Numbers in tables and charts. */

/** A number as a reader wants it: about three significant digits, thousands apart. */
export function number(value: number): string {
	if (!Number.isFinite(value)) return "-";
	const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
	return value.toLocaleString("en-US", { minimumFractionDigits: 0, maximumFractionDigits: digits });
}

/** A ratio, with as many digits as tell it from the goal that it missed by little. */
export function times(ratio: number, goal: string | null, met: boolean | null): string {
	const limit = goal?.startsWith("ratio") === true ? Number(goal.split(" ")[2]) : Number.NaN;
	const short = ratio.toFixed(2);
	return `${met === false && Number(short) === limit ? ratio.toFixed(3) : short}x`;
}
