/**
 * How connections end, between the kernel's TCP and the stack over a TAP device: refused, half closed, reset, and by the death of a peer.
 *
 * Each conversation is held twice: opened by the kernel to a server on the stack, and opened by a client on the stack to a server of the
 * kernel. The program on the stack is programs/peer.mjs either way.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import net, { type AddressInfo } from "node:net";
import { afterEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Running } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";
import { inRepository, interfaceOf, KERNEL, onTap, output, program, STACK, served, sysctl } from "../helpers/peers.ts";

const skip = isolate();

/** A conversation whose kernel end is `socket` and whose other end does as it is told by the first line. */
type Conversation = (socket: net.Socket, peer: Running) => Promise<void>;

const openers: Record<string, (converse: Conversation) => Promise<void>> = {
	"the kernel": (converse) =>
		served([program("peer.mjs"), "serve", "7000"], async (peer) => {
			const socket = net.connect({ port: 7000, host: STACK, allowHalfOpen: true });
			await once(socket, "connect");
			await converse(socket, peer);
		}),
	"the stack": async (converse) => {
		const server = net.createServer({ allowHalfOpen: true }).listen(0).unref();
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		await onTap([program("peer.mjs"), "dial", KERNEL, `${port}`, "1"], async (peer) => {
			const [socket] = (await once(server, "connection")) as [net.Socket];
			server.close();
			await converse(socket, peer);
		});
	},
};

/** Everything the peer sends, to its end. */
async function text(socket: net.Socket): Promise<string> {
	let all = "";
	for await (const chunk of socket) all += chunk;
	return all;
}

for (const [opener, hold] of Object.entries(openers)) {
	describe(`a connection opened by ${opener}`, { skip, timeout: 60_000 }, () => {
		test("half closed by the kernel: the stack still answers", () =>
			hold(async (socket, peer) => {
				socket.write("sum\n");
				socket.end(Buffer.alloc(300_000));
				assert.equal(await text(socket), "300000\n");
				await peer.says(/^sum: closed$/m);
			}));

		test("half closed by the stack: the kernel still sends", () =>
			hold(async (socket, peer) => {
				socket.write("last\n");
				let said = "";
				socket.on("data", (chunk: Buffer) => {
					said += chunk;
				});
				await once(socket, "end");
				assert.equal(said, "last words");
				socket.end(Buffer.alloc(300_000));
				await peer.says(/^after the end: 300000$/m);
				await peer.says(/^last: closed$/m);
			}));

		test("left by a process that ends with bytes under way: they arrive, and an end behind them", () =>
			hold(async (socket, peer) => {
				socket.write("leave\n");
				const { length } = await text(socket);
				const [, written] = await peer.says(/^left with (\d+)$/m);
				assert.equal(length, Number(written));
				assert.ok(length > 10_000, `${length} bytes`);
				assert.equal((await peer.outcome).code, 0);
			}));

		test("reset by the kernel while the stack waits for data: ECONNRESET from read", () =>
			hold(async (socket, peer) => {
				socket.write("read\nsome");
				await sleep(50);
				socket.resetAndDestroy();
				await peer.says(/^read: ECONNRESET read$/m);
				await peer.says(/^read: closed by an error$/m);
			}));

		test("reset by the kernel while the stack writes: ECONNRESET", () =>
			hold(async (socket, peer) => {
				socket.write("flood\n");
				await once(socket, "data");
				socket.resetAndDestroy();
				await peer.says(/^flood: ECONNRESET (read|write)$/m);
			}));

		test("reset by the stack: the kernel hears ECONNRESET", () =>
			hold(async (socket, peer) => {
				socket.write("reset\n");
				assert.equal(String((await once(socket, "data"))[0]), "going");
				socket.write("go");
				const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
				assert.equal(error.code, "ECONNRESET");
				await peer.says(/^reset: closed$/m);
			}));

		test("closed by a kernel program that leaves data unread: the stack hears ECONNRESET", () =>
			hold(async (socket, peer) => {
				socket.write("flood\n");
				await once(socket, "readable");
				socket.destroy();
				await peer.says(/^flood: (ECONNRESET|EPIPE) (read|write)$/m);
			}));
	});
}

/** Whether the kernel holds data for a connection to this port that its program has not read. */
async function unread(port: number): Promise<boolean> {
	const remote = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
	return (await readFile("/proc/net/tcp", "utf8")).split("\n").some((line) => {
		const [, , address, , queues] = line.trim().split(/\s+/);
		return address?.endsWith(remote) && Number.parseInt(queues!.split(":")[1]!, 16) > 0;
	});
}

