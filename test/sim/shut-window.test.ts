/** Programs that read nothing for long: a window that is shut one way must not hold up what goes the other way, nor make hosts talk for nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "../../src/host/host.ts";
import { type Simulation, simulate } from "../../src/sim/index.ts";
import type { TcpSocket } from "../../src/socket/socket.ts";

const RECEIVE = 65_536;

/** Two hosts, and a connection between them whose server has written more than the client, which reads nothing, has room for. */
async function shut(sim: Simulation, reads: boolean): Promise<{ hosts: Host[]; client: TcpSocket; received: () => number }> {
	const wire = sim.segment({ delay: 5000 });
	const tcp = { maxConnections: 16, receiveBuffer: RECEIVE, maxReceiveBuffer: RECEIVE };
	const [a, b] = ["10.0.0.1", "10.0.0.2"].map((address, i) =>
		sim.host(`h${i}`, { on: wire, memory: 6 << 20, addresses: [`${address}/24`], tcp }),
	) as [Host, Host];
	let received = 0;
	const quiet = { connected() {}, readable() {}, ended() {}, writable() {}, closed() {} };
	b.tcpListen({ port: 80 }).onconnection = (socket) => {
		const readable = () => {
			for (let bytes = socket.read(); bytes !== null; bytes = socket.read()) received += bytes.length;
		};
		socket.events = reads ? { ...quiet, readable } : quiet;
		socket.write(new Uint8Array(2 * RECEIVE));
	};
	const client = a.tcpConnect({ address: "10.0.0.2", port: 80 }, quiet);
	await sim.sleep(5);
	assert.equal(client.available, RECEIVE);
	return { hosts: [a, b], client, received: () => received };
}

test("a program that reads nothing is heard all the same", async () => {
	await simulate({ seed: 1, seconds: 600 }, async (sim) => {
		const { client, received } = await shut(sim, true);
		const size = 200_000;
		assert.equal(client.write(new Uint8Array(size)), size);
		await sim.sleep(1);
		assert.equal(received(), size);
		client.abort();
	});
});

test("two hosts with shut windows only probe each other", async () => {
	await simulate({ seed: 1, seconds: 6000 }, async (sim) => {
		const { hosts, client } = await shut(sim, false);
		client.write(new Uint8Array(2 * RECEIVE));
		await sim.sleep(10);
		const sent = () => hosts.reduce((sum, host) => sum + host.stats().tcp.segmentsOut!, 0);
		const before = sent();
		await sim.sleep(5000);
		// In more than an hour, in which a clock of microseconds has gone round, each side probes some 85 times, in intervals that have grown to a minute at most, and is answered.
		assert.ok(sent() - before <= 400, `${sent() - before} segments`);
		const repeats = hosts.map((host) => host.stats().tcp.retransmits);
		assert.deepEqual(repeats, [0, 0], "nothing was taken for lost");
		client.abort();
	});
});
