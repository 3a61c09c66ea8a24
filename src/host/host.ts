/**
 * A host: one network identity, its addresses, routes and sockets. What `createHost` returns.
 *
 * Hides shards: applications see one host whatever number of cores serve it (one, today). Two faces for TCP: events
 * (`tcpConnect`, `tcpListen`), which cost nothing per message, and streams (`host.tcp`), for code that likes promises.
 */
import { MillraceError } from "../errors.ts";
import type { RouteOption } from "../ip/routes.ts";
import { bad, refuseUnknown, trueOrFalse } from "../link/known-options.ts";
import type { Link } from "../link/link.ts";
import { SLAB_SIZE } from "../memory/pages.ts";
import { Shard } from "../shard/shard.ts";
import { type ConnectionInfo, connectionInfo, type SocketEvents, type TcpSocket } from "../socket/socket.ts";
import { type Refusal, SocketTable, TcpRequest } from "../socket/table.ts";
import { abort, open, unlisten } from "../tcp/calls.ts";
import type { Listener } from "../tcp/listeners.ts";
import { type TcpOptions, tcpOptions } from "../tcp/options.ts";
import { STATE_NAMES } from "../tcp/state.ts";
import type { Runtime } from "../time/clock.ts";
import { formatIpv4, MAPPED, parseIpv4 } from "../wire/address.ts";
import { TcpFace } from "./streams.ts";

export { type ConnectionInfo, type Refusal, type SocketEvents, TcpRequest, type TcpSocket };

/** Bytes of pages unless said otherwise: touched only as far as they are used. */
const DEFAULT_MEMORY = 256 << 20;
/** Least memory, in bytes: 128 pages. */
const MEMORY_MIN = 1 << 18;
/** Longest spin, in microseconds: whoever waits longer may as well sleep. */
export const SPIN_MAX = 1000;

/** What a host is made of. Only `link` and `runtime` must be given; `createHost` of the package entry supplies the runtime. */
export interface HostOptions {
	/** The link; opened here, closed by `host.close()`. */
	link: Link;
	/** Clock, chance and alarms. */
	runtime: Runtime;
	/** Own addresses in CIDR form, such as ["10.77.0.2/24"]. Default none, but 127.0.0.0/8 is always there. */
	addresses?: readonly string[];
	/** Routes beyond the networks of the addresses, such as [{ to: "0.0.0.0/0", via: "10.77.0.1" }]. */
	routes?: readonly RouteOption[];
	/** Bytes for frames and streams; default 256 MiB. Real memory is used as far as it is needed, and when it is used up, windows close. */
	memory?: number;
	/** Congestion control; default "cubic". */
	congestion?: "cubic" | "newreno" | "bbr";
	/** Takes packets to any address as its own: for gateways. */
	acceptAny?: boolean;
	/** Checksums by WebAssembly SIMD, where the engine has it and the link leaves them to the stack; default true. */
	simd?: boolean;
	/**
	 * Large pages under the host's memory, where the runtime and the machine have them (Linux: transparent huge pages); default false. Fewer
	 * misses of the address cache for 8 MB and more, as each table is touched 2 MB at a time: to be measured where it is to pay (docs/performance.md).
	 * `stats().memory.largePages` says whether it was heard.
	 */
	largePages?: boolean;
	/**
	 * Microseconds for which the event loop goes on turning after the last frame instead of sleeping, while traffic is dense, so that
	 * the next frame need not wake it; 0 to 1000, default 0. It takes processor time for latency, see `stats().shard`.
	 */
	spin?: number;
	/**
	 * Streams of `tcp` that are told one after another have their promises run together; default true. False: promises run between any two
	 * connections, as they do for sockets and the event face.
	 */
	quietStreams?: boolean;
	/** Limits and timers of TCP, see TcpOptions. */
	tcp?: Partial<TcpOptions>;
}

