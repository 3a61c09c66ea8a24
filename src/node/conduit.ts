/**
 * A conduit: what lies between one connection of the stack and the handle of one Node socket, whatever kind of handle that is.
 *
 * Hides flow control, the write in flight, end of file, errors and what keeps the process alive; the kind of handle (`Sink`)
 * only knows how Node wants bytes and completions. It behaves as libuv's TCP handle does:
 *
 * - Bytes are taken from the stack only while Node reads, so a paused socket closes the peer's window. End of file and errors
 *   wait for a reader, too; a write meets the error first.
 * - One write at a time; it is complete when the stack has taken all of it. Its completion comes on the next tick, never inside
 *   the call (JSStream does not bear that); that of a shutdown comes from the event loop, though the FIN is on its way.
 * - Where the host is closed, an error is told to all, and at once: to sockets that are paused, too.
 * - What came before a reset can be read after it (rest.ts), and the error comes behind it.
 * - Between bytes and the end of file or the error behind them the program's immediates run: the kernel tells of each in a turn of the event loop
 *   of its own.
 * - After a reset the first write fails with ECONNRESET, or EPIPE if the peer had ended its side, later ones with EPIPE.
 * - The process is kept alive by a connect, by a write that waits for room, and by reading unless `unref` was called.
 */
import { AsyncResource } from "node:async_hooks";
import { setImmediate } from "../sys/timers.ts";
import { hold, release } from "./alive.ts";
import {
	EADDRINUSE,
	EADDRNOTAVAIL,
	EALREADY,
	EBADF,
	ECANCELED,
	ECONNABORTED,
	ECONNRESET,
	EISCONN,
	ENOTCONN,
	EPIPE,
	errnoOf,
	errnoOfThrown,
} from "./errno.ts";
import type { Request } from "./internals.ts";
import { pumpLater, pumpSettled, settleSoon, throwLater } from "./later.ts";
import { asCallback } from "./outside.ts";
import { Rest } from "./rest.ts";
import type { StackEvents, StackHost, StackSocket } from "./stack.ts";

/** A kind of handle, as its conduit sees it. */
export interface Sink {
	/** Whether the next bytes are to be told from outside of Node's callback scope only, for several things that the program hears of may be in them. */
	readonly onlyOutside: boolean;
	/** Whether what is not told as it comes is. */
	readonly outside: boolean;
	/**
	 * Takes some of the bytes that `socket` has (at least one are there) and hands them to Node: `atOnce`, from within a turn of the stack, not more
	 * than the program hears of as one.
	 */
	deliver(socket: StackSocket, atOnce: boolean): void;
	/** Tells Node that the peer has ended its side. */
	endOfFile(): void;
	/** Tells Node that reading failed. */
	readFailed(errno: number): void;
	/** A write or shutdown is over; 0 or an error number. */
	writeDone(request: Request, status: number): void;
	shutdownDone(request: Request, status: number): void;
}

/** What `getsockname` and `getpeername` fill in. */
export interface AddressOut {
	address?: string;
	family?: string;
	port?: number;
}

/** Keep-alive as libuv sets it on kernel sockets where the program says only the delay: seconds between probes, and how many. */
const KEEP_ALIVE_INTERVAL = 1;
const KEEP_ALIVE_PROBES = 10;
/** Answer of `offer`: the stack has taken all of it. */
export const WRITTEN = 0x7fffffff;

const NO_CHUNKS: readonly Uint8Array[] = [];

export class Conduit implements StackEvents {
	readonly host: StackHost;
	sink: Sink;
	#socket: StackSocket | null = null;
	#reading = false;
	/** What `ref` and `unref` last asked for. */
	referenced = true;
	/** Whether this conduit counts in `host.ref()`. */
	#holding = false;
	#closed = false;
	/** The peer ended its side, and all it sent was read. */
	#ended = false;
	/** The error that the connection died of, not yet told; 0: none. */
	#error = 0;
	/** The connection died of an error. */
	#dead = false;
	#pumpQueued = false;
	/** Bytes were handed over, and immediates that the program has set for them may not have run. */
	#fresh = false;

