/**
 * TAP links of several queues against the kernel of this machine: which queue a frame comes by, and who may have queues.
 *
 * Frames are read one at a time, so that the link's figures say which queue each came by.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "../../src/errors.ts";
import { flowHash } from "../../src/link/flow-steering.ts";
import { type TapOptions, tapLink, tapQueuesAvailable } from "../../src/link/tap.ts";
import { Batch } from "../../src/memory/batch.ts";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { libc } from "../../src/sys/libc.ts";
import { closeTap, openTap, type Tap } from "../../src/sys/tun.ts";
import { tapFacts } from "../../src/sys/tun-facts.ts";
import { get16, set16 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { closeAll, isIpv4, kernelSends, STACK, station } from "../helpers/tap-station.ts";

const lack = isolate();
// The kernel would say hello by IPv6 on each new interface.
const IPV6 = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
if (lack === false && existsSync(IPV6)) writeFileSync(IPV6, "1");

const TUNSETPERSIST = 0x400454cb;
const TUNSETQUEUE = 0x400454d9;
const IFF_DETACH_QUEUE = 0x0400;
const STACK_WORD = 0x0a4d0002;
const KERNEL_WORD = 0x0a4d0001;
const KERNEL = [10, 77, 0, 1];

const held: Tap[] = [];
afterEach(() => {
	closeAll();
	for (const tap of held.splice(0)) {
		libc().ioctlValue(tap.fd, TUNSETPERSIST, 0);
		closeTap(tap);
	}
});

const exists = (name: string) => readFileSync("/proc/net/dev", "latin1").includes(`${name}:`);
const refuses = (code: string, words: RegExp) => (error: unknown) =>
	error instanceof MillraceError && error.code === code && words.test(error.message);

/** What the kernel says of a device. */
function factsOf(name: string) {
	const device = new NetworkInterface(name);
	const facts = tapFacts(device.index);
	device.close();
	return facts;
}

/** An open link whose neighbor knows it, and a way to see by which queue each frame comes. */
async function watched(options: TapOptions) {
	const s = station(options);
	kernelSends("who has");
	const kernel = await s.resolve();
	await s.frame(isIpv4(17));
	const one = new Batch(s.pool, 1);
	return {
		...s,
		kernel,
		/** The next IPv4 frame, and its queue. */
		async next(): Promise<{ queue: number; bytes: Uint8Array }> {
			for (;;) {
				const before = s.link.queueFigures();
				if (s.link.receive(one) === 0) {
					await sleep(1);
					continue;
				}
				const after = s.link.queueFigures();
				const queue = after.findIndex(({ rxFrames }, i) => rxFrames > before[i]!.rxFrames);
				const bytes = one.frame(0).slice();
				one.drop(1);
				if (bytes[12] === 8 && bytes[13] === 0) return { queue, bytes };
			}
		},
	};
}

/** A socket of the kernel on a port of its own, that can send to the stack. */
async function flow(t: { after(f: () => void): void }) {
	const socket = createSocket("udp4").bind(0, "10.77.0.1");
	t.after(() => socket.close());
	await once(socket, "listening");
	const { port } = socket.address();
	return { port, socket, send: (text: string | Uint8Array) => socket.send(text, 9, "10.77.0.2") };
}

/** A datagram from port 9 of the stack to the kernel. */
function datagram(kernel: Uint8Array, port: number): Uint8Array {
	const frame = new Uint8Array(14 + 20 + 8 + 5);
	frame.set([...kernel, 2, 0, 0, 0, 0, 2, 8, 0]);
	frame.set([0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0, 0, ...STACK, ...KERNEL], 14);
	frame.set([0, 9, port >> 8, port & 255, 0, 13], 34);
	set16(frame, 24, checksum(frame, 14, 20, 0));
	return frame;
}

/** A process of its own that attaches to "keep" and sends all flow groups to queue 1. */
function holder() {
	const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
	const text = `
		const { tapLink } = await import(${from("link/tap.js")});
		const { PagePool } = await import(${from("memory/pages.js")});
		const { Arena } = await import(${from("memory/arena.js")});
		const runtime = { clock: { now: () => 0 }, alarm: () => ({ set() {}, clear() {} }) };
		const link = tapLink({ name: process.argv[1], queues: 2, steering: "flow-group" });
		link.open({ pool: new PagePool(new Arena(65536), 8), runtime, wake() {}, failed() {} });
		for (const group of link.reta.keys()) link.setReta(group, 1);
		link.ref();
		console.log("open");`;
	return (name: string) => spawn(process.execPath, ["--input-type=module", "-e", text, name], { stdio: ["ignore", "pipe", "inherit"] });
}

