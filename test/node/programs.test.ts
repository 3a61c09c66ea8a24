/**
 * What people build on `net`: http, https, http2, fetch, undici and ws, each as server and as client, on sockets of the stack by the
 * preload's patch. Nothing of these programs knows of the stack.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import { createRequire } from "node:module";
import net from "node:net";
import type { Readable, Writable } from "node:stream";
import { after, before, describe, it } from "node:test";
import tls from "node:tls";
import { installPatch } from "../../src/node/patch.ts";
import { Shared } from "../../src/node/policy.ts";
import { certificate } from "./certificate.ts";
import { loopbackHost } from "./loopback-host.ts";

const require = createRequire(import.meta.url);
const host = loopbackHost();
let restore: () => void;
let kernelSockets = 0;

function countKernelSockets(): number {
	return process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
}

/** Listens on a port of the stack and says which. */
async function listen(server: net.Server): Promise<number> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as net.AddressInfo;
	assert.ok(host.hasListener(port), "the server is on the stack");
	return port;
}

async function close(server: net.Server): Promise<void> {
	(server as http.Server).closeAllConnections?.();
	server.close();
	await once(server, "close");
}

const body = randomBytes(3_000_000);
const sum = createHash("sha256").update(body).digest("hex");

/** Answers a POST with the hash of what came, a GET with a large body. */
function answer(request: Readable & { method?: string | undefined }, response: Writable): void {
	if (request.method === "GET") return void response.end(body);
	const hash = createHash("sha256");
	request.on("data", (chunk) => hash.update(chunk));
	request.on("end", () => response.end(hash.digest("hex")));
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of stream) chunks.push(chunk);
	return Buffer.concat(chunks).toString();
}
async function hashOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of stream) hash.update(chunk);
	return hash.digest("hex");
}

