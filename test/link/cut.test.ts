import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Cutter } from "../../src/link/cut.ts";
import { completeChecksum, isPartial } from "../../src/link/partial.ts";
import { Arena } from "../../src/memory/arena.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { get16, set16 } from "../../src/wire/bytes.ts";
import { checksum, fold, pseudoHeader4 } from "../../src/wire/checksum.ts";
import { decodeFrame } from "../../src/wire/decode.ts";

const SRC = 0x0a000001;
const DST = 0x0a000002;

/** A TCP frame with `options` words of TCP options; its checksum field holds the pseudo-header's sum. */
function frame(payload: Uint8Array, options = 0, flags = 0x18): Uint8Array {
	const tcp = 20 + options * 4;
	const bytes = new Uint8Array(14 + 20 + tcp + payload.length);
	bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 0, 0xff, 0xfe, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
	set16(bytes, 16, 20 + tcp + payload.length);
	set16(bytes, 24, checksum(bytes, 14, 20, 0));
	bytes.set([0x1f, 0x90, 0xc0, 0, 0xff, 0xff, 0xff, 0x00, 0, 0, 0, 1, ((20 + options * 4) / 4) << 4, flags, 0x10, 0], 34);
	bytes.fill(1, 54, 34 + tcp);
	bytes.set(payload, 34 + tcp);
	set16(bytes, 50, fold(pseudoHeader4(SRC, DST, 6, tcp + payload.length)));
	return bytes;
}

const tcpRight = (bytes: Uint8Array, length: number): boolean =>
	checksum(bytes, 34, length - 34, pseudoHeader4(SRC, DST, 6, length - 34)) === 0;

test("a merged frame is cut into segments whose bytes, sequence numbers, flags and checksums are those of a sender that never merged them", () => {
	const pool = new PagePool(new Arena(65536), 2);
	const page = pool.alloc();
	fc.assert(
		fc.property(
			fc.uint8Array({ minLength: 1, maxLength: 6000 }),
			fc.integer({ min: 1, max: 1460 }),
			fc.nat(10),
			(payload, size, options) => {
				fc.pre(payload.length / size < 200);
				const merged = frame(payload, options, 0x80 | 0x18 | 0x01);
				const cutter = new Cutter();
				assert.ok(cutter.begin(merged, 0, merged.length, size));
				const rest: number[] = [];
				for (let i = 0; i < cutter.segments; i++) {
					const to = pool.address(page) + 2;
					const length = cutter.write(i, pool, to, true);
					assert.ok(length <= cutter.longest);
					const bytes = pool.u8.slice(to, to + length);
					const { ipv4, tcp } = decodeFrame(bytes);
					assert.ok(ipv4 && tcp);
					assert.equal(checksum(bytes, 14, 20, 0), 0);
					assert.ok(tcpRight(bytes, length));
					assert.equal(get16(bytes, 16), length - 14);
					assert.equal(get16(bytes, 18), (0xfffe + i) & 0xffff);
					assert.equal(tcp.seq >>> 0, (0xffffff00 + i * size) % 2 ** 32);
					const last = i + 1 === cutter.segments;
					assert.equal(bytes[47], 0x10 | (last ? 0x09 : 0) | (i === 0 ? 0x80 : 0));
					rest.push(...bytes.subarray(54 + options * 4));
				}
				assert.deepEqual(Uint8Array.from(rest), payload);
			},
		),
		{ numRuns: 100 },
	);
});

test("what is not TCP over IPv4, or is shorter than it says, is not cut", () => {
	const good = frame(new Uint8Array(3000));
	const refused = (change: (bytes: Uint8Array) => void, length = good.length): void => {
		const bytes = good.slice();
		change(bytes);
		assert.equal(new Cutter().begin(bytes, 0, length, 1460), false);
	};
	refused((bytes) => bytes.set([0x86, 0xdd], 12));
	refused((bytes) => bytes.set([17], 23));
	refused((bytes) => bytes.set([0x44], 14));
	refused((bytes) => bytes.set([0x40], 46));
	refused(() => {}, good.length - 1);
	refused(() => {}, 40);
	assert.equal(new Cutter().begin(good, 0, good.length, 0), false);
});

test("a checksum that was never completed is told from the field, and completed", () => {
	fc.assert(
		fc.property(fc.uint8Array({ maxLength: 1460 }), fc.nat(10), (payload, options) => {
			const bytes = frame(payload, options);
			assert.ok(isPartial(bytes, 0, bytes.length));
			completeChecksum(bytes, 0);
			assert.ok(tcpRight(bytes, bytes.length));
			assert.ok(!isPartial(bytes, 0, bytes.length) || payload.length === 0);
		}),
	);
	assert.equal(isPartial(frame(new Uint8Array(10)), 0, 50), false, "cut off");
});
