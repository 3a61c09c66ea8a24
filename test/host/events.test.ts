import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { MillraceError } from "../../src/errors.ts";
import { createHost, type Host } from "../../src/host/host.ts";
import type { Link, LinkContext } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { LinkWrapper } from "../../src/link/wrapper.ts";
import type { Batch } from "../../src/memory/batch.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { CLIENT, coded, connected, Ear, SERVER, world } from "../helpers/two-hosts.ts";

const hello = new TextEncoder().encode("hello");

test("an option that is not known is named, with those that are", () => {
	const { runtime } = new VirtualClock();
	const [link] = memoryLinkPair();
	assert.throws(
		() => createHost({ link, runtime, adresses: ["10.0.0.1/24"] } as never),
		(error: Error) => {
			assert.match(error.message, /"adresses".*addresses/);
			return coded("MILLRACE_BAD_OPTION")(error);
		},
	);
	assert.throws(() => createHost({ link } as never), coded("MILLRACE_BAD_OPTION"));
	assert.throws(() => createHost({ link, runtime, memory: 1000 }), coded("MILLRACE_BAD_OPTION"));
	assert.throws(() => createHost({ link, runtime, memory: Number.NaN }), coded("MILLRACE_BAD_OPTION"));
	assert.throws(() => createHost({ link, runtime, memory: 3 * 2 ** 30 }), coded("MILLRACE_BAD_OPTION"));
	assert.throws(() => createHost({ link, runtime, simd: "off" as never }), coded("MILLRACE_BAD_OPTION"));
});

test("the same for calls: what is not known is named", () =>
	world(({ server }) => {
		assert.throws(() => server.tcpListen({ port: 80, adress: SERVER } as never), coded("MILLRACE_BAD_OPTION"));
		assert.throws(() => server.tcpConnect({ address: CLIENT, prot: 80 } as never, new Ear()), coded("MILLRACE_BAD_OPTION"));
		assert.throws(() => server.tcp.listen({ port: 80, backLog: 1 } as never), coded("MILLRACE_BAD_OPTION"));
	}));

test("a connect that cannot work throws at once: EINVAL, ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, ENOBUFS", () =>
	world(
		async ({ sim, client }) => {
			const connect = (options: object) => client.tcpConnect({ address: SERVER, port: 80, ...options }, new Ear());
			for (const address of ["", "10.0.0", "example.org", "::1", "10.0.0.256"]) assert.throws(() => connect({ address }), coded("EINVAL"));
			for (const port of [0, -1, 65536, 1.5, Number.NaN]) assert.throws(() => connect({ port }), coded("EINVAL"));
			assert.throws(() => connect({ localPort: 70_000 }), coded("EINVAL"));
			assert.throws(() => connect({ localAddress: "nobody" }), coded("EINVAL"));
			assert.throws(() => connect({ address: "192.168.1.1" }), coded("ENETUNREACH"));
			assert.throws(() => connect({ address: "192.168.1.1", localAddress: CLIENT }), coded("ENETUNREACH"));
			assert.throws(() => connect({ localAddress: "10.0.0.77" }), coded("EADDRNOTAVAIL"));
			assert.throws(() => connect({ localAddress: "127.0.0.1" }), coded("EINVAL"));
			for (const address of [CLIENT, "127.0.0.2"]) connect({ address, localAddress: "127.0.0.1" }).abort();
			const ours = [CLIENT, "127.0.0.1", "10.0.0.77", "::1", "nobody"].map((address) => client.hasAddress(address));
			assert.deepEqual(ours, [true, true, false, false, false]);
			const listener = client.tcpListen({ port: 5000, address: CLIENT });
			assert.throws(() => connect({ localPort: 5000 }), coded("EADDRINUSE"));
			listener.close();
			const first = connect({ localPort: 5000 });
			assert.equal(first.localPort, 5000);
			assert.throws(() => connect({ localPort: 5000 }), coded("EADDRINUSE"));
			const others = [connect({}), connect({})];
			assert.throws(() => connect({}), coded("ENOBUFS"));
			for (const socket of [first, ...others]) socket.abort();
			await sim.sleep(1);
		},
		{ client: { tcp: { maxConnections: 3 } } },
	));

/** A link that notes whether it keeps the process alive, and can be gone. */
class Noted extends LinkWrapper {
	referenced = false;
	fail = (): void => {};
	constructor() {
		super("noted", memoryLinkPair()[0]);
	}
	override open(context: LinkContext): void {
		super.open(context);
		this.fail = () => context.failed(new MillraceError("ENODEV", "the device was removed"));
	}
	override ref(): void {
		this.referenced = true;
	}
	override unref(): void {
		this.referenced = false;
	}
	receive(batch: Batch): number {
		return this.inner.receive(batch);
	}
	transmit(batch: Batch): number {
		return this.inner.transmit(batch);
	}
	protected ownCounters(): Readonly<Record<string, number>> {
		return {};
	}
}

