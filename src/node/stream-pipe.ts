/**
 * The far end of a stream link, opened: sockets of this machine's kernel as pipes.
 *
 * Hides that everything about them takes time, while a link is open at once. A pipe begins when the link starts it; what is sent
 * before the far end was reached waits in the socket, and `ready` settles when it was, or fails with one line to say. Frames
 * always go by kernel sockets, also where the program's own `net` is on the stack.
 *
 * A pipe that listens has one peer at a time. Further ones are turned away; when the peer leaves, the next may come: a virtual machine
 * that starts again finds its network as it was. The next may be heard of before the end of the one that has left, so one waits for a moment before it
 * is turned away. A pipe that connects does so once.
 */
import { createSocket } from "node:dgram";
import { existsSync, lstatSync, unlinkSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname } from "node:path";
import { MillraceError } from "../errors.ts";
import type { Pipe, PipeEvents } from "../link/pipe.ts";
import { KernelServer, KernelSocket } from "../link/user-kernel.ts";
import { clearTimeout, setTimeout } from "../sys/timers.ts";
import { datagramPipe, socketPipe } from "./pipe.ts";
import type { Endpoint, StreamEnd } from "./stream-end.ts";

/** Tells a person what happens on the pipe, a line each. */
export type Say = (text: string) => void;

/** A pipe, and when it can be relied on. */
export interface OpenedEnd {
	readonly pipe: Pipe;
	readonly framing: "length" | "message";
	/** For people: "listening at unix:vm.sock". */
	readonly description: string;
	/** Settles when the far end was reached, or can come; rejects with a MillraceError that has the operating system's code. */
	readonly ready: Promise<void>;
}

type Where = { path: string } | Endpoint;

/** Milliseconds of silence after which a peer is asked whether it is there. */
const KEEP_ALIVE = 10_000;
/** Milliseconds that a second peer waits for the first to leave: it has, mostly, and its end is heard in the same turn of the event loop or the next. */
const PATIENCE = 100;
/** Of the field in front of a frame. */
const LENGTH_BYTES = 4;

/** Makes the pipe of a far end; nothing is opened before the link is. */
export function openStreamEnd(end: StreamEnd, say: Say): OpenedEnd {
	switch (end.how) {
		case "connect":
			return connecting(end);
		case "listen":
			return listening(end, say);
		case "datagrams":
			return datagrams(end.local, end.peer);
	}
}

const nameOf = (where: Where): string => ("path" in where ? `unix:${where.path}` : `tcp:${endpointName(where)}`);
const endpointName = ({ host, port }: Endpoint): string => `${host.includes(":") ? `[${host}]` : host}:${port}`;
/** What `connect` and `listen` of Node take. */
const target = (where: Where) => ("path" in where ? { path: where.path } : { host: where.host, port: where.port });

function connecting(where: Where): OpenedEnd {
	const socket = new KernelSocket();
	socket.setNoDelay(true);
	const ready = new Promise<void>((resolve, reject) => {
		socket.once("connect", resolve);
		socket.once("error", (cause: NodeJS.ErrnoException) => reject(notReached(where, cause)));
	});
	const pipe = socketPipe(socket);
	const { start } = pipe;
	pipe.start = (events) => {
		start(events);
		socket.connect(target(where));
	};
	return { pipe, framing: "length", description: `connected to ${nameOf(where)}`, ready };
}

function notReached(where: Where, cause: NodeJS.ErrnoException): MillraceError {
	const { code = "EIO", errno } = cause;
	const reasons: Record<string, string> = {
		ENOENT: "there is no such socket",
		ECONNREFUSED: "nobody listens there",
		EACCES: "permission denied",
		ENOTFOUND: "there is no host of that name",
	};
	const remedy = "Start the other side first, or wait for it: stream:listen:...";
	return new MillraceError(code, `cannot connect to ${nameOf(where)}: ${reasons[code] ?? code}. ${remedy}`, {
		cause,
		...(errno === undefined ? {} : { errno }),
	});
}

/** A server of which one connection at a time is the pipe. */
class ListeningPipe implements Pipe {
	readonly #server = new KernelServer();
	readonly #where: Where;
	readonly #say: Say;
	/** Peers that were sent away because of their framing. */
	#rejected = 0;
	#peer: Socket | null = null;
	/** Who came while the peer was there. */
	#next: Socket | null = null;
	/** Makes it the peer. */
	#admit: () => void = () => {};
	#events: PipeEvents | null = null;
	#referenced = true;
	#turnedAway = false;
	/** See OpenedEnd. */
	readonly ready: Promise<void>;

