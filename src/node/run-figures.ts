/**
 * Live figures of a run: one line a second with what happened in that second.
 *
 * Hides the counters behind it. Segments, bytes and retransmits are differences to the line before; connections are those of
 * the moment. The timer does not keep the process alive.
 */
import type { Host } from "../host/host.ts";

/** Milliseconds between two lines. */
const PERIOD = 1000;

const UNITS = ["B", "kB", "MB", "GB"];

/** Bytes in at most four digits and a unit. */
export function bytesText(bytes: number): string {
	let value = bytes;
	let unit = 0;
	while (value >= 1000 && unit < UNITS.length - 1) {
		value /= 1000;
		unit++;
	}
	return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}
