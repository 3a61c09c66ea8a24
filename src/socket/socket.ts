/**
 * Sockets: the event face of a connection, one object per connection that an application holds.
 *
 * Hides record numbers. A socket knows its connection by (number, generation); once the connection is gone every call on
 * the socket does nothing and says so by its result, so late work of an application can never touch the connection that
 * uses the record next. Events come from the shard's turn, never from inside a call of the application.
 */

import { MillraceError } from "../errors.ts";
import type { ReceivedSyn } from "../icmp/icmp.ts";
import {
	abort,
	beforeTake,
	close,
	drop,
	finish,
	peek,
	proceed,
	read,
	recvDone,
	room,
	setKeepAlive,
	setNoDelay,
	take,
	write,
} from "../tcp/calls.ts";
import type { Connection } from "../tcp/connection.gen.ts";
import type { Tcp } from "../tcp/engine.ts";
import { inFlight } from "../tcp/sendqueue.ts";
import { C_HELD, C_SACK, C_SCALE, C_TS, ERRORS, STATE_NAMES } from "../tcp/state.ts";
import { formatAddress } from "../wire/address.ts";

/** What a connection tells its application. */
export interface SocketEvents {
	/** An active open is done. */
	connected(): void;
	/** There are bytes to read; called again only after more came. */
	readable(): void;
	/** The peer will send no more, and all it sent was read. */
	ended(): void;
	/** There is room again, after `write` took less than it was offered. */
	writable(): void;
	/**
	 * The connection died of an error, and what it has to be read goes with it when this returns: the last moment to read. `closed` comes next.
	 *
	 * @param complete The peer had ended its side: nothing is missing behind these bytes.
	 */
	closing?(complete: boolean): void;
	/** The connection is gone: null in good order, else the code of an operating-system error such as "ECONNRESET". The last event. */
	closed(error: string | null): void;
}

/** What every connection may be told; one that was opened is told `connected` as well. */
const EVENTS = ["readable", "ended", "writable", "closed"] as const;

/** Whether all that an accepted connection may be told can be told of. Asked once per connection. */
export function hasEvents(events: SocketEvents | null | undefined): boolean {
	return (
		typeof events?.readable === "function" &&
		typeof events.ended === "function" &&
		typeof events.writable === "function" &&
		typeof events.closed === "function"
	);
}

/**
 * Refuses events that are not complete: it would be noticed in a turn, when there is something to be told.
 *
 * @param opened `connected` is told, too.
 * @throws {MillraceError} EINVAL
 */
export function assertEvents(events: SocketEvents | null | undefined, opened: boolean): void {
	if (hasEvents(events) && (!opened || typeof events!.connected === "function")) return;
	const lacking = EVENTS.find((name) => typeof events?.[name] !== "function") ?? "connected";
	throw new MillraceError(
		"EINVAL",
		`the events of a connection have no ${lacking}(). Give an object of SocketEvents, with all that it may be told`,
	);
}

/** Figures of one connection, as TCP_INFO has them. Times in microseconds, windows in bytes. */
export interface ConnectionInfo {
	/** State as RFC 9293 writes it, e.g. "ESTABLISHED". */
	state: string;
	/** Own address, as text. */
	localAddress: string;
	/** Own port. */
	localPort: number;
	/** The peer's address, as text. */
	remoteAddress: string;
	/** The peer's port. */
	remotePort: number;
	/** Smoothed round-trip time, microseconds; 0 before the first sample. */
	rtt: number;
	/** Variation of the round-trip time (RFC 6298), microseconds. */
	rttVar: number;
	/** Smallest round-trip time seen, microseconds; 0 before the first. */
	minRtt: number;
	/** Retransmission time-out before back-off, microseconds. */
	rto: number;
	/** Congestion window, bytes. */
	cwnd: number;
	/** Infinity before the first loss. */
	ssthresh: number;
	/** Bytes sent, neither acknowledged nor SACKed nor deemed lost. */
	inFlight: number;
	/** Bytes deemed lost and not sent again yet. */
	lost: number;
	/** Bytes that the peer has reported beyond a hole. */
	sacked: number;
	/** Bytes that wait to be acknowledged or sent. */
	sendQueue: number;
	/** Bytes that the application has not read. */
	receiveQueue: number;
	/** What the peer has told us that we may send, bytes. */
	sendWindow: number;
	/** What we have told the peer that it may send, bytes. */
	receiveWindow: number;
	/** Payload of a full segment. */
	mss: number;
	/** Segments that came. */
	segmentsIn: number;
	/** Segments that left, repeated ones included. */
	segmentsOut: number;
	/** Segments sent again. */
	retransmits: number;
	/** What both sides agreed on in the handshake. */
	options: { timestamps: boolean; sack: boolean; windowScaling: boolean };
}

