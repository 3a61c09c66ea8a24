/**
 * Congestion control: how much may fly. Loss recovery (recovery.ts) says what is lost; neither touches the other's state.
 *
 * An algorithm is an object without state of its own: all it knows of a connection is in the record (`cwnd`, `ssthresh`,
 * `cc0` to `cc4`), so that a connection can move between shards and an algorithm costs nothing per connection. One that needs
 * more (BBR) has a table of its own with a record per connection.
 */
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import type { AckSummary } from "./recovery.ts";

export interface CongestionControl {
	readonly name: string;
	/**
	 * The connection is established: `cwnd` is the initial window, `ssthresh` unbounded.
	 *
	 * @param now Microseconds, wrapping.
	 */
	start(c: Connection, now: number): void;
	/**
	 * Data was acknowledged outside recovery while the window was the limit.
	 *
	 * @param acked Bytes newly acknowledged (cumulatively or by SACK).
	 * @param now Microseconds, wrapping: arrival time of the ACK.
	 */
	acknowledged(c: Connection, acked: number, now: number): void;
	/**
	 * The same while something else was the limit: the application, or the peer's window.
	 *
	 * @param now Microseconds, wrapping: arrival time of the ACK.
	 */
	unused?(c: Connection, now: number): void;
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
	/**
	 * Data leave after a time in which nothing was out.
	 *
	 * @param time Milliseconds since data left last.
	 * @param now Microseconds, wrapping.
	 */
	idle?(c: Connection, time: number, now: number): void;
	/** The last reduction was in error; `cwnd` and `ssthresh` are as before it. */
	undone?(c: Connection): void;
}

/**
 * Congestion control by a model of the path. It hears of every page that leaves and arrives, and sets `cwnd` and `paceRate` itself,
 * in recovery as well: proportional rate reduction and the windows that follow from `ssthresh` are not for its connections. These
 * are the ones on which its `start` has set C_MODEL; all of them have SACK.
 */
export interface PathModel extends CongestionControl {
	/** A page is about to leave; the first bytes of the page are the model's to write. */
	sent(t: Tcp, c: Connection, page: number): void;
	/** A page was acknowledged or SACKed for the first time. */
	delivered(t: Tcp, c: Connection, page: number): void;
	/**
	 * All of an ACK was taken in, and recovery was entered or left.
	 *
	 * @param lost Bytes that this ACK showed to be lost.
	 */
	acknowledgedAll(t: Tcp, c: Connection, ack: AckSummary, lost: number): void;
	/** There is nothing more to send, though the window has room; or the peer's window was shut. */
	appLimited(c: Connection): void;
}

/** RFC 6928: IW = min(10 MSS, max(2 MSS, 14600)), for 10 `segments`. */
export function initialWindow(c: Connection, segments: number): number {
	return Math.min(segments * c.mss, Math.max(2 * c.mss, segments * 1460));
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
