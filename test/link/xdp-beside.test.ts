/** The packet socket beside an XDP link: which ARP reaches the stack that uses the machine's own address. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { packetAvailable } from "../../src/link/packet.ts";
import type { Watch } from "../../src/link/watch.ts";
import { XdpBeside } from "../../src/link/xdp-beside.ts";
import { XdpCounters } from "../../src/link/xdp-queue.ts";
import { Batch } from "../../src/memory/batch.ts";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { makePool } from "../helpers/memory-bench.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) vethPair("near", "far");
// Where the kernel has VLAN devices, 7 is one of the machine's own; otherwise it is like any other.
if (skip === false && spawnSync("ip", ["link", "add", "link", "near", "name", "near.7", "type", "vlan", "id", "7"]).status === 0)
	ip("link", "set", "near.7", "up");

const ANSWER = 2;

/** ARP to `to`, its last byte `mark`; with the tag of this VLAN unless that is null. */
function arp(to: readonly number[], vlan: number | null, operation: number, mark: number): Uint8Array {
	const tag = vlan === null ? [] : [0x81, 0, vlan >> 8, vlan & 255];
	const bytes = new Uint8Array(60 + tag.length);
	bytes.set([...to, 2, 0, 0, 0, 0, 9, ...tag, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation, 2, 0, 0, 0, 0, 9, 10, 0, 0, 9]);
	bytes[bytes.length - 1] = mark;
	return bytes;
}

describe("ARP beside XDP", { skip }, () => {
	function bench(pages: number) {
		const device = new NetworkInterface("near");
		const counters = new XdpCounters();
		const beside = new XdpBeside({ interfaceIndex: device.index, mac: null, arp: true, counters });
		const { mac } = device;
		device.close();
		let starved = 0;
		const watch = {
			add: (_fd: number, heard: () => void) => heard(),
			lost() {},
			starved() {
				starved++;
			},
		} as unknown as Watch;
		beside.watchBy(watch);
		const peer = new PacketSocket("far");
		const pool = makePool(pages);
		const batch = new Batch(pool);
		return {
			...{ beside, batch, counters, mac: [...mac], peer, pool },
			starved: () => starved,
			receive: () => beside.receive(batch, 0, watch),
			close() {
				peer.close();
				beside.close();
			},
		};
	}

	test("that to the machine or to all comes, untagged or with a priority, questions as answers; not what is for others or of other VLANs", () => {
		const { batch, mac, peer, receive, close } = bench(32);
		const all = [255, 255, 255, 255, 255, 255];
		const sent: readonly [readonly number[], number | null, number][] = [
			[mac, null, ANSWER],
			[mac, 5, ANSWER],
			[mac, 7, ANSWER],
			[mac, 0, ANSWER],
			[all, null, ANSWER],
			[all, 5, ANSWER],
			[all, 7, ANSWER],
			[all, null, 1],
			[[2, 0, 0, 0, 0, 77], null, ANSWER],
			[mac, null, ANSWER],
		];
		for (const [i, [to, vlan, operation]] of sent.entries()) peer.send(arp(to, vlan, operation, i));
		receive();
		const came = Array.from({ length: batch.count }, (_, i) => batch.frame(i).at(-1));
		assert.deepEqual(came, [0, 3, 4, 7, 9]);
		// RFC 826: who asks says where it is. The kernel answers, so the stack must not.
		for (let i = 0; i < batch.count; i++) assert.equal(batch.frame(i)[21], ANSWER);
		batch.drop(batch.count);
		close();
	});

	test("wait in the socket while no page is free", () => {
		const { batch, counters, mac, peer, pool, receive, starved, close } = bench(1);
		const page = pool.alloc();
		peer.send(arp(mac, null, ANSWER, 1));
		assert.equal(receive(), 0);
		assert.deepEqual([counters.rxNoPage, starved()], [1, 1]);
		pool.release(page);
		assert.equal(receive(), 1);
		batch.drop(1);
		close();
	});
});
