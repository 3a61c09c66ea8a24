/**
 * The receive window: what the peer may send.
 *
 * Flow control follows what the application has really read: the right edge of the window moves only when bytes leave the receive
 * segment, and by silly-window avoidance (RFC 9293 3.8.6.2.2) only in steps worth telling. While a queue stands in the link the window is held
 * (standing.ts).
 */
import { TIMESTAMPS_LENGTH } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { seqMax } from "./seq.ts";
import { edgeStep, shownBuffer } from "./standing.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_ACK_NOW, C_FIN_RECEIVED, C_NO_PAGE, C_TS, ESTABLISHED } = state;

/** Microseconds of a measuring interval while no round-trip time is known. */
const UNKNOWN_ROUND_TRIP = 100_000;

/**
 * Receive buffer tuning: when the application reads more than half of the buffer within one round trip, the window is what
 * holds the sender back, so the buffer doubles what was read (dynamic right-sizing; Linux does the same).
 */
export function tuneBuffer(t: Tcp, c: Connection, taken: number): void {
	c.rcvRttBytes += taken;
	const elapsed = (t.now - c.rcvRttStart) >>> 0;
	if (elapsed < (c.srtt || UNKNOWN_ROUND_TRIP)) return;
	if (2 * c.rcvRttBytes > c.rcvBuf) c.rcvBuf = Math.min(Math.max(2 * c.rcvRttBytes, 2 * c.rcvBuf), t.options.maxReceiveBuffer);
	c.rcvRttStart = t.now;
	c.rcvRttBytes = 0;
}

/**
 * The window to advertise now, as it stands in the header; notes the edge that is honoured.
 *
 * The field counts in units of `1 << scale`. It is rounded up only into what there is room for: rounding that gave up to a unit more with each
 * ACK would void flow control for small segments. Rounded down, the edge that the peer sees goes back by less than a unit, and what it
 * was promised before is still taken (RFC 7323 2.4).
 */
export function advertise(t: Tcp, c: Connection): number {
	// The one window that shrinks (RFC 9293 3.8.6, SHLD-14): what was promised finds no page, and more of it would be sent in vain.
	if ((c.flags & C_NO_PAGE) !== 0) return 0;
	const { rcvAdv, rcvNxt } = c;
	const old = (rcvAdv - rcvNxt) | 0;
	const shown = shownBuffer(t, c);
	const free = shown - c.rcvBytes;
	const room = free > old ? Math.max(old, Math.min(free, grant(t, c))) : free;
	if (room !== free) t.shortage.starve(c);
	// RFC 9293 3.8.6.2.2: move the edge by a full segment or half the buffer, or not at all; and never to the left.
	const window = room - old < edgeStep(t, c, shown, t.ownMss) ? old : room;
	const scale = c.rcvScale;
	const up = (window + (1 << scale) - 1) >> scale;
	const field = Math.min(up << scale <= room ? up : window >> scale, 65535);
	c.rcvAdv = seqMax((rcvNxt + (field << scale)) | 0, rcvAdv);
	return field;
}

/** How large the window may get: when the pool runs short it stays as it is until there are pages again, or becomes that of one segment. */
function grant(t: Tcp, c: Connection): number {
	if (t.shortage.mayGrow(c, 0)) return c.rcvBuf;
	if (!t.shortage.mayHear(c, 0)) return 0;
	// A whole segment, in whole units of the field: into less its sender sends nothing but probes (RFC 9293 3.8.6.2.1).
	const segment = t.ownMss + ((c.flags & C_TS) !== 0 ? 0 : TIMESTAMPS_LENGTH);
	const unit = 1 << c.rcvScale;
	return (segment + unit - 1) & -unit;
}

/** Whether the application has read so much that the sender, if it may send more, should be told (RFC 9293 3.8.6.2.2). */
export function windowUpdateDue(t: Tcp, c: Connection): boolean {
	if (c.state < ESTABLISHED || (c.flags & C_FIN_RECEIVED) !== 0) return false;
	if ((c.flags & C_NO_PAGE) !== 0) return true;
	const open = (c.rcvAdv - c.rcvNxt) | 0;
	// Not more than the header can say: without scaling, a buffer beyond 64 KiB opens nothing.
	const shown = shownBuffer(t, c);
	const gain = Math.min(shown - c.rcvBytes, 65535 << c.rcvScale) - open;
	// Worth an ACK of its own when the sender may be held back: the window was nearly shut, or a quarter of the buffer is new.
	return gain >= edgeStep(t, c, shown, 2 * t.ownMss) && (open < 2 * t.ownMss || gain >= shown >> 2);
}

/** The application has read: tells the peer of room that is worth an ACK of its own; while pages are short, when they no longer are. */
export function updateWindow(t: Tcp, c: Connection): void {
	if (!windowUpdateDue(t, c)) return;
	if (t.shortage.mayOpen(c, 0)) tellWindow(t, c);
	else t.shortage.starve(c);
}

/** An ACK goes out, for the window that it carries. */
export function tellWindow(t: Tcp, c: Connection): void {
	c.flags = (c.flags & ~C_NO_PAGE) | C_ACK_NOW;
	t.queueOutput(c, 1);
}
