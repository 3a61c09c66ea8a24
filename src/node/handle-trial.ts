/**
 * A connection that is made up, and what Node's sockets do over it: how a handle of ours is tried on this Node before it is used.
 *
 * Hides the trials. A contract that is internal to Node is not asked for by version: the bytes, ends and errors of a life of a connection
 * are played, and what the socket makes of them is looked at, or compared with what it makes of them in another way. All of it happens
 * within the call; no event loop, host or link is needed. What follows from the answers is for plain-handle.ts to decide.
 */
import net from "node:net";
import { debuglog } from "node:util";
import type { Conduit } from "./conduit.ts";
import { ECONNRESET } from "./errno.ts";
import type { ExpressSocket } from "./express.ts";
import type { FeedProbe } from "./http-feed.ts";
import type { SocketInternals } from "./internals.ts";
import type { StackEvents, StackHost, StackSocket } from "./stack.ts";

/** What the trials see of a handle. */
interface Tried {
	readonly conduit: Conduit;
	readonly reading: boolean;
	readonly onread: unknown;
}

/** Makes a handle over a connection that is made up. */
type HandleOver = (probe: Probe) => Tried;

const debug = debuglog("millrace");

/** A connection that is made up: it has `incoming` bytes to be read, and room for `room`. */
export class Probe implements StackSocket {
	declare events: StackEvents;
	readonly localAddress = "127.0.0.1";
	readonly localPort = 1;
	readonly remoteAddress = "127.0.0.1";
	readonly remotePort = 2;
	incoming = 0;
	/** What `incoming` counts, where it matters. */
	source: Buffer | null = null;
	room = 0;
	written = "";
	finished = false;
	closed = false;
	get available(): number {
		return this.incoming;
	}
	read(): Uint8Array | null {
		const bytes = new Uint8Array(this.incoming);
		return this.readInto(bytes, 0, bytes.length) === 0 ? null : bytes;
	}
	readInto(target: Uint8Array, offset: number, length: number): number {
		const taken = Math.min(length, this.incoming);
		if (this.source === null) target.fill(120, offset, offset + taken);
		else this.source.copy(target, offset, 0, taken);
		this.incoming -= taken;
		return taken;
	}
	write(bytes: Uint8Array, offset = 0): number {
		const part = bytes.subarray(offset, offset + this.room);
		this.written += Buffer.from(part).toString("latin1");
		this.room -= part.length;
		return part.length;
	}
	finish(): void {
		this.finished = true;
	}
	close(): void {
		this.closed = true;
	}
	abort(): void {
		this.closed = true;
	}
	setNoDelay(): void {}
	setKeepAlive(): void {}
}

/** A host that connects to nothing. */
export const NOWHERE = { ref() {}, unref() {} } as unknown as StackHost;

/** A socket over a handle, as a server of `net` makes them. */
function socketOver(handle: Tried): net.Socket {
	return new net.Socket({ handle, allowHalfOpen: true } as unknown as net.SocketConstructorOpts);
}

