/** Many connections at a time between the kernel's sockets and a program on the stack over a TAP device. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isolate } from "../helpers/namespace.ts";
import { get, inRepository, KERNEL, lacksTools, onTap, output, program, STACK, served, sha256, sysctl } from "../helpers/peers.ts";

const skip = isolate();
const MANY = 1000;

/** Over a connection whose other side echoes: every round goes out and comes back while all others do the same. */
async function echoed(socket: net.Socket, rounds: number, size: number): Promise<void> {
	for (let round = 0; round < rounds; round++) {
		const sent = randomBytes(size);
		const received = Buffer.alloc(size);
		let length = 0;
		await new Promise<void>((resolve, reject) => {
			const fail = (error?: Error): void => reject(error ?? new Error(`ended after ${length} of ${size} bytes`));
			const take = (chunk: Buffer): void => {
				length += chunk.copy(received, length);
				if (length < size) return;
				socket.off("data", take).off("end", fail).off("error", fail);
				resolve();
			};
			socket.on("data", take).on("end", fail).on("error", fail);
			socket.write(sent);
		});
		assert.ok(received.equals(sent));
	}
}

/** Ends our side and waits for the other's end. */
async function endBoth(socket: net.Socket): Promise<void> {
	socket.resume();
	socket.end();
	await once(socket, "close");
}

async function connectionsOfPeer(): Promise<number> {
	const socket = net.connect(7000, STACK);
	socket.write("count\n");
	const [answer] = (await once(socket, "data")) as [Buffer];
	socket.destroy();
	return Number(answer.toString()) - 1;
}

describe(`${MANY} connections at a time`, { skip }, () => {
	test("from the kernel to a server on the stack: all are open at once, all exchange data, all close", () =>
		served([program("peer.mjs"), "serve", "7000"], async () => {
			const sockets = Array.from({ length: MANY }, () => net.connect({ port: 7000, host: STACK, allowHalfOpen: true }));
			await Promise.all(sockets.map((socket) => once(socket, "connect")));
			for (const socket of sockets) socket.write("echo\n");
			await Promise.all(sockets.map((socket) => echoed(socket, 1, 64)));
			assert.equal(await connectionsOfPeer(), MANY);
			await Promise.all(sockets.map((socket) => echoed(socket, 4, 20_000)));
			await Promise.all(sockets.map(endBoth));
			while ((await connectionsOfPeer()) > 0) await sleep(10);
		}));

	test("from a client on the stack to a server of the kernel: all are open at once, all exchange data, all close", async () => {
		const sockets: net.Socket[] = [];
		let complete = (): void => {};
		const all = new Promise<void>((resolve) => {
			complete = resolve;
		});
		const server = net.createServer({ allowHalfOpen: true }, (socket) => {
			socket.write("echo\n");
			if (sockets.push(socket) === MANY) complete();
		});
		server.listen({ port: 0, backlog: 4096 }).unref();
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		await onTap([program("peer.mjs"), "dial", KERNEL, `${port}`, `${MANY}`], async (running) => {
			await all;
			await Promise.all(sockets.map((socket) => echoed(socket, 4, 20_000)));
			await Promise.all(sockets.map(endBoth));
			server.close();
			const { code, stdout } = await running.outcome;
			assert.deepEqual([code, stdout], [0, ""], "the client ends by itself, without an error");
		});
	});

	test("one HTTP request on each, all at once", () =>
		served([inRepository("examples/http-server.mjs")], async () => {
			const agent = new http.Agent({ maxSockets: MANY });
			const length = 30_000;
			const sums = await Promise.all(
				Array.from({ length: MANY }, async () => sha256(await get(`http://${STACK}:8080/bytes?n=${length}`, { agent }))),
			);
			const expected = await sha256(await get(`http://${STACK}:8080/bytes?n=${length}`));
			assert.deepEqual(new Set(sums), new Set([expected]));
			agent.destroy();
		}));
});

describe("wrk", { skip: skip || lacksTools("wrk") }, () => {
	/** Runs wrk with 100 connections for 5 s and returns how many requests were answered; an error of a socket is one here. */
	async function load(...options: string[]): Promise<number> {
		const report = await output("wrk", "-t1", "-c100", "-d5s", ...options, `http://${STACK}:8080/`);
		assert.doesNotMatch(report, /Socket errors|Non-2xx/);
		return Number(/(\d+) requests in/.exec(report)![1]);
	}

	test("keep-alive, 100 connections for 5 s: no socket error", () =>
		served([inRepository("examples/http-server.mjs")], async () => {
			assert.ok((await load()) > 1000);
		}));

	test("Connection: close, 100 connections for 5 s from 2,000 ports that come round within TIME-WAIT: no socket error", () =>
		served([inRepository("examples/http-server.mjs")], async () => {
			sysctl("ip_local_port_range", "20000 21999");
			assert.ok((await load("-H", "Connection: close")) > 4000);
		}));
});
