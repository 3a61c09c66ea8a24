/**
 * Connections that are open and silent: each asks once, gets its answer, and is held until this program is ended.
 *
 *   holder.js ADDRESS PORT COUNT    prints "ready" when all have had their answer
 */
import { connect } from "node:net";

const [address, port, countText] = process.argv.slice(2) as [string, string, string];
const count = Number(countText);
/** Connections that are being opened at a time. */
const AT_ONCE = 50;
let opened = 0;
let answered = 0;

function open(): void {
	if (opened === count) return;
	opened++;
	const socket = connect({ host: address, port: Number(port) });
	socket.write("GET / HTTP/1.1\r\nHost: bench\r\n\r\n");
	socket.once("data", () => {
		if (++answered === count) console.log("ready");
		else open();
	});
	socket.once("close", () => {
		console.error("holder: the server closed a connection");
		process.exit(1);
	});
}

for (let i = 0; i < AT_ONCE; i++) open();
