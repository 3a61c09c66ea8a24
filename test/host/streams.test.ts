import assert from "node:assert/strict";
import { test } from "node:test";
import type { TcpStream } from "../../src/host/streams.ts";
import { CLIENT, coded, SERVER, type World, world } from "../helpers/two-hosts.ts";

const hello = new TextEncoder().encode("hello");

/** A connection on the stream face: the client's end, then the server's. */
async function streams({ server, client }: World, port = 80): Promise<[TcpStream, TcpStream]> {
	const listener = server.tcp.listen({ port });
	const opening = client.tcp.connect({ address: SERVER, port });
	const { value } = await listener[Symbol.asyncIterator]().next();
	listener.close();
	return [await opening, value!];
}

async function readAll(stream: TcpStream): Promise<Uint8Array> {
	const pieces: Uint8Array[] = [];
	for await (const piece of stream) pieces.push(piece);
	return Buffer.concat(pieces);
}

test("connect rejects with the code of what went wrong", () =>
	world(
		async ({ client, cut }) => {
			const connect = (options: object) => client.tcp.connect({ address: SERVER, port: 80, ...options });
			await assert.rejects(connect({}), coded("ECONNREFUSED"));
			await assert.rejects(connect({ address: "nobody" }), coded("EINVAL"));
			await assert.rejects(connect({ address: "9.9.9.9" }), coded("ENETUNREACH"));
			await assert.rejects(connect({ localAddress: "10.9.9.9" }), coded("EADDRNOTAVAIL"));
			cut();
			await assert.rejects(connect({}), coded("ETIMEDOUT"));
		},
		{ client: { tcp: { synRetries: 2 } } },
	));

test("a listener given as to net's functions is refused, with what to do instead", () =>
	world(async ({ server, client }) => {
		const bad = coded("MILLRACE_BAD_OPTION");
		const listener = () => {};
		assert.throws(() => server.tcp.listen({ port: 80 }, listener as never), bad);
		await assert.rejects(client.tcp.connect({ address: SERVER, port: 80 }, listener as never), bad);
		assert.equal(server.hasListener(80), false);
	}));

test("for await takes connections in order, and the bytes of each until its end; leaving the loop closes", () =>
	world(async ({ server, client }) => {
		const served: string[] = [];
		const listener = server.tcp.listen({ address: SERVER, port: 80 });
		assert.equal(listener.port, 80);
		assert.equal(listener.address, SERVER);
		const serving = (async () => {
			for await (const stream of listener) {
				served.push(new TextDecoder().decode(await readAll(stream)));
				assert.equal(stream.remoteAddress, CLIENT);
				stream.close();
				if (served.length === 3) break;
			}
		})();
		for (const word of ["one", "two", "three"]) {
			const stream = await client.tcp.connect({ address: SERVER, port: 80 });
			await stream.write(new TextEncoder().encode(word));
			stream.finish();
			assert.equal(await stream.read(), null);
			stream.close();
		}
		await serving;
		assert.deepEqual(served, ["one", "two", "three"]);
		await assert.rejects(client.tcp.connect({ address: SERVER, port: 80 }), coded("ECONNREFUSED"));
	}));

test("several takers of one listener each get a connection, and all hear of its end", () =>
	world(async ({ server, client }) => {
		const listener = server.tcp.listen({ port: 80 });
		const iterator = listener[Symbol.asyncIterator]();
		const takers = [iterator.next(), iterator.next(), iterator.next()];
		const a = await client.tcp.connect({ address: SERVER, port: 80 });
		const b = await client.tcp.connect({ address: SERVER, port: 80 });
		const ends = [(await takers[0]!).value!, (await takers[1]!).value!];
		assert.deepEqual(
			ends.map((stream) => stream.remotePort),
			[a.localPort, b.localPort],
		);
		listener.close();
		assert.equal((await takers[2]!).done, true);
		assert.equal((await iterator.next()).done, true);
		for (const stream of [a, b, ...ends]) stream.close();
	}));

