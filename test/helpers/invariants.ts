/**
 * What must hold for the records and pages of an engine between two turns, whatever has come in.
 *
 * Walks every record and every list of pages. Knows the layout of records (white box), but nothing of how they came to be so.
 * Throws with the number, the state and the words of the connection that is wrong.
 */
import { type PagePool, SLAB_SIZE } from "../../src/memory/pages.ts";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import type { Tcp } from "../../src/tcp/engine.ts";
import {
	C_DETACHED,
	C_FIN_ACKED,
	C_FIN_PENDING,
	C_FIN_RECEIVED,
	C_FINISHED,
	C_HELD,
	C_PASSIVE,
	CLOSE_WAIT,
	CLOSED,
	CLOSING,
	E_ACCEPT,
	ESTABLISHED,
	FIN_WAIT_2,
	L_STARVED,
	LAST_ACK,
	P_FIN,
	P_LOST,
	P_SACKED,
	P_SENT,
	STATE_NAMES,
	SYN_RECEIVED,
	SYN_SENT,
} from "../../src/tcp/state.ts";

export class Invariants {
	/** Pages that records held at the last check. */
	pages = 0;
	/** Ticks from now to the earliest deadline of a connection at the last check; Infinity: there was none. */
	due = Number.POSITIVE_INFINITY;
	/** Slabs of which records held slices. */
	get slabs(): number {
		return this.#slabs.size;
	}
	/** Slices of each slab at the last check: where they begin and end. */
	readonly #slabs = new Map<number, [number, number][]>();
	readonly #tcp: Tcp;
	readonly #pool: PagePool;
	/** Right edge of the window at the last check, by record, with the generation that it belongs to. */
	readonly #edges = new Map<number, { generation: number; rcvAdv: number; rcvNxt: number; sndUna: number; sndNxt: number }>();

	constructor(tcp: Tcp) {
		this.#tcp = tcp;
		this.#pool = tcp.pool;
	}

	/** @param settled Nothing waits for output: then whatever is out or unsent must have a timer. */
	check(settled = true): void {
		const tcp = this.#tcp;
		this.pages = 0;
		this.due = Number.POSITIVE_INFINITY;
		this.#slabs.clear();
		let halfOpen = 0;
		let live = 0;
		const halfOpenOf = new Map<number, number>();
		const pendingOf = new Map<number, number>();
		for (let index = 0; index < tcp.table.touched; index++) {
			const c = tcp.at(index);
			this.#pagesOf(c);
			if (c.state === CLOSED) continue;
			live++;
			if (c.state === SYN_SENT || c.state === SYN_RECEIVED) halfOpen++;
			if ((c.flags & C_PASSIVE) !== 0) {
				if (c.state === SYN_RECEIVED) halfOpenOf.set(c.listener, (halfOpenOf.get(c.listener) ?? 0) + 1);
				else if ((c.events & E_ACCEPT) !== 0) pendingOf.set(c.listener, (pendingOf.get(c.listener) ?? 0) + 1);
			}
			this.#flags(c);
			this.#numbers(c);
			this.#timers(c, settled);
			if (
				tcp.table.lookup(c.local0, c.local1, c.local2, c.local3, c.localPort, c.remote0, c.remote1, c.remote2, c.remote3, c.remotePort) !==
				index
			)
				fail(tcp.at(index), "the table does not find it");
		}
		this.#slices();
		if (live > tcp.table.count) throw new Error(`${live} connections live, ${tcp.table.count} records in use`);
		if (halfOpen !== tcp.halfOpen) throw new Error(`${halfOpen} connections half-open, counted ${tcp.halfOpen}`);
		for (const listener of tcp.listeners.all()) {
			const half = halfOpenOf.get(listener.id) ?? 0;
			if (half !== listener.halfOpen) throw new Error(`listener ${listener.port}: ${half} half-open, counted ${listener.halfOpen}`);
			const pending = listener.held ? 0 : (pendingOf.get(listener.id) ?? 0);
			if (pending !== listener.pending) throw new Error(`listener ${listener.port}: ${pending} wait, counted ${listener.pending}`);
		}
	}

