/**
 * TLS over a socket that is still connecting, whose way is decided only when its name is resolved: the kernel's, the stack's, or first the
 * one and then the other. The server is the kernel's, of this process; the program's link is the user link.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import tls from "node:tls";
import { promisify } from "node:util";
import { certificate } from "./certificate.ts";

const register = new URL("../../src/node/register.js", import.meta.url).href;
const server = tls.createServer(certificate, (socket) => socket.end("hello"));
let port = 0;
/** A port of 127.0.0.1 that nobody listens on. */
let closed = 0;

before(async () => {
	const other = net.createServer();
	await Promise.all([server, other].map((s) => once(s.listen(0, "127.0.0.1"), "listening")));
	port = (server.address() as AddressInfo).port;
	closed = (other.address() as AddressInfo).port;
	other.close();
});
after(() => server.close());

/** What a client of TLS sees whose socket connects to a name of these addresses. */
async function seen(addresses: readonly string[], to = port): Promise<string[]> {
	const source = `
		const net = require("node:net"), tls = require("node:tls");
		const addresses = ${JSON.stringify(addresses.map((address) => ({ address, family: net.isIPv6(address) ? 6 : 4 })))};
		const lookup = (_name, _options, callback) => setImmediate(callback, null, addresses);
		const hear = (who, socket) => {
			for (const event of ["connect", "secureConnect", "end"])
				socket.on(event, () => console.log(who, event, event === "secureConnect" ? socket.authorized + " " + socket.remotePort : ""));
			socket.on("error", ({ code }) => console.log(who, code));
			socket.on("close", () => console.log(who, "close"));
			return socket;
		};
		const raw = hear("raw", net.connect({ port: ${to}, host: "dual-stack.example", lookup, autoSelectFamily: true }));
		const client = hear("tls", tls.connect({ socket: raw, ca: ${JSON.stringify(certificate.cert)}, servername: "localhost" }));
		client.on("data", (data) => console.log("tls", String(data)));`;
	const env = { ...process.env, MILLRACE_OPTIONS: JSON.stringify({ link: "user", quiet: true }) };
	const { stdout } = await promisify(execFile)(process.execPath, ["--import", register, "-e", source], { env, timeout: 20_000 });
	return stdout
		.trim()
		.split("\n")
		.map((line) => line.trim());
}

/** As sockets of the kernel with one address show it. */
const served = () => ["raw connect", "tls connect", `tls secureConnect true ${port}`, "tls hello", "tls end", "raw close", "tls close"];

test("the kernel's way", async () => {
	assert.deepEqual(await seen(["127.0.0.1"]), served());
});

test("the stack's way", async () => {
	assert.deepEqual(await seen(["10.0.2.2"]), served());
});

test("the kernel's way, where the stack's is refused", async () => {
	assert.deepEqual(await seen(["10.0.2.222", "127.0.0.1"]), served());
});

test("the kernel's other way, and the stack's, where the kernel's is refused", async () => {
	assert.deepEqual(await seen(["::1", "127.0.0.1"]), served());
	assert.deepEqual(await seen(["::1", "10.0.2.2"]), served());
});

test("a refusal is told by the socket and by TLS", async () => {
	assert.deepEqual(await seen(["127.0.0.1"], closed), ["raw ECONNREFUSED", "tls ECONNREFUSED", "raw close", "tls close"]);
});
