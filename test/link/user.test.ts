import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { createHost, type Host } from "../../src/host/host.ts";
import { impairLink } from "../../src/link/impair.ts";
import type { Link } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { createGateway, type UserLink, type UserLinkOptions, userLink } from "../../src/link/user.ts";
import { KernelSocket } from "../../src/link/user-kernel.ts";
import { Splice } from "../../src/link/user-splice.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";

/** A host on a user link, closed when the test ends. */
async function withGuest(
	options: UserLinkOptions,
	body: (host: Host, link: UserLink) => Promise<void>,
	wrap: (link: Link) => Link = (link) => link,
): Promise<void> {
	const link = userLink(options);
	const host = createHost({ link: wrap(link), runtime: nodeRuntime(), addresses: ["10.0.2.15/24"], routes: [{ to: "0.0.0.0/0" }] });
	host.ref();
	try {
		await body(host, link);
	} finally {
		await host.close();
	}
}

/** A program's end of a connection: collects what arrives, writes with back pressure, and tells how it ended. */
class Peer implements SocketEvents {
	socket!: TcpSocket;
	readonly received: Uint8Array[] = [];
	bytes = 0;
	hasEnded = false;
	reading = true;
	#toWrite: Uint8Array = new Uint8Array(0);
	#finish = false;
	readonly opened: Promise<void>;
	readonly over: Promise<string | null>;
	readonly end: Promise<void>;
	#open!: () => void;
	#over!: (error: string | null) => void;
	#end!: () => void;

	constructor() {
		this.opened = new Promise((resolve) => {
			this.#open = resolve;
		});
		this.over = new Promise((resolve) => {
			this.#over = resolve;
		});
		this.end = new Promise((resolve) => {
			this.#end = resolve;
		});
	}

	static accept(socket: TcpSocket): Peer {
		const peer = new Peer();
		peer.socket = socket;
		socket.events = peer;
		peer.#open();
		return peer;
	}

	static connect(host: Host, port: number, address = "10.0.2.2"): Peer {
		const peer = new Peer();
		peer.socket = host.tcpConnect({ address, port }, peer);
		return peer;
	}

