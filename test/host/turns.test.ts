/** The order in which two connections of one turn are told, on Node's loop: events, promises, and what closes meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createHost, type Host, type HostOptions } from "../../src/host/host.ts";
import type { TcpStream } from "../../src/host/streams.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { LinkWrapper } from "../../src/link/wrapper.ts";
import { BATCH_CAPACITY, type Batch } from "../../src/memory/batch.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { coded } from "../helpers/two-hosts.ts";

const SERVER = "10.0.0.1";
const hello = new TextEncoder().encode("hello");

async function hosts(scenario: (server: Host, client: Host) => Promise<void>, options: Partial<HostOptions> = {}): Promise<void> {
	const [a, b] = memoryLinkPair();
	const server = createHost({ link: a, runtime: nodeRuntime(), addresses: [`${SERVER}/24`], memory: 4 << 20, ...options });
	const client = createHost({ link: b, runtime: nodeRuntime(), addresses: ["10.0.0.2/24"], memory: 4 << 20 });
	try {
		await scenario(server, client);
	} finally {
		await client.close();
		await server.close();
	}
}

/** A stream on both ends: the client's, then the server's. */
async function streams(server: Host, client: Host, port: number): Promise<[TcpStream, TcpStream]> {
	const listener = server.tcp.listen({ port });
	const opening = client.tcp.connect({ address: SERVER, port });
	const { value } = await listener[Symbol.asyncIterator]().next();
	listener.close();
	return [await opening, value!];
}

/** An event that is heard on the server, of a connection that the client holds as a stream. */
async function event(server: Host, client: Host, port: number, readable: () => void): Promise<TcpStream> {
	const listener = server.tcpListen({ port });
	listener.onconnection = (socket) => {
		socket.events = { connected() {}, readable, ended() {}, writable() {}, closed() {} };
	};
	return client.tcp.connect({ address: SERVER, port });
}

/** A link that has always another frame: what comes is filled up with such that nobody is meant by. Notes what each turn takes and sends. */
class Flooded extends LinkWrapper {
	readonly turns: { took: number; sent: number }[] = [{ took: 0, sent: 0 }];
	over = false;
	protected ownCounters(): Readonly<Record<string, number>> {
		return {};
	}
	receive(batch: Batch): number {
		const before = batch.count;
		this.inner.receive(batch);
		while (!this.over && batch.count < batch.capacity) batch.add(new Uint8Array(20), 0);
		const turn = this.turns.at(-1)!;
		// The second half of a turn is what comes last in it.
		if (turn.sent > 0) this.turns.push({ took: batch.count - before, sent: 0 });
		else turn.took += batch.count - before;
		return batch.count - before;
	}
	transmit(batch: Batch): number {
		const sent = this.inner.transmit(batch);
		this.turns.at(-1)!.sent += sent;
		return sent;
	}
}

/** Counts the SYN-ACKs that have left. */
class Greeting extends LinkWrapper {
	synAcks = 0;
	protected ownCounters(): Readonly<Record<string, number>> {
		return {};
	}
	receive(batch: Batch): number {
		return this.inner.receive(batch);
	}
	transmit(batch: Batch): number {
		// IP packets without options; the flags are TCP's 14th byte.
		for (let i = 0; i < batch.count; i++) if ((batch.frame(i)[33]! & 0x12) === 0x12) this.synAcks++;
		return this.inner.transmit(batch);
	}
}

const turns = () => new Promise((resolve) => setTimeout(resolve, 20));

test("what a read sets off comes before the events of another connection, and the other way round", () =>
	hosts(async (server, client) => {
		const heard: string[] = [];
		const [here, there] = await streams(server, client, 80);
		const loud = await event(server, client, 81, () => {
			heard.push("event");
			process.nextTick(() => heard.push("tick of the event"));
		});
		const read = async () => {
			await there.read();
			heard.push("read");
			await null;
			heard.push("after the read");
		};
		// The last ACK of each handshake is on its way.
		await turns();
		for (const order of [
			[here, loud],
			[loud, here],
		]) {
			const reading = read();
			// Both in one flush, so in one batch.
			await Promise.all(order.map((stream) => stream!.write(hello)));
			await reading;
			// Nagle's algorithm may hold one of them back until the last round's bytes are acknowledged, which is up to 40 ms later.
			while (heard.length < 4) await turns();
			const [first, second] = [heard.splice(0, 2).join(), heard.splice(0).join()];
			assert.deepEqual([first, second].sort(), ["event,tick of the event", "read,after the read"]);
		}
	}));