	/** The write in flight, and how far it got; its request is null when there is none. */
	#write: Request | null = null;
	/** Who began it, and understands the request. */
	#writer: Sink | null = null;
	#chunks: readonly Uint8Array[] = NO_CHUNKS;
	#chunk = 0;
	#offset = 0;
	/** The stack has taken the write, or it failed: it waits for the next tick. */
	#writeOver = false;
	#writeStatus = 0;
	/** Waits for the event loop. */
	#shutdown: Request | null = null;
	/** Who asked for it, and understands the request. */
	#finisher: Sink | null = null;
	/** The FIN waits for the write in flight. */
	#finishWaits = false;
	/** A FIN was asked for: streams in C++ write behind it all the same, and would wait for ever. */
	#finishing = false;
	#settleQueued = false;

	#connect: Request | null = null;
	#connectScope: AsyncResource | null = null;
	/** The peer is this host. */
	#near = false;
	/** There is a connection, of which Node is not told yet. */
	#connected = false;
	/** What `bind` was given. */
	#localAddress: string | undefined;
	#localPort = 0;
	#dialled = false;

	constructor(host: StackHost, sink: Sink) {
		this.host = host;
		this.sink = sink;
	}

	get isClosed(): boolean {
		return this.#closed;
	}

	/** Whether there is a connection that a write may reach. */
	get isOpen(): boolean {
		return this.#socket !== null && !this.#dead;
	}

	/** Takes over a connection that was accepted. */
	adopt(socket: StackSocket): void {
		this.#socket = socket;
		socket.events = this;
	}

	// --- what Node asks for

	bind(address: string, port: number): number {
		this.#localAddress = address;
		this.#localPort = port;
		return 0;
	}

	get boundAddress(): string | undefined {
		return this.#localAddress;
	}
	get boundPort(): number {
		return this.#localPort;
	}

