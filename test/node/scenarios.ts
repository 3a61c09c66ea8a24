/**
 * What programs do with `net`, as scripts that run on any module of its shape and write down what they saw.
 *
 * Each watched object has a log of its own: the order of events within one socket is a promise of Node, the order between
 * two sockets is a matter of timing. Data is logged as a sum, since how a stream is cut into chunks is nobody's promise.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type net from "node:net";
import { isDeepStrictEqual } from "node:util";

export type NetModule = typeof net;
export type Log = Record<string, string[]>;

export class Watch {
	readonly log: Log = {};

	#lines(label: string): string[] {
		this.log[label] ??= [];
		return this.log[label];
	}

	note(label: string, text: string): void {
		this.#lines(label).push(text);
	}

	#data(label: string, bytes: number): void {
		const lines = this.#lines(label);
		const last = lines.at(-1);
		const before = last?.startsWith("data ") ? Number(last.slice(5)) : null;
		if (before === null) lines.push(`data ${bytes}`);
		else lines[lines.length - 1] = `data ${before + bytes}`;
	}

	socket<T extends net.Socket>(label: string, socket: T, options: { data?: boolean } = {}): T {
		for (const event of ["connect", "ready", "end", "finish", "timeout", "drain", "connectionAttempt", "connectionAttemptFailed"]) {
			socket.on(event, () => this.note(label, `${event} ${socket.readyState}${socket.pending ? " pending" : ""}`));
		}
		socket.on("lookup", (error, _address, family) =>
			this.note(label, `lookup ${(error as NodeJS.ErrnoException | null)?.code ?? ""} ${family}`),
		);
		socket.on("error", (error) => this.note(label, describe(error)));
		socket.on("close", (hadError) => {
			this.note(label, `close ${hadError} ${socket.readyState} read ${socket.bytesRead} written ${socket.bytesWritten}`);
		});
		if (options.data !== false) socket.on("data", (chunk) => this.#data(label, chunk.length));
		return socket;
	}

	server<T extends net.Server>(label: string, server: T): T {
		server.on("listening", () => this.note(label, `listening ${server.listening}`));
		server.on("connection", () => this.note(label, "connection"));
		server.on("close", () => this.note(label, `close ${server.listening}`));
		server.on("error", (error) => this.note(label, describe(error)));
		server.on("drop", (data) => this.note(label, `drop ${data?.localFamily} ${data?.remoteAddress}`));
		return server;
	}
}

/** Everything that an error says, without port numbers that were chosen at random. */
export function describe(error: unknown): string {
	const e = error as NodeJS.ErrnoException & {
		address?: string;
		port?: number;
		localAddress?: string;
		localPort?: number;
		errors?: unknown[];
	};
	const keys = Object.keys(e).filter((key) => key !== "errors");
	const fields = keys.map((key) => `${key}=${blur(String((e as unknown as Record<string, unknown>)[key]))}`);
	const inner = e.errors === undefined ? "" : ` [${e.errors.map(describe).join("; ")}]`;
	return `error ${e.name} ${blur(e.message)} ${fields.join(" ")}${inner}`;
}

function blur(text: string): string {
	return text.replace(/\b[1-9][0-9]{4}\b/g, "PORT");
}

export const once = (target: NodeJS.EventEmitter, event: string) =>
	new Promise<unknown[]>((resolve) => target.once(event, (...args) => resolve(args)));
/** Some time, and turns of the event loop after it: in a process that got no time, a timer comes before what was there to be read long ago. */
export async function later(ms: number): Promise<void> {
	await new Promise((resolve) => setTimeout(resolve, ms));
	for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve));
}
/** Waits until a socket has read so many bytes in all, and for what follows from it. */
export async function hasRead(socket: net.Socket, bytes: number): Promise<void> {
	while (socket.bytesRead < bytes) await later(1);
	await later(5);
}
/** Writes by one end of a connection and waits until the other has read it: what is written next comes as a chunk of its own. */
export function send(from: net.Socket, to: net.Socket, chunk: string | Uint8Array): Promise<void> {
	const all = to.bytesRead + Buffer.byteLength(chunk);
	from.write(chunk);
	return hasRead(to, all);
}
/** Time enough for what was written to a peer that does not read to be with it: also in a process that got little, for there are turns between. */
async function arrived(): Promise<void> {
	for (let times = 0; times < 10; times++) await later(5);
}
/** Waits until two logs are the same, for what comes last may still be on its way; gives up after seconds. */
export async function agree(one: Watch, other: Watch): Promise<void> {
	for (let tries = 0; tries < 1000 && !isDeepStrictEqual(one.log, other.log); tries++) await later(1);
}
const shut = async (server: net.Server) => {
	server.close();
	await once(server, "close");
};
export const closed = (...sockets: net.Socket[]) => Promise.all(sockets.map((socket) => (socket.closed ? null : once(socket, "close"))));

