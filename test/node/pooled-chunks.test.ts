import assert from "node:assert/strict";
import type net from "node:net";
import { after, describe, it } from "node:test";
import { createNet } from "../../src/node/net.ts";
import { connection, loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
after(() => host.close());

/** How a server's socket is read: by its listener, or by way of the stream's buffer. */
const WAYS: Readonly<Record<string, (socket: net.Socket, take: (chunk: Buffer) => void) => void>> = {
	"a listener": (socket, take) => socket.on("data", take),
	"the stream's buffer": (socket, take) =>
		socket.on("readable", () => {
			for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) take(chunk);
		}),
};

/** The chunks that a server reads when a client writes `parts`, each once the one before has come. */
async function chunksOf(pooledChunks: boolean, read: (typeof WAYS)[string], parts: readonly Buffer[]): Promise<Buffer[]> {
	const { client, peer } = await connection(createNet(host, { pooledChunks }));
	const chunks: Buffer[] = [];
	let missing = 0;
	let come = () => {};
	read(peer, (chunk) => {
		chunks.push(chunk);
		missing -= chunk.length;
		if (missing === 0) come();
	});
	for (const part of parts) {
		missing = part.length;
		const arrived = new Promise<void>((resolve) => {
			come = resolve;
		});
		client.write(part);
		await arrived;
	}
	client.destroy();
	peer.destroy();
	return chunks;
}

const parts = [1, 40, 100, 1000].map((length, i) => Buffer.alloc(length, i + 1));

for (const [way, read] of Object.entries(WAYS))
	describe(`short chunks, read by ${way}`, () => {
		it("have each an ArrayBuffer of its own, as the kernel's have", async () => {
			const chunks = await chunksOf(false, read, parts);
			assert.deepEqual(chunks, parts);
			assert.deepEqual(
				chunks.map(({ buffer, byteOffset, length }) => [buffer.byteLength - length, byteOffset]),
				parts.map(() => [0, 0]),
			);
		});
		it("are pieces of Node's pool where that was asked for, and as they came also when all have come", async () => {
			const chunks = await chunksOf(true, read, parts);
			assert.deepEqual(chunks, parts);
			const pool = Buffer.allocUnsafe(1).buffer.byteLength;
			for (const { buffer } of chunks) assert.equal(buffer.byteLength, pool);
		});
		it("have one of their own from 4 KiB on, asked for or not", async () => {
			const long = Buffer.alloc(32_768, 7);
			const chunks = await chunksOf(true, read, [long]);
			assert.deepEqual(Buffer.concat(chunks), long);
			const own = chunks.filter(({ length }) => length >= 4096);
			assert.ok(own.length > 0);
			for (const { buffer, length } of own) assert.equal(buffer.byteLength, length);
		});
	});
