/**
 * The handle of a plain `net` or `http` connection: a JavaScript object, with no C++ behind it.
 *
 * Hides the contract between net.js and libuv's streams, which net.js keeps with any object: `onread` with the count in
 * `streamBaseState`, and the `write...` methods, which say by that same array how a write went. It costs half of what a
 * JSStream costs per connection, and a write that the stack takes at once is done at once. The contract is internal to Node
 * and has two forms:
 *
 * - Node 20 to 24: `writeX(request, data)` returns 0 or an error; the request hears of a write that takes longer.
 * - Node 26: `writeX(null, data)` returns 0, an error, or a request of ours for a write that takes longer.
 *
 * So before the first use, `plainHandlesWork` tries a socket over a connection that is made up (handle-trial.ts): a byte each way, the
 * callbacks of writes at once and of such that wait, a pause, a full buffer, the end of either side and what still goes after it, a reset of
 * either side. Where anything differs, and where the array cannot be had, connections get JSStreams.
 *
 * TLS needs a stream in C++. Servers of TLS and HTTP/2 get JSStreams from the start, and when somebody wraps a plain connection
 * later (STARTTLS), it is given one then; see `tls-upgrade.ts`, which `installPatch` and `createNet` put in place.
 */
import { AsyncResource } from "node:async_hooks";
import tls from "node:tls";
import { debuglog } from "node:util";
import { nextChunk, ON_HEAP, READ_SIZE } from "./chunks.ts";
import { type AddressOut, Conduit, type Sink, WRITTEN } from "./conduit.ts";
import { errnoOf } from "./errno.ts";
import { deliverNow, type ExpressHandle, type ExpressSocket, express, flows } from "./express.ts";
import { handedOut } from "./gc-room.ts";
import { buffersOf, writeAtOnce } from "./handle.ts";
import { feedProbe, keepsContract, NOWHERE, outcomeOf, Probe } from "./handle-trial.ts";
import { type Feeder, feed, parserOf, takeForParser, tryFeed } from "./http-feed.ts";
import type { Request, SocketInternals, StreamBase } from "./internals.ts";
import { ownable } from "./ownership.ts";
import type { StackHost, StackSocket } from "./stack.ts";
import { LATIN1_MOST, UCS2_MOST, UTF8_MOST, uncounted } from "./uncounted.ts";
import { internalBinding } from "./undeprecated.ts";

const debug = debuglog("millrace");
/** Set to "0": every chunk and write goes by net.js. */
const EXPRESS_VARIABLE = "MILLRACE_EXPRESS";

/** Null where Node does not let it be had. */
let base: StreamBase | null = null;
let state: Int32Array;
const EOF = errnoOf("EOF");
/** net.js's own `onread`, once chunks and writes of its sockets were seen to need no more than express.ts does; else null. */
let onStreamRead: unknown = null;

/** A write that takes longer, as Node 26 wants it returned: a WriteWrap without C++. */
class WriteRequest {
	handle: unknown = null;
	oncomplete: ((status: number) => void) | null = null;
	callback: unknown = null;
	async = true;
	bytes = 0;
	buffer: unknown = null;
	error: unknown = undefined;
	writeStatus: number | null = null;
}

export class PlainHandle implements Sink, ExpressHandle, Feeder, Reader {
	readonly conduit: Conduit;
	declare readonly onlyOutside: false;
	declare readonly outside: false;
	declare readonly onStack: true;
	declare readonly equip: (socket: SocketInternals) => void;
	declare readonly express: true;
	owner: SocketInternals | null = null;
	/** Set by net.js. */
	reading = false;
	onread: ((bytes: ArrayBufferLike | undefined) => unknown) | null = null;
	bytesRead = 0;
	bytesWritten = 0;
	httpListener: unknown = null;
	/** Whoever wrote what waits for room. */
	#scope: AsyncResource | null = null;
	/** Its chunks are pieces of Node's pool, where they are short. */
	readonly #pooled: boolean;
	/** Whoever ended the own side: what `finish` and the callback of `end` set off belongs to him (AsyncLocalStorage). */
	#ending: AsyncResource | null = null;

	constructor(host: StackHost, pooled = false) {
		this.#pooled = pooled;
		this.conduit = new Conduit(host, this);
	}

	// --- for net.js

	readStart(): number {
		return this.conduit.readStart();
	}
	readStop(): number {
		return this.conduit.readStop();
	}

