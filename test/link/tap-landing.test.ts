/** The guess at the next long frame: whatever comes, no byte is lost or moved; what was guessed lands, and only that can be had whole. */
import assert from "node:assert/strict";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { FRAME_OFFSET, FRAME_ROOM } from "../../src/link/frames.ts";
import { TapLanding } from "../../src/link/tap-landing.ts";
import { VNET_HEADER } from "../../src/link/vnet.ts";
import { Arena } from "../../src/memory/arena.ts";
import { LANDING_SLACK, PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import { libc } from "../../src/sys/libc.ts";

const directory = mkdtempSync(join(tmpdir(), "millrace-landing-"));
after(() => rmSync(directory, { recursive: true }));
const LANDINGS = 4;
const SLOTS = 33;

/** A frame behind the kernel's header: TCP over IPv4 with so many bytes of headers, or something else of that length. */
function frame(headers: number, payload: number, tcp = true): Uint8Array {
	const bytes = Uint8Array.from({ length: VNET_HEADER + headers + payload }, (_, i) => (i * 29 + (i >> 8) * 7) & 255);
	const at = VNET_HEADER;
	bytes.set([8, 0, 0x45], at + 12);
	bytes[at + 23] = tcp ? 6 : 17;
	bytes[at + 46] = ((headers - 34) / 4) << 4;
	return bytes;
}

/** A link's side of it: reads frames from files, whose ends are the frames' ends. */
function reader() {
	const pool = new PagePool(new Arena(1 << 20), SLOTS, LANDINGS);
	const landing = new TapLanding(pool, libc(), libc().address(pool.u8));
	const slots = Int32Array.from({ length: SLOTS }, () => pool.alloc());
	const start = pool.address(slots[0]!) + FRAME_OFFSET;
	const path = join(directory, "frame");
	return {
		pool,
		landing,
		/** The long way: straight to the slots. */
		learn(bytes: Uint8Array): void {
			pool.u8.set(bytes.subarray(VNET_HEADER, VNET_HEADER + FRAME_ROOM), start);
			landing.learn(start, bytes.length - VNET_HEADER);
		},
		/** By a guess; the landing and its payload, or what was put into the slots. */
		read(bytes: Uint8Array): { page: number; frame: Uint8Array } {
			writeFileSync(path, bytes);
			const fd = openSync(path, "r");
			const length = landing.read(fd, start - VNET_HEADER) - VNET_HEADER;
			closeSync(fd);
			assert.equal(length, bytes.length - VNET_HEADER);
			const page = landing.land(start, length);
			if (page !== 0) {
				const payload = pool.landed(page).subarray(0, pool.length(page));
				return { page, frame: Buffer.concat([pool.u8.subarray(start, start + landing.headers), payload]) };
			}
			if (length > landing.headers) landing.scatter(slots, length, FRAME_ROOM, PAGE_SIZE);
			const parts = [pool.u8.slice(start, start + Math.min(length, FRAME_ROOM))];
			for (let i = 1, left = length - FRAME_ROOM; left > 0; i++, left -= PAGE_SIZE)
				parts.push(pool.u8.slice(pool.address(slots[i]!), pool.address(slots[i]!) + Math.min(left, PAGE_SIZE)));
			return { page: 0, frame: Buffer.concat(parts) };
		},
	};
}

const frames = fc.record({
	headers: fc.constantFrom(54, 66, 66, 66, 78),
	payload: fc.oneof(fc.constant(65160), fc.constant(65152), fc.nat(65400), fc.nat(3000)),
	tcp: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
	held: fc.boolean(),
});

test("what is read by a guess is what came, wherever it lies", () => {
	fc.assert(
		fc.property(fc.array(frames, { minLength: 4, maxLength: 30, size: "max" }), (list) => {
			const { pool, landing, learn, read } = reader();
			const held: { page: number; copy: Uint8Array }[] = [];
			for (const { headers, payload, tcp, held: hold } of list) {
				const bytes = frame(headers, payload, tcp);
				if (!landing.ready) {
					if (payload > 1460) learn(bytes);
					if (held.length > 0) pool.release(held.shift()!.page);
					continue;
				}
				const { page, frame: got } = read(bytes);
				assert.ok(Buffer.from(got).equals(bytes.subarray(VNET_HEADER)));
				if (page === 0) continue;
				if (hold) held.push({ page, copy: got.slice(landing.headers) });
				else pool.release(page);
			}
			for (const { page, copy } of held) {
				assert.ok(Buffer.from(copy).equals(pool.landed(page).subarray(0, pool.length(page))), "what is held stays what it is");
				pool.release(page);
			}
			assert.equal(pool.landingsFree, LANDINGS);
		}),
		{ numRuns: 200 },
	);
});

test("two frames alike make a guess; it is given up when most are of another kind; a landing that is full can be had whole", () => {
	const { pool, landing, learn, read } = reader();
	learn(frame(66, 65160));
	assert.equal(landing.ready, false);
	learn(frame(66, 65160));
	assert.equal(landing.ready, true);
	const full = read(frame(66, 65160)).page;
	assert.ok(pool.isWhole(full) && pool.landed(full).length === pool.length(full));
	const shorter = read(frame(66, 65160 - LANDING_SLACK - 1)).page;
	assert.ok(shorter > 0 && !pool.isWhole(shorter) && pool.landed(shorter).length > pool.length(shorter));
	assert.equal(read(frame(66, 1448)).page, 0, "a short one is not worth it");
	assert.equal(read(frame(78, 65148)).page, 0, "other headers");
	assert.equal(read(frame(66, 65160, false)).page, 0, "no TCP");
	for (const page of [full, shorter]) pool.release(page);
	for (let i = 0; landing.ready; i++) {
		assert.ok(i < 20);
		const { page } = read(frame(66, 40000));
		assert.ok(page > 0);
		pool.release(page);
	}
	while (!landing.ready) learn(frame(66, 40000));
	const page = read(frame(66, 40000)).page;
	assert.equal(pool.landed(page).length, 40000);
	assert.equal(pool.landingsFree, LANDINGS - 1);
});

test("frames that are a few bytes shorter keep the guess as it is, and are had whole: a view, with nothing behind it", () => {
	const { pool, landing, learn, read } = reader();
	learn(frame(66, 65152));
	learn(frame(66, 65160));
	for (let i = 0; i < 50; i++) {
		const payload = 65160 - [8, 0, LANDING_SLACK, 1, LANDING_SLACK][i % 5]!;
		const bytes = frame(66, payload);
		assert.ok(landing.ready);
		const { page } = read(bytes);
		assert.ok(page > 0 && pool.landed(page).length === 65160, "the guess is the longest of those that are nearly alike");
		assert.ok(pool.isWhole(page));
		// As if another connection's bytes had been there before.
		pool.landed(page).fill(171, payload);
		const chunk = pool.giveLanded(page);
		pool.release(page);
		assert.deepEqual([chunk.byteOffset, chunk.length, chunk.buffer.byteLength], [0, payload, 65160]);
		assert.ok(Buffer.from(chunk).equals(bytes.subarray(VNET_HEADER + 66)));
		assert.ok(new Uint8Array(chunk.buffer, payload).every((byte) => byte === 0));
	}
});

test("a guess that is a few bytes too short grows by the first frame that is longer", () => {
	const { pool, landing, learn, read } = reader();
	learn(frame(66, 65152));
	learn(frame(66, 65152));
	assert.equal(read(frame(66, 65160)).page, 0);
	learn(frame(66, 65160));
	for (const payload of [65160, 65152, 65160]) {
		assert.ok(landing.ready);
		const { page } = read(frame(66, payload));
		assert.deepEqual([pool.length(page), pool.landed(page).length], [payload, 65160]);
		pool.release(page);
	}
});

test("no guess where all landings are held", () => {
	const { pool, landing, learn, read } = reader();
	for (let i = 0; i < 4; i++) learn(frame(66, 30000));
	const pages = Array.from({ length: LANDINGS }, () => read(frame(66, 30000)).page);
	assert.equal(landing.ready, false);
	pool.release(pages[0]!);
	assert.equal(landing.ready, true);
});
