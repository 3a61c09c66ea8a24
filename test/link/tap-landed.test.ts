/** How much of long frames comes at a time: several flows send while nothing is read, and batch after batch takes it. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import { createHost } from "../../src/host/host.ts";
import { tapAvailable, tapLink } from "../../src/link/tap.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { isolate } from "../helpers/namespace.ts";

const available = (): string | false => {
	const { ok, reason } = tapAvailable();
	return ok ? false : reason;
};
const skip = isolate() || available();
const FLOWS = 8;
const BYTES = 96 << 20;
/** Milliseconds in which nothing is read, after each so many bytes. */
const PAUSE = 10;
const STRETCH = 2 << 20;

test("a batch has at most 512 KiB of landings: who is done with them at once has their memory while it is in a cache", {
	skip,
}, async () => {
	const link = tapLink({ kernelAddress: "10.77.0.1/24" });
	const receive = link.receive.bind(link);
	let most = 0;
	link.receive = (batch) => {
		const before = link.counters().rxLanded!;
		const frames = receive(batch);
		most = Math.max(most, link.counters().rxLanded! - before);
		return frames;
	};
	const host = createHost({ link, runtime: nodeRuntime(), addresses: ["10.77.0.2/24"] });
	after(() => host.close());
	let got = 0;
	let stretch = 0;
	const sockets: Socket[] = [];
	await new Promise<void>((resolve, reject) => {
		host.tcpListen({ port: 80 }).onconnection = (socket) => {
			socket.events = {
				connected() {},
				readable() {
					const bytes = socket.recvDone(socket.available);
					got += bytes;
					stretch += bytes;
					if (got >= BYTES) return resolve();
					if (stretch < STRETCH) return;
					stretch = 0;
					for (const end = performance.now() + PAUSE; performance.now() < end; );
				},
				writable() {},
				ended() {},
				closed(error) {
					if (got < BYTES) reject(new Error(`closed: ${error}`));
				},
			};
		};
		host.ref();
		const block = new Uint8Array(1 << 20);
		for (let i = 0; i < FLOWS; i++) {
			const socket = connect(80, "10.77.0.2");
			const write = (): void => {
				while (got < BYTES && socket.write(block));
			};
			socket.on("drain", write).on("error", reject);
			write();
			sockets.push(socket);
		}
	});
	for (const socket of sockets) socket.destroy();
	assert.ok(link.counters().rxLanded! > 0, "no frame landed");
	assert.ok(most <= 8, `${most} landings in one batch`);
});
