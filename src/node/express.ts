/**
 * The express way between a plain handle and a program's listener: no detour where nothing would happen on it.
 *
 * Hides what net.js and the streams do with each chunk and each write of a socket, and when all of it comes down to calling the
 * program's listener or the write's callback. Then that is done at once: a short chunk needs no ArrayBuffer made for it (0.7 us, malloc and
 * free included), none needs a look whether more could be read; a write needs no request object, an end none in C++. In every other state (paused, piped to
 * several, an encoding set, read by iteration, connecting, no room) the chunk or write goes the way of net.js.
 *
 * The way is only taken on a Node whose own way was seen to come to the same: see `tryExpress` in plain-handle.ts.
 */
import net from "node:net";
import { type Request, type SocketInternals, userBufferOf } from "./internals.ts";

/** What is used of a readable stream's state; Node 22 and later have most of it as accessors. */
interface ReadableState {
	readonly flowing: boolean | null;
	readonly length: number;
	readonly sync: boolean;
	readonly decoder: unknown;
	readonly ended: boolean;
	readonly errored: unknown;
	readonly awaitDrainWriters: unknown;
	dataEmitted: boolean;
}

/** What is used of a socket. */
export interface ExpressSocket extends SocketInternals {
	readonly _readableState: ReadableState;
	readonly _events: { data?: unknown };
	/** Set by node:http on the connections that it parses. */
	readonly parser?: object | null;
	_unrefTimer(): void;
	_write: Write;
	_writev: Writev;
	/** What the two above call; wrapped by some who watch writes. */
	_writeGeneric: unknown;
	_final: Final;
}

type Done = (error?: Error | null) => void;
type Write = (this: ExpressSocket, data: string | Uint8Array, encoding: BufferEncoding, done: Done) => void;
type Writev = (this: ExpressSocket, chunks: Chunks, done: Done) => void;
type Final = (this: ExpressSocket, done: Done) => void;
type Chunks = { chunk: string | Uint8Array; encoding: BufferEncoding }[];

/** A handle that writes may go to. */
export interface ExpressHandle {
	readonly express: true;
	/** Takes what there is room for and says how much; below 0: none, for a reason that net.js shall hear. */
	writeNow(bytes: Uint8Array): number;
	/** Ends the own side; `request` hears when that is done. 0, or an error number. */
	shutdown(request: Request): number;
}

const prototype = net.Socket.prototype as unknown as ExpressSocket;
const { push, emit, _write: nodeWrite, _writev: nodeWritev, _writeGeneric: nodeWriteGeneric, _final: nodeFinal } = prototype;

/** Bytes of the buffer that texts are encoded in on their way to the stack, which copies them. */
const TEXT_SIZE = 16384;
/** UTF-16 units that take as many bytes at most, in any encoding of TEXTS. */
const TEXT_UNITS = Math.floor(TEXT_SIZE / 3);
const TEXTS: readonly string[] = ["utf8", "latin1"];
let text: Buffer | null = null;
/** The last piece of `text` that was used: answers are often as long as the one before. */
let piece: Buffer | null = null;

/** Whether a chunk would go straight to the listeners of "data". */
export function flows(socket: ExpressSocket): boolean {
	const state = socket._readableState;
	return (
		state.flowing === true &&
		state.length === 0 &&
		!state.sync &&
		!state.ended &&
		!state.errored &&
		!socket.destroyed &&
		(state.decoder === null || state.decoder === undefined) &&
		(state.awaitDrainWriters === null || state.awaitDrainWriters === undefined) &&
		socket._events.data !== undefined &&
		socket.push === push &&
		socket.emit === emit &&
		userBufferOf(socket) === null
	);
}

/** Hands a chunk to the listeners of "data". Only if it `flows`. */
export function deliverNow(socket: ExpressSocket, chunk: Buffer): void {
	socket._unrefTimer();
	socket._readableState.dataEmitted = true;
	socket.emit("data", chunk);
}

/**
 * Writes what the stack takes at once; what there is no room for goes by net.js, which waits. False if nothing can be written at all: net.js
 * makes the error, of what the program gave.
 */
function send(socket: ExpressSocket, data: string | Uint8Array, encoding: BufferEncoding, done: Done): boolean {
	const bytes = typeof data === "string" ? bytesOf(data, encoding) : data;
	const taken = (socket._handle as ExpressHandle).writeNow(bytes);
	if (taken < 0) return false;
	if (taken === bytes.length) {
		socket._unrefTimer();
		done();
		return true;
	}
	const rest = taken > 0 ? bytes.subarray(taken) : bytes;
	nodeWrite.call(socket, bytes === piece ? Buffer.from(rest) : rest, "buffer" as BufferEncoding, done);
	return true;
}

/** The bytes of a text; a short one's are good until the next call. */
function bytesOf(data: string, encoding: BufferEncoding): Uint8Array {
	if (data.length > TEXT_UNITS || !TEXTS.includes(encoding)) return Buffer.from(data, encoding);
	text ??= Buffer.allocUnsafeSlow(TEXT_SIZE);
	const length = encoding === "utf8" ? text.write(data) : text.write(data, encoding);
	if (piece === null || piece.length !== length) piece = text.subarray(0, length);
	return piece;
}

function mayExpress(socket: ExpressSocket): boolean {
	const handle = socket._handle as Partial<ExpressHandle> | null;
	return handle !== null && handle.express === true && !socket.connecting && socket._writeGeneric === nodeWriteGeneric;
}

const write: Write = function (data, encoding, done) {
	if (!mayExpress(this) || !send(this, data, encoding, done)) nodeWrite.call(this, data, encoding, done);
};

const writev: Writev = function (chunks, done) {
	const only = mayExpress(this) ? onlyChunk(chunks) : null;
	if (only === null || !send(this, only.chunk, only.encoding, done)) nodeWritev.call(this, chunks, done);
};

/** The one chunk that is not empty, or null if there are more: node:http ends most answers with an empty one, whose callback it wants. */
function onlyChunk(chunks: Chunks): Chunks[number] | null {
	let only = 0;
	for (let i = 1; i < chunks.length; i++) {
		if (chunks[i]!.chunk.length === 0) continue;
		if (chunks[only]!.chunk.length !== 0) return null;
		only = i;
	}
	return chunks[only]!;
}

/** A shutdown in flight: what net.js makes a ShutdownWrap for, an object in C++ that only a stream in C++ needs. The handle keeps its context. */
class Shutdown implements Request {
	readonly #done: Done;
	constructor(done: Done) {
		this.#done = done;
	}
	oncomplete(): void {
		this.#done();
	}
}

const final: Final = function (done) {
	// On an error nothing was begun: net.js shall meet it itself.
	if (!mayExpress(this) || (this._handle as ExpressHandle).shutdown(new Shutdown(done)) !== 0) nodeFinal.call(this, done);
};

/** Lets the writes of a socket take the express way, unless somebody has put methods of his own in its place. */
export function express(socket: ExpressSocket): void {
	if (socket._write !== nodeWrite || socket._writev !== nodeWritev || socket._final !== nodeFinal) return;
	socket._write = write;
	socket._writev = writev;
	socket._final = final;
}