/** Figures of a host, by layer. Numbers count from the start unless their name says otherwise. */
export interface HostStats {
	/** Connections at the moment, by state; TIME-WAIT beside them. */
	connections: { total: number; halfOpen: number; timeWait: number; highWater: number };
	/** The arena and its pages. */
	memory: {
		/** Bytes of the arena: reserved, carved off, and really touched by pages and records. */
		arena: number;
		reserved: number;
		touched: number;
		/** Bytes of it under which large pages may come: 0 unless the option `largePages` was given, and where there are none. */
		largePages: number;
		/** Pages held at the moment, there, and how often none could be had. */
		pagesInUse: number;
		pages: number;
		pagesExhausted: number;
		/** Slabs held at the moment, and there; `tcp.noSlab` is how often none could be had. */
		slabsInUse: number;
		slabs: number;
	};
	/** The loop: turns, full batches, frames each way, longest time that the program held the thread (microseconds). */
	shard: Record<string, number>;
	/** The link's own counters, under the names that it gives them. */
	link: Record<string, number>;
	/** IpCounters: each frame ends under one name. */
	ip: Record<string, number>;
	/** IcmpCounters. */
	icmp: Record<string, number>;
	/** TcpCounters: segments, bytes, retransmissions, drops by reason, limits that were hit. */
	tcp: Record<string, number>;
}

/** Where to connect, and from where. */
export interface ConnectOptions {
	/** IPv4 address. */
	address: string;
	/** 1 to 65535. */
	port: number;
	/** Own address and port; default: by route, and a random free port. */
	localAddress?: string;
	/** 1 to 65535; 0 or absent: a random free one. */
	localPort?: number;
}

/** Where to listen. */
export interface ListenOptions {
	/** Own address; default any. */
	address?: string;
	/** 0: any free port. */
	port: number;
	/** Most established connections that wait to be handed over, at least one; default 511, as in Node. */
	backlog?: number;
}

/** A listener of the event face. */
export class TcpListener {
	/** As it was asked for; "0.0.0.0" for any. */
	readonly address: string;
	/** The port, which matters when 0 was asked for. */
	readonly port: number;
	/** Called with each new connection; its `events` are to be set before it returns. */
	onconnection: (socket: TcpSocket) => void = (socket) => socket.abort();
	/** Called when the host was closed and this listener with it. */
	onclose: () => void = () => {};
	readonly #listener: Listener;
	readonly #close: () => void;

	/** @internal */
	constructor(address: string, listener: Listener, close: () => void) {
		this.address = address;
		this.port = listener.port;
		this.#listener = listener;
		this.#close = close;
	}

	/** @internal Most connections that wait to be handed over. */
	get backlog(): number {
		return this.#listener.backlog;
	}

	/** @internal `onconnection` runs no code of the application's: see `quiet` of a socket. */
	makeQuiet(): void {
		this.#listener.quiet = true;
	}

	/** Stops listening; connections that were handed over go on. */
	close(): void {
		this.#close();
	}
}

const KNOWN_OPTIONS = [
	"link",
	"runtime",
	"addresses",
	"routes",
	"memory",
	"congestion",
	"acceptAny",
	"simd",
	"largePages",
	"spin",
	"quietStreams",
	"tcp",
];
const CONNECT_OPTIONS = ["address", "port", "localAddress", "localPort"];
const LISTEN_OPTIONS = ["address", "port", "backlog"];

/**
 * Opens the link and starts a host on it.
 *
 * @throws {MillraceError} MILLRACE_BAD_OPTION, MILLRACE_ADDRESS, or the link's own error.
 */
export function createHost(options: HostOptions): Host {
	return new Host(options);
}

/** One network identity on one link: its addresses, routes and sockets. Made by `createHost`. */
export class Host {
	/** TCP as streams: `connect` and `listen`. */
	readonly tcp: TcpFace;
	/**
	 * Called when a port gets its first listener, before `tcpListen` returns. If it throws, there is no listener, and `tcpListen`
	 * throws that; an EADDRINUSE for a port that was ours to choose has it choose another one.
	 */
	onListen: ((port: number) => void) | null = null;
	/** Called when a port's last listener is gone, also one that `onListen` would not have. */
	onUnlisten: ((port: number) => void) | null = null;
	/** Called when the link is gone for good. */
	onLinkFailed: ((error: Error) => void) | null = null;
	/**
	 * Called when the program has held the thread, and with it the stack, for longer than ever and for more than 200 ms: no
	 * ACK was sent and no timer fired meanwhile. @param gap Microseconds.
	 */
	onLate: ((gap: number) => void) | null = null;
	/** Clock, chance and alarms that the host runs by. */
	readonly runtime: Runtime;
	readonly #shard: Shard;
	readonly #sockets = new SocketTable();
	readonly #listeners = new Map<Listener, TcpListener>();
	/** The addresses of the connection that is being opened. */
	readonly #local = Int32Array.of(0, 0, MAPPED, 0);
	readonly #remote = Int32Array.of(0, 0, MAPPED, 0);
	#refs = 0;
	#closed = false;
	/** What `close` promises. */
	#ending: Promise<void> = Promise.resolve();

