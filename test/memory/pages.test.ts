import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { LANDING_SLACK, PAGE_SIZE, PagePool, SLAB_SIZE } from "../../src/memory/pages.ts";

const CAPACITY = 8;
const makePool = () => new PagePool(new Arena(1 << 16), CAPACITY);

/** What a pool should hold: references by page. */
interface Model {
	refs: Map<number, number>;
	refused: number;
}

/** A page that is held, or undefined. */
function pick(model: Model, choice: number): number | undefined {
	return [...model.refs.keys()][choice % Math.max(model.refs.size, 1)];
}

class Alloc implements fc.Command<Model, PagePool> {
	check = () => true;
	run(model: Model, pool: PagePool): void {
		const page = pool.alloc();
		if (model.refs.size === CAPACITY) {
			assert.equal(page, 0);
			model.refused++;
		} else {
			assert.ok(page > 0 && page <= CAPACITY && !model.refs.has(page));
			const words = [pool.length(page), pool.next(page), pool.seq(page), pool.time(page), pool.flags(page), pool.aux(page)];
			assert.deepEqual(words, [0, 0, 0, 0, 0, 0]);
			assert.equal(pool.start(page), pool.address(page));
			assert.equal(pool.pageAt(pool.address(page)), page);
			assert.equal(pool.pageAt(pool.address(page) + PAGE_SIZE - 1), page);
			model.refs.set(page, 1);
			// Whatever the owner leaves in it, the next one finds a clean descriptor.
			pool.setLength(page, -1);
			pool.setNext(page, page);
			pool.setSeq(page, 1 << 31);
			pool.setTime(page, 7);
			pool.setFlags(page, 255);
			pool.setAux(page, -9);
			pool.setStart(page, 3);
		}
		same(model, pool);
	}
	toString = () => "alloc";
}