	writeBuffer(request: Request | null, chunk: Uint8Array): unknown {
		return this.#write(request, chunk);
	}
	writeUtf8String(request: Request | null, text: string): unknown {
		return this.#write(request, Buffer.from(text, "utf8"), uncounted(text, UTF8_MOST));
	}
	writeLatin1String(request: Request | null, text: string): unknown {
		return this.#write(request, Buffer.from(text, "latin1"), uncounted(text, LATIN1_MOST));
	}
	writeAsciiString(request: Request | null, text: string): unknown {
		return this.#write(request, Buffer.from(text, "latin1"), uncounted(text, LATIN1_MOST));
	}
	writeUcs2String(request: Request | null, text: string): unknown {
		return this.#write(request, Buffer.from(text, "utf16le"), uncounted(text, UCS2_MOST));
	}
	/** @param chunks Buffers, or strings and buffers each followed by its encoding. */
	writev(request: Request | null, chunks: unknown[], allBuffers: boolean): unknown {
		return this.#writeAll(request, buffersOf(chunks, allBuffers));
	}

	writeNow(chunk: Uint8Array): number {
		if (!this.conduit.isOpen) return -1;
		const result = this.conduit.offer(chunk);
		const taken = result === WRITTEN ? chunk.length : result;
		if (taken > 0) this.bytesWritten += taken;
		return taken;
	}

	/** @param triedFirst It is not counted if it fails at once. */
	#write(request: Request | null, chunk: Uint8Array, triedFirst = false): unknown {
		state[base!.kBytesWritten] = chunk.length;
		const result = this.conduit.offer(chunk);
		if (result === WRITTEN) {
			this.bytesWritten += chunk.length;
			state[base!.kLastWriteWasAsync] = 0;
			return 0;
		}
		if (result < 0) return this.#failed(result, triedFirst ? 0 : chunk.length);
		this.bytesWritten += chunk.length;
		return this.#waits(request, [chunk], result);
	}

	#writeAll(request: Request | null, chunks: Uint8Array[]): unknown {
		let bytes = 0;
		for (const chunk of chunks) bytes += chunk.length;
		state[base!.kBytesWritten] = bytes;
		for (let i = 0; i < chunks.length; i++) {
			const result = this.conduit.offer(chunks[i]!);
			if (result === WRITTEN) continue;
			if (result < 0) return this.#failed(result, bytes);
			this.bytesWritten += bytes;
			return this.#waits(request, chunks.slice(i), result);
		}
		this.bytesWritten += bytes;
		state[base!.kLastWriteWasAsync] = 0;
		return 0;
	}

	#failed(error: number, counted: number): number {
		this.bytesWritten += counted;
		state[base!.kLastWriteWasAsync] = 0;
		return error;
	}

	/** The stack has no room for the rest. */
	#waits(given: Request | null, chunks: Uint8Array[], offset: number): unknown {
		const request = given ?? new WriteRequest();
		this.#scope = new AsyncResource("WRITEWRAP");
		this.conduit.writeRest(request as Request, chunks, offset);
		state[base!.kLastWriteWasAsync] = 1;
		if (base!.kLastWriteErr !== undefined) state[base!.kLastWriteErr] = 0;
		return given === null ? request : 0;
	}

	shutdown(request: Request): number {
		const error = this.conduit.shutdown(request);
		if (error === 0) this.#ending = new AsyncResource("SHUTDOWNWRAP");
		return error;
	}
	close(callback?: () => void): void {
		this.conduit.close(callback);
	}
	reset(callback?: () => void): number {
		return this.conduit.reset(callback);
	}
	ref(): void {
		this.conduit.ref();
	}
	unref(): void {
		this.conduit.unref();
	}
	hasRef(): boolean {
		return this.conduit.referenced && !this.conduit.isClosed;
	}
	setNoDelay(on: boolean): number {
		return this.conduit.setNoDelay(on);
	}
	setKeepAlive(on: boolean, seconds: number, interval?: number, probes?: number): number {
		return this.conduit.setKeepAlive(on, seconds, interval, probes);
	}
	getsockname(out: AddressOut): number {
		return this.conduit.getsockname(out);
	}
	getpeername(out: AddressOut): number {
		return this.conduit.getpeername(out);
	}
	get writeQueueSize(): number {
		return this.conduit.waiting;
	}
	get fd(): number {
		return -1;
	}

	// --- for the conduit

	deliver(socket: StackSocket): void {
		const available = Math.min(socket.available, READ_SIZE);
		const listener = listenerOf(this);
		const parser = listener !== null ? parserOf(this, listener) : null;
		if (parser !== null) {
			handedOut(available);
			const bytes = takeForParser(socket, available);
			if (bytes.length === 0) return;
			this.bytesRead += bytes.length;
			feed(parser, bytes);
			return;
		}
		handOver(this, socket, available, listener, this.#pooled);
	}

	read(bytes: number): void {
		this.bytesRead += bytes;
	}

	endOfFile(): void {
		this.readFailed(EOF);
	}

	readFailed(errno: number): void {
		state[base!.kReadBytesOrError] = errno;
		state[base!.kArrayBufferOffset] = 0;
		this.onread!(undefined);
	}

	writeDone(request: Request, status: number): void {
		const complete = (request as unknown as WriteRequest).oncomplete;
		const scope = this.#scope;
		this.#scope = null;
		if (complete !== null && scope !== null) scope.runInAsyncScope(complete, request, status);
	}

	shutdownDone(request: Request, status: number): void {
		const complete = (request as unknown as WriteRequest).oncomplete;
		const scope = this.#ending;
		this.#ending = null;
		if (complete !== null && scope !== null) scope.runInAsyncScope(complete, request, status);
	}
}

