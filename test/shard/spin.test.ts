/** Adaptive spinning: the judgement by itself, and a shard that spins on an event loop of which each turn takes two microseconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createHost, type Host } from "../../src/host/host.ts";
import { Spin } from "../../src/shard/spin.ts";
import type { Runtime } from "../../src/time/clock.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { ScriptLink } from "../helpers/script-link.ts";

const TURN = 2;
const MOST = 100;
/** What a wake-up may take, by spin.ts. */
const WAKE = 60;

/** The judgement on a clock that moves by a turn whenever it is asked whether to look on. */
class Watched {
	readonly counters = { spinHits: 0, spinMisses: 0, spinTime: 0 };
	readonly spin = new Spin(MOST, this.counters);
	now = 1_000_000;

	/** Nothing to do, until frames come `gap` later; how long of that it spun. */
	gap(gap: number, allowed = true): number {
		const quiet = this.now;
		const end = quiet + gap;
		let spun = 0;
		while (this.now < end && this.spin.lookOn(this.now, allowed)) {
			this.now = Math.min(this.now + TURN, end);
			spun = this.now - quiet;
		}
		this.now = end;
		this.spin.arrived(end);
		return spun;
	}

	gaps(count: number, gap: number): number {
		let spun = 0;
		for (let i = 0; i < count; i++) spun += this.gap(gap);
		return spun;
	}
}

test("spin: dense traffic is learned from gaps that were slept through, and then spun for", () => {
	const watched = new Watched();
	assert.equal(watched.gap(20), 0);
	assert.equal(watched.spin.limit, 0);
	watched.gaps(20, 20);
	assert.ok(watched.spin.limit >= 20 && watched.spin.limit <= MOST, String(watched.spin.limit));
	const { spinHits } = watched.counters;
	assert.equal(watched.gaps(10, 20), 200);
	assert.equal(watched.counters.spinHits, spinHits + 10);
	assert.equal(watched.counters.spinMisses, 0);
});

test("spin: rare frames are never spun for", () => {
	const watched = new Watched();
	assert.equal(watched.gaps(1000, 5000), 0);
	assert.equal(watched.gaps(1000, MOST + WAKE + 1), 0);
	assert.deepEqual(watched.counters, { spinHits: 0, spinMisses: 0, spinTime: 0 });
});

test("spin: gaps that were slept through are tried when a wake-up may have made them long", () => {
	const watched = new Watched();
	// Each takes a wake-up longer when slept through.
	for (let i = 0; i < 100; i++) {
		const spun = watched.spin.limit >= 50;
		watched.gap(spun ? 70 : 70 + 55);
	}
	assert.ok(watched.counters.spinHits > 80, JSON.stringify(watched.counters));
	assert.equal(watched.counters.spinMisses, 0);
});

test("spin: gaps that are as long as they look are tried ever more rarely", () => {
	const watched = new Watched();
	watched.gaps(1000, MOST + 10);
	const { spinMisses } = watched.counters;
	assert.ok(spinMisses >= 1 && spinMisses <= 20, String(spinMisses));
	watched.gaps(10_000, MOST + 10);
	assert.ok(watched.counters.spinMisses - spinMisses <= 10, String(watched.counters.spinMisses));
	// A gap that is near beyond doubt makes all well again.
	watched.gaps(50, 20);
	assert.ok(watched.counters.spinHits > 20);
});

test("spin: it gives up after a few misses when traffic is dense no more, and begins anew when it is again", () => {
	const watched = new Watched();
	watched.gaps(100, 30);
	watched.gaps(1000, 2000);
	assert.ok(watched.counters.spinMisses >= 1 && watched.counters.spinMisses <= 3, String(watched.counters.spinMisses));
	const { spinHits } = watched.counters;
	watched.gaps(100, 30);
	assert.ok(watched.counters.spinHits > spinHits + 50);
});

test("spin: it lasts as long as gaps do, longer where they vary, and never longer than allowed", () => {
	const even = new Watched();
	even.gaps(200, 20);
	assert.ok(even.spin.limit <= 30, String(even.spin.limit));
	const uneven = new Watched();
	for (let i = 0; i < 200; i++) uneven.gap(i % 4 === 0 ? 60 : 10);
	assert.ok(uneven.spin.limit >= 60 && uneven.spin.limit <= MOST, String(uneven.spin.limit));
	const wide = new Watched();
	for (let i = 0; i < 200; i++) wide.gap(i % 2 === 0 ? MOST : 1);
	assert.equal(wide.spin.limit, MOST);
});

test("spin: whatever the gaps, none is spun for longer than allowed, and the counters say how it went", () => {
	fc.assert(
		fc.property(fc.array(fc.oneof(fc.nat(60), fc.nat(300), fc.nat(100_000)), { maxLength: 400 }), (gaps) => {
			const watched = new Watched();
			let spins = 0;
			let total = 0;
			for (const gap of gaps) {
				const spun = watched.gap(gap);
				assert.ok(spun <= MOST + TURN);
				total += spun;
				if (spun > 0) spins++;
			}
			const { spinHits, spinMisses, spinTime } = watched.counters;
			// A gap of nothing is a hit in which no time passed.
			assert.ok(spinHits + spinMisses >= spins);
			assert.equal(spinTime, total);
		}),
	);
});

test("spin: none begins where it is not allowed, and one that goes on ends", () => {
	const watched = new Watched();
	watched.gaps(50, 20);
	const { spinHits } = watched.counters;
	assert.equal(watched.gap(20, false), 0);
	assert.equal(watched.spin.lookOn(watched.now, true), true);
	assert.equal(watched.spin.lookOn(watched.now + 2, false), false);
	assert.equal(watched.spin.lookOn(watched.now + 4, true), false);
	assert.equal(watched.counters.spinHits, spinHits);
	assert.equal(watched.counters.spinMisses, 1);
});