/** Reads the figures of a connection record. */
export function connectionInfo(c: Connection): ConnectionInfo {
	return {
		state: STATE_NAMES[c.state] ?? "CLOSED",
		localAddress: formatAddress(c.local0, c.local1, c.local2, c.local3),
		localPort: c.localPort,
		remoteAddress: formatAddress(c.remote0, c.remote1, c.remote2, c.remote3),
		remotePort: c.remotePort,
		rtt: c.srtt,
		rttVar: c.rttVar,
		minRtt: c.minRtt,
		rto: c.rto,
		cwnd: c.cwnd,
		ssthresh: c.ssthresh === 0x7fffffff ? Number.POSITIVE_INFINITY : c.ssthresh,
		inFlight: inFlight(c),
		lost: c.lost,
		sacked: c.sacked,
		sendQueue: (c.sndEnd - c.sndUna) | 0,
		receiveQueue: c.rcvBytes,
		sendWindow: c.sndWnd,
		receiveWindow: (c.rcvAdv - c.rcvNxt) | 0,
		mss: c.mss,
		segmentsIn: c.segmentsIn,
		segmentsOut: c.segmentsOut,
		retransmits: c.retransmits,
		options: { timestamps: (c.flags & C_TS) !== 0, sack: (c.flags & C_SACK) !== 0, windowScaling: (c.flags & C_SCALE) !== 0 },
	};
}

/** Largest piece that `read` returns, in bytes. */
const READ_MAX = 65536;

/**
 * Refuses what is no array of bytes, and a place outside of it: below this face nothing is checked again, and what a page held before could
 * be sent, or a page be freed whose bytes were not taken. Not by `instanceof`: arrays of other realms are good.
 *
 * @throws {MillraceError} EINVAL
 */
export function assertBytes(bytes: Uint8Array, offset: number, length: number): void {
	// Called for each write and read: what is right is seen in a few instructions, and the words for what is wrong are elsewhere.
	if (
		!(bytes instanceof Uint8Array || isBytes(bytes)) ||
		offset >>> 0 !== offset ||
		length >>> 0 !== length ||
		offset + length > bytes.length
	)
		refuseBytes(bytes, offset, length);
}

/** Also of another realm. */
function isBytes(value: unknown): boolean {
	return ArrayBuffer.isView(value) && (value as Uint8Array).BYTES_PER_ELEMENT === 1;
}

function refuseBytes(bytes: Uint8Array, offset: number, length: number): never {
	if (!isBytes(bytes)) throw new MillraceError("EINVAL", `${kindOf(bytes)} is no array of bytes: give a Uint8Array or a Buffer`);
	throw new MillraceError(
		"EINVAL",
		`${length} bytes at ${offset} do not lie within an array of ${bytes.length}: give whole numbers from 0 up to what it holds`,
	);
}

function kindOf(value: unknown): string {
	const kind = typeof value === "object" && value !== null ? value.constructor?.name : undefined;
	return kind === undefined ? `a value of type ${value === null ? "null" : typeof value}` : `an object of class ${kind}`;
}

