import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../../src/errors.ts";
import { createHost } from "../../src/host/host.ts";
import { CaptureWriter, captureLink } from "../../src/link/capture.ts";
import { captureFrames } from "../../src/link/capture-reader.ts";
import { impairLink } from "../../src/link/impair.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { type ReplayOptions, replayLink } from "../../src/link/replay.ts";
import { Batch, FRAME_CHECKED } from "../../src/memory/batch.ts";
import { parseIpv4 } from "../../src/wire/address.ts";
import { fold, pseudoHeader4 } from "../../src/wire/checksum.ts";
import * as ipv4 from "../../src/wire/ipv4.ts";
import * as tcp from "../../src/wire/tcp.ts";
import { makePool, memoryBench, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { type LinkBench, linkCompliance, pushFrame, testFrame } from "./compliance.ts";

const MAC = [2, 0, 0, 0, 0, 1];
const START = 1_700_000_000_000_000;

/** A capture made by our own writer: frames out and in by turns, 1, 2, 3 ... ms apart. */
function record(
	sizes: readonly number[],
	options: { medium?: "ip" | "ethernet"; snapLength?: number } = {},
): { file: Uint8Array; frames: Uint8Array[] } {
	const { medium = "ip", ...rest } = options;
	const clock = new VirtualClock();
	const parts: Uint8Array[] = [];
	const writer = new CaptureWriter({ sink: { write: (bytes) => void parts.push(bytes.slice()) }, startTime: START, ...rest });
	const [a, b] = memoryLinkPair({ medium, mtu: 9000 });
	const near = new Speaker(captureLink(a, writer), { pool: makePool(), runtime: clock.runtime });
	const far = new Speaker(b, { pool: makePool(), runtime: clock.runtime });
	const frames = sizes.map((size, i) => testFrame(a, size, i));
	for (const [i, frame] of frames.entries()) {
		(i % 2 === 0 ? near : far).send(frame);
		near.receive();
		clock.advance((i + 1) * 1000);
	}
	near.link.close();
	return { file: new Uint8Array(Buffer.concat(parts)), frames };
}

function replayed(file: Uint8Array, options: ReplayOptions = {}, pages = 64) {
	const clock = new VirtualClock();
	const pool = makePool(pages);
	const link = replayLink(file, options);
	const start = clock.now();
	const speaker = new Speaker(link, { pool, runtime: clock.runtime });
	const got: { bytes: Uint8Array; after: number }[] = [];
	speaker.onwake = () =>
		clock.runtime.defer(() => got.push(...speaker.receive().map(({ bytes, time }) => ({ bytes, after: (time - (start | 0)) | 0 }))));
	return { clock, pool, link, speaker, got };
}

type Replayed = ReturnType<typeof replayed>;

/** A pcap file by hand. */
function pcapFile(
	little: boolean,
	nano: boolean,
	linkType: number,
	records: readonly { s: number; fraction: number; bytes: Uint8Array }[],
): Uint8Array {
	const file = new Uint8Array(24 + records.reduce((sum, { bytes }) => sum + 16 + bytes.length, 0));
	const view = new DataView(file.buffer);
	view.setUint32(0, nano ? 0xa1b23c4d : 0xa1b2c3d4, little);
	view.setUint32(20, linkType, little);
	let at = 24;
	for (const { s, fraction, bytes } of records) {
		for (const [i, word] of [s, fraction, bytes.length, bytes.length].entries()) view.setUint32(at + 4 * i, word, little);
		file.set(bytes, at + 16);
		at += 16 + bytes.length;
	}
	return file;
}

const LINKTYPE_RAW = 101;

/** Seconds between two frames of the capture: longer than the suite waits for anything while its peer has more to send. */
const APART = 10;

/** A bench whose link replays a capture of what the peer sent in the rehearsal. When the peer sends a frame, its time has come. */
async function replayBench(sent: readonly Uint8Array[]): Promise<LinkBench> {
	const clock = new VirtualClock();
	const frames = sent.length > 0 ? sent : [new Uint8Array(20)];
	const records = frames.map((bytes, i) => ({ s: i * APART, fraction: 0, bytes }));
	const link = replayLink(pcapFile(true, false, LINKTYPE_RAW, records), { waits: true });
	let due: number | null = null;
	return {
		link,
		runtime: clock.runtime,
		async settle() {
			clock.advance(100_000);
		},
		peer: {
			send() {
				if (due === null) link.begin();
				else clock.advance(Math.max(0, due - clock.now()));
				due = (due ?? clock.now()) + APART * 1e6;
			},
			receive: async () => null,
			close() {},
		},
	};
}

linkCompliance("a replaying link", replayBench, {
	rehearsal: memoryBench(),
	sendsNowhere: "what a replaying link is given to send goes nowhere",
});

test("frames arrive with the time between them as it was, and with all their bytes", () => {
	const { file, frames } = record([60, 61, 1986, 1987, 9000]);
	let ended = 0;
	const { clock, pool, link, got } = replayed(file, { mtu: 9000, ended: () => ended++ });
	assert.equal(link.medium, "ip");
	clock.advance(5999);
	assert.equal(got.length, 3);
	clock.advance(100_000);
	assert.deepEqual(
		got,
		frames.map((bytes, i) => ({ bytes, after: (i * (i + 1) * 1000) / 2 })),
	);
	assert.equal(ended, 1);
	assert.equal(link.counters().rxFrames, 5);
	link.close();
	link.close();
	assert.equal(pool.inUse, 0);
});

test("speed shortens the time between frames", () => {
	const { file } = record([60, 60, 60]);
	for (const [speed, expected] of [
		[2, [0, 500, 1500]],
		[0.5, [0, 2000, 6000]],
		[Number.POSITIVE_INFINITY, [0, 0, 0]],
	] as const) {
		const { clock, got } = replayed(file, { speed });
		clock.advance(10_000);
		assert.deepEqual(
			got.map(({ after }) => after),
			expected,
		);
	}
});

test("only frames of one direction are replayed if asked for; the first of them begins", () => {
	const { file, frames } = record([60, 61, 62, 63]);
	const { clock, link, got } = replayed(file, { only: "in" });
	clock.advance(10_000);
	assert.deepEqual(got, [
		{ bytes: frames[1], after: 0 },
		{ bytes: frames[3], after: 5000 },
	]);
	assert.equal(link.counters().rxSkipped, 2);
});

test("frames that are cut or too long are counted and left out", () => {
	const cut = replayed(record([60, 900, 61], { snapLength: 512 }).file);
	cut.clock.advance(10_000);
	assert.equal(cut.got.length, 2);
	assert.equal(cut.link.counters().rxDropSize, 1);
	const long = replayed(record([60, 1501, 61]).file);
	long.clock.advance(10_000);
	assert.equal(long.got.length, 2);
	assert.equal(long.link.counters().rxDropSize, 1);
});

test("without pages frames are lost, with little room they wait; what the host sends is swallowed; closing ends it", () => {
	const { file } = record([60, 61, 62, 63, 64, 65]);
	const { clock, pool, link, speaker } = replayed(file, { speed: Number.POSITIVE_INFINITY }, 4);
	speaker.onwake = () => {};
	const small = new Batch(pool, 2);
	assert.equal(link.receive(small), 2);
	assert.equal(link.receive(small), 0);
	const held = [pool.alloc(), pool.alloc()];
	small.count = 0;
	assert.equal(link.receive(small), 0);
	assert.equal(link.counters().rxDropNoPage, 4);
	pool.release(held[0]!);
	pushFrame(speaker.batch, new Uint8Array(100));
	assert.equal(link.transmit(speaker.batch), 1);
	assert.equal(link.counters().txBytes, 100);
	const other = replayed(file);
	other.clock.advance(1);
	other.link.close();
	other.clock.advance(100_000);
	assert.equal(other.got.length, 1);
	clock.advance(1);
});

describe("a capture reader", () => {
	const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);

	for (const little of [true, false]) {
		for (const nano of [false, true]) {
			test(`reads pcap, ${little ? "little" : "big"}-endian, ${nano ? "nano" : "micro"}seconds`, () => {
				const file = pcapFile(little, nano, 1, [{ s: 1000, fraction: nano ? 5250 : 5, bytes }]);
				assert.deepEqual(
					[...captureFrames(file)],
					[{ time: 1e9 + (nano ? 5.25 : 5), bytes, length: 64, medium: "ethernet", direction: null }],
				);
			});
		}
	}

	test("knows link types: Ethernet, raw IP, and what it cannot use", () => {
		const medium = (linkType: number) => [...captureFrames(pcapFile(true, false, linkType, [{ s: 0, fraction: 0, bytes }]))][0]!.medium;
		assert.deepEqual([1, 101, 228, 229, 105, 113].map(medium), ["ethernet", "ip", "ip", "ip", "other", "other"]);
		assert.throws(() => replayLink(pcapFile(true, false, 105, [{ s: 0, fraction: 0, bytes }])), {
			code: "MILLRACE_CAPTURE_FORMAT",
			message: /neither of Ethernet/,
		});
	});

	test("reads pcapng of the other byte order, other resolutions, offsets and simple packets", () => {
		const words = (...values: (number | bigint)[]) => {
			const view = new DataView(new ArrayBuffer(values.reduce((sum: number, value) => sum + (typeof value === "bigint" ? 8 : 4), 0)));
			let at = 0;
			for (const value of values) {
				if (typeof value === "bigint") view.setBigInt64(at, value);
				else view.setUint32(at, value);
				at += typeof value === "bigint" ? 8 : 4;
			}
			return new Uint8Array(view.buffer);
		};
		const block = (type: number, body: Uint8Array) => Buffer.concat([words(type, body.length + 12), body, words(body.length + 12)]);
		const file = new Uint8Array(
			Buffer.concat([
				block(0x0a0d0d0a, words(0x1a2b3c4d, 0x10000, 0xffffffff, 0xffffffff)),
				// Raw IP, cut at 8 bytes; nanoseconds; 7 s later than its stamps say.
				block(1, words(101 << 16, 8, 0x00090001, 0x09000000, 0x000e0008, 7n, 0)),
				block(1, words(1 << 16, 0, 0x00090001, 0x8a000000, 0)), // Ethernet; 2^-10 s
				block(5, words(0, 0, 0)), // statistics: nobody's frame
				block(6, words(0, 0, 1500, 4, 4, 0x45000000)),
				block(6, words(1, 0, 1024, 3, 9, 0x01020300, 0x00020004, 2, 0)),
				block(3, words(20, 0x45000001, 0x45000002)),
				block(6, words(9, 0, 0, 4, 4, 0)), // an interface that was not described
				block(6, words(0, 0, 0, 5, 5, 0)), // more bytes than the block has
				block(2, words(7, 0, 2500, 1, 4, 0x45000000)), // obsolete: interface 0, 7 dropped
			]),
		);
		assert.deepEqual(
			[...captureFrames(file)].map((frame) => ({ ...frame, bytes: [...frame.bytes] })),
			[
				{ time: 7e6 + 1.5, bytes: [0x45, 0, 0, 0], length: 4, medium: "ip", direction: null },
				{ time: 1e6, bytes: [1, 2, 3], length: 9, medium: "ethernet", direction: "out" },
				{ time: 1e6, bytes: [0x45, 0, 0, 1, 0x45, 0, 0, 2], length: 20, medium: "ip", direction: null },
				{ time: 1e6, bytes: [], length: 1, medium: "ip", direction: null },
				{ time: 1e6, bytes: [], length: 1, medium: "ip", direction: null },
				{ time: 7e6 + 2.5, bytes: [0x45], length: 4, medium: "ip", direction: null },
			],
		);
	});

	test("ends with the last whole frame, wherever the file is cut", () => {
		const ng = record([60, 61, 62]).file;
		const old = pcapFile(true, false, 1, [
			{ s: 1, fraction: 0, bytes },
			{ s: 2, fraction: 0, bytes },
		]);
		for (const file of [ng, old]) {
			let last = 0;
			for (let end = 24; end <= file.length; end++) {
				const frames = captureFrames(file.subarray(0, end));
				let count = 0;
				let step = frames.next();
				for (; step.done !== true; step = frames.next()) count++;
				assert.ok(count === last || count === last + 1);
				// And says whether it is cut there. A pcap file ends well after any record.
				const whole = end === file.length || (file === old && (end === 24 || count > last));
				if (file === old || end === file.length) assert.equal(step.value, whole ? "whole" : "cut", `at ${end}`);
				last = count;
			}
			assert.equal(last, file === ng ? 3 : 2);
		}
	});

	test("throws nothing but that the bytes are no capture, and gives no byte that is not there", () => {
		const valid = record([60, 100, 61]).file;
		const spoilt = fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 8 }).map((changes) => {
			const file = valid.slice();
			for (const [at, value] of changes) file[at] = value;
			return file;
		});
		fc.assert(
			fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), spoilt), (file) => {
				try {
					for (const frame of captureFrames(file)) assert.ok(frame.bytes.length <= file.length);
				} catch (error) {
					assert.ok(error instanceof MillraceError && error.code === "MILLRACE_CAPTURE_FORMAT", String(error));
				}
			}),
			{ numRuns: 2000 },
		);
	});

	const editcap = spawnSync("editcap", ["--version"]).error === undefined ? false : "editcap is not installed (apt-get install tshark)";
	for (const format of ["pcap", "nsecpcap"]) {
		test(`reads what editcap makes of our captures as ${format}`, { skip: editcap }, () => {
			const folder = mkdtempSync(join(tmpdir(), "millrace-replay-"));
			try {
				const { file, frames } = record([60, 61, 62], { medium: "ethernet" });
				writeFileSync(join(folder, "a.pcapng"), file);
				const { status, stderr } = spawnSync("editcap", ["-F", format, join(folder, "a.pcapng"), join(folder, "b.pcap")], {
					encoding: "utf8",
				});
				assert.equal(status, 0, stderr);
				const read = [...captureFrames(new Uint8Array(readFileSync(join(folder, "b.pcap"))))];
				assert.deepEqual(
					read.map(({ time, bytes, medium }) => ({ time, bytes, medium })),
					frames.map((bytes, i) => ({ time: START + (i * (i + 1) * 1000) / 2, bytes, medium: "ethernet" })),
				);
			} finally {
				rmSync(folder, { recursive: true });
			}
		});
	}
});