class Retain implements fc.Command<Model, PagePool> {
	readonly #choice: number;
	constructor(choice: number) {
		this.#choice = choice;
	}
	check = (model: Readonly<Model>) => model.refs.size > 0;
	run(model: Model, pool: PagePool): void {
		const page = pick(model, this.#choice)!;
		pool.retain(page);
		model.refs.set(page, model.refs.get(page)! + 1);
		same(model, pool);
	}
	toString = () => `retain(${this.#choice})`;
}

class Release implements fc.Command<Model, PagePool> {
	readonly #choice: number;
	constructor(choice: number) {
		this.#choice = choice;
	}
	check = (model: Readonly<Model>) => model.refs.size > 0;
	run(model: Model, pool: PagePool): void {
		const page = pick(model, this.#choice)!;
		pool.release(page);
		const left = model.refs.get(page)! - 1;
		if (left > 0) model.refs.set(page, left);
		else {
			model.refs.delete(page);
			assert.throws(() => pool.release(page), /released more often than held/);
		}
		same(model, pool);
	}
	toString = () => `release(${this.#choice})`;
}

function same(model: Model, pool: PagePool): void {
	assert.equal(pool.inUse, model.refs.size);
	assert.equal(pool.free, CAPACITY - model.refs.size);
	assert.equal(pool.exhausted, model.refused);
	assert.ok(pool.touched >= model.refs.size && pool.touched <= CAPACITY);
	for (const [page, refs] of model.refs) assert.equal(pool.refs(page), refs);
}

test("a pool gives each page to one owner until its last reference is gone, and refuses when it has none", () => {
	const commands = fc.commands([fc.constant(new Alloc()), fc.nat(20).map((n) => new Retain(n)), fc.nat(20).map((n) => new Release(n))], {
		maxCommands: 80,
		size: "max",
	});
	fc.assert(
		fc.property(commands, (list) => fc.modelRun(() => ({ model: { refs: new Map(), refused: 0 }, real: makePool() }), list)),
		{ numRuns: 300 },
	);
});

test("releasing what nobody holds throws, and page 0 is nobody's", () => {
	const pool = makePool();
	assert.throws(() => pool.release(0), /page 0/);
	assert.throws(() => pool.release(3), /page 3/);
	const page = pool.alloc();
	pool.retain(page);
	pool.release(page);
	pool.release(page);
	assert.throws(() => pool.release(page), /released more often than held/);
	assert.equal(pool.inUse, 0);
});

test("an offset outside of all pages belongs to none", () => {
	const pool = makePool();
	for (const offset of [0, pool.address(1) - 1, pool.address(CAPACITY) + PAGE_SIZE]) assert.equal(pool.pageAt(offset), 0);
});

test("a landing that is nearly as long as its buffer is given away as a view, with nothing behind it", () => {
	const pool = new PagePool(new Arena(1 << 16), CAPACITY, 1);
	for (const slack of [0, 1, LANDING_SLACK, LANDING_SLACK + 1]) {
		const buffer = new Uint8Array(1000 + slack).fill(7);
		const page = pool.land(buffer, 1000);
		assert.equal(pool.isWhole(page), slack <= LANDING_SLACK);
		if (pool.isWhole(page)) {
			const given = pool.giveLanded(page);
			assert.deepEqual([given.buffer, given.byteOffset, given.length], [buffer.buffer, 0, 1000]);
			assert.deepEqual(given, new Uint8Array(1000).fill(7));
			assert.deepEqual(buffer.subarray(1000), new Uint8Array(slack));
		}
		pool.release(page);
	}
	const page = pool.land(new Uint8Array(1000), 1000);
	pool.setStart(page, 1);
	pool.setLength(page, 999);
	assert.equal(pool.isWhole(page), false, "its first byte has been read");
});

test("pages never used are not touched before there is need", () => {
	const pool = makePool();
	for (let i = 0; i < 20; i++) pool.release(pool.alloc());
	assert.equal(pool.touched, 1);
});

test("no more than 1 MiB of landings' buffers is kept to be used again", () => {
	const pool = new PagePool(new Arena(1 << 16), CAPACITY, 40);
	const pages = Array.from({ length: 40 }, () => pool.land(new Uint8Array(65_536), 65_536));
	for (const page of pages) pool.release(page);
	let kept = 0;
	while (pool.takeSpare() !== null) kept++;
	assert.equal(kept, 16);
});

test("a landing is a numbered buffer with references; it is given away once, or comes back as a spare", () => {
	const pool = new PagePool(new Arena(1 << 16), CAPACITY, 2);
	const pages = Array.from({ length: CAPACITY }, () => pool.alloc());
	const [first, second] = [new Uint8Array(100), new Uint8Array(200)];
	const a = pool.land(first, 100);
	const b = pool.land(second, 150);
	assert.deepEqual([pool.landingsFree, pool.land(new Uint8Array(1), 1)], [0, 0]);
	assert.ok(a > CAPACITY && b > CAPACITY && a !== b && !pages.includes(a) && !pages.includes(b));
	assert.deepEqual([pool.start(a), pool.length(a), pool.next(a), pool.start(b), pool.length(b)], [0, 100, 0, 0, 150]);
	assert.equal(pool.landed(b), second);
	pool.retain(a);
	pool.release(a);
	assert.equal(pool.landingsFree, 0, "a reference is left");
	assert.equal(pool.giveLanded(a), first);
	pool.release(a);
	assert.deepEqual([pool.landingsFree, pool.takeSpare()], [1, null], "what was given away is not used again");
	pool.release(b);
	assert.deepEqual([pool.landingsFree, pool.takeSpare(), pool.takeSpare()], [2, second, null]);
	assert.throws(() => pool.release(b), /released more often than held/);
	for (const page of [pool.land(second, 150), pool.land(first, 7)]) pool.release(page);
	assert.deepEqual([pool.takeSpare(), pool.takeSpare(), pool.takeSpare()], [first, second, null], "the last one first");
	const again = pool.land(first, 7);
	assert.deepEqual([pool.length(again), pool.refs(again), pool.seq(again)], [7, 1, 0]);
	assert.equal(pool.free, 0, "landings are not pages");
	assert.equal(new PagePool(new Arena(1 << 16), CAPACITY).land(first, 1), 0, "only where there may be some");
});

/** Slices as a test sees them: what they cover of their slab, and who holds them. */
interface Slice {
	slab: number;
	start: number;
	length: number;
	refs: number;
}

test("slices cover their slab without overlap, have numbers of their own, and a slab is free when its last slice is", () => {
	const SLABS = 3;
	const step = fc.tuple(
		fc.constantFrom("open", "fill", "fill", "cut", "cut", "cut", "retain", "release", "release", "page"),
		fc.nat(70_000),
	);
	fc.assert(
		fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
			const pool = new PagePool(new Arena(PagePool.bytes(CAPACITY, 2, SLABS)), CAPACITY, 2, SLABS);
			const landing = pool.land(new Uint8Array(9), 9);
			const slices = new Map<number, Slice>();
			const taken = new Set([landing]);
			const inUse = () => new Set([...slices.values()].map((slice) => slice.slab));
			// What was given out must be new, and clean whatever the owner before has left in it.
			const fresh = (number: number) => {
				assert.ok(!slices.has(number) && !taken.has(number), `${number} has an owner`);
				assert.ok(pool.isSlice(number) && !pool.isSlice(landing) && !pool.isSlice(CAPACITY));
				assert.deepEqual([pool.next(number), pool.seq(number), pool.time(number), pool.flags(number), pool.refs(number)], [0, 0, 0, 0, 1]);
				pool.setNext(number, number);
				pool.setSeq(number, -1);
				pool.setTime(number, 7);
				pool.setFlags(number, 255);
			};
			for (const [kind, n] of steps) {
				const number = [...slices.keys()][n % Math.max(slices.size, 1)] ?? 0;
				const slice = slices.get(number);
				if (kind === "page") {
					const page = pool.alloc();
					assert.ok(page <= CAPACITY);
					if (page !== 0) taken.add(page);
				} else if (kind === "open") {
					const before = inUse();
					const first = pool.openSlab();
					assert.equal(first === 0, before.size === SLABS);
					if (first === 0) continue;
					fresh(first);
					assert.ok(!before.has(pool.aux(first)), "the slab is somebody's");
					assert.deepEqual([pool.length(first), pool.behind(first)], [0, SLAB_SIZE]);
					slices.set(first, { slab: pool.aux(first), start: pool.start(first), length: 0, refs: 1 });
				} else if (slice === undefined) continue;
				else if (kind === "fill") {
					const last = [...slices.values()].every((other) => other.slab !== slice.slab || other.start <= slice.start);
					if (!last) continue;
					slice.length += n % (pool.behind(number) + 1);
					pool.setLength(number, slice.length);
				} else if (kind === "cut") {
					if (slice.length < 2) continue;
					const bytes = 1 + (n % (slice.length - 1));
					const rest = pool.cutSlice(number, bytes);
					const siblings = [...slices.values()].filter((other) => other.slab === slice.slab).length;
					assert.equal(rest === 0, siblings === 128);
					if (rest === 0) continue;
					fresh(rest);
					slices.set(rest, { slab: slice.slab, start: slice.start + bytes, length: slice.length - bytes, refs: 1 });
					slice.length = bytes;
				} else if (kind === "retain") {
					pool.retain(number);
					slice.refs++;
				} else {
					pool.release(number);
					if (--slice.refs === 0) slices.delete(number);
				}
				assert.equal(pool.slabsFree, SLABS - inUse().size);
				const sorted = [...slices].sort(([, a], [, b]) => a.start - b.start);
				let end = 0;
				for (const [each, { slab, start, length, refs }] of sorted) {
					assert.deepEqual([pool.aux(each), pool.start(each), pool.length(each), pool.refs(each)], [slab, start, length, refs]);
					assert.ok(start >= end, "two slices have the same bytes");
					end = start + length;
					const rest = pool.behind(each);
					assert.ok(rest >= 0 && rest + length <= SLAB_SIZE, `${rest} bytes behind ${length}`);
					assert.ok(start > pool.address(CAPACITY) + PAGE_SIZE - 1, "it lies in a page");
				}
			}
			for (const [number, { refs }] of slices) for (let i = 0; i < refs; i++) pool.release(number);
			assert.equal(pool.slabsFree, SLABS);
			for (const number of slices.keys()) assert.throws(() => pool.release(number), /released more often than held/);
		}),
		{ numRuns: 300 },
	);
});

