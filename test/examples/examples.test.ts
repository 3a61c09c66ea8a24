/**
 * Every example, run as its first lines say: by one command, in a process of its own, on the link `user`, which needs no privilege. What
 * they do on a TAP device is in test/kernel; the link of unix-link.mjs passes the compliance suite in test/link.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net, { type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { millrace, type Running, start, startCommand } from "../cli/helpers.ts";
import { freePort, get, inRepository, scratch, sha256 } from "../helpers/peers.ts";

const ca = readFileSync(inRepository("test/fixtures/test-cert.pem"));
const directory = scratch();
const used = new Set<string>();

/** The path of an example. */
function example(name: string): string {
	used.add(name);
	return inRepository(`examples/${name}`);
}

/** Runs a server of the examples while `use` lasts; on SIGINT it must end by itself, by its own handler and without an error. */
async function served(name: string, use: (port: number, running: Running) => Promise<void>): Promise<void> {
	const port = await freePort();
	const running = start(["run", "--link=user", example(name)], { PORT: `${port}` });
	running.outcome.catch(() => {});
	try {
		await running.says(new RegExp(`^millrace: port ${port} of the program is open at 127\\.0\\.0\\.1:${port} `, "m"));
		await use(port, running);
	} finally {
		running.child.kill("SIGINT");
	}
	assert.equal((await running.outcome).code, 0);
}

async function text(stream: AsyncIterable<unknown>): Promise<string> {
	let all = "";
	for await (const chunk of stream) all += chunk;
	return all;
}

describe("examples", { timeout: 60_000 }, () => {
	test("http-server.mjs: a page, bytes, the hash of an upload, and what it does not have", () =>
		served("http-server.mjs", async (port) => {
			const url = `http://127.0.0.1:${port}`;
			assert.match(await text(await get(url)), /<title>Millrace<\/title>/);
			const bytes = await get(`${url}/bytes?n=100000`);
			const hash = await sha256(bytes);
			assert.equal(bytes.headers["content-length"], "100000");
			const request = http.request(`${url}/hash`, { method: "POST" });
			(await get(`${url}/bytes?n=100000`)).pipe(request);
			const [answer] = (await once(request, "response")) as [http.IncomingMessage];
			assert.equal(await text(answer), `${hash} 100000\n`);
			assert.equal((await get(`${url}/bytes?n=-1`)).statusCode, 400);
			assert.equal((await get(`${url}/other`)).statusCode, 404);
		}));

	test("https-server.mjs: HTTP/1.1 and HTTP/2, as the client chooses", () =>
		served("https-server.mjs", async (port) => {
			const url = `https://127.0.0.1:${port}`;
			const [answer] = (await once(https.get(`${url}/one`, { ca, agent: false }), "response")) as [http.IncomingMessage];
			assert.equal(await text(answer), "GET /one over HTTP/1.1\n");
			const session = http2.connect(url, { ca });
			assert.equal(await text(session.request({ ":path": "/two" }).setEncoding("utf8")), "GET /two over HTTP/2.0\n");
			session.close();
		}));

	test("net-echo.mjs: what comes goes back, also what came before the client's end", () =>
		served("net-echo.mjs", async (port) => {
			const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
			socket.end("x".repeat(1_000_000));
			assert.equal(await text(socket.setEncoding("latin1")), "x".repeat(1_000_000));
		}));

	test("fetch-client.mjs: status, length and sha256; with fetch, too; one line and exit code 1 for a server that is not there", async () => {
		const body = Buffer.alloc(300_000, "millrace");
		const server = http.createServer((_, response) => response.end(body)).listen(0, "127.0.0.1");
		server.unref();
		await once(server, "listening");
		const url = `http://10.0.2.2:${(server.address() as AddressInfo).port}/`;
		for (const words of [[url], ["--fetch", url]]) {
			const { code, stdout } = await millrace(["run", "--link=user", example("fetch-client.mjs"), ...words]);
			assert.deepEqual([code, stdout], [0, `200 300000 ${await sha256(body)}\n`]);
		}
		const refused = await millrace(["run", "--link=user", "--quiet", example("fetch-client.mjs"), `http://10.0.2.2:${await freePort()}/`]);
		assert.match(refused.stderr, /^cannot fetch http:.*: ECONNREFUSED\n$/);
		assert.equal(refused.code, 1);
	});

	const skip = !existsSync(inRepository("dist/index.js")) && "the package is not built: npm run build";
	test("unix-link.mjs: two hosts in two processes", { skip }, async () => {
		const path = join(directory, "link.sock");
		const server = startCommand([process.execPath, example("unix-link.mjs"), "serve", path]);
		await server.says(/^serving on /m);
		while (!existsSync(path)) await new Promise(setImmediate);
		// One peer after the other: the link that listens outlives those that connect.
		for (let i = 0; i < 2; i++) {
			const { code, stdout, stderr } = await startCommand([process.execPath, example("unix-link.mjs"), "dial", path]).outcome;
			assert.deepEqual([code, stdout, stderr], [0, "echoed: hello over a UNIX socket\n", ""]);
		}
		server.child.kill("SIGINT");
		assert.deepEqual(await server.outcome, { code: 0, stdout: `serving on ${path}\n`, stderr: "" });
		assert.equal(existsSync(path), false);
	});

	test("there is no example that is not tried here", { skip }, () => {
		assert.deepEqual([...used].sort(), readdirSync(inRepository("examples")).sort());
	});
});