test("spin: on a clock that stands still it ends all the same", () => {
	const watched = new Watched();
	watched.gaps(50, 20);
	let turns = 0;
	while (watched.spin.lookOn(watched.now, true)) assert.ok(++turns < 1000);
	assert.equal(watched.counters.spinMisses, 1);
});

/** A host on a link of its own; frames come when the test says so. */
class Loop {
	readonly clock = new VirtualClock();
	readonly link = new ScriptLink(1500);
	readonly host: Host;
	/** Tasks that wait for a turn of the event loop, and how many have run. */
	waiting = 0;
	ran = 0;
	mostWaiting = 0;

	constructor(spin: number, turn: number = TURN) {
		const { runtime } = this.clock;
		const loop: Runtime = {
			...runtime,
			clock: runtime.clock,
			random: runtime.random,
			alarm: (callback) => runtime.alarm(callback),
			defer: (task) => {
				this.mostWaiting = Math.max(this.mostWaiting, ++this.waiting);
				const run = (): void => {
					this.waiting--;
					this.ran++;
					task();
				};
				if (turn === 0) runtime.defer(run);
				else runtime.alarm(run).set(runtime.clock.now() + turn);
			},
		};
		this.host = createHost({ link: this.link, runtime: loop, addresses: ["10.0.0.1/24"], memory: 1 << 20, spin });
		this.host.ref();
	}

	/** Lets frames come, `gap` from one to the next. */
	frames(count: number, gap: number): this {
		for (let i = 0; i < count; i++) {
			this.clock.advance(gap);
			this.link.inject(new Uint8Array(20));
		}
		return this;
	}

	get shard(): Record<string, number> {
		return this.host.stats().shard;
	}
}

test("a shard with spin stays awake between dense frames, one without sleeps", () => {
	const awake = new Loop(MOST).frames(200, 50);
	assert.ok(awake.shard.spinHits! > 150, JSON.stringify(awake.shard));
	assert.ok(awake.shard.spinMisses! <= 1);
	assert.equal(awake.shard.framesIn, new Loop(0).frames(200, 50).shard.framesIn);
	const asleep = new Loop(0).frames(200, 50);
	assert.equal(asleep.shard.spinHits! + asleep.shard.spinMisses! + asleep.shard.spinTime!, 0);
	assert.ok(asleep.ran < awake.ran / 2, `${asleep.ran} and ${awake.ran} tasks`);
});

test("a shard with spin runs nothing more once the last frame is longer ago than allowed", () => {
	const loop = new Loop(MOST).frames(200, 50);
	const before = loop.ran;
	loop.clock.advance(1_000_000);
	assert.ok(loop.ran - before <= MOST / TURN + 4, `${loop.ran - before} tasks`);
	assert.equal(loop.waiting, 0);
	assert.equal(loop.shard.spinMisses, 1);
	const after = loop.ran;
	loop.clock.advance(60_000_000);
	assert.equal(loop.ran, after);
});

test("a shard with spin leaves the loop alone between rare frames", () => {
	const rare = new Loop(MOST).frames(100, 10_000);
	assert.equal(rare.shard.spinTime, 0);
	assert.equal(rare.ran, new Loop(0).frames(100, 10_000).ran);
});

test("a spin is one task per turn of the loop, so that timers and descriptors have theirs", () => {
	const loop = new Loop(MOST).frames(100, 50);
	// Between frames, in which two halves of a turn wait beside it.
	loop.clock.advance(20);
	const hits = loop.shard.spinHits!;
	loop.mostWaiting = 0;
	loop.clock.advance(10);
	assert.equal(loop.mostWaiting, 1);
	let rang = 0;
	const at = loop.clock.now() + 3;
	loop.clock.runtime
		.alarm(() => {
			rang = loop.clock.now();
		})
		.set(at);
	loop.clock.advance(10);
	assert.equal(rang, at);
	loop.link.inject(new Uint8Array(20));
	loop.clock.advance(10);
	assert.equal(loop.shard.spinHits, hits + 1);
});

test("a host that holds no process never spins, and stops when it lets go", () => {
	const free = new Loop(MOST);
	free.host.unref();
	free.frames(200, 50);
	assert.equal(free.shard.spinTime, 0);
	const loop = new Loop(MOST).frames(200, 50);
	loop.clock.advance(20);
	assert.equal(loop.waiting, 1);
	loop.host.unref();
	loop.clock.advance(TURN);
	assert.equal(loop.waiting, 0);
});

test("a host that is closed while it spins stops", async () => {
	const loop = new Loop(MOST).frames(200, 50);
	loop.clock.advance(20);
	assert.equal(loop.waiting, 1);
	await loop.host.close();
	loop.clock.advance(1_000_000);
	assert.equal(loop.waiting, 0);
});

test("in virtual time, where turns take none, a spin ends", () => {
	const loop = new Loop(MOST, 0).frames(200, 50);
	loop.clock.advance(1);
	assert.equal(loop.waiting, 0);
	assert.ok(loop.shard.spinMisses! > 0, "it was tried");
});

test("spin is refused beyond what makes sense", () => {
	const link = new ScriptLink(1500);
	const { runtime } = new VirtualClock();
	for (const spin of [-1, 1001, 0.5, Number.NaN])
		assert.throws(() => createHost({ link, runtime, spin }), { code: "MILLRACE_BAD_OPTION", message: /spin of .* 0 to 1000/ });
});
