/** `simulate`: whole hosts in virtual time, by both faces of TCP. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Simulation, simulate } from "../../src/sim/index.ts";

function twoHosts(sim: Simulation, options: Parameters<Simulation["segment"]>[0] = {}) {
	const wire = sim.segment(options);
	const a = sim.host("a", { on: wire, addresses: ["10.0.0.1/24"] });
	const b = sim.host("b", { on: wire, addresses: ["10.0.0.2/24"] });
	return { wire, a, b };
}

/** An echo on port 7 of a host, by streams. */
async function echo(host: ReturnType<Simulation["host"]>): Promise<void> {
	for await (const stream of host.tcp.listen({ port: 7 })) {
		void (async () => {
			for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes);
			stream.finish();
		})();
	}
}

test("promises of a scenario are settled in virtual time", async () => {
	const run = () =>
		simulate({ seed: 3 }, async (sim) => {
			const { a, b } = twoHosts(sim, { out: { delay: 50_000, loss: 0.05 } });
			void echo(b);
			const stream = await a.tcp.connect({ address: "10.0.0.2", port: 7 });
			const sent = new Uint8Array(100_000).map((_, i) => i * 7);
			let received = 0;
			const reading = (async () => {
				for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
					for (const byte of bytes) assert.equal(byte, sent[received++]);
				}
			})();
			await stream.write(sent);
			stream.finish();
			await reading;
			assert.equal(received, sent.length);
			return sim.now;
		});
	const first = await run();
	assert.ok(first.value > 0.2, `five round trips took ${first.value} s`);
	assert.deepEqual(await run(), first);
});

test("a partition holds a connection up, and it goes on when healed", async () => {
	const { value } = await simulate({ seed: 1 }, async (sim) => {
		const { wire, a, b } = twoHosts(sim, { out: { delay: 1000 } });
		void echo(b);
		const stream = await a.tcp.connect({ address: "10.0.0.2", port: 7 });
		wire.partition(["a"]);
		sim.after(5, () => wire.heal());
		await stream.write(Uint8Array.of(1, 2, 3));
		assert.deepEqual(await stream.read(), Uint8Array.of(1, 2, 3));
		return sim.now;
	});
	assert.ok(value > 5 && value < 15, `answered after ${value} s`);
});

test("a host that is held up answers late, and the others do not wait", async () => {
	await simulate({ seed: 1 }, async (sim) => {
		const { a, b } = twoHosts(sim, { out: { delay: 1000 } });
		void echo(b);
		const stream = await a.tcp.connect({ address: "10.0.0.2", port: 7 });
		sim.hold("b", 2);
		await stream.write(Uint8Array.of(1));
		await stream.read();
		assert.ok(sim.now > 2 && sim.now < 3, `answered after ${sim.now} s`);
	});
});

test("on Ethernet hosts find each other by ARP", async () => {
	await simulate({ seed: 1 }, async (sim) => {
		const { a, b } = twoHosts(sim, { medium: "ethernet" });
		void echo(b);
		const stream = await a.tcp.connect({ address: "10.0.0.2", port: 7 });
		await stream.write(Uint8Array.of(42));
		assert.deepEqual(await stream.read(), Uint8Array.of(42));
	});
});

test("both hosts open at once, to each other's ports: one connection (RFC 9293 3.5, figure 8)", async () => {
	const { value } = await simulate({ seed: 1 }, (sim) => {
		const { a, b } = twoHosts(sim, { out: { delay: 10_000 } });
		const events: string[] = [];
		const listen = (name: string) => ({
			connected: () => void events.push(`${name} connected`),
			readable: () => void events.push(`${name} readable`),
			ended: () => void events.push(`${name} ended`),
			writable() {},
			closed: (error: string | null) => void events.push(`${name} closed ${error}`),
		});
		const left = a.tcpConnect({ address: "10.0.0.2", port: 2000, localPort: 1000 }, listen("a"));
		const right = b.tcpConnect({ address: "10.0.0.1", port: 1000, localPort: 2000 }, listen("b"));
		sim.at(1, () => {
			left.write(Uint8Array.of(1));
			left.finish();
		});
		sim.at(2, () => {
			right.read();
			right.finish();
		});
		return events;
	});
	assert.deepEqual(value.slice(0, 2).sort(), ["a connected", "b connected"]);
	assert.deepEqual(value.slice(2).sort(), ["a closed null", "a ended", "b closed null", "b ended", "b readable"]);
});

