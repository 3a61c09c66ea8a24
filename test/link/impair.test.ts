import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { checkImpairOptions, type ImpairOptions, impairLink } from "../../src/link/impair.ts";
import { Impairment } from "../../src/link/impairment.ts";
import type { Link } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { Batch } from "../../src/memory/batch.ts";
import type { PagePool } from "../../src/memory/pages.ts";
import { SeededRandom } from "../../src/time/random.ts";
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { pushFrame } from "./compliance.ts";

/** An impaired end, where the impairments are, and a plain one; frames are noted when they come, as a busy host would. */
class Wire {
	readonly clock: VirtualClock;
	readonly near: Speaker;
	readonly far: Speaker;
	readonly link: Link;
	readonly nearPool: PagePool = makePool(8192);
	readonly farPool: PagePool = makePool(8192);
	readonly atNear: { bytes: Uint8Array; time: number }[] = [];
	readonly atFar: { bytes: Uint8Array; time: number }[] = [];

	constructor(options: ImpairOptions, start?: number, runtimeSeed = 1) {
		this.clock = new VirtualClock(start, runtimeSeed);
		const [a, b] = memoryLinkPair({ capacity: 16384 });
		this.link = impairLink(a, options);
		this.near = new Speaker(this.link, { pool: this.nearPool, runtime: this.clock.runtime });
		this.far = new Speaker(b, { pool: this.farPool, runtime: this.clock.runtime });
		this.near.onwake = () => this.clock.runtime.defer(() => this.atNear.push(...this.near.receive()));
		this.far.onwake = () => this.clock.runtime.defer(() => this.atFar.push(...this.far.receive()));
	}

	/** Sends `count` numbered frames from one end, `gap` microseconds apart, and waits until nothing is under way. */
	stream(from: "near" | "far", count: number, gap: number, length = 100): void {
		for (let i = 0; i < count; i++) {
			this[from].send(numbered(i, length));
			this.clock.advance(gap);
		}
		this.clock.advance(100_000_000);
	}

	close(): void {
		this.near.link.close();
		this.far.link.close();
		assert.equal(this.nearPool.inUse + this.farPool.inUse, 0, "pages are left in use");
	}
}

function numbered(i: number, length: number): Uint8Array {
	const bytes = new Uint8Array(length).fill(0x55);
	bytes[0] = i >> 8;
	bytes[1] = i & 255;
	return bytes;
}

function numbers(frames: readonly { bytes: Uint8Array }[]): number[] {
	return frames.map(({ bytes }) => (bytes[0]! << 8) | bytes[1]!);
}

const both = ["near", "far"] as const;
const sink = (wire: Wire, from: "near" | "far") => (from === "near" ? wire.atFar : wire.atNear);
const side = (from: "near" | "far") => (from === "near" ? "out" : "in");

