import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodeRuntime } from "../../src/node/runtime.ts";

describe("the runtime of this process", () => {
	const runtime = nodeRuntime();

	it("the clock counts whole microseconds and never goes back", () => {
		let last = runtime.clock.now();
		for (let i = 0; i < 10_000; i++) {
			const now = runtime.clock.now();
			assert.ok(Number.isInteger(now) && now >= last);
			last = now;
		}
	});

	it("random numbers use all 32 bits, beyond one buffer", () => {
		let ones = 0;
		let zeros = 0;
		for (let i = 0; i < 3000; i++) {
			const n = runtime.random.int32();
			assert.equal(n, n | 0);
			ones |= n;
			zeros |= ~n;
		}
		assert.equal(ones, -1);
		assert.equal(zeros, -1);
	});

	it("deferred tasks come after promises and ticks, in order", async () => {
		const order: string[] = [];
		await new Promise<void>((resolve) => {
			runtime.defer(() => order.push("first"));
			runtime.defer(() => {
				order.push("second");
				resolve();
			});
			Promise.resolve().then(() => order.push("promise"));
			process.nextTick(() => order.push("tick"));
		});
		assert.deepEqual(order.slice(-2), ["first", "second"]);
		assert.equal(order.length, 4);
	});

	it("an alarm rings once, not before its time, also when it was put off or brought forward", async () => {
		const alone = setInterval(() => {}, 1000); // alarms do not keep the process alive
		const rings: number[] = [];
		let rang = () => {};
		const alarm = runtime.alarm(() => {
			rings.push(runtime.clock.now());
			rang();
		});
		const ring = () => new Promise<void>((resolve) => (rang = resolve));
		const start = runtime.clock.now();
		let next = ring();
		alarm.set(start + 5_000);
		alarm.set(start + 20_000);
		await next;
		assert.ok(rings[0]! >= start + 20_000);
		next = ring();
		const again = runtime.clock.now();
		alarm.set(again + 3_600_000_000);
		alarm.set(again + 1);
		await next;
		assert.equal(rings.length, 2);
		alarm.set(runtime.clock.now() + 1000);
		alarm.clear();
		await new Promise((resolve) => setTimeout(resolve, 10));
		assert.equal(rings.length, 2);
		clearInterval(alone);
	});

	it("an alarm of more than the 24.8 days that setTimeout knows waits as one", async () => {
		// Node says so where it is given more, and rings at once instead.
		const warned: string[] = [];
		const listener = ({ name }: Error) => void warned.push(name);
		process.on("warning", listener);
		const alarm = runtime.alarm(() => assert.fail("it rang"));
		alarm.set(runtime.clock.now() + 40 * 86_400e6);
		await new Promise((resolve) => setTimeout(resolve, 20));
		alarm.clear();
		process.off("warning", listener);
		assert.deepEqual(warned, []);
	});

	it("timers that a test framework puts in the place of Node's are the program's, not the stack's", async (t) => {
		const alone = setInterval(() => {}, 1000);
		t.mock.timers.enable({ apis: ["setImmediate", "setInterval", "setTimeout"] });
		const { now } = performance;
		performance.now = () => 0;
		try {
			assert.ok(runtime.clock.now() > 0);
			const alarm = await new Promise<string>((resolve) => {
				const alarm = runtime.alarm(() => resolve("rang"));
				runtime.defer(() => alarm.set(runtime.clock.now() + 2000));
			});
			assert.equal(alarm, "rang");
		} finally {
			performance.now = now;
			t.mock.timers.reset();
			clearInterval(alone);
		}
	});

	it("an alarm may be set by its own callback", async () => {
		let count = 0;
		await new Promise<void>((resolve) => {
			const keep = setInterval(() => {}, 1000);
			const alarm = runtime.alarm(() => {
				if (++count < 3) return alarm.set(runtime.clock.now() + 100);
				clearInterval(keep);
				resolve();
			});
			alarm.set(runtime.clock.now());
		});
		assert.equal(count, 3);
	});
});
