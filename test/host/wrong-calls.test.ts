/** Calls of the library with what they cannot work with: each is a MillraceError that names it, before anything is begun. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import {
	Arena,
	Batch,
	CaptureWriter,
	captureLink,
	createHost,
	impairLink,
	loopbackLink,
	memoryLinkPair,
	nodeRuntime,
	PagePool,
	tapLink,
} from "../../src/index.ts";
import { replayLink } from "../../src/link/replay.ts";
import { streamLink, webSocketPipe } from "../../src/link/stream.ts";
import { createNet, datagramPipe, installPatch, Shared, StackOnly, socketPipe } from "../../src/node/index.ts";
import { simulate } from "../../src/sim/index.ts";
import { decodeFrame } from "../../src/wire/index.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { CLIENT, connected, Ear, SERVER, world } from "../helpers/two-hosts.ts";

/** What nothing can be done with, whatever it is given for. */
const NOTHING = [undefined, null, true, 5, "x", Number.NaN, {}, [], () => {}];
const but = (...good: unknown[]) => NOTHING.filter((value) => !good.includes(value));
const NO_FUNCTION = NOTHING.filter((value) => typeof value !== "function");

function refused(call: (wrong: never) => unknown, values: readonly unknown[], message: RegExp, code = "MILLRACE_BAD_OPTION"): void {
	for (const value of values) {
		assert.throws(
			() => call(value as never),
			{ name: "MillraceError", code, message },
			`${call}: ${typeof value} ${JSON.stringify(value)}`,
		);
	}
}

const make = (options: object) => createHost({ link: loopbackLink(), addresses: ["10.0.0.1/24"], memory: 1 << 20, ...options });
const sink = { write() {} };

