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
import { hold, release } from "./alive.ts";
import type { AddressOut } from "./conduit.ts";
import { EINVAL, errnoOfThrown } from "./errno.ts";
import { StackHandle } from "./handle.ts";
import { TCP, TCP_SERVER } from "./internals.ts";
import { throwLater } from "./later.ts";
import type { StackHost, StackListener, StackSocket } from "./stack.ts";

export class ServerHandle extends TCP {
	/** Set by net.js. */
	onconnection: ((this: ServerHandle, status: number, client: object) => void) | null = null;
	readonly #host: StackHost;
	readonly #address: string;
	readonly #port: number;
	#listener: StackListener | null = null;
	#scope: AsyncResource | null = null;
	#referenced = true;
	#holding = false;

	/** @param address Where to listen, "0.0.0.0" for all addresses; @param port 0 for any. */
	constructor(host: StackHost, address: string, port: number) {
		super(TCP_SERVER);
		this.#host = host;
		this.#address = address;
		this.#port = port;
	}

	listen(backlog: number): number {
		try {
			const listener = this.#host.tcpListen({ address: this.#address, port: this.#port, backlog });
			this.#listener = listener;
			// One scope for all its connections: they belong to whoever called `listen` (AsyncLocalStorage).
			this.#scope = new AsyncResource("TCPSERVERWRAP");
			listener.onconnection = (socket) => this.#accept(socket);
		} catch (error) {
			return errnoOfThrown(error);
		}
		this.#hold();
		return 0;
	}

	#accept(socket: StackSocket): void {
		try {
			this.#scope!.runInAsyncScope(acceptNow, undefined, this, this.#host, socket);
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

function acceptNow(server: ServerHandle, host: StackHost, socket: StackSocket): void {
	const handle = new StackHandle(host);
	handle.conduit.adopt(socket);
	server.onconnection!(0, handle);
}
