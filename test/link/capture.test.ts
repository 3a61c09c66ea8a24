import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type CaptureOptions, CaptureWriter, captureLink } from "../../src/link/capture.ts";
import { impairLink } from "../../src/link/impair.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import type { Batch } from "../../src/memory/batch.ts";
import { openCaptureFile, prepareCaptureFile } from "../../src/node/capture-file.ts";
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { pushFrame, testFrame } from "./compliance.ts";

const folder = mkdtempSync(join(tmpdir(), "millrace-capture-"));
after(() => rmSync(folder, { recursive: true }));
const noTshark = spawnSync("tshark", ["--version"]).error === undefined ? false : "tshark is not installed (apt-get install tshark)";
const noFull = !existsSync("/dev/full") && "no /dev/full";

interface Block {
	type: number;
	body: DataView;
}

/** The blocks of a pcapng file, by the draft's section 3.1: both lengths of each must agree. */
function blocks(bytes: Uint8Array): Block[] {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const found: Block[] = [];
	for (let at = 0; at < bytes.length; ) {
		const length = view.getUint32(at + 4, true);
		assert.ok(length % 4 === 0 && length >= 12 && at + length <= bytes.length, `a block of ${length} bytes at ${at}`);
		assert.equal(view.getUint32(at + length - 4, true), length);
		found.push({ type: view.getUint32(at, true), body: new DataView(bytes.buffer, bytes.byteOffset + at + 8, length - 12) });
		at += length;
	}
	return found;
}

class Memory {
	readonly writes: Uint8Array[] = [];
	closed = 0;
	write(bytes: Uint8Array): void {
		this.writes.push(bytes.slice());
	}
	close(): void {
		this.closed++;
	}
	get bytes(): Uint8Array {
		return new Uint8Array(Buffer.concat(this.writes));
	}
}

function captured(options: Omit<CaptureOptions, "sink"> = {}, medium: "ethernet" | "ip" = "ip", mtu = 1500) {
	const clock = new VirtualClock(5_000_000_000);
	const sink = new Memory();
	const writer = new CaptureWriter({ ...options, sink });
	const [a, b] = memoryLinkPair({ medium, mtu });
	const link = captureLink(a, writer);
	const near = new Speaker(link, { pool: makePool(), runtime: clock.runtime });
	const far = new Speaker(b, { pool: makePool(), runtime: clock.runtime });
	return { clock, sink, writer, link, near, far, b };
}

test("a capture holds each frame once, with direction, time and all its bytes", () => {
	const { clock, sink, link, near, far } = captured({ startTime: 1_700_000_000_123_456 });
	const out = testFrame(link, 61, 0);
	const into = testFrame(link, 80, 1);
	clock.advance(250);
	near.send(out);
	clock.advance(1000);
	far.send(into);
	clock.advance(500); // it waits: what counts is when it arrived
	near.receive();
	link.close();
	const [section, face, ...packets] = blocks(sink.bytes);
	assert.equal(section!.type, 0x0a0d0d0a);
	assert.equal(section!.body.getUint32(0, true), 0x1a2b3c4d);
	assert.equal(face!.type, 1);
	assert.equal(face!.body.getUint16(0, true), 101, "linktype RAW");
	assert.deepEqual(
		packets.map(({ type, body }) => {
			const kept = body.getUint32(12, true);
			return {
				type,
				face: body.getUint32(0, true),
				time: body.getUint32(4, true) * 2 ** 32 + body.getUint32(8, true),
				bytes: new Uint8Array(body.buffer, body.byteOffset + 20, kept),
				length: body.getUint32(16, true),
				flags: body.getUint32(20 + ((kept + 3) & ~3) + 4, true),
			};
		}),
		[
			{ type: 6, face: 0, time: 1_700_000_000_123_706, bytes: out, length: 61, flags: 2 },
			{ type: 6, face: 0, time: 1_700_000_000_124_706, bytes: into, length: 80, flags: 1 },
		],
	);
	assert.equal(sink.closed, 1);
});

test("blocks are buffered: given to the sink after a while, on flush, or when the buffer is full", () => {
	const { clock, sink, writer, link, near, far } = captured();
	near.send(testFrame(link, 100, 0));
	assert.equal(sink.writes.length, 0);
	clock.advance(300_000);
	assert.equal(sink.writes.length, 1);
	near.send(testFrame(link, 100, 1));
	writer.flush();
	assert.equal(sink.writes.length, 2);
	for (let i = 0; i < 400; i++) {
		near.send(testFrame(link, 1500, i));
		far.receive();
	}
	assert.ok(sink.writes.length >= 4 && sink.writes.length <= 8, `${sink.writes.length} writes`);
	link.close();
	assert.equal(blocks(sink.bytes).length, 2 + 402);
});