test("pipeTo: an echo server in one line carries a megabyte both ways", () =>
	world(async ({ server, client }) => {
		const listener = server.tcp.listen({ port: 7 });
		(async () => {
			for await (const stream of listener) stream.readable.pipeTo(stream.writable).catch(assert.fail);
		})();
		const stream = await client.tcp.connect({ address: SERVER, port: 7 });
		const bytes = new Uint8Array(1 << 20);
		for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 31) ^ (i >> 9);
		const writer = stream.writable.getWriter();
		const writing = writer.write(bytes).then(() => writer.close());
		assert.deepEqual(await readAll(stream), Buffer.from(bytes));
		await writing;
		listener.close();
	}));

test("a writer waits while nobody reads, a reader while nobody writes; both hear of a reset", () =>
	world(async (hosts) => {
		const { sim } = hosts;
		const [here, there] = await streams(hosts);
		let settled = false;
		const big = here.write(new Uint8Array(16 << 20)).finally(() => {
			settled = true;
		});
		const reading = here.read();
		await sim.sleep(60);
		assert.equal(settled, false);
		assert.ok(hosts.client.stats().memory.pagesInUse < 4000 && hosts.server.stats().memory.pagesInUse < 4000);
		there.abort();
		await assert.rejects(big, coded("ECONNRESET"));
		await assert.rejects(reading, coded("ECONNRESET"));
		await assert.rejects(here.read(), coded("ECONNRESET"));
		await assert.rejects(here.write(hello), coded("ECONNRESET"));
		await assert.rejects(there.read(), coded("ECONNABORTED"));
		assert.equal(here.info(), null);
	}));

test("finish while a write waits for room: the end comes behind all of it", () =>
	world(async (w) => {
		const [a, b] = await streams(w);
		const size = 2_000_000;
		const writing = a.write(new Uint8Array(size));
		a.finish();
		await assert.rejects(a.write(hello), coded("MILLRACE_BUSY"));
		assert.equal((await readAll(b)).length, size);
		await writing;
		await assert.rejects(a.write(hello), coded("EPIPE"));
		b.finish();
	}));

test("a write whose array shrinks while it waits fails, and the peer hears of no good end", () =>
	world(async (w) => {
		const [a, b] = await streams(w);
		const bytes = new Uint8Array(8_000_000);
		const writing = a.write(bytes);
		a.finish();
		structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
		const failed = assert.rejects(writing, coded("EINVAL"));
		await assert.rejects(readAll(b), coded("ECONNRESET"));
		await failed;
	}));

test("one read and one write at a time; a read of nothing is EINVAL; writing after finish is EPIPE", () =>
	world(async (hosts) => {
		const [here, there] = await streams(hosts);
		const first = here.read();
		await assert.rejects(here.read(), coded("MILLRACE_BUSY"));
		await there.write(hello);
		// Also between the arrival of bytes and the reader's turn.
		assert.deepEqual(await first, hello);
		for (const max of [0, -1, Number.NaN]) await assert.rejects(here.read(max), coded("EINVAL"));
		await there.write(hello);
		assert.deepEqual(await here.read(2.5), hello.subarray(0, 2));
		assert.deepEqual(await here.read(), hello.subarray(2));
		const big = here.write(new Uint8Array(8 << 20));
		await assert.rejects(here.write(hello), coded("MILLRACE_BUSY"));
		there.abort();
		await assert.rejects(big, coded("ECONNRESET"));
		const [a, b] = await streams(hosts, 81);
		a.finish();
		await assert.rejects(a.write(hello), coded("EPIPE"));
		assert.equal(await b.read(), null);
		assert.equal(await b.read(), null);
		await b.write(hello);
		assert.deepEqual(await a.read(), hello);
		b.close();
		assert.equal(await a.read(), null);
		await assert.rejects(b.write(hello), coded("EPIPE"));
		a.close();
		a.close();
		a.abort();
	}));

