/**
 * The kernel's TCP, for code that needs it in a process whose `node:net` may have been moved onto the stack.
 *
 * Hides the preload: millrace/register replaces `net.Server.prototype._listen2` and `net.Socket.prototype.connect`, so a
 * gateway that used plain `net` would call itself. These subclasses carry the methods that were there when this module was
 * loaded; whoever patches must therefore import this module first (preload.ts does, through from-environment.ts).
 */
import net from "node:net";
import { getSystemErrorName } from "node:util";

/** The method that binds a server; Node keeps its name for code that wraps it, but does not declare it. */
interface Listening {
	_listen2: (...args: unknown[]) => void;
}

/** What Node's own cluster makes listeners with: bound before it returns, or the error's number. */
interface HandleMaker {
	_createServerHandle(address: string, port: number, addressType: 4 | 6): ServerHandle | number;
}

interface ServerHandle {
	listen(backlog: number): number;
	close(): void;
	onconnection: (error: number, client: AcceptedHandle | undefined) => void;
}

/** A connection that the kernel has accepted, for a socket to be made of. */
export type AcceptedHandle = object;

/** Options of the constructor that Node does not declare: `onread` is documented for `connect` only, the others are what its servers give. */
interface MoreOptions {
	onread?: net.OnReadOpts;
	handle?: AcceptedHandle;
	pauseOnCreate?: boolean;
}

/** As many as the kernel allows (somaxconn): how many may wait is for the program behind to say, whose own limit is in the stack. */
const BACKLOG = 65_535;

const { connect } = net.Socket.prototype;
const { _listen2 } = net.Server.prototype as unknown as Listening;

/** A socket of the kernel's TCP, whatever `net.Socket.prototype.connect` has become. */
export class KernelSocket extends net.Socket {
	constructor(options?: net.SocketConstructorOpts & MoreOptions) {
		super(options);
	}

	/**
	 * As Node's, but it closes the socket also while its FIN is being sent: libuv has no reset then (EINVAL), and Node never closes the handle
	 * afterwards, neither at the end of the process, which waits for that with all its might. All bytes are the kernel's by then;
	 * closing sends the FIN behind them, and answers what still comes with a reset.
	 */
	override resetAndDestroy(): this {
		const finishing = this.writableEnded && !this.writableFinished && this.writableLength === 0;
		return finishing ? this.destroy() : super.resetAndDestroy();
	}
}
KernelSocket.prototype.connect = connect;

/** A server on the kernel's TCP, whatever `net.Server.prototype._listen2` has become. */
export class KernelServer extends net.Server {
	/**
	 * Listens before it returns; `listen` would do so later, and tell of an error later still.
	 *
	 * @param address An address, not a name.
	 * @param accepted Gets each connection as a handle, for a socket with options that Node's servers do not know: "connection" is not emitted.
	 * @returns The code of the error, or null.
	 */
	listenNow(address: string, port: number, accepted: (handle: AcceptedHandle) => void): string | null {
		const handle = (net as unknown as HandleMaker)._createServerHandle(address, port, net.isIPv6(address) ? 6 : 4);
		if (typeof handle === "number") return getSystemErrorName(handle);
		// The kernel may tell only here that somebody else has the port.
		const error = handle.listen(BACKLOG);
		if (error !== 0) {
			handle.close();
			return getSystemErrorName(error);
		}
		this.listen({ _handle: handle });
		handle.onconnection = (_error, client) => {
			// An error concerns a connection that is not there (too many open files): its client sees a reset.
			if (client !== undefined) accepted(client);
		};
		return null;
	}
}
(KernelServer.prototype as unknown as Listening)._listen2 = _listen2;