/** A figure in the record's whole units, 1 to `most`; 0 where the caller gave none. */
function within(figure: number | undefined, most: number): number {
	return figure !== undefined && figure > 0 ? Math.min(Math.ceil(figure), most) : 0;
}

/** The event face of one connection. Every call on a socket whose connection is gone does nothing. */
export class TcpSocket {
	/** Who hears of this connection. */
	events: SocketEvents;
	readonly #tcp: Tcp;
	readonly #generation: number;
	/** Own port. */
	readonly localPort: number;
	/** The peer's port. */
	readonly remotePort: number;
	/** The connection's record; -1 once it is gone. */
	index: number;
	#remote: number;
	#local: number;

	/** @internal */
	constructor(tcp: Tcp, index: number, events: SocketEvents) {
		this.#tcp = tcp;
		this.index = index;
		this.events = events;
		const c = tcp.at(index);
		this.#generation = c.generation;
		this.localPort = c.localPort;
		this.remotePort = c.remotePort;
		this.#remote = c.remote3;
		this.#local = c.local3;
	}

	/** Whether the connection still exists. */
	get alive(): boolean {
		return this.index >= 0 && this.#tcp.at(this.index).generation === this.#generation;
	}

	/** Own address, as text. */
	get localAddress(): string {
		return formatAddress(0, 0, 0xffff, this.#local);
	}

	/** The peer's address, as text. */
	get remoteAddress(): string {
		return formatAddress(0, 0, 0xffff, this.#remote);
	}

	/** Bytes that can be read now. */
	get available(): number {
		return this.alive ? this.#tcp.at(this.index).rcvBytes : 0;
	}

	/** Bytes that `write` would take now. */
	get room(): number {
		return this.alive ? room(this.#tcp, this.index) : 0;
	}

	/** A fresh copy of what can be read, at most `max` bytes; null if there is nothing. */
	read(max: number = READ_MAX): Uint8Array | null {
		const length = Math.min(this.available, Math.trunc(max));
		if (!(length > 0)) return null;
		const bytes = new Uint8Array(length);
		read(this.#tcp, this.index, bytes, 0, length);
		return bytes;
	}

	/**
	 * Copies up to `length` bytes to `target` at `offset`; returns how many.
	 *
	 * @throws {MillraceError} EINVAL if `target` is no array of bytes or has no `length` bytes there.
	 */
	readInto(target: Uint8Array, offset: number, length: number): number {
		assertBytes(target, offset, length);
		if (!this.alive) return 0;
		return read(this.#tcp, this.index, target, offset, length);
	}

	/**
	 * What came first, if the link has read it to a buffer of its own: that buffer, the caller's from now on. Else null, and what there is has
	 * to be copied by `read` or `readInto`. Its ArrayBuffer holds nothing else, but may be longer by up to 64 bytes, which are zero.
	 */
	take(): Uint8Array | null {
		return this.alive ? take(this.#tcp, this.index) : null;
	}

	/**
	 * What can be read next, where it lies, without a copy; null if there is nothing. One piece, not always all that is `available`: after
	 * `recvDone` of all of it there may be another. The memory is the stack's: not to be written to, and not to be kept, for it is used for other
	 * bytes after `recvDone` or any other call that reads, after `close`, `abort` and the event `closed`.
	 */
	peek(): Uint8Array | null {
		return this.alive ? peek(this.#tcp, this.index) : null;
	}

	/**
	 * Done with the next `length` bytes, which were seen by `peek` or are not wanted: their memory goes back to the stack, and the peer may send as
	 * many more. Returns how many there were.
	 *
	 * @throws {MillraceError} EINVAL if `length` is no whole number from 0 to 2^32 - 1.
	 */
	recvDone(length: number): number {
		if (length >>> 0 !== length) throw new MillraceError("EINVAL", `${length} is no number of bytes: give a whole one from 0 on`);
		return this.alive ? recvDone(this.#tcp, this.index, length) : 0;
	}

	/** Of the next `most` bytes, how many are best read by a copy, because what comes then can be had by `take`. */
	beforeTake(most: number): number {
		return this.alive ? beforeTake(this.#tcp, this.index, most) : 0;
	}

	/**
	 * Copies bytes into the send segment; they leave at the end of the turn.
	 *
	 * @returns How many were taken. If not all: offer the rest again when `writable` comes.
	 * @throws {MillraceError} EINVAL if `bytes` is no array of bytes or ends before `offset`.
	 */
	write(bytes: Uint8Array, offset = 0): number {
		assertBytes(bytes, offset, 0);
		if (!this.alive) return 0;
		return write(this.#tcp, this.index, bytes, offset, bytes.length - offset);
	}

	/** Sends a FIN after what was written; reading goes on. */
	finish(): void {
		if (this.alive) finish(this.#tcp, this.index);
	}

	/** Gives the connection up: what was written is still delivered, no event comes any more. Unread data turns it into a reset. */
	close(): void {
		const index = this.#leave();
		if (index >= 0) close(this.#tcp, index);
	}

	/** Resets the connection; no event comes any more. */
	abort(): void {
		const index = this.#leave();
		if (index >= 0) abort(this.#tcp, index);
	}

	/** @internal Gives a held connection up without a segment. `tell` is given what an ICMP error about the peer's SYN has to say of it. */
	drop(tell?: (syn: ReceivedSyn) => void): void {
		const index = this.#leave();
		if (index < 0) return;
		const seq = this.#tcp.at(index).irs;
		drop(this.#tcp, index);
		tell?.({ src3: this.#remote, srcPort: this.remotePort, dst3: this.#local, dstPort: this.localPort, seq });
	}

	/** The record that the socket lets go of; -1 if there is none. */
	#leave(): number {
		if (!this.alive) return -1;
		const { index } = this;
		this.index = -1;
		this.onleave?.(index);
		return index;
	}
	/**
	 * @internal Its events only settle promises, so it need not be waited for what they set off before another such socket hears of its
	 * own: running promises costs more than settling one.
	 */
	quiet = false;
	/** @internal The table that this socket is in. */
	onleave: ((index: number) => void) | undefined;

	/** Turns Nagle's algorithm off (true) or on; on by default. */
	setNoDelay(on: boolean): void {
		if (this.alive) setNoDelay(this.#tcp, this.index, on);
	}

	/**
	 * Probes an idle peer.
	 *
	 * @param idleSeconds Idle time before the first probe; default 2 hours (RFC 9293 3.8.4).
	 * @param intervalSeconds Time between probes that are not answered: whole seconds, 1 to 65535; default 75.
	 * @param probes How many without an answer end the connection (ETIMEDOUT), 1 to 255; default 9.
	 */
	setKeepAlive(on: boolean, idleSeconds?: number, intervalSeconds?: number, probes?: number): void {
		if (!this.alive) return;
		// What is no number is none that was given, either.
		const idle = (idleSeconds ?? 0) > 0 ? Math.min(idleSeconds! * 1000, 0x3fffffff) : this.#tcp.options.keepAliveIdle;
		setKeepAlive(this.#tcp, this.index, on, idle, within(intervalSeconds, 0xffff), within(probes, 0xff));
	}

	/** Figures of the connection, or null when it is gone. */
	info(): ConnectionInfo | null {
		return this.alive ? connectionInfo(this.#tcp.at(this.index)) : null;
	}

	/** @internal Answers the SYN of a held connection. */
	proceed(): void {
		if (this.alive && (this.#tcp.at(this.index).flags & C_HELD) !== 0) proceed(this.#tcp, this.index);
	}
}

/** The name of the error that a record ended with. */
export function errorName(c: Connection): string | null {
	return ERRORS[c.error & 0xff] ?? null;
}
