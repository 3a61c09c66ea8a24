/**
 * Retransmission time-out (RFC 6298), one estimator per connection.
 *
 * Hides how a round-trip time becomes a time-out. Fed with samples taken from arrival stamps, never from the time of
 * processing: on an event loop a late turn would look like a slow network and cause spurious retransmits.
 *
 * Units: microseconds. State lives in the connection record (`srtt`, `rttVar`, `rto`, `minRtt`).
 */
import type { Connection } from "./connection.gen.ts";
import type { TcpOptions } from "./options.ts";

/** RFC 6298 2: G, the granularity of the clock that fires the timer: one tick of the wheel. */
const GRANULARITY = 1000;

/** Takes a sample of a segment that was sent once (Karn), in microseconds. */
export function sampleRtt(c: Connection, rtt: number, options: TcpOptions): void {
	const r = Math.max(rtt, 1);
	let { srtt, rttVar } = c;
	if (srtt === 0) {
		// RFC 6298 2.2
		srtt = r;
		rttVar = r >> 1;
	} else {
		// RFC 6298 2.3, beta = 1/4, alpha = 1/8
		rttVar += (Math.abs(srtt - r) - rttVar) >> 2;
		srtt = Math.max(srtt + ((r - srtt) >> 3), 1);
	}
	c.srtt = srtt;
	c.rttVar = rttVar;
	const { minRtt } = c;
	if (minRtt === 0 || r < minRtt) c.minRtt = r;
	const rto = srtt + Math.max(GRANULARITY, 4 * rttVar);
	c.rto = Math.min(Math.max(rto, options.minRto * 1000), options.maxRto * 1000);
}

/**
 * Takes a sample of what was sent more than once, by the timestamp that its ACK echoes (RFC 7323 4.1): it says which transmission was meant.
 * False if it cannot be one of ours: from the future, or older than any time-out.
 *
 * @param ticks The present tick less the one echoed.
 * @param waited Microseconds since the ACK came.
 */
export function sampleEcho(c: Connection, ticks: number, waited: number, options: TcpOptions): boolean {
	if (ticks < 0 || ticks > options.maxRto) return false;
	// The tick in which the segment left had begun before: one more, so that no sample is below the smallest that the path allows.
	sampleRtt(c, (ticks + 1) * 1000 - waited, options);
	return true;
}

/** The back-off outlasts an ACK that gave no sample: the next time-out begins where the last one was (RFC 6298 5, first note at its end). */
export function keepBackoff(c: Connection, backoff: number, options: TcpOptions): void {
	c.rto = Math.min(c.rto * (1 << Math.min(backoff, 16)), options.maxRto * 1000);
}

/** The time-out after `backoff` expiries in a row, in milliseconds (RFC 6298 5.5). */
export function backedOff(c: Connection, backoff: number, options: TcpOptions): number {
	return Math.min(inMilliseconds(c.rto) * (1 << Math.min(backoff, 16)), options.maxRto);
}

/** Microseconds, below 2^31, as milliseconds, rounded up: without a floating-point number on the way. */
export function inMilliseconds(us: number): number {
	return ((us + 999) / 1000) | 0;
}
