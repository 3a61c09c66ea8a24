/**
 * The packet link and a kernel at the other end of a veth pair, in a namespace of its own: bulk both ways in all modes, where the kernel's
 * frames come merged and without their checksums; and what the device has to cut.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { createHost, type Host } from "../../src/index.ts";
import { impairLink } from "../../src/link/impair.ts";
import type { Link } from "../../src/link/link.ts";
import { type PacketLink, type PacketOptions, packetAvailable, packetLink } from "../../src/link/packet.ts";
import { millrace, start } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";
import { lacksTools, output, scratch } from "../helpers/peers.ts";
import { farNamespace, ip, vethPair } from "../helpers/veth.ts";

const OWN = "10.98.0.50";
const FAR = "10.98.0.2";
const PORT = 7;
const BYTES = 8_000_000;

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksTools("ip", "nsenter") || available();
const skipTool = skip || lacksTools("ethtool");
const directory = scratch();

/** The kernel's end: sends bytes and says what it sent, or reads and says what it read. */
const peer = join(directory, "peer.mjs");
writeFileSync(
	peer,
	`import net from "node:net";
	import { createHash } from "node:crypto";
	const [what, count] = process.argv.slice(2);
	const hash = createHash("sha256");
	const socket = net.connect(${PORT}, "${OWN}");
	if (what === "sends") {
		const bytes = Buffer.from(Array.from({ length: Number(count) }, (_, i) => (i * 7 + (i >> 9)) & 255));
		hash.update(bytes);
		socket.end(bytes);
		socket.resume().on("close", () => console.log(hash.digest("hex")));
	} else {
		socket.end();
		for await (const chunk of socket) hash.update(chunk);
		console.log(hash.digest("hex"));
	}`,
);

let far: (...words: string[]) => Promise<string> = async () => "";
if (skip === false) {
	const pid = farNamespace();
	after(() => process.kill(pid));
	vethPair("near", "far", 2, pid);
	far = (...words) => output("nsenter", "-n", "-t", `${pid}`, ...words);
	await far("ip", "address", "add", `${FAR}/24`, "dev", "far");
	// The kernel's neighbor entries are of links that are gone.
	ip("link", "set", "near", "up");
}

function offloads(...words: string[]): void {
	const { status, stderr } = spawnSync("ethtool", ["-K", "near", ...words], { encoding: "utf8" });
	assert.equal(status, 0, stderr);
}

async function withHost(
	options: Partial<PacketOptions>,
	use: (host: Host, link: PacketLink) => Promise<void>,
	wrap: (link: Link) => Link = (link) => link,
): Promise<void> {
	const link = packetLink({ interface: "near", addresses: [`${OWN}/24`], ringSize: 60, ...options });
	const host = createHost({ link: wrap(link), addresses: [`${OWN}/24`] });
	try {
		await use(host, link);
	} finally {
		await host.close();
	}
}

/** The connection of the kernel's end, and what that end says when it is done. */
async function connected(host: Host, ...words: string[]) {
	const listener = host.tcp.listen({ port: PORT });
	const said = far(process.execPath, peer, ...words);
	for await (const stream of listener) {
		listener.close();
		return { stream, said };
	}
	throw new Error("nobody came");
}

/** The kernel sends; both say what. */
async function fromKernel(host: Host): Promise<void> {
	const { stream, said } = await connected(host, "sends", `${BYTES}`);
	const hash = createHash("sha256");
	let bytes = 0;
	for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) {
		hash.update(chunk);
		bytes += chunk.length;
	}
	stream.finish();
	assert.equal(bytes, BYTES);
	assert.equal(hash.digest("hex"), (await said).trim());
}

async function toKernel(host: Host, meanwhile: () => void = () => {}): Promise<void> {
	const { stream, said } = await connected(host, "reads");
	const bytes = Uint8Array.from({ length: BYTES }, (_, i) => (i * 11 + (i >> 10)) & 255);
	await stream.write(bytes.subarray(0, BYTES / 2));
	meanwhile();
	await stream.write(bytes.subarray(BYTES / 2));
	stream.finish();
	assert.equal((await said).trim(), createHash("sha256").update(bytes).digest("hex"));
}

/** Counters of what was lost, and the kernel's own count. */
function assertNothingLost(link: PacketLink): void {
	const counters = link.counters();
	for (const name of ["rxTooLong", "rxTagged", "txNoMemory", "txDown", "txRejected"]) assert.equal(counters[name], 0, name);
}

const MODES: readonly [string, Partial<PacketOptions>][] = [
	["slots", {}],
	["blocks", { ring: "v3" }],
	["through queueing disciplines", { qdiscBypass: false }],
	["without a ring to send", { txRing: false }],
	["without a ring to send, through queueing disciplines", { txRing: false, qdiscBypass: false }],
	["three sockets, steered by our program", { ringSize: 30, fanout: { mode: "ebpf", queues: 3 } }],
	["two sockets with blocks, by the kernel's hash", { ring: "v3", ringSize: 30, fanout: { mode: "hash", queues: 2 } }],
];

