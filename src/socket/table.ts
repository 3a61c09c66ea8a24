/**
 * The table of sockets: from connection records to the objects that applications hold. The upper face of tcp.
 *
 * Invariant: `sockets[index]` is set exactly while an application holds the connection.
 */
import { MillraceError } from "../errors.ts";
import type { Icmp } from "../icmp/icmp.ts";
import type { Tcp, Upper } from "../tcp/engine.ts";
import type { Listener } from "../tcp/listeners.ts";
import * as state from "../tcp/state.ts";
import { HOST_UNREACHABLE, NET_UNREACHABLE } from "../wire/icmp.ts";
import { assertEvents, errorName, hasEvents, type SocketEvents, TcpSocket } from "./socket.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_FIN_RECEIVED, E_CLOSED, E_CONNECTED, E_ENDED, E_READABLE, E_WRITABLE } = state;

/**
 * How the peer is turned away: as by a machine where nobody listens ("reset"), as by a router that has no way to the network or to the
 * machine (an ICMP error), or not at all, so that its SYN comes again until it gives up.
 */
export type Refusal = "reset" | "net" | "host" | "silence";

/** A connection that waits for a word: a SYN that has not been answered yet. */
export class TcpRequest {
	/** The address that the peer wants to reach: any, on a host with `acceptAny`. */
	readonly localAddress: string;
	/** The port that the peer wants to reach. */
	readonly localPort: number;
	/** The peer's address. */
	readonly remoteAddress: string;
	/** The peer's port. */
	readonly remotePort: number;
	readonly #socket: TcpSocket;
	readonly #icmp: Icmp;

	/** @internal */
	constructor(socket: TcpSocket, icmp: Icmp) {
		this.#socket = socket;
		this.#icmp = icmp;
		this.localAddress = socket.localAddress;
		this.localPort = socket.localPort;
		this.remoteAddress = socket.remoteAddress;
		this.remotePort = socket.remotePort;
	}

	/** Answers the SYN; `events.connected` follows when the handshake is complete. Null if the peer has given up meanwhile. */
	accept(events: SocketEvents): TcpSocket | null {
		assertEvents(events, true);
		if (!this.#socket.alive) return null;
		this.#socket.events = events;
		this.#socket.proceed();
		return this.#socket;
	}

	/** Turns the connection away; nothing is kept of it. */
	refuse(reason: Refusal = "reset"): void {
		if (reason === "reset") this.#socket.abort();
		else if (reason === "silence") this.#socket.drop();
		else if (reason !== "net" && reason !== "host")
			throw new MillraceError(
				"MILLRACE_BAD_OPTION",
				`a connection is refused by "reset", "net", "host" or "silence", not by ${String(reason)}`,
			);
		else this.#socket.drop((syn) => this.#icmp.sendUnreachableAbout(syn, reason === "net" ? NET_UNREACHABLE : HOST_UNREACHABLE));
	}
}

const nobody: SocketEvents = {
	connected() {},
	readable() {},
	ended() {},
	writable() {},
	closed() {},
};

/** Sockets by record number; hands the engine's events to them. */
export class SocketTable implements Upper {
	/** The engine below; set once, right after both exist. */
	tcp!: Tcp;
	/** Sockets held by applications. */
	count = 0;
	/** False: no connection is quiet. */
	quietStreams = true;
	readonly #sockets: (TcpSocket | undefined)[] = [];
	readonly #leave = (index: number): void => this.#forget(index);

	/** The socket of a connection that the application now holds. */
	adopt(index: number, events: SocketEvents): TcpSocket {
		const socket = new TcpSocket(this.tcp, index, events);
		socket.onleave = this.#leave;
		this.#sockets[index] = socket;
		this.count++;
		return socket;
	}

	#forget(index: number): void {
		if (this.#sockets[index] === undefined) return;
		this.#sockets[index] = undefined;
		this.count--;
	}

	/** The sockets that applications hold at the moment. */
	*all(): Generator<TcpSocket> {
		for (const socket of this.#sockets) if (socket !== undefined) yield socket;
	}

	/** A connection came to a listener: its owner gets a socket. */
	accept(listener: Listener, index: number): void {
		const socket = this.adopt(index, nobody);
		try {
			(listener.owner as (socket: TcpSocket) => void)(socket);
			if (socket.events !== nobody) assertEvents(socket.events, false);
		} catch (error) {
			// Nobody would ever hear of it, or answer it.
			if (socket.events === nobody || !hasEvents(socket.events)) socket.abort();
			throw error;
		}
	}

	/** Whether the events of a connection, its coming included, only settle promises. */
	quiet(index: number): boolean {
		if (!this.quietStreams) return false;
		const socket = this.#sockets[index];
		if (socket !== undefined) return socket.quiet;
		return this.tcp.listeners.byId(this.tcp.at(index).listener)?.quiet === true;
	}

	/** Hands the events of a connection to its socket, in the order of SocketEvents. */
	events(index: number, events: number): void {
		const socket = this.#sockets[index];
		if (socket === undefined) return;
		let left = events;
		try {
			if ((left & E_CONNECTED) !== 0) {
				left &= ~E_CONNECTED;
				socket.events.connected();
			}
			if ((left & E_READABLE) !== 0 && socket.index === index) {
				left &= ~E_READABLE;
				socket.events.readable();
			}
			if ((left & E_WRITABLE) !== 0 && socket.index === index) {
				left &= ~E_WRITABLE;
				socket.events.writable();
			}
			if ((left & E_ENDED) !== 0 && socket.index === index) {
				left &= ~E_ENDED;
				socket.events.ended();
			}
		} finally {
			// If the application threw, what it was not told yet comes in the next turn.
			if ((left & ~E_CLOSED) !== 0 && socket.index === index) this.tcp.raise(this.tcp.at(index), left);
			else if ((left & E_CLOSED) !== 0 && socket.index === index) {
				const connection = this.tcp.at(index);
				const error = errorName(connection);
				try {
					if (error !== null) socket.events.closing?.((connection.flags & C_FIN_RECEIVED) !== 0);
				} finally {
					// What reads the last bytes may have closed it, and opened another connection in its place.
					if (socket.index === index) {
						socket.index = -1;
						this.#forget(index);
						socket.events.closed(error);
					}
				}
			}
		}
	}
}
