/** Virtual time and seeded chance: order, bounds, and that a run repeats itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SECOND, VirtualTime } from "../../src/sim/runtime.ts";
import { Trace } from "../../src/sim/trace.ts";
import { SeededRandom } from "../../src/time/random.ts";

function world() {
	const time = new VirtualTime(new Trace());
	return { time, runtime: time.runtime(new SeededRandom(1)), start: time.now() };
}

const FOREVER = { until: Number.MAX_SAFE_INTEGER, steps: 100_000 };

test("alarms run in order of their time, and among equal times in the order in which they were set", () => {
	fc.assert(
		fc.property(
			fc.array(fc.record({ at: fc.nat(50), action: fc.constantFrom("set", "set", "clear", "move") }), { maxLength: 80 }),
			(script) => {
				const { time, runtime, start } = world();
				const happened: number[] = [];
				const alarms = script.map((_, i) => runtime.alarm(() => happened.push(i)));
				const expected = new Map<number, { at: number; order: number }>();
				script.forEach(({ at, action }, i) => {
					const target = action === "set" ? i : Math.floor(i / 2);
					if (action === "clear") {
						alarms[target]!.clear();
						expected.delete(target);
					} else {
						alarms[target]!.set(start + at);
						expected.set(target, { at, order: i });
					}
				});
				assert.equal(runtime.pending, expected.size);
				assert.equal(time.run(FOREVER), "quiet");
				const order = [...expected].sort(([, a], [, b]) => a.at - b.at || a.order - b.order).map(([i]) => i);
				assert.deepEqual(happened, order);
				assert.equal(runtime.pending, 0);
			},
		),
	);
});

test("deferred tasks run first in, first out, before time goes on", () => {
	const { time, runtime, start } = world();
	const happened: string[] = [];
	const other = time.runtime(new SeededRandom(2));
	runtime.alarm(() => happened.push(`alarm at ${time.now() - start}`)).set(start + 5);
	runtime.defer(() => {
		happened.push("first");
		runtime.defer(() => happened.push(`third at ${time.now() - start}`));
	});
	other.defer(() => happened.push("second"));
	time.run(FOREVER);
	assert.deepEqual(happened, ["first", "second", "third at 0", "alarm at 5"]);
});

test("an alarm in the past runs now, and the clock does not go back", () => {
	const { time, runtime, start } = world();
	time.advance(start + 100, 10);
	runtime.alarm(() => assert.equal(time.now(), start + 100)).set(start + 1);
	assert.equal(time.run(FOREVER), "quiet");
	assert.equal(time.now(), start + 100);
});

test("a run ends at its time, with what is later still to come", () => {
	const { time, runtime, start } = world();
	let rang = 0;
	runtime.alarm(() => rang++).set(start + 2 * SECOND);
	assert.equal(time.run({ until: start + SECOND, steps: 10 }), "time");
	assert.equal(time.now(), start + SECOND);
	assert.equal(rang, 0);
	assert.equal(time.next, start + 2 * SECOND);
	assert.equal(time.run(FOREVER), "quiet");
	assert.equal(rang, 1);
});

test("a program that keeps itself busy is given up, and the error says so", () => {
	const { time, runtime } = world();
	const again = () => runtime.defer(again);
	again();
	assert.throws(() => time.run({ until: Number.MAX_SAFE_INTEGER, steps: 1000 }), { code: "MILLRACE_SIM_STEPS" });
});

test("settle runs all promise reactions between two steps", async () => {
	const { time, runtime, start } = world();
	const happened: string[] = [];
	runtime.defer(() => {
		let chain = Promise.resolve();
		for (let i = 0; i < 100; i++) chain = chain.then(() => {});
		void chain.then(() => happened.push("reaction"));
	});
	runtime.defer(() => happened.push("next step"));
	runtime.alarm(() => happened.push("alarm")).set(start + 1);
	assert.equal(await time.settle(FOREVER), "quiet");
	assert.deepEqual(happened, ["reaction", "next step", "alarm"]);
});

test("what happens is a function of the seed, and the hash shows it", () => {
	const run = (seed: number) => {
		const time = new VirtualTime(new Trace());
		const random = new SeededRandom(seed);
		const runtime = time.runtime(random);
		let left = 500;
		const alarm = runtime.alarm(() => {
			if (left-- > 0) alarm.set(time.now() + random.below(1000));
		});
		alarm.set(time.now());
		time.run(FOREVER);
		return time.trace.digest();
	};
	fc.assert(
		fc.property(fc.integer(), (seed) => {
			const hash = run(seed);
			assert.equal(run(seed), hash);
			assert.notEqual(run(seed + 1), hash);
		}),
	);
});

test("a forked stream depends on its label, not on what was drawn", () => {
	const a = new SeededRandom(7);
	const b = new SeededRandom(7);
	for (let i = 0; i < 10; i++) b.int32();
	const draw = (random: SeededRandom) => Array.from({ length: 8 }, () => random.int32());
	assert.deepEqual(draw(a.fork("host x")), draw(b.fork("host x")));
	assert.notDeepEqual(draw(a.fork("host x")), draw(a.fork("host y")));
});

test("seeded numbers are spread evenly over all bits and all ranges", () => {
	const random = new SeededRandom(99);
	const bits = new Array<number>(32).fill(0);
	const bins = new Array<number>(10).fill(0);
	const draws = 20_000;
	for (let i = 0; i < draws; i++) {
		const word = random.int32();
		for (let bit = 0; bit < 32; bit++) bits[bit]! += (word >>> bit) & 1;
		bins[random.below(10)]!++;
	}
	// Six standard deviations: the seed is fixed, so this is no gamble.
	for (const ones of bits) assert.ok(Math.abs(ones - draws / 2) < 6 * Math.sqrt(draws / 4), `a bit is set ${ones} times of ${draws}`);
	for (const hits of bins) assert.ok(Math.abs(hits - draws / 10) < 6 * Math.sqrt(draws * 0.09), `a tenth is hit ${hits} times of ${draws}`);
});