test("a replay that waits begins when it is told to, or when the host sends something", () => {
	const { file } = record([60, 61]);
	for (const begin of [({ link }: Replayed) => link.begin(), ({ speaker }: Replayed) => speaker.send(new Uint8Array(60))]) {
		const replay = replayed(file, { waits: true });
		replay.clock.advance(10_000);
		assert.deepEqual(replay.got, []);
		begin(replay);
		begin(replay);
		replay.clock.advance(10_000);
		assert.deepEqual(
			replay.got.map(({ after }) => after),
			[10_000, 11_000],
		);
	}
});

test("of a capture on Ethernet, the IPv4 packets alone can be replayed, also from behind VLAN tags", () => {
	const packet = Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? 0x45 : i));
	const frame = (...head: number[]) => Uint8Array.from([...new Array(12).fill(2), ...head, ...packet]);
	const frames = [
		frame(0x08, 0x00),
		frame(0x08, 0x06), // ARP
		frame(0x81, 0x00, 0x00, 0x05, 0x08, 0x00),
		frame(0x86, 0xdd), // IPv6
		Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81), // ends within its type
	];
	const file = pcapFile(
		true,
		false,
		1,
		frames.map((bytes, i) => ({ s: i, fraction: 0, bytes })),
	);
	const { clock, link, got } = replayed(file, { medium: "ip" });
	assert.equal(link.medium, "ip");
	clock.advance(10_000_000);
	assert.deepEqual(got, [
		{ bytes: packet, after: 0 },
		{ bytes: packet, after: 2_000_000 },
	]);
	assert.equal(link.counters().rxSkipped, 3);
});

