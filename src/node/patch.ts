/**
 * The preload's patch: `net.Socket.prototype.connect` and `net.Server.prototype._listen2`, and `resetAndDestroy`, which in Node insists on
 * a TCP handle. What it sets off elsewhere: the guards of outside.ts (`process.nextTick`) and ipc-guard.ts, and the upgrade of tls-upgrade.ts.
 * docs/design.md, decision 14, has all that is patched, and why.
 *
 * http, https, http2, fetch and undici come through the first two, whenever they were imported. All call through, and keep name and
 * arity, so that other wrappers of the same methods find what they expect.
 */
import net from "node:net";
import { bad, refuseUnknown, trueOrFalse, withMethods } from "../link/known-options.ts";
import { Dialer } from "./dial.ts";
import type { SocketInternals } from "./internals.ts";
import { guardIpc } from "./ipc-guard.ts";
import { type Listen2, prepareServer } from "./listen.ts";
import { guardTicks } from "./outside.ts";
import { resetAndDestroy } from "./ownership.ts";
import { PlainHandle } from "./plain-handle.ts";
import type { Policy } from "./policy.ts";
import type { HandleOptions } from "./server-handle.ts";
import type { StackHost } from "./stack.ts";
import { upgradeForTls } from "./tls-upgrade.ts";

/**
 * Sends the sockets of this thread to the stack, as `policy` says.
 *
 * @param host Called when the first socket needs it.
 * @returns Undoes the patch; sockets that are open stay as they are.
 */
export function installPatch(host: () => StackHost, policy: Policy, options: HandleOptions = {}): () => void {
	if (typeof host !== "function") throw bad("installPatch needs a function that gives the host");
	withMethods("the policy of a patch", policy, ["listener", "destination", "mayDial"], "one such as new StackOnly()");
	refuseUnknown("installPatch", options, ["plainHandles", "pooledChunks"]);
	trueOrFalse({ ...options });
	const sockets = net.Socket.prototype;
	const servers = net.Server.prototype as unknown as { _listen2: Listen2 };
	const nodeConnect = sockets.connect;
	const nodeReset = sockets.resetAndDestroy;
	const nodeListen = servers._listen2;
	const dialer = new Dialer(host, policy, options.plainHandles ?? true);
	guardTicks();

	const connect = function (this: net.Socket, ...args: unknown[]): net.Socket {
		dialer.prepare(this as SocketInternals, args);
		return Reflect.apply(nodeConnect, this, args);
	};
	const listen: Listen2 = function (address, port, addressType, backlog, fd, flags) {
		const taken = prepareServer(this, host, policy, address, port, fd, flags, options);
		if (taken === null) nodeListen.call(this, address, port, addressType, backlog, fd, flags);
		else nodeListen.call(this, taken, port, net.isIPv6(taken) ? 6 : 4, backlog, fd, flags);
	};
	Object.defineProperty(connect, "name", { value: nodeConnect.name });
	Object.defineProperty(listen, "name", { value: nodeListen.name });
	sockets.connect = connect as typeof nodeConnect;
	sockets.resetAndDestroy = resetAndDestroy as typeof nodeReset;
	servers._listen2 = listen;
	guardIpc();
	// Also for processes that never listen: JSStreams need it as well.
	upgradeForTls(PlainHandle);

	return () => {
		if (sockets.connect === (connect as typeof nodeConnect)) sockets.connect = nodeConnect;
		if (sockets.resetAndDestroy === (resetAndDestroy as typeof nodeReset)) sockets.resetAndDestroy = nodeReset;
		if (servers._listen2 === listen) servers._listen2 = nodeListen;
	};
}
