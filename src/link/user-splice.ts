/**
 * A splice: one connection of the stack and one of the kernel, joined so that each end sees the other's behaviour.
 *
 * Hides the differences between the two faces. Bytes pass in both directions with back pressure: neither side is read while
 * the other cannot take more, so what waits here is at most one chunk of the kernel's (64 KiB) and one read of the stack's.
 * An end of stream passes as an end of stream (the other direction goes on), a reset as a reset, behind what came from the kernel
 * before it: on a network it would have come in that order. It does not wait for ever behind a window that stays shut, where a network loses what is left.
 *
 * The kernel's socket is unreferenced: the program's own sockets decide how long the process lives, and writes that are under
 * way keep the event loop alive by themselves.
 */
import type { SocketEvents, TcpSocket } from "../socket/socket.ts";
import { setTimeout } from "../sys/timers.ts";
import type { KernelSocket } from "./user-kernel.ts";

/** Bytes that one read takes from the stack. */
const CHUNK = 65536;
/** Milliseconds of silence after which the peer outside is asked whether it is there: what programs that set this choose, and rare enough to cost nothing. */
const KEEP_ALIVE = 60_000;
/**
 * Milliseconds between looks whether all has left that came before a reset: nothing tells when it has. The first one is soon: the stack sends in the turn
 * that is under way, and whoever uses a connection again had better know that it is gone.
 */
const DRAINED_LOOK = 20;
const FIRST_LOOK = 1;
/** Looks for which a reset waits for a program that does not read, a second: to the kernel's own readers it comes at once, and fails what they write. */
const SHUT_LOOKS = 50;

/** What a splice tells its owner. */
export interface SpliceOwner {
	/** Bytes that came from the stack, or went into it. */
	bytesOut: number;
	bytesIn: number;
	/** Called once, when both connections are done with. */
	spliceClosed(splice: Splice): void;
}

export class Splice implements SocketEvents {
	readonly #owner: SpliceOwner;
	readonly #outer: KernelSocket;
	#inner: TcpSocket | null = null;
	/** A chunk of the kernel's that the stack has not taken in full, and how far it has. */
	#rest: Uint8Array | null = null;
	#taken = 0;
	/** The kernel's socket takes no more for now. */
	#blocked = false;
	#outerEnded = false;
	#innerEnded = false;
	#closed = false;
	/** The kernel's side was reset; the stack's will be when what came before has left. */
	#cut = false;
	/** Looks in a row that found the stack's peer taking nothing, and the bytes that waited at the first. */
	#shut = 0;
	#shutAt = 0;