/** A TCP segment as a kernel shows it to a capture that has merged it: its checksum is the pseudo-header's sum, never completed. */
function merged(bytes: number): Uint8Array {
	const packet = new Uint8Array(bytes);
	const [from, to] = [parseIpv4("10.0.0.9")!, parseIpv4("10.0.0.1")!];
	const length = bytes - ipv4.IPV4_HEADER;
	ipv4.writeIpv4Header(packet, 0, bytes, 64, tcp.PROTOCOL_TCP, from, to);
	tcp.writeTcpHeader(packet, ipv4.IPV4_HEADER, 4321, 80, 1, 1, tcp.TCP_HEADER, tcp.ACK, 512);
	tcp.setChecksumField(packet, ipv4.IPV4_HEADER, fold(pseudoHeader4(from, to, tcp.PROTOCOL_TCP, length)));
	return packet;
}

test("a segment that was merged before it was captured, longer than a page, reaches TCP", () => {
	for (const medium of ["ip", "ethernet"] as const) {
		const packet = merged(9000);
		const header = medium === "ip" ? [] : [...MAC, 2, 0, 0, 0, 0, 9, 0x08, 0x00];
		const file = pcapFile(true, false, medium === "ip" ? 101 : 1, [{ s: 1, fraction: 0, bytes: Uint8Array.from([...header, ...packet]) }]);
		const clock = new VirtualClock();
		const link = Object.assign(replayLink(file, { mtu: 65535 }), { mac: Uint8Array.from(MAC) });
		const host = createHost({ link, runtime: clock.runtime, addresses: ["10.0.0.1/24"] });
		clock.advance(1000);
		const { ip, tcp } = host.stats();
		assert.deepEqual([ip.chained, ip.delivered], [0, 1]);
		assert.equal(tcp.noListener, 1);
		void host.close();
	}
});

