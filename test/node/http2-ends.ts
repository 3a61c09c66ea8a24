/**
 * HTTP/2 sessions whose connection is reset, while async hooks are on: a program of its own, which prints what each of them heard, one after the
 * other, and ends when nothing is left. It runs on the kernel's sockets and on the stack (http2-frames.test.ts).
 */
import { AsyncLocalStorage, createHook } from "node:async_hooks";
import { once } from "node:events";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";

const log = (...words: unknown[]): void => console.log(...words);
const storage = new AsyncLocalStorage();
createHook({ init() {} }).enable();

function watch(name: string, session: http2.Http2Session): void {
	session.on("error", (error: NodeJS.ErrnoException) => log(name, error.code));
	session.on("close", () => log(name, "close"));
}

async function listening(server: net.Server): Promise<string> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

// A client that resets after its answer.
const server = http2.createServer((_request, response) => storage.run("request", () => response.end("x")));
let heard = new Promise<void>((resolve) =>
	server.once("session", (session) => {
		watch("server", session);
		session.once("close", resolve);
	}),
);
const url = await listening(server);
const raw = net.connect(Number(new URL(url).port), "127.0.0.1");
const client = http2.connect(url, { createConnection: () => raw });
client.on("error", () => {});
const request = client.request();
request.on("error", () => {});
request.resume();
await once(request, "end");
raw.resetAndDestroy();
await heard;

// A server that resets.
const resets = net.createServer((socket) => {
	socket.on("error", () => {});
	socket.once("data", () => socket.resetAndDestroy());
});
const other = http2.connect(await listening(resets));
watch("client", other);
heard = new Promise((resolve) => other.once("close", resolve));
await heard;
resets.close();

// A client that is through, whose server resets the connection in the middle of that: it does not read when it writes its last words.
const last = http2.connect(url);
watch("last", last);
const given = last.request();
given.on("error", (error: NodeJS.ErrnoException) => log("request", error.code));
given.on("close", () => server.close());
last.close();
