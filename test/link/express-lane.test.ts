/** The express lane: its program run by the kernel on single frames; and a device, where what is new comes before what is queued. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createHost } from "../../src/index.ts";
import { ExpressLane, LANE_QUEUE, MAIN_QUEUE } from "../../src/link/express-lane.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { testRun } from "../../src/sys/bpf/bpf.ts";
import { isolate } from "../helpers/namespace.ts";
import { closeAll, isIpv4, station } from "../helpers/tap-station.ts";

const skip = isolate();

afterEach(closeAll);

const ADDRESS = "10.77.0.2";
const FIN = 1;
const SYN = 2;
const RST = 4;
const PUSH = 8;
const ACK = 16;
const TCP = 6;
const UDP = 17;
/** Bytes of a full frame's payload, and how many such frames are sparse, in no time. */
const FULL = 1448;
const SPARSE = 10;

interface Packet {
	port?: number;
	flags?: number;
	bytes?: number;
	protocol?: number;
	/** Words of IP options, and of TCP options. */
	options?: number;
	tcpOptions?: number;
	fragment?: number;
	/** Bytes behind the packet that are not its own: short frames are filled up. */
	padding?: number;
}

function frameOf({
	port = 40_000,
	flags = ACK,
	bytes = 0,
	protocol = TCP,
	options = 0,
	tcpOptions = 3,
	fragment = 0x4000,
	padding = 0,
}: Packet) {
	const length = 20 + 4 * options + 20 + 4 * tcpOptions + bytes;
	const frame = new Uint8Array(14 + length + padding);
	const view = new DataView(frame.buffer);
	frame.set([2, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 9, 8, 0, 0x45 + options]);
	view.setUint16(16, length);
	view.setUint16(20, fragment);
	frame.set([64, protocol, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2], 22);
	const tcp = 34 + 4 * options;
	view.setUint16(tcp, port);
	view.setUint16(tcp + 2, 8080);
	frame[tcp + 12] = (5 + tcpOptions) << 4;
	frame[tcp + 13] = flags;
	return frame;
}

