/** Several queues of an XDP link have one memory: the pages are registered once, and every further socket shares them, with rings of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type XdpLink, xdpAvailable, xdpLink } from "../../src/link/xdp.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import { libc } from "../../src/sys/libc.ts";
import { TransmitRing } from "../../src/sys/xsk.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";
import { pushFrame, testFrame } from "./compliance.ts";

const available = (): string | false => {
	const { ok, reason } = xdpAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();

// linux/if_xdp.h
const SOL_XDP = 283;
const NAMES: Readonly<Record<number, string>> = { 2: "receive", 3: "transmit", 4: "memory", 5: "fill", 6: "completion" };
const AF_XDP = 44;
const SHARED_UMEM = 1;

/** What is asked of the kernel for AF_XDP sockets while `use` runs: options by socket, and flags and partner of each bind. */
function watched(use: () => void): { options: Map<number, string[]>; binds: { fd: number; flags: number; partner: number }[] } {
	const c = libc();
	const { setsockopt, bind } = c;
	const options = new Map<number, string[]>();
	const binds: { fd: number; flags: number; partner: number }[] = [];
	c.setsockopt = (fd, level, option, value, length) => {
		if (level === SOL_XDP && NAMES[option] !== undefined) options.set(fd, [...(options.get(fd) ?? []), NAMES[option]]);
		return setsockopt(fd, level, option, value, length);
	};
	c.bind = (fd, address, length) => {
		const view = new DataView((address as Uint8Array).buffer);
		if (view.getUint16(0, true) === AF_XDP) binds.push({ fd, flags: view.getUint16(2, true), partner: view.getUint32(12, true) });
		return bind(fd, address, length);
	};
	try {
		use();
	} finally {
		Object.assign(c, { setsockopt, bind });
	}
	return { options, binds };
}

test("the memory of a link of three queues is registered once", { skip }, () => {
	vethPair("near", "far", 3);
	const link = xdpLink({ interface: "near", addresses: ["10.99.0.2/24"], ringSize: 64 });
	const pool = new PagePool(new Arena(512 * (PAGE_SIZE + 256)), 512);
	const { options, binds } = watched(() => link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} }));
	const rings = ["fill", "completion", "receive", "transmit"];
	const [first, ...others] = binds;
	assert.match(link.how, /3 queues$/);
	assert.equal(others.length, 2);
	assert.deepEqual(options.get(first!.fd), ["memory", ...rings]);
	assert.equal(first!.flags & SHARED_UMEM, 0);
	for (const { fd, flags, partner } of others) {
		assert.deepEqual(options.get(fd), rings);
		assert.deepEqual([flags, partner], [SHARED_UMEM, first!.fd]);
	}
	link.close();
	assert.equal(pool.inUse, 0);
});

test("frames that would be copied behind the driver are refused where that was asked for", { skip }, (context) => {
	// A bridge's driver has no XDP of its own.
	if (spawnSync("ip", ["link", "add", "bridge", "type", "bridge"]).status !== 0) return context.skip("needs the kernel's bridge");
	ip("link", "set", "bridge", "up");
	const open = (zeroCopy: "always" | "auto"): XdpLink => {
		const link = xdpLink({ interface: "bridge", addresses: ["10.99.1.2/24"], ringSize: 64, zeroCopy });
		const pool = new PagePool(new Arena(64 * (PAGE_SIZE + 256)), 64);
		link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
		return link;
	};
	assert.throws(() => open("always"), { code: "EOPNOTSUPP", message: /in its driver/ });
	const link = open("auto");
	assert.match(link.how, /^generic XDP, copy mode/);
	link.close();
});

test("frames for which the ring has no room are asked for again, also where the kernel empties it unasked and slowly", {
	skip,
}, async () => {
	vethPair("slow", "sink");
	const link = xdpLink({ interface: "slow", addresses: ["10.99.2.2/24"], ringSize: 64 });
	const pool = new PagePool(new Arena(256 * (PAGE_SIZE + 256)), 256);
	let woken = 0;
	link.open({ pool, runtime: realRuntime(), wake: () => woken++, failed() {} });
	// As with a driver that has the memory itself: nothing leaves by our calls.
	Object.defineProperty(TransmitRing.prototype, "needsWakeup", { configurable: true, get: () => false });
	try {
		const batch = new Batch(pool);
		for (const expected of [64, 0]) {
			for (let i = 0; i < 64; i++) pushFrame(batch, testFrame(link, 60, i));
			assert.equal(link.transmit(batch), expected);
		}
		woken = 0;
		for (let tries = 0; tries < 2000 && woken === 0; tries++) await sleep(1);
		assert.notEqual(woken, 0);
		batch.drop(batch.count);
	} finally {
		Reflect.deleteProperty(TransmitRing.prototype, "needsWakeup");
		link.close();
	}
	assert.equal(pool.inUse, 0);
});

test("what the kernel has counted of a link is still known when it is closed", { skip }, () => {
	vethPair("full", "flood");
	const link = xdpLink({ interface: "full", addresses: ["10.99.3.2/24"], mac: "02:00:00:00:00:77", ringSize: 64 });
	const pool = new PagePool(new Arena(256 * (PAGE_SIZE + 256)), 256);
	link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
	const peer = new PacketSocket("flood");
	const frame = new Uint8Array(60);
	frame.set([2, 0, 0, 0, 0, 0x77]);
	for (let i = 0; i < 300; i++) peer.send(frame);
	peer.close();
	const { rxDropped, rxRingFull, rxFillEmpty } = link.counters();
	assert.ok(rxDropped! + rxRingFull! + rxFillEmpty! > 0, "nothing was too much");
	link.close();
	const after = link.counters();
	assert.deepEqual([after.rxDropped, after.rxRingFull, after.rxFillEmpty], [rxDropped, rxRingFull, rxFillEmpty]);
});
