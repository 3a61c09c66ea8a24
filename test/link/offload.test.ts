/** What becomes of frames that were left incomplete for the link: memory links carry or complete them, wrappers pass them on or refuse them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { captureLink } from "../../src/link/capture.ts";
import { FrameCompleter } from "../../src/link/complete.ts";
import { frameEntries } from "../../src/link/frames.ts";
import { impairLink } from "../../src/link/impair.ts";
import { type Link, SEGMENTATION_MAX } from "../../src/link/link.ts";
import { loopbackLink } from "../../src/link/loopback.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { CaptureWriter } from "../../src/link/pcapng.ts";
import { userLink } from "../../src/link/user.ts";
import { Batch, FRAME_CHECKED, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import { get16, get32, set16, set32 } from "../../src/wire/bytes.ts";
import { checksum, fold, pseudoHeader4, pseudoHeader6 } from "../../src/wire/checksum.ts";
import { makePool } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { pushFrame } from "./compliance.ts";

const OFFLOAD = { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true };
const FIN = 1;
const PSH = 8;
const ACK = 16;
const CWR = 128;

interface Kind {
	ethernet: boolean;
	version: 4 | 6;
	/** Bytes of options, a multiple of 4. */
	ipOptions: number;
	tcpOptions: number;
	flags: number;
}

const PLAINEST: Kind = { ethernet: false, version: 4, ipOptions: 0, tcpOptions: 0, flags: ACK };

const ipStart = (kind: Kind) => (kind.ethernet ? 14 : 0);
const tcpStart = (kind: Kind) => ipStart(kind) + (kind.version === 4 ? 20 + kind.ipOptions : 40);

function pseudo(frame: Uint8Array, kind: Kind, length: number): number {
	const ip = ipStart(kind);
	const word = (at: number) => get32(frame, ip + at);
	return kind.version === 4
		? pseudoHeader4(word(12), word(16), 6, length)
		: pseudoHeader6(word(8), word(12), word(16), word(20), word(24), word(28), word(32), word(36), 6, length);
}

/** A TCP frame whose checksum holds the sum of its pseudo-header. */
function incomplete(payload: Uint8Array, kind: Kind = PLAINEST): Uint8Array {
	const ip = ipStart(kind);
	const tcp = tcpStart(kind);
	const headers = tcp + 20 + kind.tcpOptions;
	const frame = new Uint8Array(headers + payload.length);
	if (kind.ethernet) frame.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ...(kind.version === 4 ? [8, 0] : [0x86, 0xdd])]);
	if (kind.version === 4) {
		frame.set([0x40 | ((tcp - ip) / 4), 0, 0, 0, 0xff, 0xfe, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2], ip);
		frame.fill(1, ip + 20, tcp);
		set16(frame, ip + 2, frame.length - ip);
		set16(frame, ip + 10, checksum(frame, ip, tcp - ip, 0));
	} else {
		frame.set([0x60, 0, 0, 0, 0, 0, 6, 64, 0xfd, ...new Uint8Array(14), 1, 0xfd, ...new Uint8Array(14), 2], ip);
		set16(frame, ip + 4, frame.length - ip - 40);
	}
	frame.set([0x12, 0x34, 0, 80], tcp);
	set32(frame, tcp + 4, -1000);
	set32(frame, tcp + 8, 77);
	frame.set([((20 + kind.tcpOptions) / 4) << 4, kind.flags, 0xff, 0xff], tcp + 12);
	frame.fill(1, tcp + 20, headers);
	set16(frame, tcp + 16, fold(pseudo(frame, kind, frame.length - tcp)));
	frame.set(payload, headers);
	return frame;
}

const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255);

/** Appends an incomplete frame in entries of at most `piece` bytes. */
function pushIncomplete(batch: Batch, frame: Uint8Array, segment: number, piece?: number): void {
	const first = batch.count;
	pushFrame(batch, frame, piece);
	for (let i = first; i < batch.count; i++) batch.flags[i]! |= FRAME_PARTIAL_CHECKSUM;
	batch.segment[first] = segment;
}

/** The frames of a batch, joined, with their marks; releases them. */
function take(batch: Batch) {
	const frames: { bytes: Uint8Array; flags: number; segment: number; entries: number }[] = [];
	for (let at = 0, entries = 0; at < batch.count; at += entries) {
		entries = frameEntries(batch, at);
		const parts = Array.from({ length: entries }, (_, i) => batch.frame(at + i));
		frames.push({
			bytes: new Uint8Array(Buffer.concat(parts)),
			flags: batch.flags[at]! & ~FRAME_MORE,
			segment: batch.segment[at]!,
			entries,
		});
	}
	batch.drop(batch.count);
	return frames;
}

