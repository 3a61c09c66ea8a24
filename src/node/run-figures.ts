/**
 * Live figures of a run: one line a second with what happened in that second.
 *
 * Hides how totals become a line. Segments, bytes and retransmits are differences to the line before, divided by the time that
 * really passed, so that a program that blocked its event loop for three seconds does not seem three times as fast; connections
 * are those of the moment. The timer does not keep the process alive.
 */
import { clearInterval, milliseconds, setInterval } from "../sys/timers.ts";

/** Totals since the start; `connections` is of the moment. */
export interface Figures {
	connections: number;
	segmentsIn: number;
	segmentsOut: number;
	bytesIn: number;
	bytesOut: number;
	retransmits: number;
}

/** Milliseconds between two lines. */
const PERIOD = 1000;

/** A count in at most four digits, with a thousand's letter. */
export function countText(count: number): string {
	return scaledText(count, ["", "k", "M", "G"]);
}

/** Bytes in at most four digits and a unit. */
export function bytesText(bytes: number): string {
	return scaledText(bytes, [" B", " kB", " MB", " GB"]);
}

function scaledText(value: number, units: readonly string[]): string {
	let scaled = value;
	let unit = 0;
	// 999.5 would be written as 1000.
	while (scaled >= 999.5 && unit < units.length - 1) {
		scaled /= 1000;
		unit++;
	}
	return `${unit === 0 || scaled >= 99.95 ? Math.round(scaled) : scaled.toFixed(1)}${units[unit]}`;
}

/** The line for what happened between two readings that are `seconds` apart. */
export function figuresLine(before: Figures, now: Figures, seconds: number): string {
	const rate = (key: keyof Figures): number => (now[key] - before[key]) / seconds;
	const repeated = now.retransmits - before.retransmits;
	return [
		`${now.connections} ${now.connections === 1 ? "connection" : "connections"}`,
		`in ${countText(rate("segmentsIn"))} segments/s ${bytesText(rate("bytesIn"))}/s`,
		`out ${countText(rate("segmentsOut"))} segments/s ${bytesText(rate("bytesOut"))}/s`,
		`retransmits ${now.retransmits}${repeated === 0 ? "" : ` (+${repeated})`}`,
	].join(", ");
}

/** Writes a line every second until stopped. */
export function showFigures(read: () => Figures, write: (line: string) => void): { stop: () => void } {
	let before = read();
	let then = milliseconds();
	const timer = setInterval(() => {
		const now = read();
		const time = milliseconds();
		write(figuresLine(before, now, (time - then) / 1000));
		before = now;
		then = time;
	}, PERIOD);
	timer.unref();
	return { stop: () => clearInterval(timer) };
}
