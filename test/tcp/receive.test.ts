/** The receive segment alone, against an array of bytes: whatever order, overlap and repetition, each byte is delivered once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LANDING_SLACK } from "../../src/memory/pages.ts";
import { writeSackBlocks } from "../../src/tcp/early.ts";
import {
	beforeLanding,
	dropFirst,
	dropReceived,
	firstPiece,
	readInto,
	receiveData,
	receiveLanding,
	takeLanding,
} from "../../src/tcp/receive.ts";
import { C_ACK_NOW, C_SACK } from "../../src/tcp/state.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";
import { decodeSack } from "../helpers/segment.ts";

const LENGTH = 1500;
const LANDINGS = 3;
/** What is in the memory of a landing before it is one. */
const FOREIGN = 171;

const stream = new Uint8Array(LENGTH + 3000);
for (let i = 0; i < stream.length; i++) stream[i] = (i * 31) ^ (i >> 8);

/** Ranges of `true`, as [from, to). */
function ranges(have: readonly boolean[], from: number): [number, number][] {
	const list: [number, number][] = [];
	for (let i = from; i < have.length; i++) {
		if (!have[i]) continue;
		const last = list.at(-1);
		if (last !== undefined && last[1] === i) last[1] = i + 1;
		else list.push([i, i + 1]);
	}
	return list;
}

const step = fc.oneof(
	{
		weight: 8,
		arbitrary: fc.record({
			kind: fc.constant("segment" as const),
			at: fc.oneof(fc.nat(LENGTH), fc.nat(40)),
			length: fc.oneof(fc.nat(700), fc.nat(20)),
			/** Relative to what comes next, not to the start. */
			near: fc.boolean(),
			/** The link has read it to a buffer of its own, with so many bytes to spare; below 0: to a page. */
			landing: fc.oneof(fc.constant(-1), fc.constantFrom(0, 1, LANDING_SLACK, LANDING_SLACK + 1), fc.nat(2 * LANDING_SLACK)),
		}),
	},
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("read" as const), most: fc.oneof(fc.nat(50), fc.nat(4000)), take: fc.boolean() }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("skip" as const), fewer: fc.integer({ min: -40, max: 700 }) }) },
	{ weight: 2, arbitrary: fc.record({ kind: fc.constant("report" as const), most: fc.constantFrom(3, 4) }) },
);

