/**
 * The handle of a `net.Server` on the stack.
 *
 * Hides the stack's listener behind the calls that net.js makes: `listen`, `close`, `ref`, `unref`, `getsockname`, and
 * `onconnection` for each connection. It is a TCP handle without a kernel socket, so whoever takes it for one (a cluster that sends it
 * to a worker) gets EBADF from the kernel instead of reading somebody else's memory.
 *
 * As in the kernel, address and port are taken when the server listens, and an error is that of `listen`. A server on `::1` may have its
 * port without a listener (ipv6-ports.ts).
 */
import { AsyncResource } from "node:async_hooks";
import net from "node:net";
import { accept, acceptEquals, type OnConnection } from "./accept.ts";
import { hold, release } from "./alive.ts";
import type { AddressOut } from "./conduit.ts";
import { EINVAL, errnoOfThrown } from "./errno.ts";
import { StackHandle } from "./handle.ts";
import { ownerSymbol, TCP, TCP_SERVER } from "./internals.ts";
import { givePort, type Ipv6Side, type PortHolder, takePort } from "./ipv6-ports.ts";
import { throwLater } from "./later.ts";
import { PlainHandle, plainHandlesWork, probeHandle, wantsPlainHandles } from "./plain-handle.ts";
import type { StackHost, StackListener, StackSocket } from "./stack.ts";

/** Which handles connections get. */
export interface HandleOptions {
	/** Plain handles where they can be had (plain-handle.ts), the default; false: always JSStreams. */
	plainHandles?: boolean;
	/**
	 * Chunks of less than 4 KiB on plain handles are pieces of Node's pool, as those of `Buffer.from` are: no ArrayBuffer is made for each, but
	 * `chunk.buffer` has more in it than the chunk, from `chunk.byteOffset` on, and cannot be transferred. Default: false, as with the kernel's sockets.
	 */
	pooledChunks?: boolean;
}

/** What the kernel makes of a backlog below 0: as many as it lets wait at all (Linux: net.core.somaxconn). */
const BACKLOG_MAX = 4096;

/** A program's backlog as Node's own handles take it, which is as a 32-bit number, whatever it is. */
function backlogOf(given: number): number {
	const backlog = given | 0;
	return backlog < 0 ? BACKLOG_MAX : backlog;
}

/** The handle of a `net.Server` on the stack. */
export class ServerHandle extends TCP implements PortHolder {
	/** Set by net.js. */
	onconnection: OnConnection | null = null;
	/** That function, where `accept` does the same. */
	#accepts: OnConnection | null = null;
	readonly #host: StackHost;
	readonly #address: string;
	/** The address that `server.address()` has. */
	shown: string;
	readonly ipv6: Ipv6Side;
	port: number;
	#backlog = 0;
	#listening = false;
	/** Not there where another server listens in this one's place. */
	#listener: StackListener | null = null;
	#scope: AsyncResource | null = null;
	/** Which kind of handle its connections get. */
	#plain: boolean;
	readonly #pooled: boolean;
	#referenced = true;
	#holding = false;

	/** @param address Where to listen, "0.0.0.0" for all addresses; @param port 0 for any; @param ipv6 What the program's address has of IPv6. */
	constructor(host: StackHost, address: string, port: number, options: HandleOptions = {}, ipv6: Ipv6Side = "none") {
		super(TCP_SERVER);
		this.#plain = options.plainHandles ?? true;
		this.#pooled = options.pooledChunks ?? false;
		this.#host = host;
		this.#address = address;
		this.shown = address;
		this.port = port;
		this.ipv6 = ipv6;
	}

	listen(backlog: number): number {
		// Asked also where plain handles are not wanted: it is what lets JSStreams write at once.
		plainHandlesWork();
		this.#plain &&= wantsPlainHandles(this.#server);
		const accepts = this.#plain && this.onconnection !== null && acceptEquals(this.onconnection, probeHandle);
		this.#accepts = accepts ? this.onconnection : null;
		this.#backlog = backlog;
		// One scope for all its connections: they belong to whoever called `listen` (AsyncLocalStorage).
		this.#scope = new AsyncResource("TCPSERVERWRAP");
		// `other.listen(server)`: from now on they are the other's.
		if (this.#listening) return 0;
		const error = takePort(this.#host, this);
		this.#listening = error === 0;
		this.#hold();
		return error;
	}

	// --- for ipv6-ports.ts

	open(): number {
		// Another server's closing leads here as well, also at the end of the host.
		if (this.#listener !== null) return 0;
		try {
			const listener = this.#host.tcpListen({ address: this.#address, port: this.port, backlog: backlogOf(this.#backlog) });
			this.#listener = listener;
			this.port = listener.port;
			listener.onconnection = (socket) => this.#accept(socket);
			listener.onclose = () => this.lost();
		} catch (error) {
			return errnoOfThrown(error);
		}
		return 0;
	}

	stepBack(): void {
		this.#listener?.close();
		this.#listener = null;
	}

	lost(): void {
		// A server without a host would keep the process alive for nobody.
		// Node's own `close`: what the program made of it is for its own calls.
		net.Server.prototype.close.call(this.#server);
	}

	get #server(): net.Server {
		return (this as unknown as Record<symbol, net.Server>)[ownerSymbol]!;
	}

	/** In the scope of the server: a connection is there. */
	static arrived(handle: ServerHandle, client: object): void {
		const { onconnection } = handle;
		if (onconnection === handle.#accepts) accept(handle.#server, client, handle, onconnection!);
		else onconnection!.call(handle, 0, client);
	}

	#accept(socket: StackSocket): void {
		try {
			// The handle is made outside of the scope: as with the kernel, what is read belongs to nobody.
			const handle = this.#plain ? new PlainHandle(this.#host, this.#pooled) : new StackHandle(this.#host);
			handle.conduit.adopt(socket);
			this.#scope!.runInAsyncScope(ServerHandle.arrived, undefined, this, handle);
		} catch (error) {
			throwLater(error);
		}
	}

	override close(callback?: () => void): void {
		this.stepBack();
		if (this.#listening) {
			this.#listening = false;
			givePort(this.#host, this);
		}
		this.#hold();
		super.close(callback);
	}

	getsockname(out: AddressOut): number {
		if (!this.#listening) return EINVAL;
		out.address = this.shown;
		out.family = "IPv4";
		out.port = this.port;
		return 0;
	}

	override ref(): void {
		this.#referenced = true;
		this.#hold();
	}

	override unref(): void {
		this.#referenced = false;
		this.#hold();
	}

	override hasRef(): boolean {
		return this.#referenced && this.#listening;
	}

	#hold(): void {
		const holding = this.#referenced && this.#listening;
		if (holding === this.#holding) return;
		this.#holding = holding;
		if (holding) hold(this.#host);
		else release(this.#host);
	}
}
