/**
 * The calls of the application: what a socket asks of its connection (RFC 9293 3.9.1).
 *
 * Hides what each call means in each state (RFC 9293 3.10.1 to 3.10.5). A call changes the record, and what is to be sent for it leaves at the
 * end of the turn; only what goes before a reset is sent at once. It tells nothing either: events are handed over by the engine's
 * `deliver`, never from inside a call.
 *
 * A connection is named by its number. Whether the record still serves the one that is meant, the caller knows (socket/socket.ts).
 */
import { closedWhenRead, finished, free, reset } from "./closing.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import type { Listener } from "./listeners.ts";
import { begin } from "./opening.ts";
import { output, sendReset } from "./output.ts";
import { beforeLanding, dropFirst, firstPiece, readInto, takeLanding } from "./receive.ts";
import { enqueue, enqueueFin, sendRoom } from "./sendqueue.ts";
import * as state from "./state.ts";
import { setIdle } from "./timers.ts";
import { updateWindow } from "./window.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_DETACHED,
	C_FIN_RECEIVED,
	C_FINISHED,
	C_HELD,
	C_KEEPALIVE,
	C_NODELAY,
	C_ONE_WAY,
	C_PASSIVE,
	C_SEND_SYN,
	C_WANT_ROOM,
	CLOSE_WAIT,
	CLOSED,
	E_ACCEPT,
	E_ENDED,
	ERR_NONE,
	ESTABLISHED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	LAST_ACK,
	SYN_RECEIVED,
	SYN_SENT,
} = state;

/**
 * OPEN, active. The caller has chosen the addresses; the tuple must be free.
 *
 * @returns The connection, or -1 when the table is full.
 */
export function open(t: Tcp, local: Int32Array, localPort: number, remote: Int32Array, remotePort: number): number {
	t.refreshTime();
	const index = t.table.alloc();
	if (index < 0) {
		t.counters.connectionsFull++;
		return -1;
	}
	const c = t.at(index);
	c.local0 = local[0]!;
	c.local1 = local[1]!;
	c.local2 = local[2]!;
	c.local3 = local[3]!;
	c.remote0 = remote[0]!;
	c.remote1 = remote[1]!;
	c.remote2 = remote[2]!;
	c.remote3 = remote[3]!;
	c.localPort = localPort;
	c.remotePort = remotePort;
	c.listener = -1;
	c.state = SYN_SENT;
	begin(t, c);
	c.flags |= C_SEND_SYN;
	c.sndNxt = (c.iss + 1) | 0;
	t.table.insert(index);
	t.halfOpen++;
	t.counters.activeOpens++;
	t.queueOutput(c, 0);
	return index;
}

/** Stops listening: half-open connections are reset, as are established ones that nobody was handed. */
export function unlisten(t: Tcp, listener: Listener): void {
	t.listeners.remove(listener);
	if (listener.halfOpen === 0 && listener.pending === 0) return;
	for (let index = 0; index < t.table.touched; index++) {
		const c = t.at(index);
		if (c.listener !== listener.id || c.state === CLOSED || (c.flags & C_PASSIVE) === 0) continue;
		// A held one that the application was told of goes on, as those do that it was handed.
		if ((c.events & E_ACCEPT) !== 0 || (c.state === SYN_RECEIVED && !listener.held)) {
			sendReset(t, c);
			c.flags |= C_DETACHED;
			finished(t, c, ERR_NONE);
		}
	}
	t.onWork();
}

/** SEND: copies what there is room for; returns how many bytes. Asks for E_WRITABLE when that was not all. */
export function write(t: Tcp, index: number, bytes: Uint8Array, offset: number, length: number): number {
	const c = t.at(index);
	if ((c.flags & C_FINISHED) !== 0 || c.state === CLOSED || c.state > CLOSE_WAIT) return 0;
	const taken = enqueue(t, c, bytes, offset, length);
	// The peer is answered: its next ACK may wait for an answer again.
	c.flags &= ~C_ONE_WAY;
	if (taken < length) {
		c.flags |= C_WANT_ROOM;
		// It is the pool that has no room: no ACK of this connection will say when there is some again.
		if (sendRoom(t, c) > 0) t.shortage.starve(c);
	}
	if (taken > 0 && c.state >= ESTABLISHED) t.queueOutput(c, 2);
	return taken;
}

/** RECEIVE: copies up to `length` bytes; returns how many. */
export function read(t: Tcp, index: number, target: Uint8Array, offset: number, length: number): number {
	const c = t.at(index);
	if (c.rcvHead === 0) return 0;
	const taken = readInto(t, c, target, offset, length);
	afterRead(t, c);
	return taken;
}

/** RECEIVE without a copy: what came first, if it lies in a buffer of its own, which is then the caller's. Else null. */
export function take(t: Tcp, index: number): Uint8Array | null {
	const c = t.at(index);
	const bytes = takeLanding(t, c);
	if (bytes !== null) afterRead(t, c);
	return bytes;
}

/** RECEIVE where it lies: what came first, in one piece. Null if there is nothing. Good until it is taken, by `recvDone` or another read. */
export function peek(t: Tcp, index: number): Uint8Array | null {
	return firstPiece(t, t.at(index));
}

/** Done with the first `length` bytes, or as many as there are; returns how many. */
export function recvDone(t: Tcp, index: number, length: number): number {
	const c = t.at(index);
	if (c.rcvHead === 0) return 0;
	const taken = dropFirst(t, c, length);
	afterRead(t, c);
	return taken;
}

