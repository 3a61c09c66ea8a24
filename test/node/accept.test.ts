import assert from "node:assert/strict";
import net from "node:net";
import { it } from "node:test";
import { accept, acceptEquals, type OnConnection } from "../../src/node/accept.ts";
import { ownerSymbol } from "../../src/node/internals.ts";
import { plainHandlesWork, probeHandle } from "../../src/node/plain-handle.ts";

plainHandlesWork();

/** `onconnection` of net.js itself, taken from a server that listens. */
async function nodes(): Promise<OnConnection> {
	const server = net.createServer().listen(0, "127.0.0.1");
	await new Promise((resolve) => server.once("listening", resolve));
	const { onconnection } = (server as unknown as { _handle: { onconnection: OnConnection } })._handle;
	server.close();
	return onconnection;
}

it("another way to accept is not replaced", () => {
	const extra: OnConnection = function (this: object, _status, client) {
		const server = (this as Record<symbol, net.Server>)[ownerSymbol]!;
		const socket = new net.Socket({ handle: client } as unknown as net.SocketConstructorOpts);
		Object.assign(socket, { server, _server: server, extra: 1 });
		(server as unknown as { _connections: number })._connections++;
		server.emit("connection", socket);
	};
	assert.equal(acceptEquals(extra, probeHandle), false);
	assert.equal(acceptEquals(extra, probeHandle), false, "nor when asked again");
});

it("this Node accepts as `accept` does, and is asked once", async () => {
	const node = await nodes();
	assert.equal(acceptEquals(node, probeHandle), true);
	assert.equal(
		acceptEquals(node, () => assert.fail("asked again")),
		true,
	);
});

it("limits stay with net.js", () => {
	for (const limit of [{ maxConnections: 5 }, { maxConnections: 0 }, { blockList: new net.BlockList() }]) {
		const server = Object.assign(net.createServer(), limit);
		const handle = {};
		const client = {};
		const calls: unknown[][] = [];
		accept(server, client, handle, function (...args) {
			calls.push([this, ...args]);
		});
		assert.deepEqual(calls, [[handle, 0, client]], JSON.stringify(limit));
	}
});
