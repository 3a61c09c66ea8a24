/**
 * The four servers of the peers bench on the event face (`host.tcpListen`), with a TAP device of its own.
 *
 *   PORT=N TAP_DEVICE=NAME TAP_STACK=ADDRESS/LENGTH TAP_KERNEL=ADDRESS/LENGTH node events.js keep-alive|close|source|sink
 */
import { createHost } from "../../src/host/host.ts";
import { tapLink } from "../../src/link/tap.ts";
import { inlineDeeper } from "../../src/node/inlining.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";

const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n";
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const encoder = new TextEncoder();
const { PORT, TAP_DEVICE, TAP_STACK, TAP_KERNEL } = process.env as Record<string, string>;

const scratch = new Uint8Array(65536);
const block = new Uint8Array(65536).fill(109);

/** Events of which most servers need few; the peer's end is answered with ours. */
class Connection implements SocketEvents {
	protected readonly socket: TcpSocket;
	constructor(socket: TcpSocket) {
		this.socket = socket;
		socket.events = this;
		socket.setNoDelay(true);
	}
	connected(): void {}
	/** What nobody wants is freed where it lies, as lwIP's `tcp_recved` does. */
	readable(): void {
		this.socket.recvDone(this.socket.available);
	}
	writable(): void {}
	ended(): void {
		this.socket.close();
	}
	closed(_error: string | null): void {}
}

/** Whether a request ends here. */
function complete(length: number): boolean {
	return (
		length >= 4 &&
		scratch[length - 1] === LINE_FEED &&
		scratch[length - 2] === CARRIAGE_RETURN &&
		scratch[length - 3] === LINE_FEED &&
		scratch[length - 4] === CARRIAGE_RETURN
	);
}

const answerOpen = encoder.encode(`${HEAD}\r\nHello, world\n`);

class KeepAlive extends Connection {
	override readable(): void {
		if (complete(this.socket.readInto(scratch, 0, scratch.length))) this.socket.write(answerOpen);
	}
}

const answerClose = encoder.encode(`${HEAD}Connection: close\r\n\r\nHello, world\n`);

class Close extends Connection {
	override readable(): void {
		if (!complete(this.socket.readInto(scratch, 0, scratch.length))) return;
		this.socket.write(answerClose);
		this.socket.close();
	}
}

/** Sends as fast as the connection takes it; what a write did not take is offered again, as one block is like another. */
class Source extends Connection {
	constructor(socket: TcpSocket) {
		super(socket);
		this.writable();
	}
	override writable(): void {
		while (this.socket.write(block) === block.length);
	}
}

const servers: Record<string, new (socket: TcpSocket) => Connection> = {
	"keep-alive": KeepAlive,
	close: Close,
	source: Source,
	sink: Connection,
};
const Server = servers[process.argv[2]!];
if (Server === undefined) throw new Error(`events: no mode "${process.argv[2]}"`);

inlineDeeper();
const host = createHost({
	link: tapLink({ name: TAP_DEVICE!, kernelAddress: TAP_KERNEL! }),
	runtime: nodeRuntime(),
	addresses: [TAP_STACK!],
});
host.tcpListen({ port: Number(PORT), backlog: 4096 }).onconnection = (socket) => {
	new Server(socket);
};
host.ref();