	/** @param outer The kernel's socket, with `allowHalfOpen`; it is left paused until the stack's side stands. */
	constructor(owner: SpliceOwner, outer: KernelSocket) {
		this.#owner = owner;
		this.#outer = outer;
		outer.pause();
		outer.setNoDelay(true);
		// Probes of the near side end at this stack: only the kernel can tell that a peer outside has vanished without a word.
		outer.setKeepAlive(true, KEEP_ALIVE);
		outer.unref();
		outer.on("data", (chunk: Uint8Array) => this.#offer(chunk));
		outer.on("end", () => {
			this.#outerEnded = true;
			if (this.#rest === null) this.#inner?.finish();
		});
		outer.on("drain", () => {
			this.#blocked = false;
			this.#pump();
		});
		outer.on("error", () => this.#cutOff());
		outer.on("close", () => this.#outerClosed());
	}

	/** Joins the stack's side; to be called before its first event. */
	join(inner: TcpSocket): void {
		this.#inner = inner;
		inner.setNoDelay(true);
	}

	/**
	 * Bytes of the kernel's in a buffer that serves the next read, too: what the stack does not take is copied.
	 *
	 * @returns False: read no more for now.
	 */
	received(buffer: Uint8Array, length: number): boolean {
		this.#offer(buffer.subarray(0, length));
		if (this.#rest === null) return true;
		this.#rest = this.#rest.slice(this.#taken);
		this.#taken = 0;
		return false;
	}

	/** The stack's side stands: bytes may flow. */
	connected(): void {
		if (!this.#closed) this.#outer.resume();
	}

	readable(): void {
		this.#pump();
	}

	ended(): void {
		this.#innerEnded = true;
		this.#outer.end();
	}

	writable(): void {
		const rest = this.#rest;
		if (rest === null) return;
		this.#rest = null;
		this.#offer(rest, this.#taken);
		if (this.#rest !== null || this.#cut) return;
		if (this.#closed) this.#leave();
		else if (this.#outerEnded) this.#inner?.finish();
		else this.#outer.resume();
	}

	/** The stack's side is done with; an error means that its peer reset it, refused it or was not to be found. */
	closed(error: string | null): void {
		this.#inner = null;
		if (this.#closed) {
			if (this.#cut) this.#owner.spliceClosed(this);
			return;
		}
		if (error !== null) this.#outer.resetAndDestroy();
		else if (!this.#innerEnded) this.#outer.destroy();
	}

	/** The kernel's side does not stand yet. */
	get connecting(): boolean {
		return this.#outer.connecting;
	}

	/** Ends both sides at once, with a reset. */
	abort(): void {
		this.#reset();
		// A socket that is connecting would be reset only when it has connected, which may take minutes.
		if (this.connecting) this.#outer.destroy();
		else this.#outer.resetAndDestroy();
	}

	/**
	 * Goes on where the kernel has taken all that it was given, without waiting to be told so. Returns the bytes that it can still be given; what
	 * it did not take at once is Node's, which gives it only while the event loop turns.
	 */
	push(): number {
		if (this.#outer.writableLength > 0) return 0;
		if (this.#blocked) {
			this.#blocked = false;
			this.#pump();
		}
		return this.#outer.writableLength > 0 ? 0 : (this.#inner?.available ?? 0);
	}

	/** Hands a chunk to the stack; what it does not take waits, and the kernel's side with it. */
	#offer(chunk: Uint8Array, from = 0): void {
		const inner = this.#inner;
		if (inner === null) return;
		const taken = inner.write(chunk, from);
		this.#owner.bytesIn += taken;
		if (from + taken === chunk.length) return;
		this.#rest = chunk;
		this.#taken = from + taken;
		this.#outer.pause();
	}

	/** Moves what the stack has to the kernel, until one of them has had enough. */
	#pump(): void {
		const inner = this.#inner;
		while (inner !== null && !this.#blocked && !this.#closed) {
			const bytes = inner.take() ?? copy(inner);
			if (bytes === null) return;
			this.#owner.bytesOut += bytes.length;
			this.#blocked = !this.#outer.write(bytes);
		}
	}

	/** Resets the stack's side behind what waits for its peer, but not for ever behind a window that its program leaves shut. */
	#cutOff(again = false): void {
		const inner = this.#inner;
		if (inner === null) return;
		const { sendQueue, inFlight, sendWindow, mss } = inner.info() ?? { sendQueue: 0, inFlight: 0, sendWindow: 0, mss: 0 };
		// What is on its way is ahead of a reset: its ACK may come late, and is not waited for.
		const waiting = sendQueue - inFlight + (this.#rest === null ? 0 : this.#rest.length - this.#taken);
		// Probes of the window carry a byte each.
		const open = sendWindow >= mss || waiting <= this.#shutAt - mss;
		if (this.#shut === 0 || open) this.#shutAt = waiting;
		this.#shut = open ? 0 : this.#shut + 1;
		this.#cut = this.#shut < SHUT_LOOKS && waiting > 0;
		if (this.#cut) {
			setTimeout(() => this.#cutOff(true), again ? DRAINED_LOOK : FIRST_LOOK).unref();
			return;
		}
		this.#reset();
		if (this.#closed) this.#owner.spliceClosed(this);
	}

	#reset(): void {
		const inner = this.#inner;
		this.#inner = null;
		inner?.abort();
	}

	#outerClosed(): void {
		if (this.#closed) return;
		this.#closed = true;
		// As long as bytes wait for the guest it counts among the gateway's connections.
		if (this.#cut && this.#inner !== null) return;
		// Cut off, unless both ends have seen the other's end of stream; then what still waits for the stack is not lost.
		if (!this.#innerEnded || !this.#outerEnded) this.#reset();
		else if (this.#rest === null) this.#leave();
		this.#owner.spliceClosed(this);
	}

	#leave(): void {
		const inner = this.#inner;
		this.#inner = null;
		inner?.close();
	}
}

/** What the stack has next, as what Node's sockets write as it is, and of its pool where it is little. Null: nothing. */
function copy(inner: TcpSocket): Uint8Array | null {
	const length = inner.beforeTake(Math.min(inner.available, CHUNK));
	if (length === 0) return null;
	const bytes = Buffer.allocUnsafe(length);
	inner.readInto(bytes, 0, length);
	return bytes;
}
