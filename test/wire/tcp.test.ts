import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as tcp from "../../src/wire/tcp.ts";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

function parse(bytes: number[] | Uint8Array): { ok: boolean; options: tcp.TcpOptions } {
	const options = new tcp.TcpOptions();
	const u8 = Uint8Array.from(bytes);
	return { ok: tcp.parseTcpOptions(u8, 0, u8.length, options), options };
}

test("RFC 9293 3.1: what is written into the fixed header is read back", () => {
	fc.assert(
		fc.property(
			fc.nat(65535),
			fc.nat(65535),
			int32,
			int32,
			fc.nat(10),
			fc.nat(255),
			fc.nat(65535),
			(source, destination, seq, ack, words, flags, window) => {
				const u8 = new Uint8Array(30).fill(0xff);
				tcp.writeTcpHeader(u8, 3, source, destination, seq, ack, 20 + words * 4, flags, window);
				assert.equal(tcp.sourcePort(u8, 3), source);
				assert.equal(tcp.destinationPort(u8, 3), destination);
				assert.equal(tcp.sequence(u8, 3), seq);
				assert.equal(tcp.acknowledgment(u8, 3), ack);
				assert.equal(tcp.headerLength(u8, 3), 20 + words * 4);
				assert.equal(tcp.flags(u8, 3), flags);
				assert.equal(tcp.window(u8, 3), window);
				assert.equal(tcp.checksumField(u8, 3), 0);
				assert.equal(tcp.urgentPointer(u8, 3), 0);
				tcp.setChecksumField(u8, 3, 0xbeef);
				assert.equal(tcp.checksumField(u8, 3), 0xbeef);
			},
		),
	);
});

test("RFC 9293 3.2, RFC 7323, RFC 2018: SYN options are read back as written, in a multiple of 4 bytes", () => {
	fc.assert(
		fc.property(
			fc.nat(65535),
			fc.integer({ min: -1, max: 14 }),
			fc.boolean(),
			fc.boolean(),
			int32,
			int32,
			(mss, scale, sack, stamps, value, echo) => {
				const u8 = new Uint8Array(40);
				const length = tcp.writeSynOptions(u8, 0, mss, scale, sack, stamps, value, echo);
				assert.equal(length, tcp.synOptionsLength(scale, sack, stamps));
				assert.equal(length % 4, 0);
				const { ok, options } = parse(u8.subarray(0, length));
				assert.ok(ok);
				assert.deepEqual(
					[options.mss, options.windowScale, options.sackPermitted, options.timestamps, options.tsVal, options.tsEcr],
					[mss, scale, sack, stamps, stamps ? value : 0, stamps ? echo : 0],
				);
			},
		),
	);
});

test("RFC 7323 3.2, RFC 2018 3: timestamps and SACK blocks are read back as written and fit the header", () => {
	fc.assert(
		fc.property(fc.boolean(), fc.array(int32, { minLength: 8, maxLength: 8 }), fc.nat(4), (stamps, edges, wanted) => {
			const count = Math.min(wanted, tcp.sackBlocksMax(stamps));
			const u8 = new Uint8Array(44).fill(0xaa);
			let length = stamps ? tcp.writeTimestamps(u8, 0, 7, -9) : 0;
			length += tcp.writeSack(u8, length, Int32Array.from(edges), count);
			assert.equal(length, (stamps ? tcp.TIMESTAMPS_LENGTH : 0) + tcp.sackLength(count));
			assert.ok(length <= tcp.TCP_OPTIONS_MAX);
			assert.ok(length % 4 === 0 && u8[length] === 0xaa);
			const { ok, options } = parse(u8.subarray(0, length));
			assert.ok(ok);
			assert.equal(options.timestamps, stamps);
			assert.deepEqual([options.tsVal, options.tsEcr], stamps ? [7, -9] : [0, 0]);
			assert.equal(options.sackCount, count);
			assert.deepEqual([...options.sackEdges.subarray(0, count * 2)], edges.slice(0, count * 2));
		}),
	);
});

test("RFC 7323 2.3: a shift count above 14 is taken as 14", () => {
	assert.equal(parse([3, 3, 15]).options.windowScale, 14);
	assert.equal(parse([3, 3, 255]).options.windowScale, 14);
	assert.equal(parse([3, 3, 0]).options.windowScale, 0);
});

test("RFC 9293 MUST-6: unknown options are skipped by their length", () => {
	const { ok, options } = parse([254, 4, 0xf9, 0x89, 1, 30, 2, 2, 4, 5, 0xb4, 0]);
	assert.ok(ok);
	assert.equal(options.mss, 1460);
});

test("RFC 9293 3.2: nothing after the end of the option list counts", () => {
	const { ok, options } = parse([0, 2, 4, 5, 0xb4, 2, 0, 0]);
	assert.ok(ok);
	assert.equal(options.mss, 0);
});

test("RFC 9293 MUST-7: illegal lengths end the parse and keep what came before", () => {
	for (const tail of [[8, 0], [8, 1], [8, 10, 0], [5], [2, 4, 5], [99, 255, 1], [1, 1, 3]]) {
		const { ok, options } = parse([2, 4, 5, 0xb4, ...tail]);
		assert.equal(ok, false, String(tail));
		assert.equal(options.mss, 1460);
		assert.equal(options.timestamps, false);
	}
});

test("known options with a length that they cannot have are skipped", () => {
	const { ok, options } = parse([2, 3, 5, 3, 2, 4, 3, 0, 8, 6, 0, 0, 0, 0, 5, 2, 5, 9, 0, 0, 0, 0, 0, 0, 0]);
	assert.ok(ok);
	assert.deepEqual(options, new tcp.TcpOptions());
});

test("options of one segment do not show through in the next", () => {
	const options = new tcp.TcpOptions();
	const u8 = new Uint8Array(60);
	const length = tcp.writeSynOptions(u8, 0, 1460, 7, true, true, 1, 2);
	tcp.parseTcpOptions(u8, 0, length, options);
	tcp.parseTcpOptions(u8, 0, 0, options);
	assert.deepEqual(options, new tcp.TcpOptions());
});

test("any bytes parse without a throw, within the extent given, to values in range", () => {
	const runs = Number(process.env.MILLRACE_FUZZ_RUNS ?? 5000);
	const likely = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 10, 18), fc.nat(255));
	const options = new tcp.TcpOptions();
	fc.assert(
		fc.property(fc.array(likely, { maxLength: 40 }), (bytes) => {
			// What stands after the extent must not be read: with other bytes there, the result is the same.
			const results = [0x08, 0x02, 0xff].map((filler) => {
				const u8 = new Uint8Array(100).fill(filler);
				u8.set(bytes, 5);
				const ok = tcp.parseTcpOptions(u8, 5, bytes.length, options);
				return JSON.stringify([ok, { ...options, sackEdges: [...options.sackEdges.subarray(0, options.sackCount * 2)] }]);
			});
			assert.equal(results[0], results[1]);
			assert.equal(results[0], results[2]);
			assert.ok(options.windowScale >= -1 && options.windowScale <= 14);
			assert.ok(options.sackCount >= 0 && options.sackCount <= 4);
			assert.ok(options.mss >= 0 && options.mss <= 65535);
		}),
		{ numRuns: runs },
	);
});