	write(bytes: Uint8Array, finish = false): void {
		this.#finish = finish;
		this.#toWrite = bytes.subarray(this.socket.write(bytes));
		if (this.#toWrite.length === 0 && finish) this.socket.finish();
	}

	connected(): void {
		this.#open();
	}
	readable(): void {
		while (this.reading) {
			const bytes = this.socket.read();
			if (bytes === null) return;
			this.received.push(bytes);
			this.bytes += bytes.length;
		}
	}
	ended(): void {
		this.hasEnded = true;
		this.#end();
	}
	writable(): void {
		this.write(this.#toWrite, this.#finish);
	}
	closed(error: string | null): void {
		this.#over(error);
	}
}

/** Listens on the stack; gives the connections one by one. */
function listen(host: Host, port: number): { next: () => Promise<Peer> } {
	const waiting: Peer[] = [];
	const takers: ((peer: Peer) => void)[] = [];
	host.tcpListen({ port }).onconnection = (socket) => {
		const peer = Peer.accept(socket);
		const taker = takers.shift();
		if (taker === undefined) waiting.push(peer);
		else taker(peer);
	};
	return { next: () => new Promise((resolve) => (waiting.length > 0 ? resolve(waiting.shift()!) : takers.push(resolve))) };
}

async function kernelServer(onConnection: (socket: net.Socket) => void): Promise<{ port: number; server: net.Server }> {
	const server = net.createServer({ allowHalfOpen: true }, onConnection).listen(0, "127.0.0.1");
	await once(server, "listening");
	return { port: (server.address() as AddressInfo).port, server };
}

/** Waits for something that becomes true in the course of events. */
async function until(condition: () => boolean): Promise<void> {
	while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** The kernel's TCP connections. */
const TABLE = "/proc/net/tcp";

/** Whether the kernel's idle connection between two ports of 127.0.0.1 has a keep-alive timer (proc(5): 2 in the column of timers). */
function probesWhenIdle(from: number, to: number): boolean {
	const end = (port: number): string => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
	const line = readFileSync(TABLE, "latin1")
		.split("\n")
		.map((line) => line.trim().split(/\s+/))
		.find((columns) => columns[1] === end(from) && columns[2] === end(to));
	assert.ok(line !== undefined, `a connection from ${from} to ${to}`);
	return line[5]!.startsWith("02:");
}

const BULK = new Uint8Array(5_000_000);
/** Lets both peers read once neither takes more and the rest waits outside; what they get is whole. Ends them. */
async function takeWhatWaits(peers: readonly Peer[], patterns: readonly Uint8Array[]): Promise<void> {
	for (let before = -1, now = 0; now !== before; ) {
		before = now;
		await new Promise((resolve) => setTimeout(resolve, 50));
		now = peers[0]!.socket.available + peers[1]!.socket.available;
	}
	for (const peer of peers) {
		peer.reading = true;
		peer.readable();
	}
	await Promise.all(peers.map((peer) => peer.end));
	for (const [i, peer] of peers.entries()) assert.ok(Buffer.concat(peer.received).equals(patterns[i]!), `bytes of connection ${i}`);
	for (const peer of peers) peer.socket.finish();
	await Promise.all(peers.map((peer) => peer.over));
}

for (let i = 0; i < BULK.length; i++) BULK[i] = (i * 31 + (i >> 8)) & 255;
const sha256 = (chunks: readonly Uint8Array[]): string => {
	const hash = createHash("sha256");
	for (const chunk of chunks) hash.update(chunk);
	return hash.digest("hex");
};

describe("a published port of the user link", () => {
	test("carries bulk in both directions at once, with each end's end of stream", () =>
		withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const client = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
			const got: Uint8Array[] = [];
			client.on("data", (chunk: Uint8Array) => got.push(chunk));
			client.end(BULK);
			const peer = await listener.next();
			assert.equal(peer.socket.remoteAddress, "10.0.2.2");
			peer.write(BULK, true);
			await Promise.all([once(client, "close"), peer.over]);
			assert.deepEqual([sha256(got), sha256(peer.received)], [sha256([BULK]), sha256([BULK])]);
			await until(() => link.gateway.counters().open === 0);
			const counters = link.gateway.counters();
			assert.deepEqual([counters.open, counters.inbound, counters.bytesIn, counters.bytesOut], [0, 1, BULK.length, BULK.length]);
		}));

	test("keeps a half-closed connection: the client ends, and the answer still comes", () =>
		withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const client = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
			client.end("question");
			const peer = await listener.next();
			await peer.end;
			assert.equal(Buffer.concat(peer.received).toString(), "question");
			setImmediate(() => peer.write(Buffer.from("answer"), true));
			const [answer] = await once(client, "data");
			assert.equal(String(answer), "answer");
			await once(client, "close");
			assert.equal(await peer.over, null);
		}));

	test("does not read from a client whose program does not read: what waits is bounded by the buffers on the way", () =>
		withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const client = net.connect({ port, host: "127.0.0.1" });
			const write = (): void => {
				while (client.write(BULK.subarray(0, 65536)));
			};
			client.on("drain", write);
			client.on("error", () => {});
			write();
			const peer = await listener.next();
			peer.reading = false;
			// Until nothing has moved for a while.
			for (let last = -1; last !== link.gateway.bytesIn; await new Promise((resolve) => setTimeout(resolve, 100)))
				last = link.gateway.bytesIn;
			assert.ok(link.gateway.bytesIn < 16_000_000, `${link.gateway.bytesIn} bytes were taken from the client`);
			peer.reading = true;
			const before = link.gateway.bytesIn;
			peer.readable();
			await until(() => link.gateway.bytesIn >= before + 1_000_000);
			client.destroy();
		}));

	test("passes a reset on, both ways", () =>
		withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const first = net.connect(port, "127.0.0.1");
			const one = await listener.next();
			first.resetAndDestroy();
			assert.equal(await one.over, "ECONNRESET");

			const second = net.connect(port, "127.0.0.1");
			const two = await listener.next();
			two.socket.abort();
			await assert.rejects(once(second, "end"), { code: "ECONNRESET" });
		}));

	test("resets a client when nobody listens on the program's port", () =>
		withGuest({}, async (_host, link) => {
			const { port } = await link.gateway.publish({ port: 0, to: 81 });
			await assert.rejects(once(net.connect(port, "127.0.0.1"), "end"), { code: "ECONNRESET" });
			await until(() => link.gateway.counters().open === 0);
		}));

	test("that is taken is an error with the system's code and a remedy", () =>
		withGuest({}, async (_host, link) => {
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			await assert.rejects(link.gateway.publish({ port, to: 80 }), {
				name: "MillraceError",
				code: "EADDRINUSE",
				message: /^millrace: cannot publish port \d+ on 127\.0\.0\.1: EADDRINUSE\. Publish another port/,
			});
		}));

	test("can be taken back; connections that stand go on", () =>
		withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			const published = await link.gateway.publish({ port: 0, to: 80 });
			const client = net.connect(published.port, "127.0.0.1");
			const peer = await listener.next();
			published.close();
			await assert.rejects(once(net.connect(published.port, "127.0.0.1"), "connect"), { code: "ECONNREFUSED" });
			peer.write(Buffer.from("still here"));
			assert.equal(String((await once(client, "data"))[0]), "still here");
			client.destroy();
		}));
});

