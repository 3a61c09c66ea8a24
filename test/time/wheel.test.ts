import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TimerWheel } from "../../src/time/wheel.ts";

const RECORDS = 64;

function makeWheel(now: number) {
	const words = new Int32Array(RECORDS * 4);
	return { words, wheel: new TimerWheel(words, 0, 4, { at: 0, prev: 1, next: 2 }, now) };
}

for (const start of [0, 0x7fffff00 | 0, -300, 0xffff00, 65500]) {
	test(`every timer fires at its tick, in order, also over the wraps of each level (clock at ${start})`, () => {
		fc.assert(
			fc.property(
				fc.array(
					fc.tuple(
						fc.nat(RECORDS - 1),
						fc.oneof(fc.integer({ min: 1, max: 600 }), fc.integer({ min: 1, max: 200000 }), fc.integer({ min: 1, max: 40_000_000 })),
						fc.oneof(fc.nat(300), fc.nat(70000)),
						fc.boolean(),
					),
					{ maxLength: 60 },
				),
				(steps) => {
					const { wheel } = makeWheel(start);
					const model = new Map<number, number>();
					let now = start;
					const advance = (to: number) => {
						let last = now;
						wheel.advance(to, (index) => {
							const due = model.get(index);
							assert.notEqual(due, undefined, "fired though not set");
							assert.ok(((due! - to) | 0) <= 0, "fired early");
							assert.ok(((due! - last) | 0) >= 0, "fired out of order");
							last = due!;
							model.delete(index);
						});
						now = to;
						for (const due of model.values()) assert.ok(((due - now) | 0) > 0, "fired late");
						assert.equal(wheel.count, model.size);
					};
					for (const [index, delay, move, remove] of steps) {
						if (remove) {
							wheel.remove(index);
							model.delete(index);
						} else {
							wheel.set(index, (now + delay) | 0);
							model.set(index, (now + delay) | 0 || 1);
						}
						advance((now + move) | 0);
					}
					while (model.size > 0) {
						const delay = wheel.nextDelay();
						assert.ok(delay > 0);
						for (const due of model.values()) assert.ok(((due - now) | 0) >= delay, "nextDelay beyond a deadline");
						advance((now + delay) | 0);
					}
					assert.equal(wheel.nextDelay(), -1);
				},
			),
			{ numRuns: 300 },
		);
	});
}

test("a record that is set again moves, and one that is set while firing waits for the next tick", () => {
	const { wheel } = makeWheel(10);
	wheel.set(1, 20);
	wheel.set(1, 15);
	const fired: number[] = [];
	wheel.advance(14, (i) => fired.push(i));
	assert.equal(fired.length, 0);
	wheel.advance(15, (i) => {
		fired.push(i);
		wheel.set(2, 3);
	});
	assert.deepEqual(fired, [1]);
	wheel.advance(16, (i) => fired.push(i));
	assert.deepEqual(fired, [1, 2]);
});

for (const start of [0, 0x7fffff00 | 0, 0xffff00])
	test(`what is filed while the wheel is behind the clock fires on time, and nextDelay counts from the wheel's own time (clock at ${start})`, () => {
		const delays = fc.oneof(
			fc.integer({ min: 1, max: 600 }),
			fc.integer({ min: 1, max: 200_000 }),
			fc.integer({ min: 1, max: 0x3fffffff }),
		);
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 40_000_000 }), fc.array(delays, { minLength: 1, maxLength: 20 }), (lag, filed) => {
				const { wheel } = makeWheel(start);
				// Something is filed, so the wheel stays where it is while the clock goes on.
				wheel.set(0, (start + 0x3fffffff) | 0);
				const clock = (start + lag) | 0;
				const model = new Map(filed.map((delay, i) => [i + 1, (clock + delay) | 0 || 1]));
				for (const [index, at] of model) wheel.set(index, at);
				assert.equal(wheel.now, start);
				while (model.size > 0) {
					const next = (wheel.now + wheel.nextDelay()) | 0;
					for (const due of model.values()) assert.ok(((due - next) | 0) >= 0, "nextDelay beyond a deadline");
					wheel.advance(next, (index) => {
						if (index !== 0) assert.equal(model.get(index), next);
						model.delete(index);
					});
				}
			}),
		);
	});