for (const origin of [0, -2000, 0x7ffffff0]) {
	test(`bytes are delivered once and in order, SACK and DSACK say what the model says (first byte ${origin})`, () => {
		fc.assert(
			fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: "max" }), (steps) => {
				const { t, pool, connection } = bareTcp({}, 512, LANDINGS);
				const c = connection();
				c.flags |= C_SACK;
				c.rcvNxt = origin;
				c.rcvAdv = (origin + LENGTH) | 0;
				c.rcvBuf = LENGTH;
				const have = new Array<boolean>(LENGTH).fill(false);
				let next = 0;
				let read = 0;
				let finDone = false;
				let duplicates = new Set<number>();
				let newest = -1;
				for (const { kind, ...what } of steps) {
					if ("at" in what) {
						if (finDone) continue;
						const at = what.near ? Math.max(0, Math.min(next + what.at - 20, LENGTH)) : what.at;
						const length = Math.min(what.length, LENGTH - at);
						const end = at + length;
						const buffer = new Uint8Array(length + Math.max(what.landing, 0)).fill(FOREIGN);
						buffer.set(stream.subarray(at, end));
						const landing = length > 0 && what.landing >= 0 ? pool.land(buffer, length) : 0;
						const page = landing || pool.alloc();
						const start = landing ? 0 : pool.address(page) + 100;
						if (landing === 0) pool.u8.set(stream.subarray(at, end), start);
						const receive = landing ? receiveLanding : receiveData;
						// The peer's FIN is behind the last byte, whatever segment carries it.
						const fin = end === LENGTH;
						t.finArrived = false;
						if (!receive(t, c, page, start, length, (origin + at) | 0, fin)) pool.release(page);
						for (let i = at; i < end; i++) {
							if (have[i]) duplicates.add(i);
							have[i] = true;
						}
						// A FIN alone is in no block.
						if (at > next && (length > 0 || fin)) newest = length > 0 ? at : -1;
						while (next < LENGTH && have[next]) next++;
						finDone = t.finArrived;
						if (finDone) assert.equal(next, LENGTH, "the FIN came before the last byte");
					} else if ("take" in what) {
						const before = beforeLanding(t, c, what.most);
						assert.ok(before <= what.most);
						const whole = what.take ? takeLanding(t, c) : null;
						if (whole !== null) {
							assert.equal(before, 0);
							assert.ok(whole.length <= next - read);
							assert.deepEqual(whole, stream.slice(read, read + whole.length));
							const behind = new Uint8Array(whole.buffer, whole.length);
							assert.ok(whole.byteOffset === 0 && behind.length <= LANDING_SLACK);
							assert.ok(
								behind.every((byte) => byte === 0),
								"what was in that memory before cannot be seen",
							);
							read += whole.length;
						} else if (what.take) assert.ok(before > 0 || what.most === 0, "what is at the head can be taken");
						const most = what.take ? Math.min(before, next - read) : what.most;
						const target = new Uint8Array(most);
						const taken = readInto(t, c, target, 0, most);
						assert.equal(taken, Math.min(most, next - read));
						if (what.take && whole === null && before < what.most && before > 0)
							assert.notEqual(c.rcvHead, 0, "there is something to take then");
						assert.deepEqual(target.subarray(0, taken), stream.subarray(read, read + taken));
						read += taken;
					} else if ("fewer" in what) {
						const piece = firstPiece(t, c);
						if (next === read) assert.equal(piece, null);
						else {
							assert.ok(piece !== null && piece.length > 0 && piece.length <= next - read);
							assert.deepEqual(Uint8Array.from(piece), stream.slice(read, read + piece.length));
						}
						const wanted = Math.max(0, (piece?.length ?? 0) - what.fewer);
						const skipped = dropFirst(t, c, wanted);
						assert.equal(skipped, Math.min(wanted, next - read));
						read += skipped;
					} else {
						const at = pool.arena.reserve(64);
						const length = writeSackBlocks(t, c, at, what.most);
						const blocks = decodeSack(pool.u8.subarray(at, at + length)).map(
							(edge) => [(edge[0] - origin) | 0, (edge[1] - origin) | 0] as const,
						);
						assert.ok(blocks.length <= what.most);
						const early = ranges(have, next);
						const isBlock = ([from, to]: readonly [number, number]) => early.some((block) => block[0] === from && block[1] === to);
						const first = blocks[0];
						const rest = first !== undefined && !isBlock(first) ? blocks.slice(1) : blocks;
						if (rest !== blocks) {
							for (let i = first![0]; i < Math.min(first![1], LENGTH); i++)
								assert.ok(duplicates.has(i), `byte ${i} is reported twice, and came once`);
						}
						for (const block of rest.slice(duplicates.size > 0 ? 1 : 0)) assert.ok(isBlock(block), `${block} is no block`);
						const full = Math.min(what.most - (blocks.length - rest.length), early.length);
						assert.ok(
							rest.length >= Math.min(full, what.most - 1) - (duplicates.size > 0 ? 1 : 0),
							`${rest.length} of ${early.length} blocks`,
						);
						const holder = early.find(([from, to]) => from <= newest && newest < to);
						if (holder !== undefined && duplicates.size === 0) assert.deepEqual(rest[0], holder, "the newest block first (RFC 2018 4)");
						duplicates = new Set();
					}
					assert.equal((c.rcvNxt - origin) | 0, next);
					assert.equal(c.rcvBytes, next - read);
					const early = ranges(have, next).reduce((sum, [from, to]) => sum + to - from, 0);
					let listed = 0;
					for (let page = c.oooHead; page !== 0; page = pool.next(page)) listed += pool.length(page);
					assert.equal(listed, early, "bytes in the early list");
				}
				dropReceived(t, c);
				assert.deepEqual([pool.inUse, pool.landingsFree], [0, LANDINGS]);
			}),
			{ numRuns: 500 },
		);
	});
}

test("RFC 5681 4.2: of a frame that the link has merged, each early page counts as a segment; all but the last ACK leave at once", () => {
	const { t, pool, connection } = bareTcp({}, 64, 1);
	const c = connection();
	c.rcvAdv = (c.rcvNxt + 65_535) | 0;
	const buffer = new Uint8Array(4 * 2048);
	const landing = pool.land(buffer, buffer.length) || assert.fail("no landing");
	receiveLanding(t, c, landing, 0, buffer.length, (c.rcvNxt + 1448) | 0, false);
	pool.release(landing);
	assert.equal(t.counters.segmentsOut, 3);
	assert.equal(c.flags & C_ACK_NOW, C_ACK_NOW);
	dropReceived(t, c);
});
