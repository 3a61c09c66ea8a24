/**
 * One end of short connections over an interface: connect, ask, get the answer and the peer's FIN, connect again.
 *
 *   short.js server STACK INTERFACE ADDRESS/LENGTH PORT           says "ready", runs until it is ended
 *   short.js client STACK INTERFACE ADDRESS/LENGTH PORT SERVER SECONDS
 *
 * STACK is `xdp`, `packet` or `packet-v3` (Millrace with that address on the interface, socket events) or `kernel` (node:net, interface and
 * address as the kernel has them). The client keeps 64 connections going and prints { rate, errors }: connections per second in
 * the last three quarters of the time.
 */
import net from "node:net";
import { createHost, type Host } from "../../src/host/host.ts";
import { packetLink } from "../../src/link/packet.ts";
import { xdpLink } from "../../src/link/xdp.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import type { SocketEvents, TcpSocket } from "../../src/socket/socket.ts";

const PARALLEL = 64;
const WARM_MS = 200;
const ASK = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
const ANSWER = new TextEncoder().encode(
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: close\r\n\r\nHello, world\n",
);
const [role, stack, device, own, portText, server, seconds] = process.argv.slice(2) as [
	string,
	string,
	string,
	string,
	string,
	string,
	string,
];
const port = Number(portText);
const scratch = new Uint8Array(65536);
let done = 0;
let errors = 0;

function host(): Host {
	const options = { interface: device, addresses: [own] };
	const made = createHost({
		link: stack === "xdp" ? xdpLink(options) : packetLink({ ...options, ring: stack === "packet-v3" ? "v3" : "v2" }),
		runtime: nodeRuntime(),
		addresses: [own],
		memory: 64 << 20,
		// As for the kernel's client: none may starve for ports.
		tcp: { firstPort: 1024, lastPort: 65535 },
	});
	// Socket events leave it to their user to keep the process alive.
	made.ref();
	return made;
}

const idle: SocketEvents = { connected() {}, readable() {}, ended() {}, writable() {}, closed() {} };

function serve(socket: TcpSocket): void {
	let asked = 0;
	socket.events = {
		...idle,
		readable() {
			asked += socket.readInto(scratch, 0, scratch.length);
			if (asked < ASK.length) return;
			socket.write(ANSWER);
			socket.close();
		},
		ended: () => socket.close(),
	};
}

function ask(on: Host): void {
	let got = 0;
	const socket = on.tcpConnect(
		{ address: server, port },
		{
			...idle,
			connected: () => void socket.write(ASK),
			readable: () => {
				got += socket.readInto(scratch, 0, scratch.length);
			},
			ended: () => {
				socket.close();
				if (got === ANSWER.length) done++;
				else errors++;
				ask(on);
			},
			closed: (error) => {
				if (error === null) return;
				errors++;
				ask(on);
			},
		},
	);
}

function askKernel(): void {
	let got = 0;
	const callback = (bytes: number): boolean => {
		got += bytes;
		return true;
	};
	const socket = net.connect({ host: server, port, onread: { buffer: scratch, callback } });
	socket.on("connect", () => socket.write(ASK));
	socket.on("error", () => {});
	socket.on("close", () => {
		if (got === ANSWER.length) done++;
		else errors++;
		askKernel();
	});
}

if (role === "server") {
	host().tcpListen({ port, backlog: 4096 }).onconnection = serve;
	console.log("ready");
} else {
	const on = stack === "kernel" ? null : host();
	const next = (): void => (on === null ? askKernel() : ask(on));
	// The first one finds the neighbor out, so that no packet of the others is lost over that.
	next();
	setTimeout(() => {
		for (let i = 1; i < PARALLEL; i++) next();
	}, WARM_MS);
	const time = Number(seconds) * 1000;
	setTimeout(
		() => {
			const from = done;
			const start = performance.now();
			setTimeout(() => {
				console.log(JSON.stringify({ rate: ((done - from) * 1000) / (performance.now() - start), errors }));
				process.exit(0);
			}, time * 0.75);
		},
		WARM_MS + time * 0.25,
	);
}
