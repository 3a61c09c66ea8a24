/**
 * Shortage: who goes on when pages run short, and who waits.
 *
 * Hides the order in which connections give way, by the number of free pages (docs/design.md, decision 17): first applications write no more,
 * then nothing is kept for connections that hold more than their share of what nobody has read, then no window grows, then early segments are not kept,
 * at last nothing that comes in is, and windows are shut. So there is always a page for the ACKs and resets without which nothing would ever be freed.
 *
 * Whoever has nothing on the way may write a page, and who has nothing to be read may hear one, down to nearly the last pages: a program may read only when it has
 * written (an echo, a proxy), and if those that hold much could stop those that hold nothing, it would be for ever. So the thresholds rise with the number
 * of connections: below the one at which shares begin there are two pages for each, one to hear and one to write.
 *
 * A connection that could not write, send its FIN or open its window for want of a page is *starved*: no ACK will come that lets it go
 * on. It waits in one list, and is let go on from here, in a turn's second half.
 *
 * Invariants: the thresholds fall in the order of the steps; a record is on the list exactly while L_STARVED is set; who still waits for
 * pages after it was looked at is put back at the end.
 */
import type { PagePool } from "../memory/pages.ts";
import * as pages from "../memory/pages.ts";
import type { Connection } from "./connection.gen.ts";
import { dropEarly, earlyPages } from "./early.ts";
import type { Tcp } from "./engine.ts";
import { IndexQueue } from "./queue.ts";
import { sendRoom } from "./sendqueue.ts";
import * as state from "./state.ts";
import { tellWindow, windowUpdateDue } from "./window.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { PAGE_SIZE } = pages;
const { C_ACK_NOW, C_FIN_PENDING, C_NO_PAGE, C_WANT_ROOM, CLOSED, E_WRITABLE, L_STARVED } = state;

/** Starved connections that are looked at in one turn at most; and how often pages are looked for meanwhile, ms. */
const FEED_LIMIT = 16;
/** Connections whose early pages are looked at in one turn at most. */
const SHED_LIMIT = 64;
const STARVED_DELAY = 10;
/** Bytes of what came in order that a page holds on average, at least: where the next piece fits behind it, that is copied there. */
const PAGE_BYTES = PAGE_SIZE >> 1;

/** Pages that a connection has by right: it may hear one and write one, whoever holds the others. */
const PAGES_BY_RIGHT = 2;

export class Shortage {
	/** Below this many free pages nothing early is accepted from the network. */
	readonly reservedPages: number;
	/** Down to this many free pages a connection that has nothing on the way may write one. More than `lastPages`, or two full hosts would hear nothing of each other. */
	readonly firstPages: number;
	/** Below this many free pages nothing more is kept of what comes in. */
	readonly lastPages: number;
	/** What `scarcePages` is of without connections: the distance of the thresholds above. */
	readonly #step: number;
	/** What connections have by right at most, in all: a quarter of the pages. With more connections than that is for, the first ones have it. */
	readonly #rightsLimit: number;
	/** With as many free pages nothing is short, however many connections there are: the first question of all, and mostly the last. */
	readonly #ample: number;
	readonly #t: Tcp;
	readonly #pool: PagePool;
	readonly #starved: IndexQueue;
	/** Tick from which windows open again that were shut for want of pages. */
	#opensAt = 0;
	/** The record that was looked at last for early pages. */
	#shedAt = 0;

	constructor(t: Tcp, pool: PagePool, connections: number) {
		this.reservedPages = Math.min(256, pool.capacity >> 3);
		this.lastPages = this.reservedPages >> 1;
		this.firstPages = this.lastPages + (this.lastPages >> 1);
		this.#step = Math.max(this.reservedPages, pool.capacity >> 4);
		this.#rightsLimit = pool.capacity >> 2;
		this.#ample = 3 * this.#step + this.#rightsLimit;
		this.#t = t;
		this.#pool = pool;
		this.#starved = new IndexQueue(connections);
	}

	/** Below this many free pages no window grows, but for a segment where nothing is held (`mayHear`). */
	get scarcePages(): number {
		return this.#step + Math.min(PAGES_BY_RIGHT * this.#t.table.count, this.#rightsLimit);
	}

	/** Below this many free pages a connection is held to its share, see `#greedy`. Less than writers leave, so that they do not shut what they wait for. */
	get tightPages(): number {
		return this.scarcePages + (this.#step >> 1);
	}

	/**
	 * Down to this many free pages applications may write. More than `scarcePages`: if writers could take what windows need to open, two
	 * hosts full of unsent data would wait for each other's windows for ever.
	 */
	get writeReserve(): number {
		return this.scarcePages + this.#step;
	}

	/** Whether a connection has more than its share of what nobody has read, half a step among all. Beyond that is what is there by right. */
	#greedy(c: Connection): boolean {
		return c.rcvBytes * this.#t.table.count > (this.#step >> 1) * PAGE_BYTES;
	}

	/** Whether the window may grow. @param spare Pages that there must be beyond. */
	mayGrow(c: Connection, spare: number): boolean {
		const free = this.#pool.free - spare;
		return free >= this.#ample || free >= this.tightPages || (free >= this.scarcePages && !this.#greedy(c));
	}

