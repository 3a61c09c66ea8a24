/**
 * The handle of a `net.Socket` on the stack: Node's JSStream, driven by a conduit.
 *
 * Hides how Node's C++ streams are spoken to. JSStream calls `isClosing`, `onreadstart`, `onreadstop`, `onwrite` and
 * `onshutdown`, and is told by `readBuffer`, `emitEOF`, `finishWrite` and `finishShutdown`; http's parser, TLS and HTTP/2
 * attach to it in C++ as they do to a kernel socket. The rest is what net.js asks of a TCP handle. Everything is a method of
 * one prototype: a connection costs no closures.
 *
 * Writes of net.js go to the stack first. What it takes at once is done at once, as with a kernel socket; only the rest is a write of JSStream's, which
 * is over on a later tick. With that alone, of two writes the second would still lie in the socket's own buffer when the program destroys it in the
 * same turn, and be lost.
 *
 * Two things JSStream cannot do. It cannot report a read error, so the socket that owns the handle is destroyed with the error
 * that a failed read gives. And it hands over all of a buffer even if Node stops reading half-way, so with a buffer of the
 * user (the `onread` option) it is given no more than fits.
 *
 * Bytes on their way in are read into one buffer per thread and copied from there by JSStream.
 */
import { READ_SIZE } from "./chunks.ts";
import { type AddressOut, Conduit, type Sink, WRITTEN } from "./conduit.ts";
import { systemError } from "./errno.ts";
import { handedOut } from "./gc-room.ts";
import { JSStream, type Request, type SocketInternals, type StreamBase, userBufferOf } from "./internals.ts";
import { throwLater } from "./later.ts";
import { ownable } from "./ownership.ts";
import type { StackHost, StackSocket } from "./stack.ts";
import { TlsRecords } from "./tls-records.ts";
import { LATIN1_MOST, UCS2_MOST, UTF8_MOST, uncounted } from "./uncounted.ts";

/** By which net.js is told that a write is done; null: it is not known to bear that. */
let base: StreamBase | null = null;

/** Lets writes that the stack takes at once be done at once from now on. */
export function writeAtOnce(known: StreamBase): void {
	base = known;
}

/** What `writev` is given: buffers, or strings and buffers each followed by its encoding. */
export function buffersOf(chunks: unknown[], allBuffers: boolean): Uint8Array[] {
	if (allBuffers) return chunks as Uint8Array[];
	const buffers: Uint8Array[] = [];
	for (let i = 0; i < chunks.length; i += 2) {
		const chunk = chunks[i];
		buffers.push(typeof chunk === "string" ? Buffer.from(chunk, chunks[i + 1] as BufferEncoding) : (chunk as Uint8Array));
	}
	return buffers;
}

/** What a `TLSSocket` has beyond a socket: null until it is agreed, false if nothing was. */
interface Secured {
	alpnProtocol: string | false | null;
}

let scratch: Buffer | null = null;
let scratchBusy = false;

export class StackHandle extends JSStream implements Sink {
	readonly conduit: Conduit;
	declare readonly onStack: true;
	declare readonly equip: (socket: SocketInternals) => void;
	/** Set and read by net.js; TLS replaces it by an accessor of its own. */
	override reading = false;
	/** The socket; for TLS clients the `TLSSocket`. */
	owner: SocketInternals | null = null;
	/** The `TLSSocket` that was put around the owner: what goes wrong is for it to tell, as with a kernel socket. */
	wrapper: (Partial<Secured> & { destroy(error: Error): unknown }) | null = null;
	/** Something in C++ reads from here, or is about to: an HTTP/2 session, http's parser. */
	#consumed = false;
	/** Of TLS, a record is what the program hears of as one. */
	#records: TlsRecords | null = null;
	#userBuffer = false;
	/** Bytes of writes that failed at once and are not counted. */
	#refused = 0;
	/** The write that begins is not counted if it fails at once. */
	#uncounted = false;
	/** Bytes of writes, and of parts of them, that JSStream has not seen. */
	#atOnce = 0;