test("a frame of several entries is one packet; snapLength cuts it and the block says so", () => {
	const { sink, link, near } = captured({ snapLength: 1000 }, "ethernet", 9000);
	const bytes = testFrame(link, 5000, 0);
	pushFrame(near.batch, bytes, 700);
	assert.equal(near.batch.count, 8);
	near.link.transmit(near.batch);
	link.close();
	const packet = blocks(sink.bytes)[2]!.body;
	assert.equal(packet.getUint32(12, true), 1000);
	assert.equal(packet.getUint32(16, true), 5000);
	assert.deepEqual(new Uint8Array(packet.buffer, packet.byteOffset + 20, 1000), bytes.slice(0, 1000));
});

test("a frame that the inner link refuses is written when it is taken, once", () => {
	const { clock, sink, link: _, near, writer, b } = captured();
	const [inner] = memoryLinkPair();
	let take = 0;
	const picky = new Proxy(inner, {
		get(target, key) {
			const value = Reflect.get(target, key);
			if (key !== "transmit") return typeof value === "function" ? value.bind(target) : value;
			return (batch: Batch) => {
				const some = Math.min(take, batch.count);
				batch.drop(some);
				return some;
			};
		},
	});
	const pool = makePool(16);
	const link = captureLink(picky, writer);
	const speaker = new Speaker(link, { pool, runtime: clock.runtime });
	for (let i = 0; i < 3; i++) pushFrame(speaker.batch, testFrame(link, 60 + i, i));
	assert.equal(link.transmit(speaker.batch), 0);
	take = 2;
	assert.equal(link.transmit(speaker.batch), 2);
	assert.equal(link.transmit(speaker.batch), 1);
	assert.equal(pool.inUse, 0);
	link.close();
	near.link.close();
	b.close();
	const lengths = blocks(sink.bytes)
		.filter(({ type }) => type === 6)
		.map(({ body }) => [body.getUint32(0, true), body.getUint32(16, true)]);
	assert.deepEqual(lengths, [
		[1, 60],
		[1, 61],
		[1, 62],
	]);
});

test("a sink that throws ends the capture, not the traffic", () => {
	const clock = new VirtualClock();
	const full = new Error("no space");
	const writer = new CaptureWriter({
		sink: {
			write() {
				throw full;
			},
		},
	});
	const [a, b] = memoryLinkPair();
	const link = captureLink(a, writer);
	const near = new Speaker(link, { pool: makePool(), runtime: clock.runtime });
	const far = new Speaker(b, { pool: makePool(), runtime: clock.runtime });
	near.send(testFrame(link, 100, 0));
	writer.flush();
	near.send(testFrame(link, 100, 1));
	assert.equal(far.receive().length, 2);
	assert.equal(writer.error, full);
	assert.equal(link.counters()["capture.dropped"], 1);
	link.close();
});

test("maxBytes bounds the file", () => {
	const { sink, link, near } = captured({ maxBytes: 2000 });
	for (let i = 0; i < 50; i++) near.send(testFrame(link, 100, i));
	link.close();
	assert.ok(sink.bytes.length <= 2000 && sink.bytes.length > 1700);
	assert.equal(blocks(sink.bytes).length - 2 + link.counters()["capture.dropped"]!, 50);
});

test("maxBytes counts the bytes that fill up a block", () => {
	const empty = captured();
	empty.link.close();
	// 61 bytes of frame, 3 that fill up the last word, 44 around them.
	const whole = empty.writer.bytes + 108;
	for (const maxBytes of [whole - 3, whole - 2, whole - 1, whole]) {
		const { writer, link, near } = captured({ maxBytes });
		near.send(testFrame(link, 61, 0));
		link.close();
		assert.equal(writer.frames, maxBytes === whole ? 1 : 0, `${writer.bytes} bytes of ${maxBytes}`);
	}
});

test("a capture that has ended takes no further link", () => {
	const { clock, writer, link } = captured();
	link.close();
	const [a] = memoryLinkPair();
	assert.throws(() => new Speaker(captureLink(a, writer), { pool: makePool(16), runtime: clock.runtime }), {
		code: "MILLRACE_CAPTURE_ENDED",
	});
});

