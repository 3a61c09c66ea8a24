/** Bulk data of the kernel's TCP, read to where the program has them: the same bytes in chunks of the same kind, whatever the program does. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import net, { type Socket } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createHost } from "../../src/index.ts";
import { CaptureWriter, captureLink } from "../../src/link/capture.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { LANDING_SLACK } from "../../src/memory/pages.ts";
import { isolate } from "../helpers/namespace.ts";

const skip = isolate();
const STACK = "10.77.0.2";
const PORT = 8080;
const BLOCK = Buffer.from(Uint8Array.from({ length: 262_144 }, (_, i) => (i * 13 + (i >> 8) * 5) & 255));
/** 64 MiB: many more frames than are needed for a guess. */
const BLOCKS = 256;

/** Sends BLOCKS to a server on the stack; true if it has read the same. */
async function push(
	t: { after(undo: () => void): void },
	options: TapOptions,
	serve: (socket: Socket, read: (chunk: Buffer) => void) => void,
	captured = false,
) {
	const tap = tapLink(options);
	const link = captured ? captureLink(tap, new CaptureWriter({ sink: { write() {} } })) : tap;
	const host = createHost({ link, addresses: [`${STACK}/24`], memory: 32 << 20 });
	t.after(() => host.close());
	const hash = createHash("sha256");
	let resolve = (): void => {};
	const ended = new Promise<void>((done) => {
		resolve = done;
	});
	const server = host.net.createServer((socket) => {
		serve(socket, (chunk) => void hash.update(chunk));
		socket.on("end", () => resolve());
	});
	await once(server.listen(PORT), "listening");
	// The host is closed before the last word of this connection.
	const socket = net.connect(PORT, STACK).on("error", () => {});
	const sent = createHash("sha256");
	for (let i = 0; i < BLOCKS; i++) {
		sent.update(BLOCK);
		if (!socket.write(BLOCK)) await once(socket, "drain");
	}
	socket.end();
	await ended;
	assert.equal(hash.digest("hex"), sent.digest("hex"));
	return { host, counters: tap.counters() };
}

describe("bulk data from the kernel", { skip, concurrency: false }, () => {
	for (const way of ["express", "net.js"]) {
		test(`land in the program's chunks, each an ArrayBuffer of its own with a few zeros behind it at most (${way})`, async (t) => {
			let long = 0;
			const { counters } = await push(t, {}, (socket, read) => {
				// A method of its own keeps a socket off the express way.
				if (way === "net.js") Object.assign(socket, { emit: socket.emit.bind(socket) });
				socket.on("data", (chunk) => {
					const bytes = chunk as Buffer;
					read(bytes);
					const behind = new Uint8Array(bytes.buffer, bytes.byteOffset + bytes.length);
					assert.ok(bytes.byteOffset === 0 && behind.length <= (bytes.length > 16384 ? LANDING_SLACK : 0));
					assert.ok(behind.every((byte) => byte === 0));
					if (bytes.length > 16384) long++;
				});
			});
			assert.ok(counters.rxLanded! > 0 && long > 0, `${counters.rxLanded} landed, ${long} long chunks`);
		});
	}

	test("come whole to a program that stops and goes on, reads pieces, or iterates", async (t) => {
		await t.test("stops", async (t) => {
			let chunks = 0;
			await push(t, {}, (socket, read) => {
				socket.on("data", (chunk) => {
					read(chunk as Buffer);
					if (++chunks % 50 !== 0) return;
					socket.pause();
					setTimeout(() => socket.resume(), 5);
				});
			});
		});
		await t.test("pieces", async (t) => {
			await push(t, {}, (socket, read) => {
				socket.on("readable", () => {
					for (let chunk = socket.read(1000); chunk !== null; chunk = socket.read(1000)) read(chunk);
					const rest = socket.read();
					if (rest !== null) read(rest);
				});
			});
		});
		await t.test("iterates", async (t) => {
			await push(t, {}, async (socket, read) => {
				let chunks = 0;
				for await (const chunk of socket) {
					read(chunk as Buffer);
					if (++chunks % 100 === 0) await sleep(2);
				}
			});
		});
	});

	test("do not land where that is turned off, nor where somebody looks at the frames in between", async (t) => {
		const plainly = (socket: Socket, read: (chunk: Buffer) => void) => void socket.on("data", (chunk) => read(chunk as Buffer));
		await t.test("off", async (t) => {
			const { counters } = await push(t, { landing: false }, plainly);
			assert.deepEqual([counters.rxLanded, counters.rxScattered], [0, 0]);
			assert.ok(counters.rxLongOn! > 0);
		});
		await t.test("captured", async (t) => {
			const { counters } = await push(t, {}, plainly, true);
			assert.deepEqual([counters.rxLanded, counters.rxScattered], [0, 0]);
		});
	});

	test("that nobody has read are given back when the connection goes", async (t) => {
		const tap = tapLink();
		const host = createHost({ link: tap, addresses: [`${STACK}/24`], memory: 32 << 20 });
		t.after(() => host.close());
		let victim: Socket | null = null;
		let got = 0;
		const server = host.net.createServer((socket) => {
			socket.on("error", () => {});
			socket.on("data", (chunk) => {
				got += chunk.length;
				if (tap.counters().rxLanded === 0 || victim !== null) return;
				victim = socket;
				socket.pause();
			});
		});
		await once(server.listen(PORT), "listening");
		const socket = net.connect(PORT, STACK).on("error", () => {});
		while (victim === null) {
			assert.ok(got < 1 << 30);
			if (!socket.write(BLOCK)) await Promise.race([once(socket, "drain"), sleep(100)]);
		}
		await sleep(50);
		(victim as Socket).destroy();
		while (host.stats().connections.total > 0) await sleep(5);
		socket.destroy();
		const again = await new Promise<number>((resolve) => {
			server.removeAllListeners("connection").once("connection", (peer) => {
				let bytes = 0;
				peer.on("data", (chunk: Buffer) => {
					bytes += chunk.length;
				});
				peer.on("end", () => resolve(bytes));
			});
			const next = net.connect(PORT, STACK).on("error", () => {});
			for (let i = 0; i < 40; i++) next.write(BLOCK);
			next.end();
		});
		assert.equal(again, 40 * BLOCK.length);
		server.close();
	});
});
