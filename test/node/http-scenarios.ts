/**
 * What HTTP programs do, common and not, as scripts that write down what they saw. They use Node's modules as any program does, so
 * they run on the kernel's sockets, or, with the preload's patch installed, on the stack's.
 */
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import tls from "node:tls";
import { certificate } from "./certificate.ts";
import { later, listen, type Watch } from "./scenarios.ts";

type Scenario = (w: Watch) => Promise<void>;

const HOST = "127.0.0.1";

/** Sends bytes on a connection of its own and returns all that comes back, without what differs from run to run. */
async function raw(port: number, ...parts: (string | number | Uint8Array)[]): Promise<string> {
	const socket = net.connect(port, HOST);
	socket.setNoDelay(true);
	socket.on("error", (error: NodeJS.ErrnoException) => {
		text += `[${error.code}]`;
	});
	let text = "";
	socket.setEncoding("latin1").on("data", (chunk) => {
		text += chunk;
	});
	for (const part of parts) {
		if (typeof part === "number") await later(part);
		else if (!socket.destroyed) socket.write(part);
	}
	if (!socket.closed) await once(socket, "close");
	return plain(text);
}

function plain(text: string): string {
	return text
		.replace(/^Date: .*\r\n/gm, "")
		.replace(/\r/g, "")
		.replace(/\b[1-9][0-9]{4}\b/g, "PORT");
}

async function close(server: http.Server): Promise<void> {
	if (!server.listening) return;
	server.close();
	server.closeAllConnections();
	await once(server, "close");
}

/** Waits until the server has heard of the end of all its connections. */
async function quiet(server: net.Server): Promise<void> {
	const count = () => new Promise<number>((resolve) => server.getConnections((_error, n) => resolve(n)));
	while ((await count()) > 0) await later(5);
	await later(10);
}

async function text(stream: AsyncIterable<Uint8Array>): Promise<string> {
	const chunks: Uint8Array[] = [];
	for await (const chunk of stream) chunks.push(chunk);
	return Buffer.concat(chunks).toString();
}

/** A request to the end of its answer: status, headers of interest, body; or the error. */
async function ask(
	w: Watch,
	label: string,
	options: http.RequestOptions,
	body?: string | Uint8Array,
): Promise<http.IncomingMessage | null> {
	const request = http.request({ host: HOST, ...options });
	request.on("information", (info) => w.note(label, `information ${info.statusCode}`));
	request.end(body);
	try {
		const [response] = (await once(request, "response")) as [http.IncomingMessage];
		w.note(label, `${response.statusCode} ${response.headers.connection} ${response.headers["keep-alive"]} ${await text(response)}`);
		return response;
	} catch (error) {
		const { code, message } = error as NodeJS.ErrnoException;
		w.note(label, `${code} ${plain(message)}`);
		return null;
	}
}

/** Notes what becomes of requests and connections of a server. */
function watch(w: Watch, server: http.Server): http.Server {
	let connections = 0;
	server.on("connection", (socket: net.Socket) => {
		const label = `connection ${++connections}`;
		w.note(label, "open");
		socket.on("close", (hadError) => w.note(label, `close ${hadError} ${socket.bytesRead}`));
	});
	server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
		w.note("server", `clientError ${error.code}`);
		socket.destroy();
	});
	server.on("request", (request, response) => {
		const label = `request ${request.url}`;
		request.on("aborted", () => w.note(label, "aborted"));
		request.on("error", (error: NodeJS.ErrnoException) => w.note(label, `error ${error.code} ${error.message}`));
		request.on("close", () => w.note(label, `request closed ${request.complete}`));
		response.on("close", () => w.note(label, `response closed ${response.writableFinished}`));
		response.on("finish", () => w.note(label, "finished"));
	});
	return server;
}

