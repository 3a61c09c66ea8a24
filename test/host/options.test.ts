/** Options of hosts, their connections and simulations that are wrong or contradict each other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createHost, type HostOptions } from "../../src/host/host.ts";
import type { LinkContext } from "../../src/link/link.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { LinkWrapper } from "../../src/link/wrapper.ts";
import { ARENA_MAX } from "../../src/memory/arena.ts";
import type { Batch } from "../../src/memory/batch.ts";
import { MEMORY_MOST } from "../../src/node/run-options.ts";
import { arenaBytes, mostMemory } from "../../src/shard/room.ts";
import { simulate } from "../../src/sim/simulate.ts";
import { TCP_DEFAULTS } from "../../src/tcp/options.ts";
import { VirtualClock } from "../helpers/runtime.ts";

const { runtime } = new VirtualClock();
const host = (options: object) => createHost({ link: memoryLinkPair()[0], runtime, ...options } as HostOptions);

function refused(options: object, message: RegExp, code = "MILLRACE_BAD_OPTION"): void {
	assert.throws(() => host(options), { code, message });
}

test("a host needs a link, a runtime and an object to find them in", () => {
	refused({ link: null }, /createHost needs a link: give/);
	assert.throws(() => createHost(undefined as never), { code: "MILLRACE_BAD_OPTION", message: /createHost needs an object of options/ });
});

/** A link whose MTU is another one from its opening on. */
class Device extends LinkWrapper {
	closed = false;
	readonly #opened: number;
	#mtu = 1500;
	constructor(opened: number) {
		super("late", memoryLinkPair({ medium: "ip" })[0]);
		this.#opened = opened;
	}
	override get mtu(): number {
		return this.#mtu;
	}
	override open(context: LinkContext): void {
		super.open(context);
		this.#mtu = this.#opened;
	}
	override receive(batch: Batch): number {
		return this.inner.receive(batch);
	}
	override transmit(batch: Batch): number {
		return this.inner.transmit(batch);
	}
	override close(): void {
		this.closed = true;
		super.close();
	}
	protected override ownCounters(): Record<string, number> {
		return {};
	}
}

test("a host has the MTU that its link has when it is open", async () => {
	const here = host({ link: new Device(1300), addresses: ["10.0.0.1/24"] });
	assert.equal(here.shard.ip.mtuTo(0), 1300);
	// Less the headers of IP and TCP, and timestamps.
	assert.equal(here.shard.tcp.ownMss, 1300 - 40 - 12);
	await here.close();
});

test("a link that opens with an MTU too small for IP is closed again", () => {
	const link = new Device(60);
	assert.throws(() => host({ link }), { code: "MILLRACE_MTU" });
	assert.ok(link.closed);
});

test("the most memory that is told of is what there is room for beside the tables, and what a run may ask for", () => {
	for (const congestion of ["cubic", "newreno", "bbr"] as const) {
		for (const tcp of [{ congestion }, { congestion, maxConnections: 100, maxTimeWait: 1 }]) {
			const limits = { ...TCP_DEFAULTS, ...tcp };
			const most = mostMemory(limits);
			assert.ok(arenaBytes(most, limits) <= ARENA_MAX && arenaBytes(most + 4096, limits) > ARENA_MAX);
			refused({ memory: most + 4096, tcp }, new RegExp(`: at most ${most} can be had`));
		}
	}
	const least = mostMemory({ ...TCP_DEFAULTS, congestion: "bbr" });
	assert.equal(Math.floor(least / 2 ** 20) * 2 ** 20, MEMORY_MOST);
	refused({ memory: 1 << 20, tcp: { maxConnections: 2 ** 22, maxTimeWait: 2 ** 24 } }, /the tables leave no memory/);
});

test("memory is a whole number of bytes", () => {
	for (const wrong of ["256mb", 300_000.5, 1000, Number.NaN])
		refused({ memory: wrong }, /memory of .*: give a whole number of bytes, at least 262144/);
});

test("addresses and routes are lists, and a route has no other words than to and via", () => {
	refused({ addresses: "10.0.0.1/24" }, /addresses: give a list such as \["10\.77\.0\.2\/24"\]/);
	refused({ routes: { to: "0.0.0.0/0" } }, /routes: give a list/);
	const addresses = ["10.0.0.1/24"];
	refused({ addresses, routes: [{ to: "0.0.0.0/0", gateway: "10.0.0.2" }] }, /a route has no option "gateway"\. It has to, via/);
});

test("congestion and tcp.congestion are one thing", () => {
	refused({ congestion: "bbr", tcp: { congestion: "cubic" } }, /congestion of "bbr" and tcp\.congestion of "cubic": give one/);
	void host({ congestion: "bbr", tcp: { congestion: "bbr" } }).close();
});

test("connect and listen say what they need", async () => {
	const one = host({ addresses: ["10.0.0.1/24"] });
	assert.throws(() => one.tcpListen(undefined as never), { code: "MILLRACE_BAD_OPTION", message: /listen needs an object of options/ });
	await assert.rejects(async () => one.tcp.connect(undefined as never), {
		code: "MILLRACE_BAD_OPTION",
		message: /connect needs an object of options/,
	});
	await one.close();
});

test("simulations and segments refuse what they do not know", async () => {
	const sim = (options: object, scenario: Parameters<typeof simulate>[1] = () => {}) => simulate({ seed: 1, ...options }, scenario);
	await assert.rejects(() => sim({ second: 5 }), {
		code: "MILLRACE_BAD_OPTION",
		message: /simulate has no option "second"\. It has seed, seconds/,
	});
	await assert.rejects(() => sim({ seed: undefined }), { code: "MILLRACE_BAD_OPTION", message: /seed undefined: give a whole number/ });
	const segment = (options: object) => sim({}, (s) => void s.segment(options));
	await assert.rejects(() => segment({ los: 0.1 }), { code: "MILLRACE_BAD_OPTION", message: /"los" is not known/ });
});

test("a link that throws as the host closes is closed all the same", async () => {
	class Throws extends Device {
		override flush(): void {
			throw new Error("no more");
		}
	}
	const link = new Throws(1500);
	const closing = createHost({ link, runtime, addresses: ["10.0.0.1/24"] });
	await assert.rejects(async () => closing.close(), /no more/);
	assert.ok(link.closed);
});

test("what a link takes is what is gone from the batch, whatever number it returns", async () => {
	for (const answer of [undefined as never, Number.NaN, -5, 1e9]) {
		class Careless extends Device {
			override transmit(): number {
				return answer;
			}
		}
		const of = createHost({ link: new Careless(1500), runtime, addresses: ["10.0.0.1/24"] });
		of.tcpConnect({ address: "10.0.0.2", port: 80 }, { connected() {}, readable() {}, writable() {}, ended() {}, closed() {} });
		of.shard.drain();
		await of.close();
		assert.ok(of.shard.counters.transmitDropped > 0);
		assert.equal(of.shard.counters.framesOut, 0);
	}
});
