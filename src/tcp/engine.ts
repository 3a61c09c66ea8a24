/**
 * The TCP engine of one shard: tables, timers, queues, and the calls that sockets make (RFC 9293 3.9.1, 3.10).
 *
 * Hides loss and order. Everything of a connection is in its record and its pages; what belongs to all connections is here.
 * Segments come in by `input` (input.ts), time by `setTime` and `advance` (expiry.ts), calls of the application by the methods below.
 * Nothing calls the application from there: what it has to know becomes event bits on the record, and the record goes on
 * one ready list; `deliver` takes it off and hands it over. What has to be sent puts the record on one of three lists, in the
 * order control (SYN, FIN, RST) before ACK before data; `flush` sends, once per turn, after the application has run.
 *
 * Invariants: a record is on the ready list at most once and on the output lists at most once (bits in `lists`); it is freed
 * only after E_CLOSED has been handed over or when nobody wants it (C_DETACHED), and then holds no page and no timer.
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
import { type CongestionControl, initialWindow, type PathModel, SSTHRESH_UNBOUNDED } from "./congestion.ts";
import { CONNECTION_WORDS, type Connection, connectionOffset } from "./connection.gen.ts";
import { TcpCounters } from "./counters.ts";
import { cubic } from "./cubic.ts";
import { dropEarly } from "./early.ts";
import { timersDue } from "./expiry.ts";
import { segmentArrives } from "./input.ts";
import { Secrets } from "./isn.ts";
import { type Listener, ListenerTable } from "./listeners.ts";
import { DEFAULT_MSS, mssFor } from "./mss.ts";
import { newReno } from "./newreno.ts";
import type { TcpOptions } from "./options.ts";
import { output, sendReset } from "./output.ts";
import { IndexQueue } from "./queue.ts";
import { beforeLanding, dropReceived, peek, readInto, skip, takeLanding } from "./receive.ts";
import { AckSummary } from "./recovery.ts";
import { sampleRtt } from "./rto.ts";
import { dropSendQueue, enqueue, enqueueFin, sendRoom } from "./sendqueue.ts";
import { Shortage } from "./shortage.ts";
import * as state from "./state.ts";
import { ConnectionTable } from "./table.ts";
import { setIdle, stopRetransmitTimer } from "./timers.ts";
import { unreachableArrives } from "./unreachable.ts";
import { updateWindow } from "./window.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const {
	C_ACK_NOW,
	C_CWND_LIMITED,
	C_DETACHED,
	C_FIN_RECEIVED,
	C_FINISHED,
	C_HELD,
	C_KEEPALIVE,
	C_LOSS,
	C_NODELAY,
	C_PASSIVE,
	C_SEND_SYN,
	C_SYN_RETRANSMITTED,
	C_WANT_ROOM,
	CLOSE_WAIT,
	CLOSED,
	CLOSING,
	E_ACCEPT,
	E_CLOSED,
	E_CONNECTED,
	E_ENDED,
	E_READABLE,
	E_WRITABLE,
	ERR_NONE,
	ERR_TIMEOUT,
	ESTABLISHED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	L_OUTPUT,
	L_READY,
	LAST_ACK,
	SYN_RECEIVED,
	SYN_SENT,
	TIME_WAIT,
} = state;

/** What tcp needs of the layer below. */
export interface Lower {
	/** Sends a segment; takes the reference on the page. False: there is no route. */
	output(page: number, start: number, length: number, src: number, dst: number, protocol: number, flags: number): boolean;
	/** Largest IP packet to this destination, in bytes. */
	mtuTo(dst: number): number;
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
	/** Segments that a connection may send now. */
	turnSegments = TURN_SEGMENTS_MIN;
	/** The shift that we offer: enough for the largest receive buffer. */
	readonly windowScale: number;
	/** Payload of a full segment on our own link, for window updates. */
	ownMss: number;
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

	// ---- Calls of the application -------------------------------------------------------------------------------------------

