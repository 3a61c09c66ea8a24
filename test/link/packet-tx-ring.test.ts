/** The ring that a packet link may send by: what becomes of frames that the kernel does not take, and of a batch for which there is no slot. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, describe, test } from "node:test";
import { type PacketLink, type PacketOptions, packetAvailable, packetLink } from "../../src/link/packet.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import { NetworkInterface } from "../../src/sys/interface.ts";
import { libc } from "../../src/sys/libc.ts";
import { bindPacketSocket, openPacketSocket } from "../../src/sys/packet-socket.ts";
import { PacketTxRing, txRingRoom } from "../../src/sys/packet-tx-ring.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";
import { pushFrame, testFrame } from "./compliance.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();

/** Sets the interface's queueing discipline; false if the kernel does not have it. */
function discipline(...words: string[]): boolean {
	return spawnSync("tc", ["qdisc", "replace", "dev", "near", "root", ...words]).status === 0;
}

if (skip === false) {
	vethPair("near", "far");
	ip("link", "set", "near", "txqueuelen", "1000");
}
const skipShaped =
	skip || (discipline("tbf", "rate", "1mbit", "burst", "2000", "limit", "100000") ? false : "needs tc and the kernel's tbf");
if (skipShaped === false) spawnSync("tc", ["qdisc", "delete", "dev", "near", "root"]);

const LONGEST = 1514;

describe("a transmit ring", { skip }, () => {
	const far = skip === false ? new PacketSocket("far") : null;
	after(() => far?.close());

	function open(): { ring: PacketTxRing; write: (frame: Uint8Array, length?: number) => void; close: () => void } {
		const fd = openPacketSocket();
		const device = new NetworkInterface("near");
		bindPacketSocket(fd, device.index, 0);
		device.close();
		const ring = new PacketTxRing(fd, LONGEST, new Arena(txRingRoom(LONGEST) + 65536));
		return {
			ring,
			write(frame, length = frame.length) {
				assert.ok(ring.free);
				ring.u8.set(frame, ring.place);
				ring.put(length);
			},
			close() {
				libc().close(fd);
				ring.close();
			},
		};
	}

	const frame = (index: number) => testFrame({ medium: "ethernet" } as PacketLink, 100 + index, index);

	async function arrived(want: number): Promise<Uint8Array[]> {
		const frames: Uint8Array[] = [];
		for (let tries = 0; frames.length < want && tries < 200; tries++) {
			for (let bytes = far!.receive(); bytes !== null; bytes = far!.receive()) if (bytes[12] === 0x88) frames.push(bytes);
			await new Promise((resolve) => setTimeout(resolve, 2));
		}
		return frames;
	}

	function takenOf(ring: PacketTxRing): number[] {
		const lengths: number[] = [];
		for (let length = ring.taken(); length >= 0; length = ring.taken()) lengths.push(length);
		return lengths;
	}

	test("sends all that is pending with one call, in order, over its end and again", async () => {
		const { ring, write, close } = open();
		for (let round = 0; round < 12; round++) {
			const sent = Array.from({ length: 50 }, (_, i) => frame(i));
			for (const bytes of sent) write(bytes);
			assert.equal(ring.pending, 50);
			assert.ok(ring.send() > 0);
			assert.deepEqual(
				takenOf(ring),
				sent.map(({ length }) => length),
			);
			assert.equal(ring.pending, 0);
			assert.deepEqual(await arrived(50), sent);
		}
		close();
	});

	test("a frame that cannot be sent stops it, is told, and lost alone", async () => {
		const { ring, write, close } = open();
		const good = Array.from({ length: 4 }, (_, i) => frame(i));
		write(good[0]!);
		write(good[1]!, 4000); // more than the interface takes
		for (const bytes of good.slice(1)) write(bytes);
		write(good[0]!, 5); // less than an Ethernet header
		assert.equal(ring.send(), -1);
		assert.deepEqual(takenOf(ring), [good[0]!.length]);
		assert.ok(ring.wrong);
		ring.skip();
		assert.equal(ring.pending, 4);
		assert.equal(ring.send(), -1);
		assert.deepEqual(
			takenOf(ring),
			good.slice(1).map(({ length }) => length),
		);
		assert.ok(ring.wrong);
		ring.skip();
		assert.equal(ring.pending, 0);
		assert.deepEqual(await arrived(4), good);
		write(good[3]!);
		assert.ok(ring.send() > 0);
		assert.deepEqual(await arrived(1), [good[3]]);
		close();
	});

	test("what is pending can be taken back", async () => {
		const { ring, write, close } = open();
		for (let i = 0; i < 3; i++) write(frame(i));
		assert.equal(ring.clear(), 3);
		assert.equal(ring.send(), 0);
		write(frame(9));
		assert.ok(ring.send() > 0);
		assert.deepEqual(await arrived(1), [frame(9)]);
		close();
	});
});

