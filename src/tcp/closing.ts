/**
 * The end of a connection: who is still to be told of it, and when its record is free.
 *
 * Hides that a connection ends twice, for the peer and for the application, in either order. While an application holds it, the record
 * stays until E_CLOSED has been handed over: in good order after the last byte was read, else at once. Nobody holds it with C_DETACHED; then
 * it is freed when TCP is done with it. TIME-WAIT is a small record of its own (timewait.ts) from its beginning, whoever still reads.
 *
 * Invariants: a record is freed only after E_CLOSED has been handed over or when nobody wants it, and then holds no page and no timer. A
 * connection becomes CLOSED by `finished` alone: from there on it is in no hash table, holds no pages but those that can still be read, and is
 * no longer counted by its listener or in `halfOpen`.
 *
 * Read first: RFC 9293 3.6, 3.10.5 and 3.10.7.4.
 */
import type { Connection } from "./connection.gen.ts";
import { dropEarly } from "./early.ts";
import type { Tcp } from "./engine.ts";
import { sendAck, sendReset } from "./output.ts";
import { dropReceived } from "./receive.ts";
import { dropSendQueue } from "./sendqueue.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_ACK_NOW,
	C_DETACHED,
	C_PASSIVE,
	CLOSE_WAIT,
	CLOSED,
	CLOSING,
	E_ACCEPT,
	E_CLOSED,
	ERR_NONE,
	ERR_TIMEOUT,
	ESTABLISHED,
	FIN_WAIT_2,
	LAST_ACK,
	SYN_RECEIVED,
	SYN_SENT,
} = state;

/** Our FIN and the peer's are both done on this side: what the peer may still ask for is in a TIME-WAIT record from now on. */
export function enterTimeWait(t: Tcp, c: Connection): void {
	// The ACK of the peer's FIN would get lost with the connection. If there is no page for it, the FIN comes again.
	if ((c.flags & C_ACK_NOW) !== 0) sendAck(t, c);
	c.flags &= ~C_ACK_NOW;
	if (t.table.addTimeWait(c.index, (t.tick + t.options.timeWait) | 0)) t.counters.timeWaitOverflow++;
	finished(t, c, ERR_NONE);
	t.onWork();
}

/** The connection has ended in good order; the application is told when it has read everything. */
export function closedWhenRead(t: Tcp, c: Connection): void {
	if (c.rcvHead !== 0) return;
	if (c.state === CLOSED && (c.error & 0xff) === ERR_NONE) t.raise(c, E_CLOSED);
}

/** The connection is over. With an application it stays until that has been told (and, in good order, has read all); else it is freed. */
export function finished(t: Tcp, c: Connection, error: number): void {
	if (c.state === CLOSED) return;
	if (c.state === SYN_SENT || c.state === SYN_RECEIVED) t.halfOpen--;
	if ((c.flags & C_PASSIVE) !== 0) {
		const listener = t.listeners.byId(c.listener);
		if (listener !== undefined) {
			if (c.state === SYN_RECEIVED) listener.halfOpen--;
			else if ((c.events & E_ACCEPT) !== 0 && !listener.held) listener.pending--;
		}
		// Nobody was ever told of it: there is nobody to tell of its end.
		if ((c.state === SYN_RECEIVED && listener?.held === false) || ((c.events & E_ACCEPT) !== 0 && error !== ERR_NONE))
			c.flags |= C_DETACHED;
	}
	if (error === ERR_TIMEOUT) t.counters.timedOut++;
	t.table.remove(c.index);
	t.wheel.remove(c.index);
	dropSendQueue(t, c);
	c.rtxAt = 0;
	c.ackAt = 0;
	c.idleAt = 0;
	c.paceAt = 0;
	c.state = CLOSED;
	c.error = error;
	// What came before a reset can still be read, until the application has been told.
	dropEarly(t, c);
	if ((c.flags & C_DETACHED) !== 0) {
		free(t, c);
		return;
	}
	if (error !== ERR_NONE) t.raise(c, E_CLOSED);
	else closedWhenRead(t, c);
}

/** Gives the record back, and what nobody has read. */
export function free(t: Tcp, c: Connection): void {
	dropReceived(t, c);
	c.events = 0;
	t.table.free(c.index);
}

/** ABORT: a RST in the states that have one (RFC 9293 3.10.5), and the connection is over. */
export function reset(t: Tcp, c: Connection): void {
	t.refreshTime();
	if (
		c.state === SYN_RECEIVED ||
		(c.state >= ESTABLISHED && c.state <= FIN_WAIT_2) ||
		c.state === CLOSE_WAIT ||
		c.state === LAST_ACK ||
		c.state === CLOSING
	) {
		sendReset(t, c);
		t.onWork();
	}
	finished(t, c, ERR_NONE);
}
