/** Batches of calls by io_uring, over pipes: order, results, pieces, calls that would wait, refusals. */
import assert from "node:assert/strict";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { describe, test } from "node:test";
import { Arena } from "../../src/memory/arena.ts";
import { EAGAIN } from "../../src/sys/errno.ts";
import { Iovecs } from "../../src/sys/iovec.ts";
import { libc } from "../../src/sys/libc.ts";
import { URING_CALLS, URING_READ, URING_READV, URING_WRITE, URING_WRITEV, Uring, uringAvailable } from "../../src/sys/uring.ts";

const EBADF = 9;

function lack(): string | false {
	if (process.platform !== "linux") return "needs Linux";
	const { ok, reason } = uringAvailable();
	return ok ? false : reason;
}

/** The ends of a pipe, a ring, memory. */
function setting(t: { after(f: () => void): void }) {
	const koffi = createRequire(import.meta.url)("koffi");
	const ends = new Int32Array(new ArrayBuffer(8));
	assert.equal(koffi.load(null).func("pipe2", "int", ["void *", "int"])(ends, constants.O_NONBLOCK), 0);
	const [from, to] = ends as unknown as [number, number];
	t.after(() => closeSync(from));
	t.after(() => closeSync(to));
	const arena = new Arena(1 << 20);
	const base = libc().address(arena.u8);
	const pieces = new Iovecs(8, base);
	const uring = new Uring(from, base, pieces);
	t.after(() => uring.close());
	return { from, to, u8: arena.u8, pieces, uring };
}

describe("io_uring", { skip: lack() }, () => {
	test("calls are made in their order, and each has its result", (t) => {
		const { from, to, u8, uring } = setting(t);
		u8.set([1, 2, 3, 4, 5], 1000);
		uring.one(URING_WRITE, to, 1000, 2);
		uring.one(URING_WRITE, to, 1002, 3);
		uring.one(URING_READ, from, 2000, 4);
		uring.one(URING_READ, from, 3000, 4);
		uring.one(URING_READ, from, 4000, 4);
		assert.equal(uring.count, 5);
		assert.equal(uring.run(), 5);
		assert.equal(uring.count, 0);
		// The last one would have to wait for somebody who writes.
		assert.deepEqual([...uring.result.subarray(0, 5)], [2, 3, 4, 1, -EAGAIN]);
		assert.deepEqual([...u8.subarray(2000, 2004)], [1, 2, 3, 4]);
		assert.equal(u8[3000], 5);
	});

	test("pieces are gathered and scattered", (t) => {
		const { from, to, u8, pieces, uring } = setting(t);
		u8.set([1, 2], 1000);
		u8.set([3, 4, 5], 5000);
		pieces.at(2, 1000, 2);
		pieces.at(3, 5000, 3);
		pieces.at(5, 7000, 1);
		pieces.at(6, 8000, 9);
		uring.many(URING_WRITEV, to, 2, 2);
		uring.many(URING_READV, from, 5, 2);
		uring.run();
		assert.deepEqual([...uring.result.subarray(0, 2)], [5, 5]);
		assert.deepEqual([u8[7000], ...u8.subarray(8000, 8004)], [1, 2, 3, 4, 5]);
	});

	test("a batch that is full, many times: indices wrap, nothing is left behind", (t) => {
		const { from, to, u8, uring } = setting(t);
		for (let round = 0; round < 300; round++) {
			const count = 1 + (round % URING_CALLS);
			writeSync(
				to,
				Uint8Array.from({ length: count }, (_, i) => (round + i) & 255),
			);
			for (let i = 0; i < count; i++) uring.one(URING_READ, from, 1000 + i, 1);
			assert.equal(uring.run(), count);
			for (let i = 0; i < count; i++) {
				assert.equal(uring.result[i], 1);
				assert.equal(u8[1000 + i], (round + i) & 255);
			}
		}
	});

	test("a call that is refused stops none behind it", (t) => {
		const { to, u8, uring } = setting(t);
		u8[1000] = 7;
		uring.one(URING_WRITE, to, 1000, 1);
		uring.one(URING_WRITE, 1 << 20, 1000, 1); // no such descriptor
		uring.one(URING_WRITE, to, 1000, 1);
		uring.run();
		assert.deepEqual([...uring.result.subarray(0, 3)], [1, -EBADF, 1]);
	});

	test("what cannot be had is an error with a code, and leaves no descriptor", () => {
		const base = libc().address(new Arena(65536).u8);
		const before = openSync("/dev/null", constants.O_RDONLY);
		closeSync(before);
		assert.throws(() => new Uring(1 << 20, base, new Iovecs(1, base)), {
			code: "EBADF",
			message: /cannot use io_uring: bad file descriptor/,
		});
		const after = openSync("/dev/null", constants.O_RDONLY);
		closeSync(after);
		assert.equal(after, before);
	});
});
