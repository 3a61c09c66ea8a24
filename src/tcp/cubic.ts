/**
 * CUBIC congestion control (RFC 9438), with HyStart++ (RFC 9406) in the first slow start.
 *
 * The window follows W(t) = C (t - K)^3 + Wmax, t seconds after the last reduction: concave up to the window at which loss
 * came, flat around it, then convex. Where standard TCP would be faster (short round trips) its estimate is followed.
 *
 * State: in the first slow start (flag C_HYSTART) cc0 to cc4 are HyStart's (round end, minimum RTT of the last and of this
 * round, sample count and CSS rounds, baseline); afterwards cc0 = Wmax, cc1 = K in ms, cc2 = start of the epoch in us with
 * bit 0 set, or without it how much of the epoch had passed when the window was no longer the limit (0: none), cc3 = Reno's
 * estimate, cc4 = the window at the last reduction.
 *
 * Read first: RFC 9438 4.1 to 4.10, RFC 9406 4.
 */
import { type CongestionControl, MAX_WINDOW, SSTHRESH_UNBOUNDED, slowStart } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";
import { seqGeq } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_HYSTART } = state;

/** RFC 9438 5: C, segments per second cubed. */
const C = 0.4;
/** RFC 9438 4.6: the window after a loss, as a share of the one before. */
const BETA = 0.7;
/** RFC 9438 4.3: increase that makes Reno with this beta as fast as Reno with one half. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** RFC 9406 4.3, in microseconds and samples. */
const MIN_RTT_THRESH = 4000;
const MAX_RTT_THRESH = 16000;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;
const UNKNOWN_RTT = 0x7fffffff;
/** An epoch of more than 18 minutes, or of less than nothing, is one that the clock has lost count of: microseconds. */
const EPOCH_MAX = 1 << 30;
const EPOCH_MIN = -1_000_000;

function reduce(c: Connection, _flight: number): void {
	if ((c.flags & C_HYSTART) !== 0) leaveSlowStart(c);
	// RFC 9438 4.7: fast convergence, to leave room for newcomers.
	c.cc0 = c.cwnd < c.cc0 ? Math.floor(c.cwnd * ((1 + BETA) / 2)) : c.cwnd;
	c.cc4 = c.cwnd;
	c.cc2 = 0;
	c.ssthresh = Math.max(Math.floor(c.cwnd * BETA), 2 * c.mss);
}

function leaveSlowStart(c: Connection): void {
	c.flags &= ~C_HYSTART;
	c.cc0 = 0;
	c.cc1 = 0;
	c.cc2 = 0;
	c.cc3 = 0;
	c.cc4 = 0;
}

/** RFC 9406 4.2: in conservative slow start the window grows by a quarter, for at most five rounds. */
function hyStartGrowth(c: Connection, acked: number): number {
	return (c.cc3 & 0xff00) !== 0 ? Math.max(1, Math.floor(acked / CSS_GROWTH_DIVISOR)) : acked;
}