test("ref and unref are counted from nothing on", async () => {
	const link = new Noted();
	const host = createHost({ link, runtime: new VirtualClock().runtime, memory: 1 << 20 });
	const seen = (["unref", "unref", "ref", "ref", "unref", "unref", "unref", "ref"] as const).map((call) => {
		host[call]();
		return link.referenced;
	});
	assert.deepEqual(seen, [false, false, true, true, true, false, false, true]);
	await host.close();
});

test("once the link is gone, a connect to another machine is ENETDOWN; the host itself can still be reached", async () => {
	const link = new Noted();
	const clock = new VirtualClock();
	const host = createHost({ link, runtime: clock.runtime, addresses: [`${CLIENT}/24`], memory: 1 << 20 });
	const told: Error[] = [];
	host.onLinkFailed = (error) => told.push(error);
	const connect = (address: string) => host.tcpConnect({ address, port: 80 }, new Ear());
	connect(SERVER).abort();
	link.fail();
	assert.equal(told.length, 1);
	assert.throws(
		() => connect(SERVER),
		(error: Error) => {
			assert.match(error.message, /memory:a/);
			assert.equal(error.cause, told[0]);
			return coded("ENETDOWN")(error);
		},
	);
	await assert.rejects(host.tcp.connect({ address: SERVER, port: 80 }), coded("ENETDOWN"));
	for (const address of [CLIENT, "127.0.0.1"]) {
		const ear = new Ear();
		host.tcpConnect({ address, port: 80 }, ear);
		clock.advance(1e6);
		assert.deepEqual(ear.heard, ["closed ECONNREFUSED"]);
	}
	await host.close();
});

test("all ports in use towards one peer: EADDRNOTAVAIL; towards another they are free, but for those that are listened on", () =>
	world(
		({ client }) => {
			const listener = client.tcpListen({ port: 6003 });
			const connect = (port: number) => client.tcpConnect({ address: SERVER, port }, new Ear());
			const sockets = [connect(80), connect(80), connect(80)];
			assert.deepEqual(sockets.map((socket) => socket.localPort).sort(), [6000, 6001, 6002]);
			assert.throws(() => connect(80), coded("EADDRNOTAVAIL"));
			sockets.push(connect(81), connect(81), connect(81));
			assert.throws(() => connect(81), coded("EADDRNOTAVAIL"));
			listener.close();
			sockets.push(connect(81));
			assert.equal(sockets.at(-1)!.localPort, 6003);
			for (const socket of sockets) socket.abort();
		},
		{ client: { tcp: { firstPort: 6000, lastPort: 6003 } } },
	));

test("listening twice is EADDRINUSE, also any against one address; a closed listener frees its port", () =>
	world(({ server }) => {
		const one = server.tcpListen({ address: SERVER, port: 80 });
		assert.throws(() => server.tcpListen({ address: SERVER, port: 80 }), coded("EADDRINUSE"));
		assert.throws(() => server.tcpListen({ port: 80 }), coded("EADDRINUSE"));
		const other = server.tcpListen({ address: "127.0.0.1", port: 80 });
		assert.ok(server.hasListener(80, "127.0.0.1") && !server.hasListener(80, "127.0.0.2"));
		other.close();
		assert.ok(server.hasListener(80) && server.hasListener(80, SERVER) && !server.hasListener(80, "127.0.0.1"));
		one.close();
		one.close();
		assert.ok(!server.hasListener(80));
		const any = server.tcpListen({ port: 80 });
		assert.ok(server.hasListener(80, SERVER));
		assert.throws(() => server.tcpListen({ address: SERVER, port: 80 }), coded("EADDRINUSE"));
		any.close();
		assert.throws(() => server.tcpListen({ address: CLIENT, port: 80 }), coded("EADDRNOTAVAIL"));
		for (const port of [-1, 65536, 0.5]) assert.throws(() => server.tcpListen({ port }), coded("EINVAL"));
		const chosen = server.tcpListen({ port: 0 });
		assert.ok(chosen.port >= 32768 && chosen.port <= 60999);
		chosen.close();
	}));

test("a port that onListen would not have is not listened on; a port of the host's own choice is then another", () =>
	world(
		({ server }) => {
			const refused = new Set([6000, 6002, 80]);
			server.onListen = (port) => {
				if (refused.has(port)) throw new MillraceError("EADDRINUSE", `${port} is somebody else's`);
			};
			assert.throws(() => server.tcpListen({ port: 80 }), coded("EADDRINUSE"));
			assert.ok(!server.hasListener(80));
			const chosen = server.tcpListen({ port: 0 });
			assert.equal(chosen.port, 6001);
			assert.throws(() => server.tcpListen({ port: 0 }), coded("EADDRINUSE"));
			chosen.close();
			server.onListen = () => {
				throw new MillraceError("EACCES", "not for us");
			};
			assert.throws(() => server.tcpListen({ port: 0 }), coded("EACCES"));
			assert.ok(!server.hasListener(6000) && !server.hasListener(6001) && !server.hasListener(6002));
		},
		{ server: { tcp: { firstPort: 6000, lastPort: 6002 } } },
	));
