/**
 * What people build on sockets, with a real peer at the other end of a TAP device: https, HTTP/2 and WebSockets, and clients on the
 * stack that fetch from servers of the kernel.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream, readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import type net from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { start } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";
import { curl, inRepository, KERNEL, lacksTools, onTap, program, STACK, scratch, served, sha256 } from "../helpers/peers.ts";

const skip = isolate();
const skipCurl = skip || lacksTools("curl");
const directory = scratch();
const certificate = inRepository("test/fixtures/test-cert.pem");
const credentials = { cert: readFileSync(certificate), key: readFileSync(inRepository("test/fixtures/test-key.pem")) };

describe("curl with TLS and HTTP/2", { skip: skipCurl, timeout: 100_000 }, () => {
	test("https, by HTTP/1.1 and by HTTP/2 as ALPN chooses", () =>
		served([inRepository("examples/https-server.mjs")], async () => {
			const url = `https://${STACK}:8443/path`;
			assert.equal(await curl("--cacert", certificate, "--http1.1", url), "GET /path over HTTP/1.1\n");
			assert.equal(await curl("--cacert", certificate, "--http2", url), "GET /path over HTTP/2.0\n");
			await assert.rejects(curl(url), /certificate/i, "without --cacert the certificate is not trusted");
		}));

	for (const [name, origin, ...options] of [
		["with TLS", `https://${STACK}:8443`, "--cacert", certificate, "--http2"],
		["without TLS", `http://${STACK}:8080`, "--http2-prior-knowledge"],
	] as [string, string, ...string[]][]) {
		test(`HTTP/2 ${name}: 20 MB each way, sha256 equal`, () =>
			served([program("http2-server.mjs")], async (running) => {
				await running.says(/^serving$/m);
				assert.equal(await curl(...options, `${origin}/version`), "2.0");
				const size = 20_000_000;
				const path = join(directory, "h2");
				await curl(...options, "-o", path, `${origin}/bytes?n=${size}`);
				const hash = await sha256(Buffer.alloc(size, "millrace"));
				assert.equal(await sha256(createReadStream(path)), hash);
				assert.equal(await curl(...options, "--data-binary", `@${path}`, `${origin}/hash`), `${hash} ${size}`);
			}));
	}
});

test("a kernel client of HTTP/2: 100 streams at a time on one connection", { skip, timeout: 60_000 }, () =>
	served([program("http2-server.mjs")], async () => {
		const session = http2.connect(`http://${STACK}:8080`);
		// In all less than what Node's sessions hold (maxSessionMemory, 10 MB): beyond it they refuse streams, over kernel sockets as well.
		const sums = await Promise.all(Array.from({ length: 100 }, () => sha256(session.request({ ":path": "/bytes?n=50000" }))));
		assert.deepEqual(new Set(sums), new Set([await sha256(Buffer.alloc(50_000, "millrace"))]));
		session.close();
		await once(session, "close");
	}),
);

describe("WebSockets (ws)", { skip, timeout: 60_000 }, () => {
	const messages = ["hello", "", "ü€😀".repeat(1000), randomBytes(100), randomBytes(5_000_000)];

	/** Sends all messages at once; they must come back as they are, in order. */
	async function echoes(socket: WebSocket): Promise<void> {
		const back: (Buffer | string)[] = [];
		const all = new Promise<void>((resolve, reject) => {
			socket.on("error", reject);
			socket.on("message", (data: Buffer, binary) => {
				back.push(binary ? data : data.toString());
				if (back.length === messages.length) resolve();
			});
		});
		for (const message of messages) socket.send(message);
		await all;
		assert.deepEqual(back, messages);
		socket.ping("are you there");
		assert.equal(String((await once(socket, "pong"))[0]), "are you there");
	}

	test("a server on the stack, a client of the kernel: text, bytes, ping, close", () =>
		served([program("ws-server.mjs")], async (running) => {
			const socket = new WebSocket(`ws://${STACK}:8080/`);
			await once(socket, "open");
			await running.says(/^from 10\.77\.0\.1$/m);
			await echoes(socket);
			socket.send("close");
			const [code, reason] = await once(socket, "close");
			assert.deepEqual([code, String(reason)], [4001, "as you wish"]);
			await running.says(/^closed with 4001$/m);
		}));

	test("a server of the kernel, a client on the stack: text, bytes, ping, close", async () => {
		const server = new WebSocketServer({ port: 0 });
		await once(server, "listening");
		const { port } = server.address() as net.AddressInfo;
		await onTap([program("ws-client.mjs"), `ws://${KERNEL}:${port}/`], async (running) => {
			const [socket] = (await once(server, "connection")) as [WebSocket];
			await echoes(socket);
			socket.close(4002, "enough");
			const { code, stdout } = await running.outcome;
			assert.deepEqual([code, stdout], [0, "closed with 4002 enough\n"]);
		});
		server.close();
	});
});

