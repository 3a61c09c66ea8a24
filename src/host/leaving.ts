/**
 * The end of a host whose process is about to be gone: what a kernel goes on doing for the sockets of a dead process is done before it dies.
 *
 * Hides how the stack runs without an event loop: turns are made by hand, and between them time passes while the whole thread waits. Nothing of
 * the application runs meanwhile: no socket hears anything any more, and no tick or promise has its turn.
 *
 * Each connection is closed as a kernel closes it (RFC 9293 3.10.4, RFC 2525 2.17): with an end behind all that was written, or with a reset where something
 * came that nobody has read. Then peers have a while to acknowledge. Those that have everything hear no more of us, as of a kernel's orphans;
 * the others hear a reset, for they must not believe that they have.
 */
import type { Shard } from "../shard/shard.ts";
import type { SocketTable } from "../socket/table.ts";
import { abort, close, drop } from "../tcp/calls.ts";
import type { Connection } from "../tcp/connection.gen.ts";
import * as state from "../tcp/state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_DETACHED, C_FIN_PENDING, CLOSED } = state;

/** How long nobody may acknowledge anything, and how long it may take in all, microseconds: whoever ends a process waits for it, and may not be able to stop it. */
const STANDSTILL = 1_000_000;
const LIMIT = 5_000_000;
/** How long resets may take that a link delays, microseconds. */
const RESETS = 200_000;
/** How long to wait for frames, milliseconds: short beside a round trip that is worth waiting for. */
const LOOK = 1;

/**
 * Ends all connections; those of the application included, which is not told. Listeners must be closed already.
 *
 * @param wait Has so many milliseconds pass, without the event loop.
 */
export function leave(shard: Shard, sockets: SocketTable, wait: (milliseconds: number) => void): void {
	const { tcp, clock, counters } = shard;
	const { table } = tcp;
	for (const socket of [...sockets.all()]) socket.close();
	for (let index = 0; index < table.touched; index++) {
		const c = tcp.at(index);
		if (c.state !== CLOSED && (c.flags & C_DETACHED) === 0) close(tcp, index);
	}
	const end = clock.now() + LIMIT;
	let least = Number.POSITIVE_INFINITY;
	let since = clock.now();
	for (;;) {
		const before = counters.framesIn;
		const kept = shard.turn();
		const now = clock.now();
		const left = owedBytes(shard) + kept;
		if (left === 0) break;
		if (left < least) since = now;
		least = Math.min(least, left);
		if (now >= end || now - since >= STANDSTILL) break;
		if (counters.framesIn === before) wait(LOOK);
	}
	for (let index = 0; index < table.touched; index++) {
		const c = tcp.at(index);
		if (c.state === CLOSED) continue;
		if (owes(c)) abort(tcp, index);
		else drop(tcp, index);
	}
	shard.turn();
	for (const end = clock.now() + RESETS; shard.turn() > 0 && clock.now() < end; ) wait(LOOK);
}

/** Bytes that peers have not acknowledged, ends included. */
function owedBytes(shard: Shard): number {
	const { tcp } = shard;
	let bytes = 0;
	for (let index = 0; index < tcp.table.touched; index++) {
		const c = tcp.at(index);
		if (c.state !== CLOSED && owes(c)) bytes += Math.max((c.sndEnd - c.sndUna) | 0, 1);
	}
	return bytes;
}

function owes(c: Connection): boolean {
	return c.sndEnd !== c.sndUna || (c.flags & C_FIN_PENDING) !== 0;
}
