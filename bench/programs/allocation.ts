/**
 * Bytes that the JavaScript heap grows per frame, with a server on socket events and a crowd of stateless clients.
 *
 *   node --max-semi-space-size=64 allocation.js requests|short bare|node FRAMES
 *
 * `node` runs on Node's event loop, `bare` on one that allocates nothing (lib/loop.ts): a turn on Node's makes some hundred bytes, most of them
 * the two immediates, whether it moves one frame or 128.
 *
 * The heap is read between slices of the work. Where a collection fell into a slice the growth is negative, and that slice is left
 * out: allocation is what the others say. The crowd itself allocates nothing per frame.
 */
import { createHost } from "../../src/host/host.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";
import { CROWD_SERVER, Crowd } from "../lib/crowd.ts";
import { Loop } from "../lib/loop.ts";

const SLICE = 2000;
const [mode, turns, framesText] = process.argv.slice(2) as ["requests" | "short", "bare" | "node", string];
const frames = Number(framesText);
const scratch = new Uint8Array(2048);

class Server implements SocketEvents {
	readonly #socket: TcpSocket;
	constructor(socket: TcpSocket) {
		this.#socket = socket;
		socket.events = this;
	}
	connected(): void {}
	readable(): void {
		const n = this.#socket.readInto(scratch, 0, scratch.length);
		// The whole array, however much came: a view of a part would be this program's own allocation.
		if (n > 0) this.#socket.write(answer);
		if (mode === "short") this.#socket.close();
	}
	ended(): void {
		this.#socket.close();
	}
	writable(): void {}
	closed(): void {}
}

const answer = new Uint8Array(64).fill(109);
const crowd = new Crowd({ port: 80, mode, request: answer, window: 64 });
const loop = new Loop(1000);
const host = createHost({ link: crowd, runtime: turns === "bare" ? loop : nodeRuntime(), addresses: [CROWD_SERVER] });
host.tcpListen({ port: 80, backlog: 4096 }).onconnection = (socket) => void new Server(socket);

let slices = 0;
let grown = 0;
let counted = 0;
let lastHeap = 0;
let lastFrames = 0;
const warm = 50;

crowd.done = () => {
	const heap = process.memoryUsage().heapUsed;
	const moved = crowd.sent + crowd.received;
	if (++slices > warm && heap >= lastHeap) {
		grown += heap - lastHeap;
		counted += moved - lastFrames;
	}
	if (counted >= frames) {
		console.log(JSON.stringify({ bytes: grown / counted, frames: counted }));
		process.exit(0);
	}
	lastFrames = moved;
	// What reading the heap allocates itself stays outside the slice.
	lastHeap = process.memoryUsage().heapUsed;
	crowd.run(SLICE);
};
crowd.run(SLICE);
if (turns === "bare") loop.run(() => false);
