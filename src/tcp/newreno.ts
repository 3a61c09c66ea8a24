/**
 * NewReno congestion control (RFC 5681): slow start, then one segment a round trip, half the flight on loss.
 *
 * State: `cc0` counts the bytes acknowledged towards the next increase (RFC 3465).
 */
import { type CongestionControl, MAX_WINDOW, slowStart } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";

function halve(c: Connection, flight: number): void {
	// RFC 5681 (4): no less than two segments.
	c.ssthresh = Math.max(flight >> 1, 2 * c.mss);
	c.cc0 = 0;
}

export const newReno: CongestionControl = {
	name: "newreno",
	start(c) {
		c.cc0 = 0;
	},
	acknowledged(c, acked) {
		let rest = acked;
		if (c.cwnd < c.ssthresh) rest = slowStart(c, acked);
		if (rest <= 0) return;
		// RFC 5681 (3), by bytes: a full window acknowledged is one segment more.
		c.cc0 += rest;
		if (c.cc0 >= c.cwnd) {
			c.cc0 -= c.cwnd;
			c.cwnd = Math.min(c.cwnd + c.mss, MAX_WINDOW);
		}
	},
	lossDetected: halve,
	timedOut: halve,
};
