/** Links to an interface of this machine that goes down and comes up again, or is removed, under them. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type PacketOptions, packetAvailable, packetLink } from "../../src/link/packet.ts";
import { type XdpOptions, xdpAvailable, xdpLink } from "../../src/link/xdp.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import type { Runtime } from "../../src/time/clock.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";
import { pushFrame } from "./compliance.ts";

const lack = isolate() || lacksIp();
const lacks = ({ ok, reason }: { ok: boolean; reason: string }) => lack || (!ok && reason);

const OWN = [10, 99, 0, 2];
const MACHINE = [10, 99, 0, 1];
const MAC = "02:00:00:00:00:01";
const PORT = 80;

afterEach(() => {
	if (lack === false) spawnSync("ip", ["link", "delete", "near"]);
});

/** Counts how often any alarm was set. */
function counted(runtime: Runtime): { runtime: Runtime; sets: () => number } {
	let sets = 0;
	return {
		runtime: {
			...runtime,
			alarm(callback) {
				const { set, clear } = runtime.alarm(callback);
				return {
					set(at) {
						sets++;
						set(at);
					},
					clear,
				};
			},
		},
		sets: () => sets,
	};
}

/** A frame of TCP to an address and port, or an answer to ARP; the first comes as the kernel's neighbors would send it. */
function tcp(address: readonly number[], mac: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(60);
	bytes.set([...mac, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 99, 0, 77, ...address, 9, 9, 0, PORT]);
	bytes[46] = 0x50;
	return bytes;
}

function arpReply(address: readonly number[], mac: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(60);
	bytes.set([...mac, 2, 0, 0, 0, 0, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 99, 0, 77, ...mac, ...address]);
	return bytes;
}

type Kind = readonly [name: string, skip: string | false, open: () => ReturnType<typeof xdpLink> | ReturnType<typeof packetLink>];

const xdp = (name: string, options: Partial<XdpOptions>): Kind => [
	`an XDP link ${name}`,
	lacks(xdpAvailable()),
	() => xdpLink({ interface: "near", ringSize: 64, ...options }),
];
const packet = (name: string, options: Partial<PacketOptions>): Kind => [
	`a packet link ${name}`,
	lacks(packetAvailable()),
	() => packetLink({ interface: "near", addresses: [`${OWN.join(".")}/24`], ringSize: 15, ...options }),
];
const addresses = [`${OWN.join(".")}/24`];
const KINDS: readonly Kind[] = [
	xdp("with addresses", { addresses }),
	xdp("with addresses, generic", { addresses, mode: "generic" }),
	xdp("with a hardware address of its own", { addresses, mac: MAC }),
	xdp("with ports", { ports: [PORT] }),
	packet("with slots", {}),
	packet("with blocks", { ring: "v3" }),
	packet("without a ring to send", { txRing: false }),
	packet("of three sockets", { fanout: { queues: 3, mode: "ebpf" } }),
];

/** An open link on one end of a new pair, and what becomes of it. */
function station([, , open]: Kind) {
	vethPair("near", "far");
	ip("address", "add", `${MACHINE.join(".")}/24`, "dev", "near");
	const link = open();
	const pool = new PagePool(new Arena(256 * (PAGE_SIZE + 256)), 256);
	const batch = new Batch(pool);
	const failures: Error[] = [];
	const { runtime, sets } = counted(realRuntime());
	let wakes = 0;
	link.open({ pool, runtime, wake: () => void wakes++, failed: (error) => void failures.push(error) });
	return {
		link,
		pool,
		failures,
		sets,
		wakes: () => wakes,
		/** Whether this very frame has come. */
		takes(frame: Uint8Array): boolean {
			let found = false;
			while (link.receive(batch) > 0) {
				for (let i = 0; i < batch.count; i++) found ||= Buffer.compare(batch.frame(i), frame) === 0;
				batch.drop(batch.count);
			}
			return found;
		},
		send(frame: Uint8Array): void {
			pushFrame(batch, frame);
			link.transmit(batch);
			link.flush();
			batch.drop(batch.count);
		},
	};
}

async function until(there: () => boolean, what: string): Promise<void> {
	for (let tries = 0; tries < 3000; tries++) {
		if (there()) return;
		await sleep(1);
	}
	assert.fail(`never: ${what}`);
}

