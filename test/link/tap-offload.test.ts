/**
 * The TAP link with offloads: the kernel's own TCP and UDP send and take frames longer than a packet and without checksums.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import { PAGE_SIZE } from "../../src/memory/pages.ts";
import { set16 } from "../../src/wire/bytes.ts";
import { checksum, fold, pseudoHeader4 } from "../../src/wire/checksum.ts";
import { isolate } from "../helpers/namespace.ts";
import { encode, type Segment } from "../helpers/segment.ts";
import { closeAll, isEcho, isIpv4, kernelSends, PAGES, ping, STACK, station } from "../helpers/tap-station.ts";

const lack = isolate();

afterEach(closeAll);

const STACK_WORD = 0x0a4d0002;
const KERNEL_WORD = 0x0a4d0001;
/** Pages that an open link with offload holds. */
const HELD = 33;
const MSS = 1460;
/** Bulk enough to be seen as such. */
const BULK = 4 << 20;

/** Bytes that differ with their place, at most 65536 at a time. */
const PATTERN = Uint8Array.from({ length: 2 * 65536 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const pattern = (from: number, length: number) => PATTERN.subarray(from & 65535, (from & 65535) + length);

/** Offsets at which a frame of `length` bytes is cut so that each piece fits a page. */
const cuts = (length: number) => Array.from({ length: Math.floor((length - 1) / 1500) }, (_, i) => (i + 1) * 1500);

function ethernet(kernel: Uint8Array, packet: Uint8Array): Uint8Array {
	const frame = new Uint8Array(14 + packet.length);
	frame.set([...kernel, 2, 0, 0, 0, 0, 2, 8, 0]);
	frame.set(packet, 14);
	return frame;
}

/** A segment from the stack's side, its checksum left to the link. */
function unsummed(kernel: Uint8Array, segment: Partial<Segment>): Uint8Array {
	const blank = {
		src: STACK_WORD,
		dst: KERNEL_WORD,
		urgent: 0,
		ttl: 64,
		options: {},
		payload: new Uint8Array(0),
		window: 65535,
		seq: 0,
		ack: 0,
	};
	const packet = encode({ ...blank, srcPort: 80, dstPort: 0, flags: ".", ...segment });
	set16(packet, 36, fold(pseudoHeader4(STACK_WORD, KERNEL_WORD, 6, packet.length - 20)));
	return ethernet(kernel, packet);
}

function datagram(kernel: Uint8Array, port: number, payload: Uint8Array): Uint8Array {
	const packet = new Uint8Array(28 + payload.length);
	const length = 8 + payload.length;
	packet.set([0x45, 0, packet.length >> 8, packet.length & 255, 0, 0, 0x40, 0, 64, 17, 0, 0, ...STACK, 10, 77, 0, 1]);
	set16(packet, 10, checksum(packet, 0, 20, 0));
	packet.set([0, 53, port >> 8, port & 255, length >> 8, length & 255], 20);
	set16(packet, 26, fold(pseudoHeader4(STACK_WORD, KERNEL_WORD, 17, length)));
	packet.set(payload, 28);
	return ethernet(kernel, packet);
}

/** What the kernel's TCP sent, taken apart; its checksum is not there to be checked. */
function parse(frame: Uint8Array) {
	const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
	const header = (view.getUint8(46) >> 4) * 4;
	return {
		port: view.getUint16(34),
		seq: view.getUint32(38),
		ack: view.getUint32(42),
		flags: view.getUint8(47),
		payload: frame.subarray(34 + header),
	};
}

const isSyn = (frame: Uint8Array) => isIpv4(6)(frame) && parse(frame).flags === 2;

/** Of one connection: those of earlier tests may still be at their last words. */
const isOf = (port: number) => (frame: Uint8Array) => isIpv4(6)(frame) && parse(frame).port === port;

/** A connection of the kernel's TCP to the station, established. @param known The kernel's hardware address, if it knows ours. */
async function established(t: TestContext, s: ReturnType<typeof station>, known?: Uint8Array) {
	const socket = connect(80, "10.77.0.2").on("error", () => {});
	t.after(() => socket.destroy());
	const kernel = known ?? (await s.resolve());
	const syn = parse(await s.frame(isSyn));
	s.add(unsummed(kernel, { dstPort: syn.port, ack: syn.seq + 1, flags: "S.", options: { mss: MSS, wscale: 8 } }), {
		flags: FRAME_PARTIAL_CHECKSUM,
	});
	s.transmit();
	await once(socket, "connect");
	await s.frame(isOf(syn.port));
	return { socket, kernel, port: syn.port, seq: syn.seq + 1, taken: 0 };
}

/** Takes `bytes` of the kernel's bulk data, checks and acknowledges them; returns the payload of the longest frame. */
async function receiveBulk(s: ReturnType<typeof station>, c: Awaited<ReturnType<typeof established>>, bytes: number): Promise<number> {
	const end = c.taken + bytes;
	let longest = 0;
	while (c.taken < end) {
		const { bytes: frame, flags, segment, entries } = await s.arrival(isOf(c.port));
		const { seq: at, payload } = parse(frame);
		// Where this machine is slow, the kernel sends some of it again.
		const known = c.taken - ((at - c.seq) >>> 0);
		assert.ok(known >= 0);
		const fresh = payload.subarray(known);
		assert.ok(Buffer.from(fresh).equals(pattern(c.taken, fresh.length)));
		assert.equal(flags & (FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM), FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM);
		assert.equal(segment, payload.length > MSS ? MSS : 0);
		assert.equal(entries, frame.length <= PAGE_SIZE - 62 ? 1 : 1 + Math.ceil((frame.length - (PAGE_SIZE - 62)) / PAGE_SIZE));
		c.taken += fresh.length;
		longest = Math.max(longest, payload.length);
		s.add(unsummed(c.kernel, { dstPort: c.port, seq: 1, ack: (c.seq + c.taken) >>> 0 }), { flags: FRAME_PARTIAL_CHECKSUM });
		s.transmit();
	}
	return longest;
}

/** The kernel sends so much that long frames are asked for, and all of it is taken. */
async function bulk(s: ReturnType<typeof station>, c: Awaited<ReturnType<typeof established>>, bytes: number): Promise<number> {
	for (let done = 0; done < bytes; done += 65536) c.socket.write(pattern(c.taken + done, 65536));
	return receiveBulk(s, c, bytes);
}

describe("TAP link with offload", { skip: lack, concurrency: false }, () => {
	test("a packet without a checksum is completed by the link, and one with it left alone", async (t) => {
		const s = station({ offload: true });
		const socket = createSocket("udp4").bind(5353, "10.77.0.1");
		t.after(() => socket.close());
		await once(socket, "listening");
		kernelSends("hello");
		const kernel = await s.resolve();
		s.add(datagram(kernel, 5353, pattern(0, 700)), { flags: FRAME_PARTIAL_CHECKSUM });
		s.add(ping(kernel, 7, 100));
		assert.equal(s.transmit(), 2);
		const [payload] = await once(socket, "message");
		assert.deepEqual(new Uint8Array(payload), pattern(0, 700));
		await s.frame(isEcho(7));
		s.link.close();
		assert.equal(s.pool.inUse, 0);
	});

	test("bulk data of the kernel's TCP comes in frames of many segments, that need no check, once it is seen to be bulk", async (t) => {
		const s = station({ offload: true });
		const c = await established(t, s);
		assert.equal(s.pool.inUse, 0, "nothing is held for long frames before there is bulk");
		// How long is up to the kernel's pacing: at least half of what a frame per segment would be is saved even on a slow machine.
		const longest = await bulk(s, c, BULK);
		assert.ok(longest >= 2 * MSS, `longest: ${longest}`);
		const { rxFrames, rxLongOn, rxLongOff } = s.link.counters();
		assert.ok(rxFrames! < BULK / MSS / 2, `${rxFrames} frames`);
		assert.deepEqual([rxLongOn, rxLongOff], [1, 0]);
		while (s.link.receive(s.batch) > 0) s.batch.drop(s.batch.count);
		assert.equal(s.pool.inUse, HELD);
		s.link.close();
		assert.equal(s.pool.inUse, 0);
	});

	test("the pages of a long frame lie in the order of memory, in whatever order they were free; without pageOrder in the pool's order", async (t) => {
		for (const pageOrder of [true, false]) {
			const s = station({ offload: true, pageOrder });
			// Freed with the odd ones first, so that the next ones to be had are the even ones, from the top down.
			const pages = Array.from({ length: PAGES }, () => s.pool.alloc());
			for (const odd of [1, 0]) for (const page of pages) if ((page & 1) === odd) s.pool.release(page);
			const c = await established(t, s);
			const runs: number[][] = [];
			const arrival = s.arrival;
			s.arrival = async (fits) => {
				const arrived = await arrival(fits);
				if (arrived.entries > 2) runs.push(arrived.pages);
				return arrived;
			};
			await bulk(s, c, BULK);
			assert.ok(runs.length > 0, "there were long frames");
			const ordered = runs.filter((run) => run.every((page, i) => i === 0 || page > run[i - 1]!)).length;
			if (pageOrder) assert.equal(ordered, runs.length);
			else assert.ok(ordered < runs.length, `${ordered} of ${runs.length}`);
			s.link.close();
		}
	});

	test("long frames are turned off when they do not come any more, none is cut, and they come back with the next bulk", async (t) => {
		const s = station({ offload: true });
		const c = await established(t, s);
		for (let round = 1; round <= 2; round++) {
			const { rxLongOff } = s.link.counters();
			await bulk(s, c, BULK);
			// Where this machine is slow the kernel sends some of it in short frames, and they are turned off and on within it.
			const { rxLongOn } = s.link.counters();
			assert.ok(rxLongOn! > rxLongOff!);
			for (let i = 0; s.link.counters().rxLongOff !== rxLongOn; i++) {
				s.send(ping(c.kernel, i & 255, 8));
				await s.frame(isEcho(i & 255));
				assert.ok(i < 2000);
			}
			await sleep(1);
			while (s.link.receive(s.batch) > 0) s.batch.drop(s.batch.count);
			assert.equal(s.pool.inUse, 0, "nothing is held once the queue was empty");
		}
		assert.equal(s.link.counters().rxTruncated, 0);
		s.link.close();
	});

	test("long frames that are queued when they are turned off still come whole", async (t) => {
		const s = station({ offload: true });
		const c = await established(t, s);
		await bulk(s, c, BULK);
		for (let i = 0; s.link.counters().rxLongOff === 0; ) {
			c.socket.write(pattern(c.taken, MSS * 3));
			for (let k = 0; k < 128; k++) {
				s.add(ping(c.kernel, i++ & 255, 8));
				if (s.batch.count === 32) s.transmit();
			}
			await receiveBulk(s, c, MSS * 3);
			assert.ok(i < 4000);
		}
		await receiveBulk(s, c, 0);
		assert.equal(s.link.counters().rxTruncated, 0);
		s.link.close();
	});

	test("short frames that were queued before long ones were asked for say nothing about those that will come", async (t) => {
		const s = station({ offload: true });
		const connections = [await established(t, s)];
		while (connections.length < 90) connections.push(await established(t, s, connections[0]!.kernel));
		// As much as a kernel sends without an answer (RFC 6928), so that it is all there at once.
		for (const c of connections) c.socket.write(pattern(0, 10 * MSS));
		let full = 0;
		for (s.link.look(); full < 900; s.link.look()) {
			await sleep(0);
			s.link.receive(s.batch);
			for (let i = 0; i < s.batch.count; i++) if (s.batch.length[i]! > MSS) full++;
			s.batch.drop(s.batch.count);
		}
		const { rxLongOn, rxLongOff } = s.link.counters();
		assert.deepEqual([rxLongOn, rxLongOff], [1, 0]);
		s.link.close();
	});

	test("after long frames were turned off, short ones are read as such when no long one can be queued any more, though the queue was never empty", async (t) => {
		const QUEUE = 256;
		// The main one and the express lane.
		const QUEUES = 2;
		const s = station({ offload: true, queueLength: QUEUE });
		const c = await established(t, s);
		await bulk(s, c, BULK);
		while (s.link.receive(s.batch) > 0) s.batch.drop(s.batch.count);
		assert.equal(s.pool.inUse, HELD);
		const batch = new Batch(s.pool, 32);
		const pings = (count: number) => {
			while (s.batch.count < count) s.add(ping(c.kernel, 1, 8));
			s.transmit();
		};
		pings(48);
		s.link.look();
		let after = 0;
		while (s.pool.inUse > 0) {
			pings(32);
			s.link.receive(batch);
			assert.equal(batch.count, 32, "more wait");
			batch.drop(batch.count);
			if (s.link.counters().rxLongOff === 1) after += 32;
			assert.ok(after <= 2 * QUEUES * QUEUE, "they are read the long way for ever");
		}
		assert.ok(after >= QUEUE);
		s.link.close();
	});

	test("a link opened for plain frames gives whole ones with their checksums, and has no offload", async (t) => {
		const s = station({ offload: true }, undefined, true);
		assert.equal(s.link.offload, undefined);
		const socket = connect(80, "10.77.0.2").on("error", () => {});
		t.after(() => socket.destroy());
		const kernel = await s.resolve();
		const { bytes, flags } = await s.arrival(isSyn);
		assert.equal(flags, 0);
		assert.equal(checksum(bytes, 34, bytes.length - 34, pseudoHeader4(KERNEL_WORD, STACK_WORD, 6, bytes.length - 34)), 0);
		s.send(ping(kernel, 3, 1472));
		await s.frame(isEcho(3));
		s.link.close();
		const open = station({ offload: true });
		assert.deepEqual(open.link.offload, { checksum: true, segmentation: 65455, longPieces: true });
		open.link.close();
		assert.equal(open.link.offload, undefined);
		assert.equal(station().link.offload, undefined);
	});

	test("a frame of many segments is cut by the kernel, and its TCP takes all of it", async (t) => {
		const s = station({ offload: true });
		const { socket, kernel, port, seq } = await established(t, s);
		const data = pattern(5, 40_000);
		const frame = unsummed(kernel, { dstPort: port, seq: 1, ack: seq, flags: "P.", payload: data });
		s.add(frame, { flags: FRAME_PARTIAL_CHECKSUM, segment: MSS, cuts: cuts(frame.length) });
		const entries = s.batch.count;
		assert.equal(s.transmit(), entries);
		const received: Uint8Array[] = [];
		socket.on("data", (chunk) => received.push(chunk));
		for (let acked = 1; acked !== 1 + data.length; ) acked = parse(await s.frame(isOf(port))).ack;
		while (received.reduce((sum, { length }) => sum + length, 0) < data.length) await sleep(1);
		assert.deepEqual(new Uint8Array(Buffer.concat(received)), data);
		s.link.close();
	});

	test("a UDP frame of many segments becomes as many datagrams", async (t) => {
		const s = station({ offload: true });
		const socket = createSocket("udp4").bind(5353, "10.77.0.1");
		t.after(() => socket.close());
		await once(socket, "listening");
		kernelSends("hello");
		const kernel = await s.resolve();
		const sizes: number[] = [];
		socket.on("message", ({ length }) => sizes.push(length));
		const frame = datagram(kernel, 5353, pattern(0, 2500));
		s.add(frame, { flags: FRAME_PARTIAL_CHECKSUM, segment: 1000, cuts: cuts(frame.length) });
		s.transmit();
		while (sizes.length < 3) await sleep(1);
		assert.deepEqual(sizes, [1000, 1000, 500]);
		s.link.close();
	});

	test("a frame longer than the batch's room waits for the next batch, one longer than the batch is lost and counted", async (t) => {
		const s = station({ offload: true });
		const c = await established(t, s);
		await bulk(s, c, BULK);
		const { socket, kernel, port } = c;
		const seq = c.seq + c.taken;
		socket.write(pattern(0, 10 * MSS));
		const tight = new Batch(s.pool);
		const roomy = new Batch(s.pool);
		for (let waited = false; !waited; ) {
			for (let i = 0; i < 62; i++) tight.push(0, 0, 0);
			const got = s.link.receive(tight);
			assert.ok(got <= 2);
			s.link.receive(roomy);
			waited = (roomy.flags[0]! & roomy.flags[1]! & FRAME_MORE) !== 0; // a run of three or more came first
			roomy.drop(roomy.count);
			tight.shift(62);
			tight.drop(tight.count);
			if (got === 0) await sleep(1);
		}
		s.add(unsummed(kernel, { dstPort: port, seq: 1, ack: (seq + 10 * MSS) >>> 0 }), { flags: FRAME_PARTIAL_CHECKSUM });
		s.transmit();
		socket.write(pattern(0, 10 * MSS));
		const small = new Batch(s.pool, 3);
		while (s.link.counters().rxTooLong === 0) {
			s.link.receive(small);
			small.drop(small.count);
			await sleep(1);
		}
		assert.equal(s.pool.inUse, HELD);
		s.link.close();
		assert.equal(s.pool.inUse, 0);
	});

	test("orders that cannot be carried out are counted and the frame lost: segments without a checksum to fill in, no transport header", async () => {
		const s = station({ offload: true });
		kernelSends("hello");
		const kernel = await s.resolve();
		s.add(ping(kernel, 1, 8), { segment: 1000 });
		s.add(ping(kernel, 2, 8), { flags: FRAME_PARTIAL_CHECKSUM });
		s.add(Uint8Array.of(1, 2, 3), { flags: FRAME_PARTIAL_CHECKSUM | FRAME_MORE });
		assert.equal(s.transmit(), 3);
		assert.equal(s.link.counters().txRejected, 3);
		s.link.close();
	});

	test("without pages for the longest frame the link waits for a while, then does with short ones, and holds none after close", async (t) => {
		const s = station({ offload: true });
		const c = await established(t, s);
		await bulk(s, c, BULK);
		const echoed = async (sequence: number) => {
			s.send(ping(c.kernel, sequence, 8));
			await s.frame(isEcho(sequence));
		};
		await echoed(1);
		// A frame of many pages in the batch, and then not enough for another.
		c.socket.write(pattern(c.taken, 20 * MSS));
		const got = new Batch(s.pool);
		while ((got.flags[0]! & FRAME_MORE) === 0) {
			got.drop(got.count);
			if (s.link.receive(got) === 0) await sleep(1);
		}
		s.add(ping(c.kernel, 255, 8));
		const taken: number[] = [];
		while (s.pool.free > 0) taken.push(s.pool.alloc());
		s.transmit();
		taken.push(s.pool.alloc());
		const before = s.link.counters().rxNoPage!;
		while (s.link.counters().rxLongOff === 0) {
			s.link.receive(s.batch); // what the slots still take
			await sleep(1);
		}
		s.batch.drop(s.batch.count);
		assert.ok(s.link.counters().rxNoPage! > before);
		await echoed(2);
		got.drop(got.count);
		for (const page of taken) s.pool.release(page);
		await echoed(3);
		assert.equal(s.pool.inUse, 0);
		s.link.close();
	});
});
