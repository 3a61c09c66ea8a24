/**
 * What programs seldom do with `net`, but do: as scripts.ts's neighbours in scenarios.ts, run on any module of its shape, and compared.
 *
 * How a stream is cut into chunks is nobody's promise, so a script that looks at single chunks sends one and waits for it.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { once as promised } from "node:events";
import type net from "node:net";
import { finished, PassThrough, pipeline, Transform, Writable } from "node:stream";
import { inherits } from "node:util";
import {
	closed,
	quietPair as delayingPair,
	describe,
	hasRead,
	later,
	listen,
	type NetModule,
	once,
	pair,
	send,
	type Watch,
} from "./scenarios.ts";

type Scenario = (net: NetModule, w: Watch) => Promise<void>;

/** A pair on which what is written leaves at once, so that it need not be waited for. */
async function quietPair(net: NetModule): Promise<{ client: net.Socket; peer: net.Socket }> {
	const both = await delayingPair(net);
	for (const socket of [both.client, both.peer]) socket.setNoDelay(true);
	return both;
}

/** Bytes that differ from place to place. */
function pattern(length: number): Buffer {
	const bytes = Buffer.alloc(length);
	for (let i = 0; i < length; i++) bytes[i] = (i * 7 + (i >> 8)) & 255;
	return bytes;
}

/** A number that differs for other bytes or another order. */
function sumOf(bytes: Uint8Array, from = 0): number {
	let sum = from;
	for (const byte of bytes) sum = (Math.imul(sum, 31) + byte) | 0;
	return sum;
}

/** What is left of an error to compare. */
function code(error: unknown): string {
	const { code, name, message } = error as NodeJS.ErrnoException;
	return code ?? `${name}: ${message}`;
}

