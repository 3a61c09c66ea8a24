/**
 * TCP as streams: the portable face, without anything of Node.
 *
 * `host.tcp.connect()` gives a stream, `host.tcp.listen()` an async iterable of streams. A stream has `readable` and
 * `writable` (web streams, made when they are first asked for) and, cheaper, `read()` and `write()` as promises. A stream
 * that nobody reads closes the peer's window.
 *
 * Cost: an idle stream is this object, its socket and its record; no web stream, promise or buffer exists until it is used.
 */
import { MillraceError } from "../errors.ts";
import { assertBytes, type ConnectionInfo, type SocketEvents, type TcpSocket } from "../socket/socket.ts";
import type { ConnectOptions, ListenOptions } from "./endpoint.ts";
import type { Host } from "./host.ts";
import type { TcpListener } from "./listening.ts";

/** Bytes that `write` gathers before it waits for room; and largest piece that `read` gives. */
const PIECE = 65536;

/** The answer to each write that is done at once: a promise that is settled keeps nothing of who waits for it. */
const DONE: Promise<void> = Promise.resolve();

/** Pieces of up to so many bytes may wait for each other; of bulk data, each is to be used before the next pushes it out of the caches. */
const QUIET_PIECE = 4096;

const ERROR_WORDS: Readonly<Record<string, string>> = {
	ECONNREFUSED: "the peer refused the connection",
	ECONNRESET: "the peer reset the connection",
	ETIMEDOUT: "the peer did not answer in time",
	EHOSTUNREACH: "the host cannot be reached",
	ENETUNREACH: "the network cannot be reached",
	ECONNABORTED: "the connection was given up on this side",
	EPIPE: "the stream is closed for writing",
};

function streamError(code: string): MillraceError {
	return new MillraceError(code, `${ERROR_WORDS[code] ?? "the connection failed"} (${code})`);
}

interface Waiter<T> {
	resolve(value: T): void;
	reject(error: Error): void;
}

/** One connection. */
export class TcpStream {
	/** The connection's event face. */
	socket!: TcpSocket;
	readonly #host: Host;
	#opening: Waiter<TcpStream> | null = null;
	/** Of the read that waits. */
	#resolveRead: ((bytes: Uint8Array | null) => void) | null = null;
	#rejectRead: ((error: Error) => void) | null = null;
	#readMax = PIECE;
	/** Of the write that waits for room. */
	#writer: Waiter<void> | null = null;
	/** A write has waited and is not over: also when `#writer` was told of room and has not gone on yet. */
	#writing = false;
	#ended = false;
	#finished = false;
	/** Undefined while the connection lives. */
	#error: string | null | undefined;
	#readable: ReadableStream<Uint8Array> | null = null;
	#writable: WritableStream<Uint8Array> | null = null;

	/** @internal */
	constructor(host: Host, opening: Waiter<TcpStream> | null) {
		this.#host = host;
		this.#opening = opening;
		host.ref();
	}

	/** Own address of the connection. */
	get localAddress(): string {
		return this.socket.localAddress;
	}
	/** Own port. */
	get localPort(): number {
		return this.socket.localPort;
	}
	/** The peer's address. */
	get remoteAddress(): string {
		return this.socket.remoteAddress;
	}
	/** The peer's port. */
	get remotePort(): number {
		return this.socket.remotePort;
	}

	/** Figures of the connection; null when it is gone. */
	info(): ConnectionInfo | null {
		return this.socket.info();
	}