/** Frames come, wake the stack, and go, by a link that is up. */
async function works(s: ReturnType<typeof station>): Promise<void> {
	const { mac, hostOptions } = s.link;
	const address = hostOptions.addresses[0]!.split("/")[0]!.split(".").map(Number);
	const far = new PacketSocket("far");
	const frames = [tcp(address, mac), arpReply(address, mac)];
	for (const frame of frames) {
		const reaches = (): boolean => {
			far.send(frame);
			return s.takes(frame);
		};
		await until(reaches, "a frame comes");
	}
	// All that waits was taken, and what the interface has set off is over: from now on a wake is that of a frame.
	for (let still = 0, before = -1; still < 20; still++) {
		await sleep(2);
		s.takes(frames[0]!);
		if (s.wakes() !== before) still = 0;
		before = s.wakes();
	}
	for (const frame of frames) {
		const before = s.wakes();
		far.send(frame);
		await until(() => s.wakes() > before, "a frame wakes the stack");
		await until(() => s.takes(frame), "the frame that woke the stack");
	}
	const out = tcp([10, 99, 0, 77], Uint8Array.of(2, 0, 0, 0, 0, 2));
	await until(() => {
		s.send(out);
		for (let got = far.receive(); got !== null; got = far.receive()) if (Buffer.compare(got, out) === 0) return true;
		return false;
	}, "a frame goes");
	far.close();
}

describe("an interface that goes down and comes up again", { concurrency: false }, () => {
	for (const kind of KINDS) {
		const [name, skip] = kind;
		test(`${name} is silent meanwhile, loses what it is to send, and goes on after`, { skip }, async () => {
			const s = station(kind);
			await works(s);
			for (const [before, after] of [
				["near", "other"],
				["other", "near"],
			] as const) {
				ip("link", "set", before, "down");
				const lost = s.link.counters().txDown!;
				await until(() => {
					s.send(tcp([10, 99, 0, 77], Uint8Array.of(2, 0, 0, 0, 0, 2)));
					return s.link.counters().txDown! > lost;
				}, "a frame is lost");
				await sleep(20);
				// It may be called otherwise by then.
				ip("link", "set", before, "name", after);
				ip("link", "set", after, "up");
				await works(s);
			}
			assert.deepEqual(s.failures, []);
			s.link.close();
			assert.equal(s.pool.inUse, 0);
		});
	}

	test("a packet link that keeps its process alive does so meanwhile", { skip: lacks(packetAvailable()) }, async () => {
		vethPair("near", "far");
		const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
		const program = `
			const { packetLink } = await import(${from("link/packet.js")});
			const { PagePool } = await import(${from("memory/pages.js")});
			const { Arena } = await import(${from("memory/arena.js")});
			const { Batch } = await import(${from("memory/batch.js")});
			const { nodeRuntime } = await import(${from("node/runtime.js")});
			const link = packetLink({ interface: "near", addresses: ["10.99.0.2/24"], mac: "${MAC}", ringSize: 15 });
			const pool = new PagePool(new Arena(1 << 20), 64);
			const batch = new Batch(pool);
			link.open({ pool, runtime: nodeRuntime(), wake: () => setImmediate(() => link.receive(batch) > 0 && process.exit(7)), failed() {} });
			link.ref();
			console.log("open");`;
		const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
		const ended = once(child, "exit");
		await once(child.stdout!, "data");
		ip("link", "set", "near", "down");
		await sleep(100);
		ip("link", "set", "near", "up");
		const far = new PacketSocket("far");
		const frame = tcp(OWN, Uint8Array.of(2, 0, 0, 0, 0, 1));
		for (let tries = 0; tries < 3000 && child.exitCode === null; tries++) {
			far.send(frame);
			await sleep(1);
		}
		far.close();
		if (child.exitCode === null) child.kill("SIGKILL");
		assert.deepEqual(await ended, [7, null], "the frame reached it");
	});
});

describe("an interface that is removed", { concurrency: false }, () => {
	for (const kind of KINDS) {
		const [name, skip] = kind;
		for (const [when, before] of [
			["", []],
			[" while it is down", ["near"]],
		] as const) {
			test(`${name} says so once${when}, and gives all back`, { skip }, async () => {
				const s = station(kind);
				for (const interfaceName of before) {
					ip("link", "set", interfaceName, "down");
					await sleep(20);
				}
				const out = tcp([10, 99, 0, 77], Uint8Array.of(2, 0, 0, 0, 0, 2));
				s.send(out);
				assert.deepEqual(s.failures, []);
				ip("link", "delete", "near");
				await until(() => s.failures.length > 0, "the link says so");
				const sets = s.sets();
				for (let i = 0; i < 3; i++) s.send(out);
				assert.equal(s.sets(), sets, "nothing is tried again");
				await sleep(20);
				assert.deepEqual(
					s.failures.map(({ message }) => message),
					[`millrace: interface "near" was removed. Restart, or open a new link`],
				);
				s.link.close();
				assert.equal(s.pool.inUse, 0);
			});
		}
	}

	test("an XDP link that sends before it was told learns it from that", { skip: lacks(xdpAvailable()) }, async () => {
		const s = station(KINDS[0]!);
		ip("link", "delete", "near");
		const sets = s.sets();
		s.send(tcp([10, 99, 0, 77], Uint8Array.of(2, 0, 0, 0, 0, 2)));
		assert.equal(s.sets(), sets, "nothing is tried again");
		await until(() => s.failures.length > 0, "the link says so");
		await sleep(20);
		assert.equal(s.failures.length, 1);
		s.link.close();
		assert.equal(s.pool.inUse, 0);
	});
});
