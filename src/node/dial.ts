/**
 * Active opens: how a `net.Socket` that is about to connect gets a handle on the stack.
 *
 * Hides when the decision falls. Node resolves the name, emits the events and makes the errors; all that happens here is that the
 * socket already has a handle when Node would make one, and that this handle is told the address last of all. If the
 * policy then says "kernel", it puts a TCP handle in its own place and passes the call on. Connections that are the kernel's unless a
 * server of this program listens there have a TCP handle that does the same the other way round: with the kernel, who is told to listen
 * before somebody connects does so before, though Node says it to the handles only on a later tick.
 *
 * Trying several addresses (autoSelectFamily) needs a handle for each. Node gives them to the socket by its method
 * kReinitializeHandle; a property of the same name on the socket replaces each TCP handle by one of ours.
 *
 * A TLS client has a TCP handle inside its TLS handle from the start, so it is given a new one by the same method, before it
 * connects. Where TLS was put on a socket that is still connecting, it is moved along to each handle that the socket gets.
 */
import { AsyncResource } from "node:async_hooks";
import net from "node:net";
import tls from "node:tls";
import { READ_SIZE } from "./chunks.ts";
import { EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENETUNREACH, systemError } from "./errno.ts";
import { StackHandle } from "./handle.ts";
import {
	ownerSymbol,
	type Request,
	reinitialize,
	reinitializeSymbol,
	type SocketInternals,
	TCP,
	TCP_SOCKET,
	type TCPHandle,
} from "./internals.ts";
import { handOver, listenerOf, plainHandlesWork, type Reader } from "./plain-handle.ts";
import { asIpv4, KERNEL, type Policy, UNDECIDED, UNREACHABLE } from "./policy.ts";
import type { StackHost, StackSocket } from "./stack.ts";

/** The dialer of a socket, for further attempts. */
const dialerSymbol = Symbol("millrace.dialer");
/** The TLS that was put on a socket, when the socket has been given another handle. */
const wrapperSymbol = Symbol("millrace.wrapper");

export class Dialer {
	/** The host; the first call may open it. */
	readonly host: () => StackHost;
	readonly policy: Policy;
	/** What is read need not pass C++, where Node keeps the contract of plain handles and nothing in C++ reads. */
	readonly plainReads: boolean;

	constructor(host: () => StackHost, policy: Policy, plainReads = true) {
		this.host = host;
		this.policy = policy;
		this.plainReads = plainReads;
	}

	/** To be called before Node's own `connect` with its arguments: gives the socket a handle, if it may need one. */
	prepare(socket: SocketInternals, args: readonly unknown[]): void {
		const options = optionsOf(args);
		if (options === null || !needsHandle(socket)) return;
		// Whatever is wrong with them, Node says so.
		const host = options.host || "localhost";
		const port = typeof options.port === "string" && options.port.trim() !== "" ? Number(options.port) : options.port;
		if (typeof host !== "string" || typeof port !== "number" || !(port >= 0 && port <= 65535)) return;
		const may = this.policy.mayDial(host, port);
		if (may === false) return;
		// A socket that is used again.
		if (socket.destroyed) Object.assign(socket, { _handle: null, _peername: null, _sockname: null });
		if (may === UNDECIDED) return reinitialize(socket, new UndecidedHandle(this));
		const several = socket as unknown as Record<symbol, unknown>;
		several[dialerSymbol] = this;
		several[reinitializeSymbol] = reinitializeOnStack;
		reinitialize(socket, new DialHandle(this));
	}
}

interface ConnectOptions {
	host?: unknown;
	port?: unknown;
	path?: unknown;
}

/** The options in the arguments of `connect`, or null if they are not for TCP. */
function optionsOf(args: readonly unknown[]): ConnectOptions | null {
	let first = args[0];
	// Arguments that Node has put in order already: [options, callback].
	if (Array.isArray(first)) first = first[0];
	if (typeof first === "object" && first !== null) return (first as ConnectOptions).path ? null : (first as ConnectOptions);
	// A number, or a string that is one, is a port; any other string is the path of a UNIX socket.
	if (typeof first === "string" && !(Number(first) >= 0)) return null;
	return { port: first, host: typeof args[1] === "string" ? args[1] : undefined };
}