describe("clients on the stack, servers of the kernel", { skip, timeout: 60_000 }, () => {
	const large = randomBytes(20_000_000);
	const small = randomBytes(100_000);

	async function listen(server: net.Server): Promise<number> {
		server.listen(0).unref();
		await once(server, "listening");
		return (server.address() as net.AddressInfo).port;
	}

	/** Runs a client to its end; returns what it printed. */
	async function client(words: string[], env: Record<string, string> = {}): Promise<string> {
		const { code, stdout, stderr } = await start(["run", "--link", "tap", "--quiet", ...words], env).outcome;
		assert.deepEqual([code, stderr], [0, ""]);
		return stdout.trim();
	}

	const example = inRepository("examples/fetch-client.mjs");

	test("http, fetch and https: 20 MB, sha256 equal, and the program ends by itself", async () => {
		const peers = new Set<string | undefined>();
		const answer = (request: http.IncomingMessage, response: http.ServerResponse): void => {
			peers.add(request.socket.remoteAddress?.replace("::ffff:", ""));
			response.end(large);
		};
		const port = await listen(http.createServer(answer));
		const secure = await listen(https.createServer(credentials, answer));
		const expected = `200 ${large.length} ${await sha256(large)}`;
		assert.equal(await client([example, `http://${KERNEL}:${port}/`]), expected);
		assert.equal(await client([example, "--fetch", `http://${KERNEL}:${port}/`]), expected);
		const trust = { NODE_EXTRA_CA_CERTS: certificate };
		assert.equal(await client([example, `https://${KERNEL}:${secure}/`], trust), expected);
		assert.equal(await client([example, "--fetch", `https://${KERNEL}:${secure}/`], trust), expected);
		assert.deepEqual(peers, new Set([STACK]), "they came by the stack");
	});

	test("http through loss, delay and reordering: 5 MB, sha256 equal", async () => {
		const body = large.subarray(0, 5_000_000);
		const port = await listen(http.createServer((_, response) => response.end(body)));
		const impaired = ["--loss=2%", "--delay=2ms", "--reorder", "--seed=5"];
		assert.equal(await client([...impaired, example, `http://${KERNEL}:${port}/`]), `200 ${body.length} ${await sha256(body)}`);
	});

	test("undici: 40 requests, pipelined on 4 connections", async () => {
		const server = http.createServer((_, response) => response.end(small));
		let connections = 0;
		server.on("connection", () => connections++);
		const port = await listen(server);
		assert.equal(await client([program("undici-client.mjs"), `http://${KERNEL}:${port}`]), `40 200 ${await sha256(small)}`);
		assert.equal(connections, 4);
	});

	test("http2: 20 streams at a time on one connection, with and without TLS", async () => {
		const answer = (_: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void => void response.end(small);
		const port = await listen(http2.createServer(answer));
		const secure = await listen(http2.createSecureServer(credentials, answer));
		const expected = `20 200 ${await sha256(small)}`;
		assert.equal(await client([program("http2-client.mjs"), `http://${KERNEL}:${port}`]), expected);
		const trust = { NODE_EXTRA_CA_CERTS: certificate };
		assert.equal(await client([program("http2-client.mjs"), `https://${KERNEL}:${secure}`], trust), expected);
	});

	test("an upload that the server does not want: the error of http, and the process ends", async () => {
		const server = http.createServer((request) => request.socket.resetAndDestroy());
		const port = await listen(server);
		const path = join(directory, "upload.mjs");
		writeFileSync(
			path,
			`import http from "node:http";
			const request = http.request("http://${KERNEL}:${port}/", { method: "POST" });
			request.on("error", (error) => console.log(error.code, error.syscall)).end(Buffer.alloc(10_000_000));`,
		);
		assert.match(await client([path]), /^(ECONNRESET read|ECONNRESET write|EPIPE write)$/);
	});
});
