import assert from "node:assert/strict";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { describe, it, type TestContext, test } from "node:test";
import { Conduit, type Sink } from "../../src/node/conduit.ts";
import { ECONNRESET, EPIPE } from "../../src/node/errno.ts";
import { NOWHERE, Probe } from "../../src/node/handle-trial.ts";
import type { Request } from "../../src/node/internals.ts";
import { createNet } from "../../src/node/net.ts";
import { TcpSocket } from "../../src/socket/socket.ts";
import { loopbackHost } from "./loopback-host.ts";

/** A conduit over a connection that is made up, and what its handle is told. */
function made(t: TestContext, deliver: Sink["deliver"] = () => {}) {
	const told: string[] = [];
	const sink: Sink = {
		onlyOutside: false,
		outside: false,
		deliver,
		endOfFile: () => void told.push("end of file"),
		readFailed: () => void told.push("read failed"),
		writeDone: (_request, status) => void told.push(`write ${status < 0 ? "failed" : "done"}`),
		shutdownDone: () => void told.push("shutdown done"),
	};
	const conduit = new Conduit(NOWHERE, sink);
	const probe = new Probe();
	conduit.adopt(probe);
	t.after(() => conduit.close());
	return { conduit, probe, told };
}

const request: Request = {};
const noFigures =
	!/intervalMsecs/.test(String(net.Socket.prototype.setKeepAlive)) && `Node ${process.versions.node} takes the delay of keep-alive alone`;
const turns = async () => {
	for (let i = 0; i < 3; i++) await new Promise(setImmediate);
};

describe("a shutdown while a write waits for room, as TLS asks for with its last record", () => {
	it("lets the FIN go when all of the write was taken", async (t) => {
		const { conduit, probe, told } = made(t);
		probe.room = 3;
		conduit.write(request, [Buffer.from("close_notify")]);
		assert.equal(conduit.shutdown(request), 0);
		conduit.readStart();
		await turns();
		assert.deepEqual([probe.written, probe.finished, told], ["clo", false, []]);
		probe.room = 100;
		probe.events.writable();
		assert.deepEqual([probe.written, probe.finished], ["close_notify", true]);
		await turns();
		assert.deepEqual(told, ["write done", "shutdown done"]);
	});

	it("is over when the connection dies, and when it is given up", async (t) => {
		for (const end of ["died", "closed"]) {
			const { conduit, probe, told } = made(t);
			conduit.write(request, [Buffer.from("close_notify")]);
			conduit.shutdown(request);
			if (end === "died") probe.events.closed("ECONNRESET");
			else conduit.close(() => told.push("closed"));
			await turns();
			assert.equal(probe.finished, false);
			assert.deepEqual(told, ["write failed", "shutdown done", ...(end === "closed" ? ["closed"] : [])]);
		}
	});
});

test("a write behind a FIN fails as over libuv's streams, which streams in C++ rely on", (t) => {
	const { conduit, probe } = made(t);
	probe.room = 100;
	assert.equal(conduit.shutdown(request), 0);
	assert.deepEqual([conduit.write(request, [Buffer.from("late")]), conduit.offer(Buffer.from("late"))], [EPIPE, EPIPE]);
	assert.deepEqual([probe.written, probe.finished, conduit.waiting], ["", true, 0]);
});

describe("between bytes and what is behind them the program's immediates run", () => {
	const outcomes = { ended: "end of file", closed: "read failed" } as const;
	for (const event of ["ended", "closed"] as const) {
		const tell = (probe: Probe) => (event === "ended" ? probe.events.ended() : probe.events.closed("ECONNRESET"));
		for (const when of ["with them", "in the next turn, which was asked for before"]) {
			it(`${event}: ${when}`, async (t) => {
				const { conduit, probe, told } = made(t, (socket) => {
					told.push(`${socket.read()?.length} bytes`);
					setImmediate(() => told.push("immediate"));
				});
				conduit.readStart();
				probe.incoming = 3;
				if (when !== "with them") setImmediate(tell, probe);
				probe.events.readable();
				if (when === "with them") tell(probe);
				await turns();
				await turns();
				assert.deepEqual(told, ["3 bytes", "immediate", outcomes[event]]);
			});
		}
	}
});

test("an error that a write had of a connection leaves an end for who reads then", async (t) => {
	const { conduit, probe, told } = made(t);
	probe.events.closed("ECONNRESET");
	assert.equal(conduit.write(request, [Buffer.from("late")]), ECONNRESET);
	conduit.readStart();
	await turns();
	assert.deepEqual(told, ["end of file"]);
});

describe("keep-alive", () => {
	it("is probed as by Node's kernel sockets, or as Node 26 is told to", (t) => {
		const { conduit, probe } = made(t);
		const calls: unknown[][] = [];
		probe.setKeepAlive = (...figures: unknown[]) => void calls.push(figures);
		conduit.setKeepAlive(true, 5);
		conduit.setKeepAlive(true, 5, 2, 3);
		conduit.setKeepAlive(true, 0);
		conduit.setKeepAlive(false, 0);
		assert.deepEqual(calls, [[true, 5, 1, 10], [true, 5, 2, 3], [true], [false]]);
	});

	it("reaches the connection with all that the program said, by both kinds of handles", { skip: noFigures }, async () => {
		for (const plainHandles of [true, false]) {
			const host = loopbackHost();
			const calls: unknown[][] = [];
			const { setKeepAlive } = TcpSocket.prototype;
			TcpSocket.prototype.setKeepAlive = (...figures) => void calls.push(figures);
			try {
				const { createServer, connect } = createNet(host, { plainHandles });
				const server = createServer((socket) => socket.on("error", () => {}).resume()).listen(0, "127.0.0.1");
				await once(server, "listening");
				const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
				await once(client, "connect");
				(client.setKeepAlive as (...figures: unknown[]) => void)(true, 7000, 3000, 4);
				server.close();
				client.destroy();
			} finally {
				TcpSocket.prototype.setKeepAlive = setKeepAlive;
			}
			assert.deepEqual(calls, [[true, 7, 3, 4]]);
			await host.close();
		}
	});
});
