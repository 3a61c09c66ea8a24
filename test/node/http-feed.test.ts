/** What http's server sees of its connections when its parser is fed past the socket: the same as on the kernel's sockets. */
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { type PerformanceEntry, PerformanceObserver } from "node:perf_hooks";
import { after, before, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Feeder } from "../../src/node/http-feed.ts";
import { installPatch } from "../../src/node/patch.ts";
import { Shared } from "../../src/node/policy.ts";
import { loopbackHost } from "./loopback-host.ts";

type Log = (...words: unknown[]) => void;

/** A server, and what a client says to it piece by piece: each once the server has heard the last. */
interface Script {
	serve(server: http.Server, log: Log): void;
	says: readonly string[];
	/** Whether the parser is fed to the end. */
	fed?: boolean;
}

const GET = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
/** Longer than V8 keeps in its own heap. */
const long = "l".repeat(200);

const scripts: Record<string, Script> = {
	"pieces of a body stay as they are, whatever comes after them": {
		says: [
			`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${8 + long.length}\r\n\r\nbody`,
			"BODY",
			long,
			`GET /${long} HTTP/1.1\r\nHost: x\r\n\r\n`,
		],
		serve(server, log) {
			const chunks: Buffer[] = [];
			server.on("request", (request, response) => {
				log(request.method, request.url, request.rawHeaders, request.socket.bytesRead);
				request.on("data", (chunk) => chunks.push(chunk));
				request.on("end", () => response.end(String(chunks.splice(0))));
			});
		},
	},
	"a request in single bytes": {
		says: [...`${GET.replace("/a", `/${"b".repeat(70)}`)}GET`],
		serve(server, log) {
			server.on("request", (request, response) => {
				log(request.url, request.headers, request.socket.bytesRead);
				response.end("x");
			});
		},
	},
	"several requests in one piece, answered later, in order": {
		says: [GET + GET.replace("/a", "/b") + GET.replace("/a", "/c")],
		serve(server, log) {
			const waiting: (() => void)[] = [];
			server.on("request", (request, response) => {
				log(request.url);
				waiting.push(() => response.end(request.url));
				if (waiting.length === 3) for (const answer of waiting.reverse()) setImmediate(answer);
			});
		},
	},
	"what is not HTTP is an error with all that came": {
		says: [GET, `nonsense ${long}\r\n\r\n`],
		serve(server, log) {
			server.on("request", (_request, response) => response.end("x"));
			server.on("clientError", (error: Error & { rawPacket?: Buffer; code?: string; bytesParsed?: number }, socket) => {
				const { rawPacket } = error;
				log(error.code, error.message, error.bytesParsed, socket.destroyed);
				setImmediate(() => {
					log(String(rawPacket));
					socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
				});
			});
		},
	},
	"an upgrade gives the socket away, with what came behind it": {
		says: [`${GET.slice(0, -2)}Connection: Upgrade\r\nUpgrade: y\r\n\r\nhead`, "more", long],
		serve(server, log) {
			server.on("upgrade", (request, socket, head) => {
				log(request.headers.upgrade, socket.readableFlowing);
				socket.write("yes ");
				socket.on("data", (chunk: Buffer) => {
					log("heard", String(chunk), String(head));
					socket.write(chunk);
				});
				if (socket.readableFlowing !== true) socket.resume();
			});
		},
	},
	"CONNECT as well, and without a listener the socket is gone": {
		says: ["CONNECT y:1 HTTP/1.1\r\nHost: x\r\n\r\nhead"],
		serve(server, log) {
			server.on("connection", (socket) => socket.on("close", () => log("closed")));
		},
	},
	"who listens for data himself hears them, and http as well": {
		says: [GET, GET],
		fed: false,
		serve(server, log) {
			server.on("request", (request, response) => {
				log(request.url);
				if (request.socket.listenerCount("data") === 1) request.socket.on("data", (chunk: Buffer) => log("heard", String(chunk)));
				response.end("x");
			});
		},
	},
	"who takes http's listener away hears them alone": {
		says: [GET, "not http at all"],
		serve(server, log) {
			server.on("request", (request, response) => {
				log(request.url);
				response.end("x");
				const { socket } = request;
				socket.removeAllListeners("data");
				socket.on("data", (chunk: Buffer) => log("heard", String(chunk)));
			});
		},
		fed: false,
	},
	"a listener that destroys the socket in the middle of a piece": {
		says: [GET + GET],
		serve(server, log) {
			server.on("request", (request) => {
				log(request.url, request.socket.destroyed);
				request.on("close", () => log("request closed"));
				request.socket.destroy();
			});
		},
	},
	"a body that nobody reads, and its end": {
		says: ["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", "body", GET],
		serve(server, log) {
			server.on("request", (request, response) => {
				log(request.method, request.complete);
				response.on("finish", () => log("finish"));
				setImmediate(() => response.end("x"));
			});
		},
	},
	"expectations, chunks and trailers": {
		says: [
			"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
			"4\r\nbody\r\n",
			"0\r\nT: u\r\n",
			"\r\n",
		],
		serve(server, log) {
			server.on("request", (request, response) => {
				request.on("data", (chunk) => log("data", String(chunk)));
				request.on("end", () => {
					log(request.rawTrailers);
					response.end("x");
				});
			});
		},
	},
	"listeners run in the context of the server": {
		says: [GET],
		serve(server, log) {
			server.on("request", (_request, response) => {
				log(storage.getStore());
				process.nextTick(() => log("tick", storage.getStore()));
				response.end("x");
			});
		},
	},
};

