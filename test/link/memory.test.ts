import assert from "node:assert/strict";
import { test } from "node:test";
import { captureLink } from "../../src/link/capture.ts";
import { impairLink } from "../../src/link/impair.ts";
import { loopbackLink } from "../../src/link/loopback.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { CaptureWriter } from "../../src/link/pcapng.ts";
import { Batch } from "../../src/memory/batch.ts";
import { loopbackBench, makePool, memoryBench, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { linkCompliance, pushFrame } from "./compliance.ts";

const capture = () => new CaptureWriter({ sink: { write() {} } });

linkCompliance("a memory link (ip)", memoryBench());
linkCompliance("a memory link (ethernet)", memoryBench({ medium: "ethernet" }));
linkCompliance("a memory link with frames of many pages", memoryBench({ mtu: 65535 }), { sizes: [1986, 1987, 2048, 9000] });
linkCompliance("a loop-back link", loopbackBench());
linkCompliance(
	"a captured memory link",
	memoryBench({}, (link) => captureLink(link, capture())),
);
linkCompliance(
	"a captured loop-back link",
	loopbackBench((link) => captureLink(link, capture())),
);
linkCompliance(
	"an impaired memory link without impairments",
	memoryBench({}, (link) => impairLink(link, {})),
);
linkCompliance(
	"an impaired memory link with delay and jitter",
	memoryBench({}, (link) => impairLink(link, { delay: 20_000, jitter: 5000 })),
);
linkCompliance(
	"a memory link with a rate",
	memoryBench({ mtu: 9000 }, (link) => impairLink(link, { rate: 100e6 })),
	{ sizes: [4000] },
);
linkCompliance(
	"a memory link in all wrappers, twice",
	memoryBench({ medium: "ethernet" }, (link) => {
		const inner = captureLink(impairLink(link, { out: { delay: 1000 } }), capture());
		return captureLink(impairLink(inner, { in: { delay: 100 }, rate: 1e9 }), capture());
	}),
);

test("a memory link loses what the other end cannot take, and counts why", () => {
	const clock = new VirtualClock();
	const [a, b] = memoryLinkPair({ capacity: 64 });
	const pool = makePool(200);
	const speaker = new Speaker(a, { pool, runtime: clock.runtime });
	speaker.send(new Uint8Array(100));
	assert.equal(a.counters().txDropNoPeer, 1);
	b.open({ pool: makePool(70), runtime: clock.runtime, wake() {}, failed() {} });
	for (let i = 0; i < 70; i++) speaker.send(new Uint8Array(100));
	assert.equal(a.counters().txDropFull, 6);
	const batch = new Batch(makePool(1));
	assert.equal(b.receive(batch), 64);
	batch.count = 0; // the pages stay in use
	for (let i = 0; i < 7; i++) speaker.send(new Uint8Array(100));
	assert.equal(a.counters().txDropNoPage, 1);
	speaker.send(new Uint8Array(1501));
	assert.equal(a.counters().txDropSize, 1);
	assert.equal(pool.inUse, 0);
});

test("ends that share a pool hand over the page if nobody else holds it, and copy it if somebody does", () => {
	const clock = new VirtualClock();
	const pool = makePool(16);
	const [a, b] = memoryLinkPair();
	const context = { pool, runtime: clock.runtime, wake() {}, failed() {} };
	a.open(context);
	b.open(context);
	const out = new Batch(pool);
	pushFrame(out, Uint8Array.of(1, 2, 3));
	pushFrame(out, Uint8Array.of(4, 5, 6));
	const [free, kept] = [out.page[0]!, out.page[1]!];
	pool.retain(kept);
	a.transmit(out);
	const into = new Batch(pool);
	assert.equal(b.receive(into), 2);
	assert.equal(into.page[0], free);
	assert.notEqual(into.page[1], kept);
	assert.deepEqual([...into.frame(0), ...into.frame(1)], [1, 2, 3, 4, 5, 6]);
	into.drop(2);
	pool.release(kept);
	assert.equal(pool.inUse, 0);
});

test("a link that was open is not opened again", () => {
	const clock = new VirtualClock();
	const link = loopbackLink();
	const context = { pool: makePool(16), runtime: clock.runtime, wake() {}, failed() {} };
	link.open(context);
	assert.throws(() => link.open(context), { code: "MILLRACE_LINK_USED" });
	link.close();
	assert.throws(() => link.open(context), { code: "MILLRACE_LINK_USED" });
});

test("options of memory links out of range are refused with the range", () => {
	assert.throws(() => memoryLinkPair({ mtu: 20 }), /mtu 20 .* from 68 to 65535/);
	assert.throws(() => memoryLinkPair({ capacity: 1 }), { code: "MILLRACE_BAD_OPTION" });
	assert.throws(() => loopbackLink({ mtu: 1500.5 }), { code: "MILLRACE_BAD_OPTION" });
	assert.throws(() => memoryLinkPair({ medium: "token-ring" as "ip" }), /token-ring/);
	assert.throws(() => memoryLinkPair({ mut: 1500 } as never), { code: "MILLRACE_BAD_OPTION", message: /"mut".*mtu/ });
	assert.throws(() => loopbackLink({ medium: "ip" } as never), { code: "MILLRACE_BAD_OPTION", message: /"medium".*mtu/ });
});
