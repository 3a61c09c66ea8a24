/**
 * `createNet(host)`: a module object that can be used wherever `node:net` is, and whose sockets live on that host.
 *
 * `Socket` and `Server` are subclasses of Node's own, so everything that takes those takes these; they differ in `connect`,
 * `resetAndDestroy` and `_listen2` alone. Node's global classes are not touched, but for what TLS, child processes and threads need to bear our handles (tls-upgrade.ts,
 * ipc-guard.ts). UNIX sockets and file descriptors are the kernel's as ever, names are
 * resolved as Node does (`lookup` option, else `dns.lookup`), and an IPv6 address that is not a loop-back address is unreachable.
 *
 * Sockets that a server accepts are made by Node and therefore of its class; `instanceof` counts them in.
 */
import cluster from "node:cluster";
import { channel } from "node:diagnostics_channel";
import net from "node:net";
import { MillraceError } from "../errors.ts";
import { refuseUnknown, trueOrFalse, withMethods } from "../link/known-options.ts";
import { Dialer } from "./dial.ts";
import type { SocketInternals } from "./internals.ts";
import { guardIpc } from "./ipc-guard.ts";
import { type Listen2, prepareServer } from "./listen.ts";
import { resetAndDestroy } from "./ownership.ts";
import { PlainHandle } from "./plain-handle.ts";
import { StackOnly } from "./policy.ts";
import type { HandleOptions } from "./server-handle.ts";
import type { StackHost } from "./stack.ts";
import { upgradeForTls } from "./tls-upgrade.ts";

/** Where Node tells who listens of each socket that `connect` makes. */
const clientSockets = channel("net.client.socket");
/** It is Node's `net.connect` that tells; later ones do it in a socket's `connect`, which is called here, too. */
const connectTells = /ClientSocketChannel/.test(String(net.connect));

/** `node:net`, on a host of the stack. */
export type StackNet = typeof net & {
	/**
	 * Makes a server that Node made (`http.createServer()`, `tls.createServer()`) listen on this host. To be called before
	 * `listen`. Returns the server.
	 */
	adopt<T extends net.Server>(server: T): T;
};

/**
 * Makes a module object compatible with `node:net` whose TCP sockets live on `host`.
 *
 * @example
 * const { createServer, connect } = createNet(host);
 * @throws {MillraceError} MILLRACE_BAD_OPTION
 */