for (const from of both) {
	describe(`frames ${from === "near" ? "from" : "towards"} the host`, () => {
		test("a loss of 10 % loses about that, and counts it", () => {
			const wire = new Wire({ loss: 0.1, seed: 7 });
			wire.stream(from, 5000, 10);
			const got = sink(wire, from).length;
			assert.ok(got > 4400 && got < 4600, `${got} of 5000`);
			assert.equal(wire.link.counters()[`impair.${side(from)}Lost`], 5000 - got);
			wire.close();
		});

		test("a loss of 1 loses all, a loss of 0 nothing", () => {
			for (const [loss, count] of [
				[1, 0],
				[0, 50],
			] as const) {
				const wire = new Wire({ loss, delay: 1 });
				wire.stream(from, 50, 10);
				assert.equal(sink(wire, from).length, count);
				wire.close();
			}
		});

		test("a delay is exact to the microsecond in the arrival stamps", () => {
			const wire = new Wire({ delay: 20_000 });
			const start = wire.clock.now();
			wire.stream(from, 20, 700);
			assert.deepEqual(
				sink(wire, from).map(({ time }) => time),
				Array.from({ length: 20 }, (_, i) => (start + i * 700 + 20_000) | 0),
			);
			wire.close();
		});

		test("jitter spreads the delay but keeps the order", () => {
			const wire = new Wire({ delay: 20_000, jitter: 5000, seed: 3 });
			const start = wire.clock.now();
			wire.stream(from, 500, 100);
			const got = sink(wire, from);
			assert.deepEqual(
				numbers(got),
				Array.from({ length: 500 }, (_, i) => i),
			);
			const delays = got.map(({ time }, i) => (time - ((start + i * 100) | 0)) | 0);
			assert.ok(Math.min(...delays) >= 15_000 && Math.max(...delays) <= 25_000);
			assert.ok(Math.max(...delays) - Math.min(...delays) > 2000);
			wire.close();
		});

		test("reordering holds chosen frames back and leaves the others in order", () => {
			const wire = new Wire({ reorder: 0.1, seed: 5, delay: 10_000, jitter: 1000 });
			wire.stream(from, 500, 100);
			const order = numbers(sink(wire, from));
			const held = wire.link.counters()[`impair.${side(from)}Reordered`]!;
			assert.ok(held > 25 && held < 75);
			assert.deepEqual(
				[...order].sort((a, b) => a - b),
				Array.from({ length: 500 }, (_, i) => i),
			);
			const late = order.filter((n, i) => order.slice(0, i).some((other) => other > n));
			assert.ok(late.length > 0 && late.length <= held, `${late.length} late, ${held} held back`);
			wire.close();
		});

		test("a duplicate comes twice, in pages of its own", () => {
			const wire = new Wire({ duplicate: 0.5, seed: 2 });
			wire.stream(from, 100, 10);
			const counters = wire.link.counters();
			const doubles = counters[`impair.${side(from)}Duplicated`]!;
			assert.ok(doubles > 30 && doubles < 70);
			assert.equal(sink(wire, from).length, 100 + doubles);
			for (const { bytes } of sink(wire, from)) assert.ok(bytes.subarray(2).every((byte) => byte === 0x55));
			wire.close();
		});

		test("corruption flips exactly one bit, and never in a page that the host still holds", () => {
			const wire = new Wire({ corrupt: 0.5, seed: 4 });
			for (let i = 0; i < 200; i++) {
				const speaker = wire[from];
				pushFrame(speaker.batch, new Uint8Array(60));
				const page = speaker.batch.page[0]!;
				const start = speaker.batch.start[0]!;
				speaker.batch.pool.retain(page);
				speaker.link.transmit(speaker.batch);
				speaker.link.flush();
				wire.clock.advance(10);
				assert.ok(speaker.batch.pool.u8.subarray(start, start + 60).every((byte) => byte === 0));
				speaker.batch.pool.release(page);
			}
			wire.clock.advance(1000);
			const flipped = sink(wire, from).map(({ bytes }) =>
				bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0),
			);
			assert.equal(flipped.length, 200);
			assert.ok(flipped.every((bits) => bits <= 1));
			const count = flipped.filter((bits) => bits === 1).length;
			assert.ok(count > 70 && count < 130);
			assert.equal(wire.link.counters()[`impair.${side(from)}Corrupted`], count);
			wire.close();
		});

		test("a rate spaces frames by their bits, and the queue behind it ends at its limit", () => {
			const wire = new Wire({ rate: 10e6, limit: 50 });
			const start = wire.clock.now();
			for (let i = 0; i < 80; i++) wire[from].send(numbered(i, 1250)); // 1 ms each
			wire.clock.advance(1_000_000);
			const got = sink(wire, from);
			assert.deepEqual(
				got.map(({ time }) => time),
				Array.from({ length: 50 }, (_, i) => (start + (i + 1) * 1000) | 0),
			);
			assert.equal(wire.link.counters()[`impair.${side(from)}DropQueue`], 30);
			wire.close();
		});

		test("the queue's limit can be in bytes", () => {
			const wire = new Wire({ rate: 10e6, limitBytes: 10_000 });
			for (let i = 0; i < 20; i++) wire[from].send(numbered(i, 1250));
			wire.clock.advance(1_000_000);
			assert.equal(sink(wire, from).length, 8);
			wire.close();
		});

		test("a rate is kept in the long run though alarms are late and frames need fractions of a microsecond", () => {
			const wire = new Wire({ rate: 100e6, delay: 20_000 });
			const start = wire.clock.now();
			// 1514 bytes at 100 Mbit/s: 121.12 us. Offered faster than that, by a sender that looks up once per millisecond.
			let sent = 0;
			const late = wire.clock.runtime.alarm(() => {
				for (let i = 0; i < 9; i++) wire[from].send(numbered(sent++, 1500));
				if (sent < 4500) late.set(wire.clock.now() + 1000 + (sent % 7) * 10);
			});
			late.set(start + 1);
			wire.clock.advance(10_000_000);
			const got = sink(wire, from);
			const dropped = wire.link.counters()[`impair.${side(from)}DropQueue`]!;
			assert.equal(got.length + dropped, sent);
			const span = (got.at(-1)!.time - got[0]!.time) | 0;
			assert.ok(Math.abs(span - (got.length - 1) * 120) <= 1, `${span} us for ${got.length} frames`);
			assert.equal((got[0]!.time - ((start + 1) | 0)) | 0, 20_120);
			wire.close();
		});

		test("a drop rule sees each frame with its number, and its word counts", () => {
			const seen: number[] = [];
			const wire = new Wire({
				drop: (frame, direction, index) => {
					if (direction !== side(from)) return false;
					assert.equal((frame[0]! << 8) | frame[1]!, index);
					seen.push(index);
					return index === 3 || index === 5;
				},
			});
			wire.stream(from, 8, 10);
			assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
			assert.deepEqual(numbers(sink(wire, from)), [0, 1, 2, 4, 6, 7]);
			assert.equal(wire.link.counters()[`impair.${side(from)}Ruled`], 2);
			wire.close();
		});
	});
}

