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
	/** The connection is gone. Last of all events. */
	closed(error: string | null): void;
}

export interface StackSocket {
	events: StackEvents;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;
	/** Bytes that can be read now. */
	readonly available: number;
	/** A fresh copy of at most `max` bytes, or null if there are none. */
	read(max?: number): Uint8Array | null;
	readInto(target: Uint8Array, offset: number, length: number): number;
	/** Takes a copy of as much as there is room for, and says how much that was. */
	write(bytes: Uint8Array, offset?: number): number;
	finish(): void;
	close(): void;
	abort(): void;
	setNoDelay(on: boolean): void;
	setKeepAlive(on: boolean, idleSeconds?: number): void;
}

export interface StackListener {
	readonly address: string;
	readonly port: number;
	/** To be set; called with each new connection, whose `events` are to be set before it returns. */
	onconnection(socket: StackSocket): void;
	close(): void;
}

export interface StackHost {
	tcpConnect(options: { address: string; port: number; localAddress?: string; localPort?: number }, events: StackEvents): StackSocket;
	tcpListen(options: { address?: string; port: number; backlog?: number }): StackListener;
	/** Counted: while there are more calls of `ref` than of `unref`, the process stays alive. */
	ref(): void;
	unref(): void;
	hasListener(port: number): boolean;
}