test("options of a capture that are unknown or out of range are refused", () => {
	const sink = new Memory();
	for (const wrong of [{ snapLength: 1 }, { maxBytes: 0 }, { flushAfter: -1 }, { startTime: Number.NaN }, { snaplen: 64 }]) {
		assert.throws(() => new CaptureWriter({ sink, ...wrong }), { code: "MILLRACE_BAD_OPTION" });
	}
});

test("a capture file that cannot be written is refused with the path and the reason", () => {
	assert.throws(() => openCaptureFile(join(folder, "no", "such.pcapng")), {
		name: "MillraceError",
		code: "ENOENT",
		message: /such\.pcapng": no such directory/,
	});
	assert.throws(() => openCaptureFile(folder), { name: "MillraceError", code: "EISDIR", message: /is a directory/ });
});

test("a capture file that takes no more is told of once, also where that is known only when it begins", { skip: noFull }, () => {
	const told: string[] = [];
	const file = prepareCaptureFile("/dev/full");
	file.write(Uint8Array.of(1));
	file.begin((what) => told.push(what));
	for (let i = 0; i < 2; i++) assert.throws(() => file.write(Uint8Array.of(2)), { code: "ENOSPC" });
	file.close();
	assert.equal(told.length, 1);
	assert.match(told[0]!, /"\/dev\/full" has ended: no space left on the device\. /);
});

for (const medium of ["ip", "ethernet"] as const) {
	test(`tshark reads a capture file of an ${medium} link`, { skip: noTshark }, () => {
		const path = join(folder, `${medium}.pcapng`);
		const clock = new VirtualClock(5_000_000_000);
		const writer = new CaptureWriter({ sink: openCaptureFile(path), startTime: 1_700_000_000_000_001 });
		const [a, b] = memoryLinkPair({ medium, name: "wire" });
		const context = { pool: makePool(), runtime: clock.runtime };
		const near = new Speaker(captureLink(a, writer), context);
		const far = new Speaker(captureLink(b, writer), { pool: makePool(), runtime: clock.runtime });
		near.send(testFrame(a, 60, 0));
		clock.advance(1500);
		far.receive();
		far.send(testFrame(a, 61, 1));
		near.link.close();
		far.link.close();
		assert.equal(context.pool.inUse, 0);
		const fields = ["frame.time_epoch", "frame.len", "frame.interface_name", "frame.packet_flags_direction", "frame.protocols"];
		const { stdout, stderr, status } = spawnSync("tshark", ["-r", path, "-T", "fields", ...fields.flatMap((field) => ["-e", field])], {
			encoding: "utf8",
		});
		assert.equal(status, 0, stderr);
		const lines = stdout
			.trim()
			.split("\n")
			.map((line) => line.split("\t"));
		const protocol = medium === "ip" ? /^raw:ip/ : /^eth:ethertype/;
		// Timestamps as numbers: tshark's notation of them differs between versions.
		assert.deepEqual(
			lines.map(([time, length, name, direction]) => [Number(Number(time).toFixed(6)), length, name, Number(direction)]),
			[
				[1700000000.000001, "60", "wire:a", 2],
				[1700000000.000001, "60", "wire:b", 1], // when it arrived, not when it was fetched
				[1700000000.001501, "61", "wire:b", 2],
			],
		);
		for (const line of lines) assert.match(line[4]!, protocol);
		assert.ok(readFileSync(path).length < 1024);
	});
}

test("an inner link that throws takes no page along, and what is sent after that is written as it is", () => {
	const clock = new VirtualClock();
	const sink = new Memory();
	const pool = makePool();
	const [a, b] = memoryLinkPair();
	const bad = impairLink(a, {
		drop(_frame, _direction, index) {
			if (index === 1) throw new Error("no rule for this one");
			return false;
		},
	});
	const link = captureLink(bad, new CaptureWriter({ sink }));
	const near = new Speaker(link, { pool, runtime: clock.runtime });
	const far = new Speaker(b, { pool: makePool(), runtime: clock.runtime });
	const [first, second, third] = [60, 70, 80].map((size, i) => testFrame(link, size, i));
	pushFrame(near.batch, first!);
	pushFrame(near.batch, second!);
	assert.throws(() => link.transmit(near.batch), /no rule/);
	near.batch.drop(near.batch.count);
	near.send(third!);
	assert.deepEqual(
		far.receive().map(({ bytes }) => bytes),
		[first, third],
	);
	link.close();
	assert.equal(pool.inUse, 0, "pages are left in use");
	assert.deepEqual(
		blocks(sink.bytes)
			.slice(2)
			.map(({ body }) => body.getUint32(12, true)),
		[60, 80],
	);
});
