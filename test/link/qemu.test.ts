/**
 * The framing of stream links against QEMU's own: a QEMU without a machine, only a hub between three network back ends. A frame that
 * one of our links gives to its back end must come out of the two others as it was.
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
import { makePool, Speaker } from "../helpers/memory-bench.ts";
import { testFrame } from "./compliance.ts";

const QEMU = "qemu-system-x86_64";

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

test("frames cross QEMU's hub between -netdev stream over TCP, over a UNIX socket, and -netdev dgram", {
	skip: lack(),
	timeout: 60_000,
}, async () => {
	const folder = mkdtempSync(join(tmpdir(), "millrace-qemu-"));
	const path = join(folder, "vm.sock");
	const tcp = await listening(net.createServer(), 0);
	const unix = await listening(net.createServer(), path);
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
	];
	const hub = ["a", "b", "c"].map((id) => `hubport,hubid=0,id=port-${id},netdev=${id}`);
	const connections = Promise.all([once(tcp, "connection"), once(unix, "connection")]);
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
		const [[first], [second]] = (await Promise.race([connections, died])) as unknown as [[net.Socket], [net.Socket]];
		died.catch(() => {});
		links.push(
			streamLink(socketPipe(first), { name: "tcp", mtu: 9000 }),
			streamLink(socketPipe(second), { name: "unix", mtu: 9000 }),
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
		qemu.kill();
		await exited;
		rmSync(folder, { recursive: true });
	}
});
