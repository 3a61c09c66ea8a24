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
	aborted = false;
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
		this.aborted = true;
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

/** A connection that is made up, its handle and its socket. */
interface Trial {
	readonly probe: Probe;
	readonly handle: Tried;
	readonly socket: SocketInternals;
	/** What was called back: the name that was given to `tell`, and the number of the error. */
	readonly told: string[];
	readonly tell: (name: string) => (error?: Error | null) => void;
}

type Expect = (what: string, holds: boolean) => void;

/**
 * Whether net.js speaks to handles as they expect it: bytes each way, pauses, callbacks of writes, ends, half-closed connections and resets.
 * Only what comes within the call is looked at, which leaves out the callback of a write that is done at once: streams have it on the next tick.
 */
export function keepsContract(handleOver: HandleOver): boolean {
	let kept = true;
	const expect = (what: string, holds: boolean) => {
		if (!holds) debug("this Node's contract for handles differs (%s): connections get JSStreams", what);
		kept &&= holds;
	};
	for (const trial of [reading, pausing, writing, halfClosing, losing, resetting]) {
		const probe = new Probe();
		const handle = handleOver(probe);
		const socket = socketOver(handle) as SocketInternals;
		socket.on("error", () => {});
		const told: string[] = [];
		const tell = (name: string) => (error?: Error | null) => {
			told.push(error ? `${name}: ${(error as NodeJS.ErrnoException).errno}` : name);
		};
		trial({ probe, handle, socket, told, tell }, expect);
		socket.destroy();
		expect("close", socket.destroyed && (probe.closed || probe.aborted || socket.errored !== null));
		if (!kept) break;
	}
	return kept;
}

/** A byte in, then more than the stream wants, upon which it stops reading; then the peer's end. */
function reading({ probe, handle, socket }: Trial, expect: Expect): void {
	expect("reads", handle.reading);
	probe.incoming = 1;
	probe.events.readable();
	expect("byte in", socket.bytesRead === 1 && socket.read()?.toString() === "x");
	fill(probe, socket);
	expect("stops", !handle.reading && socket.readableLength >= socket.readableHighWaterMark);
	socket.read();
	socket.read(0);
	expect("starts again", handle.reading);
	// What was one chunk too many.
	handle.conduit.pumpNow();
	socket.read();
	handle.conduit.settled();
	probe.events.ended();
	expect("end", (socket as unknown as { _readableState: { ended: boolean } })._readableState.ended);
}

/** More than a stream wants. */
function fill(probe: Probe, socket: SocketInternals): void {
	probe.incoming = socket.readableHighWaterMark + 1;
	probe.events.readable();
}

/** A paused socket keeps what comes to itself, stops reading when that is enough, and goes on when it is told to. */
function pausing({ probe, handle, socket }: Trial, expect: Expect): void {
	let heard = 0;
	socket.on("data", (chunk: Buffer) => {
		heard += chunk.length;
	});
	probe.incoming = 1;
	probe.events.readable();
	expect("flows", heard === 1 && socket.readableLength === 0);
	socket.pause();
	probe.incoming = 2;
	probe.events.readable();
	expect("pauses", heard === 1 && socket.readableLength === 2);
	fill(probe, socket);
	const length = socket.readableLength;
	probe.incoming = 5;
	probe.events.readable();
	expect("stops while paused", heard === 1 && !handle.reading && probe.incoming === 5 && socket.readableLength === length);
	socket.resume();
	expect("resumes", socket.readableFlowing === true);
	while (socket.read() !== null);
	expect("reads when resumed", heard === 1 + length && handle.reading);
}

/** Writes at once, then with room for a part only; also when the peer has ended its side. The own FIN comes after them. */
function writing({ probe, handle, socket, told, tell }: Trial, expect: Expect): void {
	probe.room = 4;
	socket.write("ab");
	expect("byte out", probe.written === "ab" && socket.writableLength === 0 && socket.bytesWritten === 2);
	socket._write(Buffer.from("c"), "buffer" as BufferEncoding, tell("at once"));
	expect("tells at once", told.join() === "at once" && probe.written === "abc");
	socket.cork();
	socket.write("d", tell("d"));
	socket.write(Buffer.from("e"), tell("e"));
	socket.write("f\u00e9", "latin1", tell("f"));
	socket.uncork();
	expect("waits", probe.written === "abcd" && socket.writableLength === 4 && told.length === 1);
	giveRoom(probe, handle);
	expect("goes on", probe.written === "abcdef\u00e9" && socket.writableLength === 0);
	expect("tells when all is written", told.join() === "at once,d,e,f");
	probe.events.ended();
	expect("stays open after the peer's end", !probe.finished && !probe.closed);
	probe.room = 1;
	socket.write("gh", tell("after the end"));
	expect("writes after the peer's end", probe.written.endsWith("g") && socket.writableLength === 2 && told.length === 4);
	socket.end();
	expect("end waits", !probe.finished);
	giveRoom(probe, handle);
	expect("tells after the peer's end", probe.written.endsWith("gh") && told.length === 5 && told[4] === "after the end");
	expect("ends after what waited", probe.finished);
}

/** There is room again: what waits goes on, and is told. */
function giveRoom(probe: Probe, handle: Tried): void {
	probe.room = 9;
	probe.events.writable();
	handle.conduit.settle();
}

/** The own end: the FIN is sent and told, and the peer's bytes go on coming; then the peer resets. */
function halfClosing({ probe, handle, socket }: Trial, expect: Expect): void {
	let over = false;
	socket.once("prefinish", () => {
		over = true;
	});
	socket.end();
	expect("half close", probe.finished && !probe.closed && !over);
	handle.conduit.pumpNow();
	expect("tells half close", over);
	probe.incoming = 1;
	probe.events.readable();
	expect("reads after half close", socket.read()?.toString() === "x" && handle.reading && !probe.closed);
	handle.conduit.settled();
	probe.events.closed("ECONNRESET");
	handle.conduit.pumpNow();
	expect("reset", socket.destroyed && (socket.errored as NodeJS.ErrnoException | null)?.errno === ECONNRESET);
}

/** A reset by the peer of which a write learns, since nobody reads. */
function losing({ probe, handle, socket, told, tell }: Trial, expect: Expect): void {
	fill(probe, socket);
	probe.room = 1;
	socket.write(Buffer.from("pq"), tell("write"));
	probe.events.closed("ECONNRESET");
	handle.conduit.settle();
	expect("reset tells a write", told.join() === `write: ${ECONNRESET}` && socket.destroyed);
}

/** A reset by this side. */
function resetting({ probe, socket }: Trial, expect: Expect): void {
	socket.resetAndDestroy();
	expect("resets", probe.aborted && !probe.closed && socket.destroyed);
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
