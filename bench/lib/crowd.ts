/**
 * A crowd of TCP clients that costs next to nothing: a link that answers what a server sends, without keeping any connection.
 *
 * Hides the other side of a measurement. Everything a client would say next is read from the segment that it answers (see
 * frames.ts), so a process with a crowd in it holds the server's state and time, and hardly anything else: that is how bytes
 * per connection, bytes allocated per frame and the stack's time per request are told apart from the client's.
 *
 * Nothing is lost on this link, so nothing is ever repeated. Connection number i comes from port 1024 + i % 60000 of address
 * 10.88.0.1 + i / 60000.
 *
 * Modes: `idle` opens connections and leaves them open; `requests` sends a request on each and another one whenever an answer
 * comes; `short` sends one request, expects the server to close, closes and takes the next connection.
 */
import type { Link, LinkContext } from "../../src/link/link.ts";
import type { Batch } from "../../src/memory/batch.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { Seen, writeTcp } from "./frames.ts";

export type CrowdMode = "idle" | "requests" | "short";

export interface CrowdOptions {
	/** The server's port. */
	readonly port: number;
	readonly mode: CrowdMode;
	/** What a client sends as its request. */
	readonly request: Uint8Array;
	/** Connections that are being worked on at a time. */
	readonly window: number;
}

/** The server's address, with the prefix that makes the whole crowd its neighbours. */
export const CROWD_SERVER = "10.88.255.2/16";
const SERVER = (10 << 24) | (88 << 16) | (255 << 8) | 2;
const FIRST = (10 << 24) | (88 << 16) | 1;
const PORTS = 60_000;
const ADDRESSES = 65_000;
/** Packets waiting to be received; a power of two, more than any window. */
const QUEUE = 8192;
const OFFSET = 64;

const nothing = new Uint8Array(0);

export class Crowd implements Link {
	readonly name = "crowd";
	readonly medium = "ip";
	readonly mtu = 1500;
	/** Connections that the server has accepted; answers that came; connections that have ended; resets that came. */
	accepted = 0;
	answers = 0;
	ended = 0;
	resets = 0;
	/** Packets to the server and from it. */
	sent = 0;
	received = 0;
	/** Called when what was asked for by `run` is done. */
	done: () => void = () => {};
	readonly #options: CrowdOptions;
	readonly #seen = new Seen();
	readonly #pages = new Int32Array(QUEUE);
	readonly #lengths = new Int32Array(QUEUE);
	#head = 0;
	#tail = 0;
	#context: LinkContext | null = null;
	#opened = 0;
	#mayOpen = 0;
	/** The count at which `done` is called: of what, the mode says. */
	#until = 0;
	#busy = 0;
	/** Time of the batch that is being worked on: microseconds for arrivals, milliseconds for TCP timestamps. */
	#arrival = 0;
	#timestamp = 0;

	constructor(options: CrowdOptions) {
		this.#options = options;
	}

	/** The arena in which the server lives. */
	get arena(): Uint8Array {
		return this.#context!.pool.u8;
	}

	/**
	 * Asks for `count` more: accepted connections (`idle`), ended connections (`short`) or answers (`requests`), then `done`. When
	 * `done` asks for more at once, the crowd goes on without a pause.
	 */
	run(count: number): void {
		const { mode, window } = this.#options;
		if (mode === "requests") {
			this.#until = this.answers + count;
			this.#mayOpen = window;
		} else {
			this.#until = (mode === "idle" ? this.accepted : this.ended) + count;
			this.#mayOpen = this.#opened + count;
		}
		this.#context!.wake();
	}

	open(context: LinkContext): void {
		this.#context = context;
	}