test("without a free page a double is not made and a damaged frame is lost; both are counted", () => {
	const wire = new Wire({ duplicate: 1, corrupt: 1, delay: 10 });
	pushFrame(wire.near.batch, new Uint8Array(60));
	const page = wire.near.batch.page[0]!;
	wire.nearPool.retain(page);
	const held: number[] = [];
	for (let other = wire.nearPool.alloc(); other !== 0; other = wire.nearPool.alloc()) held.push(other);
	wire.link.transmit(wire.near.batch);
	wire.link.flush();
	wire.clock.advance(1000);
	assert.equal(wire.atFar.length, 0);
	assert.equal(wire.link.counters()["impair.outDropNoPage"], 2);
	for (const other of [...held, page]) wire.nearPool.release(other);
	wire.close();
});

test("impairments of one direction leave the other alone", () => {
	const wire = new Wire({ out: { delay: 5000 }, in: { loss: 1 } });
	const start = wire.clock.now();
	wire.near.send(numbered(1, 50));
	wire.far.send(numbered(2, 50));
	wire.clock.advance(10_000);
	assert.deepEqual(
		wire.atFar.map(({ time }) => time),
		[(start + 5000) | 0],
	);
	assert.deepEqual(wire.atNear, []);
	wire.close();
});

test("a direction with nothing to impair counts what goes past", () => {
	for (const options of [{}, { in: { loss: 1 } }, { limit: 1, loss: 0 }]) {
		const wire = new Wire(options);
		wire.stream("near", 3, 10);
		assert.equal(wire.atFar.length, 3);
		assert.equal(wire.link.counters()["impair.outSeen"], 3);
		wire.stream("far", 2, 10);
		assert.equal(wire.link.counters()["impair.inSeen"], 2);
		wire.close();
	}
});