test("web streams: cancelling the readable closes, aborting the writable resets, an error errors both", () =>
	world(async (hosts) => {
		const [here, there] = await streams(hosts);
		await here.readable.cancel();
		assert.equal(await there.read(), null);
		there.close();
		const [a, b] = await streams(hosts, 81);
		await a.writable.abort();
		await assert.rejects(b.readable.getReader().read(), coded("ECONNRESET"));
		await assert.rejects(b.writable.getWriter().write(hello), coded("ECONNRESET"));
	}));

test("connections that nobody takes: bounded by the backlog, reset when the listener closes", () =>
	world(async ({ sim, server, client }) => {
		const listener = server.tcp.listen({ port: 80, backlog: 3 });
		const opened = await Promise.all(Array.from({ length: 5 }, () => client.tcp.connect({ address: SERVER, port: 80 })));
		await sim.sleep(1);
		assert.equal(server.connections().length, 3);
		listener.close();
		await sim.sleep(1);
		for (const stream of opened) await assert.rejects(stream.read(), coded("ECONNRESET"));
	}));

test("a backlog of 0 is one of 1; what is no number of connections is EINVAL", () =>
	world(async ({ sim, server, client }) => {
		const listener = server.tcp.listen({ port: 80, backlog: 0 });
		const opened = await Promise.all([0, 1].map(() => client.tcp.connect({ address: SERVER, port: 80 })));
		await sim.sleep(1);
		assert.equal(server.connections().length, 1);
		for await (const stream of listener) {
			stream.close();
			break;
		}
		for (const stream of opened) stream.abort();
		for (const backlog of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "5", null])
			assert.throws(() => server.tcp.listen({ port: 80, backlog } as never), coded("EINVAL"));
		server.tcp.listen({ port: 80, backlog: undefined } as never).close();
	}));

test("host.close(): every promise settles, of reads, writes, connects and listeners", () =>
	world(
		async (hosts) => {
			const { server, client } = hosts;
			const [here, there] = await streams(hosts);
			const listener = client.tcp.listen({ port: 80 });
			const pending = [
				assert.rejects(here.read(), coded("ECONNABORTED")),
				assert.rejects(here.write(new Uint8Array(16 << 20)), coded("ECONNABORTED")),
				assert.rejects(client.tcp.connect({ address: SERVER, port: 99 }), coded("ECONNABORTED")),
				listener[Symbol.asyncIterator]().next(),
				// What was written goes before the reset.
				assert.rejects(async () => {
					while ((await there.read()) !== null);
				}, coded("ECONNRESET")),
			];
			await client.close();
			await Promise.all(pending);
			await assert.rejects(client.tcp.connect({ address: SERVER, port: 1 }), coded("MILLRACE_CLOSED"));
			assert.throws(() => client.tcp.listen({ port: 1 }), coded("MILLRACE_CLOSED"));
			await server.close();
			for (const host of [client, server]) assert.equal(host.shard.pool.inUse, 0);
		},
		{ keep: true, segment: { delay: 0 } },
	));

test("10,000 idle connections, then closed: nothing is left", () =>
	world(
		async ({ sim, server, client }) => {
			const listener = server.tcp.listen({ port: 80, backlog: 20_000 });
			const accepted: TcpStream[] = [];
			(async () => {
				for await (const stream of listener) accepted.push(stream);
			})();
			const opened: TcpStream[] = [];
			while (opened.length < 10_000) {
				opened.push(...(await Promise.all(Array.from({ length: 500 }, () => client.tcp.connect({ address: SERVER, port: 80 })))));
			}
			await sim.sleep(300);
			assert.equal(accepted.length, 10_000);
			assert.equal(server.stats().connections.total, 10_000);
			assert.equal(server.stats().memory.pagesInUse, 0, "an idle connection holds no page");
			assert.equal(sim.pending("server"), 0, "nor a timer");
			for (const stream of opened) stream.close();
			await sim.sleep(1);
			for (const stream of accepted) stream.close();
			listener.close();
			await sim.sleep(100);
			assert.equal(server.stats().connections.total, 0);
			assert.equal(client.stats().connections.total, 0);
			assert.equal(client.stats().connections.timeWait, 0);
		},
		{
			segment: { capacity: 4096 },
			server: { tcp: { maxConnections: 10_000, maxTimeWait: 10_000 }, memory: 16 << 20 },
			client: { tcp: { maxConnections: 10_000, maxTimeWait: 10_000 }, memory: 16 << 20 },
		},
	));

