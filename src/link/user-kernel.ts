/**
 * The kernel's TCP, for code that needs it in a process whose `node:net` may have been moved onto the stack.
 *
 * Hides the preload: millrace/register replaces `net.Server.prototype._listen2` and `net.Socket.prototype.connect`, so a
 * gateway that used plain `net` would call itself. These subclasses carry the methods that were there when this module was
 * loaded; whoever patches must therefore import this module first (register does, through from-environment.ts).
 */
import net from "node:net";

/** The method that binds a server; Node keeps its name for code that wraps it, but does not declare it. */
interface Listening {
	_listen2: (...args: unknown[]) => void;
}

const { connect } = net.Socket.prototype;
const { _listen2 } = net.Server.prototype as unknown as Listening;

/** A socket of the kernel's TCP, whatever `net.Socket.prototype.connect` has become. */
export class KernelSocket extends net.Socket {}
KernelSocket.prototype.connect = connect;

/** A server on the kernel's TCP, whatever `net.Server.prototype._listen2` has become. */
export class KernelServer extends net.Server {}
(KernelServer.prototype as unknown as Listening)._listen2 = _listen2;
