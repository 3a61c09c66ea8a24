/**
 * The end of a host whose process is about to be gone: what a kernel goes on doing for the sockets of a dead process is done before it dies.
 *
 * Hides how the stack runs without an event loop: turns are made by hand, and between them time passes while the whole thread waits. Nothing of
 * the application runs meanwhile: no socket hears anything any more, and no tick or promise has its turn.
 *
 * Each connection is closed as a kernel closes it (RFC 9293 3.10.4, RFC 2525 2.17): with an end behind all that was written, or with a reset where something
 * came that nobody has read. Then peers have a while to acknowledge, and to end as well. Those that have everything hear no more of us after that;
 * the others hear a reset, for they must not believe that they have. A link of streams is heard by the event loop alone: what has left by it is taken for
 * what has arrived.
 */
import type { Shard } from "../shard/shard.ts";
import type { SocketTable } from "../socket/table.ts";
import { abort, close, drop } from "../tcp/calls.ts";
import type { Connection } from "../tcp/connection.gen.ts";
import type { Tcp } from "../tcp/engine.ts";
import * as state from "../tcp/state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_DETACHED, C_FIN_PENDING, CLOSED } = state;

/** How long nobody may acknowledge anything, and how long it may take in all, microseconds: whoever ends a process waits for it, and may not be able to stop it. */
const STANDSTILL = 1_000_000;
const LIMIT = 5_000_000;
/** How long peers that have everything may take to end as well, and those that were reset to say that they expected it elsewhere (RFC 5961 3.2). */
const FAREWELL = 50_000;
const RESETS = 200_000;
/** How long to wait for frames, milliseconds: short beside a round trip that is worth waiting for. */
const LOOK = 1;

/**
 * Ends all connections; those of the application included, which is not told. Listeners must be closed already.
 *
 * @param wait Has so many milliseconds pass, without the event loop.
 */
export function leave(shard: Shard, sockets: SocketTable, wait: (milliseconds: number) => void): void {
	const { tcp, clock } = shard;
	for (const socket of [...sockets.all()]) socket.close();
	each(tcp, (c, index) => {
		if ((c.flags & C_DETACHED) === 0) close(tcp, index);
	});
	let deaf = false;
	let least = Number.POSITIVE_INFINITY;
	let since = clock.now();
	turnUntil(shard, wait, LIMIT, (kept) => {
		const left = owedBytes(tcp) + kept;
		const now = clock.now();
		if (left < least) since = now;
		least = Math.min(least, left);
		deaf = kept < 0;
		return left <= 0 || deaf || now - since >= STANDSTILL;
	});
	let reset = false;
	each(tcp, (c, index) => {
		// Of a link that is not heard any more all that is known is what has left.
		if (deaf ? c.sndNxt === c.sndEnd : !owes(c)) return;
		reset ||= c.sndNxt !== c.sndUna;
		abort(tcp, index);
	});
	if (deaf) shard.turn();
	else turnUntil(shard, wait, reset ? RESETS : FAREWELL, (kept) => kept === 0 && !reset && tcp.table.count === 0);
	each(tcp, (_c, index) => drop(tcp, index));
}

/** Turns at least once, and on until `done` says so of what the link keeps, or so many microseconds have passed. */
function turnUntil(shard: Shard, wait: (milliseconds: number) => void, limit: number, done: (kept: number) => boolean): void {
	const { clock, counters } = shard;
	const end = clock.now() + limit;
	for (;;) {
		const before = counters.framesIn;
		if (done(shard.turn()) || clock.now() >= end) return;
		if (counters.framesIn === before) wait(LOOK);
	}
}

/** Calls `f` for each connection that is not over. */
function each(tcp: Tcp, f: (c: Connection, index: number) => void): void {
	for (let index = 0; index < tcp.table.touched; index++) {
		const c = tcp.at(index);
		if (c.state !== CLOSED) f(c, index);
	}
}

/** Bytes that peers have not acknowledged, ends included. */
function owedBytes(tcp: Tcp): number {
	let bytes = 0;
	each(tcp, (c) => {
		if (owes(c)) bytes += Math.max((c.sndEnd - c.sndUna) | 0, 1);
	});
	return bytes;
}

function owes(c: Connection): boolean {
	return c.sndEnd !== c.sndUna || (c.flags & C_FIN_PENDING) !== 0;
}
