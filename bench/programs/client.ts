/**
 * The measuring client: one TCP connection on blocking kernel sockets, no event loop in between.
 *
 * Hides how the client waits. An event loop in the client would add its own microseconds to every round trip and blur the
 * ratio of two servers; here it is one system call to send and one to receive. Every call is bounded by a socket time-out, the
 * whole by the clock.
 *
 *   client.js pingpong ADDRESS PORT SECONDS    64 bytes each way; prints { count, p50, p99 } (microseconds)
 *   client.js pull ADDRESS PORT SECONDS        reads what the server sends; prints { bytes, seconds }, bytes being what arrived
 *   client.js push ADDRESS PORT SECONDS        sends; prints { bytes, seconds }, bytes being what the server's TCP acknowledged
 *
 * A word behind SECONDS names the congestion control that the client's socket is to have.
 *
 * `pull` and `push` count from the connection's start. To leave out slow start would falsify: what then waits behind a hole of
 * the first losses would count later, all at once.
 */
import koffi from "koffi";

const AF_INET = 2;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_CONGESTION = 13;
const SOL_SOCKET = 1;
const SO_LINGER = 13;
const SO_RCVTIMEO = 20;
const SO_SNDTIMEO = 21;
/** Bytes that the peer has not acknowledged yet, and bytes that wait to be read (tcp(7)). */
const SIOCOUTQ = 0x5411;
const SIOCINQ = 0x541b;
const EAGAIN = 11;

const libc = koffi.load(null);
const socket = libc.func("int socket(int domain, int type, int protocol)");
const connect = libc.func("int connect(int fd, void *address, uint32_t length)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int name, void *value, uint32_t length)");
const read = libc.func("int64_t read(int fd, void *buffer, size_t length)");
const write = libc.func("int64_t write(int fd, void *buffer, size_t length)");
const ioctl = libc.func("int ioctl(int fd, unsigned long request, void *argument)");

const [mode, address, port, seconds, congestion] = process.argv.slice(2) as [string, string, string, string, string | undefined];
const duration = Number(seconds) * 1e6;
const now = (): number => Number(process.hrtime.bigint()) / 1e3;

function check(result: number, what: string): number {
	if (result < 0) throw new Error(`client: ${what}: errno ${koffi.errno()}`);
	return result;
}

const timeval = (seconds: number): Uint8Array => new Uint8Array(new BigInt64Array([BigInt(seconds), 0n]).buffer);

function open(): number {
	const fd = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
	const one = new Uint8Array(new Int32Array([1]).buffer);
	check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, one, 4), "TCP_NODELAY");
	if (congestion !== undefined) {
		const algorithm = new TextEncoder().encode(congestion);
		check(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, algorithm, algorithm.length), `TCP_CONGESTION ${congestion}`);
	}
	// A lost SYN is repeated after a second, then after two more.
	check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeval(8), 16), "SO_SNDTIMEO");
	// The end of the measurement is the end of the flow: what is still queued must not run into the next one.
	const reset = new Uint8Array(new Int32Array([1, 0]).buffer);
	check(setsockopt(fd, SOL_SOCKET, SO_LINGER, reset, 8), "SO_LINGER");
	const name = new Uint8Array(16);
	const view = new DataView(name.buffer);
	view.setUint16(0, AF_INET, true);
	view.setUint16(2, Number(port));
	name.set(address.split(".").map(Number), 4);
	check(connect(fd, name, 16), `connect to ${address}:${port}`);
	check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeval(1), 16), "SO_RCVTIMEO");
	check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeval(1), 16), "SO_SNDTIMEO");
	return fd;
}

/** A read or write that may time out (returns 0 then); throws at any other error and at the end of the stream. */
function transfer(call: typeof read, fd: number, buffer: Uint8Array, length: number): number {
	const count = Number(call(fd, buffer, length));
	if (count > 0) return count;
	if (count < 0 && koffi.errno() === EAGAIN) return 0;
	throw new Error(`client: the connection ended early (${count < 0 ? `errno ${koffi.errno()}` : "end of stream"})`);
}

function pingpong(): void {
	const fd = open();
	const out = new Uint8Array(64).fill(7);
	const back = new Uint8Array(64);
	/** Microseconds in steps of a quarter up to 50 ms; beyond goes to the last. */
	const histogram = new Uint32Array(200_001);
	const warm = now() + Math.min(duration / 4, 500_000);
	const end = now() + duration;
	let count = 0;
	for (let start = now(); start < end; start = now()) {
		transfer(write, fd, out, 64);
		for (let got = 0; got < 64; ) {
			const n = transfer(read, fd, back, 64 - got);
			if (n === 0) throw new Error("client: no answer within 1 s");
			got += n;
		}
		if (start < warm) continue;
		count++;
		histogram[Math.min(histogram.length - 1, Math.round((now() - start) * 4))]!++;
	}
	const percentile = (share: number): number => {
		let seen = 0;
		for (let i = 0; i < histogram.length; i++) {
			seen += histogram[i]!;
			if (seen >= count * share) return i / 4;
		}
		return Number.NaN;
	};
	console.log(JSON.stringify({ count, p50: percentile(0.5), p99: percentile(0.99) }));
}

function stream(call: typeof read): void {
	const fd = open();
	const buffer = new Uint8Array(262_144).fill(109);
	const queue = new Int32Array(1);
	const queueBytes = new Uint8Array(queue.buffer);
	/** Bytes that have crossed the network, whether this program was quick to read them or not. */
	const crossed = (moved: number): number => {
		check(ioctl(fd, call === read ? SIOCINQ : SIOCOUTQ, queueBytes), "bytes in the queue");
		return call === read ? moved + queue[0]! : moved - queue[0]!;
	};
	const start = now();
	let moved = 0;
	while (now() - start < duration) moved += transfer(call, fd, buffer, buffer.length);
	const bytes = crossed(moved);
	console.log(JSON.stringify({ bytes, seconds: (now() - start) / 1e6 }));
}

if (mode === "pingpong") pingpong();
else if (mode === "pull") stream(read);
else if (mode === "push") stream(write);
else throw new Error(`client: no mode "${mode}"`);
process.exit(0);