test("a scenario that waits for what cannot come is told so, and so is one that takes too long or runs for ever", async () => {
	const never = () => new Promise<void>(() => {});
	await assert.rejects(simulate({ seed: 1 }, never), { code: "MILLRACE_SIM_QUIET" });
	await assert.rejects(
		simulate({ seed: 1, seconds: 10 }, async (sim) => sim.sleep(11)),
		{ code: "MILLRACE_SIM_TIME" },
	);
	const busy = (sim: Simulation): void => {
		const again = () => sim.after(0, again);
		again();
	};
	await assert.rejects(simulate({ seed: 1, steps: 1000 }, busy), { code: "MILLRACE_SIM_STEPS" });
});

test("options of a run and its hosts that are wrong are refused by name; bounds may be none", async () => {
	for (const [option, ...values] of [
		["seed", undefined, 1.5, "1"],
		["seconds", Number.NaN, -1, "10", null],
		["steps", Number.NaN, -1, 0, 1.5, "10", null],
		["start", Number.NaN, -1, Number.POSITIVE_INFINITY, 2 ** 33, "1"],
		["onFrame", 5, null],
	] as const) {
		for (const value of values) {
			const run = simulate({ seed: 1, [option]: value } as never, () => {});
			await assert.rejects(run, { code: "MILLRACE_BAD_OPTION", message: new RegExp(`\\b${option}\\b`) }, `${option} ${value}`);
		}
	}
	await assert.rejects(simulate({ seed: 1 }, undefined as never), { code: "MILLRACE_BAD_OPTION", message: /scenario/ });
	await simulate({ seed: 1, seconds: Number.POSITIVE_INFINITY, steps: Number.POSITIVE_INFINITY, start: 0 }, (sim) =>
		sim.after(1, () => {}),
	);
	await simulate({ seed: 1 }, (sim) => {
		for (const options of [undefined, {}, { on: "wire" }])
			assert.throws(() => sim.host("a", options as never), { code: "MILLRACE_BAD_OPTION", message: /"on"/ });
		for (const options of [null, 5]) assert.throws(() => sim.segment(options as never), { code: "MILLRACE_BAD_OPTION" });
		twoHosts(sim);
		assert.throws(() => sim.hold("c", 1), { code: "MILLRACE_SIM_NAME" });
		for (const seconds of [Number.NaN, -1]) assert.throws(() => sim.hold("a", seconds), { code: "MILLRACE_SIM_TIME" });
	});
});

test("an error of the scenario comes out of simulate", async () => {
	await assert.rejects(
		simulate({ seed: 1 }, async (sim) => {
			await sim.sleep(1);
			throw new Error("on purpose");
		}),
		/on purpose/,
	);
	await assert.rejects(
		simulate({ seed: 1 }, (sim) => {
			sim.after(1, () => {
				throw new Error("on purpose");
			});
		}),
		/on purpose/,
	);
});

test("frames can be looked at, with their host and time", async () => {
	const seen: string[] = [];
	const onFrame = ({ host, direction, time, bytes }: { host: string; direction: string; time: number; bytes: Uint8Array }) =>
		void seen.push(`${time} ${host} ${direction} ${bytes[33]}`);
	await simulate({ seed: 1, onFrame }, async (sim) => {
		const { a } = twoHosts(sim, { out: { delay: 500 } });
		await assert.rejects(a.tcp.connect({ address: "10.0.0.2", port: 9 }), { code: "ECONNREFUSED" });
	});
	// SYN there, RST with ACK back.
	assert.deepEqual(seen, ["1000000 a out 2", "1000500 b in 2", "1000500 b out 20", "1001000 a in 20"]);
});