export async function listen(server: net.Server, ...args: unknown[]): Promise<number> {
	const ready = once(server, "listening");
	(server.listen as (...args: unknown[]) => void)(...(args.length > 0 ? args : [0, "127.0.0.1"]));
	await ready;
	return (server.address() as net.AddressInfo).port;
}

/** A server with one connection: both ends of it, watched. */
export async function pair(
	w: Watch,
	net: NetModule,
	serverOptions: net.ServerOpts = {},
	clientOptions: Partial<net.TcpNetConnectOpts> = {},
	data: { client?: boolean; server?: boolean } = {},
) {
	const server = w.server("listener", net.createServer(serverOptions));
	const port = await listen(server);
	const accepted = once(server, "connection");
	const client = w.socket("client", net.connect({ port, host: "127.0.0.1", ...clientOptions }), { data: data.client !== false });
	const [peer] = (await accepted) as [net.Socket];
	w.socket("server", peer, { data: data.server !== false });
	if (client.connecting) await once(client, "connect");
	server.close();
	return { client, peer, server, port };
}

/** A pair of which nothing is noted: how much a send buffer takes at once is each stack's own affair. */
export async function quietPair(net: NetModule, options: net.ServerOpts = {}): Promise<{ client: net.Socket; peer: net.Socket }> {
	const server = net.createServer(options);
	const port = await listen(server);
	const accepted = once(server, "connection");
	const client = net.connect(port, "127.0.0.1");
	const [peer] = (await accepted) as [net.Socket];
	for (const socket of [client, peer]) socket.on("error", () => {});
	server.close();
	return { client, peer };
}

type Scenario = (net: NetModule, w: Watch) => Promise<void>;