function needsHandle(socket: SocketInternals): boolean {
	const handle = socket._handle as { _parent?: unknown; _parentWrap?: unknown } | null;
	if (handle === null) return !(socket as unknown as { _parent: { connecting?: boolean } | null })._parent?.connecting;
	// Fresh from `tls.connect`: the TCP handle inside was made for this socket, and not connected yet.
	return socket instanceof tls.TLSSocket && socket.connecting && handle._parentWrap === null && handle._parent instanceof TCP;
}

/** Node's way to give a socket the handle for its next attempt. */
function reinitializeOnStack(this: SocketInternals, handle: TCPHandle): void {
	handle.close();
	const dialer = (this as unknown as Record<symbol, Dialer>)[dialerSymbol]!;
	moveTo(this, new DialHandle(dialer));
}

/** Gives a socket its next handle, and the TLS that was put on it with it. */
function moveTo(socket: SocketInternals, handle: StackHandle | TCPHandle): void {
	const old = socket._handle;
	const noted = socket as unknown as Record<symbol, SocketInternals | null | undefined>;
	const ours = old instanceof StackHandle || old instanceof UndecidedHandle;
	const wrapper = (ours ? (old.wrapper as SocketInternals | null) : noted[wrapperSymbol]) ?? null;
	renew(socket, handle);
	if (wrapper === null || wrapper === socket || wrapper.destroyed) return;
	noted[wrapperSymbol] = wrapper;
	// What it read and wrote so far is nothing: it waits for the socket to connect.
	renew(wrapper, handle);
	(handle as unknown as Record<symbol, unknown>)[ownerSymbol] = socket;
	// As at first: whoever destroys the one destroys the other.
	(wrapper._handle as { _parentWrap?: unknown })._parentWrap = socket;
}

/** Of a stream's writable side what its `end` sets, and waits with for the connection; and what is told once, of a socket that was given up while its name was looked up. */
interface Kept {
	ended: boolean;
	ending: boolean;
	finalCalled: boolean;
	prefinished: boolean;
	errorEmitted: boolean;
	closeEmitted: boolean;
}

/** Gives a socket that is connecting another handle. Node begins anew with it then; but what the program has asked for since `connect` stands. */
function renew(socket: SocketInternals, handle: StackHandle | TCPHandle): void {
	const state = (socket as unknown as { _writableState: Kept })._writableState;
	const { ended, ending, finalCalled, prefinished, errorEmitted, closeEmitted } = state;
	reinitialize(socket, handle);
	Object.assign(state, { ended, ending, finalCalled, prefinished, errorEmitted, closeEmitted });
	if (!(socket instanceof tls.TLSSocket)) return;
	// TLS in C++ was told of these listeners when they came, and is another one now.
	const ssl = socket._handle as { enableSessionCallbacks?(): void; enableKeylogCallback?(): void };
	if (socket.listenerCount("session") > 0) ssl.enableSessionCallbacks?.();
	if (socket.listenerCount("keylog") > 0) ssl.enableKeylogCallback?.();
}

/** A handle that can connect. */
class DialHandle extends StackHandle implements Reader {
	readonly #policy: Policy;
	/** Bytes that JSStream has not seen. */
	#read = 0;
	readonly #plain: boolean;
	/** What becomes of the connection belongs to whoever made it (AsyncLocalStorage). */
	readonly #scope = new AsyncResource("TCPWRAP");

	constructor(dialer: Dialer) {
		super(dialer.host());
		this.#policy = dialer.policy;
		// To ask also lets writes be done at once.
		this.#plain = plainHandlesWork() && dialer.plainReads;
	}

	bind(address: string, port: number): number {
		return net.isIPv4(address) ? this.conduit.bind(address, port) : EINVAL;
	}

	bind6(address: string, port: number): number {
		return net.isIPv6(address) ? this.conduit.bind(address, port) : EINVAL;
	}