export const unusual: Record<string, Scenario> = {
	"pause in a listener, in the middle of a transfer": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const bytes = pattern(400_000);
		let got = 0;
		let sum = 0;
		let pauses = 0;
		peer.on("data", (chunk: Buffer) => {
			if (peer.isPaused()) w.note("peer", "data while paused");
			got += chunk.length;
			sum = sumOf(chunk, sum);
			if (pauses < 5) {
				pauses++;
				peer.pause();
				setTimeout(() => peer.resume(), 5);
			}
		});
		client.end(bytes);
		await once(peer, "end");
		w.note("peer", `${got} ${sum === sumOf(bytes)} ${pauses} ${peer.bytesRead}`);
		await closed(client, peer);
	},
	"destroy in a listener": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.on("data", () => {
			w.note("peer", `data ${peer.destroyed}`);
			peer.destroy();
		});
		peer.on("end", () => w.note("peer", "end"));
		peer.on("close", (hadError) => w.note("peer", `close ${hadError}`));
		client.write(pattern(300_000));
		await closed(peer);
		client.destroy();
		await closed(client);
		w.note("peer", `${peer.destroyed} ${peer.readable} ${peer.writable} ${peer.readyState}`);
	},
	"destroy in a listener, with an error and with writes that wait": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { server: false });
		peer.on("data", () => {
			peer.write("a", (error) => w.note("peer", `first ${error === undefined || error === null ? "" : code(error)}`));
			peer.destroy(new Error("enough"));
			peer.write("b", (error) => w.note("peer", `second ${code(error)}`));
		});
		client.write("x");
		await closed(client, peer);
	},
	"end in a listener, and more data after it": async (net, w) => {
		const { client, peer } = await pair(w, net, { allowHalfOpen: true }, { allowHalfOpen: true });
		let first = true;
		peer.on("data", () => {
			if (first) peer.end("answer", () => w.note("server", "ended"));
			first = false;
		});
		client.write("question");
		await once(client, "end");
		client.write("more");
		await later(20);
		client.end("last");
		await closed(client, peer);
	},
	"read(n) in a listener of readable": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const parts: string[] = [];
		peer.on("readable", () => {
			for (;;) {
				const part = peer.read(3) as Buffer | null;
				if (part === null) break;
				parts.push(part.toString());
			}
			parts.push("|");
		});
		peer.on("end", () => w.note("peer", parts.join("")));
		await send(client, peer, "abcdefgh");
		w.note("peer", `${parts.join("")} ${peer.readableLength} ${peer.bytesRead} ${peer.readableFlowing}`);
		await send(client, peer, "ij");
		client.end();
		await closed(client, peer);
	},
	"from data to readable and back": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const data = (chunk: Buffer) => w.note("peer", `data ${chunk} ${peer.readableFlowing}`);
		peer.on("data", data);
		await send(client, peer, "one");
		peer.removeListener("data", data);
		w.note("peer", `removed ${peer.readableFlowing} ${peer.isPaused()}`);
		const readable = () => w.note("peer", `readable ${peer.read()}`);
		peer.on("readable", readable);
		await later(5);
		w.note("peer", `${peer.readableFlowing}`);
		await send(client, peer, "two");
		peer.removeListener("readable", readable);
		await later(5);
		w.note("peer", `${peer.readableFlowing} ${peer.isPaused()}`);
		peer.on("data", data);
		await later(5);
		await send(client, peer, "three");
		peer.resume();
		await send(client, peer, "four");
		w.note("peer", `${peer.readableFlowing} ${peer.bytesRead}`);
		client.end();
		await closed(client, peer);
	},
	"data and readable at once": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.on("data", (chunk: Buffer) => w.note("peer", `data ${chunk}`));
		peer.on("readable", () => w.note("peer", `readable ${peer.read()}`));
		for (const text of ["one", "two"]) await send(client, peer, text);
		client.end();
		await closed(client, peer);
	},
	"once(data), then nobody, then a listener again": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.once("data", (chunk: Buffer) => w.note("peer", `first ${chunk}`));
		for (const text of ["a", "b"]) await send(client, peer, text);
		w.note("peer", `${peer.readableFlowing} ${peer.bytesRead} ${peer.readableLength}`);
		peer.on("data", (chunk: Buffer) => w.note("peer", `then ${chunk}`));
		client.end("c");
		await closed(client, peer);
	},
	"a listener that puts another in its place": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const header = (chunk: Buffer) => {
			peer.removeListener("data", header);
			w.note("peer", `header ${chunk.subarray(0, 4)}`);
			peer.on("data", (rest: Buffer) => w.note("peer", `body ${rest}`));
			if (chunk.length > 4) peer.unshift(chunk.subarray(4));
		};
		peer.on("data", header);
		await send(client, peer, "HEADbody");
		await send(client, peer, "tail");
		client.end();
		await closed(client, peer);
		w.note("peer", `${peer.bytesRead}`);
	},
	"listeners before and after, in order": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.on("data", () => w.note("peer", "second"));
		peer.prependListener("data", () => w.note("peer", "first"));
		peer.prependOnceListener("data", () => w.note("peer", "once"));
		for (const text of ["a", "b"]) await send(client, peer, text);
		client.end();
		await closed(client, peer);
	},
	"setEncoding, with characters that are cut": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.setEncoding("utf8");
		peer.on("data", (text: string) => w.note("peer", `${typeof text} ${text}`));
		const bytes = Buffer.from("aü€😀z");
		for (const [from, to] of [
			[0, 2],
			[2, 5],
			[5, 8],
			[8, bytes.length],
		]) {
			await send(client, peer, bytes.subarray(from, to));
		}
		client.end(Buffer.from("€").subarray(0, 2));
		await closed(client, peer);
	},
	"setEncoding after data has come": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.on("data", (chunk: Buffer | string) => w.note("peer", `${typeof chunk} ${chunk}`));
		await send(client, peer, "raw");
		peer.setEncoding("hex");
		await send(client, peer, "hex");
		client.end();
		await closed(client, peer);
	},
	"pipe, unpipe, and pipe elsewhere": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const sink = (name: string) =>
			new Writable({
				write(chunk, _encoding, done) {
					w.note("peer", `${name} ${chunk}`);
					done();
				},
				final(done) {
					w.note("peer", `${name} final`);
					done();
				},
			});
		const [one, two] = [sink("one"), sink("two")];
		peer.pipe(one);
		await send(client, peer, "a");
		peer.pipe(two);
		await send(client, peer, "b");
		peer.unpipe(one);
		w.note("peer", `${peer.readableFlowing}`);
		await send(client, peer, "c");
		peer.unpipe();
		w.note("peer", `${peer.readableFlowing} ${peer.isPaused()}`);
		await send(client, peer, "d");
		w.note("peer", `${peer.readableLength} waiting`);
		peer.pipe(one, { end: false });
		await send(client, peer, "e");
		client.end();
		await closed(client, peer);
		w.note("peer", `${one.writableEnded} ${two.writableEnded}`);
	},
	"piped to two, of which one is slow": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const bytes = pattern(500_000);
		const sink = (wait: number) => {
			let sum = 0;
			let got = 0;
			return new Writable({
				highWaterMark: 20_000,
				write(chunk: Buffer, _encoding, done) {
					sum = sumOf(chunk, sum);
					got += chunk.length;
					if (wait === 0) done();
					else setTimeout(done, wait);
				},
				final(done) {
					w.note("peer", `${wait} ${got} ${sum === sumOf(bytes)}`);
					done();
				},
			});
		};
		const [fast, slow] = [sink(0), sink(1)];
		peer.pipe(fast);
		peer.pipe(slow);
		client.end(bytes);
		await Promise.all([once(fast, "finish"), once(slow, "finish").then(() => {})]);
		await closed(client, peer);
	},
	"an echo by pipe, of a lot": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.pipe(peer);
		const bytes = pattern(3_000_000);
		let sum = 0;
		let got = 0;
		client.on("data", (chunk: Buffer) => {
			sum = sumOf(chunk, sum);
			got += chunk.length;
		});
		client.end(bytes);
		await once(client, "end");
		w.note("client", `${got} ${sum === sumOf(bytes)}`);
		await closed(client, peer);
	},
	"pipeline and finished": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const upper = new Transform({
			transform(chunk, _encoding, done) {
				done(null, String(chunk).toUpperCase());
			},
		});
		pipeline(peer, upper, peer, (error) => w.note("peer", `pipeline ${error === undefined || error === null ? "done" : code(error)}`));
		finished(client, (error) => w.note("client", `finished ${error === undefined || error === null ? "" : code(error)}`));
		let text = "";
		client.on("data", (chunk) => {
			text += chunk;
		});
		client.end("hello");
		await closed(client, peer);
		w.note("client", text);
		await later(5);
	},
	"finished of a socket that is destroyed": async (net, w) => {
		const { client, peer } = await quietPair(net);
		finished(peer, (error) => w.note("peer", `finished ${code(error)}`));
		finished(client, (error) => w.note("client", `finished ${code(error)}`));
		client.resume();
		peer.destroy();
		await closed(peer);
		client.destroy();
		await closed(client);
		await later(5);
	},
	"pipe into a stream that breaks": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const broken = new PassThrough();
		broken.on("error", (error) => w.note("broken", error.message));
		pipeline(peer, broken, (error) => w.note("peer", `pipeline ${error?.message}`));
		await send(client, peer, "x");
		broken.destroy(new Error("broke"));
		await closed(peer);
		client.resume();
		client.end();
		await closed(client);
	},
	"iteration that is left early": async (net, w) => {
		const { client, peer } = await quietPair(net);
		client.write(pattern(200_000));
		for await (const chunk of peer) {
			w.note("peer", `${chunk.length > 0}`);
			break;
		}
		w.note("peer", `${peer.destroyed}`);
		await closed(peer);
		client.destroy();
		await closed(client);
	},
	"iteration that is left early, and the socket kept": async (net, w) => {
		const { client, peer } = await quietPair(net);
		client.write("abc");
		for await (const chunk of peer.iterator({ destroyOnReturn: false })) {
			w.note("peer", `${chunk}`);
			break;
		}
		w.note("peer", `${peer.destroyed} ${peer.readableFlowing}`);
		peer.on("data", (chunk: Buffer) => w.note("peer", `data ${chunk}`));
		peer.resume();
		client.end("def");
		await closed(client, peer);
	},
	"iteration of a connection that is reset": async (net, w) => {
		const { client, peer } = await quietPair(net);
		client.write("abc");
		try {
			for await (const chunk of peer) {
				w.note("peer", `${chunk}`);
				client.resetAndDestroy();
			}
			w.note("peer", "end");
		} catch (error) {
			w.note("peer", describe(error));
		}
		await closed(client, peer);
	},
	"helpers of streams": async (net, w) => {
		const { client, peer } = await quietPair(net);
		client.end("hello");
		const all = await peer.map((chunk: Buffer) => chunk.toString().toUpperCase()).toArray();
		w.note("peer", all.join(""));
		await closed(client, peer);
	},
	"web streams over a socket": async (net, w) => {
		const { Duplex } = await import("node:stream");
		const { client, peer } = await quietPair(net);
		const web = Duplex.toWeb(peer) as { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };
		const piped = web.readable.pipeTo(web.writable).then(
			() => w.note("peer", "piped"),
			(error) => w.note("peer", code(error)),
		);
		const bytes = pattern(300_000);
		let sum = 0;
		client.on("data", (chunk: Buffer) => {
			sum = sumOf(chunk, sum);
		});
		client.end(bytes);
		await closed(client, peer);
		w.note("client", `${sum === sumOf(bytes)}`);
		await piped;
	},
	"order of callbacks: written, finish, end, close": async (net, w) => {
		const { client, peer } = await pair(w, net);
		w.note("client", `${client.write(pattern(1000), () => w.note("client", "written 1"))}`);
		w.note("client", `${client.write("more", () => w.note("client", "written 2"))}`);
		void Promise.resolve().then(() => w.note("client", "promise"));
		await later(30);
		client.end("last", () => w.note("client", "ended"));
		await closed(client, peer);
	},
	"writes of nothing": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.write("", () => w.note("client", "empty string"));
		client.write(Buffer.alloc(0), () => w.note("client", "empty buffer"));
		client.cork();
		client.write("");
		client.write("");
		client.uncork();
		w.note("client", `${client.bytesWritten}`);
		client.end("", () => w.note("client", "ended"));
		await closed(client, peer);
	},
	"corked writes of all kinds": async (net, w) => {
		const { client, peer } = await quietPair(net);
		// Which end hears of the connection first is nobody's promise, and a client that has not keeps what it writes.
		if (client.connecting) await once(client, "connect");
		const chunks: Buffer[] = [];
		peer.on("data", (chunk: Buffer) => chunks.push(chunk));
		const write = (data: string | Uint8Array, encoding?: BufferEncoding) =>
			client.write(data, encoding, () => w.note("client", `written ${client.bytesWritten}`));
		for (const rounds of [1, 2, 5]) {
			client.cork();
			for (let i = 0; i < rounds; i++) {
				write("ä€😀");
				write("00ff7f", "hex");
				write("\u00ff\u0100", "latin1");
				write("ab", "utf16le");
				write("", "utf8");
				write("YQ", "base64");
				write("_-8", "base64url");
				write("\u00e9z", "ascii");
				write(new Uint8Array([1, 2, 3]));
				write(Buffer.from("tail").subarray(1, 3));
				client.cork();
				write("nested");
				client.uncork();
			}
			w.note("client", `${client.bytesWritten} ${client.writableLength}`);
			client.uncork();
		}
		client.end();
		await once(peer, "end");
		w.note("peer", Buffer.concat(chunks).toString("hex"));
		await closed(client, peer);
	},
	"writes one by one of all kinds": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const chunks: Buffer[] = [];
		peer.on("data", (chunk: Buffer) => chunks.push(chunk));
		const writes: [string | Uint8Array, BufferEncoding?][] = [
			["ä€😀"],
			["00ff7f", "hex"],
			["\u00ff\u0100", "latin1"],
			["\u00ff\u0100", "binary"],
			["ab", "utf16le"],
			["ab", "ucs2"],
			["YQ==", "base64"],
			["_-8", "base64url"],
			["\u00e9z", "ascii"],
			[new Uint8Array([1, 2, 3])],
			[new Uint8Array(new ArrayBuffer(16), 4, 3)],
		];
		for (const [data, encoding] of writes) {
			await new Promise<void>((resolve) => client.write(data, encoding, () => resolve()));
			w.note("client", `${client.bytesWritten}`);
		}
		client.setDefaultEncoding("latin1");
		client.write("\u00ff");
		client.end();
		await once(peer, "end");
		w.note("peer", Buffer.concat(chunks).toString("hex"));
		await closed(client, peer);
	},
	"a very large write, and figures while it waits": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.pause();
		const bytes = pattern(20_000_000);
		let done = false;
		w.note(
			"client",
			`${client.write(bytes, (error) => {
				done = true;
				w.note("client", `written ${error ?? ""}`);
			})}`,
		);
		await later(30);
		w.note("client", `${done} ${client.writableLength} ${client.bytesWritten} ${client.writableNeedDrain}`);
		let sum = 0;
		peer.on("data", (chunk: Buffer) => {
			sum = sumOf(chunk, sum);
		});
		peer.resume();
		await once(client, "drain");
		client.end();
		await closed(client, peer);
		w.note("peer", `${peer.bytesRead} ${sum === sumOf(bytes)}`);
	},
	"large corked writes of buffers and strings": async (net, w) => {
		const { client, peer } = await quietPair(net);
		let sum = 0;
		let expected = 0;
		peer.on("data", (chunk: Buffer) => {
			sum = sumOf(chunk, sum);
		});
		client.cork();
		for (let i = 0; i < 40; i++) {
			const bytes = pattern(100_000 + i);
			const text = i % 2 === 0 ? bytes.toString("latin1") : bytes;
			expected = sumOf(typeof text === "string" ? Buffer.from(text, "latin1") : text, expected);
			if (typeof text === "string") client.write(text, "latin1");
			else client.write(text);
		}
		client.uncork();
		client.end(() => w.note("client", `ended ${client.bytesWritten}`));
		await closed(client, peer);
		w.note("peer", `${sum === expected} ${peer.bytesRead}`);
	},
	"a buffer that is changed after its callback": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const bytes = Buffer.alloc(200_000);
		const seen = new Set<number>();
		let got = 0;
		peer.on("data", (chunk: Buffer) => {
			for (let i = 0; i < chunk.length; i++) {
				const place = Math.floor((got + i) / bytes.length);
				if (chunk[i] !== place + 1) seen.add(place);
			}
			got += chunk.length;
		});
		for (let i = 1; i <= 20; i++) {
			bytes.fill(i);
			await new Promise((resolve) => client.write(bytes, resolve));
		}
		client.end();
		await closed(client, peer);
		w.note("peer", `${got} ${[...seen]}`);
	},
	"write after end": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.end("a");
		client.write("b", (error) => w.note("client", `callback ${code(error)}`));
		await closed(client, peer);
		client.end("c", (error?: Error) => w.note("client", `end ${code(error)}`));
		await later(5);
	},
	"write of what cannot be written": async (net, w) => {
		const { client, peer } = await quietPair(net);
		for (const thing of [null, 5, {}, [], undefined, true]) {
			try {
				client.write(thing as unknown as string);
				w.note("client", "no error");
			} catch (error) {
				w.note("client", code(error));
			}
		}
		try {
			client.write("x", "nonsense" as BufferEncoding);
		} catch (error) {
			w.note("client", code(error));
		}
		client.destroy();
		peer.destroy();
		await closed(client, peer);
	},
	"end with bytes of several kinds, and twice": async (net, w) => {
		const { client, peer } = await pair(w, net, { allowHalfOpen: true }, { allowHalfOpen: true });
		peer.end("YQ==", "base64", () => w.note("server", "ended"));
		await once(client, "end");
		client.end(() => w.note("client", "ended"));
		client.end(() => w.note("client", "again"));
		await closed(client, peer);
		w.note("client", `${client.writableFinished} ${client.readableEnded} ${peer.writableFinished} ${peer.readableEnded}`);
	},
	"half open, neither reads": async (net, w) => {
		const { client, peer } = await pair(w, net, { allowHalfOpen: true }, { allowHalfOpen: true }, { client: false, server: false });
		client.end("a");
		peer.end("b");
		await Promise.all([hasRead(client, 1), hasRead(peer, 1)]);
		w.note("client", `${client.readyState} ${client.readableLength} ${client.destroyed}`);
		client.resume();
		peer.resume();
		await closed(client, peer);
	},
	"a small highWaterMark, both ways": async (net, w) => {
		const server = net.createServer({ highWaterMark: 4 } as net.ServerOpts);
		const port = await listen(server);
		const accepted = once(server, "connection");
		const client = net.connect({ port, host: "127.0.0.1", readableHighWaterMark: 2, writableHighWaterMark: 3 } as net.TcpNetConnectOpts);
		const [peer] = (await accepted) as [net.Socket];
		server.close();
		w.note("server", `${peer.readableHighWaterMark} ${peer.writableHighWaterMark}`);
		w.note("client", `${client.readableHighWaterMark} ${client.writableHighWaterMark}`);
		await send(peer, client, "abc");
		peer.write("defg");
		await later(20);
		w.note("client", `${client.readableLength}`);
		const parts: string[] = [];
		client.on("readable", () => {
			for (let part = client.read(2); part !== null; part = client.read(2)) parts.push(String(part));
		});
		await later(20);
		peer.end("h");
		await once(client, "end");
		w.note("client", parts.join(" "));
		await closed(client, peer);
	},
	"methods of the program's own": async (net, w) => {
		const { client, peer } = await quietPair(net);
		for (const socket of [peer, client]) {
			const { emit, write, push } = socket;
			const name = socket === peer ? "peer" : "client";
			socket.emit = function (this: net.Socket, event: string, ...args: unknown[]) {
				if (event === "data" || event === "end") w.note(name, `emit ${event}`);
				return (emit as (...args: unknown[]) => boolean).call(this, event, ...args);
			} as typeof socket.emit;
			socket.write = function (this: net.Socket, ...args: unknown[]) {
				w.note(name, `write ${args[0]}`);
				return (write as (...args: unknown[]) => boolean).apply(this, args);
			} as typeof socket.write;
			socket.push = function (this: net.Socket, chunk: Buffer | null) {
				w.note(name, `push ${chunk}`);
				return push.call(this, chunk);
			} as typeof socket.push;
		}
		peer.on("data", (chunk) => peer.write(chunk));
		client.on("data", () => {});
		client.write("a");
		await hasRead(client, 1);
		client.end("b");
		await closed(client, peer);
	},
	"methods of the program's own, put in while data flow": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.on("data", (chunk) => peer.write(chunk));
		client.on("data", () => {});
		client.write("a");
		await hasRead(client, 1);
		const inner = peer as unknown as Record<"_write" | "_writeGeneric", (...args: unknown[]) => unknown>;
		for (const name of ["_write", "_writeGeneric"] as const) {
			const original = inner[name];
			inner[name] = function (this: unknown, ...args: unknown[]) {
				w.note("peer", name);
				return original.apply(this, args);
			};
		}
		client.write("b");
		await hasRead(client, 2);
		client.end();
		await closed(client, peer);
	},
	"a class of the program's own": async (net, w) => {
		class Mine extends net.Socket {
			override _write(chunk: unknown, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
				w.note("mine", `_write ${chunk}`);
				super._write(chunk, encoding, done);
			}
			override push(chunk: unknown): boolean {
				w.note("mine", `push ${chunk}`);
				return super.push(chunk);
			}
		}
		const server = net.createServer((socket) => socket.on("data", (chunk) => socket.end(chunk)));
		const port = await listen(server);
		const socket = new Mine();
		socket.connect(port, "127.0.0.1");
		await once(socket, "connect");
		socket.on("data", (chunk) => w.note("mine", `data ${chunk}`));
		socket.write("hello");
		await closed(socket);
		server.close();
		await once(server, "close");
	},
	"what a reader throws away is read": async (net, w) => {
		const { client, peer } = await quietPair(net);
		peer.resume();
		client.write(pattern(2_000_000));
		await once(client, "drain");
		client.end();
		await closed(client, peer);
		w.note("peer", `${peer.bytesRead} ${peer.readableDidRead} ${peer.readableAborted}`);
	},
	"timeout of a connection that is in use": async (net, w) => {
		const { client, peer } = await quietPair(net);
		// As long as the sockets', and begun anew just before each byte: theirs run out after it, however late the process is.
		let over = false;
		const reference = setTimeout(() => {
			over = true;
		}, 500);
		client.setTimeout(500);
		peer.setTimeout(500);
		client.once("timeout", () => w.note("client", `timeout ${over ? "of an idle connection" : "in use"}`));
		peer.once("timeout", () => w.note("peer", `timeout ${over ? "of an idle connection" : "in use"}`));
		const timeouts = Promise.all([once(client, "timeout"), once(peer, "timeout")]);
		peer.resume();
		client.resume();
		for (const writer of [client, peer]) {
			for (let i = 0; i < 5; i++) {
				reference.refresh();
				writer.write("x");
				await later(120);
			}
		}
		await timeouts;
		client.destroy();
		peer.destroy();
		await closed(client, peer);
	},
	"timeout of a write that goes on slowly": async (net, w) => {
		for (const end of ["client", "peer"] as const) {
			const both = await quietPair(net);
			const reader = end === "client" ? both.peer : both.client;
			const writer = both[end] as net.Socket & { _handle: { writeQueueSize: number }; _onTimeout(): void };
			reader.pause();
			writer.on("timeout", () => w.note(end, "timeout"));
			// More than both buffers and the reader together take.
			writer.write(Buffer.alloc(60_000_000), (error) => w.note(end, `written ${error === undefined || error === null ? "" : code(error)}`));
			// What the socket's timer does is done here: no part need be taken by a certain time.
			for (let i = 0; i < 4; i++) {
				const before = writer._handle.writeQueueSize;
				reader.resume();
				while (writer._handle.writeQueueSize === before) await promised(reader, "data");
				reader.pause();
				writer._onTimeout();
				w.note(end, "goes on");
			}
			writer._onTimeout();
			writer.destroy();
			reader.destroy();
			await closed(writer, reader);
		}
	},
	"servers: connections one by one by promises": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		const clients = Array.from({ length: 5 }, () => net.connect(port, "127.0.0.1"));
		const peers: net.Socket[] = [];
		while (peers.length < 5) peers.push(((await promised(server, "connection")) as [net.Socket])[0]);
		w.note("server", `${peers.length}`);
		for (const socket of [...clients, ...peers]) socket.destroy();
		await closed(...clients, ...peers);
		server.close();
		await once(server, "close");
	},
	"servers: getConnections, and close with a callback twice": async (net, w) => {
		const server = w.server("listener", net.createServer());
		const port = await listen(server);
		const count = () => new Promise<number>((resolve) => server.getConnections((_error, n) => resolve(n)));
		w.note("listener", `${await count()}`);
		const accepted = once(server, "connection");
		const client = net.connect(port, "127.0.0.1");
		const [peer] = (await accepted) as [net.Socket];
		w.note("listener", `${await count()}`);
		server.close(() => w.note("listener", "closed"));
		server.close((error) => w.note("listener", `again ${code(error)}`));
		w.note("listener", `${server.address()} ${server.listening}`);
		client.end();
		client.resume();
		peer.resume();
		await once(server, "close");
		w.note("listener", `${await count()}`);
	},
	"servers: a listener that throws away what it gets": async (net, w) => {
		const server = net.createServer((socket) => socket.destroy());
		const port = await listen(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		await closed(client);
		server.close();
		await once(server, "close");
	},
	"servers: listen again after close": async (net, w) => {
		const server = w.server(
			"listener",
			net.createServer((socket) => socket.end("x")),
		);
		for (let i = 0; i < 2; i++) {
			const port = await listen(server);
			const client = w.socket(`client ${i}`, net.connect(port, "127.0.0.1"));
			await closed(client);
			server.close();
			await once(server, "close");
		}
	},
	"context of AsyncLocalStorage, deep inside": async (net, w) => {
		const storage = new AsyncLocalStorage<string>();
		const server = net.createServer();
		const port = await listen(server);
		let idle = false;
		server.on("connection", (socket) => {
			storage.run("handler", () => {
				// On a line of its own: a process that is late may have it before the data.
				socket.setTimeout(30, () => {
					idle = true;
					w.note("timer", `timeout ${storage.getStore()}`);
				});
				socket.on("data", (chunk) => {
					w.note("server", `data ${storage.getStore()}`);
					socket.write(chunk, () => w.note("server", `written ${storage.getStore()}`));
				});
				socket.on("close", () => w.note("server", `close ${storage.getStore()}`));
			});
		});
		const client = await storage.run("client", async () => {
			const client = net.connect(port, "127.0.0.1");
			await promised(client, "connect");
			w.note("client", `connected ${storage.getStore()}`);
			return client;
		});
		client.on("data", () => w.note("client", `data ${storage.getStore()}`));
		client.on("close", () => w.note("client", `close ${storage.getStore()}`));
		storage.run("big write", () => {
			client.write("x");
		});
		await hasRead(client, 1);
		while (!idle) await later(5);
		storage.run("end", () => client.end(() => w.note("client", `ended ${storage.getStore()}`)));
		await closed(client);
		await later(20);
		server.close();
		await once(server, "close");
	},
	"context of AsyncLocalStorage, where a connection fails": async (net, w) => {
		const storage = new AsyncLocalStorage<string>();
		const server = net.createServer((peer) => peer.on("error", () => {}).once("data", () => peer.resetAndDestroy()));
		const port = await listen(server);
		for (const end of ["a reset", "destroy", "its own reset"]) {
			const client = storage.run("maker", () => net.connect(port, "127.0.0.1"));
			client.on("error", ({ message }) => w.note("client", `${message} ${storage.getStore()}`));
			client.on("close", () => w.note("client", `close ${storage.getStore()}`));
			await promised(client, "connect");
			storage.run("user", () => {
				if (end === "destroy") client.destroy();
				else if (end === "its own reset") client.resetAndDestroy();
				else client.write("x");
			});
			await closed(client);
		}
		server.close();
		await once(server, "close");
	},
	"a server that listens with another one": async (net, w) => {
		for (const where of [[0, "127.0.0.1"], [0]]) {
			const first = w.server("first", net.createServer());
			const port = await listen(first, ...where);
			const second = w.server("second", net.createServer());
			await listen(second, first);
			w.note("second", `${(second.address() as net.AddressInfo).port === port}`);
			const client = w.socket("client", net.connect(port, "127.0.0.1"));
			const [peer] = (await promised(second, "connection")) as [net.Socket];
			peer.end("hello");
			await closed(client);
			for (const server of [second, first]) {
				server.close();
				await once(server, "close");
			}
			const again = w.server("again", net.createServer());
			await listen(again, port, "127.0.0.1");
			again.close();
			await once(again, "close");
		}
	},
	"from a local port that a server listens on": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		const other = net.createServer();
		await listen(other, 20131, "127.0.0.1");
		for (const localAddress of [undefined, "127.0.0.1"]) {
			const client = net.connect({ port, host: "127.0.0.1", localPort: 20131, localAddress });
			const [error] = await Promise.all([once(client, "error"), closed(client)]);
			w.note("client", describe(error[0]));
		}
		for (const one of [server, other]) {
			one.close();
			await once(one, "close");
		}
	},
	"exceptions in other callbacks": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const listeners = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
		process.removeAllListeners("uncaughtException");
		process.on("uncaughtException", (error) => w.note("process", error.message));
		peer.on("end", () => {
			throw new Error("in end");
		});
		peer.on("close", () => {
			throw new Error("in close");
		});
		peer.resume();
		client.resume();
		client.write("x", () => {
			throw new Error("in written");
		});
		await later(20);
		client.end(() => {
			throw new Error("in finish");
		});
		await later(50);
		w.note("process", `${client.destroyed} ${peer.destroyed}`);
		client.destroy();
		peer.destroy();
		await later(20);
		process.removeAllListeners("uncaughtException");
		for (const listener of listeners) process.on("uncaughtException", listener);
	},
	"exceptions in ticks and promises of many connections at once": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		const clients = Array.from({ length: 8 }, () => net.connect(port, "127.0.0.1"));
		const listeners = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
		process.removeAllListeners("uncaughtException");
		let uncaught = 0;
		process.on("uncaughtException", () => uncaught++);
		let heard = 0;
		let ended = 0;
		server.on("connection", (socket) => {
			process.nextTick(() => {
				throw new Error("in a tick of connection");
			});
			socket.on("data", () => {
				heard++;
				process.nextTick(() => {
					throw new Error("in a tick of data");
				});
				queueMicrotask(() => {
					throw new Error("in a promise of data");
				});
			});
			socket.on("end", () => {
				ended++;
				socket.end();
			});
		});
		for (const client of clients) client.end("x");
		await closed(...clients);
		await later(20);
		process.removeAllListeners("uncaughtException");
		for (const listener of listeners) process.on("uncaughtException", listener);
		w.note("server", `${heard} heard, ${ended} ended, ${uncaught} exceptions`);
		server.close();
		await once(server, "close");
	},
	"rejections that are captured": async (net, w) => {
		const { client, peer } = await quietPair(net);
		(peer as unknown as Record<symbol, unknown>)[Symbol.for("nodejs.rejection")] = (error: Error, event: string) => {
			w.note("peer", `${error.message} ${event}`);
		};
		peer.on("data", () => {});
		await send(client, peer, "x");
		client.end();
		await closed(client, peer);
	},
	"ref and unref say who they are": async (net, w) => {
		const { client, peer } = await quietPair(net);
		w.note("client", `${client.unref() === client} ${client.ref() === client}`);
		const handle = (client as unknown as { _handle: { hasRef(): boolean } })._handle;
		w.note("client", `${handle.hasRef()}`);
		client.unref();
		w.note("client", `${handle.hasRef()}`);
		client.ref();
		client.destroy();
		peer.destroy();
		await closed(client, peer);
	},
	"classes derived as before there were classes": async (net, w) => {
		type Old = { call(self: unknown, ...args: unknown[]): void; prototype: object };
		const { Socket, Server } = net as unknown as { Socket: Old; Server: Old };
		function Client(this: { hello: string }): void {
			Socket.call(this, { allowHalfOpen: true });
			this.hello = "hello";
		}
		inherits(Client, Socket as never);
		function Greeter(this: object): void {
			Server.call(this, { allowHalfOpen: true }, (socket: net.Socket) => socket.resume().end("bye"));
		}
		inherits(Greeter, Server as never);
		const server = new (Greeter as unknown as new () => net.Server)();
		const port = await listen(w.server("listener", server));
		const client = w.socket("client", new (Client as unknown as new () => net.Socket & { hello: string })());
		w.note("client", `${client.hello} ${client.allowHalfOpen} ${client instanceof net.Socket} ${server instanceof net.Server}`);
		client.connect(port, "127.0.0.1");
		await promised(client, "end");
		client.end();
		await closed(client);
		server.close();
		await promised(server, "close");
	},
	"a class with a resetAndDestroy of its own": async (net, w) => {
		class Client extends net.Socket {
			override resetAndDestroy(): this {
				w.note("client", `reset ${this.destroyed}`);
				super.resetAndDestroy();
				return this;
			}
		}
		const server = net.createServer();
		const port = await listen(server);
		const client = w.socket("client", new Client());
		client.connect(port, "127.0.0.1");
		const [peer] = (await promised(server, "connection")) as [net.Socket];
		w.socket("server", peer);
		if (client.connecting) await promised(client, "connect");
		client.resetAndDestroy();
		await closed(client, peer);
		server.close();
	},
};
