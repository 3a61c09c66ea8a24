/**
 * Links that anybody may have, from the command line and from the preload's environment: streams between two programs, and captures.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import net, { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { captureFrames } from "../../src/link/capture-reader.ts";
import { decodeFrame } from "../../src/wire/decode.ts";
import { millrace, type Outcome, type Running, start, startCommand } from "./helpers.ts";

const dir = mkdtempSync(join(tmpdir(), "millrace-links-"));
after(() => rmSync(dir, { recursive: true }));

const SERVER = "10.5.0.1";
const server = join(dir, "server.mjs");
writeFileSync(
	server,
	`import http from "node:http";
	http.createServer((request, response) => response.end("hello " + request.socket.remoteAddress)).listen(80, () => console.log("listening"));`,
);
const client = join(dir, "client.mjs");
writeFileSync(client, `console.log(await (await fetch("http://${SERVER}/", { headers: { connection: "close" } })).text());`);

let paths = 0;
const socketPath = () => join(dir, `${paths++}.sock`);

async function freePort(): Promise<number> {
	const listener = net.createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	listener.close();
	await once(listener, "close");
	return port;
}

/** Runs the server on a link while `use` lasts; returns what it said. */
async function serving(link: string, use: (running: Running) => Promise<void>, words: readonly string[] = []): Promise<Outcome> {
	const running = start(["run", "--link", link, "--address", SERVER, ...words, server]);
	running.outcome.catch(() => {});
	try {
		await running.says(/listening/);
		await use(running);
	} finally {
		running.child.kill("SIGINT");
		await running.outcome;
	}
	return running.outcome;
}

async function fetches(link: string): Promise<void> {
	const { code, stdout, stderr } = await millrace(["run", "--link", link, "--address", "10.5.0.2/24", client]);
	assert.deepEqual([stdout, code], ["hello 10.5.0.2\n", 0], stderr);
	assert.match(stderr, /^millrace: link stream \(as asked for\): 10\.5\.0\.2\/24, (connected to|udp:)/);
}

