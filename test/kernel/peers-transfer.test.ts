/**
 * Large transfers between curl and the HTTP server of the examples over a TAP device, byte for byte, and what a capture shows of them.
 *
 * With losses the time is a matter of arithmetic. At 2 % random loss and a round trip of 40 ms a congestion control that takes loss
 * for congestion (CUBIC, NewReno) gets about 2.5 Mbit/s whoever made it: 5 minutes for 100 MB. So CUBIC gets a smaller file unless
 * MILLRACE_LONG=1 asks for all of it, and 100 MB are sent by BBR: the stack's, and the kernel's where it has it.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { before, describe, test } from "node:test";
import { isolate } from "../helpers/namespace.ts";
import {
	countPackets,
	curl,
	inRepository,
	KERNEL,
	lacksTools,
	program,
	STACK,
	scratch,
	served,
	sha256,
	showPackets,
	sysctl,
	sysctlWords,
} from "../helpers/peers.ts";

const noNamespace = isolate();
const skip = noNamespace || lacksTools("curl");
const skipCapture = skip || lacksTools("tshark");
const directory = scratch();
const example = inRepository("examples/http-server.mjs");
const url = `http://${STACK}:8080`;
const MB = 1_000_000;
const long = process.env.MILLRACE_LONG === "1";

const kernelHasBbr = noNamespace === false && sysctlWords("tcp_available_congestion_control").includes("bbr");
const CUBIC_SIZE = long ? 100 * MB : 5 * MB;

/** The file of so many bytes that the example serves. */
const files = new Map<number, { path: string; hash: string }>();

/** What the server has to send, made here by the same rule. */
async function makeFile(length: number): Promise<void> {
	if (files.has(length)) return;
	const pattern = Buffer.alloc(65536);
	for (let i = 0; i < pattern.length; i++) pattern[i] = (i * 7 + Math.floor(i / 251)) & 0xff;
	const path = join(directory, `${length}`);
	const stream = createWriteStream(path);
	const hash = createHash("sha256");
	for (let left = length; left > 0; left -= pattern.length) {
		const block = pattern.subarray(0, left);
		hash.update(block);
		stream.write(block);
	}
	stream.end();
	await finished(stream);
	files.set(length, { path, hash: hash.digest("hex") });
}

async function downloads(length: number): Promise<void> {
	const path = join(directory, `down-${length}`);
	await curl("-o", path, `${url}/bytes?n=${length}`);
	assert.equal(await sha256(createReadStream(path)), files.get(length)!.hash);
}

async function uploads(length: number): Promise<void> {
	const { path, hash } = files.get(length)!;
	assert.equal(await curl("-T", path, "-X", "POST", `${url}/hash`), `${hash} ${length}\n`);
}

describe("curl", { skip }, () => {
	before(async () => {
		for (const length of [5 * MB, 100 * MB]) await makeFile(length);
	});

	test("fetches and uploads 100 MB, sha256 equal", () =>
		served([example], async () => {
			await downloads(100 * MB);
			await uploads(100 * MB);
			await Promise.all([downloads(100 * MB), uploads(100 * MB)]);
		}));

	const lossy = ["--loss=2%", "--delay=20ms", "--seed=7"];
	const instead = (bytes: number) => (bytes === 100 * MB ? "100 MB" : `${bytes / MB} MB (100 MB with MILLRACE_LONG=1)`);

	test("fetches 100 MB at --loss 2% --delay 20ms --congestion bbr, sha256 equal", () =>
		served([...lossy, "--congestion=bbr", example], () => downloads(100 * MB)));

	test(`fetches ${instead(CUBIC_SIZE)} at --loss 2% --delay 20ms, sha256 equal`, () =>
		served([...lossy, example], () => downloads(CUBIC_SIZE)));

	const uploadSize = kernelHasBbr ? 100 * MB : CUBIC_SIZE;
	test(`uploads ${instead(uploadSize)} at --loss 2% --delay 20ms${kernelHasBbr ? ", kernel with BBR" : ""}, sha256 equal`, () => {
		if (kernelHasBbr) sysctl("tcp_congestion_control", "bbr");
		return served([...lossy, example], () => uploads(uploadSize));
	});

	test("fetches and uploads 5 MB through loss, reordering, duplicates and corruption, sha256 equal", async () => {
		const worse = ["--loss=1%", "--delay=2ms", "--jitter=1ms", "--reorder=1%", "--duplicate=1%", "--corrupt=1%", "--seed=11"];
		await served([...worse, example], async () => {
			await downloads(5 * MB);
			await uploads(5 * MB);
		});
	});
});