	connect(request: Request, address: string, port: number): number {
		const verdict = this.#policy.destination(address, port);
		if (verdict === KERNEL) return this.#handOver(request, address, port);
		if (verdict === UNREACHABLE) return this.conduit.refuse(ENETUNREACH);
		const { host, boundAddress, boundPort } = this.conduit;
		if (boundAddress !== undefined) {
			const local = asIpv4(boundAddress);
			if (local === null || (local !== "0.0.0.0" && !host.hasAddress(local))) return this.#bindFails(EADDRNOTAVAIL);
			if (boundPort !== 0 && host.hasListener(boundPort, local === "0.0.0.0" ? undefined : local)) return this.#bindFails(EADDRINUSE);
			this.conduit.bind(local, boundPort);
		}
		return this.conduit.connect(request, verdict, port);
	}

	override deliver(socket: StackSocket, atOnce: boolean): void {
		if (!this.#plain || !this.readByNet) return super.deliver(socket, atOnce);
		const available = Math.min(socket.available, READ_SIZE);
		this.#scope.runInAsyncScope(handOver, undefined, this, socket, available, listenerOf(this), false);
	}

	read(bytes: number): void {
		this.#read += bytes;
	}

	override get bytesRead(): number {
		return super.bytesRead + this.#read;
	}

	override readFailed(errno: number): void {
		this.#scope.runInAsyncScope(super.readFailed, this, errno);
	}

	override close(callback?: () => void): void {
		super.close(this.#scoped(callback));
	}

	override reset(callback?: () => void): number {
		return super.reset(this.#scoped(callback));
	}

	#scoped(callback: (() => void) | undefined): (() => void) | undefined {
		return callback === undefined ? undefined : () => this.#scope.runInAsyncScope(callback, this);
	}

	/** Which addresses are ours is known when the destination is: what went wrong is `bind` all the same. */
	#bindFails(errno: number): number {
		this.owner!.destroy(systemError(errno, "bind", this.conduit.boundAddress, this.conduit.boundPort));
		return 0;
	}

	connect6(request: Request, address: string, port: number): number {
		return this.connect(request, address, port);
	}

	/** Lets a TCP handle of the kernel take this one's place, with all that it was told so far. */
	#handOver(request: Request, address: string, port: number): number {
		const kernel = new TCP(TCP_SOCKET);
		moveTo(this.owner!, kernel);
		if (!this.conduit.referenced) kernel.unref();
		const ipv6 = net.isIPv6(address);
		const local = this.conduit.boundAddress;
		if (local !== undefined) {
			const error = ipv6 ? kernel.bind6(local, this.conduit.boundPort, 0) : kernel.bind(local, this.conduit.boundPort);
			if (error !== 0) return this.#bindFails(error);
		}
		return ipv6 ? kernel.connect6(request, address, port) : kernel.connect(request, address, port);
	}
}

/** A handle of the kernel that asks once more when it is to connect. */
class UndecidedHandle extends TCP {
	/** The `TLSSocket` that was put around the owner. */
	wrapper: unknown = null;
	readonly #dialer: Dialer;
	#local: string | undefined;
	#localPort = 0;

	constructor(dialer: Dialer) {
		super(TCP_SOCKET);
		this.#dialer = dialer;
	}

	override bind(address: string, port: number): number {
		this.#note(address, port);
		return super.bind(address, port);
	}

	override bind6(address: string, port: number, flags: number): number {
		this.#note(address, port);
		return super.bind6(address, port, flags);
	}

	override connect(request: Request, address: string, port: number): number {
		if (this.#dialer.policy.destination(address, port) === KERNEL) return super.connect(request, address, port);
		return this.#handOver(request, address, port);
	}

	override connect6(request: Request, address: string, port: number): number {
		if (this.#dialer.policy.destination(address, port) === KERNEL) return super.connect6(request, address, port);
		return this.#handOver(request, address, port);
	}

	#note(address: string, port: number): void {
		this.#local = address;
		this.#localPort = port;
	}

	#handOver(request: Request, address: string, port: number): number {
		const handle = new DialHandle(this.#dialer);
		if (!this.hasRef()) handle.unref();
		if (this.#local !== undefined) handle.conduit.bind(this.#local, this.#localPort);
		moveTo((this as unknown as Record<symbol, SocketInternals>)[ownerSymbol]!, handle);
		return handle.connect(request, address, port);
	}
}
