/**
 * A stack that is no stack: hosts whose connections are pairs of queues in memory. It keeps the contract of src/node/stack.ts
 * (bounded buffers both ways, events only from a turn of the event loop, resets), so that Node's side can be tested alone.
 */
import { MillraceError } from "../../src/errors.ts";
import type { StackEvents, StackHost, StackListener, StackSocket } from "../../src/node/stack.ts";

const SEND_BUFFER = 128 * 1024;
const WINDOW = 64 * 1024;

const nobody: StackEvents = { connected() {}, readable() {}, ended() {}, writable() {}, closed() {} };

export class FakeHost implements StackHost {
	refs = 0;
	readonly listeners = new Map<number, FakeListener>();
	readonly sockets = new Set<FakeSocket>();
	readonly blackHoles = new Set<string>();
	#next = 40000;
	#keepAlive: NodeJS.Timeout | null = null;

	tcpListen(options: { address?: string; port: number }): FakeListener {
		const port = options.port || this.#next++;
		if (this.listeners.has(port)) throw new MillraceError("EADDRINUSE", "in use");
		const address = options.address ?? "0.0.0.0";
		if (address !== "0.0.0.0" && !address.startsWith("127.") && !address.startsWith("10.")) throw new MillraceError("EADDRNOTAVAIL", "not mine");
		const listener = new FakeListener(this, address, port);
		this.listeners.set(port, listener);
		return listener;
	}

	tcpConnect(options: { address: string; port: number; localAddress?: string; localPort?: number }, events: StackEvents): FakeSocket {
		if (options.address.startsWith("203.")) throw new MillraceError("ENETUNREACH", "no route");
		const local = options.localAddress ?? (options.address.startsWith("127.") ? "127.0.0.1" : "10.0.0.1");
		const socket = new FakeSocket(this, events, local, options.localPort || this.#next++, options.address, options.port);
		setImmediate(() => {
			if (socket.gone || this.blackHoles.has(options.address)) return;
			const listener = this.listeners.get(options.port);
			if (listener === undefined || (listener.address !== "0.0.0.0" && listener.address !== options.address)) return socket.die("ECONNREFUSED");
			const peer = new FakeSocket(this, nobody, options.address, options.port, local, socket.localPort);
			socket.peer = peer;
			peer.peer = socket;
			socket.open = peer.open = true;
			setImmediate(() => {
				if (peer.gone) return;
				if (this.listeners.get(options.port) === listener) listener.onconnection(peer);
				else peer.abort();
			});
			socket.events.connected();
		});
		return socket;
	}

	hasListener(port: number): boolean {
		return this.listeners.has(port);
	}
	ref(): void {
		if (++this.refs === 1) this.#keepAlive = setInterval(() => {}, 1 << 30);
	}
	unref(): void {
		if (--this.refs === 0) clearInterval(this.#keepAlive!);
	}
}

class FakeListener implements StackListener {
	readonly host: FakeHost;
	readonly address: string;
	readonly port: number;
	onconnection: (socket: StackSocket) => void = (socket) => socket.abort();

	constructor(host: FakeHost, address: string, port: number) {
		this.host = host;
		this.address = address;
		this.port = port;
	}
	close(): void {
		this.host.listeners.delete(this.port);
	}
}

export class FakeSocket implements StackSocket {
	events: StackEvents;
	readonly host: FakeHost;
	readonly localAddress: string;
	readonly localPort: number;
	readonly remoteAddress: string;
	readonly remotePort: number;
	peer: FakeSocket | null = null;
	open = false;
	gone = false;
	#inbox: Buffer[] = [];
	available = 0;
	#outbox: Buffer[] = [];
	#waiting = 0;
	#refused = false;
	#finishing = false;
	#finSent = false;
	#finReceived = false;
	#finTold = false;
	#lingering = false;
	#turn = false;

	constructor(host: FakeHost, events: StackEvents, localAddress: string, localPort: number, remoteAddress: string, remotePort: number) {
		this.host = host;
		this.events = events;
		this.localAddress = localAddress;
		this.localPort = localPort;
		this.remoteAddress = remoteAddress;
		this.remotePort = remotePort;
		host.sockets.add(this);
	}

	readInto(target: Uint8Array, offset: number, length: number): number {
		let done = 0;
		while (done < length && this.#inbox.length > 0) {
			const first = this.#inbox[0]!;
			const n = Math.min(first.length, length - done);
			target.set(first.subarray(0, n), offset + done);
			done += n;
			if (n === first.length) this.#inbox.shift();
			else this.#inbox[0] = first.subarray(n);
		}
		this.available -= done;
		this.peer?.wake();
		if (this.available === 0) this.wake();
		return done;
	}
	read(max = 65536): Uint8Array | null {
		if (this.available === 0) return null;
		const bytes = new Uint8Array(Math.min(max, this.available));
		this.readInto(bytes, 0, bytes.length);
		return bytes;
	}
	write(bytes: Uint8Array, offset = 0): number {
		const n = Math.min(bytes.length - offset, SEND_BUFFER - this.#waiting);
		if (n < bytes.length - offset) this.#refused = true;
		if (n > 0) this.#outbox.push(Buffer.from(bytes.subarray(offset, offset + n)));
		this.#waiting += n;
		this.wake();
		return n;
	}
	finish(): void {
		this.#finishing = true;
		this.wake();
	}
	close(): void {
		if (this.available > 0 || !this.open) return this.abort();
		this.events = nobody;
		this.#lingering = true;
		this.finish();
	}
	abort(): void {
		this.#vanish();
		const peer = this.peer;
		if (peer !== null) setImmediate(() => peer.die("ECONNRESET"));
	}
	setNoDelay(): void {}
	setKeepAlive(): void {}

	die(error: string | null): void {
		if (this.gone) return;
		this.#vanish();
		this.events.closed(error);
	}
	#vanish(): void {
		this.gone = true;
		this.host.sockets.delete(this);
	}

	wake(): void {
		if (this.#turn || this.gone) return;
		this.#turn = true;
		setImmediate(() => this.#runTurn());
	}
	#runTurn(): void {
		this.#turn = false;
		const peer = this.peer;
		if (this.gone || !this.open || peer === null) return;
		let moved = 0;
		while (this.#outbox.length > 0 && !peer.gone && peer.available < WINDOW) {
			const first = this.#outbox[0]!;
			const n = Math.min(first.length, WINDOW - peer.available);
			peer.#inbox.push(first.subarray(0, n));
			peer.available += n;
			moved += n;
			if (n === first.length) this.#outbox.shift();
			else this.#outbox[0] = first.subarray(n);
		}
		this.#waiting -= moved;
		if (moved > 0) {
			if (peer.#lingering) return peer.abort();
			setImmediate(() => {
				if (!peer.gone && peer.available > 0) peer.events.readable();
			});
		} else if (peer.gone && this.#waiting > 0) return this.die("ECONNRESET");
		if (this.#finishing && !this.#finSent && this.#waiting === 0) {
			this.#finSent = true;
			setImmediate(() => {
				peer.#finReceived = true;
				peer.wake();
			});
		}
		if (moved > 0 && this.#refused) {
			this.#refused = false;
			this.events.writable();
		}
		if (this.#finReceived && !this.#finTold && this.available === 0) {
			this.#finTold = true;
			this.events.ended();
		}
		if (this.#finSent && this.#finTold && !this.gone) {
			const events = this.events;
			this.#vanish();
			events.closed(null);
		}
	}
}
