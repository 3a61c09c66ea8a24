/**
 * One side of conversations about how TCP connections live and die. The other side, a test with the kernel's sockets, says in the first
 * line what this one shall do; what it sees is printed.
 *
 *   peer.mjs serve PORT             # takes connections
 *   peer.mjs dial ADDRESS PORT N    # opens N connections
 *
 * echo      what comes goes back, until the other ends
 * sum       reads to the end, then answers with how much came
 * last      says "last words", ends, and prints how much came after that
 * flood     writes until something stops it, reads nothing
 * read      reads, writes nothing
 * reset     says "going", and resets when something comes
 * leave     writes 100,000 bytes, prints how many of them were taken, and ends the process
 * count     answers with the number of connections there are
 */
import { connect, createServer } from "node:net";

const open = new Set();

/** Everything that comes, counted. */
function count(socket, then) {
	let bytes = 0;
	socket.on("data", (chunk) => {
		bytes += chunk.length;
	});
	socket.on("end", () => then(bytes));
	socket.resume();
}

const deeds = {
	echo: (socket) => socket.pipe(socket),
	sum: (socket) => count(socket, (bytes) => socket.end(`${bytes}\n`)),
	last(socket) {
		socket.end("last words");
		count(socket, (bytes) => console.log(`after the end: ${bytes}`));
	},
	flood(socket) {
		const block = Buffer.alloc(65536, "flood");
		const write = () => {
			while (!socket.destroyed && socket.write(block));
		};
		socket.on("drain", write);
		write();
	},
	read(socket) {
		count(socket, (bytes) => {
			console.log(`end after ${bytes}`);
			socket.end();
		});
	},
	reset(socket) {
		socket.write("going");
		socket.once("data", () => socket.resetAndDestroy()).resume();
	},
	leave(socket) {
		socket.write(Buffer.alloc(100_000));
		console.log(`left with ${100_000 - socket.writableLength}`);
		process.exit();
	},
	count: (socket) => socket.end(`${open.size}`),
};

function converse(socket) {
	open.add(socket);
	let deed = "nothing";
	let text = "";
	const listen = (chunk) => {
		text += chunk.toString("latin1");
		const end = text.indexOf("\n");
		if (end < 0) return;
		socket.off("data", listen);
		socket.pause();
		deed = text.slice(0, end);
		if (text.length > end + 1) socket.unshift(Buffer.from(text.slice(end + 1), "latin1"));
		deeds[deed](socket);
	};
	socket.on("data", listen);
	socket.on("error", (error) => console.log(`${deed}: ${error.code} ${error.syscall}`));
	socket.on("close", (hadError) => {
		open.delete(socket);
		if (deed !== "echo") console.log(`${deed}: closed${hadError ? " by an error" : ""}`);
	});
}

const [, , mode, ...rest] = process.argv;
if (mode === "serve") {
	const server = createServer({ allowHalfOpen: true }, converse).listen(Number(rest[0]), () => console.log("serving"));
	process.on("SIGUSR2", () => server.close(() => console.log("server closed")));
} else {
	const [host, port, number] = rest;
	for (let i = 0; i < Number(number); i++) {
		const socket = connect({ host, port: Number(port), allowHalfOpen: true });
		converse(socket);
	}
}