	/**
	 * The next bytes, a fresh array of at most `max`; null after the peer's FIN. One read at a time.
	 *
	 * @throws {MillraceError} ECONNRESET, ETIMEDOUT, ..., EINVAL for a `max` below 1 (as a rejection).
	 */
	read(max: number = PIECE): Promise<Uint8Array | null> {
		if (!(max >= 1)) return Promise.reject(new MillraceError("EINVAL", `read of at most ${max} bytes: give 1 or more`));
		if (this.#resolveRead !== null) return Promise.reject(new MillraceError("MILLRACE_BUSY", "a read is under way already; wait for it"));
		const bytes = this.socket.read(max);
		if (bytes !== null) return Promise.resolve(bytes);
		if (this.#ended || this.#error === null) return Promise.resolve(null);
		if (this.#error !== undefined) return Promise.reject(streamError(this.#error));
		return new Promise((resolve, reject) => {
			this.#readMax = max;
			this.#resolveRead = resolve;
			this.#rejectRead = reject;
		});
	}

	/**
	 * Writes all bytes; settles when the last is in the send segment. One write at a time.
	 *
	 * @throws {MillraceError} EPIPE after `finish`, ECONNRESET, ETIMEDOUT, ..., EINVAL for what is no array of bytes (as a rejection).
	 */
	write(bytes: Uint8Array): Promise<void> {
		let sent = 0;
		try {
			if (!this.#writing && this.#error === undefined && !this.#finished) {
				sent = this.socket.write(bytes);
				if (sent === bytes.length) return DONE;
			}
		} catch (error) {
			// What is no array of bytes is told like all else.
			return Promise.reject(error);
		}
		return this.#writeRest(bytes, sent);
	}

	/** What `write` could not do at once. */
	async #writeRest(bytes: Uint8Array, already: number): Promise<void> {
		assertBytes(bytes, already, 0);
		const total = bytes.length;
		if (this.#writing) throw new MillraceError("MILLRACE_BUSY", "a write is under way already; wait for it");
		if (this.#finished && this.#error === undefined && bytes.length > 0) throw streamError("EPIPE");
		this.#writing = true;
		try {
			let sent = already;
			while (sent < total) {
				if (bytes.length !== total) {
					// What is gone cannot be sent: an end behind the rest would make the peer believe that it has all.
					this.socket.abort();
					throw new MillraceError(
						"EINVAL",
						`the array of a write under way was ${total} bytes long and is ${bytes.length} now. Give one that stays as it is until the write is done`,
					);
				}
				if (this.#error !== undefined) throw streamError(this.#error ?? "EPIPE");
				sent += this.socket.write(bytes, sent);
				if (sent < total) {
					await new Promise<void>((resolve, reject) => {
						this.#writer = { resolve, reject };
					});
				}
			}
			if (this.#finished) this.socket.finish();
		} finally {
			this.#writing = false;
		}
		if (total === 0 && this.#error !== undefined) throw streamError(this.#error ?? "EPIPE");
	}

	/** Sends a FIN after what was written, that of a write under way included. */
	finish(): void {
		this.#finished = true;
		if (!this.#writing) this.socket.finish();
	}

	/** Closes both ways: what was written is still delivered. */
	close(): void {
		if (this.#error !== undefined) return;
		this.socket.close();
		this.#gone(null);
	}

	/** Resets the connection. */
	abort(): void {
		if (this.#error !== undefined) return;
		this.socket.abort();
		this.#gone("ECONNABORTED");
	}

	/** Turns Nagle's algorithm off (true) or on; on by default. */
	setNoDelay(on: boolean): void {
		this.socket.setNoDelay(on);
	}
	/** Probes an idle peer: `TcpSocket.setKeepAlive` says what the figures are. */
	setKeepAlive(on: boolean, idleSeconds?: number, intervalSeconds?: number, probes?: number): void {
		this.socket.setKeepAlive(on, idleSeconds, intervalSeconds, probes);
	}

	/** The incoming bytes as a web stream. */
	get readable(): ReadableStream<Uint8Array> {
		this.#readable ??= new ReadableStream<Uint8Array>(
			{
				pull: async (controller) => {
					const bytes = await this.read();
					if (bytes === null) controller.close();
					else controller.enqueue(bytes);
				},
				cancel: () => this.close(),
			},
			{ highWaterMark: 0 },
		);
		return this.#readable;
	}

	/** The outgoing bytes as a web stream; closing it sends the FIN, aborting it resets. */
	get writable(): WritableStream<Uint8Array> {
		this.#writable ??= new WritableStream<Uint8Array>({
			write: (bytes) => this.write(bytes),
			close: () => this.finish(),
			abort: () => this.abort(),
		});
		return this.#writable;
	}

	/** The incoming bytes, piece by piece; leaving the loop early closes the stream. */
	async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
		let over = false;
		try {
			for (let bytes = await this.read(); bytes !== null; bytes = await this.read()) yield bytes;
			over = true;
		} finally {
			// Not by `#ended`: the FIN may come while the loop's body runs.
			if (!over) this.close();
		}
	}

	/** @internal What the socket calls; a class of its own, since `readable` and `writable` are taken by the web streams. */
	static readonly Events: new (stream: TcpStream) => SocketEvents = class implements SocketEvents {
		readonly #stream: TcpStream;
		constructor(stream: TcpStream) {
			this.#stream = stream;
		}
		connected() {
			this.#stream.#opening?.resolve(this.#stream);
			this.#stream.#opening = null;
		}
		readable() {
			const stream = this.#stream;
			const resolve = stream.#resolveRead;
			if (resolve === null) return;
			const bytes = stream.socket.read(stream.#readMax);
			if (bytes === null) return;
			stream.#resolveRead = null;
			stream.socket.quiet = bytes.length <= QUIET_PIECE;
			resolve(bytes);
		}
		writable() {
			const writer = this.#stream.#writer;
			this.#stream.#writer = null;
			writer?.resolve();
		}
		ended() {
			this.#stream.#ended = true;
			this.#stream.#resolveRead?.(null);
			this.#stream.#resolveRead = null;
		}
		closed(error: string | null) {
			this.#stream.#gone(error);
		}
	};

	#gone(error: string | null): void {
		if (this.#error !== undefined) return;
		this.#error = error;
		this.#host.unref();
		const failure = error === null ? null : streamError(error);
		this.#opening?.reject(failure ?? streamError("ECONNABORTED"));
		if (this.#resolveRead !== null) {
			if (failure === null) this.#resolveRead(null);
			else this.#rejectRead!(failure);
		}
		this.#writer?.reject(failure ?? streamError("EPIPE"));
		this.#opening = null;
		this.#resolveRead = null;
		this.#writer = null;
	}
}

/** A listener: `for await (const stream of server)`. */
export class TcpServer implements AsyncIterable<TcpStream> {
	readonly #host: Host;
	readonly #listener: TcpListener;
	readonly #waiting: TcpStream[] = [];
	/** Those who wait for a stream, first come first served. */
	readonly #takers: ((result: IteratorResult<TcpStream, undefined>) => void)[] = [];
	#closed = false;

	/** @internal */
	constructor(host: Host, options: ListenOptions) {
		this.#host = host;
		this.#listener = host.tcpListen(options);
		this.#listener.onconnection = (socket) => {
			if (this.#waiting.length >= this.#listener.backlog) {
				socket.abort();
				return;
			}
			const stream = new TcpStream(host, null);
			stream.socket = socket;
			socket.events = new TcpStream.Events(stream);
			socket.quiet = true;
			const taker = this.#takers.shift();
			if (taker !== undefined) taker({ done: false, value: stream });
			else this.#waiting.push(stream);
		};
		// No more come in a turn than the backlog has room for, so a loop that takes them need not be let run between them.
		this.#listener.makeQuiet();
		this.#listener.onclose = () => this.close();
		host.ref();
	}

	/** As it was asked for; "0.0.0.0" for any. */
	get address(): string {
		return this.#listener.address;
	}
	/** The port, which matters when 0 was asked for. */
	get port(): number {
		return this.#listener.port;
	}

	[Symbol.asyncIterator](): AsyncIterator<TcpStream, undefined> {
		return {
			next: () => {
				const stream = this.#waiting.shift();
				if (stream !== undefined) return Promise.resolve({ done: false as const, value: stream });
				if (this.#closed) return Promise.resolve({ done: true as const, value: undefined });
				return new Promise((resolve) => this.#takers.push(resolve));
			},
			return: () => {
				this.close();
				return Promise.resolve({ done: true as const, value: undefined });
			},
		};
	}

	/** Stops listening and ends the iteration; connections that nobody took are reset. */
	close(): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#listener.close();
		this.#host.unref();
		for (const stream of this.#waiting.splice(0)) stream.abort();
		for (const taker of this.#takers.splice(0)) taker({ done: true, value: undefined });
	}
}

/** Who gives a listener, as to `net`, would wait for it in vain. @throws {MillraceError} MILLRACE_BAD_OPTION */
function refuseMore(more: readonly unknown[], instead: string): void {
	if (more.length > 0) throw new MillraceError("MILLRACE_BAD_OPTION", `host.tcp takes options and nothing else; ${instead}`);
}

/** `host.tcp`. */
export class TcpFace {
	readonly #host: Host;

	/** @internal */
	constructor(host: Host) {
		this.#host = host;
	}

	/**
	 * Connects.
	 *
	 * @throws {MillraceError} ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN, EADDRNOTAVAIL ... (as a rejection)
	 */
	connect(options: ConnectOptions, ...more: never[]): Promise<TcpStream> {
		return new Promise((resolve, reject) => {
			refuseMore(more, "connect gives a promise of the stream: await host.tcp.connect(options)");
			const stream = new TcpStream(this.#host, { resolve, reject });
			try {
				stream.socket = this.#host.tcpConnect(options, new TcpStream.Events(stream));
				stream.socket.quiet = true;
			} catch (error) {
				this.#host.unref();
				reject(error as Error);
			}
		});
	}

	/**
	 * Listens.
	 *
	 * @example
	 * for await (const stream of host.tcp.listen({ port: 7 })) stream.readable.pipeTo(stream.writable).catch(() => {});
	 * @throws {MillraceError} EADDRINUSE, EADDRNOTAVAIL
	 */
	listen(options: ListenOptions, ...more: never[]): TcpServer {
		refuseMore(more, "listen gives an iterable of streams: for await (const stream of host.tcp.listen(options))");
		return new TcpServer(this.#host, options);
	}
}
