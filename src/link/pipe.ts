/**
 * Pipes: what a stream link stands on, a byte stream or a channel of messages to somebody who speaks frames.
 *
 * Hides which kind of connection it is. Those of Node (TCP, UNIX sockets, UDP) are in node/pipe.ts; here is the one that every platform
 * has: a WebSocket.
 */
import { withMethods } from "./known-options.ts";

/** What a pipe reports. */
export interface PipeEvents {
	/** Bytes of the stream, or one message; they are copied during the call. */
	arrived(bytes: Uint8Array): void;
	/** The peer has left and another may come: what came of an unfinished frame is void. */
	restarted(): void;
	/** It is over. */
	closed(error?: Error): void;
}

/** A byte stream or a message channel: the part that differs from platform to platform. */
export interface Pipe {
	/** Begins to report; called once. */
	start(events: PipeEvents): void;
	/** Sends bytes, or one message. The array is the pipe's from now on. */
	write(bytes: Uint8Array): void;
	/** Bytes that were written and have not left yet. */
	readonly pending: number;
	/** False while there is no peer, which may come or have left; what is written then is lost, and counted by the link. */
	readonly connected?: boolean;
	/** Ends the present peer, which does not keep to the framing; another may come. A pipe without it is closed instead. */
	reject?(): void;
	/** What the pipe itself lost, by name; the link shows it among its own counters. */
	counters?(): Readonly<Record<string, number>>;
	/** Whether an open pipe keeps the process alive. */
	ref?(): void;
	/** Takes `ref` back. */
	unref?(): void;
	/** Ends the pipe; nothing is reported any more. */
	close(): void;
}

/** The part of the standard WebSocket interface that is used; `ws` and browsers have it. */
export interface WebSocketLike {
	/** Set to "arraybuffer". */
	binaryType: string;
	/** Bytes that have not left yet. */
	readonly bufferedAmount: number;
	/** 0 connecting, 1 open, 2 closing, 3 closed. */
	readonly readyState: number;
	/** Sends one message. */
	send(bytes: Uint8Array): void;
	/** Begins the end. */
	close(): void;
	/** The three kinds of events that matter here. */
	addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
	addEventListener(type: "close" | "open", listener: () => void): void;
	addEventListener(type: "error", listener: (event: unknown) => void): void;
}

/** A WebSocket as a pipe, for `framing: "message"` (v86 relays) or for a stream in messages. What is sent before it is open waits. */
export function webSocketPipe(socket: WebSocketLike): Pipe {
	withMethods("the socket of a pipe", socket, ["send", "close", "addEventListener"], "a WebSocket");
	const early: Uint8Array[] = [];
	let earlyBytes = 0;
	let closed = false;
	let started = false;
	let notBinary = 0;
	const connecting = () => socket.readyState === 0;
	return {
		start(events) {
			started = true;
			socket.binaryType = "arraybuffer";
			socket.addEventListener("message", ({ data }) => {
				if (data instanceof ArrayBuffer) events.arrived(new Uint8Array(data));
				else notBinary++; // text is nobody's frame
			});
			socket.addEventListener("open", () => {
				for (const bytes of early.splice(0)) if (!closed) socket.send(bytes);
				earlyBytes = 0;
			});
			socket.addEventListener("error", () => events.closed(new Error("the WebSocket failed")));
			socket.addEventListener("close", () => events.closed());
			// Its last event may have been before this. Not from within `start`, which is part of the link's `open`.
			if (socket.readyState >= 2) queueMicrotask(() => events.closed());
		},
		write(bytes) {
			if (socket.readyState === 1) socket.send(bytes);
			else if (connecting()) {
				early.push(bytes);
				earlyBytes += bytes.length;
			}
		},
		get pending() {
			return socket.bufferedAmount + earlyBytes;
		},
		/** Between its end and the news of it, a WebSocket takes what is sent and drops it. */
		get connected() {
			return socket.readyState < 2;
		},
		counters: () => ({ rxDropNotBinary: notBinary }),
		close() {
			closed = true;
			// The package ws fails when it is closed while it is connecting, and an error that nobody hears ends the process.
			if (!started) socket.addEventListener("error", () => {});
			socket.close();
		},
	};
}
