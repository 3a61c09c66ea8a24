import assert from "node:assert/strict";
import { createHook } from "node:async_hooks";
import { once } from "node:events";
import type net from "node:net";
import { after, it } from "node:test";
import tls from "node:tls";
import { createNet } from "../../src/node/net.ts";
import { connection, loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
const stackNet = createNet(host);
after(() => host.close());

/** What a client gets of a server's connection, and the server's socket. */
async function served(by: (socket: net.Socket) => void): Promise<{ client: net.Socket; peer: net.Socket; bytes: Promise<Buffer> }> {
	const { client, peer } = await connection(stackNet);
	by(peer);
	const chunks: Buffer[] = [];
	client.on("data", (chunk) => chunks.push(chunk));
	return { client, peer, bytes: once(client, "close").then(() => Buffer.concat(chunks)) };
}

it("accepted sockets take the express way", async () => {
	const { client, peer } = await served((socket) => void socket.end());
	for (const method of ["_write", "_writev", "_final", "resetAndDestroy"]) assert.ok(Object.hasOwn(peer, method), method);
	client.destroy();
});

it("texts of any length and encoding arrive as they are", async () => {
	const parts: Buffer[] = [];
	const { bytes } = await served((socket) => {
		for (const unit of ["a", "\u00e9", "\u20ac", "\ud83d\ude00", "\ud800"]) {
			for (const length of [0, 1, 13, 5460, 5461, 5462, 20000]) {
				for (const encoding of ["utf8", "latin1", "ascii", "utf16le", "binary", "UTF8" as "utf8"] as const) {
					const text = unit.repeat(length);
					parts.push(Buffer.from(text, encoding));
					socket.write(text, encoding);
				}
			}
		}
		socket.write("00ff", "hex");
		socket.end("/+8=", "base64");
		parts.push(Buffer.from("00ff", "hex"), Buffer.from("/+8=", "base64"));
	});
	assert.ok((await bytes).equals(Buffer.concat(parts)));
});

it("a text that waits for room is not what later texts make of the buffer", async () => {
	let expected = "";
	const { client, peer, bytes } = await served(() => {});
	client.pause();
	// Both sides' buffers are full long before the end, each time somewhere else in a text; another connection writes meanwhile.
	const other = await served(() => {});
	for (let i = 0; i < 4000; i++) {
		const text = `${i}`.padStart(997, "-");
		expected += text;
		peer.write(text);
		if (i % 50 === 0) await new Promise(setImmediate);
		other.peer.write("x".repeat(997));
	}
	assert.ok(peer.writableLength > 0);
	peer.end();
	other.peer.end();
	client.resume();
	assert.ok((await bytes).equals(Buffer.from(expected)));
	assert.ok((await other.bytes).equals(Buffer.alloc(997 * 4000, "x")));
});

it("a socket that was ended and becomes one of TLS at once still finishes", async () => {
	let finished: Promise<unknown> | undefined;
	const { client } = await served((socket) => {
		finished = once(socket, "finish");
		socket.end();
		process.nextTick(() => new tls.TLSSocket(socket, { isServer: true }).on("error", () => {}));
	});
	await finished;
	client.destroy();
});

it("who watches resources is told of each shutdown", async () => {
	const types: string[] = [];
	const hook = createHook({ init: (_id, type) => void types.push(type) });
	for (const watched of [false, true, false, true]) {
		types.length = 0;
		if (watched) hook.enable();
		const { bytes } = await served((socket) => void socket.end("x"));
		assert.equal((await bytes).toString(), "x");
		hook.disable();
		assert.equal(types.includes("SHUTDOWNWRAP"), watched);
		assert.ok(!types.includes(""));
	}
});
