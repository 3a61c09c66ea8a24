/**
 * The kernel's TCP and the stack's over a TAP device of several queues: many connections both ways, byte for byte, while their flow
 * groups are moved from queue to queue; bulk data, for which the whole device is switched to long frames and back.
 */
import assert from "node:assert/strict";
import { createHash, type Hash } from "node:crypto";
import { once } from "node:events";
import net from "node:net";
import { describe, test } from "node:test";
import { createHost } from "../../src/index.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { isolate } from "../helpers/namespace.ts";

const skip = isolate();
const STACK = "10.77.0.2";
const PORT = 8080;
/** Pages that the link keeps for long frames. */
const SLOTS = 33;

/** A host with a server that echoes, and the hash of all that it was sent. */
function echoing(options: TapOptions) {
	const link = tapLink({ queues: 4, ...options });
	const host = createHost({ link, addresses: [`${STACK}/24`], memory: 32 << 20 });
	const server = host.net.createServer((socket) => void socket.pipe(socket));
	const close = (): void => {
		server.close();
		host.close();
	};
	return { link, host, close, listening: once(server.listen(PORT), "listening") };
}

const block = (seed: number): Buffer => Buffer.from(Uint8Array.from({ length: 65536 }, (_, i) => (i * seed + (i >> 8)) & 255));

/** Sends so many blocks through the echo; true if the same came back. */
async function echoed(blocks: number, seed: number): Promise<boolean> {
	const socket = net.connect(PORT, STACK);
	const [there, back]: Hash[] = [createHash("sha256"), createHash("sha256")];
	const data = block(seed);
	const sent = (async () => {
		for (let i = 0; i < blocks; i++) {
			there!.update(data);
			if (!socket.write(data)) await once(socket, "drain");
		}
		socket.end();
	})();
	for await (const chunk of socket) back!.update(chunk as Buffer);
	await sent;
	return there!.digest("hex") === back!.digest("hex");
}

describe("TCP over a TAP device of several queues", { skip, concurrency: false }, () => {
	for (const steering of ["kernel", "flow-group"] as const) {
		for (const offload of [false, true]) {
			test(`${steering} steering, ${offload ? "with" : "without"} offload: what many connections sent comes back`, async (t) => {
				const { link, close, listening } = echoing({ steering, offload });
				t.after(close);
				await listening;
				const groups = link.reta.length;
				let moves = 0;
				const mover = setInterval(() => {
					for (let i = 0; groups > 0 && i < 16; i++, moves++) link.setReta((moves * 7) % groups, (moves * 3) % 4);
				}, 2);
				try {
					const results = await Promise.all(Array.from({ length: 24 }, (_, i) => echoed(8, 2 * i + 1)));
					assert.ok(results.every(Boolean));
				} finally {
					clearInterval(mover);
				}
				assert.ok(groups === 0 || moves > 0);
				const figures = link.queueFigures();
				const { rxFrames, txFrames, rxTruncated, rxTooLong, txRejected, txNoMemory } = link.counters();
				assert.ok(
					figures.every((queue) => queue.rxFrames > 0),
					"all queues are used",
				);
				assert.equal(
					figures.reduce((sum, queue) => sum + queue.rxFrames, 0),
					rxFrames,
				);
				assert.equal(
					figures.reduce((sum, queue) => sum + queue.txFrames, 0),
					txFrames,
				);
				if (steering === "flow-group") assert.ok(figures.every((queue, i) => i === 0 || queue.txFrames === 0));
				else assert.ok(figures.every((queue) => queue.txFrames > 0));
				assert.deepEqual([rxTruncated, rxTooLong, txRejected, txNoMemory], [0, 0, 0, 0]);
			});
		}
	}

	test("bulk on several queues turns long frames on for all of them, and nothing is cut when they end", async (t) => {
		const { link, host, close, listening } = echoing({ steering: "flow-group" });
		t.after(close);
		await listening;
		for (let round = 0; round < 2; round++) {
			const results = await Promise.all(Array.from({ length: 6 }, (_, i) => echoed(96, i + 3)));
			assert.ok(results.every(Boolean));
			assert.ok(link.counters().rxLongOn! > round, "bulk data are seen to be bulk");
			// Many short exchanges, after which long frames do not pay any more.
			while (link.counters().rxLongOff! < link.counters().rxLongOn!) await Promise.all(Array.from({ length: 20 }, (_, i) => pingPong(i)));
		}
		const { rxTruncated, rxTooLong } = link.counters();
		assert.deepEqual([rxTruncated, rxTooLong], [0, 0]);
		while (host.stats().connections.total > 0) await new Promise((resolve) => setTimeout(resolve, 5));
		// Once each queue was found empty, which may be a turn or two later.
		for (let tries = 0; host.stats().memory.pagesInUse >= SLOTS && tries < 400; tries++)
			await new Promise((resolve) => setTimeout(resolve, 5));
		assert.ok(host.stats().memory.pagesInUse < SLOTS, "the pages for long frames were given back");
	});
});

/** A few bytes there and back, several times. */
async function pingPong(seed: number): Promise<void> {
	const socket = net.connect(PORT, STACK);
	for (let i = 0; i < 8; i++) {
		socket.write(`${seed} ${i}`);
		await once(socket, "data");
	}
	socket.end();
	await once(socket, "close");
}
