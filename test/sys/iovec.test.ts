import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { Iovecs } from "../../src/sys/iovec.ts";

it("a piece at an offset is a piece at base plus offset, beyond 32 bits as well", () => {
	fc.assert(
		fc.property(
			fc.bigInt({ min: 0n, max: (1n << 47n) - 1n }),
			fc.integer({ min: 0, max: 0x7fffffff }),
			fc.integer({ min: 0, max: 0x7fffffff }),
			(base, offset, length) => {
				const a = new Iovecs(2, base);
				const b = new Iovecs(2);
				a.at(1, offset, length);
				b.set(1, base + BigInt(offset), length);
				assert.deepEqual(a.bytes, b.bytes);
			},
		),
		{
			examples: [
				[0x7fff_ffff_0000n, 0xffff, 1],
				[0x7ffe_ffff_ffffn, 1, 1],
				[0xffff_fff0n, 0x7fffffff, 66],
			],
		},
	);
});