test("segments of up to a page whose checksum was left to a device reach TCP, also where frames must be as on a wire", () => {
	for (const medium of ["ip", "ethernet"] as const) {
		const header = medium === "ip" ? [] : [...MAC, 2, 0, 0, 0, 0, 9, 0x08, 0x00];
		const packets = [20, 21, 100, 1460, 1900].map((bytes) => Uint8Array.from([...header, ...merged(40 + bytes)]));
		const file = pcapFile(
			true,
			false,
			medium === "ip" ? 101 : 1,
			packets.map((bytes, i) => ({ s: i, fraction: 0, bytes })),
		);
		const whole = file.slice();
		for (const plain of [false, true]) {
			const clock = new VirtualClock();
			const link = replayLink(file, { mtu: 9000 });
			const host = createHost({
				link: Object.assign(plain ? impairLink(link, { delay: 10 }) : link, { mac: Uint8Array.from(MAC) }),
				runtime: clock.runtime,
				addresses: ["10.0.0.1/24"],
			});
			clock.advance(10e6);
			assert.deepEqual([host.stats().tcp.noListener, host.stats().tcp.badChecksum], [packets.length, 0], `${medium}, plain ${plain}`);
			void host.close();
		}
		assert.deepEqual(file, whole, "the capture is the caller's");
	}
});

