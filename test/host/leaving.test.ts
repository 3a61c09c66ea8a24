/**
 * The end of a host whose process is about to be gone (host/leaving.ts). The host that leaves is held up meanwhile, as by an event loop that turns
 * no more: what it does, it does by hand.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { VirtualTime } from "../../src/sim/runtime.ts";
import { connected, Ear, SERVER, type World, type WorldOptions, world } from "../helpers/two-hosts.ts";

/** Has the client leave; how many seconds that took. */
function leave({ sim, client }: World): number {
	const before = sim.now;
	sim.hold("client", 3600);
	const time = client.shard.clock as VirtualTime;
	client.leave((milliseconds) => time.advance(time.now() + milliseconds * 1000, 1_000_000));
	assert.deepEqual(client.connections(), [], "nothing is left");
	assert.ok(client.shard.pool.inUse <= 1, "but what may be on its way: an answer to an answer");
	return sim.now - before;
}

/** Reads as much as there is, at once or `after` seconds; bytes so far. */
class Reader extends Ear {
	bytes = 0;
	override readable(): void {
		const bytes = new Uint8Array(65536);
		for (let n = this.socket.readInto(bytes, 0, bytes.length); n > 0; n = this.socket.readInto(bytes, 0, bytes.length)) this.bytes += n;
	}
}

/** A connection whose server end reads. */
async function read(it: World, port = 80): Promise<{ here: Ear; there: Reader }> {
	const there = new Reader();
	const here = new Ear();
	const listener = it.server.tcpListen({ address: SERVER, port });
	listener.onconnection = (socket) => {
		there.socket = socket;
		socket.events = there;
	};
	here.socket = it.client.tcpConnect({ address: SERVER, port }, here);
	await it.sim.sleep(1);
	listener.close();
	here.heard.length = 0;
	return { here, there };
}

const run = (scenario: (it: World) => Promise<void>, options: WorldOptions = {}) => world(scenario, { keep: true, ...options });

describe("a host that leaves", () => {
	for (const [wire, segment] of [
		["a good wire", {}],
		["a wire that loses and reorders", { loss: 0.05, reorder: 0.1, jitter: 3000 }],
	] as const)
		test(`over ${wire}: what was written arrives, and an end behind it; nobody here is told`, () =>
			run(
				async (it) => {
					const { here, there } = await read(it);
					const written = here.socket.write(new Uint8Array(400_000));
					assert.ok(written > 50_000, `${written} bytes taken`);
					const took = leave(it);
					assert.ok(took < 5, `${took} s`);
					await it.sim.sleep(1);
					assert.equal(there.bytes, written);
					assert.deepEqual(there.heard, ["ended"]);
					assert.deepEqual(here.heard, []);
				},
				{ segment },
			));

	test("an idle connection ends in good order, at once", () =>
		run(async (it) => {
			const { there } = await read(it);
			const took = leave(it);
			await it.sim.sleep(1);
			assert.deepEqual(there.heard, ["ended"]);
			assert.ok(took < 0.1, `${took} s`);
		}));

	test("where something came that nobody has read, the peer hears a reset behind what was written", () =>
		run(async (it) => {
			const { here, there } = await read(it);
			there.socket.write(Uint8Array.of(1, 2, 3));
			await it.sim.sleep(1);
			here.socket.write(Uint8Array.of(4, 5));
			const took = leave(it);
			await it.sim.sleep(1);
			assert.equal(there.bytes, 2);
			assert.deepEqual(there.heard, ["closed ECONNRESET"]);
			assert.ok(took < 0.1, `${took} s`);
		}));

	test("a peer that takes nothing is waited for one second, and hears a reset", () =>
		run(
			async (it) => {
				const [here, there] = await connected(it);
				const written = here.socket.write(new Uint8Array(400_000));
				const took = leave(it);
				assert.ok(written > 20_000 && took >= 1 && took < 1.5, `${took} s`);
				await it.sim.sleep(1);
				assert.ok(there.socket.alive === false && there.heard.at(-1) === "closed ECONNRESET", there.heard.join());
			},
			{ server: { tcp: { receiveBuffer: 16_384, maxReceiveBuffer: 16_384 } } },
		));

	test("a peer that is gone is waited for one second", () =>
		run(async (it) => {
			const { here } = await read(it);
			here.socket.write(new Uint8Array(1000));
			it.cut();
			const took = leave(it);
			assert.ok(took >= 1 && took < 1.3, `${took} s`);
		}));

	test("a peer that takes a little again and again is waited for five seconds", () =>
		run(
			async (it) => {
				const [here, there] = await connected(it);
				here.socket.write(new Uint8Array(400_000));
				const bytes = new Uint8Array(6000);
				const sip = (): void => {
					if (!there.socket.alive) return;
					there.socket.readInto(bytes, 0, bytes.length);
					it.sim.after(0.3, sip);
				};
				sip();
				const took = leave(it);
				assert.ok(took >= 5 && took < 5.1, `${took} s`);
				await it.sim.sleep(1);
				assert.equal(there.heard.at(-1), "closed ECONNRESET");
			},
			{ server: { tcp: { receiveBuffer: 16_384, maxReceiveBuffer: 16_384 } } },
		));

	test("connections that are being opened, wait to be accepted, or have ended are no reason to stay; others that nobody holds are", () =>
		run(async (it) => {
			const ear = new Ear();
			it.client.tcpConnect({ address: "10.0.0.9", port: 80 }, ear);
			const { here } = await read(it, 81);
			here.socket.close();
			const orphan = await read(it, 82);
			const written = orphan.here.socket.write(new Uint8Array(200_000));
			orphan.here.socket.close();
			const took = leave(it);
			await it.sim.sleep(1);
			assert.ok(took < 1, `${took} s`);
			assert.equal(orphan.there.bytes, written);
			assert.deepEqual(orphan.there.heard, ["ended"]);
			assert.deepEqual(ear.heard, []);
		}));

	test("a peer that ends as well is answered, and one that misses the last of it is reset exactly", () =>
		run(async (it) => {
			const both = await read(it, 81);
			both.there.ended = () => both.there.socket.finish();
			const { here, there } = await read(it, 82);
			here.socket.write(new Uint8Array(5000));
			// What leaves from now on is lost, but for segments without content.
			const { wire } = it;
			wire.filter = (frame, from) => from !== "client" || frame.length < 100;
			const took = leave(it);
			assert.ok(took >= 1 && took < 1.4, `${took} s`);
			wire.filter = undefined;
			await it.sim.sleep(1);
			assert.equal(there.heard.at(-1), "closed ECONNRESET");
			assert.equal(both.there.heard.at(-1), "closed null");
		}));

	test("nobody listens again for one whose port is given free", () =>
		run(async (it) => {
			const listener = it.client.tcpListen({ port: 90 });
			let refused = "";
			listener.onclose = () => {
				try {
					it.client.tcpListen({ port: 91 });
				} catch (error) {
					refused = (error as { code: string }).code;
				}
			};
			leave(it);
			assert.equal(refused, "MILLRACE_CLOSED");
		}));

	test("no tick or promise of the program runs meanwhile", () =>
		run(async (it) => {
			const { here } = await read(it);
			const { tcp } = it.client.shard;
			let ran = 0;
			tcp.between = () => ran++;
			here.socket.write(new Uint8Array(10_000));
			leave(it);
			assert.equal(ran, 0);
		}));
});