describe("bulk between the packet link and a kernel, sha256 equal", { skip }, () => {
	for (const [name, options] of MODES) {
		test(`${name}: the kernel's frames come as it made them, ours leave uncut`, () =>
			withHost(options, async (host, link) => {
				assert.deepEqual(link.offload?.checksum, true);
				await fromKernel(host);
				const { rxMergedSeen, rxPartialSeen, rxFrames } = link.counters();
				assert.ok(rxMergedSeen! > 0 && rxPartialSeen! > 0, "merged, and not summed");
				assert.ok(rxFrames! < BYTES / 1460, `${rxFrames} frames: most of them were cut`);
				await toKernel(host);
				assert.ok(link.counters().txFrames! < BYTES / 1460, "ours are cut");
				assertNothingLost(link);
			}));

		test(`${name}, without headers: the kernel's are cut and summed here, ours are whole`, () =>
			withHost({ ...options, offload: false }, async (host, link) => {
				assert.equal(link.offload, undefined);
				await fromKernel(host);
				const { rxMergedSeen, rxCutSeen, rxPartialSeen, rxFrames } = link.counters();
				assert.ok(rxMergedSeen! > 0 && rxPartialSeen! > 0);
				assert.equal(rxCutSeen, rxMergedSeen);
				assert.ok(rxFrames! >= BYTES / 1460);
				await toKernel(host);
				assert.ok(link.counters().txFrames! >= BYTES / 1460);
				assertNothingLost(link);
			}));
	}

	test("under a wrapper that wants frames as on a wire: the segments are those that the kernel would have sent", () =>
		withHost(
			{},
			async (host, link) => {
				assert.equal(link.offload, undefined);
				await fromKernel(host);
				const { rxMergedSeen, rxCutSeen } = link.counters();
				assert.ok(rxMergedSeen! > 0);
				assert.equal(rxCutSeen, rxMergedSeen);
				await toKernel(host);
				assertNothingLost(link);
			},
			(link) => impairLink(link, {}),
		));
});

test("doctor says what packet sockets can do here", { skip }, async () => {
	assert.match((await millrace(["doctor"])).stdout, /^link packet +yes +permitted; rings v2, v3, fanout by hash, ebpf, cpu, queue; /m);
});

describe("from the command line", { skip }, () => {
	const server = join(directory, "server.mjs");
	writeFileSync(
		server,
		`import net from "node:net";
		net.createServer((socket) => socket.end("hello " + socket.remoteAddress)).listen(${PORT}, () => console.log("listening"));`,
	);
	const client = join(directory, "client.mjs");
	writeFileSync(
		client,
		`import net from "node:net";
		for await (const chunk of net.connect(${PORT}, "${OWN}")) process.stdout.write(chunk);`,
	);
	const lines: readonly [string, RegExp][] = [
		["--queues 2 --fanout ebpf --ring v3", /; 2 queues, by ebpf$/m],
		["--queues 3 --fanout queue --offload off --ring-size 15", /; 3 queues, by queue$/m],
		["--qdisc-bypass off --tx-ring off", /: 10\.98\.0\.50\/24$/m],
	];
	for (const [line, said] of lines) {
		test(line, async () => {
			const running = start(["run", "--link", "packet:near", "--address", OWN, "--memory", "32mb", ...line.split(" "), server]);
			running.outcome.catch(() => {});
			try {
				await running.says(said);
				await running.says(/listening/);
				assert.equal(await far(process.execPath, client), `hello ${FAR}`);
			} finally {
				running.child.kill("SIGINT");
				await running.outcome;
			}
		});
	}
});

describe("a device that does not cut segments", { skip: skipTool }, () => {
	test("gets long frames cut by the kernel, behind its queueing disciplines", async () => {
		offloads("tso", "off");
		await withHost({}, async (host, link) => {
			assert.ok(link.offload!.segmentation > 0);
			await toKernel(host);
			assertNothingLost(link);
			assert.equal(link.counters().txBypassOff, 0, "known from the start");
		});
	});

	test("gets none where the bypass was asked for", () =>
		withHost({ qdiscBypass: true }, async (host, link) => {
			assert.deepEqual(link.offload, { checksum: true, segmentation: 0, longPieces: true });
			await toKernel(host);
			assertNothingLost(link);
		}));

	for (const txRing of [true, false])
		test(`is found out while it is in use${txRing ? "" : ", without a ring to send"}, and nothing is lost by that`, async () => {
			offloads("tso", "on");
			await withHost({ txRing }, async (host, link) => {
				await toKernel(host, () => offloads("tso", "off"));
				assertNothingLost(link);
				assert.equal(link.counters().txBypassOff, 1);
			});
			offloads("tso", "on");
		});
});
