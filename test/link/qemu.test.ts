/**
 * The framing of stream links against QEMU's own.
 *
 * What QEMU puts on a stream, recorded, for where there is no QEMU. And a QEMU without a machine, only a hub between its network back ends: a
 * frame that one of our links gives to its back end must come out of all others as it was. A whole machine is in
 * kernel/qemu-guest.test.ts.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Link } from "../../src/link/link.ts";
import { streamLink } from "../../src/link/stream.ts";
import { datagramPipe, socketPipe } from "../../src/node/pipe.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { decodeFrame } from "../../src/wire/decode.ts";
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { VirtualClock } from "../helpers/runtime.ts";
import { testFrame } from "./compliance.ts";

const QEMU = "qemu-system-x86_64";

/**
 * From QEMU 7.2 on `-netdev stream`, a Linux 6.1 guest behind it: `ping -c 1 10.0.2.2; wget http://10.0.2.2/hello` against a Millrace host
 * (02:72:2d:31:fe:3d). Only what came from QEMU, lengths included.
 */
const RECORDED = [
	// ARP: who has 10.0.2.2
	"0000002affffffffffff525400123456080600010800060400015254001234560a00020f0000000000000a000202",
	// echo request
	"0000006202722d31fe3d525400123456080045000054803140004001a2670a00020f0a00020208002a9c005b0000aa0823000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000000000000000000",
	// SYN
	"0000004a02722d31fe3d52540012345608004500003cc0c34000400661e80a00020f0a000202ec3a005009fe13ff00000000a002faf023a00000020405b40402",
	"080afe2d08ab0000000001030305",
	// ACK
	"0000004202722d31fe3d525400123456080045000034c0c44000400661ef0a00020f0a000202ec3a005009fe1400820e4974801007d85f2a00000101080afe2d",
	"08b4cc794e43",
	// GET
	"0000008e02722d31fe3d525400123456080045000080c0c54000400661a20a00020f0a000202ec3a005009fe1400820e4974801807d8841900000101080afe2d",
	"08becc794e43474554202f68656c6c6f20485454502f312e310d0a486f73743a2031302e302e322e320d0a557365722d4167656e743a20576765740d0a436f6e",
	"6e656374696f6e3a20636c6f73650d0a0d0a",
	// FIN
	"0000004202722d31fe3d525400123456080045000034c0c64000400661ed0a00020f0a000202ec3a005009fe144c820e49e1801107d55e4600000101080afe2d",
	"08cccc794e58",
].join("");

test("a recorded stream of QEMU's is its guest's frames, whichever way it is cut", () => {
	const recorded = new Uint8Array(Buffer.from(RECORDED, "hex"));
	for (const piece of [1, 3, 5, 64, 100, recorded.length]) {
		const clock = new VirtualClock();
		let arrived: (bytes: Uint8Array) => void = () => {};
		const link = streamLink({
			start: (events) => {
				arrived = (bytes) => events.arrived(bytes);
			},
			write() {},
			pending: 0,
			close() {},
		});
		const speaker = new Speaker(link, { pool: makePool(), runtime: clock.runtime });
		for (let at = 0; at < recorded.length; at += piece) arrived(recorded.subarray(at, at + piece));
		const frames = speaker.receive().map(({ bytes }) => decodeFrame(bytes, "ethernet"));
		assert.deepEqual(
			frames.map(({ ethernet, arp, icmp, tcp }) => [ethernet?.source, arp?.targetAddress ?? icmp?.type ?? tcp?.flags]),
			["10.0.2.2", 8, "S", "A", "PA", "FA"].map((what) => ["52:54:00:12:34:56", what]),
		);
		assert.ok(frames.slice(1).every(({ ipv4 }) => ipv4?.checksumOk));
		assert.match(new TextDecoder().decode(frames[4]!.payload), /^GET \/hello HTTP\/1\.1\r\nHost: 10\.0\.2\.2\r\n/);
		assert.deepEqual([link.counters().rxBadFraming, link.counters().rxDropSize], [0, 0]);
	}
});

