/**
 * A guest whose TCP is neither ours nor Linux's: iPXE, a boot loader with a stack of its own, in QEMU on a stream and in v86 on a WebSocket.
 *
 * It fetches a long script, runs it, and asks for what the script's lines add up to: so the answer says that all of it came, in order. What
 * v86's guest sent, recorded, is in v86.test.ts, for where neither machine is to be had.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { WebSocket, WebSocketServer } from "ws";
import { createHost } from "../../src/index.ts";
import { impairLink } from "../../src/link/impair.ts";
import type { Link } from "../../src/link/link.ts";
import { streamLink, webSocketPipe } from "../../src/link/stream.ts";
import { socketPipe } from "../../src/node/pipe.ts";

const HOST = "10.0.2.2";
const QEMU = "qemu-system-x86_64";
const IPXE = ["/boot/ipxe.lkrn", "/usr/lib/ipxe/ipxe.lkrn"];
const BIOS = "/usr/share/seabios";

const ipxe = IPXE.find((path) => existsSync(path));
const lacksIpxe = ipxe === undefined && "needs iPXE (apt-get install --no-install-recommends ipxe)";

/** What iPXE is told: its address, and where the script is. Where that fails it starts again, so that a test fails by its time. */
const COMMANDS = `ifopen net0 && set net0/ip 10.0.2.15 && set net0/netmask 255.255.255.0 && imgfree && chain http://${HOST}/script || reboot`;

/** Lines of 1,000 bytes, each with a letter of what they add up to, and most of it a remark. */
function script(lines: number): { text: string; sum: string } {
	const letters = Array.from({ length: lines }, (_, i) => String.fromCharCode(97 + ((i * i + 7 * i) % 26)));
	const remark = `#${"a remark ".repeat(109)}\n`;
	const text = letters.map((letter, i) => `${i % 10 === 9 ? `set sum \${sum}${letter}\n` : ""}${remark}`).join("");
	return {
		text: `#!ipxe\n${text}imgfetch http://${HOST}/done?\${sum} || reboot\n`,
		sum: letters.filter((_, i) => i % 10 === 9).join(""),
	};
}

/** Serves the script on a link until the guest has asked for its sum; the sum, and what the connection's counters say. */
async function served(link: Link, text: string): Promise<{ sum: string; agent: string | undefined; retransmits: number }> {
	const host = createHost({ link, addresses: [`${HOST}/24`] });
	host.ref();
	try {
		return await new Promise((resolve) => {
			const server = http.createServer((request, response) => {
				if (request.url === "/script") return void response.end(text);
				response.end("#!ipxe\n", () => {
					const sum = decodeURIComponent(request.url!.slice("/done?".length));
					resolve({ sum, agent: request.headers["user-agent"], retransmits: host.stats().tcp!.retransmits! });
				});
			});
			host.net.adopt(server).listen(80);
		});
	} finally {
		await host.close();
	}
}

function lacksQemu(): string | false {
	const { stdout, error } = spawnSync(QEMU, ["-M", "none", "-netdev", "help"], { encoding: "utf8" });
	if (error !== undefined) return `needs ${QEMU} (apt-get install --no-install-recommends qemu-system-x86)`;
	return /^stream$/m.test(stdout) ? false : `needs ${QEMU} 7.2 or later, for -netdev stream`;
}

const skipQemu = lacksIpxe || lacksQemu();

async function inQemu(text: string, wrap: (link: Link) => Link = (link) => link) {
	const listener = net.createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	const machine = ["-M", "pc", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none", "-no-reboot"];
	const card = [
		"-netdev",
		`stream,id=n0,server=off,addr.type=inet,addr.host=127.0.0.1,addr.port=${port}`,
		"-device",
		"virtio-net-pci,netdev=n0",
	];
	const qemu = spawn(QEMU, [...machine, ...card, "-kernel", ipxe!, "-append", COMMANDS], { stdio: "ignore" });
	const ended = once(qemu, "exit");
	try {
		const [socket] = (await once(listener, "connection")) as [net.Socket];
		listener.close();
		const link = wrap(streamLink(socketPipe(socket)));
		return await Promise.race([
			served(link, text),
			ended.then(() => {
				throw new Error("iPXE gave up");
			}),
		]);
	} finally {
		qemu.kill("SIGKILL");
		await ended;
	}
}

test("iPXE in QEMU fetches 2 MB whole", { skip: skipQemu, timeout: 120_000 }, async () => {
	const { text, sum } = script(2000);
	const came = await inQemu(text);
	assert.equal(came.sum, sum);
	assert.match(came.agent!, /^iPXE/);
});

test("the same over a network that loses frames both ways", { skip: skipQemu, timeout: 120_000 }, async () => {
	const { text, sum } = script(500);
	const came = await inQemu(text, (link) => impairLink(link, { loss: 0.02, delay: 2000, seed: 3 }));
	assert.equal(came.sum, sum);
	assert.ok(came.retransmits > 0, "nothing was lost");
});

/** What of v86 is used. */
interface V86Module {
	readonly V86: new (options: object) => { destroy(): Promise<void> };
}

/** The folder of the package, which is too large to depend on (18 MB): installed beside, or where V86 says. */
function findV86(): string | null {
	if (process.env.V86) return process.env.V86;
	try {
		return join(createRequire(import.meta.url).resolve("v86"), "../..");
	} catch {
		return null;
	}
}

const v86 = findV86();
const skipV86 =
	lacksIpxe ||
	(v86 === null && "needs v86 (npm install --no-save v86, or its folder in the variable V86)") ||
	(!existsSync(join(BIOS, "bios.bin")) && "needs SeaBIOS (apt-get install --no-install-recommends seabios)");

/** As v86 takes files: whole words. */
function padded(path: string): ArrayBuffer {
	const bytes = readFileSync(path);
	const whole = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
	whole.set(bytes);
	return whole.buffer;
}

test("iPXE in v86 fetches 1 MB whole, a frame a message of a WebSocket", { skip: skipV86, timeout: 120_000 }, async () => {
	const { V86 } = (await import(pathToFileURL(join(v86!, "build/libv86.mjs")).href)) as V86Module;
	(globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket;
	const relay = new WebSocketServer({ host: "127.0.0.1", port: 0 });
	await once(relay, "listening");
	const machine = new V86({
		wasm_path: join(v86!, "build/v86.wasm"),
		bios: { buffer: padded(join(BIOS, "bios.bin")) },
		vga_bios: { buffer: padded(join(BIOS, "vgabios-stdvga.bin")) },
		bzimage: { buffer: padded(ipxe!) },
		cmdline: COMMANDS,
		memory_size: 64 << 20,
		autostart: true,
		disable_speaker: true,
		net_device: { type: "ne2k", relay_url: `ws://127.0.0.1:${(relay.address() as AddressInfo).port}/` },
	});
	try {
		const [socket] = (await once(relay, "connection")) as [WebSocket];
		const { text, sum } = script(1000);
		const came = await served(streamLink(webSocketPipe(socket), { framing: "message" }), text);
		assert.equal(came.sum, sum);
		assert.match(came.agent!, /^iPXE/);
	} finally {
		await machine.destroy();
		for (const client of relay.clients) client.terminate();
		relay.close();
	}
});