function opened(link: Link, clock: VirtualClock, { plain = false, pages = 128 } = {}) {
	const pool = makePool(pages);
	link.open({ pool, runtime: clock.runtime, plain, wake() {}, failed() {} });
	return { link, pool, batch: new Batch(pool) };
}

function receive(end: { link: Link; batch: Batch }) {
	end.link.receive(end.batch);
	return take(end.batch);
}

test("a frame that stands for several segments crosses a memory link as it is, vouched for, if both ends may have it", () => {
	const clock = new VirtualClock();
	const [near, far] = memoryLinkPair();
	const a = opened(near, clock);
	const b = opened(far, clock);
	assert.deepEqual([near.offload, far.offload], [OFFLOAD, OFFLOAD]);
	const frame = incomplete(bytesOf(SEGMENTATION_MAX));
	pushIncomplete(a.batch, frame, 1460);
	pushFrame(a.batch, incomplete(bytesOf(10)));
	a.link.transmit(a.batch);
	const [run, other] = receive(b);
	assert.deepEqual(run!.bytes, frame);
	assert.deepEqual([run!.flags, run!.segment], [FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM, 1460]);
	assert.deepEqual([other!.flags, other!.segment], [0, 0], "a frame that was not left incomplete is nobody's to vouch for");
	assert.equal(a.pool.inUse + b.pool.inUse, 0);
});

test("a loop-back link carries incomplete frames, unless it is to be plain", () => {
	const clock = new VirtualClock();
	const open = opened(loopbackLink(), clock);
	assert.deepEqual(open.link.offload, OFFLOAD);
	pushIncomplete(open.batch, incomplete(bytesOf(1000)), 0);
	open.link.transmit(open.batch);
	assert.equal(receive(open)[0]!.flags, FRAME_CHECKED | FRAME_PARTIAL_CHECKSUM);
	assert.equal(opened(loopbackLink(), clock, { plain: true }).link.offload, undefined);
});

test("an end of a memory link that opens for plain frames takes the other's offload away, and gets what is left incomplete completed", () => {
	const clock = new VirtualClock();
	const [near, far] = memoryLinkPair();
	assert.equal(near.offload, undefined, "not before it is open");
	const a = opened(near, clock);
	assert.deepEqual(near.offload, OFFLOAD, "nobody there yet who minds");
	const b = opened(far, clock, { plain: true });
	assert.deepEqual([near.offload, far.offload], [undefined, undefined]);
	pushIncomplete(a.batch, incomplete(bytesOf(3000)), 1460);
	pushIncomplete(a.batch, incomplete(bytesOf(5)), 0);
	const nonsense = new Uint8Array(60).fill(0x55);
	pushIncomplete(a.batch, nonsense, 0);
	a.link.transmit(a.batch);
	const frames = receive(b);
	assert.deepEqual(
		frames.map(({ bytes }) => bytes.length),
		[1500, 1500, 120, 45],
	);
	for (const { bytes, flags } of frames) {
		assert.equal(flags, 0);
		assert.equal(checksum(bytes, 20, bytes.length - 20, pseudo(bytes, PLAINEST, bytes.length - 20)), 0);
	}
	assert.equal(near.counters().txDropIncomplete, 1);
	assert.equal(near.counters().txFrames, 4);
	assert.equal(a.pool.inUse + b.pool.inUse, 0);
});

test("completed frames that the other end has no room for are lost one by one, and counted", () => {
	const clock = new VirtualClock();
	const [near, far] = memoryLinkPair({ capacity: 64 });
	const a = opened(near, clock);
	const b = opened(far, clock, { plain: true, pages: 70 });
	pushIncomplete(a.batch, incomplete(bytesOf(65_000)), 1000);
	a.link.transmit(a.batch);
	assert.equal(near.counters().txDropFull, 1);
	b.link.receive(b.batch);
	assert.equal(b.batch.count, 64);
	pushIncomplete(a.batch, incomplete(bytesOf(10_000)), 1000);
	a.link.transmit(a.batch);
	assert.equal(near.counters().txDropNoPage, 4);
	pushIncomplete(a.batch, incomplete(bytesOf(2000)), 1990);
	a.link.transmit(a.batch);
	assert.equal(near.counters().txDropSize, 1, "segments longer than the MTU");
});