test("of long frames only TCP segments are vouched for, and none where frames must be as on a wire", () => {
	const datagram = merged(3000);
	datagram[9] = 17;
	for (const [bytes, plain, expected] of [
		[merged(3000), false, FRAME_CHECKED],
		[merged(3000), true, 0],
		[merged(1500), false, 0],
		[datagram, false, 0],
		[new Uint8Array(3000), false, 0],
	] as const) {
		const link = replayLink(pcapFile(true, false, 101, [{ s: 1, fraction: 0, bytes }]), { mtu: 9000 });
		const pool = makePool(8);
		const batch = new Batch(pool);
		link.open({ pool, runtime: new VirtualClock().runtime, wake() {}, failed() {}, plain });
		link.receive(batch);
		assert.deepEqual(
			[...batch.flags.subarray(0, batch.count)].map((flags) => flags & FRAME_CHECKED),
			new Array(batch.count).fill(expected),
		);
	}
});

test("a replay of nothing usable ends once, and not while it is opened", () => {
	const { file } = record([60]);
	let ended = 0;
	const clock = new VirtualClock();
	const link = replayLink(file, { only: "in", ended: () => ended++ });
	link.open({ pool: makePool(), runtime: clock.runtime, wake() {}, failed() {} });
	assert.equal(ended, 0);
	clock.advance(1);
	assert.equal(ended, 1);
	clock.advance(10_000);
	assert.equal(ended, 1);
});

test("the end of a replay is told when its last frame is the host's: who closes the host then loses nothing", () => {
	const packet = merged(100);
	const file = pcapFile(true, false, 101, [{ s: 1, fraction: 0, bytes: packet }]);
	const clock = new VirtualClock();
	let seen = -1;
	const link = replayLink(file, {
		ended() {
			seen = host.stats().tcp.noListener;
			void host.close();
		},
	});
	const host = createHost({ link, runtime: clock.runtime, addresses: ["10.0.0.1/24"] });
	clock.advance(1000);
	assert.equal(seen, 1);
});

test("a replay says what is wrong with its file or its options", () => {
	const { file } = record([60]);
	assert.throws(() => replayLink(new Uint8Array(100)), { code: "MILLRACE_CAPTURE_FORMAT", message: /neither pcap nor pcapng/ });
	assert.throws(() => replayLink(pcapFile(true, false, 1, [])), { code: "MILLRACE_CAPTURE_FORMAT", message: /no frame/ });
	for (const wrong of [{ speed: 0 }, { mtu: 1 }, { only: "both" }, { medium: "ethernet" }, { sped: 2 }]) {
		assert.throws(() => replayLink(file, wrong as ReplayOptions), { code: "MILLRACE_BAD_OPTION" });
	}
});