test("what one direction carries does not change the fate of the other", () => {
	const fates = [0, 300].map((count) => {
		const wire = new Wire({ loss: 0.3, seed: 11 });
		wire.stream("far", count, 10);
		wire.stream("near", 200, 10);
		wire.close();
		return numbers(wire.atFar);
	});
	assert.deepEqual(fates[0], fates[1]);
});

test("without a seed, chance comes from the runtime", () => {
	const fate = (seed: number) => {
		const wire = new Wire({ loss: 0.3 }, undefined, seed);
		wire.stream("near", 200, 10);
		wire.close();
		return numbers(wire.atFar);
	};
	assert.deepEqual(fate(1), fate(1));
	assert.notDeepEqual(fate(1), fate(2));
});

const probability = fc.constantFrom(0, 0.05, 0.5);
const impairments = fc.record(
	{
		loss: probability,
		duplicate: probability,
		corrupt: probability,
		reorder: probability,
		delay: fc.nat(30_000),
		jitter: fc.nat(10_000),
		rate: fc.integer({ min: 1e5, max: 1e9 }),
		limit: fc.integer({ min: 1, max: 100 }),
	},
	{ requiredKeys: [] },
);

test("any mix of impairments is a function of its seed, loses no page, and accounts for every frame", () => {
	fc.assert(
		fc.property(impairments, fc.integer(), fc.array(fc.nat(3000), { maxLength: 60 }), fc.nat(2 ** 32), (options, seed, gaps, start) => {
			const run = () => {
				const wire = new Wire({ ...options, seed }, start);
				for (const [i, gap] of gaps.entries()) {
					wire[both[i & 1]!].send(numbered(i, 40 + (gap % 1400)));
					wire.clock.advance(gap);
				}
				wire.clock.advance(200_000_000);
				const { atFar, atNear } = wire;
				const counters = wire.link.counters();
				wire.close();
				return { atFar, atNear, counters };
			};
			const first = run();
			assert.deepEqual(run(), first);
			const { counters } = first;
			for (const [name, frames] of [
				["in", first.atNear],
				["out", first.atFar],
			] as const) {
				const of = (counter: string) => counters[`impair.${name}${counter}`]!;
				assert.equal(frames.length, of("Seen") + of("Duplicated") - of("Lost") - of("DropQueue"));
				for (let i = 1; i < frames.length; i++) assert.ok(((frames[i]!.time - frames[i - 1]!.time) | 0) >= 0);
			}
		}),
		// The example: nothing to impair, which chance seldom makes.
		{ numRuns: 60, examples: [[{}, 0, [0], 0]] },
	);
});

test("closing releases what is on its way", () => {
	const wire = new Wire({ delay: 50_000 });
	for (let i = 0; i < 30; i++) {
		wire.near.send(numbered(i, 100));
		wire.far.send(numbered(i, 100));
	}
	wire.clock.advance(1000);
	assert.ok(wire.nearPool.inUse > 0);
	wire.close();
});

test("a drop rule that throws: frames before it are on their way, those from it on are the caller's still, and no page is released twice", () => {
	const wire = new Wire({
		drop: (_frame, direction, index) => {
			if (direction === "out" && index === 2) throw new Error("no rule for this one");
			return false;
		},
	});
	const { batch } = wire.near;
	for (let i = 0; i < 5; i++) pushFrame(batch, numbered(i, 100));
	assert.throws(() => wire.link.transmit(batch), /no rule/);
	assert.equal(batch.count, 3);
	assert.equal(wire.link.transmit(batch), 3);
	wire.link.flush();
	wire.clock.advance(1000);
	assert.deepEqual(numbers(wire.atFar), [0, 1, 2, 3, 4]);
	wire.close();
});