for (const quietStreams of [true, false]) {
	const name = quietStreams
		? "what the reads of several streams set off comes after the last of them"
		: "without quietStreams, what the read of a stream sets off comes before the next stream is told";
	test(name, () =>
		hosts(
			async (server, client) => {
				const pairs = [await streams(server, client, 80), await streams(server, client, 81)];
				const heard: string[] = [];
				const reading = pairs.map(async ([, there], i) => {
					await there.read();
					heard.push(`read ${i}`);
					await null;
					heard.push(`after ${i}`);
				});
				// The last ACK of each handshake is on its way.
				await turns();
				await Promise.all(pairs.map(([here]) => here.write(hello)));
				await Promise.all(reading);
				const expected = quietStreams ? "read 0,read 1,after 0,after 1" : "read 0,after 0,read 1,after 1";
				assert.equal(heard.join(), expected);
			},
			{ quietStreams },
		),
	);
}

test("reads of several streams settle in the order in which their bytes came; one may close another meanwhile", () =>
	hosts(async (server, client) => {
		const pairs = [await streams(server, client, 80), await streams(server, client, 81), await streams(server, client, 82)];
		const heard: string[] = [];
		const reading = pairs.map(async ([, there], i) => {
			const bytes = await there.read();
			heard.push(`${i} ${bytes === null ? "end" : new TextDecoder().decode(bytes)}`);
			if (i === 0) pairs[2]![1].close();
			if (i === 2) await assert.rejects(there.write(hello), coded("EPIPE"));
			else await there.write(hello);
		});
		await Promise.all(pairs.map(([here]) => here.write(hello)));
		await Promise.all(reading);
		assert.equal(heard[0], "0 hello");
		// What was closed meanwhile has its bytes or its end, and no more to say.
		assert.match(heard.sort().join(), /^0 hello,1 hello,2 (hello|end)$/);
		for (const i of [0, 1]) assert.deepEqual(await pairs[i]![0].read(), hello);
	}));

test("as many connections as the backlog holds come at once, and a loop that takes one at a time misses none", () =>
	hosts(async (server, client) => {
		const backlog = 16;
		const listener = server.tcp.listen({ port: 80, backlog });
		(async () => {
			for await (const stream of listener) {
				stream.write(hello).then(() => stream.close(), assert.fail);
			}
		})();
		for (let round = 0; round < 3; round++) {
			const opened = await Promise.all(Array.from({ length: backlog }, () => client.tcp.connect({ address: SERVER, port: 80 })));
			for (const stream of opened) {
				assert.deepEqual(await stream.read(), hello);
				assert.equal(await stream.read(), null);
				stream.close();
			}
		}
		listener.close();
	}));

test("early data, bulk data and small pieces reach streams that read side by side", () =>
	hosts(async (server, client) => {
		const listener = server.tcp.listen({ port: 80 });
		const sums: Promise<number>[] = [];
		const sum = async (stream: TcpStream): Promise<number> => {
			let bytes = 0;
			for (let piece = await stream.read(); piece !== null; piece = await stream.read()) bytes += piece.length;
			stream.close();
			return bytes;
		};
		const taking = (async () => {
			for await (const stream of listener) {
				// The bytes are there before anybody reads.
				await turns();
				if (sums.push(sum(stream)) === 4) break;
			}
		})();
		const sizes = [1, 300_000, 5, 200_000];
		await Promise.all(
			sizes.map(async (size) => {
				const stream = await client.tcp.connect({ address: SERVER, port: 80 });
				await stream.write(new Uint8Array(size));
				stream.finish();
				assert.equal(await stream.read(), null);
				stream.close();
			}),
		);
		await taking;
		assert.deepEqual((await Promise.all(sums)).sort(), [...sizes].sort());
	}));

