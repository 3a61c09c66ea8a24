/** TLS over a connection that is there already, in a process whose only sockets are those of clients. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

const NET = new URL("../../src/node/net.js", import.meta.url).href;
const PATCH = new URL("../../src/node/patch.js", import.meta.url).href;
const POLICY = new URL("../../src/node/policy.js", import.meta.url).href;
const HOST = new URL("./loopback-host.js", import.meta.url).href;

/** Where a client of TLS hears that its peer has reset the connection. `connect` is an expression: a function as net.connect. */
async function heard(connect: string): Promise<string[]> {
	const source = `
		import net from "node:net";
		import tls from "node:tls";
		import { loopbackHost } from ${JSON.stringify(HOST)};
		const host = loopbackHost();
		host.tcpListen({ port: 443 }).onconnection = (socket) => {
			socket.events = { connected() {}, readable: () => socket.abort(), writable() {}, ended() {}, closed() {} };
		};
		const hear = (who, socket) => {
			socket.on("error", ({ message }) => console.log(who + " " + message));
			socket.on("close", () => console.log(who + " close"));
			return socket;
		};
		const connect = ${connect};
		const raw = hear("raw", connect(443, "127.0.0.1", () => hear("tls", tls.connect({ socket: raw, rejectUnauthorized: false }))));`;
	const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", source]);
	return stdout.trim().split("\n");
}

// As a socket of the kernel says it.
const EXPECTED = ["tls read ECONNRESET", "raw close", "tls close"];

test("host.net: a reset is told by the TLS socket, not by the one below it", async () => {
	assert.deepEqual(await heard(`(await import(${JSON.stringify(NET)})).createNet(host).connect`), EXPECTED);
});

test("the preload: a reset is told by the TLS socket, not by the one below it", async () => {
	const patch = `(await import(${JSON.stringify(PATCH)})).installPatch(() => host, new (await import(${JSON.stringify(POLICY)})).StackOnly())`;
	assert.deepEqual(await heard(`(${patch}, net.connect)`), EXPECTED);
});