	/** @internal Use createHost. */
	constructor(options: HostOptions) {
		refuseUnknown("createHost", options, KNOWN_OPTIONS);
		const {
			link,
			runtime,
			addresses = [],
			routes = [],
			memory = DEFAULT_MEMORY,
			congestion,
			acceptAny = false,
			simd = true,
			largePages = false,
			spin = 0,
			quietStreams = true,
		} = options;
		if (!link || !runtime) throw bad("createHost needs a link and a runtime");
		if (!(Number.isInteger(memory) && memory >= MEMORY_MIN))
			throw bad(`memory of ${memory}: give a whole number of bytes, at least ${MEMORY_MIN}`);
		if (!(Number.isInteger(spin) && spin >= 0 && spin <= SPIN_MAX))
			throw bad(`spin of ${spin} microseconds: give a whole number from 0 to ${SPIN_MAX}`);
		trueOrFalse({ acceptAny, simd, largePages, quietStreams });
		for (const [name, value, example] of [
			["addresses", addresses, '"10.77.0.2/24"'],
			["routes", routes, '{ to: "0.0.0.0/0", via: "10.77.0.1" }'],
		] as const)
			if (!Array.isArray(value)) throw bad(`${name}: give a list such as [${example}]`);
		for (const route of routes) refuseUnknown("a route", route, ["to", "via"]);
		if (congestion !== undefined && options.tcp?.congestion !== undefined && congestion !== options.tcp.congestion)
			throw bad(`congestion of "${congestion}" and tcp.congestion of "${options.tcp.congestion}": give one, they are the same thing`);
		const tcp = tcpOptions({ ...options.tcp, ...(congestion === undefined ? {} : { congestion }) });
		this.runtime = runtime;
		this.#shard = new Shard({
			link,
			runtime,
			addresses,
			routes,
			acceptAny,
			memory,
			simd,
			largePages,
			spin,
			tcp,
			upper: this.#sockets,
			failed: (error) => this.onLinkFailed?.(error),
		});
		this.#sockets.tcp = this.#shard.tcp;
		this.#sockets.quietStreams = quietStreams;
		this.#shard.onLate = (gap) => this.onLate?.(gap);
		this.tcp = new TcpFace(this);
	}

	/** The link's name. */
	get link(): string {
		return this.#shard.link.name;
	}

	/**
	 * Opens a connection.
	 *
	 * @throws {MillraceError} MILLRACE_BAD_OPTION, EINVAL for an address or port that is none, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, ENOBUFS.
	 */
	tcpConnect(options: ConnectOptions, events: SocketEvents): TcpSocket {
		this.#assertOpen();
		refuseUnknown("connect", options, CONNECT_OPTIONS);
		const tcp = this.#shard.tcp;
		const remote = ipv4(options.address, "address");
		const port = portNumber(options.port, 1);
		const ip = this.#shard.ip;
		let local: number;
		if (options.localAddress !== undefined && options.localAddress !== "0.0.0.0") {
			local = ipv4(options.localAddress, "localAddress");
			if (!ip.isLocal(local)) throw new MillraceError("EADDRNOTAVAIL", `${options.localAddress} is not an address of this host`);
		} else {
			local = ip.source(remote);
			if (local === 0) throw new MillraceError("ENETUNREACH", `no route to ${options.address}. Give createHost a route`);
		}
		const localPort = options.localPort ?? 0;
		const chosen = localPort === 0 ? this.#freePort(local, remote, port) : portNumber(localPort, 1);
		if (chosen === 0)
			throw new MillraceError(
				"EADDRNOTAVAIL",
				`all ports from ${tcp.options.firstPort} to ${tcp.options.lastPort} are in use towards ${options.address}:${port}`,
			);
		if (localPort !== 0 && !this.#isFree(local, chosen, remote, port)) {
			throw new MillraceError("EADDRINUSE", `port ${localPort} is in use towards ${options.address}:${port}, or listened on`);
		}
		this.#local[3] = local;
		this.#remote[3] = remote;
		const index = open(tcp, this.#local, chosen, this.#remote, port);
		if (index < 0) throw new MillraceError("ENOBUFS", `all ${tcp.options.maxConnections} connections are in use; raise tcp.maxConnections`);
		return this.#sockets.adopt(index, events);
	}

	/** RFC 6056 3.3.1: a random port, and from there the first that is free towards this peer; 0 if none is. */
	#freePort(local: number, remote: number, port: number): number {
		const { firstPort, lastPort } = this.#shard.tcp.options;
		const range = lastPort - firstPort + 1;
		const start = (this.runtime.random.int32() >>> 0) % range;
		for (let i = 0; i < range; i++) {
			const candidate = firstPort + ((start + i) % range);
			if (this.#isFree(local, candidate, remote, port)) return candidate;
		}
		return 0;
	}

	/** Whether a connection from this port may be opened: none is there, and nobody listens on it, as with the kernel. */
	#isFree(local: number, candidate: number, remote: number, port: number): boolean {
		const { listeners, table } = this.#shard.tcp;
		if (table.lookup(0, 0, 0xffff, local, candidate, 0, 0, 0xffff, remote, port) !== -1) return false;
		return listeners.holder(0, 0, 0xffff, local, candidate) === null;
	}

	/**
	 * Listens.
	 *
	 * @throws {MillraceError} MILLRACE_BAD_OPTION, EADDRINUSE, EADDRNOTAVAIL, EINVAL, or what `onListen` throws.
	 */
	tcpListen(options: ListenOptions): TcpListener {
		refuseUnknown("listen", options, LISTEN_OPTIONS);
		const { address = "0.0.0.0", backlog = 511 } = options;
		const port = portNumber(options.port, 0);
		if (!Number.isInteger(backlog) || backlog < 0) throw new MillraceError("EINVAL", `backlog ${backlog} is not a whole number from 0`);
		const word = ipv4(address, "address");
		if (word !== 0 && !this.#shard.ip.isLocal(word)) throw new MillraceError("EADDRNOTAVAIL", `${address} is not an address of this host`);
		const key: [number, number, number, number] = word === 0 ? [0, 0, 0, 0] : [0, 0, 0xffff, word];
		const listener = port === 0 ? this.#listenAnywhere(key, backlog) : this.#listenAt(key, port, backlog);
		if (listener === null)
			throw new MillraceError("EADDRINUSE", `port ${port} of ${address} is in use. Choose another, or 0 for any free one`);
		const result = new TcpListener(address, listener, () => this.#unlisten(listener));
		listener.owner = (socket: TcpSocket) => result.onconnection(socket);
		this.#listeners.set(listener, result);
		return result;
	}

	#listenAnywhere(key: [number, number, number, number], backlog: number): Listener | null {
		const { firstPort, lastPort } = this.#shard.tcp.options;
		const range = lastPort - firstPort + 1;
		const start = (this.runtime.random.int32() >>> 0) % range;
		for (let i = 0; i < range; i++) {
			try {
				const listener = this.#listenAt(key, firstPort + ((start + i) % range), backlog);
				if (listener !== null) return listener;
			} catch (error) {
				// Whoever gives the port away outside has given this one to somebody else.
				if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
			}
		}
		return null;
	}

	#listenAt(key: [number, number, number, number], port: number, backlog: number): Listener | null {
		const listener = this.#listen(key, port, backlog, false, false);
		if (listener === null) return null;
		try {
			if (this.#shard.tcp.listeners.on(port) === 1) this.onListen?.(port);
		} catch (error) {
			this.#unlisten(listener);
			throw error;
		}
		return listener;
	}

	#listen(key: [number, number, number, number], port: number, backlog: number, held: boolean, any: boolean): Listener | null {
		this.#assertOpen();
		return this.#shard.tcp.listeners.add(key, port, Math.max(1, backlog), held, any);
	}

	/**
	 * Takes connections to every port that nobody else listens on, before they are answered: for gateways. `onrequest` says
	 * for each, now or later, `accept` or `refuse`.
	 */
	tcpListenAny(onrequest: (request: TcpRequest) => void): { close(): void } {
		const listener = this.#listen([0, 0, 0, 0], 0, 1 << 20, true, true);
		if (listener === null) throw new MillraceError("EADDRINUSE", "this host has a listener for all ports already");
		listener.owner = (socket: TcpSocket) => onrequest(new TcpRequest(socket, this.#shard.icmp));
		return { close: () => this.#unlisten(listener) };
	}

	#unlisten(listener: Listener): void {
		if (listener.closed) return;
		this.#listeners.delete(listener);
		unlisten(this.#shard.tcp, listener);
		if (!listener.any && !this.hasListener(listener.port)) this.onUnlisten?.(listener.port);
	}

	/** Whether this is an address of this host; false for what is no IPv4 address. */
	hasAddress(address: string): boolean {
		try {
			return this.#shard.ip.isLocal(parseIpv4(address));
		} catch {
			return false;
		}
	}

	/** Whether anybody listens on this port. */
	hasListener(port: number): boolean {
		return this.#shard.tcp.listeners.on(port) > 0;
	}

	/** The connections there are, with their figures. */
	connections(): ConnectionInfo[] {
		const tcp = this.#shard.tcp;
		const list: ConnectionInfo[] = [];
		for (let index = 0; index < tcp.table.touched; index++) {
			const c = tcp.at(index);
			if (c.state !== 0) list.push(connectionInfo(c));
		}
		return list;
	}

	/** Counters of every layer. */
	stats(): HostStats {
		const { tcp, ip, icmp, pool, arena, link, largePages, counters } = this.#shard;
		return {
			connections: { total: tcp.table.count, halfOpen: tcp.halfOpen, timeWait: tcp.table.timeWaitCount, highWater: tcp.table.highWater },
			memory: {
				arena: arena.size,
				reserved: arena.used,
				touched: pool.touched * 2080 + pool.slabsTouched * SLAB_SIZE + tcp.table.touchedBytes,
				largePages,
				pagesInUse: pool.inUse,
				pages: pool.capacity,
				pagesExhausted: pool.exhausted,
				slabsInUse: pool.slabs - pool.slabsFree,
				slabs: pool.slabs,
			},
			shard: { ...counters },
			link: { ...link.counters() },
			ip: { ...ip.counters },
			icmp: { ...icmp.counters },
			tcp: { ...tcp.counters },
		};
	}

	/** Listeners and connections keep the process alive by these; counted. */
	ref(): void {
		if (this.#refs++ > 0 || this.#closed) return;
		this.#shard.held = true;
		this.#shard.link.ref();
	}

	/** Takes one `ref` back. */
	unref(): void {
		if (--this.#refs > 0 || this.#closed) return;
		this.#shard.held = false;
		this.#shard.link.unref();
	}

	#assertOpen(): void {
		if (this.#closed) throw new MillraceError("MILLRACE_CLOSED", "the host is closed");
	}

	/**
	 * Resets what is still open, tells every socket so, and gives the link back. Everybody is told, and the link is given back, whatever those
	 * who are told throw; the promise is rejected with the first of it.
	 */
	close(): Promise<void> {
		if (this.#closed) return this.#ending;
		// From here on nobody who is told can open anything new.
		this.#closed = true;
		const errors: unknown[] = [];
		const attempt = (step: () => void): void => {
			try {
				step();
			} catch (error) {
				errors.push(error);
			}
		};
		const tcp = this.#shard.tcp;
		const listeners = [...this.#listeners.values()];
		for (const listener of [...tcp.listeners.all()]) attempt(() => this.#unlisten(listener));
		for (const listener of listeners) attempt(() => listener.onclose());
		for (const socket of [...this.#sockets.all()]) {
			const { events } = socket;
			socket.abort();
			attempt(() => events.closed("ECONNABORTED"));
		}
		for (let index = 0; index < tcp.table.touched; index++) if (tcp.at(index).state !== 0) abort(tcp, index);
		attempt(() => this.#shard.close());
		if (errors.length > 0) this.#ending = Promise.reject(errors[0]);
		return this.#ending;
	}

	/** @internal For tests and tools: the shard. */
	get shard(): Shard {
		return this.#shard;
	}
}

/** Names of the states that `ConnectionInfo.state` can have. */
export const CONNECTION_STATES: readonly string[] = STATE_NAMES;

function ipv4(text: string, what: string): number {
	try {
		return parseIpv4(text);
	} catch (cause) {
		throw new MillraceError("EINVAL", `${what} ${JSON.stringify(text)} is not an IPv4 address such as ${formatIpv4(0x0a4d0002)}`, {
			cause,
		});
	}
}

function portNumber(port: number, least: number): number {
	if (!Number.isInteger(port) || port < least || port > 65535)
		throw new MillraceError("EINVAL", `port ${port} is not a whole number from ${least} to 65535`);
	return port;
}
