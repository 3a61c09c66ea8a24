/**
 * How the bytes of a plain handle reach node:http's parser: past the socket, as a kernel socket's bytes do.
 *
 * Hides what http's server makes of a kernel socket. Its parser "consumes" the stream in C++: bytes go from a buffer that all sockets share
 * into the parser, and a function that http gave the parser (`kOnExecute`) hears how that went; no chunk is made, no `data` emitted. A
 * handle in JavaScript cannot be consumed, so http listens for `data`, and each request costs a Buffer that nobody but the parser looks
 * at: on Node 26, where C++ cannot look into a short one without giving it memory of its own, 0.4 us, and more when the collector
 * finds it. So while http's own listener is the only one, the shared buffer and the two calls are here instead.
 *
 * The parser has copied what it keeps when it returns. Where http wants bytes that are not for the parser (an upgrade, an error), it
 * asks the parser for them, which answers with a copy. All that was seen to hold, on this Node, for a server that is made up: `tryFeed`.
 */
import { channel } from "node:diagnostics_channel";
import { EventEmitter } from "node:events";
import type http from "node:http";
import { createRequire } from "node:module";
import { debuglog } from "node:util";
import type { ExpressSocket } from "./express.ts";
import type { StackSocket } from "./stack.ts";

/** What is used of http's parser in C++. */
export interface HttpParser {
	readonly incoming: { readonly upgrade?: unknown } | null;
	/** How many bytes were HTTP, or the error that a parser gives back. */
	execute(bytes: Uint8Array): unknown;
	/** What is being parsed. */
	getCurrentBuffer?: () => Uint8Array;
	readonly [callback: number]: unknown;
}

/** What keeps a socket's bytes from its parser: a handle, which remembers what was seen. */
export interface Feeder {
	/** The listener of "data" that was seen to be http's own. */
	httpListener: unknown;
}

const debug = debuglog("millrace");
/** Set to "0": http's parser gets chunks from its listener of "data". */
const FEED_VARIABLE = "MILLRACE_HTTP_FEED";
/** Bytes given to a parser at a time, at most. */
export const FEED_SIZE = 65536;
/** Name of http's listener, bound to its connection. */
const LISTENER = "bound socketOnData";

/** Under which a parser has the function that hears of what was parsed; -1: nothing is fed. */
let onExecute = -1;
let tried = false;
let shared: Buffer | null = null;
/** The last piece of `shared` that was used: requests are often as long as the one before. */
let piece: Buffer | null = null;
let busy = false;

/** The parser that a socket's bytes may be fed to, or null. Only if the socket `flows`. */
export function parserOf(feeder: Feeder, socket: ExpressSocket): HttpParser | null {
	const parser = socket.parser as HttpParser | null | undefined;
	if (!parser || onExecute < 0 || busy) return null;
	const listener = socket._events.data;
	if (listener === feeder.httpListener) return parser;
	// What the parser calls may be anybody's: it is called for kernel sockets, whatever it is.
	if (typeof listener !== "function" || listener.name !== LISTENER || typeof parser[onExecute] !== "function") return null;
	feeder.httpListener = listener;
	return parser;
}

/** Takes up to `length` bytes, at most FEED_SIZE, into the buffer that all parsers share; they are good until the next call. */
export function takeForParser(source: StackSocket, length: number): Uint8Array {
	shared ??= Buffer.allocUnsafeSlow(FEED_SIZE);
	if (piece === null || piece.length !== length) piece = shared.subarray(0, length);
	const taken = source.readInto(piece, 0, length);
	return taken === length ? piece : piece.subarray(0, taken);
}

/** Lets the parser have what `takeForParser` took. */
export function feed(parser: HttpParser, bytes: Uint8Array): void {
	busy = true;
	try {
		const result = parser.execute(bytes);
		const done = parser[onExecute];
		// Http has taken it away when the connection is not its own any more.
		if (typeof done !== "function") return;
		if (typeof result === "number" && !parser.incoming?.upgrade) done.call(parser, result);
		else keeping(parser, bytes, done as (result: unknown) => void, result);
	} finally {
		busy = false;
	}
}

/** As the parser of a kernel socket, which has the bytes at hand until http's function returns. */
function keeping(parser: HttpParser, bytes: Uint8Array, done: (result: unknown) => void, result: unknown): void {
	parser.getCurrentBuffer = () => Buffer.from(bytes);
	try {
		done.call(parser, result);
	} finally {
		delete parser.getCurrentBuffer;
	}
}