test("onListen tells of the first listener of a port, onUnlisten of its last", () =>
	world(({ server }) => {
		const told: string[] = [];
		server.onListen = (port) => told.push(`listen ${port}`);
		server.onUnlisten = (port) => told.push(`unlisten ${port}`);
		const one = server.tcpListen({ address: SERVER, port: 80 });
		const other = server.tcpListen({ address: "127.0.0.1", port: 80 });
		one.close();
		assert.deepEqual(told.splice(0), ["listen 80"]);
		other.close();
		other.close();
		server.tcpListenAny(() => {}).close();
		assert.deepEqual(told.splice(0), ["unlisten 80"]);
		const chosen = server.tcpListen({ port: 0 });
		assert.deepEqual(told.splice(0), [`listen ${chosen.port}`]);
		chosen.close();
	}));

test("nobody listens: ECONNREFUSED", () =>
	world(async ({ sim, client }) => {
		const ear = new Ear();
		const socket = client.tcpConnect({ address: SERVER, port: 81 }, ear);
		await sim.sleep(1);
		assert.deepEqual(ear.heard, ["closed ECONNREFUSED"]);
		assert.ok(!socket.alive);
	}));

test("nobody answers ARP: EHOSTUNREACH within seconds", () =>
	world(
		async ({ sim, client }) => {
			const ear = new Ear();
			client.tcpConnect({ address: "10.0.0.99", port: 80 }, ear);
			await sim.sleep(10);
			assert.deepEqual(ear.heard, ["closed EHOSTUNREACH"]);
		},
		{ segment: { medium: "ethernet" } },
	));

test("nobody answers at all: ETIMEDOUT after the last SYN; an established connection after the last retransmission", () =>
	world(
		async (hosts) => {
			const { sim, client, cut } = hosts;
			const [here, there] = await connected(hosts);
			cut();
			const syn = new Ear();
			client.tcpConnect({ address: SERVER, port: 80 }, syn);
			here.socket.write(hello);
			await sim.sleep(100);
			assert.deepEqual(syn.heard, ["closed ETIMEDOUT"]);
			assert.deepEqual(here.heard, ["closed ETIMEDOUT"]);
			there.socket.abort();
		},
		{ client: { tcp: { synRetries: 3, retries: 4 } } },
	));

test("a peer that resets: ECONNRESET, and bytes that were not read are gone", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		there.socket.write(hello);
		await hosts.sim.sleep(1);
		assert.equal(here.socket.available, 5);
		there.socket.abort();
		await hosts.sim.sleep(1);
		assert.deepEqual(here.heard, ["readable", "closed ECONNRESET"]);
		assert.deepEqual(there.heard, []);
	}));

test("a peer that resets: `closing` is the last moment to read, and says whether the peer had ended its side", () =>
	world(async (hosts) => {
		for (const ends of [false, true]) {
			const [here, there] = await connected(hosts);
			let left: Uint8Array | null = null;
			Object.assign(here, {
				closing(complete: boolean) {
					left = here.socket.read();
					here.heard.push(`closing ${complete}`);
				},
			});
			there.socket.write(hello);
			if (ends) there.socket.finish();
			await hosts.sim.sleep(1);
			there.socket.abort();
			await hosts.sim.sleep(1);
			assert.deepEqual(left, hello);
			assert.deepEqual(here.heard, ["readable", `closing ${ends}`, "closed ECONNRESET"]);
			assert.equal(here.socket.available, 0);
		}
	}));

test("half-close: what is left flows the other way until that side finishes too", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		here.socket.write(hello);
		here.socket.finish();
		assert.equal(here.socket.write(hello), 0);
		await hosts.sim.sleep(1);
		assert.deepEqual(there.heard, ["readable"]);
		assert.deepEqual(there.socket.read(), hello);
		await hosts.sim.sleep(1);
		assert.deepEqual(there.heard, ["readable", "ended"]);
		await hosts.sim.sleep(100);
		assert.equal(there.socket.write(hello), 5);
		await hosts.sim.sleep(1);
		assert.deepEqual(here.socket.read(), hello);
		there.socket.finish();
		await hosts.sim.sleep(1);
		assert.deepEqual(there.heard, ["readable", "ended", "closed null"]);
		assert.deepEqual(here.heard, ["readable", "ended", "closed null"]);
	}));

test("RFC 2525 2.17: closing with bytes unread resets; a close after all was read does not", () =>
	world(async (hosts) => {
		for (const read of [false, true]) {
			const [here, there] = await connected(hosts, read ? 80 : 81);
			here.socket.write(hello);
			await hosts.sim.sleep(1);
			if (read) there.socket.read();
			there.socket.close();
			await hosts.sim.sleep(1);
			assert.deepEqual(here.heard, read ? ["ended"] : ["closed ECONNRESET"]);
			here.socket.close();
			await hosts.sim.sleep(1);
		}
	}));

