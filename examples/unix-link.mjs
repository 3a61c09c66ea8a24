/**
 * A link of your own: Ethernet frames over a UNIX socket, each behind its length as 4 bytes, most significant first.
 *
 * That is the framing of QEMU, so this link also connects a virtual machine:
 *
 *     qemu-system-x86_64 ... -netdev stream,id=n0,server=off,addr.type=unix,addr.path=/tmp/vm.sock -device virtio-net,netdev=n0
 *
 * Run this file to see two hosts talk over such a socket: `node examples/unix-link.mjs`. In two processes:
 *
 *     node examples/unix-link.mjs serve /tmp/millrace.sock
 *     node examples/unix-link.mjs dial /tmp/millrace.sock
 *
 * What a link has to do is in the comments of the `Link` interface. Three things matter most: frames get the time at which they
 * arrived, not at which they were fetched; everything that waits is bounded, and what is dropped is counted; nothing throws but `open`.
 */
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createHost, MillraceError } from "millrace";

const ETHERNET_HEADER = 14;
/** `batch.add` puts a frame into one page, which takes 1986 bytes. */
const MTU_MAX = 1986 - ETHERNET_HEADER;
/** Frames that may wait for the stack, and bytes that may wait for the socket. */
const FRAMES_MAX = 1024;
const BYTES_MAX = 4 << 20;