export const scenarios: Record<string, Scenario> = {
	"echo, then end": async (net, w) => {
		const { client, peer } = await pair(w, net);
		peer.on("data", (chunk) => peer.write(chunk));
		client.write("hello", () => w.note("client", "written"));
		await once(client, "data");
		client.end(() => w.note("client", "ended"));
		await closed(client, peer);
	},
	"a server hears of a connection before its client does, which may then close the server": async (net, w) => {
		const server = net.createServer((socket) => {
			w.note("order", "connection");
			socket.end("hello");
		});
		const port = await listen(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		client.on("connect", () => {
			w.note("order", "connect");
			server.getConnections((_error, count) => w.note("order", `${count} connections`));
			server.close();
		});
		await Promise.all([once(server, "close"), closed(client)]);
	},
	"a client that is destroyed when its server has heard of it": async (net, w) => {
		const server = w.server("listener", net.createServer());
		const port = await listen(server);
		const accepted = once(server, "connection");
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		const [peer] = (await accepted) as [net.Socket];
		w.socket("server", peer);
		client.destroy();
		await closed(client, peer);
		await shut(server);
	},
	"an end does not overtake what was written before it on another connection": async (net, w) => {
		const pairs = [await quietPair(net), await quietPair(net)] as const;
		const ended: Promise<unknown>[] = [];
		for (const [i, { peer, client }] of pairs.entries()) {
			peer.on("data", () => w.note("order", `data of ${i}`));
			peer.on("end", () => w.note("order", `end of ${i}`));
			client.resume();
			ended.push(closed(client, peer));
		}
		pairs[0].client.write("x");
		pairs[1].client.end();
		await once(pairs[1].peer, "end");
		pairs[0].client.end();
		await Promise.all(ended);
	},
	"the server ends first": async (net, w) => {
		const { client, peer } = await pair(w, net);
		peer.end("bye");
		await closed(client, peer);
	},
	"both end at once": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { client: false, server: false });
		client.end("a");
		peer.end("b");
		client.resume();
		peer.resume();
		await closed(client, peer);
	},
	"half open: the answer comes after the end of the question": async (net, w) => {
		const { client, peer } = await pair(w, net, { allowHalfOpen: true }, { allowHalfOpen: true });
		client.end("question");
		await once(peer, "end");
		w.note("server", peer.readyState);
		peer.write("an");
		await later(10);
		peer.end("swer");
		await closed(client, peer);
	},
	"half open on one side only: the other side ends by itself": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, { allowHalfOpen: true });
		client.end("question");
		await closed(client, peer);
	},
	"write after the other side ended": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.end();
		await once(peer, "end");
		peer.write("too late", (error) => w.note("server", `written ${error ? describe(error) : ""}`));
		await closed(client, peer);
	},
	"destroy, with nothing under way": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.destroy();
		w.note("client", `${client.destroyed} ${client.readyState}`);
		await closed(client, peer);
	},
	"destroy with an error": async (net, w) => {
		const { client, peer } = await pair(w, net);
		peer.destroy(new Error("enough"));
		await closed(client, peer);
	},
	"destroy with unread data resets": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.write("unread");
		await later(20);
		peer.destroy();
		await closed(client, peer);
	},
	resetAndDestroy: async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.resetAndDestroy();
		await closed(client, peer);
	},
	"resetAndDestroy by the server": async (net, w) => {
		const { client, peer } = await pair(w, net);
		peer.resetAndDestroy();
		await closed(client, peer);
	},
	"resetAndDestroy before the connection": async (net, w) => {
		const server = net.createServer((socket) => socket.on("error", () => {}));
		const port = await listen(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		client.resetAndDestroy();
		await closed(client);
		await shut(server);
	},
	"write on a connection that was reset while paused": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { client: false });
		client.pause();
		client.on("readable", () => {});
		client.removeAllListeners("readable");
		peer.resetAndDestroy();
		await later(30);
		client.write("a", (error) => w.note("client", `written ${error ? describe(error) : ""}`));
		await closed(client, peer);
		await later(5);
	},
	"write on a connection that was reset while nobody read": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.resetAndDestroy();
		await later(30);
		w.note("server", peer.readyState);
		peer.write("a", (error) => w.note("server", `written ${error ? describe(error) : ""}`));
		await closed(client, peer);
	},
	"what the count of written bytes makes of writes that fail at once": async (net, w) => {
		const writes: Record<string, (socket: net.Socket) => void> = {
			bytes: (socket) => socket.write(Buffer.alloc(10)),
			"bytes and an end": (socket) => socket.end(Buffer.alloc(10)),
			text: (socket) => socket.write("short"),
			"text, latin1": (socket) => socket.write("x".repeat(16384), "latin1"),
			"text, longer": (socket) => socket.write("x".repeat(16385), "latin1"),
			"text that may have three bytes a character": (socket) => socket.write("x".repeat(5462)),
			"text that has them": (socket) => socket.write("\u20ac".repeat(5461)),
			"text, two bytes a character": (socket) => socket.write("x".repeat(8193), "utf16le"),
			several(socket) {
				socket.cork();
				socket.write(Buffer.alloc(10));
				socket.write("text");
				socket.uncork();
			},
		};
		for (const [what, write] of Object.entries(writes)) {
			const { client, peer } = await quietPair(net, { pauseOnConnect: true });
			client.resetAndDestroy();
			await later(30);
			peer.on("error", (error: NodeJS.ErrnoException) => w.note("server", `${what}: ${error.code} ${error.syscall}`));
			write(peer);
			await closed(client, peer);
			w.note("server", `${peer.bytesWritten} bytes`);
		}
	},
	"read from a connection that was reset while nobody read": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.resetAndDestroy();
		await later(30);
		peer.resume();
		await closed(client, peer);
	},
	"bytes that came before a reset, read after it": async (net, w) => {
		const { client, peer } = await quietPair(net, { pauseOnConnect: true });
		client.write(Buffer.alloc(60_000));
		await arrived();
		client.resetAndDestroy();
		await once(client, "close");
		await later(30);
		let got = 0;
		peer.on("data", (chunk) => {
			got += chunk.length;
		});
		peer.resume();
		await closed(peer);
		// Not how it ended: libuv before 1.49 takes the reset for an end of file, if bytes came with it.
		w.note("server", `${got} bytes, destroyed ${peer.destroyed}`);
	},
	"bytes that came before a reset, read piece by piece": async (net, w) => {
		const { client, peer } = await quietPair(net, { pauseOnConnect: true });
		client.write(Buffer.alloc(60_000));
		await arrived();
		client.resetAndDestroy();
		await once(client, "close");
		await later(30);
		let got = 0;
		peer.on("readable", () => {
			for (let chunk = peer.read(1000); chunk !== null; chunk = peer.read(1000)) got += chunk.length;
		});
		await closed(peer);
		w.note("server", `${got} bytes`);
	},
	"several writes, and then the end of the connection by the same side in the same turn": async (net, w) => {
		const ends: ((socket: net.Socket) => unknown)[] = [
			(socket) => socket.destroy(),
			(socket) => socket.end().destroy(),
			(socket) => socket.resetAndDestroy(),
		];
		for (const [how, end] of ends.entries()) {
			for (const who of ["client", "server"] as const) {
				const { client, peer } = await quietPair(net, { noDelay: true });
				client.setNoDelay(true);
				await later(10);
				const [from, to] = who === "client" ? [client, peer] : [peer, client];
				let got = "";
				to.on("data", (chunk) => {
					got += chunk;
				});
				to.on("error", () => {});
				for (const data of ["a", Buffer.from("b"), "\u00e9", "d"]) {
					from.write(data, "latin1");
					w.note(who, `${from.bytesWritten} ${from.writableLength}`);
				}
				from.cork();
				from.write("e");
				from.write(Buffer.from("f"));
				from.uncork();
				w.note(who, `${from.bytesWritten} ${from.writableLength}`);
				end(from);
				await closed(client, peer);
				w.note(who, `${how}: ${got}, of ${from.bytesWritten}`);
			}
		}
	},
	"bytes that were written right before a reset": async (net, w) => {
		for (const who of ["client", "server"] as const) {
			const { client, peer } = await quietPair(net, { noDelay: true });
			client.setNoDelay(true);
			await later(10);
			const [from, to] = who === "client" ? [client, peer] : [peer, client];
			let got = 0;
			to.on("data", (chunk) => {
				got += chunk.length;
			});
			to.on("error", () => {});
			from.write(Buffer.alloc(5000));
			from.resetAndDestroy();
			await closed(client, peer);
			w.note(who, `${got} bytes`);
		}
	},
	"bytes that were written right before a reset, for a reader that waits by promises": async (net, w) => {
		for (const who of ["client", "server"] as const) {
			const { client, peer } = await quietPair(net, { noDelay: true });
			client.setNoDelay(true);
			await later(10);
			const [from, to] = who === "client" ? [client, peer] : [peer, client];
			let got = 0;
			const reading = (async () => {
				for await (const chunk of to) got += chunk.length;
			})().catch(() => {});
			await later(10);
			from.write(Buffer.alloc(5000));
			from.resetAndDestroy();
			await closed(client, peer);
			await reading;
			w.note(who, `${got} bytes`);
		}
	},
	"an answer that was written right before a socket with unread data is destroyed": async (net, w) => {
		const { client, peer } = await quietPair(net, { noDelay: true, pauseOnConnect: true });
		let got = 0;
		client.on("data", (chunk) => {
			got += chunk.length;
		});
		client.on("error", () => {});
		client.write("a question that nobody reads");
		await later(50);
		peer.write(Buffer.alloc(5000));
		peer.destroy();
		await closed(client, peer);
		w.note("client", `${got} bytes`);
	},
	"bytes and an end that came before a reset, read after it": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { client: false, server: false });
		client.end(Buffer.alloc(60_000));
		await arrived();
		client.resetAndDestroy();
		await closed(client);
		await later(30);
		peer.resume();
		await closed(peer);
	},
	"a write on a connection that was reset before its bytes were read": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.write("unread");
		await arrived();
		client.resetAndDestroy();
		await closed(client);
		await later(30);
		peer.write("a", (error) => w.note("server", `written ${error ? describe(error) : ""}`));
		await closed(peer);
	},
	"bytes that came before a reset, of which the first were read before it": async (net, w) => {
		const { client, peer } = await quietPair(net);
		let got = 0;
		peer.on("data", (chunk) => {
			if (got === 0) peer.pause();
			got += chunk.length;
		});
		await send(client, peer, "first");
		client.write(Buffer.alloc(60_000));
		await arrived();
		client.resetAndDestroy();
		await once(client, "close");
		await later(30);
		w.note("server", `${got} bytes`);
		peer.resume();
		await closed(peer);
		w.note("server", `${got} bytes`);
	},
	"end on a connection that was reset while nobody read": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.resetAndDestroy();
		await later(30);
		peer.end();
		await later(10);
		w.note("server", peer.readyState);
		peer.destroy();
		await closed(client, peer);
	},
	"reset by the peer after its end": async (net, w) => {
		const { client, peer } = await pair(w, net, { allowHalfOpen: true }, { allowHalfOpen: true });
		client.end();
		await once(peer, "end");
		await later(5);
		client.destroy();
		await later(20);
		for (let i = 0; i < 3 && !peer.destroyed; i++) {
			peer.write("x", (error) => w.note("server", `written ${error ? describe(error) : ""}`));
			await later(20);
		}
		await closed(client, peer);
	},
	"write after destroy": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.destroy();
		client.write("x", (error) => w.note("client", `written ${error ? describe(error) : ""}`));
		await closed(client, peer);
	},
	"destroySoon sends what was written": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.write(Buffer.alloc(300_000));
		client.destroySoon();
		await closed(client, peer);
	},
	refused: async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		await shut(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		await closed(client);
	},
	"refused, with a local address and port": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		await shut(server);
		const client = w.socket("client", net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.1", localPort: 20123 }));
		await closed(client);
	},
	"from a local address that is not ours": async (net, w) => {
		for (const options of [
			{ localAddress: "192.0.2.77" },
			{ localAddress: "192.0.2.77", localPort: 20125 },
			{ localAddress: "192.0.2.77", port: 0 },
			{ localAddress: "::1" },
		]) {
			const client = net.connect({ host: "127.0.0.1", port: 20126, ...options });
			client.on("error", (error) => w.note("client", describe(error)));
			await closed(client);
		}
	},
	"from a local port that is in use towards the same peer": async (net, w) => {
		const { client, peer, port } = await pair(w, net, {}, { localAddress: "127.0.0.1", localPort: 20127 });
		const other = w.socket("other", net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.1", localPort: 20127 }));
		await closed(other);
		client.resetAndDestroy();
		await closed(client, peer);
	},
	"port 0": async (net, w) => {
		for (const host of ["127.0.0.1", "localhost"]) {
			const client = w.socket("client", net.connect({ host, port: 0, family: 4 }));
			await closed(client);
		}
	},
	"connect while connecting": async (net, w) => {
		const server = net.createServer((socket) => socket.on("error", () => {}));
		const port = await listen(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		client.connect(port, "127.0.0.1");
		await closed(client);
		await shut(server);
	},
	"connected from a local port": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, { localAddress: "127.0.0.1", localPort: 20124 });
		w.note("server", `${peer.remotePort} ${peer.remoteAddress} ${peer.remoteFamily}`);
		w.note("client", `${client.localPort} ${client.localAddress} ${client.localFamily}`);
		peer.resetAndDestroy();
		await closed(client, peer);
	},
	"by name": async (net, w) => {
		const server = w.server(
			"listener",
			net.createServer((socket) => socket.end("hello")),
		);
		const port = await listen(server);
		const lookup = (_name: string, options: { all?: boolean }, callback: (...args: unknown[]) => void) =>
			process.nextTick(() => (options.all ? callback(null, [{ address: "127.0.0.1", family: 4 }]) : callback(null, "127.0.0.1", 4)));
		const client = w.socket("client", net.connect({ port, host: "example.test", lookup: lookup as net.LookupFunction }));
		await closed(client);
		await shut(server);
	},
	"by name, several addresses of which the second answers": async (net, w) => {
		const server = w.server(
			"listener",
			net.createServer((socket) => socket.end("hello")),
		);
		const port = await listen(server, 0, "127.0.0.2");
		const addresses = [
			{ address: "127.0.0.3", family: 4 },
			{ address: "127.0.0.2", family: 4 },
		];
		const lookup = (_name: string, _options: unknown, callback: (...args: unknown[]) => void) =>
			process.nextTick(callback, null, addresses);
		const client = w.socket(
			"client",
			net.connect({ port, host: "example.test", lookup: lookup as net.LookupFunction, autoSelectFamily: true }),
		);
		await closed(client);
		w.note("client", `attempted ${client.autoSelectFamilyAttemptedAddresses?.length} ${typeof client.resetAndDestroy}`);
		await shut(server);
	},
	"by name, several addresses of which none answers": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		await shut(server);
		const addresses = [
			{ address: "127.0.0.3", family: 4 },
			{ address: "127.0.0.2", family: 4 },
		];
		const lookup = (_name: string, _options: unknown, callback: (...args: unknown[]) => void) =>
			process.nextTick(callback, null, addresses);
		const client = w.socket(
			"client",
			net.connect({ port, host: "example.test", lookup: lookup as net.LookupFunction, autoSelectFamily: true }),
		);
		await closed(client);
	},
	"a name that does not resolve": async (net, w) => {
		const lookup = (_name: string, _options: unknown, callback: (...args: unknown[]) => void) =>
			process.nextTick(callback, Object.assign(new Error("getaddrinfo ENOTFOUND x"), { code: "ENOTFOUND" }));
		await closed(w.socket("client", net.connect({ port: 1, host: "x", lookup: lookup as net.LookupFunction })));
	},
	"destroy while connecting": async (net, w) => {
		const server = net.createServer((socket) => socket.on("error", () => {}));
		const port = await listen(server);
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		await new Promise((resolve) => process.nextTick(resolve));
		w.note("client", `${client.connecting} ${client.readyState}`);
		client.destroy();
		w.note("client", `${client.connecting} ${client.readyState}`);
		await closed(client);
		await shut(server);
	},
	"write and end before the connection": async (net, w) => {
		const server = w.server(
			"listener",
			net.createServer((socket) => w.socket("server", socket)),
		);
		const port = await listen(server);
		const client = w.socket("client", new net.Socket());
		client.connect(port, "127.0.0.1");
		client.write("one", () => w.note("callbacks", "written"));
		w.note("client", `${client.bytesWritten} ${client.bufferSize} ${client.pending} ${client.connecting}`);
		client.end("two", () => w.note("client", "ended"));
		await closed(client);
		await shut(server);
	},
	"a socket used twice": async (net, w) => {
		const server = net.createServer((socket) => socket.end("hello"));
		const port = await listen(server);
		const client = w.socket("client", new net.Socket());
		for (let i = 0; i < 2; i++) {
			client.connect(port, "127.0.0.1");
			await once(client, "connect");
			w.note("client", `${client.remoteAddress} ${client.remotePort === port} ${client.bytesRead}`);
			await once(client, "close");
		}
		await shut(server);
	},
	"large transfer with a slow reader": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { server: false });
		const chunk = Buffer.alloc(100_000, 7);
		let written = 0;
		const pump = () => {
			while (written < 40) {
				written++;
				if (!client.write(chunk)) return client.once("drain", pump);
			}
			client.end();
		};
		pump();
		client.removeAllListeners("drain");
		client.on("drain", pump);
		await later(20);
		w.note("client", `blocked ${client.writableNeedDrain}`);
		let read = 0;
		for await (const part of peer) {
			for (const byte of part) if (byte !== 7) throw new Error("bytes differ");
			read += part.length;
			if (read % 7 === 0) await later(1);
		}
		w.note("server", `read ${read} ${peer.bytesRead}`);
		await closed(client, peer);
	},
	"pause and resume": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { server: false });
		peer.on("data", () => {});
		peer.pause();
		client.write(Buffer.alloc(1000));
		await later(20);
		w.note("server", `paused ${peer.isPaused()}`);
		peer.resume();
		await once(peer, "data");
		w.note("server", `resumed ${peer.bytesRead}`);
		peer.pause();
		client.end();
		await later(20);
		w.note("server", "still no end");
		peer.resume();
		await closed(client, peer);
	},
	pauseOnConnect: async (net, w) => {
		const server = net.createServer({ pauseOnConnect: true });
		const port = await listen(server);
		const accepted = once(server, "connection");
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		client.end("hello");
		const [peer] = (await accepted) as [net.Socket];
		await later(20);
		w.note("server", `${peer.bytesRead} ${peer.isPaused()}`);
		w.socket("server", peer);
		peer.resume();
		await closed(client, peer);
		await shut(server);
	},
	timeout: async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.setTimeout(30, () => w.note("client", "called back"));
		await once(client, "timeout");
		w.note("client", `${client.timeout}`);
		client.setTimeout(0);
		client.end();
		await closed(client, peer);
	},
	"timeout of a write that nobody reads": async (net, w) => {
		const { client, peer } = await pair(w, net, { pauseOnConnect: true }, {}, { server: false });
		client.write(Buffer.alloc(20_000_000));
		client.setTimeout(100);
		await once(client, "timeout");
		client.destroy();
		peer.destroy();
		await closed(client, peer);
		await later(5);
	},
	options: async (net, w) => {
		const { client, peer } = await pair(
			w,
			net,
			{ noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 },
			{ noDelay: true, keepAlive: true },
		);
		w.note("client", `${client.setNoDelay() === client} ${client.setKeepAlive(true, 1000) === client} ${client.ref() === client}`);
		w.note("server", `${peer.setNoDelay(false) === peer} ${JSON.stringify(Object.keys(peer.address()))}`);
		client.end();
		await closed(client, peer);
	},
	"a buffer of the user": async (net, w) => {
		const server = net.createServer((socket) => socket.end(Buffer.alloc(1000, 3)));
		const port = await listen(server);
		const buffer = Buffer.alloc(64);
		let largest = 0;
		let total = 0;
		let pauses = 0;
		const client: net.Socket = w.socket(
			"client",
			net.connect({
				port,
				host: "127.0.0.1",
				onread: {
					buffer,
					callback(length, bytes) {
						largest = Math.max(largest, length);
						total += length;
						if (bytes !== buffer) w.note("client", "another buffer");
						if (total < 640) return true;
						pauses++;
						setTimeout(() => client.resume(), 1);
						return false;
					},
				},
			}),
			{ data: false },
		);
		await closed(client);
		w.note("client", `${total} in parts of ${largest}, ${pauses} pauses`);
		await shut(server);
	},
	"a buffer of the user, made anew each time": async (net, w) => {
		const server = net.createServer((socket) => socket.end(Buffer.alloc(1000, 3)));
		const port = await listen(server);
		const sizes: number[] = [];
		let made = 0;
		const client = w.socket(
			"client",
			net.connect({
				port,
				host: "127.0.0.1",
				onread: {
					buffer: () => Buffer.alloc(++made % 2 === 0 ? 50 : 150),
					callback(length) {
						sizes.push(length);
						return true;
					},
				},
			}),
			{ data: false },
		);
		await closed(client);
		w.note("client", sizes.join(" "));
		await shut(server);
	},
	"abort by signal": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {});
		const controller = new AbortController();
		const other = w.socket("other", new net.Socket({ signal: controller.signal }));
		controller.abort();
		await closed(other);
		client.end();
		await closed(client, peer);
	},
	"a server closed by signal": async (net, w) => {
		const controller = new AbortController();
		const server = w.server("listener", net.createServer());
		server.listen({ port: 0, host: "127.0.0.1", signal: controller.signal });
		await once(server, "listening");
		controller.abort();
		await once(server, "close");
	},
	"server.close waits for connections": async (net, w) => {
		const server = w.server("listener", net.createServer());
		const port = await listen(server);
		const accepted = once(server, "connection");
		const client = w.socket("client", net.connect(port, "127.0.0.1"));
		const [peer] = (await accepted) as [net.Socket];
		w.socket("server", peer);
		server.close((error) => w.note("listener", `called back ${error ? describe(error) : ""}`));
		w.note("listener", `${server.listening} ${server.address()}`);
		await later(20);
		const counted = await new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
		w.note("listener", `connections ${counted}`);
		client.end();
		await once(server, "close");
		server.close((error) => w.note("listener", `again ${error ? describe(error) : ""}`));
		await later(5);
	},
	maxConnections: async (net, w) => {
		const server = w.server("listener", net.createServer());
		server.maxConnections = 1;
		const port = await listen(server);
		const accepted = once(server, "connection");
		const first = w.socket("first", net.connect(port, "127.0.0.1"));
		const [peer] = (await accepted) as [net.Socket];
		const second = w.socket("second", net.connect(port, "127.0.0.1"));
		await closed(second);
		first.end();
		peer.resume();
		await closed(first);
		await shut(server);
	},
	"a backlog of 0, below it, and that is no whole number": async (net, w) => {
		for (const backlog of [0, -1, 1.5, "5", Number.NaN, Number.POSITIVE_INFINITY] as number[]) {
			const server = w.server("listener", net.createServer());
			server.listen({ port: 0, host: "127.0.0.1", backlog });
			await Promise.race([once(server, "listening"), once(server, "error")]);
			await shut(server);
		}
	},
	"the port is in use": async (net, w) => {
		const server = net.createServer();
		const port = await listen(server);
		const other = w.server("listener", net.createServer());
		other.listen(port, "127.0.0.1");
		await once(other, "error");
		w.note("listener", `${other.listening} ${other.address()}`);
		await shut(server);
		await listen(other, port, "127.0.0.1");
		other.close();
		await once(other, "close");
	},
	"the address is not ours": async (net, w) => {
		const server = w.server("listener", net.createServer());
		server.listen(8123, "192.0.2.1");
		await once(server, "error");
	},
	"listening twice": async (net, w) => {
		const server = w.server("listener", net.createServer());
		await listen(server);
		try {
			server.listen(0);
		} catch (error) {
			w.note("listener", describe(error));
		}
		await shut(server);
	},
	"bad arguments": async (net, w) => {
		for (const args of [
			[],
			[{}],
			[{ port: -1 }],
			[{ port: "x" }],
			[{ port: 70000 }],
			[{ port: 1, localAddress: "x" }],
			[{ port: 1, host: "127.0.0.1", localPort: "x" }],
		]) {
			const socket = new net.Socket();
			socket.on("error", (error) => w.note("connect", `late ${describe(error)}`));
			try {
				(socket.connect as (...args: unknown[]) => void)(...args);
			} catch (error) {
				w.note("connect", describe(error));
			}
			socket.destroy();
		}
	},
	"context of AsyncLocalStorage": async (net, w) => {
		const storage = new AsyncLocalStorage<string>();
		const server = storage.run("listen", () => net.createServer());
		server.on("connection", (socket) => {
			w.note("server", `connection ${storage.getStore()}`);
			socket.on("data", () => w.note("server", `data ${storage.getStore()}`));
			socket.on("end", () => w.note("server", `end ${storage.getStore()}`));
		});
		const port = await storage.run("listen", () => listen(server));
		const client = storage.run("connect", () => net.connect(port, "127.0.0.1"));
		client.on("connect", () => w.note("client", `connect ${storage.getStore()}`));
		await once(client, "connect");
		storage.run("write", () => client.write("x", () => w.note("client", `written ${storage.getStore()}`)));
		await later(20);
		client.end();
		client.resume();
		await closed(client);
		await shut(server);
	},
	"context of AsyncLocalStorage, where an accepted socket writes and ends": async (net, w) => {
		const storage = new AsyncLocalStorage<string>();
		const where = (what: string) => () => w.note("server", `${what} ${storage.getStore()}`);
		for (const end of ["at once", "late"]) {
			const server = net.createServer((socket) => {
				for (const event of ["finish", "end", "close"]) socket.on(event, where(event));
				if (end === "at once") {
					storage.run(end, () => socket.end("bye", where("ended")));
					socket.resume();
					return;
				}
				socket.once("data", () => {
					storage.run("write", () => socket.write("x", where("written")));
					socket.once("data", () => storage.run(end, () => socket.end("bye", where("ended"))));
				});
			});
			const port = await listen(server);
			const client = net.connect(port, "127.0.0.1");
			client.write("a");
			client.once("data", () => client.write("b"));
			await closed(client.resume());
			await shut(server);
		}
	},
	"cork and uncork": async (net, w) => {
		const { client, peer } = await pair(w, net);
		client.cork();
		for (const part of ["a", Buffer.from("b"), "ü"]) client.write(part, () => w.note("client", "written"));
		client.write("c2fyZQ==", "base64");
		client.write("16", "utf16le");
		client.write("ÿ", "latin1");
		w.note("client", `${client.bytesWritten}`);
		client.uncork();
		client.end();
		await closed(client, peer);
	},
	"async iteration": async (net, w) => {
		const { client, peer } = await pair(w, net, {}, {}, { server: false });
		client.end("hello");
		let text = "";
		peer.setEncoding("utf8");
		for await (const part of peer) text += part;
		w.note("server", text);
		await closed(client, peer);
	},
	"a chunk at a time by promises": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const bytes = 300_000;
		client.write(Buffer.alloc(bytes, "x"));
		let got = 0;
		// Between two chunks promises run, so that no chunk finds nobody.
		while (got < bytes) got += ((await once(peer, "data")) as [Buffer])[0].length;
		w.note("server", `${got} bytes`);
		client.destroy();
		peer.destroy();
	},
	"an exception in a handler does not hold back the rest": async (net, w) => {
		const { client, peer } = await quietPair(net);
		const listeners = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
		process.removeAllListeners("uncaughtException");
		const uncaught = new Promise<Error>((resolve) => process.once("uncaughtException", resolve));
		const bytes = 300_000;
		let got = 0;
		const all = new Promise<void>((resolve) => {
			peer.on("data", (chunk: Buffer) => {
				const first = got === 0;
				got += chunk.length;
				if (got === bytes) resolve();
				if (first) throw new Error("mine");
			});
		});
		client.write(Buffer.alloc(bytes, "x"));
		w.note("process", (await uncaught).message);
		for (const listener of listeners) process.on("uncaughtException", listener);
		await all;
		w.note("server", `${got} bytes`);
		client.destroy();
		peer.destroy();
	},
	"a connection handler's promises run before its first bytes": async (net, w) => {
		let session: string | undefined;
		const server = net.createServer(async (socket) => {
			socket.on("error", () => {});
			socket.on("data", (chunk) => {
				w.note("server", `${session} ${chunk}`);
				socket.end();
			});
			session = await Promise.resolve("session");
		});
		const port = await listen(server);
		const client = net.connect(port, "127.0.0.1");
		client.on("error", () => {}).resume();
		client.write("a");
		await once(client, "close");
		server.close();
	},
	"an exception in a handler leaves the others alone": async (net, w) => {
		const { client, peer } = await pair(w, net);
		// The test runner's own listeners would take it for a failure.
		const listeners = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
		process.removeAllListeners("uncaughtException");
		const uncaught = new Promise<Error>((resolve) => process.once("uncaughtException", resolve));
		peer.once("data", () => {
			throw new Error("mine");
		});
		client.write("a");
		w.note("process", (await uncaught).message);
		for (const listener of listeners) process.on("uncaughtException", listener);
		client.write("b");
		await later(20);
		client.end();
		await closed(client, peer);
	},
};