export function createNet(host: StackHost, options: HandleOptions = {}): StackNet {
	withMethods(
		"what createNet is given",
		host,
		["tcpConnect", "tcpListen", "ref", "unref", "hasAddress", "hasListener"],
		"a host, such as that of createHost()",
	);
	refuseUnknown("createNet", options, ["plainHandles", "pooledChunks"]);
	trueOrFalse({ ...options });
	const policy = new StackOnly();
	const theHost = () => host;
	const dialer = new Dialer(theHost, policy, options.plainHandles ?? true);
	guardIpc();
	// Also for processes that never listen: JSStreams need it as well.
	upgradeForTls(PlainHandle);

	// Functions, not classes: Node's may be called without `new`, also on an object of a class derived by `util.inherits`.
	function Socket(this: unknown, options?: net.SocketConstructorOpts): net.Socket {
		if (new.target === undefined && this instanceof Socket) return initialized(net.Socket, this as net.Socket, [options]);
		return Reflect.construct(net.Socket, [options], new.target ?? Socket);
	}
	inherit(Socket, net.Socket, {
		connect(this: net.Socket, ...args: unknown[]): net.Socket {
			dialer.prepare(this as SocketInternals, args);
			return Reflect.apply(net.Socket.prototype.connect, this, args);
		},
		resetAndDestroy,
	});

	const listen2: Listen2 = function (address, port, addressType, backlog, fd, flags) {
		const taken = prepareServer(this, theHost, policy, address, port, fd, flags, options);
		const listen = (net.Server.prototype as unknown as { _listen2: Listen2 })._listen2;
		if (taken === null) listen.call(this, address, port, addressType, backlog, fd, flags);
		else listen.call(this, taken, port, net.isIPv6(taken) ? 6 : 4, backlog, fd, flags);
	};

	function Server(this: unknown, options?: unknown, listener?: unknown): net.Server {
		if (new.target === undefined && this instanceof Server) return initialized(net.Server, this as net.Server, [options, listener]);
		return Reflect.construct(net.Server, [options, listener], new.target ?? Server);
	}
	inherit(Server, net.Server, { _listen2: listen2, listen: listenHere });

	function connect(...args: unknown[]): net.Socket {
		let options: unknown = args[0];
		if (typeof options !== "object") options = undefined;
		const socket = Reflect.construct(Socket, [options]) as net.Socket;
		if (connectTells && clientSockets.hasSubscribers) clientSockets.publish({ socket });
		const timeout = (options as { timeout?: number } | undefined)?.timeout;
		if (timeout) socket.setTimeout(timeout);
		return Reflect.apply(socket.connect, socket, args);
	}

	function createServer(options?: unknown, listener?: unknown): net.Server {
		return Reflect.construct(Server, [options, listener]);
	}

	function adopt<T extends net.Server>(server: T): T {
		if (!(server instanceof net.Server))
			throw new MillraceError("EINVAL", "adopt takes a server that Node made: http.createServer() or another");
		return Object.assign(server, { _listen2: listen2, listen: listenHere });
	}

	return { ...net, Socket, Stream: Socket, Server, connect, createConnection: connect, createServer, adopt } as unknown as StackNet;
}

/** In a cluster worker, Node would ask the primary for a kernel socket, unless the server is exclusive. */
function listenHere(this: net.Server, ...args: unknown[]): net.Server {
	const listen = net.Server.prototype.listen as (...args: unknown[]) => net.Server;
	if (cluster.isPrimary) return Reflect.apply(listen, this, args);
	const [first, second] = args;
	const callback = args.findLast((arg) => typeof arg === "function");
	let options: Record<string, unknown>;
	if (typeof first === "object" && first !== null) {
		// Handles (no copy of which is one), file descriptors and paths: the kernel's, as Node does it.
		if (!("port" in first)) return Reflect.apply(listen, this, args);
		options = { ...first, exclusive: true };
	} else if (typeof first === "string" && !(Number(first) >= 0)) return Reflect.apply(listen, this, args);
	else {
		options = { port: typeof first === "function" ? 0 : (first ?? 0), exclusive: true };
		if (typeof second === "string") options.host = second;
		const backlog = args.slice(1).find((arg) => typeof arg === "number");
		if (backlog !== undefined) options.backlog = backlog;
	}
	return Reflect.apply(listen, this, callback === undefined ? [options] : [options, callback]);
}

/** Has `base` initialize an object that was made already, as `base.call(object, ...)` does. */
function initialized<T extends object>(base: unknown, object: T, args: unknown[]): T {
	Reflect.apply(base as (...args: unknown[]) => void, object, args);
	return object;
}

/** Makes `derived` a subclass of `base` with `methods`, of which whatever `base` made is an instance, too. */
function inherit(derived: (this: unknown, ...args: never[]) => unknown, base: { prototype: object }, methods: object): void {
	Object.setPrototypeOf(derived, base);
	derived.prototype = Object.create(base.prototype, { constructor: { value: derived, writable: true, configurable: true } });
	for (const [name, method] of Object.entries(methods)) {
		Object.defineProperty(derived.prototype, name, { value: method, writable: true, configurable: true });
	}
	Object.defineProperty(derived, Symbol.hasInstance, {
		value(this: unknown, value: unknown) {
			// A class derived from this one keeps the usual meaning.
			if (this === derived) return value instanceof (base as unknown as new () => object);
			return Function.prototype[Symbol.hasInstance].call(this, value);
		},
	});
}
