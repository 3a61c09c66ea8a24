/**
 * What this layer needs of the layers below, and nothing more: the faces of a host, a listener and a connection.
 *
 * They are given structurally, so that Node's sockets can be driven by whatever behaves so: a host, or what stands for one (a host
 * in another thread, say).
 */

/** What a connection tells its user. Called from the stack's turn, never from inside a call of the user. */
export interface StackEvents {
	/** An active open is done. */
	connected(): void;
	/** There are bytes to read; called again only after more came. */
	readable(): void;
	/** The peer will send no more, and all it sent was read. */
	ended(): void;
	/** There is room again, after `write` took less than it was offered. */
	writable(): void;
	/** The connection died, and what it has to be read goes with it when this returns. @param complete The peer had ended its side. */
	closing?(complete: boolean): void;
	/** The connection is gone. Last of all events. */
	closed(error: string | null): void;
}

/** A connection, as `TcpSocket` has it. */
export interface StackSocket {
	/** Who hears of it. */
	events: StackEvents;
	/** Own address, as text. */
	readonly localAddress: string;
	/** Own port. */
	readonly localPort: number;
	/** The peer's address, as text. */
	readonly remoteAddress: string;
	/** The peer's port. */
	readonly remotePort: number;
	/** Bytes that can be read now. */
	readonly available: number;
	/** A fresh copy of at most `max` bytes, or null if there are none. */
	read(max?: number): Uint8Array | null;
	/** Copies up to `length` bytes to `target` at `offset`; returns how many. */
	readInto(target: Uint8Array, offset: number, length: number): number;
	/** What came first, as a buffer that is the caller's then (or a view of one), or null if it has to be copied. */
	take?(): Uint8Array | null;
	/** Of the next `most` bytes, how many are best read by a copy, because what comes then can be taken. */
	beforeTake?(most: number): number;
	/** Takes a copy of as much as there is room for, and says how much that was. */
	write(bytes: Uint8Array, offset?: number): number;
	/** FIN after what was written. */
	finish(): void;
	/** Gives the connection up; what was written is still delivered. */
	close(): void;
	/** Resets the connection. */
	abort(): void;
	/** Nagle's algorithm off (true) or on. */
	setNoDelay(on: boolean): void;
	/** @param idleSeconds Idle time before the first probe. @param intervalSeconds Between probes. @param probes How many end it. */
	setKeepAlive(on: boolean, idleSeconds?: number, intervalSeconds?: number, probes?: number): void;
}

/** A listener, as `TcpListener` has it. */
export interface StackListener {
	/** Where it listens; "0.0.0.0" for any address. */
	readonly address: string;
	/** The port. */
	readonly port: number;
	/** To be set; called with each new connection, whose `events` are to be set before it returns. */
	onconnection(socket: StackSocket): void;
	/** To be set; called when the host was closed, which ends the listener. */
	onclose(): void;
	/** Stops listening; connections that were handed over go on. */
	close(): void;
}

/** A host, as far as Node's sockets need it. */
export interface StackHost {
	/** Opens a connection. @throws MillraceError EADDRNOTAVAIL, EADDRINUSE, ENETUNREACH, ENOBUFS */
	tcpConnect(options: { address: string; port: number; localAddress?: string; localPort?: number }, events: StackEvents): StackSocket;
	/** Listens. @throws MillraceError EADDRINUSE, EADDRNOTAVAIL */
	tcpListen(options: { address?: string; port: number; backlog?: number }): StackListener;
	/** Counted: while there are more calls of `ref` than of `unref`, the process stays alive. */
	ref(): void;
	/** Takes one `ref` back. */
	unref(): void;
	/** Whether this is an IPv4 address of the host. */
	hasAddress(address: string): boolean;
	/** Whether anybody listens on this port; with an IPv4 address, whether a connection to that would find somebody. */
	hasListener(port: number, address?: string): boolean;
}
