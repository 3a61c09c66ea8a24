/**
 * Two hosts in one process, joined by a memory link: the stack without any kernel, client and server on one core.
 *
 *   memlink.js requests|short|bulk SECONDS [WARM_UP]     prints { rate } (per second; bits per second for bulk)
 *   memlink.js bulk-sums|bulk-sums-words ...     one flow in frames as on a wire: each segment is cut, and summed at both ends
 *   memlink.js server-requests|server-short ...     one host only, its clients a crowd without state
 *
 * Written on socket events, the lowest face. Rates are of SECONDS after WARM_UP (by default a quarter of them). Its time is the stack's, so it has V8 inline
 * deeper, as the guide tells such programs.
 */
import { createHost, type Host } from "../../src/host/host.ts";
import type { Link } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { inlineDeeper } from "../../src/node/inlining.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";
import { CROWD_SERVER, Crowd } from "../lib/crowd.ts";

const PARALLEL = 64;
const MESSAGE = new Uint8Array(64).fill(109);
const BLOCK = new Uint8Array(65536).fill(109);
const MODES = ["requests", "short", "bulk", "bulk-sums", "bulk-sums-words", "server-requests", "server-short"];
const [mode = "", secondsText, warmUpText] = process.argv.slice(2);
if (!MODES.includes(mode)) {
	console.error(`memlink: mode ${mode === "" ? "is missing" : `${mode} is not known`}: give one of ${MODES.join(", ")}`);
	process.exit(2);
}
const seconds = Number(secondsText);
const warmUp = Number(warmUpText ?? seconds / 4);
let done = 0;

/** Events that do nothing; each role overrides what it needs. */
class Events implements SocketEvents {
	protected readonly socket: TcpSocket;
	constructor(socket: TcpSocket) {
		this.socket = socket;
		socket.events = this;
	}
	connected(): void {}
	readable(): void {}
	ended(): void {
		this.socket.close();
	}
	writable(): void {}
	closed(_error: string | null): void {}
}

const scratch = new Uint8Array(65536);

class Echo extends Events {
	override readable(): void {
		for (let n = this.socket.readInto(scratch, 0, scratch.length); n > 0; n = this.socket.readInto(scratch, 0, scratch.length)) {
			this.socket.write(n === scratch.length ? scratch : scratch.subarray(0, n));
		}
	}
}

class EchoOnce extends Echo {
	override readable(): void {
		super.readable();
		this.socket.close();
	}
}

class Sink extends Events {
	override readable(): void {
		for (let n = this.socket.readInto(scratch, 0, scratch.length); n > 0; n = this.socket.readInto(scratch, 0, scratch.length))
			done += n * 8;
	}
}

const idle: SocketEvents = { connected() {}, readable() {}, ended() {}, writable() {}, closed() {} };

function pair(): [Host, Host] {
	// Room for a whole send buffer: with less, a flow loses frames as it grows.
	const [a, b] = memoryLinkPair(mode.startsWith("bulk-sums") ? { capacity: 8192 } : {});
	const runtime = nodeRuntime();
	if (mode.startsWith("bulk-sums")) for (const link of [a, b]) makePlain(link);
	const simd = mode !== "bulk-sums-words";
	return [
		createHost({ link: a, runtime, addresses: ["10.0.0.1/24"], simd }),
		createHost({ link: b, runtime, addresses: ["10.0.0.2/24"], simd }),
	];
}

/** The link gives and takes frames as on a wire. */
function makePlain(link: Link): void {
	const open = link.open;
	link.open = (context) => open.call(link, { ...context, plain: true });
}

/** One client that asks again whenever it has its answer, or, with `short`, connects again. */
function client(host: Host, short: boolean): void {
	let got = 0;
	const socket = host.tcpConnect(
		{ address: "10.0.0.2", port: 80 },
		{
			...idle,
			connected: () => socket.write(MESSAGE),
			readable: () => {
				got += socket.readInto(scratch, 0, scratch.length);
				if (got < MESSAGE.length) return;
				got = 0;
				if (!short) {
					done++;
					socket.write(MESSAGE);
				}
			},
			ended: () => {
				socket.close();
				done++;
				client(host, short);
			},
			closed: (error: string | null) => {
				if (error !== null) throw new Error(`memlink: ${error}`);
			},
		},
	);
}

function fill(host: Host): void {
	const more = (): void => {
		while (socket.write(BLOCK) === BLOCK.length);
	};
	const socket = host.tcpConnect({ address: "10.0.0.2", port: 80 }, { ...idle, connected: more, writable: more });
}

function start(): void {
	if (mode.startsWith("server-")) {
		const short = mode === "server-short";
		const crowd = new Crowd({ port: 80, mode: short ? "short" : "requests", request: MESSAGE, window: PARALLEL });
		const host = createHost({ link: crowd, runtime: nodeRuntime(), addresses: [CROWD_SERVER] });
		host.tcpListen({ port: 80, backlog: 4096 }).onconnection = (socket) => void (short ? new EchoOnce(socket) : new Echo(socket));
		crowd.done = () => {
			done += 1000;
			crowd.run(1000);
		};
		crowd.run(1000);
		return;
	}
	const [a, b] = pair();
	const listener = b.tcpListen({ port: 80, backlog: 4096 });
	if (mode.startsWith("bulk")) {
		listener.onconnection = (socket) => void new Sink(socket);
		fill(a);
		return;
	}
	listener.onconnection = (socket) => void (mode === "short" ? new EchoOnce(socket) : new Echo(socket));
	for (let i = 0; i < PARALLEL; i++) client(a, mode === "short");
}

inlineDeeper();
start();
setTimeout(() => {
	const from = done;
	const time = performance.now();
	setTimeout(() => {
		console.log(JSON.stringify({ rate: ((done - from) * 1000) / (performance.now() - time) }));
		process.exit(0);
	}, seconds * 1000);
}, warmUp * 1000);