/** Bytes that are counted, so that what is out of place shows. */
function counted(length: number): Uint8Array {
	const bytes = new Uint8Array(length);
	for (let i = 0; i < length; i++) bytes[i] = (i * 31) ^ (i >> 9);
	return bytes;
}

test("a write of what is no array of bytes rejects with EINVAL, and nothing is sent", () =>
	world(async (hosts) => {
		const [here, there] = await streams(hosts);
		for (const wrong of [
			"hello",
			new ArrayBuffer(8),
			new Uint16Array(4),
			new DataView(new ArrayBuffer(8)),
			[1, 2, 3],
			5,
			null,
			undefined,
		]) {
			await assert.rejects(here.write(wrong as unknown as Uint8Array), coded("EINVAL"));
		}
		await here.write(hello);
		const big = here.write(new Uint8Array(8 << 20));
		await assert.rejects(here.write("hello" as unknown as Uint8Array), coded("EINVAL"), "also while a write waits");
		assert.deepEqual(await there.read(5), hello);
		there.abort();
		await assert.rejects(big, coded("ECONNRESET"));
		await assert.rejects(here.write("hello" as unknown as Uint8Array), coded("EINVAL"), "also when the connection is gone");
	}));

test("text piped to a stream's writable fails the pipe, and nothing is sent", () =>
	world(async (hosts) => {
		const [here, there] = await streams(hosts);
		const text = new ReadableStream<Uint8Array>({
			start(controller) {
				controller.enqueue("text" as unknown as Uint8Array);
				controller.close();
			},
		});
		await assert.rejects(text.pipeTo(here.writable), coded("EINVAL"));
		here.close();
		assert.equal(await there.read(), null);
		there.close();
	}));

test("leaving a loop early closes the stream, also if the peer's FIN came meanwhile", () =>
	world(async (hosts) => {
		const { sim } = hosts;
		const [here, there] = await streams(hosts);
		await here.write(hello);
		here.finish();
		for await (const piece of there) {
			assert.deepEqual(piece, hello);
			// The FIN comes now: all that the peer sent was read.
			await sim.sleep(1);
			break;
		}
		assert.equal(await here.read(), null);
		assert.equal(there.info(), null);
	}));

test("a loop that ends with the peer's FIN leaves the stream open for an answer", () =>
	world(async (hosts) => {
		const [here, there] = await streams(hosts);
		await here.write(hello);
		here.finish();
		for await (const piece of there) assert.deepEqual(piece, hello);
		await there.write(hello);
		there.close();
		assert.deepEqual(await here.read(), hello);
		here.close();
	}));

test("a write that waits is alone until its last byte, also when bytes and room come in one delivery", () =>
	world(async (hosts) => {
		const { sim } = hosts;
		const [here, there] = await streams(hosts);
		const bytes = counted(8 << 20);
		let writing = true;
		const big = here.write(bytes).finally(() => {
			writing = false;
		});
		let refused = 0;
		const answering = (async () => {
			while ((await here.read()) !== null) {
				// What follows a read runs before what follows the write that waited for the same delivery.
				if (!writing) continue;
				await assert.rejects(here.write(hello), coded("MILLRACE_BUSY"));
				refused++;
			}
		})();
		const pieces: Uint8Array[] = [];
		for (let left = bytes.length; left > 0; ) {
			const piece = (await there.read())!;
			left -= piece.length;
			pieces.push(piece);
			// In the segment that opens the window again.
			if (there.info()?.receiveQueue === 0) await there.write(hello);
			if (pieces.length % 8 === 0) await sim.sleep(0.05);
		}
		await big;
		here.finish();
		assert.equal(await there.read(), null);
		there.close();
		await answering;
		assert.deepEqual(Buffer.concat(pieces), Buffer.from(bytes));
		assert.ok(refused > 0);
	}));
