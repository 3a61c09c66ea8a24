/**
 * The pieces of Node that its public modules do not export, fetched through public doors.
 *
 * Hides how they are reached. `process.binding` is deprecated and refused under `--permission`; then the constructors are taken
 * from objects that Node made: a TLS socket over a Duplex wraps it in a JSStream, and a connecting `net.Socket` has a
 * TCP handle before any system call was made. Symbols are found by their description. All of it holds on Node 20 to 26, and
 * `checkInternals` says clearly when it does not.
 */
import net from "node:net";
import { PassThrough } from "node:stream";
import tls from "node:tls";
import { MillraceError } from "../errors.ts";
import { internalBinding } from "./undeprecated.ts";

/** A request that Node gives to a handle and wants back: of a write, a shutdown or a connect. */
export interface Request {
	oncomplete?: (status: number, handle: unknown, request: Request, readable: boolean, writable: boolean) => void;
}

/** Node's stream in C++ whose transport is JavaScript; see handle.ts for how it is driven. */
export interface JSStream {
	/** Set by net.js: whether it thinks that the handle reads. */
	reading: boolean;
	/** Set by net.js: what hears of a read. */
	onread: ((bytes: ArrayBufferLike | undefined) => unknown) | null;
	readonly bytesRead: number;
	readonly bytesWritten: number;
	writeBuffer(request: Request | null, chunk: Uint8Array): unknown;
	writev(request: Request | null, chunks: unknown[], allBuffers: boolean): unknown;
	writeUtf8String(request: Request | null, text: string): unknown;
	writeLatin1String(request: Request | null, text: string): unknown;
	writeAsciiString(request: Request | null, text: string): unknown;
	writeUcs2String(request: Request | null, text: string): unknown;
	readBuffer(bytes: Uint8Array): void;
	emitEOF(): void;
	finishWrite(request: Request, status: number): void;
	finishShutdown(request: Request, status: number): void;
	useUserBuffer(buffer: Uint8Array): void;
	getAsyncId(): number;
}

/** The array by which handles and net.js tell each other how a read or write went, and what is where in it. */
export interface StreamBase {
	streamBaseState: Int32Array;
	kReadBytesOrError: number;
	kArrayBufferOffset: number;
	kBytesWritten: number;
	kLastWriteWasAsync: number;
	/** Only where a write returns its request. */
	kLastWriteErr?: number;
}

/** The kernel's TCP handle, as far as it is used here. */
export interface TCPHandle {
	bind(address: string, port: number): number;
	bind6(address: string, port: number, flags: number): number;
	connect(request: Request, address: string, port: number): number;
	connect6(request: Request, address: string, port: number): number;
	close(callback?: () => void): void;
	ref(): void;
	unref(): void;
	hasRef(): boolean;
}

/** What is used of a `net.Socket` that its type does not tell. */
export interface SocketInternals extends net.Socket {
	_handle: object | null;
	_reset(): void;
	ssl?: unknown;
}

function theJSStream(): new () => JSStream {
	try {
		// Without making a socket of a class that the program may never use: each class more is one more shape in V8's caches for all sockets.
		const { JSStream } = internalBinding<{ JSStream?: new () => JSStream }>("js_stream");
		if (typeof JSStream === "function") return JSStream;
	} catch {
		// No such binding, or not permitted (--permission).
	}
	return throughTls().constructor as new () => JSStream;
}

function throughTls(): object {
	const socket = new tls.TLSSocket(new PassThrough()) as unknown as {
		_handle: { _parent: object };
		destroy(): void;
		on(event: string, f: () => void): void;
	};
	const stream = socket._handle._parent;
	socket.on("error", () => {});
	socket.destroy();
	return stream;
}

function throughConnect(): object {
	const socket = new net.Socket() as SocketInternals;
	socket.on("error", () => {});
	// Connecting to an address begins on the next tick, so destroying it now means that nothing was done.
	socket.connect({ host: "127.0.0.1", port: 1 });
	const handle = socket._handle as object;
	socket.destroy();
	return handle;
}

/** The class of TCP handles, and something that a socket owns as it owns a handle. */
function theTCP(): { TCP: new (type: number) => TCPHandle; owned: object } {
	try {
		// Without a handle of the event loop's, which a program that looks for such things at its start would see close.
		const { TCP } = internalBinding<{ TCP?: new (type: number) => TCPHandle }>("tcp_wrap");
		const owned = {};
		new net.Socket({ handle: owned, manualStart: true } as net.SocketConstructorOpts);
		if (typeof TCP === "function" && Object.getOwnPropertySymbols(owned).length > 0) return { TCP, owned };
	} catch {
		// As above.
	}
	const handle = throughConnect();
	return { TCP: handle.constructor as new (type: number) => TCPHandle, owned: handle };
}

function symbolOf(object: object, description: string): symbol {
	const found = Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === description);
	if (found === undefined) {
		throw new MillraceError("MILLRACE_NODE_INTERNALS", `this Node (${process.version}) has no ${description}; use Node 20, 22, 24 or 26`);
	}
	return found;
}

export const JSStream = theJSStream();
const { TCP: TCPClass, owned } = theTCP();
export const TCP = TCPClass;
/** Types of a TCP handle, as `TCP` takes them. */
export const TCP_SOCKET = 0;
export const TCP_SERVER = 1;

/** Under which a handle knows its socket or server. */
export const ownerSymbol = symbolOf(owned, "owner_symbol");
/** Name of the method that gives a socket another handle; `tls.TLSSocket` has one of its own. */
export const reinitializeSymbol = symbolOf(net.Socket.prototype, "kReinitializeHandle");

/** Gives a socket that does not yet have a connection another handle, and closes the one it has. */
export function reinitialize(socket: SocketInternals, handle: object): void {
	const prototype = (socket instanceof tls.TLSSocket ? tls.TLSSocket.prototype : net.Socket.prototype) as unknown as Record<
		symbol,
		unknown
	>;
	(prototype[reinitializeSymbol] as (this: unknown, handle: object) => void).call(socket, handle);
	(handle as Record<symbol, unknown>)[ownerSymbol] = socket;
	// Closing the old handle of a TLS socket takes `ssl` away after the new one was put there.
	if (socket instanceof tls.TLSSocket) (socket as SocketInternals).ssl = (socket as SocketInternals)._handle;
}

let bufferSymbol: symbol | undefined;

/** The buffer that the user of a socket wants its bytes in (the `onread` option), or null. */
export function userBufferOf(socket: object): Uint8Array | null {
	bufferSymbol ??= symbolOf(socket, "kBuffer");
	const buffer = (socket as Record<symbol, unknown>)[bufferSymbol];
	return buffer instanceof Uint8Array ? buffer : null;
}