test("a program that does not read closes the peer's window, and memory stays bounded; reading opens it again", () =>
	world(
		async (hosts) => {
			const { sim, server } = hosts;
			const [here, there] = await connected(hosts);
			const piece = new Uint8Array(10_000).fill(7);
			let sent = 0;
			const pump = () => {
				for (let taken = -1; taken !== 0; sent += taken) taken = here.socket.write(piece);
			};
			here.writable = pump;
			pump();
			await sim.sleep(60);
			const stuck = sent;
			assert.equal(there.socket.info()!.receiveWindow, 0);
			assert.ok(there.socket.available >= 20_000 && there.socket.available <= 21_000, `${there.socket.available} bytes wait`);
			assert.ok(server.stats().memory.pagesInUse < 40);
			assert.ok(here.socket.info()!.sendQueue <= 60_000, "the sender's own buffer is bounded");
			await sim.sleep(600);
			assert.equal(sent, stuck);
			let got = 0;
			there.readable = () => {
				for (let bytes = there.socket.read(); bytes !== null; bytes = there.socket.read()) got += bytes.length;
			};
			there.readable();
			await sim.sleep(60);
			assert.ok(got > stuck + 1e6, `${got} bytes read`);
			here.socket.abort();
			await sim.sleep(1);
			assert.equal(there.heard.at(-1), "closed ECONNRESET");
		},
		{
			server: { tcp: { receiveBuffer: 20_000, maxReceiveBuffer: 20_000 } },
			client: { tcp: { sendBuffer: 30_000, maxSendBuffer: 60_000 } },
		},
	));

test("keep-alive: an idle peer that answers lives, one that is gone is ETIMEDOUT", () =>
	world(
		async (hosts) => {
			const { sim, server } = hosts;
			const [here, there] = await connected(hosts);
			there.socket.setKeepAlive(true, 10);
			await sim.sleep(300);
			assert.deepEqual(there.heard, []);
			assert.ok(server.stats().tcp.keepAlives! >= 25);
			hosts.cut();
			await sim.sleep(10 + 3 * 5 + 5);
			assert.deepEqual(there.heard, ["closed ETIMEDOUT"]);
			here.socket.abort();
		},
		{ server: { tcp: { keepAliveInterval: 5000, keepAliveProbes: 3 } } },
	));

test("setting keep-alive on a host where nothing else happens works too", () =>
	world(
		async (hosts) => {
			const [here, there] = await connected(hosts);
			await hosts.sim.sleep(3600);
			there.socket.setKeepAlive(true, 1);
			hosts.cut();
			await hosts.sim.sleep(60);
			assert.deepEqual(there.heard, ["closed ETIMEDOUT"]);
			here.socket.abort();
		},
		{ server: { tcp: { keepAliveInterval: 5000, keepAliveProbes: 3 } } },
	));

test("what is lost after a silence is probed as soon as ever, though a timer of long ago is all that the host waits for", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		here.socket.setKeepAlive(true, 3600);
		await hosts.sim.sleep(600);
		hosts.cut();
		here.socket.write(hello);
		await hosts.sim.sleep(5);
		assert.ok(here.socket.info()!.retransmits > 0);
		here.socket.abort();
		there.socket.abort();
	}));

test("a connection closed in FIN-WAIT-2 after a long silence does not stay for ever", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		here.socket.finish();
		await hosts.sim.sleep(3600);
		assert.equal(here.socket.info()!.state, "FIN-WAIT-2");
		here.socket.close();
		await hosts.sim.sleep(59);
		assert.equal(hosts.client.connections().length, 1);
		await hosts.sim.sleep(2);
		assert.equal(hosts.client.connections().length, 0);
		there.socket.abort();
	}));

test("calls on a socket that is gone do nothing, and do not touch who uses the record next", () =>
	world(async (hosts) => {
		const [first] = await connected(hosts);
		const dead = first.socket;
		const { index } = dead;
		dead.abort();
		await hosts.sim.sleep(1);
		const [second, peer] = await connected(hosts, 81);
		assert.equal(second.socket.index, index, "the record is used again");
		dead.index = index; // Even a socket that did not hear of its end.
		assert.ok(!dead.alive);
		assert.equal(dead.write(hello), 0);
		assert.equal(dead.read(), null);
		assert.equal(dead.readInto(new Uint8Array(5), 0, 5), 0);
		assert.equal(dead.available, 0);
		assert.equal(dead.room, 0);
		assert.equal(dead.info(), null);
		dead.setNoDelay(true);
		dead.setKeepAlive(true, 1);
		dead.finish();
		dead.close();
		dead.abort();
		await hosts.sim.sleep(1);
		assert.equal(second.socket.info()!.state, "ESTABLISHED");
		assert.equal(second.socket.write(hello), 5);
		await hosts.sim.sleep(1);
		assert.deepEqual(peer.socket.read(), hello);
		second.socket.close();
		peer.socket.close();
	}));