describe("a connection of the program by the user link", () => {
	test("leaves through a kernel socket; the gateway's address is this machine", () =>
		withGuest({}, async (host) => {
			const { port, server } = await kernelServer((socket) => socket.pipe(socket));
			const peer = Peer.connect(host, port);
			await peer.opened;
			peer.write(BULK, true);
			await peer.over;
			assert.equal(sha256(peer.received), sha256([BULK]));
			server.close();
		}));

	test("is refused when the other side refuses, and not before", () =>
		withGuest({}, async (host, link) => {
			const { port, server } = await kernelServer(() => {});
			server.close();
			await once(server, "close");
			assert.equal(await Peer.connect(host, port).over, "ECONNREFUSED");
			assert.deepEqual([link.gateway.counters().refused, link.gateway.counters().open], [1, 0]);
		}));

	test("fails as the kernel's did: refused, no way to the network or to the host", (context) =>
		withGuest({}, async (host, link) => {
			let code = "";
			context.mock.method(KernelSocket.prototype, "connect", function (this: KernelSocket) {
				return this.destroy(Object.assign(new Error(code), { code }));
			});
			for (const [given, told] of [
				["ECONNREFUSED", "ECONNREFUSED"],
				["ENETUNREACH", "ENETUNREACH"],
				["EHOSTUNREACH", "EHOSTUNREACH"],
				["EHOSTDOWN", "EHOSTUNREACH"],
				["EACCES", "ECONNREFUSED"],
			] as const) {
				code = given;
				assert.equal(await Peer.connect(host, 80, "203.0.113.9").over, told);
			}
			assert.equal(link.gateway.host.stats().connections.total, 0);
			// Nobody answered the kernel, and nobody answers the program: its own patience decides.
			code = "ETIMEDOUT";
			const { refused } = link.gateway.counters();
			const peer = Peer.connect(host, 80, "203.0.113.9");
			await until(() => link.gateway.counters().refused > refused);
			assert.deepEqual([peer.socket.alive, link.gateway.host.stats().connections.total], [true, 0]);
			peer.socket.abort();
		}));

	test("that was given up is given up outside when the program waits for nothing else; one that is still wanted is made again", (context) =>
		withGuest({}, async (host, link) => {
			// Nobody answers the kernel.
			const outside: KernelSocket[] = [];
			context.mock.method(KernelSocket.prototype, "connect", function (this: KernelSocket) {
				Object.assign(this, { connecting: true });
				outside.push(this);
				return this;
			});
			const given = Peer.connect(host, 80, "203.0.113.9");
			const wanted = Peer.connect(host, 81, "203.0.113.9");
			await until(() => outside.length === 2);
			given.socket.abort();
			host.unref();
			assert.deepEqual([outside[0]!.destroyed, outside[1]!.destroyed], [true, true]);
			await until(() => link.gateway.counters().open === 0);
			assert.equal(link.gateway.host.stats().connections.total, 0);
			host.ref();
			await until(() => outside.length === 3);
			assert.ok(wanted.socket.alive);
			wanted.socket.abort();
		}));

	test("goes where dial says, or nowhere", () => {
		const asked: string[] = [];
		let port = 0;
		const dial: NonNullable<UserLinkOptions["dial"]> = (to, from) => {
			asked.push(`${from.address} ${to.address}:${to.port}`);
			return to.port === 80 ? { address: "127.0.0.1", port } : null;
		};
		return withGuest({ dial }, async (host) => {
			const { port: real, server } = await kernelServer((socket) => socket.end("found"));
			port = real;
			const peer = Peer.connect(host, 80, "203.0.113.9");
			await peer.end;
			assert.equal(Buffer.concat(peer.received).toString(), "found");
			peer.socket.finish();
			assert.equal(await Peer.connect(host, 443, "203.0.113.9").over, "ECONNREFUSED");
			assert.deepEqual(asked, ["10.0.2.15 203.0.113.9:80", "10.0.2.15 203.0.113.9:443"]);
			server.close();
		});
	});

	test("gets what came before the other side's reset, however slowly, and then the reset", () =>
		withGuest(
			{},
			async (host, link) => {
				const { port, server } = await kernelServer(async (socket) => {
					socket.write(BULK.subarray(0, 1_000_000));
					// What is the receiver's already, a reset does not take back.
					await until(() => link.gateway.bytesIn === 1_000_000);
					socket.resetAndDestroy();
				});
				const peer = Peer.connect(host, port);
				assert.equal(await peer.over, "ECONNRESET");
				assert.deepEqual([peer.bytes, peer.hasEnded], [1_000_000, false]);
				await until(() => link.gateway.host.stats().connections.total === 0);
				server.close();
			},
			(link) => impairLink(link, { delay: 10_000 }),
		));

	test("hears the other side's reset also when it does not read", () =>
		withGuest({}, async (host, link) => {
			const { port, server } = await kernelServer((socket) => {
				socket.on("error", () => {}).write(BULK);
				setTimeout(() => socket.resetAndDestroy(), 200);
			});
			const peer = Peer.connect(host, port);
			peer.reading = false;
			await peer.opened;
			// The kernel's socket does not read either, for what it has read waits: it hears of the reset by what it writes, more than all buffers hold.
			peer.write(new Uint8Array(64 << 20));
			assert.equal(await peer.over, "ECONNRESET");
			await until(() => link.gateway.host.stats().connections.total === 0);
			server.close();
		}));

	test("gets what waits for it whole, while others get theirs", () =>
		withGuest({}, async (host) => {
			const patterns = [BULK, Uint8Array.from(BULK, (byte) => byte ^ 255)];
			const servers = await Promise.all(patterns.map((bytes) => kernelServer((socket) => socket.end(bytes))));
			const peers = servers.map(({ port }) => Peer.connect(host, port));
			for (const peer of peers) peer.reading = false;
			await Promise.all(peers.map((peer) => peer.opened));
			for (const { server } of servers) server.close();
			await takeWhatWaits(peers, patterns);
		}));

	test("sees the other side's reset as a reset", () =>
		withGuest({}, async (host) => {
			const { port, server } = await kernelServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
			const peer = Peer.connect(host, port);
			await peer.opened;
			peer.write(Buffer.from("x"));
			assert.equal(await peer.over, "ECONNRESET");
			server.close();
		}));
});

