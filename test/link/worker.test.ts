/** Links in worker threads: one that ends, however it ends, takes nothing down with it and leaves nothing behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import net from "node:net";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { packetAvailable } from "../../src/link/packet.ts";
import { tapAvailable } from "../../src/link/tap.ts";
import { xdpAvailable } from "../../src/link/xdp.ts";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";

const skip = isolate();
const lacking = (available: () => { ok: boolean; reason: string }): string | false => {
	if (skip !== false) return skip;
	const { ok, reason } = available();
	return ok ? false : reason;
};
const noVeth = skip || lacksIp();
const KINDS = [
	["tap", lacking(tapAvailable)],
	["taps", lacking(tapAvailable)],
	["packet", noVeth || lacking(packetAvailable)],
	["xdp", noVeth || lacking(xdpAvailable)],
] as const;

if (noVeth === false) {
	vethPair("near0", "far0");
	ip("addr", "add", "10.99.0.1/24", "dev", "near0");
}

const descriptors = (): number => readdirSync("/proc/self/fd").length;

function start(data: object): { worker: Worker; said: (what: string) => Promise<void>; exited: Promise<unknown> } {
	const worker = new Worker(new URL("./worker-link.js", import.meta.url), { workerData: data });
	const heard = new Set<string>();
	const exited = new Promise((resolve, reject) => {
		worker.once("exit", resolve);
		worker.once("error", (error) => (error.message === "thrown" ? undefined : reject(error)));
	});
	worker.on("message", (what: string) => {
		heard.add(what);
		worker.emit(`said ${what}`);
	});
	return {
		worker,
		exited,
		said: async (what) => void (heard.has(what) || (await Promise.race([once(worker, `said ${what}`), exited]))),
	};
}

/** Sends what the link in the worker hears and does not take: a frame of each of some flows. */
function send(kind: string): void {
	const frame = (port: number): Uint8Array => {
		const ends = [10, 99, 0, 77, 10, 99, 0, kind === "xdp" ? 1 : 2];
		const bytes = new Uint8Array(60);
		const device = new NetworkInterface("near0");
		bytes.set(kind === "xdp" ? device.mac : [0x02, 0x4d, 10, 99, 0, 2]);
		device.close();
		bytes.set([2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, ...ends, port >> 8, port & 255, 0, 80], 6);
		bytes[46] = 0x50;
		return bytes;
	};
	const socket = new PacketSocket(kind.startsWith("tap") ? "mrw0" : "far0");
	for (let port = 1000; port < 1050; port++) socket.send(frame(port));
	socket.close();
}

for (const [kind, lack] of KINDS) {
	describe(`a link in a worker: ${kind}`, { skip: lack }, () => {
		for (const how of ["terminate", "terminate while busy", "exit", "throw"]) {
			test(`${how}, with frames to be read: the process goes on, and the device is given back`, async () => {
				let before = 0;
				// The second one finds what the first one held free again.
				for (let round = 0; round < 3; round++) {
					const { worker, said, exited } = start({ kind, serve: false });
					await said("open");
					send(kind);
					await said("readable");
					if (how === "terminate while busy") {
						worker.postMessage("busy");
						await said("busy");
					} else if (how !== "terminate") worker.postMessage(how);
					if (how.startsWith("terminate")) await worker.terminate();
					await exited;
					if (round === 0) before = descriptors();
				}
				assert.equal(descriptors(), before);
				const device = new NetworkInterface("mrw0");
				assert.equal(device.index, 0);
				device.close();
			});
		}
	});
}

test("a server in a worker: it hears, stays for its connections, and ends with them", { skip: lacking(tapAvailable) }, async () => {
	const { said, exited } = start({ kind: "tap", serve: true });
	await said("open");
	const socket = net.connect(7, "10.77.0.2");
	await once(socket, "connect");
	const sent = Buffer.alloc(3_000_000, "worker");
	let got = 0;
	socket.on("data", (chunk: Buffer) => {
		got += chunk.length;
		if (got === sent.length) socket.end();
	});
	socket.write(sent);
	await once(socket, "close");
	assert.equal(got, sent.length);
	assert.equal(await exited, 0);
});

test("a link in a worker is told when its interface is removed", { skip: KINDS[2][1] }, async () => {
	vethPair("near1", "far1");
	ip("link", "delete", "near0");
	ip("link", "set", "near1", "name", "near0", "up");
	const { worker, said } = start({ kind: "packet", serve: false });
	await said("open");
	ip("link", "delete", "near0");
	await said("ENODEV");
	await worker.terminate();
});