test("write and readInto take arrays of bytes and places within them; anything else is EINVAL, and neither sends nor reads", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		const { socket } = here;
		const bytes = new Uint8Array(200).fill(7);
		for (const wrong of [
			"hello",
			new ArrayBuffer(8),
			new Uint16Array(4),
			new DataView(new ArrayBuffer(8)),
			new Array(200),
			5,
			null,
			undefined,
		]) {
			assert.throws(() => socket.write(wrong as unknown as Uint8Array), coded("EINVAL"));
		}
		for (const offset of [-1, -5, 201, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "0", null]) {
			assert.throws(() => socket.write(bytes, offset as number), coded("EINVAL"), `write at ${offset}`);
		}
		assert.equal(socket.info()!.sendQueue, 0);
		assert.equal(socket.write(bytes, 200), 0);
		assert.equal(socket.write(bytes), 200);
		// Arrays of another realm are arrays of bytes, too.
		const other = runInNewContext("new Uint8Array(300).fill(7)") as Uint8Array;
		assert.equal(socket.write(other, 100), 200);
		await hosts.sim.sleep(1);

		const reader = there.socket;
		const target = new Uint8Array(400);
		for (const wrong of [new ArrayBuffer(400), new Uint16Array(400), new Array(400).fill(0), "x", null]) {
			assert.throws(() => reader.readInto(wrong as unknown as Uint8Array, 0, 400), coded("EINVAL"));
		}
		for (const [offset, length] of [
			[-5, 100],
			[401, 0],
			[0.5, 10],
			[Number.NaN, 1],
			[0, -1],
			[0, 401],
			[300, 101],
			[0, 1.5],
			[0, Number.NaN],
		]) {
			assert.throws(() => reader.readInto(target, offset!, length!), coded("EINVAL"), `${length} bytes at ${offset}`);
		}
		assert.equal(reader.available, 400);
		assert.equal(reader.readInto(target, 0, 0), 0);
		assert.equal(reader.readInto(target, 100, 300), 300);
		assert.equal(reader.readInto(target, 0, 400), 100);
		assert.deepEqual(target, new Uint8Array(400).fill(7));
		assert.equal(reader.readInto(target, 400, 0), 0);
		here.socket.close();
		there.socket.close();
		assert.throws(() => socket.write("hello" as unknown as Uint8Array), coded("EINVAL"), "also when the connection is gone");
	}));

test("a listener that closes resets who is half-open and who waits, and leaves alone who was handed over", () =>
	world(async ({ sim, server, client }) => {
		const listener = server.tcpListen({ port: 80 });
		const handed = new Ear();
		listener.onconnection = (socket) => {
			handed.socket = socket;
			socket.events = handed;
		};
		const ears = [0, 1, 2].map(() => new Ear());
		ears[0]!.socket = client.tcpConnect({ address: SERVER, port: 80 }, ears[0]!);
		await sim.sleep(1);
		for (const ear of ears.slice(1)) ear.socket = client.tcpConnect({ address: SERVER, port: 80 }, ear);
		// A SYN takes two milliseconds, the SYN-ACK as long.
		await sim.sleep(0.003);
		assert.equal(server.stats().connections.halfOpen, 2);
		listener.close();
		assert.equal(server.stats().connections.halfOpen, 0);
		await sim.sleep(1);
		assert.deepEqual(
			ears.map((ear) => ear.heard),
			// The SYN-ACK was on its way.
			[["connected"], ["connected", "closed ECONNRESET"], ["connected", "closed ECONNRESET"]],
		);
		assert.equal(handed.socket.info()!.state, "ESTABLISHED");
		handed.socket.close();
		ears[0]!.socket.close();
	}));

test("half-open connections are bounded: SYNs beyond it are dropped, and come again", () =>
	world(
		async ({ sim, server, client }) => {
			const listener = server.tcpListen({ port: 80 });
			let accepted = 0;
			listener.onconnection = (socket) => {
				accepted++;
				socket.close();
			};
			const ears = Array.from({ length: 10 }, () => new Ear());
			for (const ear of ears) ear.socket = client.tcpConnect({ address: SERVER, port: 80 }, ear);
			await sim.sleep(0.003);
			assert.equal(server.stats().connections.halfOpen, 4);
			assert.equal(server.stats().tcp.synBacklogFull, 6);
			await sim.sleep(10);
			assert.equal(accepted, 10);
			for (const ear of ears) {
				assert.deepEqual(ear.heard, ["connected", "ended"]);
				ear.socket.close();
			}
			listener.close();
		},
		{ server: { tcp: { synBacklog: 4 } } },
	));

