/**
 * Listening: which ports of a host somebody listens on.
 *
 * Hides how a port is found when any will do (a random one, and from there the first that is free, as RFC 6056 3.3.1 has it for connections), and
 * that somebody outside may have a say in it: who holds the ports of a kernel's address for us hears of each port with its first listener and
 * with its last, and may refuse.
 *
 * Invariant: after each call of `onListen`, also one that throws, there is one of `onUnlisten`, when nobody listens on the port any more.
 */
import { MillraceError } from "../errors.ts";
import { refuseUnknown } from "../link/known-options.ts";
import type { Shard } from "../shard/shard.ts";
import type { TcpSocket } from "../socket/socket.ts";
import { TcpRequest } from "../socket/table.ts";
import { unlisten } from "../tcp/calls.ts";
import type { Listener } from "../tcp/listeners.ts";
import type { Random } from "../time/clock.ts";
import { MAPPED, parseIpv4 } from "../wire/address.ts";
import { ipv4, LISTEN_OPTIONS, type ListenOptions, portNumber } from "./endpoint.ts";

/** A listener of the event face. */
export class TcpListener {
	/** As it was asked for; "0.0.0.0" for any. */
	readonly address: string;
	/** The port, which matters when 0 was asked for. */
	readonly port: number;
	/** Called when the host was closed and this listener with it. */
	onclose: () => void = () => {};
	readonly #listener: Listener;
	readonly #close: () => void;
	#onconnection: (socket: TcpSocket) => void = (socket) => socket.abort();

	/** @internal */
	constructor(address: string, listener: Listener, close: () => void) {
		this.address = address;
		this.port = listener.port;
		this.#listener = listener;
		this.#close = close;
	}

	/** Called with each new connection; its `events` are to be set before it returns. Until it is set, connections are reset. */
	get onconnection(): (socket: TcpSocket) => void {
		return this.#onconnection;
	}
	/** @throws {MillraceError} EINVAL for what is no function. */
	set onconnection(called: (socket: TcpSocket) => void) {
		if (typeof called !== "function") throw new MillraceError("EINVAL", "onconnection is given no function: give one that takes a socket");
		this.#onconnection = called;
	}

	/** @internal Most connections that wait to be handed over. */
	get backlog(): number {
		return this.#listener.backlog;
	}

	/** @internal `onconnection` runs no code of the application's: see `quiet` of a socket. */
	makeQuiet(): void {
		this.#listener.quiet = true;
	}

	/** Stops listening; connections that were handed over go on. */
	close(): void {
		this.#close();
	}
}

/** Who is to know which ports are listened on: see `Host`. */
interface PortOwner {
	readonly onListen: ((port: number) => void) | null;
	readonly onUnlisten: ((port: number) => void) | null;
}

export class Listening {
	readonly #shard: Shard;
	readonly #random: Random;
	readonly #owner: PortOwner;
	readonly #assertOpen: () => void;
	readonly #listeners = new Map<Listener, TcpListener>();

	/** @param assertOpen Throws when nobody may listen any more. */
	constructor(shard: Shard, random: Random, owner: PortOwner, assertOpen: () => void) {
		this.#shard = shard;
		this.#random = random;
		this.#owner = owner;
		this.#assertOpen = assertOpen;
	}

	/** Whether anybody listens on this port. */
	on(port: number): boolean {
		return this.#shard.tcp.listeners.on(port) > 0;
	}

	/** Whether a connection to this address and port would find somebody who listens on the port. */
	at(address: string, port: number): boolean {
		return this.#shard.tcp.listeners.holder(0, 0, MAPPED, parseIpv4(address), port) !== null;
	}

	/** See `Host.tcpListen`. */
	listen(options: ListenOptions): TcpListener {
		refuseUnknown("listen", options, LISTEN_OPTIONS);
		const { address = "0.0.0.0", backlog = 511 } = options;
		const port = portNumber(options.port, 0);
		if (!Number.isInteger(backlog) || backlog < 0) throw new MillraceError("EINVAL", `backlog ${backlog} is not a whole number from 0`);
		const word = ipv4(address, "address");
		if (word !== 0 && !this.#shard.ip.isLocal(word)) throw new MillraceError("EADDRNOTAVAIL", `${address} is not an address of this host`);
		const key: [number, number, number, number] = word === 0 ? [0, 0, 0, 0] : [0, 0, 0xffff, word];
		const listener = port === 0 ? this.#listenAnywhere(key, backlog) : this.#listenAt(key, port, backlog);
		if (listener === null)
			throw new MillraceError("EADDRINUSE", `port ${port} of ${address} is in use. Choose another, or 0 for any free one`);
		const result = new TcpListener(address, listener, () => this.#unlisten(listener));
		listener.owner = (socket: TcpSocket) => result.onconnection(socket);
		this.#listeners.set(listener, result);
		return result;
	}

	#listenAnywhere(key: [number, number, number, number], backlog: number): Listener | null {
		const { firstPort, lastPort } = this.#shard.tcp.options;
		const range = lastPort - firstPort + 1;
		const start = (this.#random.int32() >>> 0) % range;
		for (let i = 0; i < range; i++) {
			try {
				const listener = this.#listenAt(key, firstPort + ((start + i) % range), backlog);
				if (listener !== null) return listener;
			} catch (error) {
				// Whoever gives the port away outside has given this one to somebody else.
				if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
			}
		}
		return null;
	}

	#listenAt(key: [number, number, number, number], port: number, backlog: number): Listener | null {
		const { onListen } = this.#owner;
		if (onListen !== null && onListen !== undefined && typeof onListen !== "function")
			throw new MillraceError("EINVAL", "onListen of a host is no function: give one that takes a port, or null");
		const listener = this.#listen(key, port, backlog, false, false);
		if (listener === null) return null;
		try {
			if (this.#shard.tcp.listeners.on(port) === 1) this.#owner.onListen?.(port);
		} catch (error) {
			this.#unlisten(listener);
			throw error;
		}
		return listener;
	}

	#listen(key: [number, number, number, number], port: number, backlog: number, held: boolean, any: boolean): Listener | null {
		this.#assertOpen();
		return this.#shard.tcp.listeners.add(key, port, Math.max(1, backlog), held, any);
	}

	/** See `Host.tcpListenAny`. */
	listenAny(onrequest: (request: TcpRequest) => void): { close(): void } {
		if (typeof onrequest !== "function") throw new MillraceError("EINVAL", "tcpListenAny needs a function that is given each request");
		const listener = this.#listen([0, 0, 0, 0], 0, 1 << 20, true, true);
		if (listener === null) throw new MillraceError("EADDRINUSE", "this host has a listener for all ports already");
		listener.owner = (socket: TcpSocket) => onrequest(new TcpRequest(socket, this.#shard.icmp));
		return { close: () => this.#unlisten(listener) };
	}

	#unlisten(listener: Listener): void {
		if (listener.closed) return;
		this.#listeners.delete(listener);
		unlisten(this.#shard.tcp, listener);
		if (!listener.any && !this.on(listener.port)) this.#owner.onUnlisten?.(listener.port);
	}

	/** Ends every listener, and tells those who have one. @param attempt Runs a step that may throw. */
	close(attempt: (step: () => void) => void): void {
		const told = [...this.#listeners.values()];
		for (const listener of [...this.#shard.tcp.listeners.all()]) attempt(() => this.#unlisten(listener));
		for (const listener of told) attempt(() => listener.onclose());
	}
}
