/** Segments without hosts: who gets which frame. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link } from "../../src/link/link.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { Segment, type SegmentOptions } from "../../src/sim/network.ts";
import { VirtualTime } from "../../src/sim/runtime.ts";
import { Trace } from "../../src/sim/trace.ts";
import { SeededRandom } from "../../src/time/random.ts";

/** A segment with bare links on it. */
function network(names: string[], options: SegmentOptions = {}, seed = 1) {
	const time = new VirtualTime(new Trace());
	const segment = new Segment(options, time.runtime(new SeededRandom(seed).fork("segment")), "wire");
	const stations = new Map<string, { link: Link; batch: Batch; pool: PagePool; got: string[] }>();
	for (const name of names) {
		const pool = new PagePool(new Arena(1 << 20), 256);
		const batch = new Batch(pool);
		const link = segment.plug(name, time.trace, undefined);
		const runtime = time.runtime(new SeededRandom(seed).fork(name));
		const got: string[] = [];
		const station = { link, batch, pool, got };
		const wake = () =>
			runtime.defer(() => {
				while (link.receive(batch) > 0) {
					for (let i = 0; i < batch.count; i++) got.push(Buffer.from(batch.frame(i)).toString("latin1"));
					batch.drop(batch.count);
				}
			});
		link.open({ pool, runtime, wake, failed: assert.fail });
		stations.set(name, station);
	}
	const send = (from: string, text: string) => {
		const { link, batch } = stations.get(from)!;
		batch.add(Buffer.from(text, "latin1"), 0);
		link.transmit(batch);
		link.flush();
	};
	const run = () => time.run({ until: Number.MAX_SAFE_INTEGER, steps: 100_000 });
	/** What each station has got since the last call. */
	const got = () => Object.fromEntries([...stations].map(([name, station]) => [name, station.got.splice(0)]));
	const close = () => {
		for (const { link, pool, batch } of stations.values()) {
			link.close();
			batch.drop(batch.count);
			assert.equal(pool.inUse, 0, "pages left");
		}
	};
	return { time, segment, send, run, got, close };
}

/** An Ethernet frame between stations whose addresses end in these digits; 0xff: broadcast. */
function ethernet(to: number, from: number, text: string): string {
	const address = (n: number) => (n === 0xff ? "\xff".repeat(6) : `\x02\0\0\0\0${String.fromCharCode(n)}`);
	return `${address(to)}${address(from)}\x08\0${text}`;
}

test("on a wire, what one host sends the other gets, in order", () => {
	const { send, run, got, close } = network(["a", "b"]);
	const texts = Array.from({ length: 200 }, (_, i) => `frame ${i}`);
	for (const text of texts) send("a", text);
	send("b", "back");
	run();
	assert.deepEqual(got(), { a: ["back"], b: texts });
	close();
});

test("an Ethernet switch floods what it does not know, and learns", () => {
	const { send, run, got, close } = network(["a", "b", "c"], { medium: "ethernet" });
	const unknown = ethernet(2, 1, "who is there");
	send("a", unknown);
	run();
	assert.deepEqual(got(), { a: [], b: [unknown], c: [unknown] });
	const answer = ethernet(1, 2, "me");
	send("b", answer);
	run();
	assert.deepEqual(got(), { a: [answer], b: [], c: [] });
	const known = ethernet(2, 1, "hello");
	send("a", known);
	run();
	assert.deepEqual(got(), { a: [], b: [known], c: [] });
	const everyone = ethernet(0xff, 3, "to all");
	send("c", everyone);
	run();
	assert.deepEqual(got(), { a: [everyone], b: [everyone], c: [] });
	close();
});

test("a partition keeps groups apart until it is healed", () => {
	const { segment, send, run, got, close } = network(["a", "b", "c", "d"]);
	segment.partition(["a", "b"]);
	for (const name of "abcd") send(name, name);
	run();
	assert.deepEqual(got(), { a: ["b"], b: ["a"], c: ["d"], d: ["c"] });
	assert.equal(segment.blocked, 8);
	segment.heal();
	send("a", "again");
	run();
	assert.deepEqual(got(), { a: [], b: ["again"], c: ["again"], d: ["again"] });
	assert.throws(() => segment.partition(["nobody"]), { code: "MILLRACE_SIM_NAME" });
	close();
});

test("a filter decides about single frames", () => {
	const { segment, send, run, got, close } = network(["a", "b"]);
	segment.filter = (frame, from, to) => !(from === "a" && to === "b" && frame[0] === 0x78);
	send("a", "x: not this one");
	send("a", "y: this one");
	send("b", "x: nor is this meant");
	run();
	assert.deepEqual(got(), { a: ["x: nor is this meant"], b: ["y: this one"] });
	close();
});

test("impairments happen in virtual time, and are a function of the seed", () => {
	const play = (seed: number) => {
		const { time, send, run, got, close } = network(
			["a", "b"],
			{ out: { delay: 10_000, loss: 0.2, jitter: 3_000, duplicate: 0.1, reorder: 0.1 } },
			seed,
		);
		const start = time.now();
		for (let i = 0; i < 100; i++) send("a", `frame ${i}`);
		run();
		assert.ok(time.now() - start >= 10_000);
		const { b } = got();
		close();
		return { b, hash: time.trace.digest() };
	};
	const first = play(1);
	assert.deepEqual(play(1), first);
	assert.notEqual(play(2).hash, first.hash);
	assert.ok(first.b!.length > 50 && first.b!.length < 110, `${first.b!.length} of 100 frames arrived`);
	assert.notDeepEqual(
		first.b,
		[...first.b!].sort((x, y) => Number(x.slice(6)) - Number(y.slice(6))),
	);
});
