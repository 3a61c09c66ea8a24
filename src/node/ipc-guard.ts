/**
 * Keeps sockets of the stack from being sent to other processes.
 *
 * `child.send(message, socket)` gives the socket's handle to C++, which takes it for a kernel handle whatever it is and reads beyond it.
 * So the method that does it, `_send` of a child process and of `process`, refuses sockets on the stack first. It is an own
 * property of each child that Node sets when the channel is made; a setter on the prototype sees it.
 */
import { ChildProcess } from "node:child_process";
import { MillraceError } from "../errors.ts";
import { isOnStack } from "./ownership.ts";
import { ServerHandle } from "./server-handle.ts";

type Send = (this: unknown, message: unknown, handle: unknown, ...rest: unknown[]) => unknown;

function guarded(send: Send): Send {
	return function (this: unknown, message, handle, ...rest) {
		const inner = (handle as { _handle?: unknown } | null | undefined)?._handle ?? handle;
		if (isOnStack(inner) || inner instanceof ServerHandle) {
			throw new MillraceError(
				"MILLRACE_NOT_TRANSFERABLE",
				"a socket on the stack cannot be sent to another process; leave its port to the kernel with --kernel-ports",
			);
		}
		return Reflect.apply(send, this, [message, handle, ...rest]);
	};
}

let installed = false;

/** Guards the channels of this process: the one to its parent, and those to children from now on. */
export function guardIpc(): void {
	if (installed) return;
	installed = true;
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