describe("a capture", { skip: skipCapture }, () => {
	/**
	 * Packets that tshark finds wrong in themselves. One of the kernel's in 65536 has a checksum of ffff where 0 came out: Linux writes it
	 * so for UDP's sake, whatever the protocol (skb_checksum_help in net/core/dev.c). It is right by RFC 1071, but tshark, which holds with
	 * RFC 1624, calls it bad. Ours must be 0.
	 */
	const BROKEN = `_ws.malformed || ip.checksum.status == 0 || (tcp.checksum.status == 0 && !(tcp.checksum.ffff && ip.src == ${KERNEL})) || arp.opcode > 2`;

	test("of a plain link has no malformed packet and no wrong checksum, and hardly a retransmission", async () => {
		const file = join(directory, "plain.pcapng");
		await makeFile(5 * MB);
		await served(["--capture", file, example], async () => {
			await downloads(5 * MB);
			await uploads(5 * MB);
			await assert.rejects(curl(`http://${STACK}:9/`), /Connection refused|Couldn't connect/);
		});
		assert.equal(await showPackets(file, BROKEN), "");
		assert.ok((await countPackets(file, "tcp.checksum.status == 1")) > 2000, "checksums were checked at all");
		// None, unless the machine keeps one of both waiting until the other thinks that something is lost.
		assert.ok((await countPackets(file, "tcp.analysis.retransmission")) < 100);
		assert.ok((await countPackets(file, `ip.src == ${STACK} && tcp.len > 0`)) > 1000);
		assert.equal(await countPackets(file, "tcp.flags.reset == 1 && tcp.srcport == 9"), 1);
	});

	test("of a link with losses shows retransmissions both ways, selective acknowledgements, and nothing broken", async () => {
		const file = join(directory, "lossy.pcapng");
		await makeFile(5 * MB);
		await served(["--capture", file, "--loss=2%", "--delay=2ms", "--reorder", "--duplicate", "--seed=3", example], async () => {
			await downloads(5 * MB);
			await uploads(5 * MB);
		});
		assert.equal(await showPackets(file, BROKEN), "");
		assert.ok((await countPackets(file, `tcp.analysis.retransmission && ip.src == ${STACK}`)) > 10);
		assert.ok((await countPackets(file, `tcp.analysis.retransmission && ip.dst == ${STACK}`)) > 10);
		assert.ok((await countPackets(file, `tcp.options.sack_le && ip.src == ${STACK}`)) > 10);
	});

	test("of short connections shows 3 segments from a server that answers and closes: SYN-ACK, answer with ACK and FIN, ACK", async () => {
		for (const [kind, server] of [
			["net", [program("short-server.mjs")]],
			["http", [example]],
		] as const) {
			const file = join(directory, `short-${kind}.pcapng`);
			const body = await served(["--capture", file, ...server], () => curl("-H", "Connection: close", `${url}/`));
			assert.match(body, /Millrace|short/);
			const count = await countPackets(file, `ip.src == ${STACK} && tcp`);
			console.log(`segments from the ${kind} server for one short connection: ${count}`);
			assert.ok(count >= 3 && count <= 4, `${kind}: ${count} segments`);
		}
	});
});