/** One side listens on a path and serves one peer at a time, the other connects to it. */
export class UnixLink {
	medium = "ethernet";
	/** The stack's own hardware address: any of the locally administered ones. */
	mac = Uint8Array.of(2, ...randomBytes(5));
	#path;
	#listen;
	#context = null;
	#server = null;
	#socket = null;
	#referenced = false;
	#corked = false;
	/** Received frames: `{ bytes, time }`. */
	#frames = [];
	/** The beginning of a frame whose end has not come yet. */
	#rest = Buffer.alloc(0);
	#counters = {
		rxFrames: 0,
		rxBytes: 0,
		txFrames: 0,
		txBytes: 0,
		rxDropFull: 0,
		rxDropNoPage: 0,
		rxBroken: 0,
		txDropFull: 0,
		txDropNoPeer: 0,
		txDropSize: 0,
	};

	/** @param {{ path: string, listen?: boolean, mtu?: number }} options */
	constructor({ path, listen = false, mtu = 1500 }) {
		if (!(Number.isInteger(mtu) && mtu >= 68 && mtu <= MTU_MAX)) {
			throw new MillraceError("MILLRACE_BAD_OPTION", `mtu ${mtu} of a UNIX link: give a whole number from 68 to ${MTU_MAX}`);
		}
		this.name = `unix:${path}`;
		this.mtu = mtu;
		this.#path = path;
		this.#listen = listen;
	}

	open(context) {
		this.#context = context;
		if (!this.#listen) {
			this.#use(net.connect(this.#path));
			return;
		}
		this.#server = net.createServer((socket) => {
			if (this.#socket === null) this.#use(socket);
			else socket.destroy();
		});
		this.#server.on("error", (error) => this.#fail(error));
		this.#server.listen(this.#path);
		this.#applyRef(this.#server);
	}

	receive(batch) {
		const before = batch.count;
		let taken = 0;
		while (taken < this.#frames.length && batch.count < batch.capacity) {
			const { bytes, time } = this.#frames[taken++];
			if (batch.add(bytes, time)) {
				this.#counters.rxFrames++;
				this.#counters.rxBytes += bytes.length;
			} else this.#counters.rxDropNoPage++;
		}
		this.#frames.splice(0, taken);
		return batch.count - before;
	}

	transmit(batch) {
		const count = batch.count;
		const socket = this.#socket;
		if (socket !== null && !this.#corked) {
			socket.cork();
			this.#corked = true;
		}
		for (let i = 0; i < count; i++) {
			const frame = batch.frame(i);
			if (frame.length > this.mtu + ETHERNET_HEADER) this.#counters.txDropSize++;
			else if (socket === null) this.#counters.txDropNoPeer++;
			else if (socket.writableLength > BYTES_MAX) this.#counters.txDropFull++;
			else {
				// A copy: the socket writes it later, when the page may hold something else.
				const message = Buffer.allocUnsafe(4 + frame.length);
				message.writeUInt32BE(frame.length);
				message.set(frame, 4);
				socket.write(message);
				this.#counters.txFrames++;
				this.#counters.txBytes += frame.length;
			}
		}
		batch.drop(count);
		return count;
	}

	flush() {
		if (!this.#corked) return;
		this.#corked = false;
		this.#socket?.uncork();
	}

	ref() {
		this.#referenced = true;
		if (this.#server !== null) this.#applyRef(this.#server);
		if (this.#socket !== null) this.#applyRef(this.#socket);
	}

	unref() {
		this.#referenced = false;
		if (this.#server !== null) this.#applyRef(this.#server);
		if (this.#socket !== null) this.#applyRef(this.#socket);
	}

	close() {
		this.#context = null;
		this.#frames = [];
		this.#socket?.destroy();
		this.#socket = null;
		this.#corked = false;
		this.#server?.close();
		this.#server = null;
	}

	counters() {
		return { ...this.#counters };
	}

	#applyRef(handle) {
		if (this.#referenced) handle.ref();
		else handle.unref();
	}

	#use(socket) {
		this.#socket = socket;
		this.#rest = Buffer.alloc(0);
		this.#applyRef(socket);
		socket.on("data", (bytes) => this.#arrived(socket, bytes));
		socket.on("error", (error) => {
			if (this.#socket === socket && !this.#listen) this.#fail(error);
		});
		socket.on("close", () => {
			if (this.#socket !== socket) return;
			this.#socket = null;
			this.#corked = false;
			// Whoever listens waits for the next peer; whoever connected has lost the only one.
			if (!this.#listen) this.#fail(Object.assign(new Error("the peer closed"), { code: "ECONNRESET" }));
		});
	}

	#arrived(socket, bytes) {
		if (this.#context === null) return;
		const time = this.#context.runtime.clock.now();
		let data = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
		while (data.length >= 4) {
			const length = data.readUInt32BE();
			if (length > this.mtu + ETHERNET_HEADER) {
				// Not our framing, or not our MTU: where the next frame begins is not known any more.
				this.#counters.rxBroken++;
				socket.destroy();
				return;
			}
			if (data.length < 4 + length) break;
			if (this.#frames.length < FRAMES_MAX) this.#frames.push({ bytes: data.subarray(4, 4 + length), time });
			else this.#counters.rxDropFull++;
			data = data.subarray(4 + length);
		}
		this.#rest = data;
		if (this.#frames.length > 0) this.#context.wake();
	}

	#fail(error) {
		const context = this.#context;
		if (context === null) return;
		this.close();
		context.failed(
			new MillraceError(error.code ?? "EIO", `UNIX link ${this.#path}: ${error.message}. Start the peer, or check the path`, {
				cause: error,
			}),
		);
	}
}

const SERVER = "10.77.0.1";
const CLIENT = "10.77.0.2";
const PORT = 7;

/** A host that listens on the path and echoes what comes, until it is closed. */
function serve(path) {
	const host = createHost({ link: new UnixLink({ path, listen: true }), addresses: [`${SERVER}/24`] });
	const listener = host.tcp.listen({ port: PORT });
	const served = (async () => {
		for await (const stream of listener) await stream.readable.pipeTo(stream.writable);
	})();
	return async () => {
		listener.close();
		await served;
		await host.close();
		rmSync(path, { force: true });
	};
}

/** A host that connects to the path, says something, and prints what comes back. */
async function dial(path) {
	const host = createHost({ link: new UnixLink({ path }), addresses: [`${CLIENT}/24`] });
	try {
		const stream = await host.tcp.connect({ address: SERVER, port: PORT });
		const writer = stream.writable.getWriter();
		await writer.write(new TextEncoder().encode("hello over a UNIX socket"));
		await writer.close();
		let answer = "";
		for await (const bytes of stream.readable) answer += new TextDecoder().decode(bytes);
		console.log(`echoed: ${answer}`);
	} finally {
		await host.close();
	}
}

async function main([part, path]) {
	if (part === "serve" && path !== undefined) {
		process.once("SIGINT", serve(path));
		console.log(`serving on ${path}`);
	} else if (part === "dial" && path !== undefined) await dial(path);
	else if (part === undefined) {
		const socket = join(tmpdir(), `millrace-${process.pid}.sock`);
		const close = serve(socket);
		await dial(socket).finally(close);
	} else {
		console.error("usage: unix-link.mjs [serve PATH | dial PATH]");
		process.exitCode = 2;
	}
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2));