/** Of the next `most` bytes, how many have to be copied before there is something to `take`. */
export function beforeTake(t: Tcp, index: number, most: number): number {
	return beforeLanding(t, t.at(index), most);
}

function afterRead(t: Tcp, c: Connection): void {
	if (c.rcvHead === 0) afterLastByte(t, c);
	updateWindow(t, c);
}

function afterLastByte(t: Tcp, c: Connection): void {
	if ((c.flags & C_FIN_RECEIVED) !== 0) t.raise(c, E_ENDED);
	closedWhenRead(t, c);
}

/** CLOSE of the sending side: FIN after what was written. */
export function finish(t: Tcp, index: number): void {
	finishSending(t, t.at(index));
}

function finishSending(t: Tcp, c: Connection): void {
	if ((c.flags & C_FINISHED) !== 0 || c.state === CLOSED) return;
	c.flags |= C_FINISHED;
	if (c.state === SYN_SENT || c.state === SYN_RECEIVED) {
		// RFC 9293 3.10.4: queued until ESTABLISHED.
		enqueueFin(t, c);
		return;
	}
	enqueueFin(t, c);
	if (c.state === ESTABLISHED) c.state = FIN_WAIT_1;
	else if (c.state === CLOSE_WAIT) c.state = LAST_ACK;
	// In the order in which the application asked: a FIN does not overtake what was written before on another connection.
	t.queueOutput(c, 2);
}

/**
 * The application gives the connection up: no event will come, what was written is still delivered. Unread data, or data
 * that still comes, reset it: the sender must not believe that it was read (RFC 9293 3.6.1, RFC 2525 2.17).
 */
export function close(t: Tcp, index: number): void {
	const c = t.at(index);
	c.flags |= C_DETACHED;
	c.events = 0;
	if (c.state === CLOSED) {
		free(t, c);
		return;
	}
	if (c.state === SYN_SENT) {
		finished(t, c, ERR_NONE);
		return;
	}
	if (c.rcvBytes > 0 || (c.oooHead !== 0 && (c.flags & C_FIN_RECEIVED) === 0)) {
		// RFC 2525 2.17: a reset says that what came was not read; an answer that was written goes before it.
		sendWritten(t, c);
		reset(t, c);
		return;
	}
	if (c.state === SYN_RECEIVED) {
		reset(t, c);
		return;
	}
	finishSending(t, c);
	if (c.state === FIN_WAIT_2) {
		t.refreshTime();
		setIdle(t, c, t.options.finWait2);
		// Nothing is sent: the turn is only for the alarm.
		t.onWork();
	}
}

/**
 * ABORT: RST, and nothing is kept (RFC 9293 3.10.5). No event comes. What was written goes first, but not behind an end, which the peer would
 * take for a good one.
 */
export function abort(t: Tcp, index: number): void {
	const c = t.at(index);
	if ((c.flags & (C_FINISHED | C_DETACHED)) === 0) sendWritten(t, c);
	c.flags |= C_DETACHED;
	c.events = 0;
	if (c.state === CLOSED) free(t, c);
	else reset(t, c);
}

/** Gives a connection up without a segment: a held one, whose peer learns of it by other means, or not at all. No event comes. */
export function drop(t: Tcp, index: number): void {
	const c = t.at(index);
	c.flags |= C_DETACHED;
	c.events = 0;
	if (c.state === CLOSED) free(t, c);
	else finished(t, c, ERR_NONE);
}

/** Sends what the application wrote in this very turn, and what may leave: it waits for the turn's end only to share segments. */
function sendWritten(t: Tcp, c: Connection): void {
	if (c.state < ESTABLISHED || c.sndNext === 0) return;
	// No turn follows, in which the rest could leave.
	while (output(t, c));
}

/** Lets the SYN-ACK of a held connection go. */
export function proceed(t: Tcp, index: number): void {
	const c = t.at(index);
	if ((c.flags & C_HELD) === 0) return;
	c.flags = (c.flags & ~C_HELD) | C_SEND_SYN;
	t.queueOutput(c, 0);
}

export function setNoDelay(t: Tcp, index: number, on: boolean): void {
	const c = t.at(index);
	if (on) {
		c.flags |= C_NODELAY;
		if (c.sndNext !== 0) t.queueOutput(c, 2);
	} else c.flags &= ~C_NODELAY;
}

/**
 * Keep-alive probes after `idle` milliseconds (RFC 9293 3.8.4), then every `interval` seconds (up to 65535), `probes` of them (up to 255);
 * 0: as the options say.
 */
export function setKeepAlive(t: Tcp, index: number, on: boolean, idle: number, interval = 0, probes = 0): void {
	const c = t.at(index);
	if (!on) {
		c.flags &= ~C_KEEPALIVE;
		return;
	}
	t.refreshTime();
	c.flags |= C_KEEPALIVE;
	c.keepIdle = Math.max(1, idle);
	c.error = (interval << 16) | (probes << 8) | (c.error & 0xff);
	c.lastHeard = t.tick;
	if (c.state >= ESTABLISHED) {
		setIdle(t, c, c.keepIdle);
		t.onWork();
	}
}

/** Bytes that `write` would take now. */
export function room(t: Tcp, index: number): number {
	return Math.max(0, sendRoom(t, t.at(index)));
}
