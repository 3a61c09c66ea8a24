/** When another processor is asked to do the kernel's work, which one, and when it is given back: on a machine of numbers. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SpareProcessor } from "../../src/link/spare-processor.ts";

const SECOND = 1_000_000;
/** Batches between two looks at the clock, at most. */
const BATCHES = 256;

/** A machine whose loads are shares, as they are in each second of `run`; `each` are the frames of a batch. */
function machine(start: { thread?: number; idle: number[]; bytes?: number; each?: number; isolated?: number }) {
	const load = { thread: start.thread ?? 1, idle: start.idle, bytes: start.bytes ?? 100, each: start.each ?? 4 };
	const traffic = { txFrames: 0, txBytes: 0 };
	const idled = load.idle.map(() => 0);
	const asked: (number | null)[] = [];
	let now = 5 * SECOND;
	let worked = 0;
	let reads = 0;
	let broken = false;
	const spare = new SpareProcessor(
		{ now: () => now },
		traffic,
		{
			threadSeconds: () => worked,
			idleSeconds: () => {
				reads++;
				if (broken) throw new Error("there is no /proc");
				return new Map(idled.map((seconds, processor) => [processor, seconds]));
			},
		},
		(processor) => {
			if (processor !== null && processor === start.isolated) throw Object.assign(new Error("isolcpus"), { code: "EINVAL" });
			asked.push(processor);
		},
	);
	const pass = (seconds: number): void => {
		now += seconds * SECOND;
		worked += seconds * load.thread;
		load.idle.forEach((share, processor) => {
			idled[processor]! += seconds * share;
		});
	};
	const send = (batches = BATCHES): void => {
		traffic.txFrames += batches * load.each;
		traffic.txBytes += batches * load.each * load.bytes;
		for (let i = 0; i < batches; i++) spare.sent();
	};
	return {
		load,
		asked,
		pass,
		send,
		reads: () => reads,
		broken: () => {
			broken = true;
		},
		/** That many seconds of traffic; each is looked at in its end. */
		run(seconds: number): (number | null)[] {
			for (let i = 0; i < seconds; i++) {
				pass(1);
				send();
			}
			return asked;
		},
	};
}

describe("the processor for the kernel's work", () => {
	test("is the idlest one, once the thread was full for a whole second beside it", () => {
		const { run } = machine({ idle: [0, 0.5, 0.9, 0.6] });
		assert.deepEqual(run(2), []);
		assert.deepEqual(run(1), [2]);
		assert.deepEqual(run(100), [2]);
	});

	for (const [why, start] of [
		["while the thread has time itself", { thread: 0.7, idle: [0, 1] }],
		["while no other one has much", { idle: [0, 0.35] }],
		["of bulk that is sent", { idle: [0, 1], bytes: 16_000 }],
		["of frames that leave one by one", { idle: [0, 1], each: 1 }],
	] as const)
		test(`is none ${why}`, () => {
			const { run } = machine({ ...start, idle: [...start.idle] });
			assert.deepEqual(run(100), []);
		});

	test("is not one that the kernel does not let be asked", () => {
		const { run } = machine({ idle: [0, 0.6, 1, 0.5], isolated: 2 });
		assert.deepEqual(run(3), []);
		assert.deepEqual(run(100), [1]);
	});

	test("is looked for only while the thread is full, once a second at most", () => {
		const { load, run, send, reads } = machine({ thread: 0.2, idle: [0, 0.2] });
		run(10);
		assert.equal(reads(), 0);
		load.thread = 1;
		run(10);
		send(BATCHES * 100);
		assert.equal(reads(), 10);
	});

	test("is left when others need it, and asked again after a time that doubles", () => {
		const { load, run, asked } = machine({ idle: [0, 0.9] });
		const times: number[] = [];
		for (let second = 0; second < 300; second++) {
			load.idle[1] = asked.at(-1) === 1 ? 0.05 : 0.9;
			const before = asked.length;
			run(1);
			if (asked.length > before && asked.at(-1) === null) times.push(second);
		}
		const between = times.slice(1).map((time, i) => time - times[i]!);
		// Of each, one second is to look at the loads, and one to see that it was wrong.
		assert.deepEqual(between, [4, 6, 10, 18, 34, 66, 66, 66]);
	});

	test("is forgiven once it was held for a minute", () => {
		const { load, run } = machine({ idle: [0, 0.9] });
		assert.deepEqual(run(3), [1]);
		for (let spell = 0; spell < 3; spell++) {
			run(70);
			load.idle[1] = 0;
			assert.equal(run(1).at(-1), null);
			load.idle[1] = 0.9;
			assert.equal(run(4).at(-1), 1);
		}
	});

	test("is left when bulk comes", () => {
		const { load, run } = machine({ idle: [0, 0.9] });
		assert.deepEqual(run(3), [1]);
		load.bytes = 40_000;
		assert.deepEqual(run(2), [1, null]);
	});

	test("says nothing after a time in which nothing was sent", () => {
		const { run, pass, send, asked } = machine({ idle: [0, 0.9] });
		run(2);
		pass(60);
		send();
		assert.deepEqual(asked, []);
		assert.deepEqual(run(1), []);
		assert.deepEqual(run(1), [1]);
	});

	test("stays what it is where nothing can be read any more", () => {
		const { load, run, broken, reads } = machine({ idle: [0, 0.9] });
		run(3);
		broken();
		load.idle[1] = 0;
		assert.deepEqual(run(100), [1]);
		assert.equal(reads(), 3);
	});
});