	constructor(where: Where, say: Say) {
		this.#where = where;
		this.#say = say;
		let removed = false;
		this.ready = new Promise<void>((resolve, reject) => {
			this.#server.once("listening", resolve);
			this.#server.on("error", (cause: NodeJS.ErrnoException) => {
				if (removed || cause.code !== "EADDRINUSE" || !("path" in where)) return reject(cannotListen(where, cause));
				removed = true;
				removeStale(where.path).then(
					() => this.#events !== null && this.#server.listen(target(where)),
					(error: NodeJS.ErrnoException) =>
						reject(cannotListen(where, error.syscall === "unlink" || error.code === "ENOTSOCK" ? error : cause)),
				);
			});
		});
		this.#server.on("connection", (socket) => this.#join(socket));
	}

	start(events: PipeEvents): void {
		this.#events = events;
		this.#server.listen(target(this.#where));
	}

	get connected(): boolean {
		return this.#peer !== null;
	}

	get pending(): number {
		return this.#peer?.writableLength ?? 0;
	}

	write(bytes: Uint8Array): void {
		this.#peer?.write(bytes);
	}

	reject(): void {
		// Who tries again and again is said at the first, tenth, hundredth time.
		const count = ++this.#rejected;
		const times = count === 1 ? "" : `, the ${count}th`;
		if (/^10*$/.test(String(count)))
			this.#say(`the peer at ${nameOf(this.#where)} does not put 4-byte lengths in front of frames, and was turned away${times}`);
		this.#leave();
	}

	ref(): void {
		this.#referenced = true;
		this.#server.ref();
		this.#peer?.ref();
	}

	unref(): void {
		this.#referenced = false;
		this.#server.unref();
		this.#peer?.unref();
	}

	close(): void {
		this.#events = null;
		this.#server.close();
		this.#next?.destroy();
		this.#leave();
	}

	#join(socket: Socket): void {
		if (this.#events === null) {
			socket.destroy();
			return;
		}
		if (this.#peer !== null) {
			this.#wait(socket);
			return;
		}
		this.#peer = socket;
		socket.setNoDelay(true);
		// A machine that vanished sends no FIN, and would keep the place of the next peer.
		socket.setKeepAlive(true, KEEP_ALIVE);
		if (!this.#referenced) socket.unref();
		let arrived = 0;
		let said = false;
		const joined = (): void => {
			said = true;
			this.#say(`a peer has joined at ${nameOf(this.#where)}`);
		};
		// After one that was turned away, only a peer that has begun a frame is worth a line.
		if (this.#rejected === 0) joined();
		socketPipe(socket).start({
			arrived: (bytes) => {
				if (this.#peer !== socket) return;
				this.#events?.arrived(bytes);
				arrived += bytes.length;
				if (!said && arrived > LENGTH_BYTES && this.#peer === socket) joined();
			},
			restarted() {},
			closed: () => {
				if (this.#peer !== socket) return;
				this.#leave();
				if (said) this.#say(`the peer at ${nameOf(this.#where)} has left; the next one may come`);
			},
		});
	}

	#wait(socket: Socket): void {
		if (this.#next !== null) {
			this.#turnAway(socket);
			return;
		}
		this.#next = socket;
		const over = setTimeout(() => this.#turnAway(socket), PATIENCE);
		if (!this.#referenced) {
			over.unref();
			socket.unref();
		}
		socket.on("error", () => {});
		socket.once("close", () => {
			clearTimeout(over);
			if (this.#next === socket) this.#next = null;
		});
		this.#admit = () => {
			clearTimeout(over);
			this.#next = null;
			this.#join(socket);
		};
	}

	#turnAway(socket: Socket): void {
		socket.destroy();
		if (!this.#turnedAway) this.#say(`a second peer at ${nameOf(this.#where)} was turned away: a link has one`);
		this.#turnedAway = true;
	}

	#leave(): void {
		const peer = this.#peer;
		this.#peer = null;
		this.#turnedAway = false;
		peer?.destroy();
		this.#events?.restarted();
		if (this.#next !== null && this.#events !== null) this.#admit();
	}
}

function listening(where: Where, say: Say): OpenedEnd {
	const pipe = new ListeningPipe(where, say);
	return { pipe, framing: "length", description: `listening at ${nameOf(where)}`, ready: pipe.ready };
}

/** Removes a socket that a process left behind which is gone; rejects if somebody answers there, or it is no socket. */
function removeStale(path: string): Promise<void> {
	return new Promise((resolve, reject) => {
		if (!lstatSync(path).isSocket()) return reject(Object.assign(new Error("not a socket"), { code: "ENOTSOCK" }));
		const probe = new KernelSocket();
		probe.once("connect", () => {
			probe.destroy();
			reject(new Error("in use"));
		});
		probe.once("error", (error: NodeJS.ErrnoException) => {
			if (error.code !== "ECONNREFUSED") return reject(error);
			try {
				unlinkSync(path);
				resolve();
			} catch (error) {
				reject(error);
			}
		});
		probe.connect({ path });
	});
}

function cannotListen(where: Where | Endpoint, cause: NodeJS.ErrnoException, name = nameOf(where)): MillraceError {
	const { code: given = "EIO", errno } = cause;
	// libuv reports the lack of a directory as that of a permission.
	const code = given === "EACCES" && "path" in where && !existsSync(dirname(where.path)) ? "ENOENT" : given;
	const reasons: Record<string, string> = {
		EADDRINUSE: "somebody has it already. Choose another",
		ENOTSOCK: "something is there that is no socket. Choose another",
		EADDRNOTAVAIL: "this machine does not have that address. Choose one of its own, or 127.0.0.1",
		EACCES: "permission denied. Choose one that you may use",
		EPERM: "permission denied. Choose one that you may use",
		EROFS: "the file system is read-only. Choose another",
		ENOENT: "there is no such directory. Make it first",
	};
	return new MillraceError(code, `cannot listen at ${name}: ${reasons[code] ?? code}`, {
		cause,
		...(errno === undefined ? {} : { errno }),
	});
}

function datagrams(local: Endpoint, peer: Endpoint): OpenedEnd {
	// Both ends are addresses. Node's own look-up takes a turn even so, and what is sent right before the end would never leave.
	const socket = createSocket({ type: "udp4", lookup: (address, _options, callback) => callback(null, address, 4) });
	const ready = new Promise<void>((resolve, reject) => {
		socket.once("listening", resolve);
		socket.once("error", (cause: NodeJS.ErrnoException) => reject(cannotListen(local, cause, `udp:${endpointName(local)}`)));
	});
	const pipe = datagramPipe(socket, { address: peer.host, port: peer.port });
	const { start } = pipe;
	pipe.start = (events) => {
		start(events);
		socket.bind(local.port, local.host);
	};
	return { pipe, framing: "message", description: `udp:${endpointName(local)} with ${endpointName(peer)}`, ready };
}