describe("express lane", { skip, concurrency: false }, () => {
	const queueOf = (lane: ExpressLane, packet: Packet): number => testRun(lane.program, frameOf(packet));
	/** Sends full frames until the flow is none of the sparse ones; how many went by the lane. */
	const bulk = (lane: ExpressLane, port: number): number => {
		let frames = 0;
		while (queueOf(lane, { port, flags: ACK | PUSH, bytes: FULL }) === LANE_QUEUE) assert.ok(++frames < 100_000, "the flow stays sparse");
		assert.equal(queueOf(lane, { port, bytes: 1 }), MAIN_QUEUE);
		return frames;
	};

	test("a flow's first bytes go by the lane, what follows by the main queue, until a SYN begins a new one", (t) => {
		const lane = new ExpressLane();
		t.after(() => lane.close());
		assert.equal(queueOf(lane, { flags: SYN }), LANE_QUEUE);
		assert.ok(bulk(lane, 40_000) >= SPARSE);
		for (let i = 0; i < SPARSE; i++) assert.equal(queueOf(lane, { bytes: FULL }), MAIN_QUEUE);
		assert.equal(queueOf(lane, { port: 40_001, bytes: FULL }), LANE_QUEUE, "another flow");
		for (const flags of [ACK | FIN, ACK | RST, RST]) assert.equal(queueOf(lane, { flags }), MAIN_QUEUE, "not before what was sent before");
		assert.equal(queueOf(lane, { flags: SYN }), LANE_QUEUE);
		assert.equal(queueOf(lane, { bytes: FULL }), LANE_QUEUE);
	});

	test("a flow of requests goes by the lane however long it lasts", async (t) => {
		const lane = new ExpressLane();
		t.after(() => lane.close());
		// 300 times 130 bytes, at no more than 130 KB/s.
		for (let i = 0; i < 300; i++) {
			assert.equal(queueOf(lane, { port: 50_003, flags: ACK | PUSH, bytes: 64 }), LANE_QUEUE, `request ${i}`);
			await sleep(1);
		}
	});

	test("an ACK alone goes by the lane always, with whatever options, filled up or not", (t) => {
		const lane = new ExpressLane();
		t.after(() => lane.close());
		bulk(lane, 50_000);
		for (const options of [0, 1, 10])
			for (const tcpOptions of [0, 3, 10])
				for (const padding of [0, 6]) {
					assert.equal(queueOf(lane, { port: 50_000, options, tcpOptions, padding }), LANE_QUEUE);
					assert.equal(queueOf(lane, { port: 50_000, options, tcpOptions, padding, bytes: 1 }), MAIN_QUEUE);
				}
		// ACKs alone do not count: a flow that only hears has its first bytes for what it says.
		for (let i = 0; i < 1000; i++) queueOf(lane, { port: 50_001 });
		assert.equal(queueOf(lane, { port: 50_001, bytes: FULL }), LANE_QUEUE);
	});

	test("a flow that was quiet for a while is new", async (t) => {
		const lane = new ExpressLane();
		t.after(() => lane.close());
		bulk(lane, 50_002);
		await sleep(250);
		assert.equal(queueOf(lane, { port: 50_002, bytes: FULL }), LANE_QUEUE);
	});

	test("what is not IP goes by the lane; fragments, other protocols and what is cut short by the main queue", (t) => {
		const lane = new ExpressLane();
		t.after(() => lane.close());
		const frame = frameOf({ flags: SYN });
		frame.set([8, 6], 12);
		assert.equal(testRun(lane.program, frame), LANE_QUEUE);
		for (const fragment of [0x2000, 0x0001]) assert.equal(queueOf(lane, { flags: SYN, fragment }), MAIN_QUEUE);
		assert.equal(queueOf(lane, { protocol: UDP }), MAIN_QUEUE);
		for (const length of [14 + 20, 14 + 20 + 13])
			assert.equal(testRun(lane.program, frameOf({ flags: SYN }).subarray(0, length)), MAIN_QUEUE, `${length} bytes`);
	});

	for (const expressLane of [true, false]) {
		test(`a SYN comes ${expressLane ? "before" : "behind"} 200 datagrams that were queued before it, ${expressLane ? "by" : "without"} the lane`, async (t) => {
			const kernel = station({ name: "lane", expressLane });
			const { link } = kernel;
			assert.equal(link.queues, 1);
			const socket = createSocket("udp4");
			t.after(() => socket.close());
			const say = (text: string) =>
				new Promise<void>((resolve, reject) => socket.send(text, 9, ADDRESS, (error) => (error ? reject(error) : resolve())));
			await say("who has it?");
			await kernel.resolve();
			await kernel.frame(isIpv4(UDP));
			for (let i = 0; i < 200; i++) await say(`datagram ${i}`);
			const client = net.connect(8080, ADDRESS);
			client.on("error", () => {});
			t.after(() => client.destroy());
			// The SYN has left when the call returns that sent it; until then nothing was read.
			const protocols: number[] = [];
			while (protocols.length < 201) protocols.push((await kernel.frame((frame) => isIpv4(TCP)(frame) || isIpv4(UDP)(frame)))[23]!);
			assert.equal(protocols.indexOf(TCP), expressLane ? 0 : 200);
			assert.equal(link.counters().rxExpress! > 0, expressLane);
			assert.deepEqual(link.queueFigures().length, 1);
		});
	}

	test("uploads on many connections, beside others that come and go, arrive byte for byte, by both queues", async (t) => {
		const { link, counts, close } = await counting({});
		t.after(close);
		const bytes = 3 << 20;
		await Promise.all(Array.from({ length: 12 }, (_, i) => upload(i === 0 ? 100 : bytes + i)));
		for (let i = 0; i < 50; i++) await upload(i);
		await counts(12 * bytes - bytes + 100 + 66 + 1225);
		const { rxExpress, rxFrames } = link.counters();
		assert.ok(rxExpress! > 62 * 3 && rxExpress! < rxFrames!, `${rxExpress} of ${rxFrames} frames`);
	});

	test("a device that is there already is attached to as it is, without a lane; with several queues there is none either", async (t) => {
		assert.equal(spawnSync("ip", ["tuntap", "add", "there", "mode", "tap"]).status, 0);
		t.after(() => spawnSync("ip", ["link", "delete", "there"]));
		for (const options of [{ name: "there", expressLane: true }, { queues: 2 }]) {
			const { link, counts, close } = await counting(options);
			await upload(1000);
			await counts(1000);
			assert.equal(link.counters().rxExpress, 0);
			assert.ok(link.counters().rxFrames! > 0);
			close();
		}
	});
});

/** A server that counts, and checks, what comes over a TAP link. */
async function counting(options: TapOptions) {
	const link = tapLink(options);
	const host = createHost({ link, addresses: [`${ADDRESS}/24`], memory: 64 << 20 });
	let bytes = 0;
	const server = host.net.createServer((socket) => {
		let at = 0;
		socket.on("data", (chunk: Buffer) => {
			for (let i = 0; i < chunk.length; i += 997) assert.equal(chunk[i], (at + i) % 251);
			at += chunk.length;
			bytes += chunk.length;
		});
		socket.on("end", () => socket.end());
	});
	server.listen(8080);
	await once(server, "listening");
	return {
		link,
		async counts(expected: number): Promise<void> {
			for (let tries = 0; bytes < expected && tries < 1000; tries++) await sleep(5);
			assert.equal(bytes, expected);
		},
		close(): void {
			server.close();
			host.close();
		},
	};
}

async function upload(bytes: number): Promise<void> {
	const socket = net.connect(8080, ADDRESS);
	socket.end(Uint8Array.from({ length: bytes }, (_, i) => i % 251));
	socket.resume();
	await once(socket, "close");
}
