/**
 * An `http2` server and a client that says many frames in one piece, as a program of its own, which prints what the server saw. Arguments: "tls" or
 * "plain". Programs like it run on the kernel's sockets and on the stack (http2-frames.test.ts).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import http2 from "node:http2";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { certificate } from "./certificate.ts";

const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const END_STREAM_AND_HEADERS = 5;

// As modules do that were loaded first.
const { nextTick } = process;
const log = (...words: unknown[]): void => console.log(...words);
const secure = process.argv[2] === "tls";
// Node counts whose callback it is in only while somebody asks.
new AsyncLocalStorage().enterWith("outermost");
process.on("uncaughtException", (error) => log("uncaught", (error as NodeJS.ErrnoException).code ?? error.message));

const server = secure ? http2.createSecureServer(certificate) : http2.createServer();
server.on("stream", (stream, headers) => {
	const path = headers[":path"];
	log("stream", stream.id, path, stream.destroyed);
	stream.on("error", (error: NodeJS.ErrnoException) => log("error", stream.id, error.code));
	stream.on("aborted", () => log("aborted", stream.id));
	stream.on("close", () => log("close", stream.id, stream.rstCode));
	// As tools do that follow what causes what.
	const before = process.nextTick;
	if (path === "/wrap") process.nextTick = (callback: (...args: never[]) => void, ...args: unknown[]) => before(callback, ...args);
	if (path === "/throw") throw new Error("thrown");
	if (path === "/tick") {
		nextTick(() => {
			throw new Error("thrown in a tick");
		});
	}
	if (path === "/promise") void Promise.reject(new Error("rejected"));
	stream.respond({ ":status": 200 });
	stream.end("answer");
});

function frame(type: number, flags: number, stream: number, payload: readonly number[]): Buffer {
	const { length } = payload;
	return Buffer.from([length >> 16, length >> 8, length, type, flags, 0, 0, stream >> 8, stream, ...payload]);
}

/** A GET, by indices into the static table of HPACK (RFC 7541, appendix A) and texts as they are. */
function get(stream: number, path: string): Buffer {
	const text = (value: string) => [value.length, ...Buffer.from(value)];
	return frame(HEADERS, END_STREAM_AND_HEADERS, stream, [0x82, 0x86, 0x04, ...text(path), 0x01, ...text("x")]);
}

const said = [
	Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	frame(SETTINGS, 0, 0, []),
	get(1, "/wrap"),
	get(3, "/throw"),
	get(5, "/tick"),
	get(7, "/promise"),
	get(9, "/reset"),
	frame(RST_STREAM, 0, 9, [0, 0, 0, 8]),
	get(11, "/answer"),
];

server.listen(0, "127.0.0.1", () => {
	const { port } = server.address() as AddressInfo;
	const options = { port, host: "127.0.0.1", rejectUnauthorized: false, ALPNProtocols: ["h2"] };
	const client = secure ? tls.connect(options) : net.connect(options);
	client.once(secure ? "secureConnect" : "connect", () => client.write(Buffer.concat(said)));
	let saidMore = false;
	const heard: Buffer[] = [];
	client.on("data", (chunk: Buffer) => {
		heard.push(chunk);
		const frames = framesOf(Buffer.concat(heard));
		// Streams 3 and 9 get no answer.
		const answers = frames.filter((name) => name.startsWith("0 ")).length;
		if (answers === 4 && !saidMore) {
			saidMore = true;
			client.write(get(13, "/wrap"));
		}
		if (answers < 5) return;
		log("client", ...frames);
		process.exit();
	});
});

/** Type and stream of each whole frame. */
function framesOf(bytes: Buffer): string[] {
	const frames: string[] = [];
	for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) frames.push(`${bytes[at + 3]} ${bytes.readUInt32BE(at + 5)}`);
	return frames;
}
