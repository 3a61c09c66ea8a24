/**
 * The moment at which net.js says which socket a handle belongs to, and what sockets on the stack need to have from then on.
 *
 * Hides that net.js makes the sockets of a server itself, of its own class: setting the property named by `owner_symbol` is the first that a
 * handle hears of its socket. What must be of our own is put on the socket there, as a property.
 */
import net from "node:net";
import { ownerSymbol, type SocketInternals } from "./internals.ts";

const sockets = net.Socket.prototype;
const nodeReset = sockets.resetAndDestroy;

/** A handle that can tell its owner. */
export interface Owned {
	owner: SocketInternals | null;
	/** Marks handles of the stack. */
	readonly onStack: true;
	/** Puts on a socket what it needs to have. */
	equip(socket: SocketInternals): void;
}

/** Whether a handle is one of ours. */
export function isOnStack(handle: unknown): boolean {
	return (handle as Partial<Owned> | null | undefined)?.onStack === true;
}

/**
 * `resetAndDestroy` of Node insists on a TCP handle, so sockets on the stack have one of their own. A TLS socket has none:
 * with a kernel socket, too, Node refuses.
 */
export function resetAndDestroy(this: SocketInternals): SocketInternals {
	if (!isOnStack(this._handle)) return nodeReset.call(this) as SocketInternals;
	if (this.connecting) this.once("connect", () => this._reset());
	else this._reset();
	return this;
}

/** The handle whose socket is being made by `finished`. */
let unfinished: object | null = null;

/**
 * Makes a socket over a handle, and puts our properties on it when it has all of Node's own. If they came in the middle, what the constructor
 * does afterwards would meet shapes that no other socket has, and V8 would look each property up.
 */
export function finished<S extends SocketInternals>(handle: object, Socket: new (options: never) => S, options: object): S {
	unfinished = handle;
	let socket: S;
	try {
		socket = new Socket(options as never);
	} finally {
		unfinished = null;
	}
	(handle as Partial<Owned>).equip?.(socket);
	return socket;
}

/** Makes the handles with this prototype know their socket as `owner`. `adopt` is called with each, for what else it should have. */
export function ownable(prototype: Owned, adopt?: (socket: SocketInternals) => void): void {
	const equip = function (this: Owned, socket: SocketInternals): void {
		if (socket._handle !== this) return;
		// A class may have its own, which has ours as its `super` (patch.ts, net.ts).
		if (socket.resetAndDestroy === sockets.resetAndDestroy) socket.resetAndDestroy = resetAndDestroy;
		adopt?.(socket);
	};
	Object.defineProperty(prototype, "onStack", { value: true });
	Object.defineProperty(prototype, "equip", { value: equip });
	Object.defineProperty(prototype, ownerSymbol, {
		get(this: Owned) {
			return this.owner;
		},
		set(this: Owned, owner: SocketInternals) {
			this.owner = owner;
			if (unfinished !== this) this.equip(owner);
		},
	});
}