/** Whether net.js speaks to handles as they expect it. */
export function keepsContract(handleOver: HandleOver): boolean {
	const make = () => {
		const probe = new Probe();
		const handle = handleOver(probe);
		const socket = socketOver(handle) as SocketInternals;
		socket.on("error", () => {});
		return { probe, handle, socket };
	};
	let kept = true;
	const expect = (what: string, holds: boolean) => {
		if (!holds) debug("this Node's contract for handles differs (%s): connections get JSStreams", what);
		kept &&= holds;
	};

	const { probe, handle, socket } = make();
	// Reading: a byte in, then more than the stream wants, upon which it stops reading.
	expect("reads", handle.reading);
	probe.incoming = 1;
	probe.events.readable();
	expect("byte in", socket.bytesRead === 1 && socket.read()?.toString() === "x");
	probe.incoming = socket.readableHighWaterMark + 1;
	probe.events.readable();
	expect("stops", !handle.reading && socket.readableLength >= socket.readableHighWaterMark);
	socket.read();
	socket.read(0);
	expect("starts again", handle.reading);
	// What was one chunk too many.
	handle.conduit.pumpNow();
	socket.read();
	// Writing: at once, then with room for a part only.
	probe.room = 3;
	socket.write("ab");
	expect("byte out", probe.written === "ab" && socket.writableLength === 0 && socket.bytesWritten === 2);
	socket.cork();
	socket.write("c");
	socket.write(Buffer.from("d"));
	socket.write("e\u00e9", "latin1");
	socket.uncork();
	expect("waits", probe.written === "abc" && socket.writableLength === 4);
	probe.room = 9;
	probe.events.writable();
	handle.conduit.settle();
	expect("goes on", probe.written === "abcde\u00e9" && socket.writableLength === 0);
	// The end of the other side.
	probe.events.ended();
	expect("end", (socket as unknown as { _readableState: { ended: boolean } })._readableState.ended);
	socket.destroy();
	expect("close", probe.closed && socket.destroyed);

	const second = make();
	second.probe.room = 1;
	second.socket.write(Buffer.from("pq"));
	expect("part", second.probe.written === "p" && second.socket.writableLength === 2);
	second.probe.room = 5;
	second.probe.events.writable();
	second.handle.conduit.settle();
	expect("rest", second.probe.written === "pq" && second.socket.writableLength === 0);
	second.socket.end();
	second.probe.events.closed("ECONNRESET");
	second.handle.conduit.pumpNow();
	expect("reset", second.socket.destroyed && (second.socket.errored as NodeJS.ErrnoException | null)?.errno === ECONNRESET);
	return kept;
}

/**
 * All that a socket says and thinks while chunks of these lengths come, two writes go and it ends.
 *
 * @param prepare Is given the socket and its handle's `onread` before that.
 */
export function outcomeOf(
	handleOver: HandleOver,
	lengths: readonly number[],
	prepare: (socket: ExpressSocket, onread: unknown) => void,
): string {
	const probe = new Probe();
	const handle = handleOver(probe);
	const socket = socketOver(handle) as ExpressSocket;
	const heard: string[] = [];
	socket.on("error", () => {});
	socket.on("data", (chunk) => heard.push(chunk.toString()));
	prepare(socket, handle.onread);
	probe.room = 100;
	for (const length of lengths) {
		probe.incoming = length;
		probe.events.readable();
		heard.push(`${handle.reading} ${socket.bytesRead}`, stateOf(socket));
	}
	for (const chunk of ["ab", Buffer.from("cd")]) {
		const accepted = socket.write(chunk, () => {});
		heard.push(`${accepted} ${probe.written} ${socket.bytesWritten} ${socket.writableLength}`, stateOf(socket));
	}
	socket._final((...args) => heard.push(`over ${args.length}`));
	heard.push(String(probe.finished));
	handle.conduit.pumpNow();
	socket.destroy();
	return heard.join("; ");
}

/** A socket whose bytes may be fed to http's parser. */
export function feedProbe(handleOver: HandleOver): FeedProbe {
	const probe = new Probe();
	probe.room = 65536;
	const socket = socketOver(handleOver(probe));
	const say = (text: string): void => {
		probe.source = Buffer.from(text, "latin1");
		probe.incoming = probe.source.length;
		probe.events.readable();
	};
	return { socket: socket.on("error", () => {}) as ExpressSocket, say, heard: () => probe.written };
}

/** What a socket's streams think. Not `reading` and `readingMore`, which net.js's way sets right on the next tick. */
function stateOf(socket: ExpressSocket): string {
	const { flowing, length, ended, endEmitted, dataEmitted, needReadable, readableListening, resumeScheduled, destroyed } =
		socket._readableState as unknown as Record<string, unknown>;
	const writable = (socket as unknown as { _writableState: Record<string, unknown> })._writableState;
	return [
		...[flowing, length, ended, endEmitted, dataEmitted, needReadable, readableListening, resumeScheduled, destroyed],
		...[writable.length, writable.writing, writable.needDrain, writable.corked, writable.ended, writable.pendingcb],
	].join();
}