	/** Begins to connect; `request.oncomplete` tells the outcome later. Returns an error number if it cannot even begin. */
	connect(request: Request, address: string, port: number): number {
		if (this.#closed) return EBADF;
		if (this.#connect !== null) return EALREADY;
		if (this.#dialled || this.#socket !== null) return EISCONN;
		this.#dialled = true;
		this.#near = this.host.hasAddress(address);
		const options: { address: string; port: number; localAddress?: string; localPort?: number } = { address, port };
		if (this.#localAddress !== undefined && this.#localAddress !== "0.0.0.0") options.localAddress = this.#localAddress;
		if (this.#localPort !== 0) options.localPort = this.#localPort;
		try {
			// Nobody listens on port 0. That is learned later, as from a peer.
			if (port === 0) setImmediate(refuse, this);
			else this.#socket = this.host.tcpConnect(options, this);
		} catch (error) {
			const errno = errnoOfThrown(error);
			// A port that is taken towards this peer alone: Linux has then no address to connect from.
			return errno === EADDRINUSE ? EADDRNOTAVAIL : errno;
		}
		this.#connect = request;
		// Callbacks belong to whoever called `connect`, not to whatever woke the stack (AsyncLocalStorage).
		this.#connectScope = new AsyncResource("TCPCONNECTWRAP");
		this.#hold();
		return 0;
	}

	/** There is no way to the address that Node asked for. */
	refuse(errno: number): number {
		this.#dialled = true;
		return errno;
	}

	readStart(): number {
		this.#reading = true;
		this.#hold();
		const socket = this.#socket;
		if ((socket !== null && socket.available > 0) || this.#ended || this.#dead) this.#queuePump();
		return 0;
	}

	readStop(): number {
		this.#reading = false;
		this.#hold();
		if (this.#dead) this.#failWrite();
		return 0;
	}

	/** Begins a write that `request` hears the end of. Returns an error number if it cannot. */
	write(request: Request, chunks: readonly Uint8Array[]): number {
		const socket = this.#socket;
		if (socket === null) return EBADF;
		if (this.#finishing) return EPIPE;
		if (this.#dead) return this.#writeError();
		this.#write = request;
		this.#writer = this.sink;
		this.#chunks = chunks;
		this.#chunk = 0;
		this.#offset = 0;
		if (this.#push(socket)) this.#writeEnds(0);
		return 0;
	}

	/** Offers one chunk without a request: WRITTEN, an error number, or how much was taken when there was no room for all. */
	offer(chunk: Uint8Array): number {
		const socket = this.#socket;
		if (socket === null) return EBADF;
		if (this.#finishing) return EPIPE;
		if (this.#dead) return this.#writeError();
		const taken = socket.write(chunk, 0);
		return taken === chunk.length ? WRITTEN : taken;
	}

	/** Goes on with what `offer` did not take: from `offset` in the first chunk. */
	writeRest(request: Request, chunks: readonly Uint8Array[], offset: number): void {
		this.#write = request;
		this.#writer = this.sink;
		this.#chunks = chunks;
		this.#chunk = 0;
		this.#offset = offset;
		this.#hold();
	}

	/** Bytes of the write in flight that the stack has not taken yet. */
	get waiting(): number {
		if (this.#write === null || this.#writeOver) return 0;
		let bytes = -this.#offset;
		for (let i = this.#chunk; i < this.#chunks.length; i++) bytes += this.#chunks[i]!.length;
		return bytes;
	}

	shutdown(request: Request): number {
		const socket = this.#socket;
		if (socket === null || this.#dead) return ENOTCONN;
		this.#shutdown = request;
		this.#finisher = this.sink;
		this.#finishing = true;
		// Behind a FIN the rest of a write would find no way: that of TLS's last record, for which there was no room.
		if (this.#write !== null && !this.#writeOver) {
			this.#finishWaits = true;
			return 0;
		}
		socket.finish();
		this.#queuePump();
		return 0;
	}

	/** Gives the connection up, and calls back from the event loop. */
	close(callback?: () => void): void {
		this.#giveUp(false, callback);
	}

	reset(callback?: () => void): number {
		this.#giveUp(true, callback);
		return 0;
	}

	ref(): void {
		this.referenced = true;
		this.#hold();
	}

	unref(): void {
		this.referenced = false;
		this.#hold();
	}

	setNoDelay(on: boolean): number {
		this.#socket?.setNoDelay(on);
		return 0;
	}

	setKeepAlive(on: boolean, seconds: number, interval = KEEP_ALIVE_INTERVAL, probes = KEEP_ALIVE_PROBES): number {
		// 0 leaves the system's own delay, as with the kernel.
		if (seconds > 0) this.#socket?.setKeepAlive(on, seconds, interval, probes);
		else this.#socket?.setKeepAlive(on);
		return 0;
	}

	getsockname(out: AddressOut): number {
		const socket = this.#socket;
		if (socket !== null) {
			out.address = socket.localAddress;
			out.family = "IPv4";
			out.port = socket.localPort;
		} else if (this.#localAddress !== undefined || this.#dialled) {
			out.address = this.#localAddress ?? "0.0.0.0";
			out.family = "IPv4";
			out.port = this.#localPort;
		} else return EBADF;
		return 0;
	}

	getpeername(out: AddressOut): number {
		const socket = this.#socket;
		if (socket === null) return EBADF;
		if (this.#dead) return ENOTCONN;
		out.address = socket.remoteAddress;
		out.family = "IPv4";
		out.port = socket.remotePort;
		return 0;
	}

	// --- what the stack tells

	connected(): void {
		// A server in the same process hears of the connection first, as with the kernel. Our ACK is with it in the next turn.
		if (!this.#near) return this.#connectDone(0);
		this.#connected = true;
		setImmediate(setImmediate, () => this.#connectDone(0));
	}

	readable(): void {
		// What waits already is told from the event loop, and this with it.
		if (!this.#reading || this.#pumpQueued) return;
		if (this.sink.onlyOutside || this.#unsettled) return this.#queuePump();
		try {
			this.#pump(true);
		} catch (error) {
			throwLater(error);
		}
	}

	ended(): void {
		this.#ended = true;
		this.readable();
	}

	writable(): void {
		const socket = this.#socket;
		if (socket !== null && this.#write !== null && !this.#writeOver && this.#push(socket)) this.#writeEnds(0);
	}

	closing(complete: boolean): void {
		const socket = this.#socket;
		if (socket === null) return;
		if (socket.available > 0) this.#socket = new Rest(socket);
		// Behind a FIN there is an end of file, whatever became of the connection afterwards.
		if (complete) this.#ended = true;
	}

	closed(error: string | null): void {
		if (error === null || this.#closed) return;
		const errno = errnoOf(error);
		if (this.#connect !== null) return this.#connectDone(errno);
		this.#dead = true;
		// The host was closed: its sockets are told, also those that nobody reads. Not where all was read, and all written: nothing is lost.
		const over = this.#ended && this.#finishing && !this.#finishWaits;
		if (errno === ECONNABORTED && !over) return this.#tellError(errno);
		this.#error = errno;
		if (this.#reading) this.readable();
		else this.#failWrite();
	}

	// --- inside

	/** The connection is dead, and nobody reads: the write in flight learns of it, else the next one. */
	#failWrite(): void {
		if (this.#write !== null && !this.#writeOver) this.#writeEnds(this.#writeError());
	}

	/** The error that a write on a dead connection meets. */
	#writeError(): number {
		const errno = this.#error;
		this.#error = 0;
		if (errno === 0 || (errno === ECONNRESET && this.#ended)) return EPIPE;
		return errno;
	}

	#connectDone(status: number): void {
		const request = this.#connect;
		if (request === null) return;
		const scope = this.#connectScope!;
		this.#connect = null;
		this.#connectScope = null;
		this.#hold();
		try {
			scope.runInAsyncScope(completeConnect, undefined, request, status, this.sink);
		} catch (error) {
			throwLater(error);
		}
	}

	#queuePump(): void {
		if (this.#pumpQueued) return;
		this.#pumpQueued = true;
		if (this.#reading && this.#unsettled) pumpSettled(this);
		else pumpLater(this);
	}

	/** There is an end or an error to be told, but not yet. */
	get #unsettled(): boolean {
		return this.#fresh && (this.#ended || this.#dead) && (this.#socket === null || this.#socket.available === 0);
	}

	settled(): void {
		this.#fresh = false;
	}

	get outside(): boolean {
		return this.sink.outside;
	}

	/** From the event loop, some time after `readStart` or `shutdown`. */
	pumpNow(): void {
		this.#pumpQueued = false;
		const shutdown = this.#shutdown;
		if (shutdown !== null && !this.#finishWaits) {
			this.#shutdown = null;
			asCallback(() => this.#finisher!.shutdownDone(shutdown, 0));
		}
		if (!this.#reading) return;
		if (this.#unsettled) this.#queuePump();
		else this.#pump(false);
	}

	/**
	 * Hands on one thing, in the order bytes, error or end of file. What is left comes from the event loop, also when the program threw: as
	 * with the kernel, promises and ticks run between two chunks, or `await once(socket, "data")` would miss the second.
	 */
	#pump(atOnce: boolean): void {
		const socket = this.#socket;
		if (socket === null) return;
		const before = socket.available;
		if (before > 0) {
			try {
				this.sink.deliver(socket, atOnce);
			} finally {
				this.#fresh = true;
				if (this.#reading && this.#socket === socket) {
					const left = socket.available;
					// Nothing taken: never come back for it by itself.
					if ((left > 0 && left < before) || (left === 0 && (this.#ended || this.#dead))) this.#queuePump();
				}
			}
		} else if (this.#ended || (this.#dead && this.#error === 0)) {
			// An error is told once. If a write had it, reading meets an end, as with the kernel.
			this.#reading = false;
			this.#hold();
			if (this.#dead) this.#failWrite();
			this.sink.endOfFile();
		} else if (this.#dead) {
			this.#tellError(this.#error);
		}
	}

	#tellError(errno: number): void {
		this.#error = 0;
		this.#reading = false;
		this.#hold();
		asCallback(() => this.sink.readFailed(errno));
	}

	/** Offers the rest of the write in flight to the stack; true when it took all. */
	#push(socket: StackSocket): boolean {
		const chunks = this.#chunks;
		while (this.#chunk < chunks.length) {
			const chunk = chunks[this.#chunk]!;
			if (this.#offset < chunk.length) {
				this.#offset += socket.write(chunk, this.#offset);
				if (this.#offset < chunk.length) {
					this.#hold();
					return false;
				}
			}
			this.#chunk++;
			this.#offset = 0;
		}
		return true;
	}

	#writeEnds(status: number): void {
		this.#writeOver = true;
		this.#writeStatus = status;
		this.#hold();
		this.#queueSettle();
		if (this.#finishWaits) this.#finishNow();
	}

	/** The write that the FIN waited for is over. */
	#finishNow(): void {
		this.#finishWaits = false;
		if (!this.#dead) this.#socket?.finish();
		this.#queuePump();
	}

	#queueSettle(): void {
		if (this.#settleQueued) return;
		this.#settleQueued = true;
		settleSoon(this);
	}

	/** On the next tick: tells Node that the write is over. */
	settle(): void {
		this.#settleQueued = false;
		const write = this.#write;
		if (write === null || !this.#writeOver) return;
		this.#write = null;
		this.#chunks = NO_CHUNKS;
		this.#writeOver = false;
		this.#writer!.writeDone(write, this.#writeStatus);
	}

	#giveUp(reset: boolean, callback: (() => void) | undefined): void {
		const socket = this.#socket;
		if (!this.#closed) {
			this.#closed = true;
			this.#reading = false;
			if (socket !== null && !this.#dead) {
				if (reset || (this.#connect !== null && !this.#connected)) socket.abort();
				else socket.close();
			}
			this.#socket = null;
			const connect = this.#connect;
			const stuck = this.#write !== null && !this.#writeOver;
			if (connect !== null || stuck) setImmediate(cancel, this, connect);
			if (this.#finishWaits) this.#finishNow();
			this.#connect = null;
			this.#connectScope = null;
			this.#writeOver = true;
			if (stuck) this.#writeStatus = ECANCELED;
			this.#hold();
		}
		if (callback !== undefined) setImmediate(callback);
	}

	/** What keeps the process alive: see above. */
	#hold(): void {
		const holding =
			!this.#closed && (this.#connect !== null || (this.#write !== null && !this.#writeOver) || (this.#reading && this.referenced));
		if (holding === this.#holding) return;
		this.#holding = holding;
		if (holding) hold(this.host);
		else release(this.host);
	}
}

/** `oncomplete` is taken away from attempts that took too long. */
function completeConnect(request: Request, status: number, handle: Sink): void {
	request.oncomplete?.(status, handle, request, status === 0, status === 0);
}

function refuse(conduit: Conduit): void {
	conduit.closed("ECONNREFUSED");
}

/** From the event loop, before the handle's own callback: what was in flight when it was closed. */
function cancel(conduit: Conduit, connect: Request | null): void {
	if (connect !== null) completeConnect(connect, ECANCELED, conduit.sink);
	conduit.settle();
}