/** A socket over a connection that is made up. */
export interface FeedProbe {
	socket: ExpressSocket;
	/** Lets bytes come from the peer. */
	say(text: string): void;
	/** What was answered. */
	heard(): string;
}

/**
 * Feeds the parsers of this Node from now on, if a server is left the same by both ways. Does nothing but once, and only for a server of http.
 *
 * @param make Makes a socket that takes the express way.
 */
export function tryFeed(server: object, make: () => FeedProbe): void {
	if (tried || !("headersTimeout" in server) || process.env[FEED_VARIABLE] === "0") return;
	// Whoever watches requests shall not see those that are made up. The next server may try.
	if (CHANNELS.some((name) => channel(name).hasSubscribers)) return;
	tried = true;
	try {
		const { Server } = createRequire(import.meta.url)("node:http") as typeof http;
		const chunked = converse(Server, make);
		const parser = chunked.parser as { constructor: { kOnExecute?: unknown } } | null;
		onExecute = typeof parser?.constructor.kOnExecute === "number" ? parser.constructor.kOnExecute : -1;
		const fed = onExecute < 0 ? null : converse(Server, make);
		if (fed !== null && fed.log === chunked.log && fed.fed) return;
		debug("this Node's http does more than feed its parser (%s / %s): it gets chunks", chunked.log, fed?.log);
	} catch (error) {
		debug("this Node's http stumbled (%s): it gets chunks", error);
	}
	onExecute = -1;
}

const CHANNELS = ["http.server.request.start", "http.server.response.created", "http.server.response.finish"];

/** What clients say, piece by piece: a body and a second request, an upgrade, something that is not HTTP. */
const CONVERSATIONS: readonly (readonly string[])[] = [
	["GET /a HTTP/1.1\r\nHost: x\r\n\r\n"],
	["POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nbody", "BODYGET /c HT", "TP/1.1\r\nHost: x\r\nA: b\r\n\r\n"],
	["GET /d HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: y\r\n\r\nhead", "more"],
	["CONNECT z:1 HTTP/1.1\r\nHost: x\r\n\r\nhead"],
	["GET /e HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n"],
];

/** A `PerformanceObserver` of http does not hear of this answer: what it would be told when that is finished is taken off. */
function unobserve(response: http.ServerResponse): void {
	const told = response as unknown as Record<symbol, { type?: unknown } | undefined>;
	for (const key of Object.getOwnPropertySymbols(response)) if (told[key]?.type === "http") told[key] = undefined;
}

/** What a server sees of these conversations. */
function converse(Server: typeof http.Server, make: () => FeedProbe): { log: string; parser: object | null; fed: boolean } {
	const log: unknown[] = [];
	const messages: http.IncomingMessage[] = [];
	const kept: Uint8Array[] = [];
	const bodies: unknown[] = [];
	let first: object | null = null;
	let fed = true;
	const server = new Server();
	// Not what somebody may have made of it to watch requests.
	server.emit = EventEmitter.prototype.emit;
	server.on("request", (request, response) => {
		messages.push(request.on("error", () => {}));
		log.push(request.method, request.url, JSON.stringify(request.rawHeaders));
		response.sendDate = false;
		unobserve(response);
		response.end("answer");
	});
	server.on("clientError", (error: NodeJS.ErrnoException & { bytesParsed?: number; rawPacket?: Buffer }) => {
		log.push(error.code, error.bytesParsed);
		if (error.rawPacket !== undefined) kept.push(error.rawPacket);
	});
	const switched = (request: http.IncomingMessage, _socket: unknown, head: Buffer): void => {
		log.push(request.method, request.url, _socket === probe.socket);
		kept.push(head);
	};
	server.on("upgrade", switched);
	server.on("connect", switched);
	let probe!: FeedProbe;
	for (const pieces of CONVERSATIONS) {
		probe = make();
		server.emit("connection", probe.socket);
		first ??= probe.socket.parser ?? null;
		const listener = probe.socket._events.data;
		for (const text of pieces) {
			probe.say(text);
			const { socket } = probe;
			log.push(messages.at(-1)?.complete, probe.heard(), socket.bytesRead, socket.bytesWritten, socket.destroyed, socket.parser === null);
		}
		const feeder = probe.socket._handle as Feeder | null;
		fed &&= feeder !== null && feeder.httpListener === listener;
		bodies.push(...messages.splice(0).map((message) => message.read()));
		probe.socket.destroy();
	}
	// Last of all: by now the buffer that they were in has been used for others.
	for (const bytes of kept) log.push(Buffer.from(bytes).toString("latin1"));
	for (const body of bodies) log.push(String(body));
	return { log: log.join("|"), parser: first, fed };
}
