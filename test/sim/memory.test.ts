/** Hosts that have little memory: slow, never stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "../../src/sim/index.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";

test("two hosts whose programs write more than all their pages hold still finish, both ways at once", async () => {
	const connections = 8;
	const size = 200_000;
	const { value, seconds } = await simulate({ seed: 1, seconds: 600 }, (sim) => {
		const wire = sim.segment({ out: { delay: 5000 } });
		const options = { on: wire, memory: 600_000 };
		const a = sim.host("a", { ...options, addresses: ["10.0.0.1/24"] });
		const b = sim.host("b", { ...options, addresses: ["10.0.0.2/24"] });
		const done: number[] = [];
		const begin = (open: (events: TcpSocket["events"]) => TcpSocket) => {
			let sent = 0;
			let received = 0;
			const write = () => {
				sent += socket.write(new Uint8Array(size - sent));
				if (sent === size) socket.finish();
			};
			const socket = open({
				connected: write,
				readable() {
					for (let bytes = socket.read(); bytes !== null; bytes = socket.read()) received += bytes.length;
				},
				ended() {},
				writable: write,
				closed(error) {
					assert.equal(error, null);
					done.push(received);
				},
			});
			return write;
		};
		b.tcpListen({ port: 80 }).onconnection = (socket) => {
			begin((events) => {
				socket.events = events;
				return socket;
			})();
		};
		for (let i = 0; i < connections; i++) begin((events) => a.tcpConnect({ address: "10.0.0.2", port: 80 }, events));
		return { done, a, b };
	});
	assert.deepEqual(value.done, new Array(2 * connections).fill(size));
	for (const host of [value.a, value.b]) assert.equal(host.shard.pool.inUse, 0);
	assert.ok(seconds < 300, `it took ${seconds} s`);
});

test("a request that finds no page is taken as soon as there are pages again, however long that was", async () => {
	const shortage = 60;
	await simulate({ seed: 1, seconds: 600 }, async (sim) => {
		const wire = sim.segment({ out: { delay: 5000 } });
		const tcp = { maxConnections: 64, receiveBuffer: 65_536, maxReceiveBuffer: 65_536 };
		const client = sim.host("a", { on: wire, memory: 6 << 20, addresses: ["10.0.0.1/24"], tcp });
		const server = sim.host("b", { on: wire, memory: 600_000, addresses: ["10.0.0.2/24"], tcp });
		const quiet = { connected() {}, readable() {}, ended() {}, writable() {}, closed() {} };
		const hoarders: TcpSocket[] = [];
		let asked = 0;
		const request = 20_000;
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			hoarders.push(socket);
			socket.events = quiet;
		};
		server.tcpListen({ port: 81 }).onconnection = (socket) => {
			socket.events = {
				...quiet,
				// The server waits for the whole request: a page or two of it is what the connection has by right.
				readable() {
					if (socket.available >= request) asked = sim.now;
				},
			};
		};
		const senders = Array.from({ length: 12 }, () => client.tcpConnect({ address: "10.0.0.2", port: 80 }, quiet));
		const asker = client.tcpConnect({ address: "10.0.0.2", port: 81 }, quiet);
		await sim.sleep(1);
		for (const sender of senders) sender.write(new Uint8Array(65_536));
		await sim.sleep(1);
		asker.write(new Uint8Array(request));
		await sim.sleep(shortage);
		assert.equal(asked, 0, "the server had a page for the request: this tests nothing");
		const before = sim.now;
		for (const socket of hoarders) socket.abort();
		await sim.sleep(120);
		assert.ok(asked > 0, "the request never came");
		assert.ok(asked - before < 1, `the request came ${asked - before} s after there was memory`);
		for (const socket of [...senders, asker]) socket.abort();
	});
});

/** An echo on the event face, which reads only when all is written that it has read before. */
function echo(socket: TcpSocket): SocketEvents {
	let rest: Uint8Array | null = null;
	const go = (): void => {
		for (;;) {
			rest ??= socket.read();
			if (rest === null) return;
			const taken = socket.write(rest);
			rest = taken === rest.length ? null : rest.subarray(taken);
			if (rest !== null) return;
		}
	};
	return { connected() {}, readable: go, writable: go, ended: () => socket.finish(), closed() {} };
}

