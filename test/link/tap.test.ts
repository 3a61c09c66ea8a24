/**
 * The TAP link against the kernel of this machine, frame by frame, in a network namespace of its own.
 *
 * The station that answers ARP and pings here is made by hand: no part of the stack above the link is needed.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { MillraceError } from "../../src/errors.ts";
import { tapAvailable, tapLink } from "../../src/link/tap.ts";
import { Batch } from "../../src/memory/batch.ts";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { addAddress, interfaceAddresses } from "../../src/sys/kernel-addresses.ts";
import { libc } from "../../src/sys/libc.ts";
import { qdiscKind } from "../../src/sys/qdisc.ts";
import { closeTap, IFF_VNET_HDR, openTap, setTapHeader } from "../../src/sys/tun.ts";
import { uringAvailable } from "../../src/sys/uring.ts";
import { isolate } from "../helpers/namespace.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { arp, BROADCAST, closeAll, isArp, isEcho, isIpv4, kernelSends, MAC, ping, STACK, station } from "../helpers/tap-station.ts";

const lack = isolate();

afterEach(closeAll);

const exists = (name: string) => readFileSync("/proc/net/dev", "latin1").includes(`${name}:`);
const refuses = (code: string, words: RegExp) => (error: unknown) =>
	error instanceof MillraceError && error.code === code && words.test(error.message);

/** Runs a program in a process of its own, where `open(options)` gives an open link that nobody reads. */
function program(text: string) {
	const from = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
	const preamble = `
		const { tapLink } = await import(${from("link/tap.js")});
		const { PagePool } = await import(${from("memory/pages.js")});
		const { Arena } = await import(${from("memory/arena.js")});
		const runtime = { clock: { now: () => 0 }, alarm: () => ({ set() {}, clear() {} }) };
		function open(options) {
			const link = tapLink(options);
			link.open({ pool: new PagePool(new Arena(65536), 8), runtime, wake() {}, failed() {} });
			return link;
		}`;
	return spawn(process.execPath, ["--input-type=module", "-e", preamble + text], { stdio: ["ignore", "pipe", "inherit"] });
}

