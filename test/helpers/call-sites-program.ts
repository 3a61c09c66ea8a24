/**
 * Every kind of traffic between two hosts in one process, for the log of V8's inline caches: run by test/tcp/call-sites.test.ts.
 *
 *   node --log-ic --logfile=PATH --no-logfile-per-isolate call-sites-program.js
 *
 * Requests and answers, short connections and bulk with losses, on the event face and on streams; over memory links whose frames stand for
 * several segments, and over such with frames as on a wire. What a client or server of this file does is the same for all, so that
 * what a program makes of the faces (as many classes of events as it likes) is not in the way.
 */
import { createHost, type Host, type SocketEvents, type TcpSocket } from "../../src/host/host.ts";
import type { TcpStream } from "../../src/host/streams.ts";
import { impairLink } from "../../src/link/impair.ts";
import type { Link } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

const REQUESTS = 3000;
const SHORT = 1000;
const BULK = 8 << 20;
const PARALLEL = 16;
const ADDRESS = "10.0.0.2";

const message = new Uint8Array(64).fill(109);
const block = new Uint8Array(65536).fill(109);
const scratch = new Uint8Array(65536);

/** Answers each message, and closes when the peer has. */
class Server implements SocketEvents {
	readonly #socket: TcpSocket;
	constructor(socket: TcpSocket) {
		this.#socket = socket;
	}
	connected(): void {}
	readable(): void {
		while (this.#socket.readInto(scratch, 0, scratch.length) > 0) this.#socket.write(message);
	}
	ended(): void {
		this.#socket.close();
	}
	writable(): void {}
	closed(): void {}
}

/** Sends `left` bytes, or asks so many times; then closes. */
class Client implements SocketEvents {
	socket!: TcpSocket;
	readonly #bulk: boolean;
	readonly #done: () => void;
	#left: number;
	constructor(bulk: boolean, left: number, done: () => void) {
		this.#bulk = bulk;
		this.#left = left;
		this.#done = done;
	}
	connected(): void {
		this.#go();
	}
	readable(): void {
		while (this.socket.readInto(scratch, 0, scratch.length) > 0);
		if (!this.#bulk) this.#go();
	}
	#go(): void {
		if (this.#left <= 0) return this.socket.finish();
		if (this.#bulk) {
			let taken = block.length;
			while (this.#left > 0 && taken === block.length) {
				taken = this.socket.write(block);
				this.#left -= taken;
			}
			if (this.#left <= 0) this.socket.finish();
		} else {
			this.#left--;
			this.socket.write(message);
		}
	}
	ended(): void {
		this.socket.close();
		this.#done();
	}
	writable(): void {
		this.#go();
	}
	closed(error: string | null): void {
		if (error !== null) throw new Error(`a connection ended with ${error}`);
	}
}

function connection(host: Host, bulk: boolean, left: number): Promise<void> {
	return new Promise((resolve) => {
		const client = new Client(bulk, left, resolve);
		client.socket = host.tcpConnect({ address: ADDRESS, port: 80 }, client);
	});
}

/** `count` of them, PARALLEL at a time. */
async function crowd(count: number, one: () => Promise<void>): Promise<void> {
	let left = count;
	await Promise.all(
		Array.from({ length: PARALLEL }, async () => {
			while (left-- > 0) await one();
		}),
	);
}

async function serveStreams(server: Host): Promise<void> {
	const serve = async (stream: TcpStream) => {
		for await (const bytes of stream) await stream.write(bytes);
		stream.finish();
	};
	for await (const stream of server.tcp.listen({ port: 81 })) void serve(stream);
}

async function streamOnce(client: Host, messages: number): Promise<void> {
	const stream = await client.tcp.connect({ address: ADDRESS, port: 81 });
	for (let i = 0; i < messages; i++) {
		await stream.write(message);
		await stream.read();
	}
	stream.finish();
	while ((await stream.read()) !== null);
	stream.close();
}

async function streamBulk(client: Host): Promise<void> {
	const stream = await client.tcp.connect({ address: ADDRESS, port: 81 });
	const writing = (async () => {
		for (let sent = 0; sent < BULK; sent += block.length) await stream.write(block);
		stream.finish();
	})();
	for await (const _ of stream);
	await writing;
	stream.close();
}

/** All traffic between two hosts on the ends of a cable; with `lossy`, only what losses do not slow down. */
async function traffic(links: readonly [Link, Link], congestion: "cubic" | "newreno" | "bbr", lossy = false): Promise<void> {
	const runtime = nodeRuntime();
	const host = (link: Link, address: string) => createHost({ link, runtime, addresses: [address], congestion, memory: 32 << 20 });
	const client = host(links[0], "10.0.0.1/24");
	const server = host(links[1], `${ADDRESS}/24`);
	server.tcpListen({ port: 80, backlog: 64 }).onconnection = (socket) => {
		socket.events = new Server(socket);
	};
	const serving = serveStreams(server);
	if (!lossy) {
		await crowd(PARALLEL, () => connection(client, false, REQUESTS / PARALLEL));
		await crowd(SHORT, () => connection(client, false, 1));
		await crowd(PARALLEL, () => streamOnce(client, REQUESTS / PARALLEL));
		await crowd(SHORT, () => streamOnce(client, 1));
	}
	await connection(client, true, BULK);
	await streamBulk(client);
	await client.close();
	await server.close();
	await serving;
}

/** Frames as on a wire: each segment is cut, and summed at both ends. */
function plain(link: Link): Link {
	const { open } = link;
	link.open = (context) => open.call(link, { ...context, plain: true });
	return link;
}

/** The one site that is megamorphic on purpose: if the log does not tell of it, the log was not understood. */
function canary(shape: { value: number }): number {
	return shape.value;
}

const shapes = Array.from({ length: 8 }, (_, i) => ({ [`only${i}`]: i, value: i }));
for (let i = 0; i < 10_000; i++) canary(shapes[i & 7]!);

// A memory link keeps no process alive.
const alive = setInterval(() => {}, 1000);
await traffic(memoryLinkPair(), "cubic");
const [a, b] = memoryLinkPair({ medium: "ethernet" });
await traffic([plain(a), plain(b)], "newreno");
const [c, d] = memoryLinkPair();
await traffic([impairLink(c, { loss: 0.002, reorder: 0.01, reorderBy: 2000, duplicate: 0.001, seed: 1 }), d], "bbr", true);
clearInterval(alive);