	receive(batch: Batch): number {
		const before = batch.count;
		const { window } = this.#options;
		this.#readClock();
		while (this.#opened < this.#mayOpen && this.#busy < window) {
			if (!this.#say(this.#opened, SYN, this.#opened * 7919, 0, 0, nothing)) break;
			this.#opened++;
			this.#busy++;
		}
		while (this.#head !== this.#tail && batch.count < batch.capacity) {
			const at = this.#head++ & (QUEUE - 1);
			const page = this.#pages[at]!;
			batch.push(page, batch.pool.address(page) + OFFSET, this.#lengths[at]!, this.#arrival);
		}
		return batch.count - before;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		const u8 = batch.pool.u8;
		this.#readClock();
		for (let i = 0; i < count; i++) {
			this.received++;
			if (this.#seen.read(u8, batch.start[i]!)) this.#arrived(u8);
		}
		batch.drop(count);
		return count;
	}

	flush(): void {
		if (this.#head !== this.#tail || (this.#opened < this.#mayOpen && this.#busy < this.#options.window)) this.#context?.wake();
	}

	/** Once per batch: a clock's result is an object on the heap whenever it does not fit 31 bits. */
	#readClock(): void {
		const now = this.#context!.runtime.clock.now();
		this.#arrival = now | 0;
		this.#timestamp = Math.trunc(now / 1000) & 0x3fffffff;
	}

	#arrived(u8: Uint8Array): void {
		const seen = this.#seen;
		const { mode, request } = this.#options;
		const { flags, seq, ack, length } = seen;
		if ((flags & RST) !== 0) {
			this.resets++;
			return;
		}
		// Which of the crowd this went to follows from its address and port.
		const port = (u8[seen.tcp + 2]! << 8) | u8[seen.tcp + 3]!;
		const host = ((u8[seen.ip + 16]! << 24) | (u8[seen.ip + 17]! << 16) | (u8[seen.ip + 18]! << 8) | u8[seen.ip + 19]!) - FIRST;
		const client = host * PORTS + port - 1024;
		const echo = seen.options.tsVal;
		if ((flags & SYN) !== 0) {
			this.accepted++;
			if (mode === "idle") {
				this.#busy--;
				this.#say(client, ACK, ack, seq + 1, echo, nothing);
				if (this.accepted === this.#until) this.done();
			} else this.#say(client, PSH | ACK, ack, seq + 1, echo, request);
			return;
		}
		const next = seq + length + ((flags & FIN) !== 0 ? 1 : 0);
		if (length > 0) this.answers++;
		if ((flags & FIN) !== 0) {
			this.#busy--;
			this.ended++;
			this.#say(client, FIN | ACK, ack, next, echo, nothing);
			if (mode === "short" && this.ended === this.#until) this.done();
		} else if (length > 0) {
			if (mode === "requests" && this.answers === this.#until) this.done();
			const more = mode === "requests" && this.answers < this.#until;
			this.#say(client, more ? PSH | ACK : ACK, ack, next, echo, more ? request : nothing);
		}
	}

	#say(client: number, flags: number, seq: number, ack: number, echo: number, payload: Uint8Array): boolean {
		const { pool } = this.#context!;
		const page = pool.alloc();
		if (page === 0 || this.#tail - this.#head === QUEUE) {
			if (page !== 0) pool.release(page);
			return false;
		}
		const address = FIRST + (Math.trunc(client / PORTS) % ADDRESSES);
		const port = 1024 + (client % PORTS);
		const at = this.#tail++ & (QUEUE - 1);
		this.#pages[at] = page;
		this.#lengths[at] = writeTcp(
			pool.u8,
			pool.address(page) + OFFSET,
			address,
			SERVER,
			port,
			this.#options.port,
			flags,
			seq | 0,
			ack | 0,
			true,
			this.#timestamp,
			echo,
			payload,
		);
		this.sent++;
		return true;
	}

	ref(): void {}
	unref(): void {}

	close(): void {
		const context = this.#context;
		while (context !== null && this.#head !== this.#tail) context.pool.release(this.#pages[this.#head++ & (QUEUE - 1)]!);
		this.#context = null;
	}

	counters(): Readonly<Record<string, number>> {
		return { sent: this.sent, received: this.received };
	}
}