describe("--link stream", { timeout: 60_000 }, () => {
	test("one program listens at a UNIX socket, others come one after the other", async () => {
		const path = socketPath();
		const { stderr, code } = await serving(`stream:listen:unix:${path}`, async (running) => {
			await fetches(`stream:unix:${path}`);
			await running.says(/has left; the next one may come/);
			await fetches(`stream:unix:${path}`);
		});
		assert.equal(code, "SIGINT");
		assert.match(stderr, new RegExp(`^millrace: link stream \\(as asked for\\): 10\\.5\\.0\\.1/24, listening at unix:${path}$`, "m"));
		assert.equal(stderr.match(/a peer has joined at unix:/g)?.length, 2);
		assert.ok(!existsSync(path), "nothing is left behind");
	});

	test("the same by TCP; a second peer at once is turned away, and one that does not speak frames", async () => {
		const port = await freePort();
		await serving(`stream:listen:tcp:${port}`, async (running) => {
			const first = net.connect(port, "127.0.0.1");
			await running.says(/a peer has joined at tcp:127\.0\.0\.1:\d+/);
			const second = net.connect(port, "127.0.0.1").resume();
			await once(second, "close");
			await running.says(/a second peer at tcp:127\.0\.0\.1:\d+ was turned away: a link has one/);
			first.end("GET / HTTP/1.1\r\n\r\n");
			await once(first.resume(), "close");
			await running.says(/does not put 4-byte lengths in front of frames, and was turned away/);
			await fetches(`stream:tcp:localhost:${port}`);
		});
	});

	test("a peer that leaves and comes again at once is taken, although its end is heard after the next one's beginning", async () => {
		const port = await freePort();
		const { stderr } = await serving(`stream:listen:tcp:${port}`, async (running) => {
			const peers: net.Socket[] = [];
			const times = (text: string, count: number) => new RegExp(`(?:${text}[^]*){${count}}`);
			const next = async () => {
				const peer = net.connect(port, "127.0.0.1");
				peer.on("error", () => {});
				peers.push(peer);
				await once(peer, "connect");
			};
			await next();
			await running.says(/a peer has joined/);
			// The next one's handshake is over before the one that is there ends.
			for (let i = 0; i < 20; i++) {
				await next();
				peers[i]!.destroy();
				await running.says(times("has left; the next one may come", i + 1));
				await running.says(times("a peer has joined", i + 2));
			}
			assert.equal(peers[20]!.destroyed, false);
			peers[20]!.destroy();
			await running.says(times("has left; the next one may come", 21));
			await fetches(`stream:tcp:127.0.0.1:${port}`);
		});
		assert.doesNotMatch(stderr, /turned away/);
	});

	test("a pair of UDP sockets carries a frame a datagram", async () => {
		const [here, there] = [await freePort(), await freePort()];
		await serving(`stream:udp:${here}:127.0.0.1:${there}`, () => fetches(`stream:udp:${there}:127.0.0.1:${here}`));
	});

	test("over UDP, a peer hears of a program that ends at once", async () => {
		const [here, there] = [await freePort(), await freePort()];
		const waiting = join(dir, "waiting.mjs");
		writeFileSync(
			waiting,
			`import net from "node:net";
			net.createServer((socket) => socket.on("error", () => {}).on("close", () => console.log("gone")).resume().write("hello")).listen(80, () => console.log("listening"));`,
		);
		const leaving = join(dir, "leaving.mjs");
		writeFileSync(leaving, `import net from "node:net"; net.connect(80, "${SERVER}").on("data", () => process.exit(7));`);
		const running = start(["run", "--link", `stream:udp:${here}:127.0.0.1:${there}`, "--address", SERVER, waiting]);
		running.outcome.catch(() => {});
		try {
			await running.says(/listening/);
			const { code } = await millrace(["run", "--link", `stream:udp:${there}:127.0.0.1:${here}`, "--address", "10.5.0.2/24", leaving]);
			assert.equal(code, 7);
			await running.says(/^gone$/m);
		} finally {
			running.child.kill("SIGINT");
			await running.outcome;
		}
	});

	test("a TCP peer that vanishes is noticed: the kernel asks for it", {
		skip: !existsSync("/proc/net/tcp") && "needs /proc/net/tcp",
	}, async () => {
		const port = await freePort();
		await serving(`stream:listen:tcp:${port}`, async (running) => {
			const peer = net.connect(port, "127.0.0.1");
			await running.says(/a peer has joined/);
			const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
			// Columns of proc_net_tcp: local address, remote address, state (01: established), queues, timer (02: keep-alive) and its time.
			const lines = readFileSync("/proc/net/tcp", "latin1")
				.split("\n")
				.map((line) => line.trim().split(/\s+/));
			const found = lines.filter(([, at, , state]) => at === local && state === "01");
			assert.deepEqual(
				found.map((columns) => columns[5]!.slice(0, 2)),
				["02"],
			);
			peer.destroy();
		});
	});

	test("peers that do not speak frames are said once, however often they come", async () => {
		const path = socketPath();
		const { stderr } = await serving(`stream:listen:unix:${path}`, async (running) => {
			for (let i = 0; i < 12; i++) {
				const peer = net.connect(path).resume();
				peer.on("error", () => {});
				peer.write("GET / HTTP/1.1\r\n\r\n");
				await once(peer, "close");
			}
			await fetches(`stream:unix:${path}`);
			await running.says(/has left; the next one may come/);
		});
		assert.deepEqual(stderr.match(/joined|turned away.*|left/g), ["joined", "turned away", "turned away, the 10th", "joined", "left"]);
	});

	test("a failed start leaves an older capture alone, and makes none", async () => {
		const old = join(dir, "old.pcapng");
		const none = join(dir, "none.pcapng");
		writeFileSync(old, "of yesterday");
		for (const file of [old, none]) {
			const link = `stream:unix:${socketPath()}`;
			assert.equal((await millrace(["run", "--link", link, "--address", SERVER, "--capture", file, server])).code, 2);
		}
		assert.equal(readFileSync(old, "utf8"), "of yesterday");
		assert.ok(!existsSync(none));
	});

	test("a socket that a killed program left behind is no obstacle; one that somebody listens at is, and a file", async () => {
		const path = socketPath();
		const killed = start(["run", "--link", `stream:listen:unix:${path}`, "--address", SERVER, server]);
		await killed.says(/listening$/m);
		const busy = await millrace(["run", "--link", `stream:listen:unix:${path}`, "--address", SERVER, server]);
		assert.deepEqual([busy.code, busy.stderr], [2, `millrace: cannot listen at unix:${path}: somebody has it already. Choose another\n`]);
		killed.child.kill("SIGKILL");
		await killed.outcome;
		assert.ok(existsSync(path));
		await serving(`stream:listen:unix:${path}`, () => fetches(`stream:unix:${path}`));
		writeFileSync(path, "a file");
		const file = await millrace(["run", "--link", `stream:listen:unix:${path}`, "--address", SERVER, server]);
		assert.deepEqual([file.code, readFileSync(path, "utf8")], [2, "a file"]);
	});

	test("what cannot be reached or listened at is one line and exit code 2, before the program runs", async () => {
		const taken = createSocket("udp4").bind(0, "127.0.0.1");
		await once(taken, "listening");
		const cases: [string, RegExp][] = [
			[`stream:unix:${socketPath()}`, /^millrace: cannot connect to unix:\S+: there is no such socket\. Start the other side first, or /],
			[`stream:tcp:127.0.0.1:${await freePort()}`, /^millrace: cannot connect to tcp:\S+: nobody listens there\. /],
			[
				`stream:listen:unix:${join(dir, "absent", "x")}`,
				/^millrace: cannot listen at unix:\S+: there is no such directory\. Make it first$/m,
			],
			[
				"stream:listen:tcp:203.0.113.1:5000",
				/^millrace: cannot listen at tcp:203\.0\.113\.1:5000: this machine does not have that address\. /,
			],
			[`stream:udp:${taken.address().port}:127.0.0.1:9`, /^millrace: cannot listen at udp:127\.0\.0\.1:\d+: somebody has it already\. /],
		];
		for (const [link, message] of cases) {
			const { code, stdout, stderr } = await millrace(["run", "--link", link, "--address", SERVER, server]);
			assert.match(stderr, message);
			assert.match(stderr, /^[^\n]+\n$/);
			assert.deepEqual([code, stdout], [2, ""]);
		}
		taken.close();
	});

	test("a peer that is gone for good is said, and the program goes on", async () => {
		const path = socketPath();
		const far = net.createServer((socket) => socket.destroy()).listen(path);
		await once(far, "listening");
		const { stderr } = await serving(`stream:unix:${path}`, async (running) => {
			await running.says(/^millrace: link stream:unix:\S+: the peer closed\. /m);
			assert.equal(running.child.exitCode, null);
		});
		assert.equal(stderr.match(/the peer closed/g)?.length, 1);
		far.close();
	});

	test("the preload takes it from its environment", async () => {
		const path = socketPath();
		const register = new URL("../../src/node/register.js", import.meta.url).href;
		await serving(`stream:listen:unix:${path}`, async () => {
			const MILLRACE_OPTIONS = JSON.stringify({ link: `stream:unix:${path}`, address: "10.5.0.3", quiet: true });
			const { code, stdout, stderr } = await startCommand([process.execPath, "--import", register, client], { MILLRACE_OPTIONS }).outcome;
			assert.deepEqual([stdout, code, stderr], ["hello 10.5.0.3\n", 0, ""]);
		});
		const MILLRACE_OPTIONS = JSON.stringify({ link: `stream:unix:${path}`, address: "10.5.0.3" });
		const { code, stderr } = await startCommand([process.execPath, "--import", register, server], { MILLRACE_OPTIONS }).outcome;
		assert.match(stderr, /^millrace: cannot connect to unix:\S+: there is no such socket\. /m);
		assert.equal(code, 2);
	});
});

