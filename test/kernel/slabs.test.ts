/**
 * Long writes to the kernel's TCP over a TAP device: from slabs and from pages, over a path of nothing, a narrow one that loses segments of
 * a frame when its queue is full, and a random one where this kernel has netem.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import net, { type Socket } from "node:net";
import { before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createHost } from "../../src/index.ts";
import { tapLink } from "../../src/link/tap.ts";
import type { TcpOptions } from "../../src/tcp/options.ts";
import { isolate } from "../helpers/namespace.ts";
import { inRepository, lacksTools, output, STACK, served, sysctl } from "../helpers/peers.ts";
import { farNamespace, ip, vethPair } from "../helpers/veth.ts";

const skip = isolate();
const PORT = 8080;
const MB = 1_000_000;
/** A machine behind the path, which answers for it on the network of the device (proxy ARP). */
const FAR = "10.77.0.9";
const BLOCK = Buffer.from(Uint8Array.from({ length: 262_144 }, (_, i) => (i * 13 + (i >> 8) * 5) & 255));

/** Hash of the first bytes of the blocks. */
function hashOf(bytes: number): string {
	const hash = createHash("sha256");
	for (let left = bytes; left > 0; left -= BLOCK.length) hash.update(BLOCK.subarray(0, left));
	return hash.digest("hex");
}

interface Figures {
	tcp: Readonly<Record<string, number>>;
	link: Readonly<Record<string, number>>;
}

/** A server on the stack writes so many bytes; `read` gets them, and its hash must be theirs. */
async function pull(bytes: number, options: Partial<TcpOptions>, read: () => Promise<string>): Promise<Figures> {
	const host = createHost({
		link: tapLink(),
		tcp: options,
		addresses: [`${STACK}/24`],
		memory: 32 << 20,
	});
	try {
		const server = host.net.createServer(async (socket) => {
			socket.on("error", () => {});
			for (let left = bytes; left > 0 && !socket.destroyed; left -= BLOCK.length)
				if (!socket.write(BLOCK.subarray(0, left))) await once(socket, "drain");
			socket.end();
		});
		await once(server.listen(PORT), "listening");
		assert.equal(await read(), hashOf(bytes));
		server.close();
		const { tcp, link } = host.stats();
		// What is left of the connection is gone when the last ACK is here.
		const { pool } = host.shard;
		for (let tries = 0; pool.slabsFree < pool.slabs && tries < 200; tries++) await sleep(10);
		assert.equal(pool.slabsFree, pool.slabs, "slabs left");
		return { tcp, link: link as Figures["link"] };
	} finally {
		host.close();
	}
}

/** Reads all of it by a socket of the kernel in this process. */
function here(slow?: (socket: Socket) => void): () => Promise<string> {
	return async () => {
		const socket = net.connect(PORT, STACK);
		const hash = createHash("sha256");
		slow?.(socket);
		socket.on("data", (chunk) => hash.update(chunk));
		await once(socket, "end");
		socket.destroy();
		return hash.digest("hex");
	};
}

function used({ tcp, link }: Figures, slabs: boolean, bytes: number): void {
	assert.equal(tcp.slabsOpened! > 0, slabs, `${tcp.slabsOpened} slabs`);
	if (slabs) assert.ok(tcp.slabsOpened! >= bytes / 65536 / 2, `${tcp.slabsOpened} slabs`);
	assert.ok(link.txFrames! > 0 && tcp.bytesOut! >= bytes);
}