test("requests to a listener for all ports: accepted, refused, and held when the listener closes", () =>
	world(async ({ sim, server, client }) => {
		const requests: Parameters<Parameters<typeof server.tcpListenAny>[0]>[0][] = [];
		const any = server.tcpListenAny((request) => requests.push(request));
		assert.throws(() => server.tcpListenAny(() => {}), coded("EADDRINUSE"));
		const ears = [7, 8, 9].map((port) => {
			const ear = new Ear();
			ear.socket = client.tcpConnect({ address: SERVER, port }, ear);
			return ear;
		});
		await sim.sleep(0.5);
		assert.deepEqual(
			requests.map((request) => request.localPort),
			[7, 8, 9],
		);
		assert.deepEqual(
			ears.map((ear) => ear.heard.length),
			[0, 0, 0],
			"no SYN-ACK before the word",
		);
		requests[1]!.refuse();
		any.close();
		await sim.sleep(1);
		assert.deepEqual(
			ears.map((ear) => ear.heard),
			[[], ["closed ECONNREFUSED"], []],
		);
		const there = new Ear();
		const socket = requests[0]!.accept(there)!;
		await sim.sleep(5);
		assert.deepEqual(there.heard, ["connected"]);
		assert.deepEqual(ears[0]!.heard, ["connected"]);
		requests[2]!.refuse();
		socket.close();
		ears[0]!.socket.close();
		await sim.sleep(1);
		assert.equal(requests[2]!.accept(new Ear()), null, "too late");
	}));

test("keep-alive after a time that is no number is keep-alive after the default", () =>
	world(async (it) => {
		const [here, there] = await connected(it);
		for (const idle of [Number.NaN, 0, -1, undefined]) here.socket.setKeepAlive(true, idle);
		const before = it.client.stats().tcp.segmentsOut!;
		await it.sim.sleep(7199);
		assert.equal(it.client.stats().tcp.segmentsOut, before);
		await it.sim.sleep(2);
		assert.equal(it.client.stats().tcp.segmentsOut, before + 1);
		for (const end of [here, there]) end.socket.abort();
		await it.sim.sleep(1);
	}));

test("a request is refused as a host that resets, a network or a host that cannot be reached, or with silence", () =>
	world(async ({ sim, server, client }) => {
		const reasons = ["reset", "net", "host", "silence"] as const;
		const first = 10;
		let silent = 0;
		server.tcpListenAny((request) => {
			const reason = reasons[request.localPort - first]!;
			if (reason === "silence") silent++;
			assert.throws(() => request.refuse("rest" as never), coded("MILLRACE_BAD_OPTION"));
			request.refuse(reason);
			request.refuse(reason);
		});
		const ears = reasons.map((_, i) => {
			const ear = new Ear();
			ear.socket = client.tcpConnect({ address: SERVER, port: first + i }, ear);
			return ear;
		});
		await sim.sleep(0.5);
		assert.deepEqual(
			ears.map((ear) => ear.heard),
			[["closed ECONNREFUSED"], ["closed ENETUNREACH"], ["closed EHOSTUNREACH"], []],
		);
		assert.equal(server.stats().connections.total, 0, "nothing is kept of them");
		assert.equal(server.stats().tcp.resetsOut, 1);
		assert.equal(silent, 1);
		await sim.sleep(1);
		assert.equal(silent, 2, "a SYN that comes again is a request again");
		ears[3]!.socket.abort();
	}));

test("host.close() tells every socket and listener, and everything after it is MILLRACE_CLOSED", () =>
	world(
		async (hosts) => {
			const { sim, server, client } = hosts;
			const [here, there] = await connected(hosts);
			const listener = server.tcpListen({ port: 90 });
			let closed = 0;
			listener.onclose = () => closed++;
			const opening = new Ear();
			server.tcpConnect({ address: CLIENT, port: 99 }, opening);
			there.closed = (error) => {
				there.heard.push(`closed ${error}`);
				assert.throws(() => server.tcpConnect({ address: CLIENT, port: 1 }, there), coded("MILLRACE_CLOSED"));
			};
			await server.close();
			await server.close();
			assert.deepEqual(there.heard, ["closed ECONNABORTED"]);
			assert.deepEqual(opening.heard, ["closed ECONNABORTED"]);
			assert.equal(closed, 1);
			assert.equal(server.shard.pool.inUse, 0);
			assert.throws(() => server.tcpListen({ port: 80 }), coded("MILLRACE_CLOSED"));
			await sim.sleep(1);
			assert.deepEqual(here.heard, ["closed ECONNRESET"]);
			assert.equal(sim.pending("server"), 0);
			await client.close();
			assert.equal(client.shard.pool.inUse, 0);
		},
		// What waits in a slow device is lost with it.
		{ keep: true, segment: { delay: 0 } },
	));