describe("a gateway", () => {
	test("turns away what is beyond its limit of connections, and counts it", () =>
		withGuest({ maxConnections: 1 }, async (host, link) => {
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const first = net.connect(port, "127.0.0.1");
			await listener.next();
			await assert.rejects(once(net.connect(port, "127.0.0.1"), "end"), { code: "ECONNRESET" });
			assert.equal(await Peer.connect(host, port).over, "ECONNREFUSED");
			assert.equal(link.gateway.counters().full, 2);
			first.destroy();
		}));

	test("keeps nothing of 200 connections that end in every way: in order, cut off by either side, before or after the first byte", () =>
		withGuest({}, async (host, link) => {
			host.tcpListen({ port: 80 }).onconnection = (socket) => {
				const peer = Peer.accept(socket);
				void peer.end.then(() => socket.finish());
				if (socket.remotePort % 4 === 0) socket.abort();
				else if (socket.remotePort % 4 === 1) peer.write(BULK.subarray(0, 300_000), true);
				else peer.write(BULK.subarray(0, 300_000));
			};
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const clients = Array.from({ length: 200 }, async (_, i) => {
				const client = net.connect(port, "127.0.0.1");
				client.on("error", () => {});
				client.on("data", () => {
					if (i % 5 === 0) client.resetAndDestroy();
					else if (i % 5 === 1) client.destroy();
				});
				if (i % 5 === 2) client.resetAndDestroy();
				else client.end(BULK.subarray(0, i * 1000));
				await until(() => client.closed);
			});
			await Promise.all(clients);
			await until(() => link.gateway.counters().open === 0);
			for (const side of [host, link.gateway.host]) {
				await until(() => side.stats().connections.total === 0);
				assert.equal(side.stats().memory.pagesInUse, 0);
			}
		}));

	test("refuses a connection that cannot be dialled, keeps nothing of it, and says why", () => {
		const answers: (() => { address: string; port: number })[] = [
			() => ({ address: "127.0.0.1", port: 70000 }),
			() => {
				throw new Error("no such machine");
			},
			() => undefined as never,
			// Node takes none of these for an address, and would connect to this machine.
			() => ({ port: 80 }) as never,
			() => ({ address: "", port: 80 }),
			() => ({ address: "nohost.invalid", port: 80 }),
		];
		return withGuest({ dial: (to) => answers[to.port - 1]!() }, async (host, link) => {
			for (const [i, message] of [/[Pp]ort.*70000/, /no such machine/, /undefined/, /IPv4/, /IPv4/, /IPv4/].entries()) {
				assert.equal(await Peer.connect(host, i + 1).over, "ECONNREFUSED");
				assert.deepEqual([link.gateway.counters().refused, link.gateway.counters().open], [i + 1, 0]);
				assert.match(link.gateway.error!.message, message);
			}
			assert.equal(link.gateway.host.stats().connections.total, 0);
		});
	});

	test(
		"asks silent peers outside whether they are there, on connections either way",
		{ skip: existsSync(TABLE) ? false : `no ${TABLE}` },
		() =>
			withGuest({}, async (host, link) => {
				const listener = listen(host, 80);
				const published = await link.gateway.publish({ port: 0, to: 80 });
				const client = net.connect(published.port, "127.0.0.1");
				await listener.next();
				assert.ok(probesWhenIdle(published.port, client.localPort!));
				assert.ok(!probesWhenIdle(client.localPort!, published.port), "that is not what any connection has");
				client.destroy();

				let accepted: net.Socket | null = null;
				const { port, server } = await kernelServer((socket) => {
					accepted = socket;
				});
				const peer = Peer.connect(host, port);
				await peer.opened;
				await until(() => accepted !== null);
				assert.ok(probesWhenIdle(accepted!.remotePort!, port));
				accepted!.destroy();
				server.close();
			}),
	);

	test("that is closed gives up connections that are still being made", async () => {
		let connections = 0;
		const { port, server } = await kernelServer((socket) => {
			connections++;
			socket.destroy();
		});
		let asked = false;
		const link = userLink({
			dial: () => {
				// Before the operating system is asked for the connection, which is in a tick of its own.
				process.nextTick(() => {
					assert.equal(gateway.counters().open, 1);
					asked = true;
					void host.close();
				});
				return { address: "127.0.0.1", port };
			},
		});
		const host = createHost({ link, runtime: nodeRuntime(), addresses: ["10.0.2.15/24"], routes: [{ to: "0.0.0.0/0" }] });
		host.ref();
		const { gateway } = link;
		Peer.connect(host, 80);
		await until(() => asked && gateway.counters().open === 0);
		// Connections come in their order: one of the gateway's would have come before this.
		await once(net.connect(port, "127.0.0.1"), "close");
		server.close();
		assert.equal(connections, 1);
	});

	test("that is closed resets its connections and gives its ports back", async () => {
		let port = 0;
		let client: net.Socket | null = null;
		await withGuest({}, async (host, link) => {
			const listener = listen(host, 80);
			({ port } = await link.gateway.publish({ port: 0, to: 80 }));
			client = net.connect(port, "127.0.0.1");
			client.on("error", () => {});
			await listener.next();
		});
		await until(() => client!.closed);
		await assert.rejects(once(net.connect(port, "127.0.0.1"), "connect"), { code: "ECONNREFUSED" });
	});
});