	/** After all is closed and TIME-WAIT has passed. */
	empty(): void {
		const tcp = this.#tcp;
		this.check();
		if (this.#pool.inUse !== 0) throw new Error(`${this.#pool.inUse} pages left, ${this.pages} of them with connections`);
		if (this.#pool.slabsFree !== this.#pool.slabs) throw new Error(`${this.#pool.slabs - this.#pool.slabsFree} slabs left`);
		if (tcp.table.count !== 0) throw new Error(`${tcp.table.count} records left`);
		if (tcp.table.timeWaitCount !== 0) throw new Error(`${tcp.table.timeWaitCount} TIME-WAIT records left`);
		if (tcp.nextDeadline() !== Number.POSITIVE_INFINITY) throw new Error("a timer is left");
		if (tcp.halfOpen !== 0) throw new Error(`${tcp.halfOpen} half-open connections counted`);
		if (tcp.busy) throw new Error("something waits on a list");
	}

	#pagesOf(c: Connection): void {
		const pool = this.#pool;
		let span = 0;
		let lost = 0;
		let sacked = 0;
		let unsent = false;
		let count = 0;
		let seq = c.sndUna;
		let last = 0;
		// Before the handshake is complete the SYN is outstanding too.
		if (c.state === SYN_SENT || c.state === SYN_RECEIVED) seq = (c.iss + 1) | 0;
		const sendStart = seq;
		for (let page = c.sndHead; page !== 0; last = page, page = pool.next(page)) {
			if (pool.isSlice(page)) this.#slice(c, page);
			else this.pages++;
			if (pool.refs(page) < 1) fail(c, `page ${page} of the send segment is free`);
			if (++count > pool.capacity + 128 * pool.slabs) fail(c, "the send segment is a ring");
			const flags = pool.flags(page);
			if (pool.seq(page) !== seq) fail(c, `page ${page} begins at ${pool.seq(page)}, expected ${seq}`);
			const fin = (flags & P_FIN) !== 0;
			if (fin && pool.next(page) !== 0) fail(c, "the FIN is not on the last page");
			const bytes = pool.length(page) + (fin ? 1 : 0);
			if (bytes <= 0) fail(c, `page ${page} holds nothing`);
			if (page === c.sndNext) {
				unsent = true;
				if (c.state >= ESTABLISHED && seq !== c.sndNxt) fail(c, `sndNext begins at ${seq}`);
			}
			if (unsent) {
				if ((flags & (P_SENT | P_LOST | P_SACKED)) !== 0) fail(c, `page ${page} is not sent yet but has flags ${flags}`);
			} else {
				if ((flags & P_SENT) === 0) fail(c, `page ${page} before sndNext is not sent`);
				if ((flags & (P_LOST | P_SACKED)) === (P_LOST | P_SACKED)) fail(c, `page ${page} is both lost and SACKed`);
				if ((flags & P_LOST) !== 0) lost += bytes;
				if ((flags & P_SACKED) !== 0) sacked += bytes;
			}
			seq = (seq + bytes) | 0;
			span += bytes;
		}
		if (c.sndTail !== last) fail(c, `the last page is ${last}`);
		if (c.sndNext !== 0 && !unsent) fail(c, "sndNext is not in the send segment");
		if (c.state !== CLOSED) {
			if (seq !== c.sndEnd && span > 0) fail(c, `the send segment ends at ${seq}`);
			if (span === 0 && c.state >= ESTABLISHED && c.sndEnd !== c.sndUna) fail(c, "the send segment is empty but for its numbers");
			if (span === 0 && c.state < ESTABLISHED && c.sndEnd !== sendStart) fail(c, "the send segment is empty but for its numbers");
			if (!unsent && c.state >= ESTABLISHED && c.sndNxt !== c.sndEnd) fail(c, "all is sent, but not up to sndEnd");
		}
		if (c.lost !== lost || c.sacked !== sacked) fail(c, `pages say ${lost} lost and ${sacked} SACKed`);

		let bytes = 0;
		last = 0;
		for (let page = c.rcvHead; page !== 0; last = page, page = pool.next(page)) {
			this.pages++;
			if (pool.refs(page) < 1) fail(c, `page ${page} of the receive segment is free`);
			if (this.pages > pool.capacity) fail(c, "the receive segment is a ring");
			if (pool.length(page) <= 0) fail(c, "an empty page in the receive segment");
			const from = pool.start(page) - pool.address(page);
			if (from < 0 || from + pool.length(page) > 2048) fail(c, `page ${page} runs over its end`);
			bytes += pool.length(page);
		}
		if (c.rcvTail !== last) fail(c, `the last received page is ${last}`);
		if (c.rcvBytes !== bytes) fail(c, `${bytes} bytes received`);

		let early = 0;
		let runs = 0;
		let run = 0;
		let end = c.rcvNxt;
		last = 0;
		for (let page = c.oooHead; page !== 0; last = page, page = pool.next(page)) {
			this.pages++;
			early++;
			if (pool.refs(page) < 1) fail(c, `page ${page} of the early list is free`);
			if (this.pages > pool.capacity) fail(c, "the early list is a ring");
			const at = pool.seq(page);
			if (((at - end) | 0) < 0 || (last === 0 && at === end)) fail(c, `page ${page} of the early list begins at ${at}, before ${end}`);
			if (pool.length(page) === 0 && (pool.flags(page) & P_FIN) === 0) fail(c, "an empty page in the early list");
			if (last === 0 || at !== end) {
				if (last !== 0 && pool.aux(run) !== last) fail(c, `the run at page ${run} ends with ${last}`);
				run = page;
				runs++;
			}
			end = (at + pool.length(page)) | 0;
			if (((end - c.rcvAdv) | 0) > 0) fail(c, "the early list runs beyond the window");
		}
		if (last !== 0 && pool.aux(run) !== last) fail(c, `the last early page is ${last}`);
		if (c.oooTail !== run) fail(c, `the last early run begins with ${run}`);
		if ((c.oooCount & 0x1fffff) !== early || c.oooCount >> 21 !== runs) fail(c, `${early} early pages in ${runs} runs`);
	}

	/** Notes a slice, which lies within its slab. */
	#slice(c: Connection, slice: number): void {
		const pool = this.#pool;
		const slab = pool.aux(slice);
		if (slab < 0 || slab >= pool.slabs) fail(c, `slice ${slice} of slab ${slab}, which there is not`);
		const start = pool.start(slice);
		const end = start + pool.length(slice);
		const last = end + pool.behind(slice);
		if (start < last - SLAB_SIZE || end > last) fail(c, `slice ${slice} is not within its slab`);
		const of = this.#slabs.get(slab);
		if (of === undefined) this.#slabs.set(slab, [[start, end]]);
		else of.push([start, end]);
	}

