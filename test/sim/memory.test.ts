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