test("programs that read only when they have written go on, although what came has taken all pages", async () => {
	const connections = 20;
	const size = 300_000;
	const { value } = await simulate({ seed: 1, seconds: 600 }, (sim) => {
		const wire = sim.segment({ out: { delay: 1000 } });
		const server = sim.host("server", { on: wire, memory: 600_000, addresses: ["10.0.0.2/24"] });
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			socket.events = echo(socket);
		};
		const client = sim.host("client", { on: wire, memory: 64 << 20, addresses: ["10.0.0.1/24"] });
		const echoed: number[] = [];
		for (let i = 0; i < connections; i++) {
			let sent = 0;
			let received = 0;
			const write = (): void => {
				sent += socket.write(new Uint8Array(size - sent));
				if (sent === size) socket.finish();
			};
			const socket = client.tcpConnect(
				{ address: "10.0.0.2", port: 80 },
				{
					connected: write,
					writable: write,
					readable() {
						for (let bytes = socket.read(); bytes !== null; bytes = socket.read()) received += bytes.length;
					},
					ended() {},
					closed: () => echoed.push(received),
				},
			);
		}
		return { echoed, server };
	});
	assert.deepEqual(value.echoed, new Array(connections).fill(size));
	assert.ok(value.server.shard.tcp.counters.noPage > 0, "there were always pages: this tests nothing");
	assert.equal(value.server.shard.pool.inUse, 0);
});

/** What honest requests beside `count` peers that send and never read took each, of those that were answered; and how many pages the peers had left. */
async function besideHoarders(count: number): Promise<{ came: number[]; free: number; capacity: number }> {
	const { value } = await simulate({ seed: 1, seconds: 600 }, async (sim) => {
		const wire = sim.segment({ out: { delay: 1000 } });
		const server = sim.host("server", { on: wire, memory: 600_000, addresses: ["10.0.0.2/24"] });
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			socket.events = echo(socket);
		};
		const client = sim.host("client", { on: wire, memory: 64 << 20, addresses: ["10.0.0.1/24"] });
		const hoarders = Array.from({ length: count }, () => {
			const write = (): void => {
				while (socket.write(new Uint8Array(65_536)) > 0);
			};
			const socket: TcpSocket = client.tcpConnect(
				{ address: "10.0.0.2", port: 80 },
				{ connected: write, writable: write, readable() {}, ended() {}, closed() {} },
			);
			return socket;
		});
		await sim.sleep(20);
		const { free, capacity } = server.shard.pool;
		const came: number[] = [];
		for (let i = 0; i < 10; i++) {
			const asked = sim.now;
			const socket = client.tcpConnect(
				{ address: "10.0.0.2", port: 80 },
				{
					connected: () => void socket.write(new Uint8Array(100)),
					readable() {
						came.push(sim.now - asked);
						socket.abort();
					},
					writable() {},
					ended() {},
					closed() {},
				},
			);
			await sim.sleep(1);
		}
		for (const socket of hoarders) socket.abort();
		return { came, free, capacity };
	});
	return value;
}

test("peers that send and never read take all pages but those that the others need, few of them or many", async () => {
	for (const count of [5, 20, 35]) {
		const { came, free, capacity } = await besideHoarders(count);
		assert.ok(free < capacity / 2, `${count} peers, ${free} of ${capacity} pages were free: this tests nothing`);
		assert.equal(came.length, 10, `${count} peers`);
		for (const seconds of came) assert.ok(seconds < 0.1, `${count} peers, an answer after ${seconds} s`);
	}
});
