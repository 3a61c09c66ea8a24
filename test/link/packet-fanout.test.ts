/** Several sockets of packet links on one interface: which frame comes by which, none lost, none twice. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, describe, test } from "node:test";
import { MillraceError } from "../../src/errors.ts";
import { type PacketLink, type PacketOptions, packetAvailable, packetLink } from "../../src/link/packet.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { set16, set32 } from "../../src/wire/bytes.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { lacksIp, vethPair } from "../helpers/veth.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) {
	vethPair("near0", "far0");
	vethPair("near1", "far1");
}

const OWN = "10.99.0.2";
const FROM = "10.99.0.77";
const PORT = 80;
const FLOWS = 64;

const opened: PacketLink[] = [];
after(() => {
	for (const link of opened) link.close();
});

/** An open link of 256 pages, without room for its rings beside them, and the frames that it gives. */
function station(options: Partial<PacketOptions>) {
	const pool = new PagePool(new Arena(1 << 20), 256);
	const batch = new Batch(pool);
	const link = packetLink({ interface: "near0", addresses: [`${OWN}/24`], mac: "02:00:00:00:00:01", ringSize: 15, ...options });
	opened.push(link);
	link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
	return {
		link,
		pool,
		/** Port and number of each frame that has come, in order. */
		take(): { port: number; number: number }[] {
			const frames: { port: number; number: number }[] = [];
			while (link.receive(batch) > 0) {
				for (let i = 0; i < batch.count; i++) {
					const view = new DataView(pool.u8.buffer, batch.start[i]!, batch.length[i]!);
					frames.push({ port: view.getUint16(34), number: view.getInt32(54) });
				}
				batch.drop(batch.count);
			}
			assert.equal(pool.inUse, 0);
			return frames;
		},
		figures: () => link.queueFigures().map(({ rxFrames }) => rxFrames),
	};
}

/** A frame of TCP from a port, with a number. */
function frame(port: number, number: number): Uint8Array {
	const bytes = new Uint8Array(60);
	bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 99, 0, 77, 10, 99, 0, 2]);
	set16(bytes, 34, port);
	set16(bytes, 36, PORT);
	bytes[46] = 0x50;
	set32(bytes, 54, number);
	return bytes;
}