	/** @param conduit What an earlier handle of the same connection had. */
	constructor(host: StackHost, conduit?: Conduit) {
		super();
		this.conduit = conduit ?? new Conduit(host, this);
		this.conduit.sink = this;
	}

	// --- for C++

	isClosing(): boolean {
		this.#takePending();
		return this.conduit.isClosed;
	}
	onreadstart(): number {
		this.#takePending();
		return this.conduit.readStart();
	}
	onreadstop(): number {
		this.#takePending();
		return this.conduit.readStop();
	}
	onwrite(request: Request, chunks: Uint8Array[]): number {
		this.#takePending();
		const error = this.conduit.write(request, chunks);
		if (error !== 0 && this.#uncounted) for (const chunk of chunks) this.#refused += chunk.length;
		return error;
	}
	onshutdown(request: Request): number {
		this.#takePending();
		return this.conduit.shutdown(request);
	}

	/**
	 * What the program threw in a callback of C++'s does not stop that: it goes on, calls here, and V8 throws it again at the next call of C++, in
	 * the middle of the stack. So it is let out here.
	 */
	#takePending(): void {
		try {
			this.getAsyncId();
		} catch (error) {
			throwLater(error);
		}
	}

	// --- for net.js

	/** Asked for by who is about to read from here in C++. */
	get isStreamBase(): boolean {
		this.#consumed = true;
		return true;
	}
	override writeBuffer(request: Request | null, chunk: Uint8Array): unknown {
		return base === null ? super.writeBuffer(request, chunk) : this.#write(base, request, chunk, false);
	}
	override writev(request: Request | null, chunks: unknown[], allBuffers: boolean): unknown {
		return base === null ? super.writev(request, chunks, allBuffers) : this.#writeAll(base, request, buffersOf(chunks, allBuffers));
	}
	override writeUtf8String(request: Request | null, text: string): unknown {
		if (base !== null) return this.#write(base, request, Buffer.from(text, "utf8"), uncounted(text, UTF8_MOST));
		this.#uncounted = uncounted(text, UTF8_MOST);
		return this.#begun(super.writeUtf8String(request, text));
	}
	override writeLatin1String(request: Request | null, text: string): unknown {
		if (base !== null) return this.#write(base, request, Buffer.from(text, "latin1"), uncounted(text, LATIN1_MOST));
		this.#uncounted = uncounted(text, LATIN1_MOST);
		return this.#begun(super.writeLatin1String(request, text));
	}
	override writeAsciiString(request: Request | null, text: string): unknown {
		if (base !== null) return this.#write(base, request, Buffer.from(text, "latin1"), uncounted(text, LATIN1_MOST));
		this.#uncounted = uncounted(text, LATIN1_MOST);
		return this.#begun(super.writeAsciiString(request, text));
	}
	override writeUcs2String(request: Request | null, text: string): unknown {
		if (base !== null) return this.#write(base, request, Buffer.from(text, "utf16le"), uncounted(text, UCS2_MOST));
		this.#uncounted = uncounted(text, UCS2_MOST);
		return this.#begun(super.writeUcs2String(request, text));
	}
	#begun(result: unknown): unknown {
		this.#uncounted = false;
		return result;
	}
	#write(base: StreamBase, request: Request | null, chunk: Uint8Array, triedFirst: boolean): unknown {
		const result = this.conduit.offer(chunk);
		if (result === WRITTEN || result < 0) {
			if (result === WRITTEN || !triedFirst) this.#atOnce += chunk.length;
			return this.#doneAtOnce(base, chunk.length, result);
		}
		this.#atOnce += result;
		const begun = super.writeBuffer(request, result === 0 ? chunk : chunk.subarray(result));
		base.streamBaseState[base.kBytesWritten] = chunk.length;
		return begun;
	}

	#writeAll(base: StreamBase, request: Request | null, chunks: Uint8Array[]): unknown {
		let bytes = 0;
		for (const chunk of chunks) bytes += chunk.length;
		let taken = 0;
		for (let i = 0; i < chunks.length; i++) {
			const chunk = chunks[i]!;
			const result = this.conduit.offer(chunk);
			if (result === WRITTEN) {
				taken += chunk.length;
				continue;
			}
			if (result < 0) {
				this.#atOnce += bytes;
				return this.#doneAtOnce(base, bytes, result);
			}
			this.#atOnce += taken + result;
			const begun = super.writev(request, [chunk.subarray(result), ...chunks.slice(i + 1)], true);
			base.streamBaseState[base.kBytesWritten] = bytes;
			return begun;
		}
		this.#atOnce += bytes;
		return this.#doneAtOnce(base, bytes, WRITTEN);
	}

	#doneAtOnce(base: StreamBase, bytes: number, result: number): number {
		base.streamBaseState[base.kBytesWritten] = bytes;
		base.streamBaseState[base.kLastWriteWasAsync] = 0;
		return result === WRITTEN ? 0 : result;
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
	/** JSStream counts all that it offers. */
	override get bytesWritten(): number {
		return super.bytesWritten - this.#refused + this.#atOnce;
	}
	get writeQueueSize(): number {
		return this.conduit.waiting;
	}
	override useUserBuffer(buffer: Uint8Array): void {
		this.#userBuffer = true;
		super.useUserBuffer(buffer);
	}

	// --- for the conduit

	/** What TLS over this handle has agreed on (see `Secured`); undefined where there is none. */
	get #protocol(): string | false | null | undefined {
		return ((this.wrapper ?? this.owner) as Partial<Secured> | null)?.alpnProtocol;
	}

	/** Nobody but net.js reads from here, and that with buffers of its own. */
	protected get readByNet(): boolean {
		return !this.#consumed && !this.#userBuffer && this.#protocol === undefined;
	}

	/** Of TLS only where it carries HTTP/2, or may yet: the way around costs a turn of the event loop. */
	get onlyOutside(): boolean {
		const protocol = this.#protocol;
		return protocol === undefined ? this.#consumed : protocol === null || protocol === "h2";
	}
	get outside(): boolean {
		return this.#consumed || this.#protocol !== undefined;
	}

	deliver(socket: StackSocket, atOnce: boolean): void {
		let length = Math.min(socket.available, READ_SIZE);
		if (this.#userBuffer && this.owner !== null) length = Math.min(length, userBufferOf(this.owner)?.length || length);
		const protocol = this.#protocol;
		if (protocol !== undefined) this.#records ??= new TlsRecords();
		const records = this.#records;
		if (scratchBusy) {
			// TLS may call the program before it has taken all of the buffer, and the program may read elsewhere.
			const bytes = socket.read(length);
			if (bytes === null) return;
			records?.came(bytes, bytes.length);
			return this.readBuffer(bytes);
		}
		scratch ??= Buffer.allocUnsafeSlow(READ_SIZE);
		if (records !== null && atOnce) length = takeRecord(socket, records, scratch);
		else {
			length = socket.readInto(scratch, 0, length);
			records?.came(scratch, length);
		}
		// What net.js gets is a copy that JSStream makes.
		handedOut(length);
		scratchBusy = true;
		try {
			this.readBuffer(length === READ_SIZE ? scratch : scratch.subarray(0, length));
		} finally {
			scratchBusy = false;
		}
	}

	endOfFile(): void {
		this.emitEOF();
	}

	readFailed(errno: number): void {
		(this.wrapper ?? this.owner)?.destroy(systemError(errno, "read"));
	}

	writeDone(request: Request, status: number): void {
		this.finishWrite(request, status);
	}

	shutdownDone(request: Request, status: number): void {
		this.finishShutdown(request, status);
	}
}

/** Takes what there is of the record under way, and not more. Returns the bytes that were taken. */
function takeRecord(socket: StackSocket, records: TlsRecords, target: Uint8Array): number {
	const wasInside = records.inside;
	const length = socket.readInto(target, 0, Math.min(records.next, READ_SIZE));
	records.came(target, length);
	if (wasInside || !records.inside) return length;
	const rest = target.subarray(length);
	const more = socket.readInto(target, length, Math.min(records.next, rest.length));
	records.came(rest, more);
	return length + more;
}

ownable(StackHandle.prototype);