describe("long writes", { skip, concurrency: false }, () => {
	for (const slabs of [true, false]) {
		test(`come whole to a socket of the kernel${slabs ? ", in few frames" : " without slabs"}`, async (t) => {
			const figures = await pull(32 * MB, { slabs }, here());
			used(figures, slabs, 32 * MB);
			t.diagnostic(`${figures.link.txFrames} frames, ${figures.tcp.slabsOpened} slabs, ${figures.tcp.noSlab} times none`);
			// A segment each would be 22000 frames.
			if (slabs) assert.ok(figures.link.txFrames! < 8000, `${figures.link.txFrames} frames`);
		});
	}

	test("come whole to a peer whose window is small, and that stops and goes on", async (t) => {
		if (!sysctl("tcp_rmem", "4096 12000 24000")) return t.skip("this kernel has no tcp_rmem in a namespace");
		t.after(() => sysctl("tcp_rmem", "4096 131072 6291456"));
		let chunks = 0;
		const stopping = (socket: Socket) => {
			socket.on("data", () => {
				if (++chunks % 200 !== 0) return;
				socket.pause();
				setTimeout(() => socket.resume(), 5);
			});
		};
		used(await pull(4 * MB, {}, here(stopping)), true, 4 * MB);
	});
});

const lacks = skip || lacksTools("ip", "tc", "curl", "nsenter");

describe("long writes over a path that loses segments", { skip: lacks, concurrency: false }, () => {
	let far = 0;
	const there = (...words: string[]) => output("nsenter", "-n", "-t", `${far}`, ...words);
	const tc = (...words: string[]) => spawnSync("tc", ["qdisc", "replace", "dev", "mrs0", "root", ...words], { encoding: "utf8" });

	before(async () => {
		far = farNamespace();
		vethPair("mrs0", "mrs1", 1, far);
		await there("ip", "addr", "add", `${FAR}/24`, "dev", "mrs1");
		ip("route", "add", `${FAR}/32`, "dev", "mrs0");
		for (const name of ["ip_forward", "conf/all/proxy_arp"]) writeFileSync(`/proc/sys/net/ipv4/${name}`, "1");
	});

	/** Reads all of it by curl behind the path, as HTTP/0.9: bytes without a head. */
	const curl = async () => {
		const hash = await there("sh", "-c", `curl -sS --max-time 60 --http0.9 http://${STACK}:${PORT}/ | sha256sum`);
		return hash.split(" ")[0]!;
	};

	/** Ways to lose segments: what tc makes of them, and whether this kernel can. */
	const ways: [string, string[]][] = [
		["a queue that is too short", ["tbf", "rate", "200mbit", "burst", "8kb", "limit", "100kb"]],
		["chance, which reorders too (netem)", ["netem", "delay", "2ms", "loss", "0.5%", "reorder", "90%"]],
	];
	for (const [what, words] of ways) {
		for (const slabs of [true, false]) {
			test(`by ${what}${slabs ? "" : ", without slabs"}: sha256 equal`, async (t) => {
				const { status, stderr } = tc(...words);
				if (status !== 0) return t.skip(`tc qdisc ${words[0]}: ${stderr.trim()}`);
				const figures = await pull(8 * MB, { slabs }, curl);
				used(figures, slabs, slabs ? 2 * MB : 8 * MB);
				t.diagnostic(`${figures.tcp.retransmits} segments sent again, ${figures.tcp.slabsOpened} slabs, ${figures.tcp.timeouts} time-outs`);
				assert.ok(figures.tcp.retransmits! > 0, "nothing was lost");
			});

			test(`by ${what}, an unmodified program${slabs ? "" : " with --slabs off"}: sha256 equal`, async (t) => {
				const { status, stderr } = tc(...words);
				if (status !== 0) return t.skip(`tc qdisc ${words[0]}: ${stderr.trim()}`);
				const pattern = Buffer.alloc(65536);
				for (let i = 0; i < pattern.length; i++) pattern[i] = (i * 7 + Math.floor(i / 251)) & 0xff;
				const hash = createHash("sha256");
				for (let left = 8 * MB; left > 0; left -= pattern.length) hash.update(pattern.subarray(0, left));
				await served([`--slabs=${slabs ? "on" : "off"}`, inRepository("examples/http-server.mjs")], async () => {
					const got = await there("sh", "-c", `curl -sS --max-time 60 --fail 'http://${STACK}:${PORT}/bytes?n=${8 * MB}' | sha256sum`);
					assert.equal(got.split(" ")[0], hash.digest("hex"));
				});
			});
		}
	}
});
