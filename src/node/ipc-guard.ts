/**
 * Keeps sockets of the stack from being sent to other processes, and to other threads.
 *
 * `child.send(message, socket)` gives the socket's handle to C++, which takes it for a kernel handle whatever it is and reads beyond it.
 * So the method that does it, `_send` of a child process and of `process`, refuses sockets on the stack first. It is an own
 * property of each child that Node sets when the channel is made; a setter on the prototype sees it.
 *
 * To a thread, from Node 26 on, `postMessage` moves what sockets and servers name as their handles. A server's on the stack would be moved as
 * a kernel handle that was never opened: the message arrives nowhere, and the server has no handle any more. So the method
 * that names them refuses as well.
 */
import { ChildProcess } from "node:child_process";
import net from "node:net";
import { MillraceError } from "../errors.ts";
import { isOnStack } from "./ownership.ts";
import { ServerHandle } from "./server-handle.ts";

type Send = (this: unknown, message: unknown, handle: unknown, ...rest: unknown[]) => unknown;
type Handles = (this: unknown) => unknown[];

function refuseOurs(socketOrHandle: unknown, where: string): void {
	const inner = (socketOrHandle as { _handle?: unknown } | null | undefined)?._handle ?? socketOrHandle;
	if (isOnStack(inner) || inner instanceof ServerHandle) {
		throw new MillraceError(
			"MILLRACE_NOT_TRANSFERABLE",
			`a socket on the stack cannot be sent to another ${where}; leave its port to the kernel with --kernel-ports`,
		);
	}
}

function guarded(send: Send): Send {
	return function (this: unknown, message, handle, ...rest) {
		refuseOurs(handle, "process");
		return Reflect.apply(send, this, [message, handle, ...rest]);
	};
}

/** Guards the method, if this Node has it, by which a socket or server names the handles that move with it. */
function guardMoves(prototype: object): void {
	const symbol = Object.getOwnPropertySymbols(prototype).find(({ description }) => description === "messaging_transfer_list_symbol");
	if (symbol === undefined) return;
	const methods = prototype as Record<symbol, Handles>;
	const handles = methods[symbol]!;
	methods[symbol] = function (this: unknown) {
		refuseOurs(this, "thread");
		return Reflect.apply(handles, this, []);
	};
}

let installed = false;

/** Guards the channels of this process: the one to its parent, those to children from now on, and those to threads. */
export function guardIpc(): void {
	if (installed) return;
	installed = true;
	guardMoves(net.Socket.prototype);
	guardMoves(net.Server.prototype);
	const self = process as unknown as { _send?: Send };
	if (self._send !== undefined) self._send = guarded(self._send);
	Object.defineProperty(ChildProcess.prototype, "_send", {
		configurable: true,
		get: () => undefined,
		set(this: object, send: Send) {
			Object.defineProperty(this, "_send", { configurable: true, enumerable: true, writable: true, value: guarded(send) });
		},
	});
}