/** Why this cannot run: `-netdev stream` came with QEMU 7.2. */
function lack(): string | false {
	const { stdout, error } = spawnSync(QEMU, ["-M", "none", "-netdev", "help"], { encoding: "utf8" });
	if (error !== undefined) return `${QEMU} is not installed (apt-get install --no-install-recommends qemu-system-x86)`;
	return /^stream$/m.test(stdout) && /^dgram$/m.test(stdout) ? false : `${QEMU} is older than 7.2: no -netdev stream`;
}

async function listening(server: net.Server, where: number | string): Promise<net.Server> {
	if (typeof where === "number") server.listen(where, "127.0.0.1");
	else server.listen(where);
	await once(server, "listening");
	return server;
}

test("frames cross QEMU's hub between -netdev stream over TCP, over a UNIX socket, -netdev dgram, and -netdev socket", {
	skip: lack(),
	timeout: 60_000,
}, async () => {
	const folder = mkdtempSync(join(tmpdir(), "millrace-qemu-"));
	const path = join(folder, "vm.sock");
	const tcp = await listening(net.createServer(), 0);
	const unix = await listening(net.createServer(), path);
	const old = await listening(net.createServer(), 0);
	const udp = createSocket("udp4").bind(0, "127.0.0.1");
	const probe = createSocket("udp4").bind(0, "127.0.0.1");
	await Promise.all([once(udp, "listening"), once(probe, "listening")]);
	const vmPort = probe.address().port; // free a moment ago, and QEMU wants to be told
	probe.close();
	await once(probe, "close");
	const backEnds = [
		`stream,id=a,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port=${(tcp.address() as net.AddressInfo).port}`,
		`stream,id=b,server=off,addr.type=unix,addr.path=${path}`,
		`dgram,id=c,local.type=inet,local.host=127.0.0.1,local.port=${vmPort},remote.type=inet,remote.host=127.0.0.1,remote.port=${udp.address().port}`,
		`socket,id=d,connect=127.0.0.1:${(old.address() as net.AddressInfo).port}`,
	];
	const hub = ["a", "b", "c", "d"].map((id) => `hubport,hubid=0,id=port-${id},netdev=${id}`);
	const connections = Promise.all([tcp, unix, old].map((server) => once(server, "connection")));
	const args = [
		"-M",
		"none",
		"-display",
		"none",
		"-monitor",
		"none",
		"-serial",
		"none",
		...[...backEnds, ...hub].flatMap((dev) => ["-netdev", dev]),
	];
	const qemu = spawn(QEMU, args, { stdio: ["ignore", "ignore", "pipe"] });
	let complaints = "";
	qemu.stderr.on("data", (text) => {
		complaints += text;
	});
	const exited = once(qemu, "exit");
	const links: Link[] = [];
	try {
		const died = exited.then(() => {
			throw new Error(`QEMU ended: ${complaints}`);
		});
		const [[first], [second], [third]] = (await Promise.race([connections, died])) as unknown as [[net.Socket], [net.Socket], [net.Socket]];
		died.catch(() => {});
		links.push(
			streamLink(socketPipe(first), { name: "tcp", mtu: 9000 }),
			streamLink(socketPipe(second), { name: "unix", mtu: 9000 }),
			streamLink(socketPipe(third), { name: "socket", mtu: 9000 }),
			streamLink(datagramPipe(udp, { address: "127.0.0.1", port: vmPort }), { name: "udp", framing: "message", mtu: 9000 }),
		);
		const runtime = nodeRuntime();
		const speakers = links.map((link) => new Speaker(link, { pool: makePool(), runtime }));
		for (const [i, from] of speakers.entries()) {
			const sent = [60, 61, 590, 1514, 1986, 1987, 9014].map((length, n) => testFrame(from.link, length, i * 16 + n));
			for (const frame of sent) from.send(frame);
			for (const to of speakers) {
				const got: Uint8Array[] = [];
				if (to === from) continue;
				while (got.length < sent.length) {
					await sleep(2);
					got.push(...to.receive().map(({ bytes }) => bytes));
				}
				assert.deepEqual(got, sent, `from ${from.link.name} to ${to.link.name}`);
			}
			assert.deepEqual(from.receive(), []);
		}
	} finally {
		for (const link of links) link.close();
		tcp.close();
		unix.close();
		old.close();
		qemu.kill();
		await exited;
		rmSync(folder, { recursive: true });
	}
});
