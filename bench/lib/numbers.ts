/** Numbers in tables and charts. */

/** A number as a reader wants it: about three significant digits, thousands apart. */
export function number(value: number): string {
	if (!Number.isFinite(value)) return "-";
	const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
	return value.toLocaleString("en-US", { minimumFractionDigits: 0, maximumFractionDigits: digits });
}