describe("--link pcap", { timeout: 60_000 }, () => {
	const recorded = join(dir, "recorded.pcapng");
	const answers = join(dir, "answers.pcapng");
	/** Source, destination and flags of each TCP packet of a capture. */
	const tcpOf = (file: string) =>
		[...captureFrames(readFileSync(file))]
			.map(({ bytes, medium }) => decodeFrame(bytes, medium === "ip" ? "ip" : "ethernet"))
			.flatMap(({ ipv4, tcp }) => (ipv4 && tcp ? [`${ipv4.source} > ${ipv4.destination} ${tcp.flags}`] : []));

	/** Replays while the last frame has not been taken. */
	async function replays(words: readonly string[]): Promise<Outcome> {
		const running = start(["run", ...words, server]);
		running.outcome.catch(() => {});
		try {
			await running.says(/is at its end: /);
		} finally {
			running.child.kill("SIGINT");
			await running.outcome;
		}
		return running.outcome;
	}

	test("replays what a program received to another, when it listens; its answers are in the capture", async () => {
		const path = socketPath();
		await serving(`stream:listen:unix:${path}`, () => fetches(`stream:unix:${path}`), ["--capture", recorded]);
		const received = tcpOf(recorded).filter((line) => line.startsWith("10.5.0.2"));
		assert.ok(received.length >= 3);
		const { stderr } = await replays(["--link", `pcap:${recorded}`, "--capture", answers]);
		assert.match(stderr, /^millrace: link pcap:\S+ \(as asked for\): 10\.5\.0\.1\/24, as fast as it was$/m);
		assert.match(
			stderr,
			new RegExp(`^millrace: capture file "\\S+" is at its end: ${received.length} packets; nothing more arrives$`, "m"),
		);
		const lines = tcpOf(answers);
		assert.deepEqual(
			lines.filter((line) => line.startsWith("10.5.0.2")),
			received,
		);
		// The program's port was open before the first packet came; where the SYN's ACK comes at once, for another number, its reset leaves first.
		assert.ok(lines.includes("10.5.0.1 > 10.5.0.2 SA"), lines.join(", "));
	});

	test("the file that is replayed is not written over, by whatever name", async () => {
		const before = readFileSync(recorded);
		const linked = join(dir, "linked.pcapng");
		symlinkSync(recorded, linked);
		const { code, stderr } = await millrace(["run", "--link", `pcap:${recorded}`, "--capture", linked, server]);
		assert.match(stderr, /^millrace: cannot write capture file "\S+linked\.pcapng": it is being replayed\. Choose another name\n$/);
		assert.equal(code, 2);
		assert.deepEqual(readFileSync(recorded), before);
	});

	test("--speed says how fast; --address which end of the capture the program is", async () => {
		const { stderr } = await replays(["--link", `pcap:${recorded}`, "--speed", "max", "--address", SERVER]);
		assert.match(stderr, /: 10\.5\.0\.1\/24, all at once$/m);
		assert.match((await replays(["--link", `pcap:${recorded}`, "--speed", "10x"])).stderr, /, 10 times as fast as it was$/m);
	});

	test("a file that is cut is replayed up to there, and that is said", async () => {
		const cut = join(dir, "cut.pcapng");
		copyFileSync(recorded, cut);
		truncateSync(cut, readFileSync(cut).length - 10);
		const { stderr } = await replays(["--link", `pcap:${cut}`, "--speed=max"]);
		assert.match(stderr, /^millrace: capture file "\S+" ends in the middle of a frame: it is replayed up to there$/m);
	});

	test("what is no capture, or holds nothing for the program, is one line and exit code 2", async () => {
		// The directions are lost in pcap: packets for both ends are then candidates.
		const both = join(dir, "both.pcap");
		const packet = Buffer.alloc(16 + 40);
		packet.writeUInt32LE(40, 8);
		packet.writeUInt32LE(40, 12);
		packet[16] = 0x45;
		packet.set([10, 5, 0, 1], 16 + 16);
		const other = Buffer.from(packet);
		other.set([10, 5, 0, 2], 16 + 16);
		const header = Buffer.alloc(24);
		header.writeUInt32LE(0xa1b2c3d4);
		header.writeUInt32LE(101, 20);
		writeFileSync(both, Buffer.concat([header, packet, other, other]));
		const empty = join(dir, "empty.pcap");
		writeFileSync(empty, header);
		const cases: [string[], RegExp][] = [
			[[join(dir, "absent.pcap")], /^millrace: cannot read capture file "\S+absent\.pcap": there is no such file$/m],
			[[dir], /^millrace: cannot read capture file "\S+": it is a directory$/m],
			[[server], /^millrace: capture file "\S+server\.mjs": this is not a capture: neither pcap nor pcapng\. /],
			[[empty], /^millrace: capture file "\S+" holds no IPv4 packet for a single station: there is nothing to replay$/m],
			[
				[both],
				/^millrace: capture file "\S+" holds packets for 10\.5\.0\.2 \(2\), 10\.5\.0\.1 \(1\): say which of them the program is, --address$/m,
			],
			[
				[both, "--address", "10.5.0.9"],
				/holds no packet for 10\.5\.0\.9, but for 10\.5\.0\.2 \(2\), 10\.5\.0\.1 \(1\): choose one of them, --address$/m,
			],
		];
		for (const [[file, ...words], message] of cases) {
			const { code, stdout, stderr } = await millrace(["run", "--link", `pcap:${file}`, ...words, server]);
			assert.match(stderr, message);
			assert.match(stderr, /^[^\n]+\n$/);
			assert.deepEqual([code, stdout], [2, ""]);
		}
	});

	test("the preload takes it from its environment", async () => {
		const preload = fileURLToPath(new URL("../../src/node/register.js", import.meta.url));
		const MILLRACE_OPTIONS = JSON.stringify({ link: { kind: "pcap", name: recorded }, speed: 2 });
		const running = startCommand([process.execPath, "--require", preload, server], { MILLRACE_OPTIONS });
		await running.says(/is at its end: \d+ packets/);
		running.child.kill("SIGINT");
		assert.match((await running.outcome).stderr, /, 2 times as fast as it was$/m);
	});
});