export const cubic: CongestionControl = {
	name: "cubic",

	start(c) {
		c.flags |= C_HYSTART;
		c.cc0 = c.sndNxt;
		c.cc1 = UNKNOWN_RTT;
		c.cc2 = UNKNOWN_RTT;
		c.cc3 = 0;
		c.cc4 = UNKNOWN_RTT;
	},

	sampled(c, rtt) {
		if ((c.flags & C_HYSTART) === 0) return;
		if (seqGeq(c.sndUna, c.cc0)) {
			// A round is over: what was in flight at its start is acknowledged.
			c.cc0 = c.sndNxt;
			c.cc1 = c.cc2;
			c.cc2 = UNKNOWN_RTT;
			let rounds = c.cc3 & 0xff00;
			if (rounds !== 0) rounds += 0x100;
			c.cc3 = rounds;
			if (rounds >> 8 > CSS_ROUNDS) {
				c.ssthresh = c.cwnd;
				leaveSlowStart(c);
				return;
			}
		}
		const last = c.cc1;
		const least = Math.min(c.cc2, rtt);
		let count = c.cc3 + 1;
		if ((count & 0xff) > 200) count -= 100;
		c.cc2 = least;
		c.cc3 = count;
		if ((count & 0xff) < N_RTT_SAMPLE || last === UNKNOWN_RTT || least === UNKNOWN_RTT) return;
		if ((count & 0xff00) === 0) {
			const threshold = Math.max(MIN_RTT_THRESH, Math.min(Math.floor(last / MIN_RTT_DIVISOR), MAX_RTT_THRESH));
			if (least >= last + threshold) {
				c.cc4 = least;
				c.cc3 = count | 0x100;
			}
		} else if (least < c.cc4) {
			// The delay was a passing one: slow start goes on as before.
			c.cc4 = UNKNOWN_RTT;
			c.cc3 = count & 0xff;
		}
	},

	acknowledged(c, acked, now) {
		let rest = acked;
		if (c.cwnd < c.ssthresh) {
			rest = slowStart(c, (c.flags & C_HYSTART) !== 0 ? hyStartGrowth(c, acked) : acked);
			if (c.cwnd < c.ssthresh || rest <= 0) return;
		}
		if ((c.flags & C_HYSTART) !== 0) leaveSlowStart(c);
		// RFC 9438 4.2, 5.8: the epoch goes on where it stood still.
		if (c.cc2 !== 0 && (c.cc2 & 1) === 0) c.cc2 = (now - c.cc2) | 1;
		let time = (now - c.cc2) | 0;
		if (c.cc2 === 0 || time > EPOCH_MAX || time < EPOCH_MIN) {
			// RFC 9438 4.2: a new epoch begins with the first ACK in congestion avoidance.
			time = 0;
			c.cc2 = now | 1;
			c.cc3 = c.cwnd;
			c.cc1 = c.cc0 > c.cwnd ? Math.round(Math.cbrt((c.cc0 - c.cwnd) / c.mss / C) * 1000) : 0;
			if (c.cc0 < c.cwnd) c.cc0 = c.cwnd;
		}
		const elapsed = time / 1e6 + (c.minRtt || c.srtt) / 1e6 - c.cc1 / 1000;
		let target = C * elapsed * elapsed * elapsed * c.mss + c.cc0;
		if (target < c.cwnd) target = c.cwnd;
		else if (target > 1.5 * c.cwnd) target = 1.5 * c.cwnd;
		let next = c.cwnd + Math.floor(((target - c.cwnd) * rest) / c.cwnd);
		// RFC 9438 4.3: the Reno-friendly region; beyond the old window Reno's own increase of one segment.
		c.cc3 = Math.min(MAX_WINDOW, c.cc3 + Math.ceil(((c.cc3 >= c.cc4 ? 1 : ALPHA) * rest * c.mss) / c.cwnd));
		if (next < c.cc3) next = c.cc3;
		c.cwnd = Math.min(next, MAX_WINDOW);
	},

	unused(c, now) {
		if ((c.flags & C_HYSTART) !== 0 || (c.cc2 & 1) === 0) return;
		const time = (now - c.cc2) | 0;
		c.cc2 = time > EPOCH_MAX || time < EPOCH_MIN ? 0 : (Math.max(time, 0) + 2) & ~1;
	},

	idle(c, time, now) {
		if ((c.flags & C_HYSTART) !== 0 || (c.cc2 & 1) === 0) return;
		// RFC 9438 4.2, 5.8: the epoch begins as much later, though not later than now.
		const start = (c.cc2 + time * 1000) | 0;
		c.cc2 = seqGeq(start, now) ? now | 1 : start | 1;
	},

	lossDetected: reduce,

	timedOut(c, flight) {
		reduce(c, flight);
		// RFC 9438 4.8: after slow start the next epoch begins where it ends, not at the window of before.
		c.cc0 = 0;
	},

	undone(c) {
		// RFC 9438 4.9: as if the reduction had not been.
		c.cc2 = 0;
		if (c.ssthresh !== SSTHRESH_UNBOUNDED && c.cc0 < c.cwnd) c.cc0 = c.cwnd;
	},
};
