import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:http";
import net from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { WebSocket, WebSocketServer } from "ws";
import { createHost } from "../../src/host/host.ts";
import {
	type Pipe,
	type PipeEvents,
	type StreamLinkOptions,
	streamLink,
	type WebSocketLike,
	webSocketPipe,
} from "../../src/link/stream.ts";
import { createNet, type StackNet } from "../../src/node/net.ts";
import { datagramPipe, socketPipe } from "../../src/node/pipe.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { type LinkBench, linkCompliance, testFrame } from "./compliance.ts";

/** One end of a pipe in memory; what is written to it can be looked at, and anything can be made to arrive. */
class TestPipe implements Pipe {
	readonly written: Uint8Array[] = [];
	pending = 0;
	events: PipeEvents | null = null;
	closes = 0;
	start(events: PipeEvents): void {
		this.events = events;
	}
	write(bytes: Uint8Array): void {
		this.written.push(bytes);
	}
	close(): void {
		this.closes++;
	}
}

function framed(...frames: readonly Uint8Array[]): Uint8Array {
	return new Uint8Array(
		Buffer.concat(frames.flatMap((frame) => [Buffer.from([0, frame.length >> 16, frame.length >> 8, frame.length & 255]), frame])),
	);
}

/** The other end, which parses by itself. */
class Framer {
	#bytes = Buffer.alloc(0);
	add(bytes: Uint8Array): void {
		this.#bytes = Buffer.concat([this.#bytes, bytes]);
	}
	next(): Uint8Array | null {
		if (this.#bytes.length < 4 || this.#bytes.length < 4 + this.#bytes.readUInt32BE()) return null;
		const end = 4 + this.#bytes.readUInt32BE();
		const frame = Uint8Array.from(this.#bytes.subarray(4, end));
		this.#bytes = this.#bytes.subarray(end);
		return frame;
	}
}

function memoryPipeBench(options: StreamLinkOptions, pieces: number): () => Promise<LinkBench> {
	return async () => {
		const clock = new VirtualClock();
		const pipe = new TestPipe();
		const framer = new Framer();
		const message = options.framing === "message";
		return {
			link: streamLink(pipe, options),
			runtime: clock.runtime,
			settle: async () => clock.advance(1000),
			peer: {
				send(frame) {
					const bytes = message ? frame : framed(frame);
					if (pipe.closes > 0) return;
					for (let at = 0; at < bytes.length; at += pieces) pipe.events?.arrived(bytes.subarray(at, at + pieces));
				},
				async receive() {
					if (message) return pipe.written.shift() ?? null;
					for (const bytes of pipe.written.splice(0)) framer.add(bytes);
					return framer.next();
				},
				close: () => pipe.events?.closed(),
			},
		};
	};
}

async function socketBench(): Promise<LinkBench> {
	const framer = new Framer();
	const server = net.createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const near = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
	const [far] = (await once(server, "connection")) as [net.Socket];
	far.on("data", (bytes) => framer.add(bytes));
	far.on("error", () => {});
	return {
		link: streamLink(socketPipe(near)),
		runtime: nodeRuntime(),
		settle: () => sleep(3),
		peer: {
			send: (frame) => void far.write(framed(frame)),
			receive: async () => framer.next(),
			close() {
				far.destroy();
				near.destroy();
				server.close();
			},
		},
	};
}

async function datagramBench(): Promise<LinkBench> {
	const heard: Uint8Array[] = [];
	const near = createSocket("udp4").bind(0, "127.0.0.1");
	const far = createSocket("udp4").bind(0, "127.0.0.1");
	await Promise.all([once(near, "listening"), once(far, "listening")]);
	const stranger = createSocket("udp4");
	far.on("message", (bytes) => void heard.push(Uint8Array.from(bytes)));
	let open = true;
	return {
		link: streamLink(datagramPipe(near, { address: "127.0.0.1", port: far.address().port }), { framing: "message" }),
		runtime: nodeRuntime(),
		settle: () => sleep(3),
		async opened({ runtime: _ }) {
			stranger.send(new Uint8Array(60), near.address().port, "127.0.0.1"); // nobody listens to it
		},
		peer: {
			send(frame) {
				try {
					far.send(frame, near.address().port, "127.0.0.1");
				} catch {} // near is closed: no such address any more
			},
			receive: async () => heard.shift() ?? null,
			close() {
				if (!open) return;
				open = false;
				far.close();
				stranger.close();
			},
		},
	};
}

async function webSocketBench(): Promise<LinkBench> {
	const heard: Uint8Array[] = [];
	const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
	await once(server, "listening");
	const near = new WebSocket(`ws://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
	const [far] = (await once(server, "connection")) as [WebSocket];
	far.on("message", (data) => void heard.push(Uint8Array.from(data as Buffer)));
	await once(near, "open");
	return {
		link: streamLink(webSocketPipe(near as unknown as WebSocketLike), { framing: "message" }),
		runtime: nodeRuntime(),
		settle: () => sleep(3),
		peer: {
			send: (frame) => far.send(frame),
			receive: async () => heard.shift() ?? null,
			close() {
				near.terminate();
				far.terminate();
				server.close();
			},
		},
	};
}

linkCompliance("a stream link, all at once", memoryPipeBench({}, 1 << 20));
linkCompliance("a stream link, byte by byte", memoryPipeBench({}, 1));
linkCompliance("a stream link of long frames, in pieces of 777 bytes", memoryPipeBench({ mtu: 65535, medium: "ip" }, 777), {
	sizes: [1986, 1987, 9000],
});
linkCompliance("a message link", memoryPipeBench({ framing: "message", mtu: 9000 }, 1 << 20), { sizes: [1986, 1987] });
linkCompliance("a stream link over TCP", socketBench);
linkCompliance("a message link over UDP", datagramBench);
linkCompliance("a message link over a WebSocket", webSocketBench);

test("a WebSocket that is closed before its link was opened may fail: there is somebody to hear of it", () => {
	const heard: string[] = [];
	const socket = {
		binaryType: "",
		bufferedAmount: 0,
		readyState: 0,
		send() {},
		close: () => void heard.push("closed"),
		addEventListener: (type: string) => void heard.push(type),
	};
	streamLink(webSocketPipe(socket as unknown as WebSocketLike), { framing: "message" }).close();
	assert.deepEqual(heard, ["error", "closed"]);
});

test("what a pipe loses is among the counters of its link: text on a WebSocket, and what is sent while it closes; strangers' datagrams", async () => {
	const listeners = new Map<string, (event: { data: unknown }) => void>();
	const socket = {
		binaryType: "",
		bufferedAmount: 0,
		readyState: 1,
		send() {},
		close() {},
		addEventListener: (type: string, listener: (event: { data: unknown }) => void) => void listeners.set(type, listener),
	};
	const pipe = webSocketPipe(socket as WebSocketLike);
	const link = streamLink(pipe, { framing: "message" });
	pipe.start({ arrived() {}, restarted() {}, closed() {} });
	listeners.get("message")!({ data: "text" });
	assert.equal(link.counters().rxDropNotBinary, 1);
	assert.equal(pipe.connected, true);
	socket.readyState = 2;
	assert.equal(pipe.connected, false, "the link counts what is sent now as txDropNoPeer");

	const [near, stranger] = [createSocket("udp4").bind(0, "127.0.0.1"), createSocket("udp4")];
	await once(near, "listening");
	const datagrams = datagramPipe(near, { address: "127.0.0.1", port: 9 });
	datagrams.start({ arrived: () => assert.fail("not from the peer"), restarted() {}, closed() {} });
	const came = once(near, "message");
	stranger.send("hello", near.address().port, "127.0.0.1");
	await came;
	assert.deepEqual(datagrams.counters?.(), { rxDropStranger: 1, txDropSocket: 0 });
	stranger.close();
	datagrams.close();
});

describe("a stream link", () => {
	function make(options: StreamLinkOptions = {}, pages = 64) {
		const clock = new VirtualClock();
		const pipe = new TestPipe();
		const pool = makePool(pages);
		const link = streamLink(pipe, options);
		const failures: Error[] = [];
		const speaker = new Speaker(link, { pool, runtime: clock.runtime }, true);
		link.open({ pool, runtime: clock.runtime, wake() {}, failed: (error) => void failures.push(error) });
		return { pipe, pool, link, speaker, failures };
	}

	test("finds the frames however the stream is cut", () => {
		fc.assert(
			fc.property(
				fc.array(fc.nat(4000), { maxLength: 20 }),
				fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 }),
				(sizes, cuts) => {
					const { pipe, pool, link, speaker } = make({ mtu: 4000, medium: "ip" });
					const frames = sizes.map((size, i) => new Uint8Array(size).map((_, at) => at * 3 + i));
					const bytes = framed(...frames);
					const got: Uint8Array[] = [];
					for (let at = 0, i = 0; at < bytes.length; i++) {
						const end = at + cuts[i % cuts.length]!;
						pipe.events!.arrived(bytes.subarray(at, end));
						got.push(...speaker.receive().map((frame) => frame.bytes));
						at = end;
					}
					assert.deepEqual(
						got,
						frames.filter((frame) => frame.length > 0),
					);
					link.close();
					assert.equal(pool.inUse, 0);
				},
			),
		);
	});

	test("lets frames pass that are too long for its MTU, and keeps its place", () => {
		const { pipe, link, speaker } = make();
		const good = testFrame(link, 100, 1);
		pipe.events!.arrived(framed(new Uint8Array(60_000), good));
		assert.deepEqual(
			speaker.receive().map((frame) => frame.bytes),
			[good],
		);
		assert.equal(link.counters().rxDropSize, 1);
	});

	test("fails on a length that no frame can have", () => {
		const { pipe, failures, pool } = make();
		pipe.events!.arrived(framed(new Uint8Array(60)));
		pipe.events!.arrived(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
		assert.equal(failures.length, 1);
		assert.equal((failures[0] as NodeJS.ErrnoException).code, "MILLRACE_FRAMING");
		assert.equal(pipe.closes, 1);
		assert.equal(pool.inUse, 0);
		pipe.events!.closed();
		assert.equal(failures.length, 1);
	});

	test("gives back the pages of a frame whose end never comes", () => {
		const { pipe, link, pool } = make();
		pipe.events!.arrived(framed(new Uint8Array(1400)).subarray(0, 700));
		assert.equal(pool.inUse, 1);
		link.close();
		assert.equal(pool.inUse, 0);
	});

	test("takes the next peer's frames from their beginning, and counts what is sent while there is none", () => {
		const { pipe, link, pool, speaker } = make();
		const good = testFrame(link, 100, 1);
		for (const rest of [2, 700]) {
			// The peer leaves in the middle of a length, and of a frame.
			pipe.events!.arrived(framed(new Uint8Array(1400)).subarray(0, rest));
			pipe.events!.restarted();
			assert.equal(pool.inUse, 0);
			pipe.events!.arrived(framed(good));
			assert.deepEqual(
				speaker.receive().map((frame) => frame.bytes),
				[good],
			);
		}
		Object.assign(pipe, { connected: false });
		speaker.send(good);
		assert.deepEqual([pipe.written.length, link.counters().txDropNoPeer, link.counters().txFrames], [0, 1, 0]);
	});

	test("where another peer may come, one that does not keep to the framing is sent away, and the link goes on", () => {
		const { pipe, link, failures, speaker } = make();
		let rejected = 0;
		(pipe as Pipe).reject = () => rejected++;
		pipe.events!.arrived(new TextEncoder().encode("GET / HTTP/1.1\r\n"));
		assert.deepEqual([rejected, failures.length, pipe.closes, link.counters().rxBadFraming], [1, 0, 0, 1]);
		pipe.events!.arrived(framed(testFrame(link, 100, 1)));
		assert.equal(speaker.receive().length, 1);
	});

	test("drops a frame whose pages were taken while it came, and keeps its place", () => {
		const { pipe, link, pool, speaker } = make({ mtu: 9000 }, 8);
		const bytes = framed(new Uint8Array(9000), testFrame(link, 100, 1));
		pipe.events!.arrived(bytes.subarray(0, 3000));
		const held: number[] = [];
		for (let page = pool.alloc(); page !== 0; page = pool.alloc()) held.push(page);
		pipe.events!.arrived(bytes.subarray(3000, 8000));
		for (const page of held) pool.release(page);
		pipe.events!.arrived(bytes.subarray(8000));
		assert.equal(link.counters().rxDropNoPage, 1);
		assert.equal(speaker.receive().length, 1);
		assert.equal(pool.inUse, 0);
	});

	test("drops what a slow pipe would have to keep beyond the backlog", () => {
		for (const framing of ["length", "message"] as const) {
			const { pipe, link, speaker, pool } = make({ framing, backlog: 1000 });
			pipe.pending = 700;
			speaker.send(new Uint8Array(400));
			speaker.send(new Uint8Array(200));
			assert.equal(pipe.written.length, 1);
			const { txDropFull, txFrames } = link.counters();
			assert.deepEqual({ txDropFull, txFrames }, { txDropFull: 1, txFrames: 1 });
			assert.equal(pool.inUse, 0);
		}
	});

	test("sends a batch as one write", () => {
		const { pipe, link, speaker } = make();
		const frames = [testFrame(link, 60, 0), testFrame(link, 1514, 1), testFrame(link, 61, 2)];
		for (const frame of frames) assert.ok(speaker.batch.add(frame, 0));
		link.transmit(speaker.batch);
		assert.deepEqual(pipe.written, [framed(...frames)]);
	});

	test("says what is wrong with its options", () => {
		const pipe = new TestPipe();
		for (const wrong of [
			{ framing: "morse" },
			{ medium: "air" },
			{ mtu: 1 },
			{ capacity: 0 },
			{ backlog: 0 },
			{ mac: new Uint8Array(5) },
			{ frames: "length" },
		]) {
			assert.throws(() => streamLink(pipe, wrong as StreamLinkOptions), { code: "MILLRACE_BAD_OPTION" });
		}
	});
});

test("hosts at both ends of a WebSocket, a frame a message as v86 and its relays have it, talk HTTP", async () => {
	const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
	await once(server, "listening");
	const near = new WebSocket(`ws://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
	const [far] = (await once(server, "connection")) as [WebSocket];
	const messages: Uint8Array[] = [];
	far.on("message", (data, binary) => void (binary && messages.push(new Uint8Array(data as ArrayBuffer))));
	const hosts = [near, far].map((socket, i) =>
		createHost({
			link: streamLink(webSocketPipe(socket as unknown as WebSocketLike), { framing: "message" }),
			runtime: nodeRuntime(),
			addresses: [`192.168.86.${i + 1}/24`],
			memory: 8 << 20,
		}),
	);
	const [guest, relay] = hosts.map((host) => createNet(host)) as [StackNet, StackNet];
	try {
		const web = relay.adopt(createServer((_, response) => response.end("hello, guest"))).listen(80);
		await once(web, "listening");
		const socket = guest.connect(80, "192.168.86.2");
		socket.end("GET / HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n");
		let text = "";
		for await (const chunk of socket) text += chunk;
		assert.match(text, /^HTTP\/1.1 200 OK\r\n[\s\S]*hello, guest$/);
		// Each message is an Ethernet frame from its first byte on: a question by ARP, then IPv4.
		assert.deepEqual([messages[0]!.subarray(0, 6), messages[0]!.subarray(12, 14)], [new Uint8Array(6).fill(255), Uint8Array.of(8, 6)]);
		assert.ok(messages.slice(1).every((frame) => frame[12] === 8 && frame.length >= 42));
		web.close();
	} finally {
		for (const host of hosts) await host.close();
		server.close();
	}
});

test("a WebSocket that is not open yet keeps what is sent, in order, and counts it as pending", () => {
	const sent: Uint8Array[] = [];
	const listeners = new Map<string, (event: { data: unknown }) => void>();
	const socket = {
		binaryType: "blob",
		bufferedAmount: 0,
		readyState: 0,
		send: (bytes: Uint8Array) => void sent.push(bytes),
		close() {},
		addEventListener: (type: string, listener: (event: { data: unknown }) => void) => void listeners.set(type, listener),
	};
	const arrived: Uint8Array[] = [];
	const pipe = webSocketPipe(socket);
	pipe.start({ arrived: (bytes) => void arrived.push(bytes), restarted() {}, closed() {} });
	pipe.write(Uint8Array.of(1));
	pipe.write(Uint8Array.of(2, 3));
	assert.equal(pipe.pending, 3);
	socket.readyState = 1;
	listeners.get("open")!({ data: null });
	pipe.write(Uint8Array.of(4));
	assert.deepEqual(sent, [Uint8Array.of(1), Uint8Array.of(2, 3), Uint8Array.of(4)]);
	assert.equal(pipe.pending, 0);
	assert.equal(socket.binaryType, "arraybuffer");
	listeners.get("message")!({ data: Uint8Array.of(9).buffer });
	listeners.get("message")!({ data: "text" });
	assert.deepEqual(arrived, [Uint8Array.of(9)]);
});

describe("a stream link whose pipe ends by itself", () => {
	/** Opens a link on a pipe, and notes what it reports. */
	function opened(pipe: Pipe, options: StreamLinkOptions = {}) {
		const pool = makePool(16);
		const runtime = nodeRuntime();
		const link = streamLink(pipe, options);
		const failures: NodeJS.ErrnoException[] = [];
		link.open({ pool, runtime, wake() {}, failed: (error) => void failures.push(error) });
		return { link, failures, speaker: new Speaker(link, { pool, runtime }, true) };
	}

	for (const [how, before] of [
		["while it sends", false],
		["before the link is opened", true],
	] as const) {
		test(`over UDP, closed by somebody else ${how}: nothing is thrown, and it fails once`, async () => {
			const udp = createSocket("udp4").bind(0, "127.0.0.1");
			await once(udp, "listening");
			const pipe = datagramPipe(udp, { address: "127.0.0.1", port: 9 });
			if (before) {
				udp.close();
				await once(udp, "close");
			}
			const { link, failures, speaker } = opened(pipe, { framing: "message" });
			if (!before) udp.close();
			speaker.send(new Uint8Array(60));
			assert.equal(link.counters().txDropSocket, 1);
			assert.equal(pipe.pending, 0);
			await sleep(1); // an exception of a listener would fail the test here
			assert.equal(failures.length, 1);
			assert.equal(failures[0]!.code, "ECONNRESET");
			link.close();
			await sleep(1);
			assert.equal(failures.length, 1);
		});
	}

	test("over a socket that was gone before the link was opened, it fails once, with the socket's error", async () => {
		for (const error of [undefined, Object.assign(new Error("too slow"), { code: "ETIMEDOUT" })]) {
			const socket = new net.Socket();
			socket.on("error", () => {});
			const gone = new Promise((resolve) => socket.once("close", resolve));
			socket.destroy(error);
			await gone;
			const { failures } = opened(socketPipe(socket));
			assert.equal(failures.length, 0, "not from within open");
			await sleep(1);
			assert.deepEqual(
				failures.map(({ code }) => code),
				[error === undefined ? "ECONNRESET" : "ETIMEDOUT"],
			);
		}
	});

	test("over a socket that is closing when the link is opened, it fails once", async () => {
		const socket = new net.Socket();
		socket.destroy();
		const { failures } = opened(socketPipe(socket));
		await sleep(1);
		assert.equal(failures.length, 1);
	});

	test("over a WebSocket that was gone before the link was opened, it fails once", async () => {
		for (const readyState of [2, 3]) {
			const socket: WebSocketLike = { binaryType: "", bufferedAmount: 0, readyState, send() {}, close() {}, addEventListener() {} };
			const { failures } = opened(webSocketPipe(socket), { framing: "message" });
			assert.equal(failures.length, 0, "not from within open");
			await sleep(1);
			assert.equal(failures.length, 1);
		}
	});
});