test("a capture passes offloads on, an impairment takes them away, and both say so to what they wrap", () => {
	const clock = new VirtualClock();
	const writer = () => new CaptureWriter({ sink: { write() {} } });
	const [near, far] = memoryLinkPair();
	const b = opened(far, clock);
	const captured = opened(captureLink(near, writer()), clock);
	assert.deepEqual(captured.link.offload, OFFLOAD);
	const frame = incomplete(bytesOf(20_000));
	pushIncomplete(captured.batch, frame, 1460);
	captured.link.transmit(captured.batch);
	assert.deepEqual(receive(b)[0]!.bytes, frame);

	for (const wrap of [
		(link: Link) => impairLink(link, {}),
		(link: Link) => impairLink(captureLink(link, writer()), {}),
		(link: Link) => captureLink(impairLink(link, {}), writer()),
	]) {
		const [inner, outer] = memoryLinkPair();
		const impaired = opened(wrap(inner), clock);
		assert.equal(impaired.link.offload, undefined);
		const other = opened(outer, clock);
		assert.equal(outer.offload, undefined);
		pushIncomplete(other.batch, incomplete(bytesOf(2000)), 1460);
		other.link.transmit(other.batch);
		assert.deepEqual(
			receive(impaired).map(({ bytes }) => bytes.length),
			[1500, 580],
		);
	}
});

test("a user link has the offload of the memory link that it is", () => {
	const clock = new VirtualClock();
	const link = userLink();
	assert.equal(link.offload, undefined);
	opened(link, clock);
	assert.deepEqual(link.offload, OFFLOAD);
	link.close();
	const plain = userLink();
	opened(plain, clock, { plain: true });
	assert.equal(plain.offload, undefined);
	plain.close();
});

test("cutting a TCP frame gives its bytes in order, in segments that are right in every field", () => {
	const pool = makePool(256);
	const batch = new Batch(pool);
	fc.assert(
		fc.property(
			fc.record({
				ethernet: fc.boolean(),
				version: fc.constantFrom(4 as const, 6 as const),
				ipOptions: fc.constantFrom(0, 4, 40),
				tcpOptions: fc.constantFrom(0, 12, 40),
				flags: fc.constantFrom(ACK, ACK | PSH, ACK | PSH | FIN, ACK | CWR),
			}),
			fc.integer({ min: 0, max: 20_000 }),
			fc.integer({ min: 400, max: 9000 }),
			fc.integer({ min: 800, max: 1900 }),
			(kind, length, segment, piece) => {
				const payload = bytesOf(length);
				const whole = incomplete(payload, kind);
				pushIncomplete(batch, whole, segment, piece);
				const frames: Uint8Array[] = [];
				const completer = new FrameCompleter(kind.ethernet ? "ethernet" : "ip");
				assert.ok(completer.complete(batch, 0, batch.count, (frame) => void frames.push(frame.slice())));
				batch.drop(batch.count);
				assert.equal(frames.length, Math.max(1, Math.ceil(length / segment)));
				const [ip, tcp] = [ipStart(kind), tcpStart(kind)];
				const headers = tcp + 20 + kind.tcpOptions;
				assert.deepEqual(new Uint8Array(Buffer.concat(frames.map((frame) => frame.subarray(headers)))), payload);
				for (const [i, frame] of frames.entries()) {
					const last = i === frames.length - 1;
					assert.equal(checksum(frame, tcp, frame.length - tcp, pseudo(frame, kind, frame.length - tcp)), 0);
					assert.equal(get32(frame, tcp + 4), (-1000 + i * segment) | 0);
					assert.equal(frame[tcp + 13], kind.flags & ~(last ? 0 : FIN | PSH) & ~(i > 0 ? CWR : 0));
					if (kind.version === 4) {
						assert.equal(checksum(frame, ip, tcp - ip, 0), 0);
						assert.equal(get16(frame, ip + 2), frame.length - ip);
						assert.equal(get16(frame, ip + 4), (0xfffe + i) & 0xffff);
					} else assert.equal(get16(frame, ip + 4), frame.length - ip - 40);
				}
			},
		),
		{ numRuns: 60 },
	);
});

test("no bytes, however wrong, make completing a frame throw", () => {
	const pool = makePool(64);
	const batch = new Batch(pool);
	const completers = [new FrameCompleter("ethernet"), new FrameCompleter("ip")];
	const start = fc.constantFrom<readonly number[]>(
		[0x45],
		[0x4f],
		[0x60],
		[...new Uint8Array(12), 8, 0, 0x45],
		[...new Uint8Array(12), 0x86, 0xdd, 0x60],
	);
	fc.assert(
		fc.property(
			start,
			fc.uint8Array({ minLength: 1, maxLength: 200 }),
			fc.nat(100),
			fc.constantFrom(6, 17, 1),
			(first, bytes, segment, protocol) => {
				const frame = new Uint8Array([...first, ...bytes]);
				for (const at of [9, 6, 23, 20]) if (at >= first.length && at < frame.length) frame[at] = protocol;
				pushIncomplete(batch, frame, segment);
				for (const completer of completers) completer.complete(batch, 0, batch.count, () => {});
				batch.drop(batch.count);
			},
		),
	);
});