	/**
	 * OPEN, active. The caller has chosen the addresses; the tuple must be free.
	 *
	 * @returns The connection, or -1 when the table is full.
	 */
	open(local: Int32Array, localPort: number, remote: Int32Array, remotePort: number): number {
		this.refreshTime();
		const index = this.table.alloc();
		if (index < 0) {
			this.counters.connectionsFull++;
			return -1;
		}
		const c = this.#c.at(index);
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
		this.begin(c);
		c.flags |= C_SEND_SYN;
		c.sndNxt = (c.iss + 1) | 0;
		this.table.insert(index);
		this.halfOpen++;
		this.counters.activeOpens++;
		this.queueOutput(c, 0);
		return index;
	}

	/** Sets what every new connection starts with. Addresses and ports are there already. */
	begin(c: Connection): void {
		const options = this.options;
		this.secrets.of(c);
		c.iss = this.secrets.initialSequence(this.nowFull);
		c.tsOffset = this.secrets.timestampOffset();
		c.sndUna = c.iss;
		c.sndNxt = c.iss;
		c.sndEnd = (c.iss + 1) | 0;
		c.rto = options.initialRto * 1000;
		// Two units of the window field at least: where one cannot be told for the bytes that are open, there is another to tell (window.ts).
		c.rcvBuf = Math.max(options.receiveBuffer, 2 << this.windowScale);
		c.ssthresh = SSTHRESH_UNBOUNDED;
		c.peerMss = DEFAULT_MSS;
		c.mss = mssFor(this, c) - (options.timestamps ? TIMESTAMPS_LENGTH : 0);
		c.cwnd = initialWindow(c, this.options.initialWindow);
		c.lastHeard = this.tick;
		c.rcvRttStart = this.now;
	}

	/** LISTEN; null if the address and port are taken. */
	listen(address: readonly [number, number, number, number], port: number, backlog: number, held: boolean, any: boolean): Listener | null {
		return this.listeners.add(address, port, backlog, held, any);
	}

	/** Stops listening: half-open connections are reset, as are established ones that nobody was handed. */
	unlisten(listener: Listener): void {
		this.listeners.remove(listener);
		if (listener.halfOpen === 0 && listener.pending === 0) return;
		for (let index = 0; index < this.table.touched; index++) {
			const c = this.#c.at(index);
			if (c.listener !== listener.id || c.state === CLOSED || (c.flags & C_PASSIVE) === 0) continue;
			// A held one that the application was told of goes on, as those do that it was handed.
			if ((c.events & E_ACCEPT) !== 0 || (c.state === SYN_RECEIVED && !listener.held)) {
				sendReset(this, c);
				c.flags |= C_DETACHED;
				this.finished(c, ERR_NONE);
			}
		}
		this.onWork();
	}

	/** SEND: copies what there is room for; returns how many bytes. Asks for E_WRITABLE when that was not all. */
	write(index: number, bytes: Uint8Array, offset: number, length: number): number {
		const c = this.#c.at(index);
		if ((c.flags & C_FINISHED) !== 0 || c.state === CLOSED || c.state > CLOSE_WAIT) return 0;
		const taken = enqueue(this, c, bytes, offset, length);
		if (taken < length) {
			c.flags |= C_WANT_ROOM;
			// It is the pool that has no room: no ACK of this connection will say when there is some again.
			if (sendRoom(this, c) > 0) this.shortage.starve(c);
		}
		if (taken > 0 && c.state >= ESTABLISHED) this.queueOutput(c, 2);
		return taken;
	}

	/** RECEIVE: copies up to `length` bytes; returns how many. */
	read(index: number, target: Uint8Array, offset: number, length: number): number {
		const c = this.#c.at(index);
		if (c.rcvHead === 0) return 0;
		const taken = readInto(this, c, target, offset, length);
		this.#afterRead(c);
		return taken;
	}

	/** RECEIVE without a copy: what came first, if it lies in a buffer of its own, which is then the caller's. Else null. */
	take(index: number): Uint8Array | null {
		const c = this.#c.at(index);
		const bytes = takeLanding(this, c);
		if (bytes !== null) this.#afterRead(c);
		return bytes;
	}