test("a write of what is no array of bytes is a rejection, not an exception", () =>
	hosts(async (server, client) => {
		const [here] = await streams(server, client, 80);
		await assert.rejects(here.write(undefined as unknown as Uint8Array), { code: "EINVAL" });
		await here.write(new Uint8Array(0));
	}));

test("a turn behind one that has sent much more than a batch takes in as many frames, so that ACKs do not queue up, and else a batch", async () => {
	const [a, b] = memoryLinkPair();
	const flooded = new Flooded("flooded", a);
	const server = createHost({ link: flooded, runtime: nodeRuntime(), addresses: [`${SERVER}/24`], memory: 32 << 20 });
	const client = createHost({ link: b, runtime: nodeRuntime(), addresses: ["10.0.0.2/24"], memory: 32 << 20 });
	try {
		const BYTES = 14_000; // an initial window each, all in one turn
		const pairs = await Promise.all(Array.from({ length: 60 }, (_, i) => streams(server, client, 80 + i)));
		const sending = pairs.map(([, there]) => there.write(new Uint8Array(BYTES)));
		const receiving = pairs.map(async ([here]) => {
			for (let left = BYTES; left > 0; ) left -= (await here.read())!.length;
		});
		await Promise.all([...sending, ...receiving]);
	} finally {
		flooded.over = true;
		await client.close();
		await server.close();
	}
	const { turns } = flooded;
	assert.ok(
		turns.some(({ sent }) => sent >= 4 * BATCH_CAPACITY),
		"a turn sends much more than a batch",
	);
	for (const [i, { took }] of turns.slice(0, -1).entries()) {
		const sent = turns[i - 1]?.sent ?? 0;
		const due = sent >= 4 * BATCH_CAPACITY ? Math.min(sent, 1024) : BATCH_CAPACITY;
		// Turns that send nothing count with the next one.
		assert.ok(took >= due, `${took} of ${due}`);
	}
});

for (const [what, waiting, holdWindows, held] of [
	["a link that is never empty has windows held", undefined, true, true],
	["without holdWindows it has not", undefined, false, false],
	["nor has one whose batches are full, but which says that it has no more", false, true, false],
] as const) {
	test(what, async () => {
		const [a] = memoryLinkPair();
		const flooded = Object.assign(new Flooded("flooded", a), { over: false });
		Object.defineProperty(flooded, "waiting", { value: waiting });
		const server = createHost({
			link: flooded,
			runtime: nodeRuntime(),
			addresses: [`${SERVER}/24`],
			memory: 4 << 20,
			tcp: { holdWindows },
		});
		server.ref();
		try {
			const begun = server.stats().shard.turns;
			// Many times the 5 ms for which a queue has to stand; on a machine that stood still meanwhile they may have been two looks only.
			const seen = (): boolean => server.stats().tcp.standingQueues > 0;
			for (let n = 0; n < 2 || (held && !seen() && n < 100); n++) await turns();
			assert.ok(server.stats().shard.turns > begun, "it turns");
			assert.equal(seen(), held);
		} finally {
			flooded.over = true;
			await server.close();
		}
	});
}

test("a SYN is answered before the application hears of what came with it", async () => {
	const [a, b] = memoryLinkPair();
	const link = new Greeting("greeting", a);
	const server = createHost({ link, runtime: nodeRuntime(), addresses: [`${SERVER}/24`], memory: 4 << 20 });
	const client = createHost({ link: b, runtime: nodeRuntime(), addresses: ["10.0.0.2/24"], memory: 4 << 20 });
	try {
		const left: number[] = [];
		const first = await event(server, client, 80, () => left.push(link.synAcks));
		// The last ACK of the handshake is on its way.
		await turns();
		const listener = server.tcp.listen({ port: 81 });
		// Both in one flush, so in one batch.
		const second = client.tcp.connect({ address: SERVER, port: 81 });
		await first.write(hello);
		(await second).close();
		listener.close();
		assert.deepEqual(left, [2]);
	} finally {
		await client.close();
		await server.close();
	}
});