/** Makes a persistent device that nobody has a queue of. */
function persistent(name: string, queues: number): void {
	const made = openTap(name, 0, queues);
	assert.equal(libc().ioctlValue(made.fd, TUNSETPERSIST, 1), 0);
	closeTap(made);
}

/** Removes it. */
function remove(name: string, queues: number): void {
	const tap = openTap(name, 0, queues);
	assert.equal(tap.attached, true);
	libc().ioctlValue(tap.fd, TUNSETPERSIST, 0);
	closeTap(tap);
	assert.equal(exists(name), false);
}

describe("a TAP link of several queues", { skip: lack, concurrency: false }, () => {
	test("is one device with so many queues, which vanishes when it is closed", () => {
		for (const steering of ["kernel", "flow-group"] as const) {
			const { link } = station({ name: "many", queues: 5, steering });
			assert.deepEqual(factsOf("many"), { multiQueue: true, queues: 5 });
			assert.equal(link.queues, 5);
			assert.deepEqual(link.queueFigures(), new Array(5).fill({ rxFrames: 0, txFrames: 0 }));
			link.close();
			assert.equal(exists("many"), false);
		}
		const { link } = station({ name: "most", queues: 256, steering: "flow-group" });
		assert.deepEqual(factsOf("most"), { multiQueue: true, queues: 256 });
		assert.equal(link.reta.length, 256, "a group for each queue at least");
		link.close();
		const one = station({ name: "one", steering: "flow-group" });
		assert.deepEqual(factsOf("one"), { multiQueue: false, queues: 0 });
		assert.deepEqual(one.link.reta, new Array(128).fill(0));
		one.link.setReta(5, 0);
		assert.throws(() => one.link.setReta(5, 1), refuses("MILLRACE_BAD_OPTION", /bad queue: 1\. Give a whole number from 0 to 0/));
		one.link.close();
		assert.deepEqual(tapQueuesAvailable(), { ok: true, reason: "up to 256" });
		assert.equal(factsOf("lo"), null);
	});

	test("a queue that is disabled is somebody's all the same", () => {
		const tap = openTap("lame", 0, 2);
		held.push(tap);
		const request = new Uint8Array(40);
		new DataView(request.buffer).setUint16(16, IFF_DETACH_QUEUE, true);
		for (const fd of tap.fds) assert.equal(libc().ioctl(fd, TUNSETQUEUE, request), 0);
		assert.deepEqual(factsOf("lame"), { multiQueue: true, queues: 2 });
		assert.throws(() => openTap("lame", 0, 2), refuses("EBUSY", /Another program uses a device of that name/));
	});

	test("vanishes with a process that is killed", async () => {
		const child = holder()("doomed");
		await once(child.stdout, "data");
		assert.deepEqual(factsOf("doomed"), { multiQueue: true, queues: 2 });
		child.kill("SIGKILL");
		await once(child, "exit");
		for (let i = 0; i < 100 && exists("doomed"); i++) await sleep(10);
		assert.equal(exists("doomed"), false);
	});

	test("steering by flow group: all frames of a flow come by the queue that the table names for its group", async (t) => {
		const s = await watched({ queues: 4, steering: "flow-group" });
		const { reta } = s.link;
		assert.deepEqual(
			reta,
			Array.from({ length: 128 }, (_, group) => group % 4),
		);
		const used = new Set<number>();
		// The kernel chooses the ports, by chance.
		for (let i = 0; i < 24 || (used.size < 4 && i < 240); i++) {
			const { port, send } = await flow(t);
			const group = s.link.flowGroup("10.77.0.2", 9, "10.77.0.1", port);
			assert.equal(group, flowHash(KERNEL_WORD, STACK_WORD, port, 9) & 127, "whichever end comes first");
			for (let n = 0; n < 3; n++) {
				send(`${n}`);
				const { queue, bytes } = await s.next();
				assert.equal(get16(bytes, 34), port);
				assert.equal(queue, reta[group], `port ${port}, group ${group}`);
			}
			used.add(reta[group]!);
		}
		assert.equal(used.size, 4, "the flows of this test use all queues");
		assert.equal(s.pool.inUse, 0);
		s.link.close();
	});

	test("fragments of a datagram all come by the queue of their addresses", async (t) => {
		const s = await watched({ queues: 4, steering: "flow-group" });
		const { port, send } = await flow(t);
		const own = s.link.flowGroup("10.77.0.2", 9, "10.77.0.1", port);
		const ofAddresses = s.link.flowGroup("10.77.0.2", 0, "10.77.0.1", 0);
		s.link.setReta(own, 1);
		s.link.setReta(ofAddresses, 2);
		send(new Uint8Array(4000));
		for (let i = 0; i < 3; i++) assert.equal((await s.next()).queue, 2);
		send("whole");
		assert.equal((await s.next()).queue, own === ofAddresses ? 2 : 1);
		s.link.close();
	});

	test("a flow group that is moved comes by its new queue with the next frame, and the others stay", async (t) => {
		const s = await watched({ queues: 3, steering: "flow-group" });
		const flows = await Promise.all(Array.from({ length: 8 }, () => flow(t)));
		const groups = flows.map(({ port }) => s.link.flowGroup("10.77.0.2", 9, "10.77.0.1", port));
		for (const [i, group] of groups.entries()) {
			const expected = s.link.reta;
			expected[group] = (expected[group]! + 1) % 3;
			s.link.setReta(group, expected[group]!);
			assert.deepEqual(s.link.reta, expected);
			for (const [k, { send }] of flows.entries()) {
				send("moved?");
				assert.equal((await s.next()).queue, expected[groups[k]!], `flow ${k} after flow ${i} was moved`);
			}
		}
		s.link.close();
	});

	test("nothing is lost nor doubled while flow groups are moved about", async (t) => {
		const s = await watched({ queues: 4, steering: "flow-group" });
		const flows = await Promise.all(Array.from({ length: 4 }, () => flow(t)));
		const seen = new Map<string, number>();
		const count = () => {
			for (let i = 0; i < s.batch.count; i++) {
				const bytes = s.batch.frame(i);
				if (isIpv4(17)(bytes)) {
					const name = `${get16(bytes, 34)}:${Buffer.from(bytes.subarray(42)).readUInt32BE()}`;
					seen.set(name, (seen.get(name) ?? 0) + 1);
				}
			}
			s.batch.drop(s.batch.count);
		};
		const ROUNDS = 300;
		for (let n = 0; n < ROUNDS; n++) {
			for (const [i, { port, send }] of flows.entries()) {
				const number = Buffer.alloc(8);
				number.writeUInt32BE(n);
				send(number);
				if (n % 3 === i % 3) s.link.setReta(s.link.flowGroup("10.77.0.2", 9, "10.77.0.1", port), (n + i) % 4);
			}
			if (n % 7 === 0) {
				await sleep(0);
				s.link.receive(s.batch);
				count();
			}
		}
		while (seen.size < ROUNDS * flows.length) {
			if (s.link.receive(s.batch) === 0) await sleep(1);
			count();
		}
		assert.ok([...seen.values()].every((times) => times === 1));
		assert.ok(s.link.queueFigures().every(({ rxFrames }) => rxFrames > 0));
		s.link.close();
	});

	test("the kernel's steering: a flow comes back by the queue that it was answered by, which its flow hash names", async (t) => {
		const s = await watched({ queues: 4 });
		assert.deepEqual(s.link.reta, []);
		assert.equal(s.link.flowGroup("10.77.0.2", 9, "10.77.0.1", 4711), 0);
		assert.throws(() => s.link.setReta(0, 1), refuses("MILLRACE_LINK", /is steered by the kernel: make it with steering "flow-group"/));
		const used = new Set<number>();
		for (let i = 0; i < 16; i++) {
			const { port, socket, send } = await flow(t);
			const own = flowHash(KERNEL_WORD, STACK_WORD, port, 9) % 4;
			const before = s.link.queueFigures();
			assert.equal(s.send(datagram(s.kernel, port)), 1);
			await once(socket, "message");
			assert.deepEqual(
				s.link.queueFigures().map(({ txFrames }, at) => txFrames - before[at]!.txFrames),
				[0, 1, 2, 3].map((at) => (at === own ? 1 : 0)),
			);
			for (let n = 0; n < 3; n++) {
				send("back");
				assert.equal((await s.next()).queue, own);
			}
			used.add(own);
		}
		assert.ok(used.size > 1, "the flows of this test use several queues");
		s.link.close();
	});

	test("a persistent device of several queues can be attached to, and keeps no program of ours", async (t) => {
		persistent("keep", 2);
		assert.deepEqual(factsOf("keep"), { multiQueue: true, queues: 0 });
		const s = await watched({ name: "keep", queues: 3, steering: "flow-group" });
		for (const group of s.link.reta.keys()) s.link.setReta(group, 1);
		const flows = await Promise.all(Array.from({ length: 24 }, () => flow(t)));
		const queues = async (next: () => Promise<{ queue: number }>) => {
			const all = new Set<number>();
			for (const { send } of flows) {
				send("where?");
				all.add((await next()).queue);
			}
			return all;
		};
		assert.deepEqual(await queues(s.next), new Set([1]));
		s.link.close();
		assert.deepEqual(factsOf("keep"), { multiQueue: true, queues: 0 });

		// Nothing removes a program here: were it still there, all would come by queue 1.
		const raw = openTap("keep", 0, 2);
		held.push(raw);
		const device = new NetworkInterface("keep");
		device.up = true;
		const socket = new PacketSocket("keep");
		for (let port = 1; port <= 24; port++) socket.send(datagram(s.kernel, port));
		socket.close();
		const frame = new Uint8Array(2048);
		const reads = raw.fds.map((fd) => {
			let frames = 0;
			while (libc().read(fd, frame, frame.length) > 0) frames++;
			return frames;
		});
		assert.ok(reads[0]! > 0 && reads[1]! > 0, `${reads}`);
		assert.equal(reads[0]! + reads[1]!, 24);
		device.up = false;
		device.close();
		closeTap(held.pop()!);

		const child = holder()("keep");
		await once(child.stdout, "data");
		child.kill("SIGKILL");
		await once(child, "exit");
		const after = await watched({ name: "keep", queues: 2 });
		assert.equal((await queues(after.next)).size, 2, "the program of one who was killed is removed");
		after.link.close();
		remove("keep", 2);
	});

	test("what stands in the way of several queues is said with a remedy, and leaves nothing behind", () => {
		persistent("single", 1);
		assert.throws(
			() => station({ name: "single", queues: 2 }),
			refuses("EINVAL", /cannot attach to TAP device "single": invalid argument\. It was made for one queue: .*multi_queue NAME\)/),
		);
		remove("single", 1);

		persistent("keep", 2);
		assert.throws(
			() => station({ name: "keep" }),
			refuses("EINVAL", /cannot attach to TAP device "keep": invalid argument\. It was made for several queues: ask for 2 or more/),
		);
		const first = station({ name: "keep", queues: 2 });
		assert.throws(() => station({ name: "keep", queues: 2 }), refuses("EBUSY", /"keep": device or resource busy\. Another program uses/));
		assert.deepEqual(factsOf("keep"), { multiQueue: true, queues: 2 }, "and the one who has it keeps it");
		first.link.close();
		remove("keep", 2);

		const made = station({ name: "made", queues: 2, kernelAddress: null });
		assert.throws(() => station({ name: "made", queues: 2 }), refuses("EBUSY", /choose another name/));
		made.link.close();
		assert.throws(() => station({ name: "lo", queues: 2 }), refuses("EINVAL", /is no TAP device of several queues/));
		assert.equal(exists("keep") || exists("made"), false);
	});

	test("bad options are refused before anything is done", () => {
		for (const queues of [0, -1, 1.5, 257, Number.NaN])
			assert.throws(() => tapLink({ queues }), refuses("MILLRACE_BAD_OPTION", /bad queues: .*whole number from 1 to 256/));
		assert.throws(
			() => tapLink({ steering: "rss" as never }),
			refuses("MILLRACE_BAD_OPTION", /bad steering: "rss"\. Give "kernel" or "flow-group"/),
		);
		for (const flowGroups of [0, 2, 100, 131072, Number.NaN])
			assert.throws(
				() => tapLink({ queues: 4, steering: "flow-group", flowGroups }),
				refuses("MILLRACE_BAD_OPTION", /bad flowGroups: .*power of two, at least .*\(4\)/),
			);
		assert.throws(
			() => tapLink({ queues: 4, flowGroups: 8 }),
			refuses("MILLRACE_BAD_OPTION", /flowGroups goes with steering "flow-group" only/),
		);
		assert.throws(
			() => tapLink({ queue: 4 } as TapOptions),
			refuses("MILLRACE_BAD_OPTION", /a TAP link has no option "queue"\. It has name, .*queues/),
		);
		const link = tapLink({ queues: 2, steering: "flow-group" });
		assert.throws(() => link.setReta(0, 1), refuses("MILLRACE_LINK", /cannot be moved: it is not open/));
		const s = station({ queues: 2, steering: "flow-group", flowGroups: 16 });
		assert.equal(s.link.reta.length, 16);
		for (const group of [-1, 16, 0.5]) assert.throws(() => s.link.setReta(group, 0), refuses("MILLRACE_BAD_OPTION", /bad flow group/));
		for (const queue of [-1, 2]) assert.throws(() => s.link.setReta(0, queue), refuses("MILLRACE_BAD_OPTION", /bad queue/));
		s.link.close();
	});
});