	/** No two slices share bytes, and none has more than its part of the numbers. */
	#slices(): void {
		for (const [slab, slices] of this.#slabs) {
			if (slices.length > 128) throw new Error(`${slices.length} slices of slab ${slab}`);
			slices.sort(([a], [b]) => a - b);
			for (let i = 1; i < slices.length; i++)
				if (slices[i]![0] < slices[i - 1]![1]) throw new Error(`two slices of slab ${slab} share bytes`);
		}
	}

	#flags(c: Connection): void {
		const { state, flags } = c;
		if (state < 0 || state > LAST_ACK) fail(c, "no such state");
		const finReceived = state === CLOSE_WAIT || state === CLOSING || state === LAST_ACK;
		if (finReceived !== ((flags & C_FIN_RECEIVED) !== 0)) fail(c, "C_FIN_RECEIVED does not fit the state");
		if (finReceived && c.oooHead !== 0) fail(c, "early data after the FIN");
		const finished = state > ESTABLISHED && state !== CLOSE_WAIT;
		if (state >= ESTABLISHED && finished !== ((flags & C_FINISHED) !== 0)) fail(c, "C_FINISHED does not fit the state");
		const acked = state === FIN_WAIT_2;
		if (acked !== ((flags & C_FIN_ACKED) !== 0)) fail(c, "C_FIN_ACKED does not fit the state");
		if (acked && c.sndHead !== 0) fail(c, "something to send after the FIN was acknowledged");
		if ((flags & C_HELD) !== 0 && state !== SYN_RECEIVED) fail(c, "C_HELD beyond SYN-RECEIVED");
		if ((flags & C_DETACHED) !== 0 && c.rcvHead !== 0) fail(c, "bytes that nobody will read");
		if ((flags & C_DETACHED) !== 0 && state < ESTABLISHED) fail(c, "half-open, and nobody wants it");
	}

	#numbers(c: Connection): void {
		const { sndUna, sndNxt, sndEnd, rcvNxt, rcvAdv, generation } = c;
		if (((sndNxt - sndUna) | 0) < 0) fail(c, "sndNxt before sndUna");
		if (c.state >= ESTABLISHED && ((sndEnd - sndNxt) | 0) < 0) fail(c, "sndEnd before sndNxt");
		if (c.state >= SYN_RECEIVED && ((rcvAdv - rcvNxt) | 0) < 0) fail(c, "rcvAdv before rcvNxt");
		if (c.mss < 24 || c.mss > 2048 - 256) fail(c, `mss of ${c.mss}`);
		if (c.cwnd < 1) fail(c, "no congestion window");
		if (c.ssthresh < 1) fail(c, "no slow-start threshold");
		if (c.sndWnd < 0) fail(c, "a negative send window");
		if (c.state >= ESTABLISHED && ((c.lastAckSent - rcvNxt) | 0) > 0) fail(c, "lastAckSent beyond rcvNxt");
		const before = this.#edges.get(c.index);
		if (before !== undefined && before.generation === generation) {
			if (c.state >= ESTABLISHED && ((rcvAdv - before.rcvAdv) | 0) < 0) fail(c, `rcvAdv was ${before.rcvAdv}`);
			if (((sndUna - before.sndUna) | 0) < 0) fail(c, `sndUna was ${before.sndUna}`);
			if (((sndNxt - before.sndNxt) | 0) < 0) fail(c, `sndNxt was ${before.sndNxt}`);
			if (c.state >= ESTABLISHED && ((rcvNxt - before.rcvNxt) | 0) < 0) fail(c, `rcvNxt was ${before.rcvNxt}`);
		}
		// Before the peer's SYN there are no numbers of the peer.
		if (c.state >= SYN_RECEIVED) this.#edges.set(c.index, { generation, rcvAdv, rcvNxt, sndUna, sndNxt });
		else this.#edges.delete(c.index);
	}

	#timers(c: Connection, settled: boolean): void {
		const { tick } = this.#tcp;
		for (const at of [c.rtxAt, c.ackAt, c.idleAt, c.paceAt]) {
			if (at === 0) continue;
			this.due = Math.min(this.due, (at - tick) | 0);
			if (c.timerAt === 0) fail(c, "a deadline, but it is not in the wheel");
			const latest = ((at - tick) | 0) < 1 ? tick + 1 : at;
			if (((c.timerAt - latest) | 0) > 0) fail(c, `filed under ${c.timerAt}, due at ${at}, now ${tick}`);
		}
		if (!settled) return;
		const waits = c.rtxAt !== 0 || c.paceAt !== 0;
		if (c.state === SYN_SENT && !waits) fail(c, "nothing repeats the SYN");
		if (c.state === SYN_RECEIVED && (c.flags & C_HELD) === 0 && !waits) fail(c, "nothing repeats the SYN-ACK");
		if (c.state < ESTABLISHED) return;
		if (c.sndUna !== c.sndNxt && !waits) fail(c, "data in flight, and no timer");
		if (c.sndUna === c.sndNxt && c.sndNext !== 0 && !waits) fail(c, "data unsent, nothing in flight, and no timer");
		if ((c.flags & C_FIN_PENDING) !== 0 && (c.lists & L_STARVED) === 0) fail(c, "a FIN without a page, and nobody looks for one");
		if (c.state === FIN_WAIT_2 && (c.flags & C_DETACHED) !== 0 && c.idleAt === 0) fail(c, "FIN-WAIT-2 for ever, and nobody wants it");
	}
}

function fail(c: Connection, what: string): never {
	const words = `una ${c.sndUna} nxt ${c.sndNxt} end ${c.sndEnd} wnd ${c.sndWnd} rcvNxt ${c.rcvNxt} rcvAdv ${c.rcvAdv}`;
	const rest = `flags ${c.flags.toString(16)} events ${c.events} lost ${c.lost} sacked ${c.sacked} rcvBytes ${c.rcvBytes} timer ${c.timerAt} rtx ${c.rtxAt} ack ${c.ackAt} idle ${c.idleAt}`;
	throw new Error(
		`connection ${c.index}, ${STATE_NAMES[c.state]}: ${what} (${words} ${rest} pages ${c.sndHead} ${c.sndNext} ${c.sndTail})`,
	);
}