/** What is sent over veth is there when the call returns, or soon after; blocks are seen after a millisecond. Waits until it is, or for seconds. */
async function until(there: () => boolean): Promise<void> {
	for (let tries = 0; tries < 2000 && !there(); tries++) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Sends some frames of each flow, flow after flow; the frames that came, and by how much each socket's count grew with each flow. */
async function flows(sockets: readonly ReturnType<typeof station>[], each = 5) {
	const peer = new PacketSocket("far0");
	const came: { port: number; number: number }[] = [];
	const grown: number[][] = [];
	const figures = () => sockets.flatMap((socket) => socket.figures());
	for (let flow = 0; flow < FLOWS; flow++) {
		const before = figures();
		for (let i = 0; i < 5; i++) peer.send(frame(1000 + flow, flow * 5 + i));
		const count = came.length + each;
		await until(() => {
			for (const socket of sockets) came.push(...socket.take());
			return came.length >= count;
		});
		grown.push(figures().map((count, i) => count - before[i]!));
	}
	peer.close();
	return { came, grown };
}

const all = Array.from({ length: FLOWS * 5 }, (_, i) => ({ port: 1000 + Math.floor(i / 5), number: i }));

describe("fanout of a packet link", { skip }, () => {
	for (const ring of ["v2", "v3"] as const) {
		for (const mode of ["hash", "ebpf"] as const) {
			test(`${mode}, ring ${ring}: each flow comes by one socket, in order, nothing lost nor doubled`, async () => {
				const one = station({ ring, fanout: { mode, queues: 4 } });
				const { came, grown } = await flows([one]);
				assert.deepEqual(came, all);
				const sockets = grown.map((counts) => counts.flatMap((count, i) => (count > 0 ? [i] : [])));
				for (const [flow, list] of sockets.entries()) assert.equal(list.length, 1, `flow ${flow} came by sockets ${list}`);
				assert.ok(new Set(sockets.flat()).size > 1, "all flows came by one socket");
				if (mode === "ebpf") {
					const { link } = one;
					assert.deepEqual(
						sockets.flat(),
						Array.from({ length: FLOWS }, (_, flow) => link.reta[link.flowGroup(OWN, PORT, FROM, 1000 + flow)]),
					);
				}
				assert.equal(one.link.counters().rxDropped, 0);
				one.link.close();
			});
		}
	}

	for (const mode of ["cpu", "queue"] as const) {
		test(`${mode}: nothing is lost nor doubled`, async () => {
			const one = station({ fanout: { mode, queues: 2 } });
			const { came } = await flows([one]);
			// In any order: a sender that moves to another processor between two frames has them come by two sockets, which are read in turn.
			assert.deepEqual(
				came.sort((a, b) => a.number - b.number),
				all,
			);
			one.link.close();
		});
	}

	test("frames of many flows at once come whole, each flow in order", async () => {
		// The kernel's hash, whose seed is the boot's, may give any of the sockets all of them.
		const one = station({ fanout: { queues: 3 }, ringSize: all.length });
		const peer = new PacketSocket("far0");
		for (let i = 0; i < 5; i++) for (let flow = 0; flow < FLOWS; flow++) peer.send(frame(1000 + flow, flow * 5 + i));
		const came: { port: number; number: number }[] = [];
		await until(() => came.push(...one.take()) >= all.length);
		for (let flow = 0; flow < FLOWS; flow++) {
			assert.deepEqual(
				came.filter(({ port }) => port === 1000 + flow),
				all.slice(flow * 5, flow * 5 + 5),
			);
		}
		assert.equal(came.length, all.length);
		peer.close();
		one.link.close();
	});

	test("a flow group that is moved comes by another socket", async () => {
		const { link, ...one } = station({ fanout: { mode: "ebpf", queues: 2 } });
		for (let group = 0; group < link.reta.length; group++) link.setReta(group, 1);
		assert.deepEqual((await flows([{ link, ...one }])).came, all);
		assert.deepEqual(one.figures(), [0, all.length]);
		assert.throws(() => link.setReta(128, 0), /bad flow group: 128/);
		assert.throws(() => link.setReta(0, 2), /bad member: 2/);
		link.close();
		assert.deepEqual(link.reta, []);
		assert.throws(() => link.setReta(0, 0), MillraceError);
	});

	for (const mode of ["hash", "ebpf"] as const) {
		test(`${mode}: two links share an interface; when one is closed, the other has everything`, async () => {
			const fanout = { group: 77, mode, ...(mode === "ebpf" ? { members: 3 } : {}) };
			const first = station({ fanout: { ...fanout, queues: 2 } });
			const second = station({ fanout: { ...fanout, queues: 1 } });
			assert.deepEqual([first.link.fanoutGroup, second.link.fanoutGroup], [77, 77]);
			const both = await flows([first, second]);
			assert.deepEqual(both.came, all);
			assert.ok(both.grown.every((counts) => counts.filter((count) => count > 0).length === 1));
			assert.ok(first.figures().some((count) => count > 0) && second.figures()[0]! > 0);
			second.link.close();
			assert.deepEqual((await flows([first])).came, all);
			first.link.close();
		});
	}

	test("of two links in a group each can move flow groups, also the one that was opened first", async () => {
		const fanout = { group: 78, mode: "ebpf", members: 2 } as const;
		const [first, second] = [station({ fanout }), station({ fanout })];
		for (const [{ link }, member] of [
			[first, 1],
			[second, 0],
			[first, 0],
			[first, 1],
		] as const) {
			const before = [first, second].map((one) => one.figures()[0]!);
			for (const group of link.reta.keys()) link.setReta(group, member);
			assert.deepEqual((await flows([first, second])).came, all);
			const grown = [first, second].map((one, i) => one.figures()[0]! - before[i]!);
			assert.deepEqual(grown, member === 0 ? [all.length, 0] : [0, all.length]);
		}
		for (const { link } of [first, second]) link.close();
	});

	test("what goes out by the interface does not come back by a group", async () => {
		const one = station({ fanout: { queues: 2 } });
		const [near, far] = [new PacketSocket("near0"), new PacketSocket("far0")];
		for (let i = 0; i < 10; i++) near.send(frame(1000 + i, i));
		far.send(frame(1010, 10));
		const came: { port: number; number: number }[] = [];
		await until(() => came.push(...one.take()) > 0);
		assert.deepEqual(came, [{ port: 1010, number: 10 }]);
		for (const end of [near, far, one.link]) end.close();
	});

	test("a group without a number is nobody else's", async () => {
		const [one, other] = [station({ fanout: { queues: 2 } }), station({ fanout: { queues: 2 }, addresses: ["10.99.0.7/24"] })];
		assert.notEqual(one.link.fanoutGroup, other.link.fanoutGroup);
		const { grown } = await flows([one, other], 10);
		for (const [a, b, c, d] of grown as [number, number, number, number][]) assert.deepEqual([a + b, c + d], [5, 5]);
		for (const { link } of [one, other]) link.close();
		assert.equal(one.link.fanoutGroup, -1);
	});

	test("a group of another mode, or on another interface, is refused, and nothing stays open", () => {
		const one = station({ fanout: { group: 5 } });
		const refused = { code: "EINVAL", message: /^millrace: cannot join fanout group 5: .*another mode, or on another interface/ };
		assert.throws(() => station({ fanout: { group: 5, mode: "ebpf" } }), refused);
		assert.throws(() => station({ fanout: { group: 5 }, interface: "near1" }), refused);
		one.link.close();
		station({ fanout: { group: 5, mode: "ebpf" } }).link.close();
	});
});

test("frames for which the ring has no room are counted", { skip }, async () => {
	const one = station({});
	const peer = new PacketSocket("far0");
	for (let i = 0; i < 40; i++) peer.send(frame(1000, i));
	// The ring has 15 slots, and a slot takes one frame.
	await until(() => one.link.counters().rxDropped! >= 25);
	const came = one.take();
	assert.ok(came.length < 40);
	assert.equal(one.link.counters().rxDropped, 40 - came.length);
	assert.equal(one.link.counters().rxDropped, 40 - came.length, "also when asked twice");
	one.link.close();
	assert.equal(one.link.counters().rxDropped, 40 - came.length, "and when it is closed");
	peer.close();
});

test("however many frames are dropped, no more are looked at at once than a batch takes", { skip }, async () => {
	const { link, pool } = station({ ringSize: 60 });
	const peer = new PacketSocket("far0");
	const tagged = new Uint8Array(64);
	tagged.set(frame(1000, 0).subarray(0, 12));
	tagged.set([0x81, 0, 0, 5], 12);
	tagged.set(frame(1000, 0).subarray(12), 16);
	for (let i = 0; i < 10; i++) peer.send(tagged);
	peer.send(frame(1000, 1));
	const small = new Batch(pool, 4);
	let last = 0;
	await until(() => {
		const got = link.receive(small);
		const { rxTagged } = link.counters();
		assert.ok(rxTagged! - last <= 4, `${rxTagged! - last} at once`);
		last = rxTagged!;
		return got > 0;
	});
	assert.equal(last, 10);
	small.drop(small.count);
	link.close();
	peer.close();
});

test("an address has one link of this machine, unless they share it as a group; and is free when that is closed", { skip }, () => {
	const taken = { code: "EADDRINUSE", message: /another program of this machine has 10\.99\.0\.2 on interface "near0"/ };
	const one = station({});
	assert.throws(() => station({}), taken);
	assert.throws(() => station({ fanout: { queues: 2 } }), taken);
	station({ interface: "near1" }).link.close();
	station({ addresses: ["10.99.0.7/24"] }).link.close();
	assert.throws(() => station({ addresses: ["10.99.0.7/24", "10.99.0.2/24"] }), taken);
	station({ addresses: ["10.99.0.7/24"] }).link.close();
	one.link.close();
	station({}).link.close();
});

test("the interface's hardware address is refused while the kernel forwards, with what to do", { skip }, () => {
	const forwarding = "/proc/sys/net/ipv4/conf/near0/forwarding";
	writeFileSync(forwarding, "1");
	assert.throws(() => station({ mac: "interface" }), {
		code: "MILLRACE_LINK",
		message: /forwards packets that come by interface "near0".* sysctl net\.ipv4\.conf\.near0\.forwarding=0/,
	});
	station({}).link.close();
	writeFileSync(forwarding, "0");
	station({ mac: "interface" }).link.close();
});

test("options that are not valid are refused by name", { skip }, () => {
	const refused = (options: object, message: RegExp) =>
		assert.throws(() => packetLink({ interface: "near0", addresses: [`${OWN}/24`], ...options }), { code: "MILLRACE_BAD_OPTION", message });
	refused({ rings: "v3" }, /no option "rings"/);
	refused({ addresses: undefined }, /needs an address of its own/);
	refused({ ring: "v1" }, /bad ring: v1/);
	refused({ ringSize: 0 }, /bad ringSize: 0/);
	refused({ fanout: { sockets: 2 } }, /fanout has no option "sockets"/);
	refused({ fanout: { mode: "random" } }, /bad fanout mode: random. Give one of hash, ebpf, cpu, queue/);
	refused({ fanout: { group: 65536 } }, /bad fanout group: 65536/);
	refused({ fanout: { queues: 0 } }, /bad fanout queues: 0/);
	refused({ fanout: { mode: "ebpf", queues: 3, members: 2 } }, /bad fanout members: 2/);
	refused({ fanout: { mode: "ebpf", members: 129 } }, /bad fanout members: 129. Give a whole number from 1 to 128/);
	refused({ fanout: { members: 2 } }, /members of fanout goes with mode "ebpf" only/);
});
