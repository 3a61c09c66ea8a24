/**
 * How the socket of an accepted connection is made: what net.js's own `onconnection` does, for less.
 *
 * Hides one property of Node 20: `net.Socket` copies its options and then adds three fields to the copy. V8 11 makes a new shape for
 * every such copy, so each socket misses all inline caches of the constructors above and below it: 6.5 us, against 0.3 us
 * when the options have the three fields from the start. Nothing else differs, so net.js's function stays in charge wherever it
 * does more than make a socket: errors, `maxConnections`, `blockList`, and whenever somebody has put another function in its place.
 *
 * `acceptFor` tries both on a connection that is made up, once, and compares what comes out: a Node that accepts in another way keeps its own.
 */
import { channel } from "node:diagnostics_channel";
import net from "node:net";
import { debuglog } from "node:util";
import { ownerSymbol, type SocketInternals } from "./internals.ts";
import { finished } from "./ownership.ts";

/** `onconnection` of a server's handle. */
export type OnConnection = (this: object, status: number, client: object) => void;

/** What is used of a `net.Server` that its type does not tell. */
interface ServerInternals extends net.Server {
	allowHalfOpen: boolean;
	pauseOnConnect: boolean;
	highWaterMark: number;
	noDelay: boolean;
	keepAlive: boolean;
	/** In seconds. */
	keepAliveInitialDelay: number;
	blockList?: unknown;
	_connections: number;
}

interface AcceptedSocket extends SocketInternals {
	server: unknown;
	_server: unknown;
}

interface ClientHandle {
	setNoDelay(on: boolean): number;
	setKeepAlive(on: boolean, seconds: number): number;
}

const debug = debuglog("millrace");
const accepted = channel("net.server.socket");
const { Socket } = net;

/** Announces a connection to its server. `node` is net.js's own function, for all that is more than making a socket. */
export function accept(server: net.Server, client: object, handle: object, node: OnConnection): void {
	const self = server as ServerInternals;
	// Node 20 takes a limit of 0 for none, Node 26 for 0: it shall decide.
	if ((self.maxConnections !== undefined && self.maxConnections !== null) || self.blockList) {
		node.call(handle, 0, client);
		return;
	}
	const socket = finished(client, Socket as unknown as new (options: never) => AcceptedSocket, {
		handle: client,
		allowHalfOpen: self.allowHalfOpen,
		pauseOnCreate: self.pauseOnConnect,
		readable: true,
		writable: true,
		readableHighWaterMark: self.highWaterMark,
		writableHighWaterMark: self.highWaterMark,
		noDelay: self.noDelay,
		keepAlive: self.keepAlive,
		// The socket wants milliseconds, and only where it is on.
		keepAliveInitialDelay: self.keepAlive ? self.keepAliveInitialDelay * 1000 : 0,
		// What the constructor would add.
		emitClose: false,
		autoDestroy: true,
		decodeStrings: false,
	});
	if (self.noDelay) (client as ClientHandle).setNoDelay(true);
	if (self.keepAlive) (client as ClientHandle).setKeepAlive(true, self.keepAliveInitialDelay);
	self._connections++;
	socket.server = self;
	socket._server = self;
	self.emit("connection", socket);
	if (accepted.hasSubscribers) accepted.publish({ socket });
}

/** The function of net.js that `accept` was seen to equal. */
let equalled: OnConnection | null = null;
const differing = new WeakSet<OnConnection>();

/**
 * Whether `accept` may stand in for this `onconnection` of a server's handle.
 *
 * @param probe Makes a client handle over a connection that is made up.
 */
export function acceptEquals(node: OnConnection, probe: () => object): boolean {
	if (node === equalled) return true;
	if (equalled !== null || differing.has(node)) return false;
	// Whoever watches accepted sockets shall not see those that are made up. The next server may try.
	if (accepted.hasSubscribers) return false;
	if (comes(node, probe)) equalled = node;
	else differing.add(node);
	return equalled === node;
}

function comes(node: OnConnection, probe: () => object): boolean {
	const make = (options: object, by: (server: net.Server, client: object, handle: object) => void) => {
		const server = new net.Server(options);
		let socket: net.Socket | undefined;
		server.on("connection", (one) => {
			socket = one;
		});
		const calls: string[] = [];
		const client = probe() as Record<"setNoDelay" | "setKeepAlive", unknown>;
		client.setNoDelay = (on: boolean) => calls.push(`noDelay ${on}`);
		client.setKeepAlive = (on: boolean, seconds: number) => calls.push(`keepAlive ${on} ${seconds}`);
		by(server, client, { [ownerSymbol]: server });
		calls.push(`${(server as ServerInternals)._connections} connections`, String(socket instanceof Socket));
		return { calls: calls.join(), socket, server };
	};
	const all = {
		allowHalfOpen: true,
		pauseOnConnect: true,
		noDelay: true,
		keepAlive: true,
		keepAliveInitialDelay: 5000,
		highWaterMark: 4321,
	};
	try {
		for (const options of [{}, all]) {
			const theirs = make(options, (_, client, handle) => node.call(handle, 0, client));
			const ours = make(options, (server, client, handle) => accept(server, client, handle, node));
			const difference = theirs.calls === ours.calls ? firstDifference(theirs.socket!, ours.socket!) : `${theirs.calls}: ${ours.calls}`;
			// They are nobody's: their handles know no peer and hold nothing.
			for (const { socket } of [theirs, ours]) socket?.on("error", () => {}).destroy();
			if (difference !== null) {
				debug("this Node accepts connections in a way of its own (%s)", difference);
				return false;
			}
		}
		return true;
	} catch (error) {
		debug("this Node accepts connections in a way of its own (%s)", error);
		return false;
	}
}

/** Where two sockets differ, in their own properties and those of their stream states; null if nowhere. */
function firstDifference(a: object, b: object, depth = 1): string | null {
	const keys = Reflect.ownKeys(a);
	if (keys.length !== Reflect.ownKeys(b).length) return "number of properties";
	for (const key of keys) {
		const x = (a as Record<PropertyKey, unknown>)[key];
		const y = (b as Record<PropertyKey, unknown>)[key];
		if (x === y || (typeof x === "number" && String(key).includes("async_id"))) continue;
		const nested = typeof x === "object" && typeof y === "object" && x !== null && y !== null;
		if (!nested && !(typeof x === "function" && typeof y === "function" && x.name === y.name)) return String(key);
		if (nested && depth > 0 && key !== "_handle" && key !== "server" && key !== "_server") {
			const inner = firstDifference(x, y, depth - 1);
			if (inner !== null) return `${String(key)}: ${inner}`;
		}
	}
	return null;
}