export const httpScenarios: Record<string, Scenario> = {
	"pipelining: answers come in order, also those that take longer": async (w) => {
		const server = watch(w, http.createServer());
		server.on("request", (request, response) => {
			const wait = Number(request.url?.slice(1));
			w.note("server", `${request.method} ${request.url}`);
			setTimeout(() => response.end(`answer to ${request.url}`), wait);
		});
		const port = await listen(server);
		const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
		w.note("client", await raw(port, get("/30") + get("/10") + get("/0") + get("/5", "Connection: close\r\n")));
		await close(server);
	},
	"pipelining: bodies between requests, in pieces of a byte": async (w) => {
		const server = http.createServer(async (request, response) => response.end(`${request.url} ${await text(request)}`));
		const port = await listen(server);
		const post = (path: string, body: string, more = "") =>
			`POST ${path} HTTP/1.1\r\nHost: x\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
		const all = post("/a", "hello") + post("/b", "") + post("/c", "world", "Connection: close\r\n");
		w.note("client", await raw(port, all));
		w.note("client", await raw(port, ...[...all].flatMap((byte, i) => (i % 40 === 0 ? [byte, 1] : [byte]))));
		await close(server);
	},
	"pipelining: a great many at once": async (w) => {
		let served = 0;
		const server = http.createServer((request, response) => {
			served++;
			response.end(request.url);
		});
		const port = await listen(server);
		let all = "";
		for (let i = 0; i < 500; i++) all += `GET /${i} HTTP/1.1\r\nHost: x\r\n${i === 499 ? "Connection: close\r\n" : ""}\r\n`;
		const answers = await raw(port, all);
		w.note("client", `${served} ${answers.length} ${[...answers.matchAll(/^\/(\d+)/gm)].every((match, i) => Number(match[1]) === i)}`);
		await close(server);
	},
	"chunked bodies and trailers, both ways": async (w) => {
		const server = http.createServer(async (request, response) => {
			const body = await text(request);
			response.writeHead(200, { Trailer: "X-Sum" });
			response.write(body.toUpperCase());
			response.addTrailers({ "X-Sum": String(body.length) });
			response.end(JSON.stringify(request.trailers));
		});
		const port = await listen(server);
		const chunks = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-End: yes\r\n\r\n";
		const head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n";
		w.note("client", await raw(port, head + chunks));
		w.note("client", await raw(port, head, 10, chunks.slice(0, 7), 10, chunks.slice(7)));
		await close(server);
	},
	"Expect: 100-continue, with and without a listener of its own": async (w) => {
		const server = watch(w, http.createServer());
		server.on("request", async (request, response) => response.end(`got ${await text(request)}`));
		const port = await listen(server);
		const options = { port, method: "POST", agent: false, headers: { Expect: "100-continue", "Content-Length": 5 } } as const;
		for (const label of ["by itself", "checked"]) {
			if (label === "checked") {
				server.on("checkContinue", (request, response) => {
					w.note("server", "checkContinue");
					response.writeContinue();
					server.emit("request", request, response);
				});
			}
			const request = http.request({ host: HOST, ...options });
			request.on("continue", () => {
				w.note(label, "continue");
				request.end("hello");
			});
			request.flushHeaders();
			const [response] = (await once(request, "response")) as [http.IncomingMessage];
			w.note(label, `${response.statusCode} ${await text(response)}`);
		}
		server.removeAllListeners("checkContinue");
		server.on("checkContinue", (_request, response) => {
			response.writeHead(417, { Connection: "close" });
			response.end();
		});
		await ask(w, "refused", options, "hello");
		server.on("checkExpectation", (_request, response) => response.writeHead(417).end("no"));
		await ask(w, "unknown", { ...options, headers: { Expect: "miracles" } });
		await close(server);
	},
	"information: 102, 103 and early hints before the answer": async (w) => {
		const server = http.createServer((_request, response) => {
			response.writeProcessing();
			response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
			setTimeout(() => response.end("done"), 10);
		});
		const port = await listen(server);
		await ask(w, "client", { port, agent: false });
		await close(server);
	},
	"an upgrade, with bytes that come along with the head, both ways": async (w) => {
		const server = watch(w, http.createServer());
		server.on("upgrade", (request, socket: net.Socket, head) => {
			w.note("server", `upgrade ${request.headers.upgrade} ${head}`);
			socket.on("data", (chunk) => w.note("server", `data ${chunk}`));
			socket.on("end", () => w.note("server", "end"));
			socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst");
			setTimeout(() => socket.end("last"), 20);
		});
		const port = await listen(server);
		const request = http.request({ port, host: HOST, headers: { Connection: "Upgrade", Upgrade: "x" } });
		request.end();
		const [response, socket, head] = (await once(request, "upgrade")) as [http.IncomingMessage, net.Socket, Buffer];
		w.note("client", `${response.statusCode} ${head}`);
		socket.on("data", (chunk) => w.note("client", `data ${chunk}`));
		socket.write("hello");
		await once(socket, "close");
		w.note("raw", await raw(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: y\r\n\r\nalong"));
		await close(server);
	},
	"an upgrade that nobody wants": async (w) => {
		const server = http.createServer((request, response) => response.end(`plain ${request.headers.upgrade}`));
		const port = await listen(server);
		await ask(w, "client", { port, agent: false, headers: { Connection: "Upgrade", Upgrade: "x" } });
		await close(server);
	},
	"CONNECT: a tunnel to a server, and its end": async (w) => {
		const far = net.createServer((socket) => socket.pipe(socket));
		const farPort = await listen(far);
		const proxy = http.createServer();
		proxy.on("connect", (request, socket: net.Socket, head) => {
			const [host, port] = request.url!.split(":");
			const out = net.connect(Number(port), host, () => {
				socket.write("HTTP/1.1 200 OK\r\n\r\n");
				out.write(head);
				out.pipe(socket).pipe(out);
			});
			out.on("error", (error: NodeJS.ErrnoException) => socket.end(`HTTP/1.1 502 ${error.code}\r\n\r\n`));
			socket.on("error", () => out.destroy());
		});
		const port = await listen(proxy);
		const request = http.request({ port, host: HOST, method: "CONNECT", path: `${HOST}:${farPort}` });
		request.end();
		const [response, socket] = (await once(request, "connect")) as [http.IncomingMessage, net.Socket];
		w.note("client", `${response.statusCode}`);
		let got = "";
		socket.on("data", (chunk) => {
			got += chunk;
		});
		const bytes = "tunnel".repeat(50_000);
		socket.end(bytes);
		await once(socket, "end");
		w.note("client", `${got === bytes}`);
		far.close();
		w.note("refused", await raw(port, `CONNECT ${HOST}:1 HTTP/1.1\r\nHost: x\r\n\r\n`));
		await close(proxy);
	},
	"keep-alive: time-outs of idle connections, and what the answer says of them": async (w) => {
		const server = watch(
			w,
			http.createServer((_request, response) => response.end("x")),
		);
		(server as unknown as { keepAliveTimeoutBuffer?: number }).keepAliveTimeoutBuffer = 0;
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		server.keepAliveTimeout = 60_000;
		await ask(w, "client", { port, agent });
		// From the end of the next answer on.
		server.keepAliveTimeout = 50;
		await ask(w, "client", { port, agent });
		await quiet(server);
		while (Object.keys(agent.freeSockets).length > 0) await later(5);
		w.note("client", "none is kept");
		await ask(w, "client", { port, agent });
		agent.destroy();
		await close(server);
	},
	"keep-alive: Connection: close from either side, and HTTP/1.0": async (w) => {
		const server = http.createServer((request, response) => {
			if (request.url === "/close") response.setHeader("Connection", "close");
			response.end(request.httpVersion);
		});
		const port = await listen(server);
		w.note("server closes", await raw(port, "GET /close HTTP/1.1\r\nHost: x\r\n\r\nGET /late HTTP/1.1\r\nHost: x\r\n\r\n"));
		w.note("1.0", await raw(port, "GET / HTTP/1.0\r\n\r\n"));
		w.note("1.0 kept", await raw(port, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 10, "GET / HTTP/1.0\r\n\r\n"));
		w.note("half", await raw(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
		await close(server);
	},
	maxRequestsPerSocket: async (w) => {
		const server = http.createServer((_request, response) => response.end("x"));
		server.maxRequestsPerSocket = 2;
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		for (let i = 0; i < 5; i++) await ask(w, "client", { port, agent });
		agent.destroy();
		await close(server);
	},
	"malformed requests": async (w) => {
		const server = http.createServer((_request, response) => response.end("x"));
		server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
			w.note("server", `${error.code}`);
			if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
		});
		const port = await listen(server);
		for (const bytes of [
			"nonsense\r\n\r\n",
			"GET / HTTP/1.1\r\n\r\n",
			"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
			`GET / HTTP/1.1\r\nHost: x\r\nX: ${"y".repeat(20_000)}\r\n\r\n`,
			"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\x16\x03\x01",
		])
			w.note(bytes.slice(0, 60), await raw(port, bytes));
		await close(server);
	},
	"time-outs of requests and headers that do not come": async (w) => {
		const server = watch(
			w,
			http.createServer({ headersTimeout: 60, requestTimeout: 120, connectionsCheckingInterval: 20 }, (request, response) => {
				request.resume().on("end", () => response.end("x"));
			}),
		);
		const port = await listen(server);
		w.note("head", await raw(port, "GET / HTTP/1.1\r\nHo"));
		w.note("body", await raw(port, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc"));
		await close(server);
	},
	"server.timeout, and setTimeout of request and response": async (w) => {
		const server = watch(w, http.createServer());
		// Whoever hears of a time-out waits for the request, which may come after it in a process that is late.
		let heard = once(server, "request");
		server.setTimeout(60, async (socket) => {
			w.note("server", "timeout");
			await heard;
			socket.destroy();
		});
		const port = await listen(server);
		await ask(w, "client", { port, agent: false, path: "/never" });
		server.setTimeout(0);
		server.on("request", (request, response) => {
			if (request.url !== "/late") return;
			response.setTimeout(40, () => {
				w.note("server", "response timeout");
				response.end("late");
			});
		});
		await ask(w, "client", { port, agent: false, path: "/late" });
		heard = once(server, "request");
		const request = http.get({ port, host: HOST, path: "/slow", agent: false, timeout: 20 });
		request.once("timeout", async () => {
			w.note("client", "request timeout");
			await heard;
			request.destroy(new Error("mine"));
		});
		const [error] = (await once(request, "error")) as [Error];
		w.note("client", error.message);
		await quiet(server);
		await close(server);
	},
	"a client that goes away in mid-body, by end, destroy and reset": async (w) => {
		const server = watch(w, http.createServer());
		server.on("request", (request) => request.resume());
		const port = await listen(server);
		for (const way of ["end", "destroy", "resetAndDestroy"] as const) {
			const socket = net.connect(port, HOST);
			socket.on("error", () => {});
			socket.resume();
			socket.write(`POST /${way} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\npart`);
			await once(server, "request");
			await later(10);
			socket[way]();
			await once(socket, "close");
			await quiet(server);
		}
		await close(server);
	},
	"a client that goes away while it is answered": async (w) => {
		const server = watch(w, http.createServer());
		const block = Buffer.alloc(100_000, "x");
		server.on("request", (_request, response) => {
			const more = () => {
				while (!response.destroyed && response.write(block));
			};
			response.on("drain", more);
			more();
		});
		const port = await listen(server);
		for (const way of ["destroy", "abort"] as const) {
			const request = http.get({ port, host: HOST, path: `/${way}`, agent: false });
			const [response] = (await once(request, "response")) as [http.IncomingMessage];
			response.on("aborted", () => w.note(way, "aborted"));
			response.on("error", (error: NodeJS.ErrnoException) => w.note(way, `${error.code} ${error.message}`));
			request.on("error", (error: NodeJS.ErrnoException) => w.note(way, `request ${error.code}`));
			await once(response, "data");
			response.pause();
			await later(20);
			request[way]();
			await once(request, "close");
			await quiet(server);
		}
		await close(server);
	},
	"a server that goes away before, within and after its answer": async (w) => {
		const server = http.createServer((request, response) => {
			const { socket } = request;
			if (request.url === "/before") socket.destroy();
			else if (request.url === "/reset") socket.resetAndDestroy();
			else if (request.url === "/within") {
				response.writeHead(200, { "Content-Length": 100 });
				response.write("part", () => socket.destroy());
			} else if (request.url === "/chunked") {
				response.write("part");
				setTimeout(() => socket.end(), 10);
			} else response.end("whole", () => socket.destroy());
		});
		const port = await listen(server);
		for (const path of ["/before", "/reset", "/within", "/chunked", "/after"]) await ask(w, path, { port, path, agent: false });
		await close(server);
	},
	"a kept connection that the server drops while it is idle": async (w) => {
		const server = http.createServer((_request, response) => response.end("x"));
		const sockets: net.Socket[] = [];
		server.on("connection", (socket) => sockets.push(socket));
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		await ask(w, "client", { port, agent });
		sockets[0]!.destroy();
		await later(50);
		const response = await ask(w, "client", { port, agent });
		w.note("client", `${sockets.length} ${(response as unknown as { req: { reusedSocket: boolean } }).req.reusedSocket}`);
		agent.destroy();
		await close(server);
	},
	"close, closeIdleConnections and closeAllConnections": async (w) => {
		const server = watch(w, http.createServer());
		let answer = (): void => {};
		server.on("request", (request, response) => {
			if (request.url === "/idle") response.end("x");
			else answer = () => response.end("late");
		});
		server.keepAliveTimeout = 0;
		const port = await listen(server);
		const agents = [new http.Agent({ keepAlive: true }), new http.Agent({ keepAlive: true })] as const;
		await ask(w, "idle", { port, agent: agents[0], path: "/idle" });
		const busy = ask(w, "busy", { port, agent: agents[1], path: "/busy" });
		await once(server, "request");
		server.closeIdleConnections();
		await later(50);
		w.note("server", "idle ones are gone");
		server.close(() => w.note("server", "closed"));
		answer();
		await busy;
		await later(30);
		server.closeAllConnections();
		await quiet(server);
		for (const agent of agents) agent.destroy();
	},
	"HEAD, 204 and 304 have no body": async (w) => {
		const server = http.createServer((request, response) => {
			response.statusCode = Number(request.url!.slice(1));
			response.end(response.statusCode === 200 ? "body" : "");
		});
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
		for (const [method, path] of [
			["HEAD", "/200"],
			["GET", "/204"],
			["GET", "/304"],
			["GET", "/200"],
		] as const)
			await ask(w, `${method} ${path}`, { port, agent, method, path });
		agent.destroy();
		await close(server);
	},
	"answers in many writes, corked and not, with callbacks": async (w) => {
		const server = http.createServer((request, response) => {
			const note = (what: string) => () => w.note("server", what);
			if (request.url === "/length") response.setHeader("Content-Length", 9);
			response.cork();
			response.write("abc", note("first"));
			response.write(Buffer.from("def"), note("second"));
			response.uncork();
			response.write("Z2hp", "base64", note("third"));
			response.end(note("end"));
		});
		const port = await listen(server);
		for (const path of ["/length", "/chunked"])
			w.note(path, await raw(port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`));
		await close(server);
	},
	"a body that the server does not read": async (w) => {
		const server = http.createServer((_request, response) => response.writeHead(413, { Connection: "close" }).end("no"));
		const port = await listen(server);
		const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
		w.note("client", await raw(port, head, 20, "x".repeat(1000)));
		await close(server);
	},
	"backpressure: a request that is paused, and read later": async (w) => {
		const bytes = "x".repeat(2_000_000);
		const server = http.createServer((request, response) => {
			request.pause();
			setTimeout(async () => response.end(`${(await text(request)).length}`), 30);
		});
		const port = await listen(server);
		await ask(w, "client", { port, method: "POST", agent: false }, bytes);
		await close(server);
	},
	"backpressure: an answer that is read slowly, by readable": async (w) => {
		const server = http.createServer((_request, response) => response.end(Buffer.alloc(3_000_000, "y")));
		const port = await listen(server);
		const request = http.get({ port, host: HOST, agent: false });
		const [response] = (await once(request, "response")) as [http.IncomingMessage];
		await later(30);
		let got = 0;
		response.on("readable", () => {
			for (let part = response.read(50_000); part !== null; part = response.read(50_000)) got += part.length;
			for (let part = response.read(); part !== null; part = response.read()) got += part.length;
		});
		await once(response, "end");
		w.note("client", `${got}`);
		await close(server);
	},
	"an agent with a queue, of which some are given up": async (w) => {
		const server = http.createServer((request, response) => setTimeout(() => response.end(request.url), 10));
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
		const all = Array.from({ length: 8 }, (_, i) => {
			const controller = new AbortController();
			if (i % 3 === 2) setTimeout(() => controller.abort(), 5);
			return ask(w, `request ${i}`, { port, agent, path: `/${i}`, signal: controller.signal });
		});
		await Promise.all(all);
		agent.destroy();
		await close(server);
	},
	"requests on a connection of the program's own": async (w) => {
		const server = http.createServer((request, response) => response.end(request.url));
		const port = await listen(server);
		const request = http.get({ createConnection: () => net.connect(port, HOST), path: "/mine", agent: undefined } as http.RequestOptions);
		const [response] = (await once(request, "response")) as [http.IncomingMessage];
		w.note("client", await text(response));
		const elsewhere = http.createServer((request, response) => response.end(`elsewhere ${request.url}`));
		const front = net.createServer((socket) => elsewhere.emit("connection", socket));
		const frontPort = await listen(front);
		w.note("raw", await raw(frontPort, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
		front.close();
		await close(server);
	},
	"a front that looks at the first bytes and puts them back": async (w) => {
		const inner = http.createServer(async (request, response) => response.end(`${request.method} ${await text(request)}`));
		const front = net.createServer((socket) => {
			socket.once("data", (bytes: Buffer) => {
				socket.pause();
				w.note("front", `${bytes.subarray(0, 4)}`);
				socket.unshift(bytes);
				inner.emit("connection", socket);
				process.nextTick(() => socket.resume());
			});
		});
		const port = await listen(front);
		const post = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
		w.note("at once", await raw(port, `${post}hello`));
		w.note("in parts", await raw(port, post.slice(0, 10), 15, post.slice(10), 15, "hello"));
		front.close();
		await once(front, "close");
	},
	"requests one by one by promises": async (w) => {
		const server = http.createServer();
		const port = await listen(server);
		const agent = new http.Agent({ keepAlive: true });
		const asked = Array.from({ length: 6 }, (_, i) => ask(w, `client ${i}`, { port, agent, path: `/${i}` }));
		for (let i = 0; i < 6; i++) {
			const [request, response] = (await once(server, "request")) as [http.IncomingMessage, http.ServerResponse];
			response.end(request.url);
		}
		await Promise.all(asked);
		agent.destroy();
		await close(server);
	},
	"tls: clients that go away before, in and after the handshake": async (w) => {
		const server = tls.createServer({ ...certificate, handshakeTimeout: 5000 });
		server.on("connection", (socket: net.Socket) => {
			socket.on("error", (error: NodeJS.ErrnoException) => w.note("raw", `error ${error.code}`));
			socket.on("close", (hadError) => w.note("raw", `close ${hadError}`));
		});
		server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) =>
			w.note("server", `${error.code} ${error.message} ${error.syscall} ${socket.destroyed}`),
		);
		server.on("secureConnection", (socket) => {
			socket.on("error", (error: NodeJS.ErrnoException) => w.note("secure", `error ${error.code} ${error.message}`));
			socket.on("end", () => w.note("secure", "end"));
			socket.on("close", (hadError) => w.note("secure", `close ${hadError}`));
			socket.resume();
		});
		const port = await listen(server);
		for (const way of ["resetAndDestroy", "destroy", "end"] as const) {
			for (const bytes of ["", "\x16\x03\x01\x02\x00\x01"]) {
				const socket = net.connect(port, HOST);
				socket.on("error", () => {});
				socket.resume();
				await once(server, "connection");
				socket.write(bytes, "latin1");
				await later(20);
				socket[way]();
				await once(socket, "close");
				await quiet(server);
			}
			const raw = net.connect(port, HOST);
			const secure = tls.connect({ socket: raw, ca: certificate.cert, servername: "localhost" });
			secure.on("error", () => {});
			await once(secure, "secureConnect");
			secure.write("hello");
			await later(20);
			if (way === "resetAndDestroy") raw.resetAndDestroy();
			else secure[way]();
			await quiet(server);
		}
		server.close();
	},
	"fetch: streams both ways, redirects, abort in mid-body": async (w) => {
		let gone = false;
		const server = http.createServer(async (request, response) => {
			if (request.url === "/redirect") response.writeHead(302, { Location: "/target" }).end();
			else if (request.url === "/endless") {
				response.on("close", () => {
					gone = true;
					w.note("server", `gone ${response.writableFinished}`);
				});
				const timer = setInterval(() => response.write("x"), 2);
				response.on("close", () => clearInterval(timer));
			} else response.end(`${request.method} ${await text(request)}`);
		});
		const port = await listen(server);
		const url = `http://${HOST}:${port}`;
		w.note("client", await (await fetch(`${url}/redirect`)).text());
		const body = new ReadableStream({
			async start(controller) {
				for (const part of ["a", "b", "c"]) {
					controller.enqueue(new TextEncoder().encode(part));
					await later(5);
				}
				controller.close();
			},
		});
		w.note("client", await (await fetch(url, { method: "POST", body, duplex: "half" } as RequestInit)).text());
		const controller = new AbortController();
		const response = await fetch(`${url}/endless`, { signal: controller.signal });
		const reader = response.body!.getReader();
		await reader.read();
		controller.abort();
		await reader.read().catch((error: Error) => w.note("client", error.name));
		while (!gone) await later(5);
		await close(server);
	},
};
