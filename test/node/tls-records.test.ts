import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TlsRecords } from "../../src/node/tls-records.ts";

/** Application data of so many bytes. */
function record(length: number): Uint8Array {
	return Uint8Array.from([23, 3, 3, length >> 8, length & 255, ...new Array<number>(length).fill(0xff)]);
}

test("the ends of records are found, wherever the stream is cut", () => {
	fc.assert(
		fc.property(
			fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 8 }),
			fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
			(lengths, cuts) => {
				const bytes = Buffer.concat(lengths.map(record));
				const ends = new Set<number>();
				let end = 0;
				for (const length of lengths) {
					end += 5 + length;
					ends.add(end);
				}
				const records = new TlsRecords();
				for (let at = 0, i = 0; at < bytes.length; i++) {
					const piece = bytes.subarray(at, at + cuts[i % cuts.length]!);
					records.came(piece, piece.length);
					at += piece.length;
					const inHeader = !records.inside;
					// Where the header is known, `next` leads to an end; else to the rest of the header.
					const upcoming = [...ends].find((e) => e > at - (inHeader && ends.has(at) ? 1 : 0))!;
					if (!inHeader) assert.ok(ends.has(at + records.next));
					else if (ends.has(at) || at === 0) assert.equal(records.next, 5);
					else assert.ok(records.next < 5 && at + records.next <= upcoming);
				}
			},
		),
	);
});