	/** RECEIVE where it lies: what came first, in one piece. Null if there is nothing. Good until it is taken by `skip` or another read. */
	peek(index: number): Uint8Array | null {
		return peek(this, this.#c.at(index));
	}

	/** Done with the first `length` bytes, or as many as there are; returns how many. */
	skip(index: number, length: number): number {
		const c = this.#c.at(index);
		if (c.rcvHead === 0) return 0;
		const taken = skip(this, c, length);
		this.#afterRead(c);
		return taken;
	}

	/** Of the next `most` bytes, how many have to be copied before there is something to `take`. */
	beforeTake(index: number, most: number): number {
		return beforeLanding(this, this.#c.at(index), most);
	}

	#afterRead(c: Connection): void {
		if (c.rcvHead === 0) this.#afterLastByte(c);
		updateWindow(this, c);
	}

	#afterLastByte(c: Connection): void {
		if ((c.flags & C_FIN_RECEIVED) !== 0) this.raise(c, E_ENDED);
		this.#closedWhenRead(c);
	}

	/** CLOSE of the sending side: FIN after what was written. */
	finish(index: number): void {
		const c = this.#c.at(index);
		this.#finish(c);
	}

	#finish(c: Connection): void {
		if ((c.flags & C_FINISHED) !== 0 || c.state === CLOSED) return;
		c.flags |= C_FINISHED;
		if (c.state === SYN_SENT || c.state === SYN_RECEIVED) {
			// RFC 9293 3.10.4: queued until ESTABLISHED.
			enqueueFin(this, c);
			return;
		}
		enqueueFin(this, c);
		if (c.state === ESTABLISHED) c.state = FIN_WAIT_1;
		else if (c.state === CLOSE_WAIT) c.state = LAST_ACK;
		this.queueOutput(c, 0);
	}

	/**
	 * The application gives the connection up: no event will come, what was written is still delivered. Unread data, or data
	 * that still comes, reset it: the sender must not believe that it was read (RFC 9293 3.6.1, RFC 2525 2.17).
	 */
	close(index: number): void {
		const c = this.#c.at(index);
		c.flags |= C_DETACHED;
		c.events = 0;
		if (c.state === CLOSED) {
			this.#free(c);
			return;
		}
		if (c.state === SYN_SENT) {
			this.finished(c, ERR_NONE);
			return;
		}
		if (c.rcvBytes > 0 || (c.oooHead !== 0 && (c.flags & C_FIN_RECEIVED) === 0)) {
			// RFC 2525 2.17: a reset says that what came was not read; an answer that was written goes before it.
			this.#sendWritten(c);
			this.#abort(c);
			return;
		}
		if (c.state === TIME_WAIT) {
			this.#toTimeWait(c);
			return;
		}
		if (c.state === SYN_RECEIVED) {
			this.#abort(c);
			return;
		}
		this.#finish(c);
		if (c.state === FIN_WAIT_2) {
			this.refreshTime();
			setIdle(this, c, this.options.finWait2);
			// Nothing is sent: the turn is only for the alarm.
			this.onWork();
		}
	}

	/**
	 * ABORT: RST, and nothing is kept (RFC 9293 3.10.5). No event comes. What was written goes first, but not behind an end, which the peer would
	 * take for a good one.
	 */
	abort(index: number): void {
		const c = this.#c.at(index);
		if ((c.flags & (C_FINISHED | C_DETACHED)) === 0) this.#sendWritten(c);
		c.flags |= C_DETACHED;
		c.events = 0;
		if (c.state === CLOSED) this.#free(c);
		else this.#abort(c);
	}

	/** Gives a connection up without a segment: a held one, whose peer learns of it by other means, or not at all. No event comes. */
	drop(index: number): void {
		const c = this.#c.at(index);
		c.flags |= C_DETACHED;
		c.events = 0;
		if (c.state === CLOSED) this.#free(c);
		else this.finished(c, ERR_NONE);
	}

	/** Sends what the application wrote in this very turn, and what may leave: it waits for the turn's end only to share segments. */
	#sendWritten(c: Connection): void {
		if (c.state >= ESTABLISHED && c.sndNext !== 0) output(this, c);
	}

	#abort(c: Connection): void {
		this.refreshTime();
		if (
			c.state === SYN_RECEIVED ||
			(c.state >= ESTABLISHED && c.state <= FIN_WAIT_2) ||
			c.state === CLOSE_WAIT ||
			c.state === LAST_ACK ||
			c.state === CLOSING
		) {
			sendReset(this, c);
			this.onWork();
		}
		this.finished(c, ERR_NONE);
	}

	/** Lets the SYN-ACK of a held connection go. */
	proceed(index: number): void {
		const c = this.#c.at(index);
		if ((c.flags & C_HELD) === 0) return;
		c.flags = (c.flags & ~C_HELD) | C_SEND_SYN;
		this.queueOutput(c, 0);
	}

	setNoDelay(index: number, on: boolean): void {
		const c = this.#c.at(index);
		if (on) {
			c.flags |= C_NODELAY;
			if (c.sndNext !== 0) this.queueOutput(c, 2);
		} else c.flags &= ~C_NODELAY;
	}

	/**
	 * Keep-alive probes after `idle` milliseconds (RFC 9293 3.8.4), then every `interval` seconds (up to 65535), `probes` of them (up to 255);
	 * 0: as the options say.
	 */
	setKeepAlive(index: number, on: boolean, idle: number, interval = 0, probes = 0): void {
		const c = this.#c.at(index);
		if (!on) {
			c.flags &= ~C_KEEPALIVE;
			return;
		}
		this.refreshTime();
		c.flags |= C_KEEPALIVE;
		c.keepIdle = Math.max(1, idle);
		c.error = (interval << 16) | (probes << 8) | (c.error & 0xff);
		c.lastHeard = this.tick;
		if (c.state >= ESTABLISHED && c.state !== TIME_WAIT) {
			setIdle(this, c, c.keepIdle);
			this.onWork();
		}
	}

	/** Bytes that `write` would take now. */
	room(index: number): number {
		return Math.max(0, sendRoom(this, this.#c.at(index)));
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
					this.#abort(c);
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
				if (c.state === CLOSED) this.#free(c);
				else if (c.state === TIME_WAIT) this.#toTimeWait(c);
			}
		}
	}

	/** Sends what connections have to send: control first, then ACKs, then data, each as many as were queued. */
	flush(): void {
		this.shortage.feed();
		this.#flush(this.#control);
		this.#flush(this.#acks);
		this.#flush(this.#data);
	}

	#flush(queue: IndexQueue): void {
		let n = queue.length;
		this.turnSegments = this.longPieces ? Math.max(TURN_SEGMENTS_MIN, Math.floor(TURN_SEGMENTS / n)) : TURN_SEGMENTS_MIN;
		for (; n > 0; n--) {
			const index = queue.shift();
			const c = this.#c.at(index);
			c.lists &= ~L_OUTPUT;
			if (c.state === CLOSED) continue;
			if (output(this, c)) this.queueOutput(c, 2);
		}
	}

	// ---- Timers -------------------------------------------------------------------------------------------------------------

	/** Fires what is due; returns microseconds (absolute) of the next deadline, or Infinity. */
	advance(): number {
		this.wheel.advance(this.tick, this.#due);
		return this.nextDeadline();
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

	// ---- Helpers of input and output ------------------------------------------------------------------------------------------

	/** The handshake is complete: RFC 9293 3.10.7.4, ESTABLISHED. */
	established(c: Connection): void {
		c.state = ESTABLISHED;
		// A SYN that came again had asked for another SYN-ACK: the peer has one, and what leaves now is data.
		c.flags &= ~C_SEND_SYN;
		this.halfOpen--;
		this.counters.established++;
		stopRetransmitTimer(c);
		c.retries &= ~0xff;
		if ((c.flags & C_SYN_RETRANSMITTED) === 0) {
			const rtt = (this.ack.time - c.rackTime) | 0;
			if (rtt >= 0) sampleRtt(c, rtt, this.options);
		} else if (c.srtt === 0) {
			// RFC 6298 5.7
			c.rto = 3_000_000;
		}
		c.cwnd = (c.flags & C_SYN_RETRANSMITTED) !== 0 && c.srtt === 0 ? c.mss : initialWindow(c, this.options.initialWindow);
		this.congestion.start(c, this.now);
		if ((c.flags & C_KEEPALIVE) !== 0) setIdle(this, c, c.keepIdle);
		if ((c.flags & C_FINISHED) !== 0) c.state = FIN_WAIT_1;
		if (c.sndNext !== 0) this.queueOutput(c, 2);
	}

	/** An ACK outside recovery lets the window grow, if it was the window that held us back (RFC 9293 and RFC 7661 say why). */
	grow(c: Connection, ack: AckSummary): void {
		const bytes = ack.acked + ack.sacked;
		if (bytes > 0 && (c.flags & (C_CWND_LIMITED | C_LOSS)) !== 0) this.congestion.acknowledged(c, bytes, ack.time);
	}

	/** Room came back: tell the application if it waits. */
	roomCame(c: Connection): void {
		if ((c.flags & C_WANT_ROOM) === 0) return;
		// Worth waking up for: a third of the buffer, so that writes come in strides.
		if (sendRoom(this, c) * 3 < this.options.sendBuffer) return;
		c.flags &= ~C_WANT_ROOM;
		this.raise(c, E_WRITABLE);
	}

	/** Our FIN and the peer's are both done on this side: TIME-WAIT. */
	enterTimeWait(c: Connection): void {
		c.state = TIME_WAIT;
		stopRetransmitTimer(c);
		setIdle(this, c, this.options.timeWait);
		if ((c.flags & C_DETACHED) !== 0) this.#toTimeWait(c);
		else this.#closedWhenRead(c);
	}

	/** The connection has ended in good order; the application is told when it has read everything. */
	#closedWhenRead(c: Connection): void {
		if (c.rcvHead !== 0) return;
		if (c.state === TIME_WAIT || (c.state === CLOSED && (c.error & 0xff) === ERR_NONE)) this.raise(c, E_CLOSED);
	}

	/** What is left of a connection in TIME-WAIT that nobody reads any more fits a small record. */
	#toTimeWait(c: Connection): void {
		dropSendQueue(this, c);
		if (c.rcvHead !== 0 || c.oooHead !== 0) dropReceived(this, c);
		// An ACK that is still due must not get lost with the record.
		if ((c.flags & C_ACK_NOW) !== 0 || c.ackAt !== 0) output(this, c);
		this.wheel.remove(c.index);
		const expires = c.idleAt;
		if (this.table.toTimeWait(c.index, expires)) this.counters.timeWaitOverflow++;
		this.onWork();
	}

	/** The connection is over. With an application it stays until that has been told (and, in good order, has read all); else it is freed. */
	finished(c: Connection, error: number): void {
		if (c.state === CLOSED) return;
		if (c.state === SYN_SENT || c.state === SYN_RECEIVED) this.halfOpen--;
		if ((c.flags & C_PASSIVE) !== 0) {
			const listener = this.listeners.byId(c.listener);
			if (listener !== undefined) {
				if (c.state === SYN_RECEIVED) listener.halfOpen--;
				else if ((c.events & E_ACCEPT) !== 0 && !listener.held) listener.pending--;
			}
			// Nobody was ever told of it: there is nobody to tell of its end.
			if ((c.state === SYN_RECEIVED && listener?.held === false) || ((c.events & E_ACCEPT) !== 0 && error !== ERR_NONE))
				c.flags |= C_DETACHED;
		}
		if (error === ERR_TIMEOUT) this.counters.timedOut++;
		this.table.remove(c.index);
		this.wheel.remove(c.index);
		dropSendQueue(this, c);
		c.rtxAt = 0;
		c.ackAt = 0;
		c.idleAt = 0;
		c.paceAt = 0;
		c.state = CLOSED;
		c.error = error;
		// What came before a reset can still be read, until the application has been told.
		dropEarly(this, c);
		if ((c.flags & C_DETACHED) !== 0) {
			this.#free(c);
			return;
		}
		if (error !== ERR_NONE) this.raise(c, E_CLOSED);
		else this.#closedWhenRead(c);
	}

	#free(c: Connection): void {
		dropReceived(this, c);
		c.events = 0;
		this.table.free(c.index);
	}

	/** A passive open is complete: it waits for the application. */
	acceptable(c: Connection): void {
		this.raise(c, E_ACCEPT);
	}

	connected(c: Connection): void {
		this.raise(c, E_CONNECTED);
	}

	readable(c: Connection): void {
		this.raise(c, E_READABLE);
	}
}