test("createHost names what is no link, no runtime, no address and no options of TCP", () => {
	refused((link) => make({ link }), but(undefined, null, Number.NaN), /link of a host has no open\(\)/);
	refused((link) => make({ link }), [undefined, null], /createHost needs a link/);
	const runtime = nodeRuntime();
	refused((wrong) => make({ runtime: wrong }), but(undefined, null, Number.NaN), /runtime of a host has no defer\(\)/);
	for (const name of ["defer", "alarm"])
		refused((wrong) => make({ runtime: { ...runtime, [name]: wrong } }), NO_FUNCTION, new RegExp(`${name}\\(\\)`));
	refused((clock) => make({ runtime: { ...runtime, clock } }), NOTHING, /clock of a host's runtime has no now\(\)/);
	refused((random) => make({ runtime: { ...runtime, random } }), NOTHING, /random of a host's runtime has no int32\(\)/);
	refused((address) => make({ addresses: [address] }), but("x"), /addresses/);
	refused((tcp) => make({ tcp }), [null, 5, "x", Number.NaN, [], () => {}], /tcp needs an object of options/);
});

test("links around links, captures, replays, pipes and streams name what they cannot stand on", () => {
	refused((link) => impairLink(link, {}), NOTHING, /impair is put around has no open\(\)/);
	const writer = new CaptureWriter({ sink });
	refused((link) => captureLink(link, writer), NOTHING, /capture is put around has no open\(\)/);
	refused((wrong) => captureLink(loopbackLink(), wrong), NOTHING, /writer of a capture has no addInterface\(\)/);
	refused((offloads) => captureLink(loopbackLink(), writer, offloads), but(undefined, true), /offloads/);
	refused((wrong) => new CaptureWriter({ sink: wrong }), NOTHING, /sink of a capture has no write\(\)/);
	refused((name) => memoryLinkPair({ name }), but(undefined, "x"), /name/);
	refused((name) => tapLink({ name }), but(undefined, "x"), /name/);
	refused((mac) => tapLink({ mac }), [null], /mac/);
	refused((bytes) => replayLink(bytes), NOTHING, /Uint8Array/);
	refused((pipe) => streamLink(pipe), NOTHING, /pipe of a stream link has no start\(\)/);
	refused((socket) => webSocketPipe(socket), NOTHING, /has no send\(\)/);
	refused((socket) => socketPipe(socket), NOTHING, /has no on\(\)/);
	refused((socket) => datagramPipe(socket, { address: "127.0.0.1", port: 1 }), NOTHING, /has no on\(\)/);
	const socket = { on() {}, send() {}, close() {} } as never;
	refused((peer) => datagramPipe(socket, peer), NOTHING, /peer of a pipe/);
	refused((port) => datagramPipe(socket, { address: "127.0.0.1", port }), but(5), /port/);
});

test("decodeFrame decodes whatever bytes there are, and nothing else", () => {
	refused((bytes) => decodeFrame(bytes), NOTHING, /give its bytes/, "EINVAL");
	decodeFrame(runInNewContext("new Uint8Array(20)"));
	assert.throws(() => replayLink(runInNewContext("new Uint8Array(20)")), { code: "MILLRACE_CAPTURE_FORMAT" });
});

test("arenas, pools and batches, for those who write links", () => {
	refused((bytes) => new Arena(bytes), but(5), /arena of/);
	refused((arena) => new PagePool(arena, 1), NOTHING, /needs an Arena/);
	refused((pages) => new PagePool(new Arena(1 << 16), pages), but(5), /page pool of/);
	refused((pool) => new Batch(pool), NOTHING, /needs the PagePool/);
});

test("Node's faces of a host name what is no host, no policy, no server", async () => {
	refused((host) => createNet(host), NOTHING, /createNet is given has no tcpConnect\(\)/);
	refused((host) => installPatch(host, new StackOnly()), NO_FUNCTION, /function that gives the host/);
	const host = make({});
	refused((policy) => installPatch(() => host, policy), NOTHING, /policy of a patch has no listener\(\)/);
	refused(
		(options) => installPatch(() => host, new StackOnly(), options),
		[null, 5, { plainHandle: true }, { plainHandles: 1 }],
		/installPatch|plainHandles/,
	);
	refused((wrong) => new Shared(wrong), NO_FUNCTION, /Shared needs a function/);
	for (const name of ["kernelPorts", "ports", "leaves", "exposeLoopback", "loopback"])
		refused((wrong) => new Shared(() => host, { [name]: wrong }), [null, 5, {}], new RegExp(name));
	refused((options) => new Shared(() => host, options), [null, 5, { port: 1 }], /Shared/);
	refused((server) => host.net.adopt(server), NOTHING, /adopt/, "EINVAL");
	await host.close();
});

test("events and listeners without the functions that they must have", () =>
	world(async (hosts) => {
		const { client, server, sim } = hosts;
		const connect = (events: never) => client.tcpConnect({ address: SERVER, port: 80 }, events);
		refused(connect, NOTHING, /have no readable\(\)/, "EINVAL");
		for (const name of ["connected", "readable", "ended", "writable", "closed"])
			refused(connect, [Object.assign(new Ear(), { [name]: undefined })], new RegExp(`have no ${name}\\(\\)`), "EINVAL");
		assert.deepEqual(client.connections(), []);
		refused((onrequest) => server.tcpListenAny(onrequest), NO_FUNCTION, /tcpListenAny/, "EINVAL");
		const listener = server.tcpListen({ port: 90 });
		refused((called) => (listener.onconnection = called), NO_FUNCTION, /onconnection/, "EINVAL");
		listener.close();
		const { onListen } = server;
		for (const wrong of [5, "x", {}]) {
			Object.assign(server, { onListen: wrong });
			refused(() => server.tcpListen({ port: 90 }), [null], /onListen/, "EINVAL");
		}
		Object.assign(server, { onListen });
		const any = server.tcpListenAny((request) => {
			refused((events) => request.accept(events), NOTHING, /have no readable\(\)/, "EINVAL");
			request.refuse();
		});
		const ear = new Ear();
		client.tcpConnect({ address: SERVER, port: 80 }, ear);
		await sim.sleep(1);
		assert.deepEqual(ear.heard, ["closed ECONNREFUSED"]);
		any.close();
		const [here, there] = await connected(hosts);
		for (const { socket } of [here, there]) socket.close();
	}));

test("a connection whose onconnection gives it events that are not complete is reset, and the error says what they lack", () => {
	for (const events of [null, {}, { readable() {}, ended() {}, writable() {} }]) {
		const clock = new VirtualClock();
		const [a, b] = memoryLinkPair();
		const options = { runtime: clock.runtime, memory: 1 << 20 };
		const server = createHost({ link: a, addresses: [`${SERVER}/24`], ...options });
		const client = createHost({ link: b, addresses: [`${CLIENT}/24`], ...options });
		server.tcpListen({ port: 80 }).onconnection = (socket) => {
			socket.events = events as never;
		};
		const told = new Ear();
		client.tcpConnect({ address: SERVER, port: 80 }, told);
		assert.throws(() => clock.advance(1e6), { name: "MillraceError", code: "EINVAL", message: /events of a connection have no \w+\(\)/ });
		clock.advance(1e6);
		assert.deepEqual(told.heard, ["connected", "closed ECONNRESET"]);
		assert.deepEqual(server.connections(), []);
	}
});

test("a simulation's tasks and groups", async () => {
	await simulate({ seed: 1 }, (sim) => {
		refused((task) => sim.at(1, task), NO_FUNCTION, /give a function/);
		refused((task) => sim.after(1, task), NO_FUNCTION, /give a function/);
		for (const call of [sim.at, sim.after]) refused((seconds) => call.call(sim, seconds, () => {}), but(5), /seconds: give a number/);
		refused((seconds) => sim.sleep(seconds), but(5), /seconds: give a number/);
		refused((group) => sim.segment().partition(group), [undefined, null, 5, "x", {}], /no group of hosts/);
	});
});