test("a slab is cut into 128 slices at most, which takes none from another slab; freed, they can be had again", () => {
	const pool = new PagePool(new Arena(PagePool.bytes(CAPACITY, 0, 2)), CAPACITY, 0, 2);
	for (let round = 0; round < 3; round++) {
		const slices: number[] = [];
		for (let slab = 0; slab < 2; slab++) {
			let slice = pool.openSlab();
			pool.setLength(slice, SLAB_SIZE);
			for (; slice !== 0; slice = pool.cutSlice(slice, 7)) slices.push(slice);
			assert.equal(slices.length, 128 * (slab + 1));
			assert.equal(pool.length(slices.at(-1)!), SLAB_SIZE - 127 * 7, "what could not be cut is whole");
		}
		assert.equal(new Set(slices).size, 256);
		assert.deepEqual([pool.openSlab(), pool.slabsFree, pool.inUse], [0, 0, 0]);
		// Room for one more in the slab that gave one back, and only there.
		pool.release(slices.shift()!);
		assert.equal(pool.cutSlice(slices.at(-1)!, 1), 0);
		const again = pool.cutSlice(slices[0]!, 1);
		assert.deepEqual([pool.length(again), pool.length(slices[0]!)], [6, 1]);
		for (const slice of [...slices, again]) pool.release(slice);
		assert.equal(pool.slabsFree, 2);
	}
	assert.equal(pool.slabsTouched, 2);
});

test("without slabs there are none", () => {
	const pool = makePool();
	assert.deepEqual([pool.openSlab(), pool.slabsFree, pool.slabs], [0, 0, 0]);
});
