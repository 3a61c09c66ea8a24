/**
 * The client of many flows at once: kernel sockets of `net`, all connected before the first byte is sent.
 *
 *   flows.js pull|push ADDRESS PORT SECONDS CONNECTIONS CONGESTION
 *
 * prints { bytes, seconds, connect }: of "pull" what arrived here, of "push" what the server's TCP acknowledged. Counted from the first byte on, slow
 * start included. A write that is under way at the end counts only for what it had done before: at most a block for each connection.
 * `connect`: how many milliseconds it takes until one more connection has come about, the median of those tried every 20 ms meanwhile.
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

function descriptor(socket: net.Socket): number {
	return (socket as unknown as { _handle: { fd: number } })._handle.fd;
}

function check(result: number, what: string): void {
	if (result < 0) throw new Error(`flows: ${what}: errno ${koffi.errno()}`);
}

/** One after the other, as clients come: the first handshake of all at once would be the round trip that the kernel goes by for long. */
async function connect(): Promise<net.Socket> {
	const socket = net.connect({ host: address, port: Number(port) });
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

/** Every 20 ms one connection more, which is closed again: when it was begun, and how long it took. */
const begun: bigint[] = [];
const took: number[] = [];
const since = (then: bigint): number => Number(process.hrtime.bigint() - then) / 1e6;
setInterval(() => {
	const index = begun.push(process.hrtime.bigint()) - 1;
	const socket = net.connect({ host: address, port: Number(port) }, () => {
		took[index] = since(begun[index]!);
		socket.destroy();
	});
	// A server that writes already when its connection is closed resets it.
	socket.on("error", () => socket.destroy());
}, 20);

setTimeout(() => {
	const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
	const queue = new Int32Array(1);
	if (mode === "push")
		for (const socket of sockets) {
			check(ioctl(descriptor(socket), SIOCOUTQ, new Uint8Array(queue.buffer)), "bytes in the queue");
			bytes -= queue[0]!;
		}
	// One that is not there yet has taken as long as it has waited.
	const times = begun.map((then, index) => took[index] ?? since(then)).sort((a, b) => a - b);
	console.log(JSON.stringify({ bytes, seconds: elapsed, connect: times[times.length >> 1] ?? Number(seconds) * 1000 }));
	process.exit(0);
}, Number(seconds) * 1000);
