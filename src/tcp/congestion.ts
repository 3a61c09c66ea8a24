/**
 * Congestion control: how much may fly. Loss recovery (recovery.ts) says what is lost; neither touches the other's state.
 *
 * An algorithm is an object without state of its own: all it knows of a connection is in the record (`cwnd`, `ssthresh`,
 * `cc0` to `cc4`), so that a connection can move between shards and an algorithm costs nothing per connection.
 */
import type { Connection } from "./connection.gen.ts";

export interface CongestionControl {
	readonly name: string;
	/** The connection is established: `cwnd` is the initial window, `ssthresh` unbounded. */
	start(c: Connection): void;
	/**
	 * Data was acknowledged outside recovery while the window was the limit.
	 *
	 * @param acked Bytes newly acknowledged (cumulatively or by SACK).
	 * @param now Microseconds, wrapping: arrival time of the ACK.
	 */
	acknowledged(c: Connection, acked: number, now: number): void;
	/** A round-trip time sample in microseconds, with the ACK that gave it. */
	sampled?(c: Connection, rtt: number): void;
	/**
	 * A loss was found (or an ECN echo came): sets `ssthresh` and notes what it needs. The caller sets `cwnd`.
	 *
	 * @param flight Bytes in flight when the loss was found.
	 */
	lossDetected(c: Connection, flight: number): void;
	/** The retransmission timer expired: as `lossDetected`; the caller then sets `cwnd` to one segment. */
	timedOut(c: Connection, flight: number): void;
	/** The last reduction was in error; `cwnd` and `ssthresh` are as before it. */
	undone?(c: Connection): void;
}

/** RFC 5681 3.1 with appropriate byte counting (RFC 3465, L = 2): slow start; returns the bytes that are left over above `ssthresh`. */
export function slowStart(c: Connection, acked: number): number {
	// RFC 9406 and RFC 5681 allow at most the bytes acknowledged; a stretch ACK of a whole batch counts in full (RFC 3465 2.3 fears
	// bursts, which the send path bounds by itself).
	const room = c.ssthresh - c.cwnd;
	const step = Math.min(acked, room);
	c.cwnd += step;
	return acked - step;
}

/** No window grows beyond this: the largest that can be advertised (RFC 7323 2.3). */
export const MAX_WINDOW: number = 65535 << 14;
/** `ssthresh` before the first loss. */
export const SSTHRESH_UNBOUNDED = 0x7fffffff;