const storage = new AsyncLocalStorage<string>();

interface Outcome {
	log: string[];
	answer: string;
	fed: boolean;
}

async function play(script: Script): Promise<Outcome> {
	const lines: string[] = [];
	const server = http.createServer({ keepAliveTimeout: 60_000 });
	let handle: Feeder | null = null;
	const sockets: net.Socket[] = [];
	server.on("connection", (socket) => {
		handle = (socket as unknown as { _handle: Feeder })._handle;
		sockets.push(socket);
	});
	script.serve(server, (...words) => lines.push(words.map((word) => (typeof word === "string" ? word : JSON.stringify(word))).join(" ")));
	storage.run("of the server", () => server.listen(0, "127.0.0.1"));
	await once(server, "listening");
	const client = net.connect({ port: (server.address() as net.AddressInfo).port, host: "127.0.0.1", noDelay: true });
	client.on("error", () => {});
	let answer = "";
	client.on("data", (chunk) => {
		answer += chunk;
	});
	await once(client, "connect");
	for (const piece of script.says) {
		client.write(piece);
		// Until nothing more comes of it: neither words nor an answer.
		for (let quiet = 0, before = ""; quiet < 12; ) {
			await turn();
			if (quiet % 4 === 3) await new Promise((resolve) => setTimeout(resolve, 2));
			const now = `${lines.length} ${answer.length}`;
			quiet = now === before ? quiet + 1 : 0;
			before = now;
		}
	}
	assert.equal(sockets.length, 1, "a connection came");
	client.destroy();
	for (const socket of sockets) socket.destroy();
	server.close();
	await once(server, "close");
	const fed = typeof (handle as Feeder | null)?.httpListener === "function";
	return { log: lines, answer: answer.replace(/Date: .*\r\n/g, ""), fed };
}

/** A listener that throws at the first request of a connection. */
async function throwing(): Promise<{ errors: string[]; log: string[]; answer: string }> {
	const listeners = process.listeners("uncaughtException");
	const errors: string[] = [];
	process.removeAllListeners("uncaughtException");
	process.on("uncaughtException", (error) => errors.push(error.message));
	try {
		const { log, answer } = await play({
			says: [GET, GET],
			serve(server, log) {
				let requests = 0;
				server.on("request", (_request, response) => {
					log(++requests);
					response.end("x");
					if (requests === 1) throw new Error("of the program");
				});
			},
		});
		return { errors, log, answer };
	} finally {
		process.removeAllListeners("uncaughtException");
		for (const listener of listeners) process.on("uncaughtException", listener);
	}
}

// The first here: it is tried once.
it("feeding http's parser is tried without anybody hearing of it who watches requests", async () => {
	const host = loopbackHost();
	const heard: string[] = [];
	const observer = new PerformanceObserver((list) => {
		for (const entry of list.getEntries() as (PerformanceEntry & { detail: { req: { url: string } } })[])
			heard.push(`${entry.name} ${entry.detail.req.url}`);
	});
	observer.observe({ type: "http" });
	const restore = installPatch(() => host, new Shared(() => host, { loopback: true }), {});
	try {
		const server = http.createServer((_request, response) => response.end()).listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as net.AddressInfo;
		const [response] = (await once(http.get({ port, host: "127.0.0.1", path: "/of-the-program" }), "response")) as [http.IncomingMessage];
		await once(response.resume(), "end");
		server.close();
		while (heard.length < 2) await turn();
	} finally {
		observer.disconnect();
		restore();
	}
	assert.equal(heard.filter((entry) => entry.startsWith("HttpRequest")).join(), "HttpRequest /of-the-program");
});

describe("http's parser is fed as on the kernel's sockets", { timeout: 60_000 }, () => {
	const host = loopbackHost();
	const expected = new Map<string, Outcome>();
	let thrown: object;
	let restore = (): void => {};
	before(async () => {
		for (const [name, script] of Object.entries(scripts)) expected.set(name, await play(script));
		thrown = await throwing();
		restore = installPatch(() => host, new Shared(() => host, { loopback: true }), {});
	});
	after(() => restore());

	for (const [name, script] of Object.entries(scripts)) {
		it(name, async () => {
			const { log, answer, fed } = expected.get(name)!;
			assert.equal(fed, false, "the kernel's handles are not ours");
			const actual = await play(script);
			assert.deepEqual(actual.log, log);
			assert.equal(actual.answer, answer);
			assert.ok(log.length > 0);
			assert.equal(actual.fed, true, "the parser was fed");
		});
	}

	it("an exception of a listener is the process's, and leaves the next connection alone", async () => {
		const actual = await throwing();
		assert.deepEqual(actual, thrown);
		assert.deepEqual(actual.errors, ["of the program"]);
		const next = await play(scripts["a request in single bytes"]!);
		assert.equal(next.fed, true);
		assert.equal(next.log.length, 1);
	});
});