ownable(PlainHandle.prototype, (socket) => {
	if (onStreamRead !== null) express(socket as ExpressSocket);
});
Object.defineProperty(PlainHandle.prototype, "express", { value: true });
Object.defineProperty(PlainHandle.prototype, "onlyOutside", { value: false });
Object.defineProperty(PlainHandle.prototype, "outside", { value: false });

/** A handle that chunks can be handed over by. */
export interface Reader {
	/** Set by net.js. */
	onread: ((bytes: ArrayBufferLike | undefined) => unknown) | null;
	readonly owner: SocketInternals | null;
	/** Notes that so many bytes were read. */
	read(bytes: number): void;
}

/** Whose listener a chunk can go to at once; null if it must go by net.js. */
export function listenerOf(handle: Reader): ExpressSocket | null {
	const owner = handle.owner as ExpressSocket;
	return handle.onread === onStreamRead && flows(owner) ? owner : null;
}

/** Hands over a chunk, at most `available` bytes: to `listener`, or to net.js. Only where `plainHandlesWork`. */
export function handOver(handle: Reader, socket: StackSocket, available: number, listener: ExpressSocket | null, pooled: boolean): void {
	const chunk = nextChunk(socket, available, listener, pooled);
	const taken = chunk.length;
	if (taken === 0) return;
	handedOut(taken);
	handle.read(taken);
	if (listener !== null) return deliverNow(listener, chunk);
	// Net.js makes a view of so many bytes from there on: the ArrayBuffer may be longer.
	state[base!.kReadBytesOrError] = taken;
	state[base!.kArrayBufferOffset] = chunk.byteOffset;
	handle.onread!(chunk.buffer);
}

let checked: boolean | null = null;

/** Whether connections of this server may have plain handles. */
export function wantsPlainHandles(server: object): boolean {
	// HTTP/2 drives the stream from C++; its plain server is a net.Server of a class that is not exported.
	const stream = server instanceof tls.Server || server.constructor.name === "Http2Server";
	if (!plainHandlesWork() || stream) return false;
	if (onStreamRead !== null) tryFeed(server, () => feedProbe(probeHandle));
	return true;
}

/** Whether this Node keeps the contract; tried once. */
export function plainHandlesWork(): boolean {
	if (checked === null) {
		checked = false;
		try {
			base = internalBinding<StreamBase>("stream_wrap");
			state = base.streamBaseState;
			checked = state instanceof Int32Array && keepsContract(probeHandle);
			// Whoever is told so of a write by a plain handle understands it from any handle.
			if (checked) writeAtOnce(base);
		} catch {
			// No such binding, not permitted (--permission), or net.js stumbled: then JSStreams it is.
		}
		if (checked) {
			try {
				if (process.env[EXPRESS_VARIABLE] !== "0") tryExpress();
			} catch (error) {
				onStreamRead = null;
				debug("this Node's streams stumbled (%s): no express way", error);
			}
		}
	}
	return checked;
}

/** A handle over a connection that is made up, to try Node on. */
export function probeHandle(probe = new Probe()): PlainHandle {
	const handle = new PlainHandle(NOWHERE);
	handle.conduit.adopt(probe);
	return handle;
}

/** Takes the express way from now on, if the same reads and writes leave a socket as net.js's way leaves it. */
function tryExpress(): void {
	const lengths = [1, ON_HEAP + 1];
	const usual = outcomeOf(probeHandle, lengths, () => {});
	const ours = outcomeOf(probeHandle, lengths, (socket, onread) => {
		express(socket);
		onStreamRead = onread;
	});
	if (usual === ours) return;
	onStreamRead = null;
	debug("this Node's streams do more than hand on what comes (%s / %s): no express way", usual, ours);
}
