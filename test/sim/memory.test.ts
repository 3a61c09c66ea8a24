/** Hosts that have little memory: slow, never stuck. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "../../src/sim/index.ts";
import type { TcpSocket } from "../../src/socket/socket.ts";

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
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			hoarders.push(socket);
			socket.events = quiet;
		};
		server.tcpListen({ port: 81 }).onconnection = (socket) => {
			socket.events = {
				...quiet,
				readable() {
					while (socket.read() !== null) asked = sim.now;
				},
			};
		};
		const senders = Array.from({ length: 12 }, () => client.tcpConnect({ address: "10.0.0.2", port: 80 }, quiet));
		const asker = client.tcpConnect({ address: "10.0.0.2", port: 81 }, quiet);
		await sim.sleep(1);
		for (const sender of senders) sender.write(new Uint8Array(65_536));
		await sim.sleep(1);
		asker.write(new Uint8Array(3000));
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