describe("refused", { skip, timeout: 60_000 }, () => {
	test("by the stack: a port without a listener", () =>
		served([program("peer.mjs"), "serve", "7000"], async () => {
			const socket = net.connect(7001, STACK);
			const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
			assert.equal(error.message, `connect ECONNREFUSED ${STACK}:7001`);
		}));

	test("by the kernel: a program on the stack gets Node's error", () =>
		onTap([inRepository("examples/fetch-client.mjs"), `http://${KERNEL}:9/`], async ({ outcome }) => {
			const { code, stderr } = await outcome;
			assert.match(stderr, /^cannot fetch http:\/\/10\.77\.0\.1:9\/: ECONNREFUSED$/m);
			assert.equal(code, 1);
		}));

	test("by a server that has closed: its port is free for the next one, connections it had go on", () =>
		served([program("peer.mjs"), "serve", "7000"], async (peer) => {
			const socket = net.connect(7000, STACK);
			socket.write("echo\n");
			socket.write("before");
			assert.equal(String((await once(socket, "data"))[0]), "before");
			peer.child.kill("SIGUSR2");
			let refused: NodeJS.ErrnoException | undefined;
			while (refused === undefined) {
				const late = net.connect(7000, STACK);
				refused = await Promise.race([once(late, "error").then(([error]) => error), once(late, "connect").then(() => undefined)]);
				late.on("error", () => {}).destroy();
			}
			assert.equal(refused?.code, "ECONNREFUSED");
			socket.write("after");
			assert.equal(String((await once(socket, "data"))[0]), "after");
			socket.end();
			await peer.says(/^server closed$/m);
			assert.equal((await peer.outcome).code, 0);
		}));

	test("by nobody at all: a host that does not exist is EHOSTUNREACH", () =>
		onTap([inRepository("examples/fetch-client.mjs"), "http://10.77.0.77/"], async ({ outcome }) => {
			assert.match((await outcome).stderr, /^cannot fetch http:\/\/10\.77\.0\.77\/: EHOSTUNREACH$/m);
		}));
});

describe("a peer that is killed", { skip, timeout: 60_000 }, () => {
	afterEach(() => assert.equal(interfaceOf(KERNEL), undefined, "no device is left"));

	test("a kernel client, in the middle of a transfer: the server hears ECONNRESET and goes on serving", () =>
		served([program("peer.mjs"), "serve", "7000"], async (peer) => {
			// It takes a little and then nothing more, so that there is data that it never read.
			const source = `
				const socket = require("net").connect(7000, "${STACK}");
				socket.write("flood\\n");
				socket.once("data", () => { socket.pause(); console.log("reading"); });
				setInterval(() => {}, 1000);`;
			const client = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
			await once(client.stdout, "data");
			while (!(await unread(7000))) await sleep(10);
			client.kill("SIGKILL");
			assert.match((await peer.says(/^flood: .*$/m))[0], /^flood: ECONNRESET (read|write)$/);
			const next = net.connect({ port: 7000, host: STACK, allowHalfOpen: true });
			next.end("sum\nabc");
			assert.equal(await text(next), "3\n");
		}));

	test("a server on the stack: its device is gone, and a client that writes hears of it", async () => {
		// The kernel gives up after 15 retransmissions, a quarter of an hour; here sooner.
		sysctl("tcp_retries2", 2);
		await served([program("peer.mjs"), "serve", "7000"], async (peer) => {
			const socket = net.connect(7000, STACK);
			socket.write("echo\n");
			socket.write("hello");
			await once(socket, "data");
			peer.child.kill("SIGKILL");
			assert.equal((await peer.outcome).code, "SIGKILL");
			assert.equal(interfaceOf(KERNEL), undefined);
			const late = net.connect(7000, STACK);
			const [unreachable] = (await once(late, "error")) as [NodeJS.ErrnoException];
			assert.equal(unreachable.code, "ENETUNREACH");
			socket.write("are you there?");
			const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
			assert.match(error.code!, /ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/);
		});
		sysctl("tcp_retries2", 15);
	});

	test("a server on the stack that is started again: it answers the old connection with RST", async () => {
		let socket: net.Socket | undefined;
		await served([program("peer.mjs"), "serve", "7000"], async (peer) => {
			socket = net.connect(7000, STACK);
			socket.write("echo\n");
			socket.write("hello");
			await once(socket, "data");
			peer.child.kill("SIGKILL");
			await peer.outcome;
		});
		await served([program("peer.mjs"), "serve", "7000"], async () => {
			socket!.write("are you there?");
			const [error] = (await once(socket!, "error")) as [NodeJS.ErrnoException];
			assert.equal(error.code, "ECONNRESET");
		});
	});

	test("a client on the stack, between two transfers: the kernel's server sees its end by SIGTERM, and nothing by SIGKILL", async () => {
		for (const signal of ["SIGTERM", "SIGKILL"] as const) {
			sysctl("tcp_retries2", 2);
			const server = net.createServer().listen(0).unref();
			await once(server, "listening");
			const { port } = server.address() as AddressInfo;
			await onTap([program("peer.mjs"), "dial", KERNEL, `${port}`, "1"], async (peer) => {
				const [socket] = (await once(server, "connection")) as [net.Socket];
				socket.write("read\n");
				socket.write(Buffer.alloc(100_000));
				await sleep(100);
				const ended = once(socket.resume(), "end").then(() => "end");
				const failed = once(socket, "error") as Promise<[NodeJS.ErrnoException]>;
				failed.catch(() => {});
				peer.child.kill(signal);
				await peer.outcome;
				if (signal === "SIGTERM") {
					assert.equal(await ended, "end");
					socket.destroy();
					return;
				}
				ended.catch(() => {});
				socket.write("more");
				const [error] = await failed;
				assert.match(error.code!, /ETIMEDOUT|ENETUNREACH|EHOSTUNREACH/);
			});
			server.close();
		}
		sysctl("tcp_retries2", 15);
	});

	test("nothing of all that is in the way of the next one", () =>
		served([inRepository("examples/http-server.mjs")], async () => {
			const page = await output(process.execPath, "-e", `fetch("http://${STACK}:8080/").then((r) => r.text()).then(console.log)`);
			assert.match(page, /It runs/);
		}));
});