for (const plainHandles of [true, false])
	describe(`programs on sockets of the stack, with ${plainHandles ? "plain handles" : "JSStreams"}`, { timeout: 60_000 }, () => {
		before(async () => {
			// What was made to look at Node's internals goes.
			await new Promise((resolve) => setTimeout(resolve, 20));
			restore = installPatch(() => host, new Shared(() => host, { loopback: true }), { plainHandles });
			kernelSockets = countKernelSockets();
		});
		after(async () => {
			restore();
			// The other end of what was closed last hears of it later.
			await new Promise((resolve) => setTimeout(resolve, 20));
			assert.equal(countKernelSockets(), kernelSockets, "no kernel socket was opened");
			assert.equal(host.holders(), 0, "nothing keeps the process alive");
			assert.equal(host.stats().connections.total, 0, "no connection is left");
		});

		it("tls: who reads once per 'readable' gets all records, also of one segment", async () => {
			const server = tls.createServer(certificate, (socket) => {
				for (const word of ["one ", "two ", "three"]) socket.write(word);
				socket.resume();
			});
			const socket = tls.connect({ port: await listen(server), host: "127.0.0.1", rejectUnauthorized: false });
			// One listener throughout: a new one would be told of what is left.
			let heard = "";
			await new Promise<void>((resolve) => {
				socket.on("readable", () => {
					heard += String(socket.read() ?? "");
					if (heard === "one two three") resolve();
				});
			});
			socket.end();
			await close(server);
		});

		it("http: get and post, keep-alive and not", async () => {
			const server = http.createServer(answer);
			const port = await listen(server);
			for (const keepAlive of [true, false]) {
				const agent = new http.Agent({ keepAlive, maxSockets: 1 });
				let connections = 0;
				server.on("connection", () => connections++);
				for (let i = 0; i < 3; i++) {
					const get = http.get({ port, host: "127.0.0.1", agent });
					const [response] = (await once(get, "response")) as [http.IncomingMessage];
					assert.equal(await hashOf(response), sum);
					const post = http.request({ port, host: "127.0.0.1", agent, method: "POST" });
					post.end(body);
					const [posted] = (await once(post, "response")) as [http.IncomingMessage];
					assert.equal(await text(posted), sum);
				}
				assert.equal(connections, keepAlive ? 1 : 6);
				agent.destroy();
				server.removeAllListeners("connection");
				server.on("connection", (http as unknown as { _connectionListener: () => void })._connectionListener);
			}
			await close(server);
		});

		it(`http: the parser is fed in ${plainHandles ? "JavaScript" : "C++"}`, async () => {
			const server = http.createServer((request, response) => {
				const socket = request.socket as unknown as { _handle: { _consumed?: boolean; isStreamBase: boolean } };
				response.end(`${socket._handle.isStreamBase === true} ${socket._handle._consumed === true}`);
			});
			const port = await listen(server);
			const response = await fetch(`http://127.0.0.1:${port}/`);
			const seen = await response.text();
			await close(server);
			assert.equal(seen, plainHandles ? "false false" : "true true");
		});

		it("http: a client that resets is a clientError or an aborted request", async () => {
			const server = http.createServer((request) => request.resume());
			const port = await listen(server);
			const aborted = once(server, "request").then(([request]) => once(request as http.IncomingMessage, "error"));
			const socket = net.connect(port, "127.0.0.1");
			socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart");
			await once(server, "request");
			socket.resetAndDestroy();
			const [error] = await aborted;
			assert.equal(error.code, "ECONNRESET");
			await close(server);
		});

		it("http: upgrade and CONNECT give the socket away", async () => {
			const server = http.createServer();
			server.on("upgrade", (_request, socket: net.Socket, head: Buffer) => {
				socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
				if (head.length > 0) socket.write(head);
				socket.pipe(socket);
			});
			const port = await listen(server);
			const request = http.request({ port, host: "127.0.0.1", headers: { Connection: "Upgrade", Upgrade: "echo" } });
			request.end();
			const [, socket] = (await once(request, "upgrade")) as [http.IncomingMessage, net.Socket];
			socket.write("hello");
			const [data] = await once(socket, "data");
			assert.equal(String(data), "hello");
			socket.end();
			await once(socket, "close");
			await close(server);
		});

		it("fetch: get, post, abort", async () => {
			const server = http.createServer(answer);
			const port = await listen(server);
			const got = await fetch(`http://127.0.0.1:${port}/`);
			assert.equal(
				createHash("sha256")
					.update(Buffer.from(await got.arrayBuffer()))
					.digest("hex"),
				sum,
			);
			const posted = await fetch(`http://localhost:${port}/`, { method: "POST", body });
			assert.equal(await posted.text(), sum);
			const aborting = fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.abort() });
			await assert.rejects(aborting, { name: "AbortError" });
			await close(server);
		});

		it("fetch: refused", async () => {
			await assert.rejects(fetch("http://127.0.0.1:9999/"), (error: Error & { cause: NodeJS.ErrnoException & { port: number } }) => {
				assert.equal(error.cause.message, "connect ECONNREFUSED 127.0.0.1:9999");
				assert.equal(error.cause.syscall, "connect");
				assert.equal(error.cause.port, 9999);
				return true;
			});
		});

		it("undici: pipelined requests on one connection", async () => {
			const { Client } = require("undici");
			const server = http.createServer(answer);
			const port = await listen(server);
			const client = new Client(`http://127.0.0.1:${port}`, { pipelining: 4 });
			const answers = await Promise.all(
				Array.from({ length: 8 }, () =>
					client.request({ path: "/", method: "PUT", body: "hello" }).then((r: { body: { text(): Promise<string> } }) => r.body.text()),
				),
			);
			assert.deepEqual(new Set(answers), new Set([createHash("sha256").update("hello").digest("hex")]));
			await client.close();
			await close(server);
		});

		it("https: get and post, with a session that is resumed", async () => {
			const server = https.createServer(certificate, answer);
			const port = await listen(server);
			const agent = new https.Agent({ ca: certificate.cert, keepAlive: false });
			const reused: boolean[] = [];
			for (let i = 0; i < 2; i++) {
				const request = https.request({ port, host: "localhost", agent, method: "POST" });
				request.end(body);
				const [response] = (await once(request, "response")) as [http.IncomingMessage];
				assert.equal(await text(response), sum);
				reused.push((response.socket as tls.TLSSocket).isSessionReused());
				assert.equal((response.socket as tls.TLSSocket).authorized, true);
			}
			assert.deepEqual(reused, [false, true]);
			const got = https.get({ port, host: "127.0.0.1", ca: certificate.cert, servername: "localhost" });
			const [response] = (await once(got, "response")) as [http.IncomingMessage];
			assert.equal(await hashOf(response), sum);
			agent.destroy();
			await close(server);
		});

		it("tls: both ends of the stack, reset by the client", async () => {
			const server = tls.createServer(certificate);
			const port = await listen(server);
			const accepted = once(server, "secureConnection");
			const raw = net.connect(port, "127.0.0.1");
			const client = tls.connect({ socket: raw, ca: certificate.cert, servername: "localhost" });
			await once(client, "secureConnect");
			const [peer] = (await accepted) as [tls.TLSSocket];
			peer.resume();
			const failed = once(peer, "error");
			client.write("hello");
			assert.equal(client.remoteAddress, "127.0.0.1");
			assert.equal(peer.remotePort, client.localPort);
			raw.resetAndDestroy();
			const [error] = await failed;
			assert.equal(error.message, "read ECONNRESET");
			await close(server);
		});

		it("tls: put on a connection that began in the clear, by the server", async () => {
			const server = net.createServer((raw) => {
				raw.once("data", (data) => {
					assert.equal(String(data), "STARTTLS");
					raw.write("go");
					const secure = new tls.TLSSocket(raw, { isServer: true, ...certificate });
					secure.on("data", (chunk) => secure.end(chunk));
				});
			});
			const port = await listen(server);
			const raw = net.connect(port, "127.0.0.1");
			raw.write("STARTTLS");
			await once(raw, "data");
			const client = tls.connect({ socket: raw, ca: certificate.cert, servername: "localhost" });
			client.write("hello");
			const [data] = await once(client, "data");
			assert.equal(String(data), "hello");
			client.end();
			await once(client, "close");
			await close(server);
		});

		it("tls: refused, with the kernel's words", async () => {
			const client = tls.connect({ port: 9999, host: "127.0.0.1" });
			const [error] = await once(client, "error");
			assert.equal(error.message, "connect ECONNREFUSED 127.0.0.1:9999");
		});

		it("tls: a server that does not know the client's authority", async () => {
			const server = tls.createServer(certificate);
			const port = await listen(server);
			const client = tls.connect({ port, host: "127.0.0.1", servername: "localhost" });
			const [error] = await once(client, "error");
			assert.match(error.code, /SELF_SIGNED/);
			await close(server);
		});

		for (const secure of [false, true]) {
			it(`http2${secure ? " over tls" : ""}: many streams at once, and a push of a large body`, async () => {
				const server = secure ? http2.createSecureServer(certificate) : http2.createServer();
				server.on("stream", (stream, headers) => {
					stream.respond({ ":status": 200 });
					if (headers[":method"] === "GET") stream.end(body);
					else answer(Object.assign(stream, { method: "POST" }), stream);
				});
				const port = await listen(server as unknown as net.Server);
				const client = http2.connect(`http${secure ? "s" : ""}://localhost:${port}`, { ca: certificate.cert });
				const results = await Promise.all(
					Array.from({ length: 6 }, (_, i) => {
						const stream = client.request({ ":method": i % 2 === 0 ? "GET" : "POST" });
						stream.end(i % 2 === 0 ? undefined : body);
						return i % 2 === 0 ? hashOf(stream) : text(stream);
					}),
				);
				assert.deepEqual(new Set(results), new Set([sum]));
				client.close();
				await once(client, "close");
				await close(server as unknown as net.Server);
			});
		}

		it("ws: messages both ways, text and binary, large and small, and a close", async () => {
			const { WebSocketServer, WebSocket } = require("ws");
			const server = http.createServer();
			const sockets = new WebSocketServer({ server });
			sockets.on(
				"connection",
				(socket: { on(event: string, f: (data: Buffer, binary: boolean) => void): void; send(data: Buffer, o: object): void }) => {
					socket.on("message", (data, binary) => socket.send(data, { binary }));
				},
			);
			const port = await listen(server);
			const client = new WebSocket(`ws://localhost:${port}/`);
			await once(client, "open");
			for (const message of [Buffer.from("hello"), body]) {
				client.send(message);
				const [data] = await once(client, "message");
				assert.ok(message.equals(data));
			}
			client.close(1000, "done");
			const [code, reason] = await once(client, "close");
			assert.equal(code, 1000);
			assert.equal(String(reason), "done");
			sockets.close();
			await close(server);
		});
	});