test("host.close() closes the host whatever is thrown meanwhile, tells everybody, and rejects with what was thrown first", () =>
	world(
		async (hosts) => {
			const { sim, server, client } = hosts;
			const [here, there] = await connected(hosts);
			const [, other] = await connected(hosts, 81);
			const told: string[] = [];
			const thrown = (what: string) => () => {
				told.push(what);
				void server.close();
				throw new Error(what);
			};
			server.tcpListen({ port: 90 }).onclose = thrown("onclose 90");
			server.tcpListen({ port: 91 }).onclose = thrown("onclose 91");
			server.onUnlisten = (port) => thrown(`onUnlisten ${port}`)();
			there.closed = thrown("closed");
			const closing = server.close();
			await assert.rejects(closing, new Error("onUnlisten 90"));
			assert.deepEqual(told, ["onUnlisten 90", "onUnlisten 91", "onclose 90", "onclose 91", "closed"]);
			assert.deepEqual(other.heard, ["closed ECONNABORTED"]);
			assert.equal(server.shard.pool.inUse, 0);
			await assert.rejects(server.close(), new Error("onUnlisten 90"));
			await sim.sleep(1);
			assert.deepEqual(here.heard, ["closed ECONNRESET"]);
			assert.equal(sim.pending("server"), 0);
			await client.close();
		},
		{ keep: true, segment: { delay: 0 } },
	));

test("connections() and stats() say what is there", () =>
	world(async (hosts) => {
		const [here, there] = await connected(hosts);
		here.socket.write(new Uint8Array(3000));
		await hosts.sim.sleep(1);
		const [info] = hosts.client.connections();
		assert.equal(info!.state, "ESTABLISHED");
		assert.equal(info!.remoteAddress, SERVER);
		assert.equal(info!.remotePort, 80);
		assert.equal(info!.localAddress, CLIENT);
		assert.equal(info!.localPort, here.socket.localPort);
		assert.equal(info!.sendQueue, 0);
		assert.equal(info!.ssthresh, Number.POSITIVE_INFINITY);
		assert.ok(info!.rtt >= 2000 && info!.rtt < 50_000);
		assert.deepEqual(info!.options, { timestamps: true, sack: true, windowScaling: true });
		const stats = hosts.server.stats();
		assert.equal(stats.connections.total, 1);
		assert.equal(stats.tcp.bytesIn, 3000);
		assert.equal(stats.tcp.passiveOpens, 1);
		assert.ok(stats.memory.pagesInUse > 0 && stats.memory.touched > 0);
		assert.equal(there.socket.info()!.receiveQueue, 3000);
		there.socket.read();
		here.socket.close();
		there.socket.close();
	}));

/** Two hosts on a clock whose `advance` throws what a program throws. */
function throwing(): { clock: VirtualClock; server: Host; client: Host; fails(): void; empty(): void } {
	const clock = new VirtualClock();
	const [a, b] = memoryLinkPair();
	const tcp = { maxConnections: 8, sendBuffer: 1000, maxSendBuffer: 1000 };
	const host = (link: Link, address: string) =>
		createHost({ link, runtime: clock.runtime, addresses: [`${address}/24`], memory: 1 << 20, tcp });
	const server = host(a, SERVER);
	const client = host(b, CLIENT);
	return {
		clock,
		server,
		client,
		fails: () => assert.throws(() => clock.advance(1e6), /own/),
		empty() {
			for (const { shard } of [server, client]) {
				assert.equal(shard.tcp.table.count, 0);
				assert.equal(shard.pool.inUse, 0);
			}
		},
	};
}

const fail = () => {
	throw new Error("the program's own");
};

test("a callback that throws is the program's error: the stack goes on, and nothing is left", () => {
	const { clock, server, client, fails, empty } = throwing();
	server.tcpListen({ port: 80 }).onconnection = (socket) => {
		const ear = new Ear();
		socket.events = Object.assign(ear, { readable: fail, closed: fail });
	};
	const others = [0, 1, 2].map(() => new Ear());
	for (const ear of others) ear.socket = client.tcpConnect({ address: SERVER, port: 80 }, ear);
	clock.advance(1e6);
	for (const ear of others) ear.socket.write(hello);
	for (const _ of others) fails();
	clock.advance(1e6);
	for (const ear of others) ear.socket.abort();
	for (const _ of others) fails();
	clock.advance(1e6);
	empty();
});

test("an onconnection that throws before anybody hears of the connection resets it; one that throws later loses no event", () => {
	const { clock, server, client, fails, empty } = throwing();
	const there = new Ear();
	let hears = false;
	server.tcpListen({ port: 80 }).onconnection = (socket) => {
		there.socket = socket;
		if (hears) socket.events = there;
		fail();
	};
	const here = new Ear();
	here.socket = client.tcpConnect({ address: SERVER, port: 80 }, here);
	fails();
	clock.advance(1e6);
	assert.deepEqual(here.heard, ["connected", "closed ECONNRESET"]);
	empty();

	hears = true;
	const other = new Ear();
	other.socket = client.tcpConnect({ address: SERVER, port: 80 }, other);
	// With the ACK of the SYN-ACK: bytes that are there as soon as the connection is.
	other.connected = () => other.socket.write(hello);
	fails();
	clock.advance(1e6);
	assert.deepEqual(there.heard, ["readable"]);
	there.socket.abort();
	clock.advance(1e6);
	empty();
});