test("a gateway that was closed opens no port any more, also one whose address was being looked up", async () => {
	const [link] = memoryLinkPair();
	const gateway = createGateway({ link, runtime: nodeRuntime() });
	const published = gateway.publish({ port: 0, to: 80, address: "localhost" });
	await gateway.close();
	await assert.rejects(published, { code: "MILLRACE_LINK_CLOSED" });
	assert.throws(() => gateway.publishNow({ port: 0, to: 80 }), { code: "MILLRACE_LINK_CLOSED" });
});

for (const sharedBuffer of [true, false]) {
	test(`with ${sharedBuffer ? "one buffer for all" : "a buffer for each read"} what waits for a guest is whole, whoever connected`, (context) => {
		const received = context.mock.method(Splice.prototype, "received");
		return withGuest({ sharedBuffer }, async (host, link) => {
			const patterns = [BULK, Uint8Array.from(BULK, (byte) => byte ^ 255)] as const;
			const listener = listen(host, 80);
			const { port } = await link.gateway.publish({ port: 0, to: 80 });
			const client = net.connect({ port, host: "127.0.0.1" }).resume();
			client.end(patterns[0]);
			const outside = await kernelServer((socket) => socket.end(patterns[1]));
			const peers = [await listener.next(), Peer.connect(host, outside.port)];
			for (const peer of peers) peer.reading = false;
			await peers[1]!.opened;
			outside.server.close();
			await takeWhatWaits(peers, patterns);
			const readers = new Set(received.mock.calls.map((call) => call.this));
			assert.equal(readers.size, sharedBuffer ? 2 : 0);
		});
	});
}

