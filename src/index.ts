/**
 * `millrace`: a user-level TCP/IP stack as a library.
 *
 * `createHost` opens a link and puts a host on it. `host.tcp` is TCP as streams, `host.net` the same as a module object like
 * `node:net`, `host.tcpConnect` and `host.tcpListen` the event face for code that counts nanoseconds. A link is TAP, loop-back,
 * user-mode networking, a memory pair, a wrapper around another link, or an object of your own with the `Link` interface.
 *
 * @example
 * import { createHost, tapLink } from "millrace";
 * const host = createHost({ link: tapLink(), addresses: ["10.77.0.2/24"] });
 * for await (const stream of host.tcp.listen({ port: 7 })) stream.readable.pipeTo(stream.writable).catch(() => {});
 */
import { Host, type HostOptions } from "./host/host.ts";
import { holdProcess, releaseProcess } from "./node/alive.ts";
import { createNet, type StackNet } from "./node/net.ts";
import { nodeRuntime } from "./node/runtime.ts";
import { stayFor } from "./node/until-sent.ts";

/** Options of `createHost`: as those of the portable host, with Node's clock and timers unless given. */
export interface NodeHostOptions extends Omit<HostOptions, "runtime"> {
	/** Clock, chance and alarms; default those of this process. */
	runtime?: HostOptions["runtime"];
}

/** A host with Node's `net` on it. A process that has nothing more to do stays until its peers have what it sent them. */
export class NodeHost extends Host {
	#net: StackNet | null = null;
	/** How many hold the process by this host, until it is closed. */
	#holders = 0;
	#ended = false;
	/** The process need not stay for this host's peers any more. Null where another runtime's time is not the process's. */
	readonly #leave: (() => void) | null;

	/** @internal Use createHost. */
	constructor(options: NodeHostOptions) {
		super({ ...options, runtime: options?.runtime ?? nodeRuntime() });
		this.#leave = options.runtime === undefined ? stayFor(this) : null;
	}

	/**
	 * A module object compatible with `node:net` (createServer, connect, Socket, Server, isIP ...) whose sockets are this
	 * host's. Its servers and sockets keep the process alive as kernel sockets do.
	 */
	get net(): StackNet {
		this.#net ??= createNet(this);
		return this.#net;
	}

	/** Keeps the process alive until `unref` was called as often, or the host is closed: also where the link has nothing that Node waits for. */
	override ref(): void {
		super.ref();
		if (!this.#ended && this.#holders++ === 0) holdProcess();
	}

	override unref(): void {
		super.unref();
		if (!this.#ended && this.#holders > 0 && --this.#holders === 0) releaseProcess();
	}

	override close(): Promise<void> {
		const closed = super.close();
		this.#leave?.();
		if (!this.#ended && this.#holders > 0) releaseProcess();
		this.#ended = true;
		return closed;
	}
}

/**
 * Opens the link and starts a host on it.
 *
 * @throws {MillraceError} MILLRACE_BAD_OPTION, MILLRACE_ADDRESS, MILLRACE_ROUTE, or the link's own error (EPERM, EBUSY ...).
 */
export function createHost(options: NodeHostOptions): NodeHost {
	return new NodeHost(options);
}

export { MillraceError } from "./errors.ts";
export type {
	ConnectionInfo,
	ConnectOptions,
	Host,
	HostOptions,
	HostStats,
	ListenOptions,
	Refusal,
	SocketEvents,
	TcpListener,
	TcpRequest,
	TcpSocket,
} from "./host/host.ts";
export type { TcpFace, TcpServer, TcpStream } from "./host/streams.ts";
export { CaptureWriter, captureLink } from "./link/capture.ts";
export { type ImpairOptions, impairLink } from "./link/impair.ts";
export type { Link, LinkContext, LinkOffload } from "./link/link.ts";
export { loopbackLink } from "./link/loopback.ts";
export { memoryLinkPair } from "./link/memory.ts";
export { tapLink } from "./link/tap.ts";
export { createGateway, userLink } from "./link/user.ts";
export { Arena } from "./memory/arena.ts";
export { Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "./memory/batch.ts";
export { PagePool } from "./memory/pages.ts";
export { inlineDeeper } from "./node/inlining.ts";
export { nodeRuntime } from "./node/runtime.ts";
export type { TcpOptions } from "./tcp/options.ts";
export type { Alarm, Clock, Random, Runtime } from "./time/clock.ts";