test("a drop rule that throws at a frame towards the host loses that one and those fetched with it, once", () => {
	const wire = new Wire({
		drop: (_frame, direction, index) => {
			if (direction === "in" && index === 2) throw new Error("no rule for this one");
			return false;
		},
	});
	wire.near.onwake = () => {};
	for (let i = 0; i < 5; i++) wire.far.send(numbered(i, 100));
	assert.throws(() => wire.near.receive(), /no rule/);
	for (let i = 5; i < 7; i++) wire.far.send(numbered(i, 100));
	assert.deepEqual(numbers(wire.near.receive()), [0, 1, 5, 6]);
	wire.close();
});

test("of an empty frame no bit can be wrong: it passes, and the frame behind it stays as it is", () => {
	const pool = makePool(64);
	const impairment = new Impairment("in", { corrupt: 1 }, new SeededRandom(1), pool);
	const batch = new Batch(pool);
	batch.push(pool.alloc(), pool.address(1), 0);
	pushFrame(batch, new Uint8Array(100));
	impairment.admit(batch, 0, 1, 0);
	assert.deepEqual(batch.frame(1), new Uint8Array(100));
	assert.equal(impairment.counters.corrupted, 0);
	impairment.clear(pool);
	batch.shift(1);
	batch.drop(1);
	assert.equal(pool.inUse, 0);
});

test("frames that the inner link does not take yet are kept in order and offered again", () => {
	const clock = new VirtualClock();
	const pool = makePool(64);
	const [inner, far] = memoryLinkPair();
	let blocked = true;
	const stubborn = new Proxy(inner, {
		get(target, key) {
			const value = Reflect.get(target, key);
			if (key === "transmit") return (batch: Batch) => (blocked ? 0 : target.transmit(batch));
			return typeof value === "function" ? value.bind(target) : value;
		},
	});
	const near = new Speaker(impairLink(stubborn, { delay: 100 }), { pool, runtime: clock.runtime });
	const other = new Speaker(far, { pool: makePool(64), runtime: clock.runtime });
	for (let i = 0; i < 10; i++) near.send(numbered(i, 60));
	clock.advance(10_000);
	assert.equal(other.receive().length, 0);
	blocked = false;
	clock.advance(10_000);
	assert.deepEqual(numbers(other.receive()), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
	near.link.close();
	far.close();
	assert.equal(pool.inUse, 0);
});

test("a batch with little room gets the frames that are due in several calls", () => {
	const wire = new Wire({ in: { delay: 100 } });
	wire.near.onwake = () => {};
	for (let i = 0; i < 10; i++) wire.far.send(numbered(i, 60));
	wire.near.receive();
	wire.clock.advance(1000);
	const small = new Batch(wire.nearPool, 4);
	const got: number[] = [];
	while (wire.link.receive(small) > 0) {
		for (let i = 0; i < small.count; i++) got.push(small.frame(i)[1]!);
		small.drop(small.count);
	}
	assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
	wire.close();
});

for (const [options, message] of [
	[{ lost: 0.1 }, /"lost" is not known: use loss, delay/],
	[{ loss: 2 }, /loss 2: give a probability from 0 to 1/],
	[{ loss: Number.NaN }, /loss NaN/],
	[{ delay: -1 }, /delay -1: give microseconds/],
	[{ rate: 0 }, /rate 0: give bits per second/],
	[{ limit: 0.5 }, /limit 0\.5: give a whole number of frames/],
	[{ in: { loss: "2%" } }, /in\.loss 2%: give a probability/],
	[{ out: { seed: 3 } }, /"out\.seed" is not known/],
	[{ seed: 1.5 }, /seed 1\.5/],
	[{ drop: true }, /drop: give a function/],
	[{ in: null }, /in: give an object/],
] as const) {
	test(`impairments ${JSON.stringify(options)} are refused by name`, () => {
		assert.throws(() => checkImpairOptions(options as unknown as ImpairOptions), {
			name: "MillraceError",
			code: "MILLRACE_BAD_OPTION",
			message,
		});
	});
}