describe("TAP link", { skip: lack, concurrency: false }, () => {
	test("a link that opens makes an interface, gives the kernel its address, and brings it up", async () => {
		const { link } = station({ name: "one", mtu: 1400 });
		assert.equal(link.name, "tap:one");
		assert.equal(link.mtu, 1400);
		const [address] = networkInterfaces().one ?? [];
		assert.equal(address?.cidr, "10.77.0.1/24");
		assert.notEqual(address?.mac, MAC);
		const kernel = new NetworkInterface("one");
		assert.equal(kernel.up, true);
		assert.equal(kernel.mtu, 1400);
		assert.equal(kernel.queueLength, 4096);
		assert.equal(qdiscKind(kernel.index), "noqueue");
		kernel.close();
		link.close();
		assert.equal(exists("one"), false);
	});

	test("a queueing discipline stays when it is asked for, and on a device of several queues goes all the same", () => {
		const kind = (name: string): string | null => {
			const kernel = new NetworkInterface(name);
			const found = qdiscKind(kernel.index);
			kernel.close();
			return found;
		};
		const kept = station({ name: "kept", qdiscBypass: false });
		assert.notEqual(kind("kept"), "noqueue");
		kept.link.close();
		const several = station({ name: "several", queues: 2 });
		assert.equal(kind("several"), "noqueue");
		several.link.close();
	});

	test("names with %d are the first free number", () => {
		const first = station({ kernelAddress: null });
		const second = station({ kernelAddress: null });
		assert.deepEqual([first.link.interfaceName, second.link.interfaceName], ["mr0", "mr1"]);
		assert.equal(networkInterfaces().mr0?.some(({ family }) => family === "IPv4") ?? false, false);
		first.link.close();
		second.link.close();
	});

	test("what the kernel sends arrives as frames, asked for by ARP first (RFC 826)", async () => {
		const s = station();
		kernelSends("through the millrace", 4242);
		const question = await s.frame(isArp(1));
		assert.deepEqual([...question.subarray(38, 42)], STACK);
		s.send(arp(2, question.subarray(6, 12)));
		const datagram = await s.frame(isIpv4(17));
		assert.deepEqual([...datagram.subarray(0, 6)], [2, 0, 0, 0, 0, 2]);
		assert.equal((datagram[36]! << 8) | datagram[37]!, 4242);
		assert.equal(Buffer.from(datagram.subarray(42)).toString(), "through the millrace");
		assert.equal(s.pool.inUse, 0);
		s.link.close();
	});

	test("what is sent reaches the kernel: it answers ICMP echo (RFC 792) of every size up to the MTU", async () => {
		const s = station();
		kernelSends("hello");
		const kernel = await s.resolve();
		for (const size of [0, 1, 56, 1000, 1472]) {
			assert.equal(s.send(ping(kernel, size, size)), 1);
			const answer = await s.frame(isEcho(size));
			assert.deepEqual(answer.subarray(42), ping(kernel, size, size).subarray(42));
		}
		const { txFrames, txBytes, rxFrames } = s.link.counters();
		assert.equal(txFrames, 6);
		assert.equal(txBytes, 42 + 5 * 42 + 1 + 56 + 1000 + 1472);
		assert.ok(rxFrames! >= 7);
		assert.equal(s.pool.inUse, 0);
		s.link.close();
	});

	test("a batch is filled no further than its room, and the rest comes with the next", async () => {
		const s = station();
		kernelSends("hello");
		const kernel = await s.resolve();
		const pings = Array.from({ length: 10 }, (_, i) => ping(kernel, i, 8));
		s.send(...pings);
		const small = new Batch(s.pool, 4);
		const sequences: number[] = [];
		while (sequences.length < 10) {
			const got = s.link.receive(small);
			assert.ok(got <= 4);
			for (let i = 0; i < got; i++) {
				const frame = small.frame(i);
				if (isIpv4(1)(frame)) sequences.push(frame[41]!);
			}
			small.drop(got);
			if (got === 0) await sleep(1);
		}
		assert.deepEqual(sequences, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
		s.link.close();
	});

	for (const offload of [false, true])
		test(`many frames take few system calls, ${offload ? "with" : "without"} offload, and are the same as one by one`, async (t) => {
			const { ok, reason } = uringAvailable();
			if (!ok) return t.skip(reason);
			const got: Uint8Array[][] = [];
			for (const ioUring of [true, false]) {
				const s = station({ ioUring, offload, kernelAddress: "10.77.0.1/24" });
				kernelSends("hello");
				const kernel = await s.resolve();
				for (let round = 0; round < 3; round++) {
					s.send(...Array.from({ length: 40 }, (_, i) => ping(kernel, i, 8 + i * 30)));
					const answers: Uint8Array[] = [];
					while (answers.length < 40) answers.push(await s.frame(isEcho(answers.length)));
					// All but what is the kernel's own: its address, and the numbers of its packets.
					for (const answer of answers) for (const at of [6, 7, 8, 9, 10, 11, 18, 19, 24, 25]) answer[at] = 0;
					got.push(answers);
				}
				const { rxFrames, rxBatchCalls, txFrames, txBatchCalls } = s.link.counters();
				assert.ok(rxFrames! >= 120 && txFrames! >= 120);
				assert.equal(rxBatchCalls! > 0, ioUring);
				assert.equal(txBatchCalls! >= 3, ioUring);
				assert.equal(s.pool.inUse, 0);
				s.link.close();
			}
			assert.deepEqual(got.slice(0, 3), got.slice(3));
		});

	test("frames begin on byte 62 of their page, so that IP headers are word aligned, and are stamped with their arrival", async () => {
		const s = station();
		const before = realRuntime().clock.now() | 0;
		kernelSends("hello");
		while (s.link.receive(s.batch) === 0) await sleep(1);
		const now = realRuntime().clock.now() | 0;
		assert.equal(s.batch.start[0], s.pool.address(s.batch.page[0]!) + 62);
		assert.ok(((s.batch.time[0]! - before) | 0) >= 0 && ((now - s.batch.time[0]!) | 0) >= 0);
		s.batch.drop(s.batch.count);
		s.link.close();
	});

	test("after a read that found nothing there is no other one before the handle has called", async () => {
		const s = station();
		while (s.link.receive(s.batch) > 0) s.batch.drop(s.batch.count);
		s.send(arp(1, BROADCAST));
		assert.equal(s.link.receive(s.batch), 0, "the kernel's answer is there, but nobody has said so");
		await s.frame(isArp(2));
		s.link.close();
	});

	test("without a free page frames wait in the kernel, without spinning, and come when there are pages again", async () => {
		const runtime = realRuntime();
		let alarm = Number.POSITIVE_INFINITY;
		let ring = () => {};
		const s = station(
			{},
			{
				...runtime,
				alarm(callback) {
					ring = callback;
					return {
						set(at) {
							alarm = at;
						},
						clear() {},
					};
				},
			},
		);
		const pages: number[] = [];
		for (let page = s.pool.alloc(); page !== 0; page = s.pool.alloc()) pages.push(page);
		kernelSends("patience");
		while (s.wakes === 0) await sleep(1);
		assert.equal(s.link.receive(s.batch), 0);
		assert.ok(s.link.counters().rxNoPage! >= 1);
		const { wakes } = s;
		for (let i = 0; i < 50; i++) await new Promise(setImmediate);
		assert.equal(s.wakes, wakes, "not a wake-up in each turn of the loop");
		assert.ok(alarm > runtime.clock.now() - 1_000_000 && alarm < runtime.clock.now() + 1001);
		for (const page of pages) s.pool.release(page);
		ring();
		assert.equal(s.wakes, wakes + 1);
		await s.frame(isArp(1));
		assert.equal(s.pool.inUse, 0);
		s.link.close();
	});

	test("a frame in several pages leaves as one", async () => {
		const s = station();
		kernelSends("hello");
		const kernel = await s.resolve();
		s.add(ping(kernel, 99, 1000), { cuts: [14, 34, 500] });
		s.add(ping(kernel, 100, 8));
		assert.equal(s.transmit(), 5);
		assert.deepEqual((await s.frame(isEcho(99))).subarray(42), ping(kernel, 99, 1000).subarray(42));
		await s.frame(isEcho(100));
		assert.equal(s.link.counters().txFrames, 3);
		s.link.close();
	});

	test("frames that the kernel refuses are counted under a name and lost, and the others leave", async () => {
		const s = station();
		kernelSends("hello");
		const kernel = await s.resolve();
		assert.equal(s.send(Uint8Array.of(1, 2, 3), ping(kernel, 77, 8)), 2);
		await s.frame(isEcho(77));
		assert.equal(s.link.counters().txRejected, 1);
		const down = new NetworkInterface(s.link.interfaceName);
		down.up = false;
		assert.equal(s.send(ping(kernel, 78, 8)), 1);
		assert.equal(s.link.counters().txDown, 1);
		down.up = true;
		assert.equal(s.send(arp(1, BROADCAST)), 1);
		await s.frame(isArp(2));
		assert.deepEqual(s.failures, []);
		down.close();
		s.link.close();
	});

	test("nothing is taken or given after close, and closing twice is harmless", async () => {
		const s = station();
		kernelSends("hello");
		const { interfaceName } = s.link;
		assert.equal(exists(interfaceName), true);
		s.link.close();
		s.link.close();
		assert.equal(exists(interfaceName), false);
		assert.equal(s.send(arp(1, BROADCAST)), 0);
		s.batch.drop(1);
		assert.equal(s.link.receive(s.batch), 0);
		s.link.ref();
		s.link.unref();
		assert.equal(s.pool.inUse, 0);
		assert.throws(() => s.link.open(null as never), refuses("MILLRACE_LINK_USED", /opened before/));
	});

	test("the device vanishes with a process that is killed", async () => {
		const child = program(`open({ name: "doomed" }).ref(); console.log("open");`);
		await once(child.stdout, "data");
		assert.equal(exists("doomed"), true);
		child.kill("SIGKILL");
		await once(child, "exit");
		for (let i = 0; i < 100 && exists("doomed"); i++) await sleep(10);
		assert.equal(exists("doomed"), false);
	});

	test("a process that exits while frames wait to be read exits as it wanted to", async () => {
		const child = program(`
			open({ name: "exits" }).ref();
			(await import("node:dgram")).createSocket("udp4").send("unread", 9, "10.77.0.2", () => setImmediate(() => process.exit(7)));`);
		assert.equal((await once(child, "exit"))[0], 7);
		assert.equal(exists("exits"), false);
	});

	test("a referenced link keeps the process alive, an unreferenced one does not", async () => {
		const says = async (ref: string) => {
			const child = program(`
				const link = (globalThis.kept = open({ kernelAddress: null }));
				${ref}
				setTimeout(() => { console.log("alive"); process.exit(); }, 300).unref();`);
			let text = "";
			child.stdout.on("data", (chunk) => {
				text += chunk;
			});
			assert.equal((await once(child, "close"))[0], 0);
			return text;
		};
		assert.equal(await says(""), "");
		assert.equal(await says("link.ref();"), "alive\n");
		assert.equal(await says("link.ref(); link.unref();"), "");
	});

	test("a link whose device is removed under it says so once", async () => {
		const s = station({ name: "removed" });
		const { status } = spawnSync("ip", ["link", "delete", "removed"]);
		if (status !== 0) return s.link.close(); // no iproute2 here: nothing else removes another's device
		while (s.failures.length === 0) await sleep(1);
		assert.equal(s.send(arp(1, BROADCAST)), 1);
		assert.equal(s.link.receive(s.batch), 0);
		await sleep(10);
		assert.equal(s.failures.length, 1);
		assert.match(s.failures[0]!.message, /^millrace: TAP device "removed" was removed/);
		s.link.close();
	});

	test("a persistent device can be attached to, is configured where asked, and is left as it was", () => {
		const TUNSETPERSIST = 0x400454cb;
		const made = openTap("keep");
		assert.equal(libc().ioctlValue(made.fd, TUNSETPERSIST, 1), 0);
		libc().close(made.fd);
		const kernel = new NetworkInterface("keep");
		kernel.mtu = 1300;
		kernel.address = { word: 0x0a630001, prefix: 16 };

		const plain = station({ name: "keep" });
		assert.equal(plain.link.mtu, 1300, "an attached device keeps its MTU");
		assert.deepEqual(kernel.address, { word: 0x0a630001, prefix: 16 }, "and its address");
		assert.equal(kernel.up, true);
		plain.link.close();
		assert.equal(kernel.up, false);

		// To set an interface's first address takes the others away: the one that is asked for comes beside them.
		assert.ok(addAddress(kernel.index, { word: 0x0a630002, prefix: 16 }));
		const own = ["10.99.0.1/16", "10.99.0.2/16"];
		assert.deepEqual(interfaceAddresses("keep"), own);
		const asked = station({ name: "keep", mtu: 1450, kernelAddress: "10.88.0.1/30", queueLength: 77 });
		assert.equal(kernel.mtu, 1450);
		assert.deepEqual(interfaceAddresses("keep").sort(), ["10.88.0.1/30", ...own]);
		assert.equal(kernel.queueLength, 77);
		asked.link.close();
		assert.equal(kernel.mtu, 1300);
		assert.deepEqual(interfaceAddresses("keep"), own);
		station({ name: "keep", kernelAddress: "10.99.0.2/16" }).link.close();
		assert.deepEqual(interfaceAddresses("keep"), own, "its own addresses stay");
		assert.notEqual(kernel.queueLength, 77);

		const last = openTap("keep");
		assert.equal(last.attached, true);
		libc().ioctlValue(last.fd, TUNSETPERSIST, 0);
		libc().close(last.fd);
		assert.equal(exists("keep"), false);
		kernel.close();
	});

	test("a device whose frames had a header of 12 bytes, as QEMU leaves them, is read and written all the same, and left so", async () => {
		const TUNSETPERSIST = 0x400454cb;
		const made = openTap("virtual", IFF_VNET_HDR);
		assert.equal(setTapHeader(made, 12), 10);
		assert.equal(libc().ioctlValue(made.fd, TUNSETPERSIST, 1), 0);
		closeTap(made);
		try {
			const s = station({ name: "virtual", offload: true });
			kernelSends("through the millrace", 4242);
			const kernel = await s.resolve();
			assert.equal(Buffer.from((await s.frame(isIpv4(17))).subarray(42)).toString(), "through the millrace");
			assert.equal(s.send(ping(kernel, 5, 56)), 1);
			assert.deepEqual((await s.frame(isEcho(5))).subarray(42), ping(kernel, 5, 56).subarray(42));
			s.link.close();
		} finally {
			closeAll();
			const last = openTap("virtual", IFF_VNET_HDR);
			const header = setTapHeader(last, 10);
			libc().ioctlValue(last.fd, TUNSETPERSIST, 0);
			closeTap(last);
			assert.equal(header, 12);
		}
	});

	test("what stands in the way of opening is said with a remedy, and leaves nothing behind", () => {
		const first = station({ name: "busy" });
		assert.throws(
			() => station({ name: "busy" }),
			refuses("EBUSY", /cannot attach to TAP device "busy": device or resource busy\. .*choose another name/),
		);
		first.link.close();
		assert.throws(
			() => station({ name: "lo" }),
			refuses("EINVAL", /"lo": invalid argument\. An interface of that name exists and is no TAP device/),
		);
		const other = station({ name: "other" });
		assert.throws(
			() => station({ name: "bad", kernelAddress: "10.77.0.200/24" }),
			refuses("EADDRINUSE", /the kernel has 10\.77\.0\.1\/24 on interface "other" already/),
		);
		assert.doesNotThrow(() => station({ name: "good", kernelAddress: "10.77.1.1/24" }));
		other.link.close();
		assert.equal(exists("bad"), false);
	});

	test("bad options are refused before anything is done", () => {
		for (const name of ["", "a name", "sixteen-letters-", "a/b", "a:b", "..", "%s", "mr%d%d"]) {
			assert.throws(() => tapLink({ name }), refuses("MILLRACE_BAD_OPTION", /bad name of a TAP device/), name);
		}
		for (const kernelAddress of ["10.77.0.1", "10.77.0/24", "10.77.0.1/33", "", "fd00::1/64"]) {
			assert.throws(() => tapLink({ kernelAddress }), MillraceError, kernelAddress);
		}
		for (const mtu of [0, 67, 1969, 1500.5, Number.NaN])
			assert.throws(() => tapLink({ mtu, offload: false }), refuses("MILLRACE_BAD_OPTION", /bad mtu/));
		for (const queueLength of [0, -1, 65536])
			assert.throws(() => tapLink({ queueLength }), refuses("MILLRACE_BAD_OPTION", /bad queueLength/));
		for (const mac of ["02:00", "01:00:00:00:00:01", new Uint8Array(5)]) assert.throws(() => tapLink({ mac }), MillraceError);
		assert.equal(tapLink().mac[0]! & 3, 2, "a random address is local and of one station");
	});

	test("whether a TAP link can be had is known without making one", () => {
		assert.deepEqual(tapAvailable(), { ok: true, reason: "permitted" });
	});
});