	/**
	 * Whether the peer may be told of a segment's room, though the window may not grow: nothing is to be read, and the window is shut. Two hosts whose
	 * windows are all shut, with nothing left to read, would wait for each other for ever. @param spare Pages that there must be beyond.
	 */
	mayHear(c: Connection, spare: number): boolean {
		return c.rcvBytes === 0 && ((c.flags & C_NO_PAGE) !== 0 || c.rcvAdv === c.rcvNxt) && this.#pool.free - spare >= this.firstPages;
	}

	/** Whether what came in order may be kept. The very last pages are for frames on their way in: ACKs must be heard for anything to be freed. */
	mayKeep(c: Connection): boolean {
		const { free } = this.#pool;
		return free >= this.#ample || free >= this.tightPages || (free >= this.lastPages && !this.#greedy(c));
	}

	/**
	 * Whether early pages may be kept: what is in order comes first, and writers too. Beyond its share a connection keeps none of those that writers
	 * need to have some to pass on: early bytes stay for as long as the sender leaves the hole, and it sends again what is not kept (RFC 2018 8).
	 * @param held Early pages that there are.
	 */
	mayKeepEarly(held: number): boolean {
		const { free } = this.#pool;
		return (
			free >= this.#ample ||
			free >= this.writeReserve + this.#step ||
			(free >= this.reservedPages && held * this.#t.table.count < this.#step >> 1)
		);
	}

	/** Whether a page may be had for what the application writes. @param spare Pages that there must be beyond. */
	mayWrite(c: Connection, spare: number): boolean {
		const free = this.#pool.free - spare;
		return free > this.#ample || free > (c.sndHead === 0 ? this.firstPages : this.writeReserve);
	}

	/** Whether the peer may be told of a larger window now. @param spare Pages that there must be beyond. */
	mayOpen(c: Connection, spare: number): boolean {
		return (this.mayGrow(c, spare) || this.mayHear(c, spare)) && ((c.flags & C_NO_PAGE) === 0 || ((this.#opensAt - this.#t.tick) | 0) <= 0);
	}

	/** Milliseconds until pages are to be looked for again; -1: nobody waits for any. */
	get nextDelay(): number {
		return this.#starved.length > 0 ? STARVED_DELAY : -1;
	}

	/** Notes that a connection goes on when there are pages again. */
	starve(c: Connection): void {
		if ((c.lists & L_STARVED) !== 0) return;
		this.#wait(c);
		this.#t.onWork();
	}

	/**
	 * What came in order found no page. A sender that heard nothing would back off, and give up at last; one that hears of a shut window probes,
	 * and goes on when that opens (as Linux does, ICSK_ACK_NOMEM). Not at once: what it sends again may be what took the pages.
	 */
	shut(c: Connection): void {
		const { tick } = this.#t;
		const wait = (this.#opensAt - tick) | 0;
		if (wait <= 0 || wait > STARVED_DELAY) this.#opensAt = (tick + STARVED_DELAY) | 0;
		c.flags |= C_ACK_NOW | C_NO_PAGE;
		this.starve(c);
	}

	#wait(c: Connection): void {
		c.lists |= L_STARVED;
		this.#starved.push(c.index);
	}

	/**
	 * Lets starved connections go on, a few at a time, for each takes pages as soon as it is told. What needs fewer free pages than writers have to
	 * leave does not wait until these have enough: that may be as long as somebody reads nothing.
	 */
	feed(): void {
		if (this.#starved.length === 0) return;
		const t = this.#t;
		const pool = this.#pool;
		for (let n = Math.min(this.#starved.length, FEED_LIMIT); n > 0; n--) {
			const c = t.at(this.#starved.shift());
			c.lists &= ~L_STARVED;
			if (c.state === CLOSED) continue;
			let waits = false;
			if ((c.flags & C_FIN_PENDING) !== 0) {
				if (pool.free > this.reservedPages + n) t.queueOutput(c, 0);
				else waits = true;
			}
			if (windowUpdateDue(t, c)) {
				// More than the ACK itself will ask for: its own page must not make pages scarce, or it would hold the window again, at once and for ever.
				if (this.mayOpen(c, n + 1)) tellWindow(t, c);
				else waits = true;
			}
			if ((c.flags & C_WANT_ROOM) !== 0 && sendRoom(t, c) > 0) {
				if (this.mayWrite(c, n)) {
					c.flags &= ~C_WANT_ROOM;
					t.raise(c, E_WRITABLE);
				} else waits = true;
			}
			if (waits) this.#wait(c);
		}
		if (this.#starved.length > 0) this.#shed();
	}

	/**
	 * Somebody waits: early pages beyond the share that their connection has now go (RFC 2018 8). They were kept when there were more pages, or fewer
	 * connections, and a peer that never fills its hole would hold them for ever.
	 */
	#shed(): void {
		const t = this.#t;
		const { table } = t;
		for (let n = Math.min(SHED_LIMIT, table.touched); n > 0; n--) {
			this.#shedAt = this.#shedAt + 1 < table.touched ? this.#shedAt + 1 : 0;
			const c = t.at(this.#shedAt);
			if (c.state === CLOSED || earlyPages(c) * table.count <= this.#step >> 1) continue;
			if (this.#pool.free >= this.writeReserve + this.#step) return;
			t.counters.earlyShed += earlyPages(c);
			dropEarly(t, c);
		}
	}
}