describe("a packet link that sends by a ring", { skip }, () => {
	/** A link by hand; `use` gets it with a way to send frames, as a stack does (in pieces of so many bytes where `pieces` says so), and the far end. */
	async function withLink(
		options: Partial<PacketOptions>,
		use: (session: {
			link: PacketLink;
			send: (frames: readonly Uint8Array[], pieces?: (index: number) => number | undefined) => Promise<void>;
			far: PacketSocket;
		}) => Promise<void>,
	): Promise<void> {
		const link = packetLink({ interface: "near", addresses: ["10.99.0.2/24"], ringSize: 15, txRing: true, ...options });
		const pool = new PagePool(new Arena(256 * (PAGE_SIZE + 256) + link.arenaBytes), 256);
		const batch = new Batch(pool);
		const far = new PacketSocket("far");
		link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
		link.ref();
		try {
			await use({
				link,
				far,
				async send(frames, pieces = () => undefined) {
					for (let next = 0; next < frames.length || batch.count > 0; ) {
						while (next < frames.length && batch.count + 3 <= batch.capacity) pushFrame(batch, frames[next]!, pieces(next++));
						link.transmit(batch);
						link.flush();
						if (batch.count > 0) await new Promise((resolve) => setTimeout(resolve, 5));
					}
				},
			});
			assert.equal(pool.inUse, 0, "no page is held by a slot");
		} finally {
			batch.drop(batch.count);
			link.close();
			far.close();
		}
	}

	async function indices(far: PacketSocket, want: number): Promise<number[]> {
		const all: number[] = [];
		for (let tries = 0; all.length < want && tries < 1000; tries++) {
			for (let bytes = far.receive(); bytes !== null; bytes = far.receive())
				if (bytes[12] === 0x88) all.push((bytes[18]! << 8) | bytes[19]!);
			await new Promise((resolve) => setTimeout(resolve, 2));
		}
		return all;
	}

	const frames = (count: number, length = 100) =>
		Array.from({ length: count }, (_, i) => testFrame({ medium: "ethernet" } as PacketLink, length, i));
	const order = (count: number) => Array.from({ length: count }, (_, i) => i);

	test("waits while the device has all slots, and loses nothing", { skip: skipShaped }, async () => {
		discipline("tbf", "rate", "1mbit", "burst", "2000", "limit", "1000000");
		await withLink({ qdiscBypass: false }, async ({ link, send, far }) => {
			const [all] = await Promise.all([indices(far, 800), send(frames(800))]);
			const { txStalled, txNoMemory, txRejected, txDown } = link.counters();
			assert.ok(txStalled! > 0, "there was always a slot");
			assert.deepEqual(all, order(800));
			assert.deepEqual([txNoMemory, txRejected, txDown, link.counters().txFrames], [0, 0, 0, 800]);
		});
	});

	test("loses what a queueing discipline drops, counts it, and sends the rest in order", { skip: skipShaped }, async () => {
		discipline("tbf", "rate", "1mbit", "burst", "2000", "limit", "5000");
		await withLink({ qdiscBypass: false }, async ({ link, send, far }) => {
			await send(frames(60, 1000));
			const { txFrames, txNoMemory } = link.counters();
			assert.ok(txNoMemory! > 0, "nothing was dropped");
			assert.equal(txFrames! + txNoMemory!, 60);
			const all = await indices(far, txFrames!);
			assert.deepEqual(
				all,
				all.slice().sort((a, b) => a - b),
			);
			assert.equal(all.length, txFrames);
		});
	});

	test("counts what it had while the interface was down, and goes on when it is up", async () => {
		spawnSync("tc", ["qdisc", "delete", "dev", "near", "root"]);
		await withLink({}, async ({ link, send, far }) => {
			await send(frames(2));
			ip("link", "set", "near", "down");
			await send(frames(3));
			assert.equal(link.counters().txDown, 3);
			ip("link", "set", "near", "up");
			await send(frames(2));
			assert.deepEqual(await indices(far, 4), [0, 1, 0, 1]);
			assert.equal(link.counters().txFrames, 4);
		});
	});

	test("has its ring in the arena of the pages", () => {
		const room = (txRing: boolean) => packetLink({ interface: "near", addresses: ["10.99.0.2/24"], ringSize: 15, txRing }).arenaBytes;
		assert.equal(room(true) - room(false), (1 << 20) + 65536);
	});

	test("sends short and long frames in the order in which it got them", async () => {
		await withLink({}, async ({ link, send, far }) => {
			await send(frames(200), (index) => (index % 7 === 3 || index % 50 > 40 ? 40 : undefined));
			assert.deepEqual(await indices(far, 200), order(200));
			assert.equal(link.counters().txFrames, 200);
		});
	});
});
