/**
 * The handle of a `net.Server` on the stack.
 *
 * Hides the stack's listener behind the calls that net.js makes: `listen`, `close`, `ref`, `unref`, `getsockname`, and
 * `onconnection` for each connection. It is a TCP handle without a kernel socket, so whoever takes it for one (a cluster that sends it
 * to a worker) gets EBADF from the kernel instead of reading somebody else's memory.
 *
 * As in the kernel, address and port are taken when the server listens, and an error is that of `listen`.
 */
import { AsyncResource } from "node:async_hooks";
import net from "node:net";
import { accept, acceptEquals, type OnConnection } from "./accept.ts";
import { hold, release } from "./alive.ts";
import type { AddressOut } from "./conduit.ts";
import { EINVAL, errnoOfThrown } from "./errno.ts";
import { StackHandle } from "./handle.ts";
import { ownerSymbol, TCP, TCP_SERVER } from "./internals.ts";
import { throwLater } from "./later.ts";
import { PlainHandle, probeHandle, wantsPlainHandles } from "./plain-handle.ts";
import type { StackHost, StackListener, StackSocket } from "./stack.ts";

/** Which handles connections get. */
export interface HandleOptions {
	/** Plain handles where they can be had (plain-handle.ts), the default; false: always JSStreams. */
	plainHandles?: boolean;
}

/** The handle of a `net.Server` on the stack. */
export class ServerHandle extends TCP {
	/** Set by net.js. */
	onconnection: OnConnection | null = null;
	/** That function, where `accept` does the same. */
	#accepts: OnConnection | null = null;
	readonly #host: StackHost;
	readonly #address: string;
	readonly #port: number;
	#listener: StackListener | null = null;
	#scope: AsyncResource | null = null;
	/** Which kind of handle its connections get. */
	#plain: boolean;
	#referenced = true;
	#holding = false;

	/** @param address Where to listen, "0.0.0.0" for all addresses; @param port 0 for any. */
	constructor(host: StackHost, address: string, port: number, options: HandleOptions = {}) {
		super(TCP_SERVER);
		this.#plain = options.plainHandles ?? true;
		this.#host = host;
		this.#address = address;
		this.#port = port;
	}

	listen(backlog: number): number {
		this.#plain &&= wantsPlainHandles(this.#server);
		if (this.#plain && this.onconnection !== null && acceptEquals(this.onconnection, probeHandle)) this.#accepts = this.onconnection;
		try {
			const listener = this.#host.tcpListen({ address: this.#address, port: this.#port, backlog });
			this.#listener = listener;
			// One scope for all its connections: they belong to whoever called `listen` (AsyncLocalStorage).
			this.#scope = new AsyncResource("TCPSERVERWRAP");
			listener.onconnection = (socket) => this.#accept(socket);
			// A server without a host would keep the process alive for nobody.
			// Node's own `close`: what the program made of it is for its own calls.
			listener.onclose = () => void net.Server.prototype.close.call(this.#server);
		} catch (error) {
			return errnoOfThrown(error);
		}
		this.#hold();
		return 0;
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
			const handle = this.#plain ? new PlainHandle(this.#host) : new StackHandle(this.#host);
			handle.conduit.adopt(socket);
			this.#scope!.runInAsyncScope(ServerHandle.arrived, undefined, this, handle);
		} catch (error) {
			throwLater(error);
		}
	}

	override close(callback?: () => void): void {
		this.#listener?.close();
		this.#listener = null;
		this.#hold();
		super.close(callback);
	}

	getsockname(out: AddressOut): number {
		const listener = this.#listener;
		if (listener === null) return EINVAL;
		out.address = listener.address;
		out.family = "IPv4";
		out.port = listener.port;
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

	hasRef(): boolean {
		return this.#referenced && this.#listener !== null;
	}

	#hold(): void {
		const holding = this.#referenced && this.#listener !== null;
		if (holding === this.#holding) return;
		this.#holding = holding;
		if (holding) hold(this.#host);
		else release(this.#host);
	}
}