test("a kernel socket that is reset while its FIN is being sent is closed, behind the FIN", async () => {
	const server = net.createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
	await once(server, "listening");
	const socket = new KernelSocket({ allowHalfOpen: true });
	socket.connect((server.address() as AddressInfo).port, "127.0.0.1");
	const [[peer]] = (await Promise.all([once(server, "connection"), once(socket, "connect")])) as [[net.Socket], unknown];
	peer.resume();
	const ended = once(peer, "end");
	// The bytes are the kernel's by then, and the FIN is not yet: what a gateway that is closed may meet.
	socket.write("all", () => {
		socket.end();
		socket.resetAndDestroy();
	});
	await Promise.all([once(socket, "close"), ended]);
	peer.destroy();
	server.close();
});

test("options that are out of their range are refused by name, before the gateway is there", () => {
	for (const [wrong, message] of [
		[{ guest: "10.0.2" }, /guest 10\.0\.2 of a gateway/],
		[{ address: "10.0.2.2" }, /10\.0\.2\.2/],
		[{ maxConnections: Number.NaN }, /maxConnections NaN of a gateway/],
		[{ maxConnections: -1 }, /maxConnections -1 of a gateway/],
		[{ sharedBuffer: "off" as never }, /sharedBuffer of off: give true or false/],
	] as const) {
		const [link] = memoryLinkPair();
		assert.throws(() => createGateway({ link, runtime: nodeRuntime(), ...wrong }), { message });
	}
});

test("a port of the guest that there is not is refused when it is published, not with every connection", () =>
	withGuest({}, async (_host, link) => {
		for (const address of ["", null as never, 5 as never]) {
			await assert.rejects(link.gateway.publish({ port: 0, to: 80, address }), { code: "MILLRACE_BAD_OPTION", message: /address/ });
			assert.throws(() => link.gateway.publishNow({ port: 0, to: 80, address }), { code: "MILLRACE_BAD_OPTION" });
		}
		for (const to of [0, 65536, 1.5]) await assert.rejects(link.gateway.publish({ port: 0, to }), { code: "EINVAL", message: /guest/ });
	}));

test("options that are not known are refused by name, of the link and of the gateway", () => {
	assert.throws(() => userLink({ gest: "10.0.2.15" } as never), { code: "MILLRACE_BAD_OPTION", message: /"gest".*guest/ });
	const [link] = memoryLinkPair();
	const wrong = { link, runtime: nodeRuntime(), mtu: 1500 } as never;
	assert.throws(() => createGateway(wrong), { code: "MILLRACE_BAD_OPTION", message: /"mtu".*guest/ });
});
