/**
 * A host: one network identity, its addresses, routes and sockets. What `createHost` returns.
 *
 * Hides shards: applications see one host whatever number of cores serve it (one, today). Two faces for TCP: events
 * (`tcpConnect`, `tcpListen`), which cost nothing per message, and streams (`host.tcp`), for code that likes promises.
 */
import { MillraceError } from "../errors.ts";
import { refuseUnknown } from "../link/known-options.ts";
import { Shard } from "../shard/shard.ts";
import { assertEvents, type ConnectionInfo, connectionInfo, type SocketEvents, type TcpSocket } from "../socket/socket.ts";
import { type Refusal, SocketTable, type TcpRequest } from "../socket/table.ts";
import { abort, open } from "../tcp/calls.ts";
import type { Runtime } from "../time/clock.ts";
import { formatIpv4, ipVersion, MAPPED, parseIpv4 } from "../wire/address.ts";
import { isLoopback } from "../wire/ipv4.ts";
import { CONNECT_OPTIONS, type ConnectOptions, ipv4, type ListenOptions, portNumber } from "./endpoint.ts";
import { leave } from "./leaving.ts";
import { Listening, type TcpListener } from "./listening.ts";
import { type HostOptions, hostOptions } from "./options.ts";
import { type HostStats, hostStats } from "./stats.ts";
import { TcpFace } from "./streams.ts";

export type {
	ConnectionInfo,
	ConnectOptions,
	HostOptions,
	HostStats,
	ListenOptions,
	Refusal,
	SocketEvents,
	TcpListener,
	TcpRequest,
	TcpSocket,
};

/**
 * Opens the link and starts a host on it.
 *
 * @throws {MillraceError} MILLRACE_BAD_OPTION, MILLRACE_ADDRESS, MILLRACE_ROUTE, or the link's own error.
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
	/** Called when another station on an Ethernet claims this address of the host's, at most every 10 s: connections may end up there. */
	onConflict: ((address: string) => void) | null = null;
	/** Clock, chance and alarms that the host runs by. */
	readonly runtime: Runtime;
	readonly #shard: Shard;
	readonly #sockets = new SocketTable();
	readonly #listening: Listening;
	/** The addresses of the connection that is being opened. */
	readonly #local = Int32Array.of(0, 0, MAPPED, 0);
	readonly #remote = Int32Array.of(0, 0, MAPPED, 0);
	#refs = 0;
	#closed = false;
	/** What the link was lost by. */
	#lost: Error | null = null;
	/** The process is about to be gone: nobody may open anything new, not even who is told of a listener's end. */
	#leaving = false;
	/** What `close` promises. */
	#ending: Promise<void> = Promise.resolve();

	/** @internal Use createHost. */
	constructor(options: HostOptions) {
		const { quietStreams, ...checked } = hostOptions(options);
		const { runtime } = checked;
		this.runtime = runtime;
		this.#shard = new Shard({
			...checked,
			upper: this.#sockets,
			failed: (error) => {
				this.#lost ??= error;
				this.onLinkFailed?.(error);
			},
		});
		this.#sockets.tcp = this.#shard.tcp;
		this.#sockets.quietStreams = quietStreams;
		this.#listening = new Listening(this.#shard, runtime.random, this, () => this.#assertOpen());
		this.#shard.onLate = (gap) => this.onLate?.(gap);
		this.#shard.ip.onConflict = (address) => this.onConflict?.(formatIpv4(address));
		this.tcp = new TcpFace(this);
	}

	/** The link's name. */
	get link(): string {
		return this.#shard.link.name;
	}

	/**
	 * Opens a connection.
	 *
	 * @throws {MillraceError} MILLRACE_BAD_OPTION, EINVAL for an address or port that is none, or no way leads from 127.0.0.0/8 to, ENETUNREACH,
	 *   ENETDOWN when the link is gone, EADDRNOTAVAIL, EADDRINUSE, ENOBUFS.
	 */
	tcpConnect(options: ConnectOptions, events: SocketEvents): TcpSocket {
		this.#assertOpen();
		refuseUnknown("connect", options, CONNECT_OPTIONS);
		assertEvents(events, true);
		const tcp = this.#shard.tcp;
		const remote = ipv4(options.address, "address");
		const port = portNumber(options.port, 1);
		const ip = this.#shard.ip;
		const named = options.localAddress === undefined ? 0 : ipv4(options.localAddress, "localAddress");
		if (named !== 0 && !ip.isLocal(named))
			throw new MillraceError("EADDRNOTAVAIL", `${options.localAddress} is not an address of this host`);
		const routed = ip.source(remote);
		if (routed === 0) throw new MillraceError("ENETUNREACH", `no route to ${options.address}. Give createHost a route`);
		const local = named === 0 ? routed : named;
		const far = !isLoopback(remote) && !ip.routes.isOwn(remote);
		// RFC 1122 3.2.1.3 (g): these addresses must not appear outside of a host, and nothing would come back. As with the kernel.
		if (far && isLoopback(local))
			throw new MillraceError(
				"EINVAL",
				`from ${options.localAddress} only this host can be reached, not ${options.address}. Give another localAddress, or none`,
			);
		if (far && this.#lost !== null)
			throw new MillraceError("ENETDOWN", `link ${this.link} is gone. Close the host, and make another on a new link`, {
				cause: this.#lost,
			});
		const localPort = options.localPort ?? 0;
		const chosen = localPort === 0 ? this.#freePort(local, remote, port) : portNumber(localPort, 1, "localPort");
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
		return this.#listening.listen(options);
	}

	/**
	 * Takes connections to every port that nobody else listens on, before they are answered: for gateways. `onrequest` says
	 * for each, now or later, `accept` or `refuse`.
	 */
	tcpListenAny(onrequest: (request: TcpRequest) => void): { close(): void } {
		return this.#listening.listenAny(onrequest);
	}

	/** Whether this is an address of this host; false for what is no IPv4 address. */
	hasAddress(address: string): boolean {
		try {
			return this.#shard.ip.isLocal(parseIpv4(address));
		} catch {
			return false;
		}
	}

	/** Whether anybody listens on this port; with an IPv4 address, whether a connection to that would find somebody: false for what is no address. */
	hasListener(port: number, address?: string): boolean {
		return address === undefined ? this.#listening.on(port) : ipVersion(address) === 4 && this.#listening.at(address, port);
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
		return hostStats(this.#shard);
	}

	/** Listeners and connections keep the process alive by these; counted. */
	ref(): void {
		if (this.#refs++ > 0 || this.#closed) return;
		this.#shard.held = true;
		this.#shard.link.ref();
	}

	/** Takes one `ref` back; where none is left, it does nothing, and the next `ref` holds. */
	unref(): void {
		if (this.#refs === 0 || --this.#refs > 0 || this.#closed) return;
		this.#shard.held = false;
		this.#shard.link.unref();
	}

	#assertOpen(): void {
		if (this.#closed || this.#leaving) throw new MillraceError("MILLRACE_CLOSED", "the host is closed");
	}

	/**
	 * @internal Ends all connections as a kernel does those of a process that is gone, and nobody is told; to be followed by the end of the
	 * process. It takes a while, which `wait` has pass by milliseconds.
	 */
	leave(wait: (milliseconds: number) => void): void {
		if (this.#closed || this.#leaving) return;
		this.#leaving = true;
		this.#listening.close((step) => {
			try {
				step();
			} catch {
				// Who is told of a listener's end has nothing to say in it.
			}
		});
		leave(this.#shard, this.#sockets, wait);
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
		this.#listening.close(attempt);
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
