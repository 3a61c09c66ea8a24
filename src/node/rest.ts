/**
 * What is left to be read of a connection that died.
 *
 * Hides that it is gone. The stack frees a connection's record and pages when it has told that it died, bytes that nobody has read included
 * (RFC 9293 3.10.7.4, second: a reset flushes the queues). A kernel keeps them for whoever reads on: its reset empties the send queue, and an
 * error is told when the receive queue is empty. So they are copied here first, at most a receive buffer full; their reader sees a
 * connection with the same addresses that takes nothing.
 */
import type { StackEvents, StackSocket } from "./stack.ts";

export class Rest implements StackSocket {
	events: StackEvents;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;
	#bytes: Uint8Array;

	/** Takes all that `socket` has. */
	constructor(socket: StackSocket) {
		this.events = socket.events;
		this.localAddress = socket.localAddress;
		this.localPort = socket.localPort;
		this.remoteAddress = socket.remoteAddress;
		this.remotePort = socket.remotePort;
		this.#bytes = socket.read(socket.available) ?? new Uint8Array(0);
	}

	get available(): number {
		return this.#bytes.length;
	}

	read(max = this.#bytes.length): Uint8Array | null {
		const taken = this.#bytes.slice(0, max);
		this.#bytes = this.#bytes.subarray(taken.length);
		return taken.length > 0 ? taken : null;
	}

	readInto(target: Uint8Array, offset: number, length: number): number {
		const taken = this.#bytes.subarray(0, length);
		target.set(taken, offset);
		this.#bytes = this.#bytes.subarray(taken.length);
		return taken.length;
	}

	write(): number {
		return 0;
	}
	finish(): void {}
	close(): void {}
	abort(): void {}
	setNoDelay(): void {}
	setKeepAlive(): void {}
}
