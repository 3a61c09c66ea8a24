/** The link of examples/unix-link.mjs: what the public interface gives is enough to pass the suite. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Link } from "../../src/link/link.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { type LinkBench, linkCompliance } from "./compliance.ts";

type UnixLinkClass = new (options: { path: string; listen?: boolean; mtu?: number }) => Link;

const example = new URL("../../../examples/unix-link.mjs", import.meta.url).href;
let UnixLink: UnixLinkClass | null = null;
let skip: string | false = false;
try {
	UnixLink = ((await import(example)) as { UnixLink: UnixLinkClass }).UnixLink;
} catch (error) {
	if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
	skip = "the package is not built: npm run build";
}

const folder = mkdtempSync(join(tmpdir(), "millrace-unix-"));
after(() => rmSync(folder, { recursive: true }));
let paths = 0;

const settle = () => sleep(3);

/** A peer that speaks the framing by itself, so that a mistake in the link's is not met by the same one here. */
class Peer {
	socket: net.Socket | null = null;
	#bytes = Buffer.alloc(0);
	use(socket: net.Socket): void {
		this.socket = socket;
		socket.on("data", (bytes) => {
			this.#bytes = Buffer.concat([this.#bytes, bytes]);
		});
		socket.on("error", () => {});
	}
	send(bytes: Uint8Array): void {
		const length = Buffer.from([0, 0, bytes.length >> 8, bytes.length & 255]);
		// In two parts, cut at an awkward place: a stream keeps no borders.
		this.socket?.write(length.subarray(0, 3));
		this.socket?.write(Buffer.concat([length.subarray(3), bytes]));
	}
	async receive(): Promise<Uint8Array | null> {
		if (this.#bytes.length < 4) return null;
		const end = 4 + this.#bytes.readUInt32BE();
		if (this.#bytes.length < end) return null;
		const frame = Uint8Array.from(this.#bytes.subarray(4, end));
		this.#bytes = this.#bytes.subarray(end);
		return frame;
	}
}

async function listeningBench(): Promise<LinkBench> {
	const path = join(folder, `${++paths}.sock`);
	const peer = new Peer();
	return {
		link: new UnixLink!({ path, listen: true }),
		runtime: nodeRuntime(),
		settle,
		async opened() {
			const socket = net.connect(path);
			await once(socket, "connect");
			peer.use(socket);
		},
		peer: {
			send: (bytes) => peer.send(bytes),
			receive: () => peer.receive(),
			close: () => void peer.socket?.destroy(),
		},
	};
}

async function connectingBench(): Promise<LinkBench> {
	const path = join(folder, `${++paths}.sock`);
	const peer = new Peer();
	const server = net.createServer((socket) => peer.use(socket)).listen(path);
	await once(server, "listening");
	return {
		link: new UnixLink!({ path }),
		runtime: nodeRuntime(),
		settle,
		async opened() {
			while (peer.socket === null) await settle();
		},
		peer: {
			send: (bytes) => peer.send(bytes),
			receive: () => peer.receive(),
			close() {
				peer.socket?.destroy();
				server.close();
			},
		},
	};
}

linkCompliance("a UNIX-socket link that listens", listeningBench, { skip });
linkCompliance("a UNIX-socket link that connects", connectingBench, { skip });

test("a link to nobody fails once, with the path", { skip }, async () => {
	const failures: Error[] = [];
	const link = new UnixLink!({ path: join(folder, "nobody.sock") });
	link.open({ pool: makePool(16), runtime: nodeRuntime(), wake() {}, failed: (error) => void failures.push(error) });
	link.ref();
	while (failures.length === 0) await settle();
	await settle();
	assert.equal(failures.length, 1);
	assert.equal((failures[0] as NodeJS.ErrnoException).code, "ENOENT");
	assert.match(failures[0]!.message, /nobody\.sock/);
});

test("a listening link outlives its peer and a peer that does not keep to the framing", { skip }, async () => {
	const path = join(folder, "patient.sock");
	const link = new UnixLink!({ path, listen: true });
	const speaker = new Speaker(link, { pool: makePool(64), runtime: nodeRuntime() });
	link.ref();
	const rude = net.connect(path);
	rude.write(Buffer.alloc(64, 0xff));
	rude.on("error", () => {});
	await once(rude, "close");
	assert.equal(link.counters().rxBroken, 1);
	const peer = new Peer();
	peer.use(net.connect(path));
	peer.send(new Uint8Array(60));
	let frames: { bytes: Uint8Array }[] = [];
	while (frames.length === 0) {
		await settle();
		frames = speaker.receive();
	}
	assert.equal(frames[0]!.bytes.length, 60);
	peer.socket!.destroy();
	link.close();
});

test("two hosts talk over it: the example as a program", { skip, timeout: 60_000 }, () => {
	const { stdout, stderr, status } = spawnSync(process.execPath, [fileURLToPath(example)], { encoding: "utf8", timeout: 30_000 });
	assert.equal(stderr, "");
	assert.equal(stdout, "echoed: hello over a UNIX socket\n");
	assert.equal(status, 0);
});
