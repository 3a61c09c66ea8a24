/**
 * The client of many flows at once: kernel sockets of `net`, all connected before the first byte is sent.
 *
 *   flows.js pull|push ADDRESS PORT SECONDS CONNECTIONS CONGESTION
 *
 * prints { bytes, seconds, connect, request }: of "pull" what arrived here, of "push" what the server's TCP acknowledged. Counted from the first byte on, slow
 * start included. A write that is under way at the end counts only for what it had done before: at most a block for each connection.
 * `connect`: how many milliseconds it takes until one more connection has come about, the median of those tried every 20 ms meanwhile.
 * `request`: the same for 64 bytes and back on a connection that was there before, to the server's other port; the next follows 20 ms behind the answer.
 */
import net from "node:net";
import koffi from "koffi";

const IPPROTO_TCP = 6;
const TCP_CONGESTION = 13;
/** Bytes that the peer has not acknowledged yet (tcp(7)). */
const SIOCOUTQ = 0x5411;

const libc = koffi.load(null);
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, void *value, uint32_t length)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");

const [mode, address, port, seconds, count, congestion] = process.argv.slice(2) as [string, string, string, string, string, string];
const block = Buffer.alloc(65536, "millrace");
/** Where the server sends back what it gets: so far above its port (servers/beside.mjs). */
const BESIDE = 500;
/** Milliseconds between two that are tried beside the flows. */
const BETWEEN = 20;

function descriptor(socket: net.Socket): number {
	return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

function check(result: number, what: string): void {
	if (result < 0) throw new Error(`flows: ${what}: errno ${koffi.errno()}`);
}

/** One after the other, as clients come: the first handshake of all at once would be the round trip that the kernel goes by for long. */
async function connect(to = Number(port)): Promise<net.Socket> {
	const socket = net.connect({ host: address, port: to });
	await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
	socket.on("error", (error) => {
		throw error;
	});
	socket.on("end", () => {
		throw new Error("flows: the connection ended early");
	});
	const algorithm = Buffer.from(congestion);
	check(setsockopt(descriptor(socket), IPPROTO_TCP, TCP_CONGESTION, algorithm, algorithm.length), `TCP_CONGESTION ${congestion}`);
	return socket;
}

if (mode !== "pull" && mode !== "push") throw new Error(`flows: no mode "${mode}"`);
const beside = await connect(Number(port) + BESIDE);
const sockets: net.Socket[] = [];
while (sockets.length < Number(count)) sockets.push(await connect());

let bytes = 0;
const start = process.hrtime.bigint();
for (const socket of sockets) {
	if (mode === "pull") {
		socket.on("data", (chunk) => {
			bytes += chunk.length;
		});
		continue;
	}
	// A write that the kernel takes at once is over before the event loop turns: without a pause one socket could keep it from turning for ever.
	const next = (): void => {
		socket.write(block, () => {
			bytes += block.length;
			setImmediate(next);
		});
	};
	next();
}

/** What was begun, each with its time, and how long it took. */
class Trials {
	readonly #begun: bigint[] = [];
	readonly #took: number[] = [];

	begin(): number {
		return this.#begun.push(process.hrtime.bigint()) - 1;
	}

	end(index: number): void {
		this.#took[index] = Number(process.hrtime.bigint() - this.#begun[index]!) / 1e6;
	}

	/** Milliseconds. One that is not over yet has taken as long as it has waited. */
	median(): number {
		for (const index of this.#begun.keys()) if (this.#took[index] === undefined) this.end(index);
		const times = this.#took.sort((a, b) => a - b);
		return times[times.length >> 1] ?? Number(seconds) * 1000;
	}
}

const connects = new Trials();
setInterval(() => {
	const trial = connects.begin();
	const socket = net.connect({ host: address, port: Number(port) }, () => {
		connects.end(trial);
		socket.destroy();
	});
	// A server that writes already when its connection is closed resets it.
	socket.on("error", () => socket.destroy());
}, BETWEEN);

const requests = new Trials();
const question = Buffer.alloc(64, "millrace");
const ask = (): void => {
	const trial = requests.begin();
	beside.write(question);
	let missing = question.length;
	beside.on("data", function answered(bytes: Buffer) {
		missing -= bytes.length;
		if (missing > 0) return;
		requests.end(trial);
		beside.off("data", answered);
		setTimeout(ask, BETWEEN);
	});
};
beside.setNoDelay();
ask();

setTimeout(() => {
	const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
	const queue = new Int32Array(1);
	if (mode === "push")
		for (const socket of sockets) {
			check(ioctl(descriptor(socket), SIOCOUTQ, new Uint8Array(queue.buffer)), "bytes in the queue");
			bytes -= queue[0]!;
		}
	console.log(JSON.stringify({ bytes, seconds: elapsed, connect: connects.median(), request: requests.median() }));
	process.exit(0);
}, Number(seconds) * 1000);
