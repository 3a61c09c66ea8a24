/**
 * The TCP engine of one shard: tables, timers and lists of all connections, and the order in which they are served.
 *
 * Hides loss and order. Everything of a connection is in its record and its pages; what belongs to all connections is here. As RFC 9293 3.10
 * has it, segments come in by `input` (input.ts), time by `setTime` and `advance` (expiry.ts), calls of the application by calls.ts.
 * Nothing calls the application from there: what it has to know becomes event bits on the record, and the record goes on
 * one ready list; `deliver` takes it off and hands it over. What has to be sent puts the record on one of three lists, in the
 * order control (SYN) before ACK before data and the FINs behind it; `flush` sends, once per turn, after the application has run.
 *
 * Invariant: a record is on the ready list at most once and on the output lists at most once (bits in `lists`). When it is freed is in
 * closing.ts.
 */

import type { IpPacket, Transport, Unreachable } from "../ip/transport.ts";
import type { Arena } from "../memory/arena.ts";
import type { PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";
import { TimerWheel } from "../time/wheel.ts";
import { TcpOptions as SegmentOptions, TIMESTAMPS_LENGTH } from "../wire/tcp.ts";
import { Bbr } from "./bbr.ts";
import { BBR_STATE_WORDS } from "./bbr-state.gen.ts";
import { ChallengeLimit } from "./challenge.ts";
import { free, reset } from "./closing.ts";
import type { CongestionControl, PathModel } from "./congestion.ts";
import { CONNECTION_WORDS, type Connection, connectionOffset } from "./connection.gen.ts";
import { TcpCounters } from "./counters.ts";
import { cubic } from "./cubic.ts";
import { timersDue } from "./expiry.ts";
import { segmentArrives } from "./input.ts";
import { Secrets } from "./isn.ts";
import { type Listener, ListenerTable } from "./listeners.ts";
import { newReno } from "./newreno.ts";
import type { TcpOptions } from "./options.ts";
import { output } from "./output.ts";
import { IndexQueue } from "./queue.ts";
import { AckSummary } from "./recovery.ts";
import { muchRoom } from "./sendqueue.ts";
import { Shortage } from "./shortage.ts";
import { StandingQueue } from "./standing.ts";
import * as state from "./state.ts";
import { ConnectionTable } from "./table.ts";
import { unreachableArrives } from "./unreachable.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_CWND_LIMITED, C_DETACHED, C_LOSS, C_WANT_ROOM, CLOSED, E_ACCEPT, E_CLOSED, E_WRITABLE, L_OUTPUT, L_READY } = state;

/** What tcp needs of the layer below. */
export interface Lower {
	/** Sends a segment; takes the reference on the page. False: there is no route. */
	output(page: number, start: number, length: number, src: number, dst: number, protocol: number, flags: number): boolean;
	/** Largest IP packet to this destination, in bytes. */
	mtuTo(dst: number): number;
	/** Whether this address is on a network of ours, with no router in between. */
	isNeighbor(dst: number): boolean;
	/** Whether a run of pages can be sent to this destination now. */
	runs(dst: number): boolean;
	/** Begins a run: a segment that the link cuts into pieces of `segment` bytes; `more` bytes follow by `append`. */
	outputRun(
		page: number,
		start: number,
		length: number,
		more: number,
		src: number,
		dst: number,
		protocol: number,
		flags: number,
		segment: number,
		entries: number,
	): void;
	append(page: number, start: number, length: number, last: boolean): void;
}

/** Who hears of events: the socket layer. */
export interface Upper {
	/** Connection `index` has `events` (E_ bits). A record with E_CLOSED is freed when this returns. */
	events(index: number, events: number): void;
	/** Whether events of this connection run no code of the application's at once, only settle promises of it. */
	quiet(index: number): boolean;
	/** A connection came to `listener` and waits: established, or half-open if the listener holds SYN-ACKs back. */
	accept(listener: Listener, index: number): void;
}

/** Who was told since promises last ran, in `deliver`: nobody, quiet connections only, or one that was not quiet. */
const NOBODY = 0;
const QUIET = 1;
const LOUD = 2;
/**
 * Segments that one connection may send in one turn; the rest goes on in the next, so that none holds up the others. Where they leave 45 in a
 * frame, those that send share the first number (as many as may wait in a connection, about 0.2 ms), but have no less than the second each.
 */
const TURN_SEGMENTS = 1024;
const TURN_SEGMENTS_MIN = 128;
/** Ready records handed over in one turn at most. */
const DELIVER_LIMIT = 1024;

/** Bytes of the arena that congestion control takes beside the connection records. */
export function congestionBytes(options: Pick<TcpOptions, "congestion" | "maxConnections">): number {
	return options.congestion === "bbr" ? options.maxConnections * BBR_STATE_WORDS * 4 : 0;
}

export class Tcp implements Transport {
	readonly pool: PagePool;
	readonly u8: Uint8Array;
	readonly runtime: Runtime;
	readonly options: Readonly<TcpOptions>;
	readonly congestion: CongestionControl;
	/** The same, if it is one that models the path: for connections with C_MODEL. */
	readonly model: PathModel | null;
	readonly table: ConnectionTable;
	readonly listeners: ListenerTable = new ListenerTable();
	readonly counters: TcpCounters = new TcpCounters();
	readonly secrets: Secrets;
	readonly challenges: ChallengeLimit;
	/** Each connection with a deadline, under its earliest: timers.ts. */
	readonly wheel: TimerWheel;
	lower: Lower;
	upper: Upper;
	/** The link completes checksums of what is sent. */
	checksumOffload = false;
	/** Most payload bytes of a segment that the link cuts; 0: it cuts none. */
	segmentation = 0;
	/** The link takes slices. */
	longPieces = false;

	/** Present time: microseconds, wrapping; and ticks of a millisecond. Set at the start of a turn. */
	now = 0;
	tick = 0;
	/** The same in microseconds without wrapping. */
	nowFull = 0;
	/** What the ACK in hand says. */
	readonly ack: AckSummary = new AckSummary();
	/** Options of the segment in hand. */
	readonly segmentOptions: SegmentOptions = new SegmentOptions();
	/** Scratch: edges of SACK blocks. */
	readonly sackEdges: Int32Array = new Int32Array(10);
	readonly sackBlocks: Int32Array = new Int32Array(12);
	/** Set by receive.ts when the peer's FIN is in order. */
	finArrived = false;
	/** Bytes that the connection in hand may still send now, as far as pacing goes. */
	paceLeft = 0;
	/** Segments that a connection may send in a turn, as of the last one that sent data. */
	turnSegments = TURN_SEGMENTS;
	/** The shift that we offer: enough for the largest receive buffer. */
	readonly windowScale: number;
	/** Payload of a full segment on our own link, for window updates. */
	ownMss = 0;
	/** What becomes of windows while frames wait in the link. */
	readonly standing: StandingQueue = new StandingQueue();
	/** What happens when pages run short. */
	readonly shortage: Shortage;
	/** A turn is wanted: something was queued outside of one. */
	onWork: () => void = () => {};
	/**
	 * Called between the events of two connections, unless both are quiet, when nothing is half told: what the first has set off runs now. May
	 * throw.
	 */
	between: (() => void) | null = null;

	/** Connections whose handshake is not complete. */
	halfOpen = 0;
	readonly #c: Connection;
	readonly #ready: IndexQueue;
	readonly #control: IndexQueue;
	readonly #acks: IndexQueue;
	readonly #data: IndexQueue;
	readonly #due = (index: number): void => timersDue(this, index);

	constructor(arena: Arena, pool: PagePool, runtime: Runtime, lower: Lower, upper: Upper, mtu: number, options: Readonly<TcpOptions>) {
		this.pool = pool;
		this.u8 = pool.u8;
		this.runtime = runtime;
		this.lower = lower;
		this.upper = upper;
		this.options = options;
		const capacity = this.options.maxConnections;
		this.table = new ConnectionTable(arena, capacity, this.options.maxTimeWait, runtime.random);
		this.model = this.options.congestion === "bbr" ? new Bbr(arena, capacity, runtime.random) : null;
		this.congestion = this.model ?? (this.options.congestion === "newreno" ? newReno : cubic);
		this.secrets = new Secrets(runtime.random);
		this.challenges = new ChallengeLimit(runtime.random, this.counters, this.options.challengeAcks);
		this.setTime(runtime.clock.now());
		this.#c = this.table.cursor();
		this.wheel = new TimerWheel(
			this.table.words,
			this.table.base,
			CONNECTION_WORDS,
			{ at: connectionOffset.timerAt, prev: connectionOffset.timerPrev, next: connectionOffset.timerNext },
			this.tick,
		);
		this.#ready = new IndexQueue(capacity);
		this.#control = new IndexQueue(capacity);
		this.#acks = new IndexQueue(capacity);
		this.#data = new IndexQueue(capacity);
		this.shortage = new Shortage(this, pool, capacity);
		let scale = 0;
		while (65535 << scale < this.options.maxReceiveBuffer && scale < 14) scale++;
		this.windowScale = this.options.windowScaling ? scale : 0;
		this.setMtu(mtu);
	}

	/** Largest packet of the link, for one that knows it only when it is open. */
	setMtu(mtu: number): void {
		this.ownMss = mtu - 40 - TIMESTAMPS_LENGTH;
	}

	/** The connection record `index`, by the engine's one flyweight: valid until the next call into the engine. */
	at(index: number): Connection {
		return this.#c.at(index);
	}

	/** @param now Microseconds of the runtime's clock. */
	setTime(now: number): void {
		this.nowFull = now;
		this.now = now | 0;
		this.tick = Math.floor(now / 1000) | 0;
		// An empty wheel stands still: before anything is filed it must know the time.
		if (this.wheel?.count === 0) this.wheel.advance(this.tick, this.#due);
	}

	/** One segment. */
	input(packet: IpPacket): boolean {
		return segmentArrives(this, packet);
	}

	unreachable(error: Unreachable): void {
		unreachableArrives(this, error);
	}

	/** Calls outside of a turn see the time of the last turn; what measures time must not. */
	refreshTime(): void {
		this.setTime(this.runtime.clock.now());
	}

	// ---- Events and output --------------------------------------------------------------------------------------------------

	/** Notes events for the application and puts the record on the ready list, once. */
	raise(c: Connection, events: number): void {
		if ((c.flags & C_DETACHED) !== 0) return;
		c.events |= events;
		if ((c.lists & L_READY) === 0) {
			c.lists |= L_READY;
			if (this.#ready.length === 0) this.onWork();
			this.#ready.push(c.index);
		}
	}

	/** Asks for `output` at the end of the turn. @param list 0 control, 1 ACK, 2 data. */
	queueOutput(c: Connection, list: number): void {
		if ((c.lists & L_OUTPUT) !== 0) return;
		c.lists |= L_OUTPUT;
		(list === 0 ? this.#control : list === 1 ? this.#acks : this.#data).push(c.index);
		this.onWork();
	}

	/** Whether anything waits for the application or for output. */
	get busy(): boolean {
		return this.#ready.length + this.#control.length + this.#acks.length + this.#data.length > 0;
	}

	/** Hands what is ready to the application. An event is taken off only here. */
	deliver(): void {
		let told = NOBODY;
		for (let n = Math.min(this.#ready.length, DELIVER_LIMIT); n > 0; n--) {
			const telling = this.upper.quiet(this.#ready.first) ? QUIET : LOUD;
			if (told !== NOBODY && (told === LOUD || telling === LOUD)) {
				this.between?.();
				told = NOBODY;
			}
			if (told < telling) told = telling;
			const index = this.#ready.shift();
			const c = this.#c.at(index);
			c.lists &= ~L_READY;
			let events = c.events;
			// Nothing is due any more, or the record serves another connection by now.
			if (events === 0 || (c.flags & C_DETACHED) !== 0) continue;
			c.events = 0;
			const generation = c.generation;
			if ((events & E_ACCEPT) !== 0) {
				events &= ~E_ACCEPT;
				const listener = this.listeners.byId(c.listener);
				if (listener === undefined) {
					c.flags |= C_DETACHED;
					reset(this, c);
					continue;
				}
				if (!listener.held) listener.pending--;
				this.#accept(listener, index, events, generation);
				if (c.at(index).generation !== generation || (c.flags & C_DETACHED) !== 0) continue;
			}
			if ((events & E_CLOSED) !== 0) this.#deliverLast(index, events, generation);
			else if (events !== 0) this.upper.events(index, events);
		}
	}

	/** Hands over a connection. If the application throws, the events that came with it are raised again: they come in the next turn. */
	#accept(listener: Listener, index: number, events: number, generation: number): void {
		try {
			this.upper.accept(listener, index);
		} catch (error) {
			const c = this.#c.at(index);
			if (events !== 0 && c.generation === generation) this.raise(c, events);
			throw error;
		}
	}

	/** Hands over the end of a connection; the record goes, even if the application throws, unless an event was not told yet. */
	#deliverLast(index: number, events: number, generation: number): void {
		try {
			this.upper.events(index, events);
		} finally {
			const c = this.#c.at(index);
			if (c.generation === generation && (c.events & E_CLOSED) === 0) {
				c.flags |= C_DETACHED;
				if (c.state === CLOSED) free(this, c);
			}
		}
	}

	/** Sends what connections have to send: control first, then ACKs, then data, each as many as were queued. */
	flush(): void {
		this.shortage.feed();
		// Who owes an ACK may send data with it.
		const senders = this.#acks.length + this.#data.length;
		if (!this.longPieces) this.turnSegments = TURN_SEGMENTS_MIN;
		else if (senders > 0) this.turnSegments = Math.max(TURN_SEGMENTS_MIN, Math.floor(TURN_SEGMENTS / senders));
		this.#flush(this.#control);
		this.#flush(this.#acks);
		this.#flush(this.#data);
	}

	/**
	 * Sends SYNs and SYN-ACKs, true if there were any. Before the application hears of what else has come: how long it takes is then no part of the
	 * peer's first round trip. (Linux goes by the shortest for five minutes: tcp_min_rtt, which says when slow start ends, and how long frames are.)
	 */
	greet(): boolean {
		if (this.#control.length === 0) return false;
		this.#flush(this.#control);
		return true;
	}

	#flush(queue: IndexQueue): void {
		for (let n = queue.length; n > 0; n--) {
			const index = queue.shift();
			const c = this.#c.at(index);
			c.lists &= ~L_OUTPUT;
			if (c.state === CLOSED) continue;
			if (output(this, c)) this.queueOutput(c, 2);
		}
	}

	// ---- Timers -------------------------------------------------------------------------------------------------------------

	/** Fires what is due. */
	advance(): void {
		this.wheel.advance(this.tick, this.#due);
		this.table.expireTimeWait(this.tick);
	}

	/** Absolute microseconds of the next deadline, or Infinity. */
	nextDeadline(): number {
		const timeWait = this.table.expireTimeWait(this.tick);
		let delay = this.wheel.nextDelay();
		// Outside of a turn the wheel is behind: by the whole silence, if nothing else has happened. It stays so: frames that wait come before timers.
		if (delay >= 0) delay = Math.max(0, delay - ((this.tick - this.wheel.now) | 0));
		if (timeWait >= 0 && (delay < 0 || timeWait < delay)) delay = timeWait;
		// Pages may come back without a turn: the link gives some back when it has sent them, the application when it reads.
		const look = this.shortage.nextDelay;
		if (look >= 0 && (delay < 0 || look < delay)) delay = look;
		return delay < 0 ? Number.POSITIVE_INFINITY : (Math.floor(this.nowFull / 1000) + delay) * 1000;
	}

	// ---- What ACKs bring, and sending ------------------------------------------------------------------------------------------

	/** An ACK outside recovery lets the window grow, if it was the window that held us back (RFC 9293 and RFC 7661 say why). */
	grow(c: Connection, ack: AckSummary): void {
		const bytes = ack.acked + ack.sacked;
		if (bytes <= 0) return;
		if ((c.flags & (C_CWND_LIMITED | C_LOSS)) !== 0) this.congestion.acknowledged(c, bytes, ack.time);
		else this.congestion.unused?.(c, ack.time);
	}

	/** Room came back: tell the application if it waits. */
	roomCame(c: Connection): void {
		if ((c.flags & C_WANT_ROOM) === 0) return;
		if (!muchRoom(this, c)) return;
		c.flags &= ~C_WANT_ROOM;
		this.raise(c, E_WRITABLE);
	}
}