test("an onrequest that throws refuses the request", () => {
	const { clock, server, client, fails, empty } = throwing();
	server.tcpListenAny(fail);
	const here = new Ear();
	here.socket = client.tcpConnect({ address: SERVER, port: 80 }, here);
	fails();
	clock.advance(1e6);
	assert.deepEqual(here.heard, ["closed ECONNREFUSED"]);
	empty();
});

test("an event that throws is lost, but no other that came with it", () => {
	const { clock, server, client, fails, empty } = throwing();
	const there = new Ear();
	server.tcpListen({ port: 80 }).onconnection = (socket) => {
		socket.events = there;
		there.socket = socket;
	};
	const here = new Ear();
	here.socket = client.tcpConnect({ address: SERVER, port: 80 }, here);
	clock.advance(1e6);
	here.heard.length = 0;
	here.readable = fail;
	// What the server says as soon as it has read carries the ACK that makes room.
	there.readable = () => {
		there.socket.read();
		there.socket.write(hello);
	};
	assert.equal(here.socket.write(new Uint8Array(2000)), 1000);
	fails();
	clock.advance(1e6);
	assert.deepEqual(here.heard, ["writable"]);

	// Nor the end, and the record goes only after it.
	here.heard.length = 0;
	there.readable = () => {
		there.socket.read();
		there.socket.write(hello);
		server.shard.drain();
		there.socket.abort();
	};
	assert.equal(here.socket.write(new Uint8Array(2000)), 1000);
	fails();
	clock.advance(1e6);
	assert.deepEqual(here.heard, ["writable", "closed ECONNRESET"]);
	empty();
});

test("peek shows bytes where they lie, recvDone frees them and opens the window: nothing is lost, doubled or read behind the end", () =>
	world(
		async (all) => {
			const { sim } = all;
			const [here, there] = await connected(all);
			const { socket } = there;
			assert.equal(socket.peek(), null);
			assert.equal(socket.recvDone(10), 0);
			const sent = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7) ^ (i >> 8));
			let written = here.socket.write(sent);
			await sim.sleep(5);
			assert.ok(socket.available > 0 && socket.available <= 20_000, "the window is shut");
			const seen = socket.peek()!;
			const before = Uint8Array.from(seen);
			await sim.sleep(5);
			assert.deepEqual(Uint8Array.from(seen), before, "what is not done with stays what it is");
			const got: number[] = [];
			for (let step = 0; got.length < sent.length && step < 100_000; step++) {
				if (written < sent.length) written += here.socket.write(sent, written);
				const piece = socket.peek();
				if (piece === null) {
					await sim.sleep(0.1);
					continue;
				}
				const part = Math.min(piece.length, 1 + (step % 3000));
				got.push(...piece.subarray(0, part));
				assert.equal(socket.recvDone(part), part);
			}
			assert.deepEqual(Uint8Array.from(got), sent);
			here.socket.write(hello);
			here.socket.finish();
			await sim.sleep(1);
			assert.ok(!there.heard.includes("ended"), "not before all was taken");
			assert.equal(socket.recvDone(1000), hello.length, "as many as there are");
			await sim.sleep(1);
			assert.equal(there.heard.at(-1), "ended");
			for (const length of [-1, 0.5, Number.NaN, 2 ** 32, "5" as never]) assert.throws(() => socket.recvDone(length), coded("EINVAL"));
			socket.close();
			assert.deepEqual([socket.peek(), socket.recvDone(1)], [null, 0], "the connection is gone");
		},
		{ server: { tcp: { receiveBuffer: 16_384, maxReceiveBuffer: 16_384 } } },
	));

test("RFC 9293 3.6.1: a peer may come again from its port while a program has not read all of the connection before, and it can be read still", () =>
	world(async ({ sim, server, client }) => {
		const accepted: Ear[] = [];
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			const ear = new Ear();
			ear.socket = socket;
			socket.events = ear;
			accepted.push(ear);
			// Who ends first has TIME-WAIT.
			socket.finish();
		};
		const come = async () => {
			const ear = new Ear();
			ear.socket = client.tcpConnect({ address: SERVER, port: 80, localPort: 5000 }, ear);
			await sim.sleep(1);
			ear.socket.write(hello, 0);
			ear.socket.finish();
			await sim.sleep(1);
			assert.deepEqual(ear.heard, ["connected", "ended", "closed null"]);
		};
		await come();
		await come();
		assert.equal(accepted.length, 2);
		for (const { socket, heard } of accepted) {
			assert.deepEqual(heard, ["readable"]);
			const bytes = new Uint8Array(10);
			assert.equal(socket.readInto(bytes, 0, 10), 5);
			assert.deepEqual(bytes.subarray(0, 5), hello);
			await sim.sleep(1);
			assert.deepEqual(heard, ["readable", "ended", "closed null"]);
		}
	}));
