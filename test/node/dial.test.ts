import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import net from "node:net";
import { after, test } from "node:test";
import tls from "node:tls";
import { KernelServer } from "../../src/link/user-kernel.ts";
import { createNet } from "../../src/node/net.ts";
import { installPatch } from "../../src/node/patch.ts";
import { KERNEL, Shared, StackOnly } from "../../src/node/policy.ts";
import { certificate } from "./certificate.ts";
import { loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
after(() => host.close());

/** What a socket that cannot connect says. */
async function failure(socket: net.Socket): Promise<string> {
	return new Promise((resolve) => socket.on("error", (error) => resolve(error.message)));
}

test("createNet refuses options that it does not know, and tells of its sockets where Node does", () => {
	assert.throws(() => createNet(host, { pooledChunk: true } as never), {
		code: "MILLRACE_BAD_OPTION",
		message: /"pooledChunk".*pooledChunks/,
	});
	assert.throws(() => createNet(host, { plainHandles: "no" as never }), { code: "MILLRACE_BAD_OPTION" });
	const told: unknown[] = [];
	const listen = (message: unknown): unknown => told.push((message as { socket: unknown }).socket);
	subscribe("net.client.socket", listen);
	const client = createNet(host).connect(1, "127.0.0.1");
	unsubscribe("net.client.socket", listen);
	client.destroy();
	assert.deepEqual(told, [client]);
});

test("connecting once more over a connection that stands: EISCONN", async () => {
	const stackNet = createNet(host);
	const server = stackNet.createServer().listen(81, "127.0.0.1");
	await once(server, "listening");
	const client = stackNet.connect(81, "127.0.0.1");
	await once(client, "connect");
	const port = client.localPort;
	client.connect(81, "127.0.0.1");
	assert.equal(await failure(client), `connect EISCONN 127.0.0.1:81 - Local (127.0.0.1:${port})`);
	server.close();
});

test("a local IPv6 address that means one of ours is taken for it", async () => {
	const stackNet = createNet(host);
	const server = stackNet.createServer().listen(82, "127.0.0.1");
	await once(server, "listening");
	const addresses: (string | undefined)[] = [];
	for (const localAddress of ["::", "::1"]) {
		const client = stackNet.connect({ port: 82, host: "::1", localAddress });
		const [peer] = (await once(server, "connection")) as [net.Socket];
		addresses.push(peer.remoteAddress);
		client.resume();
		peer.end();
		await once(client, "close");
	}
	assert.deepEqual(addresses, ["127.0.0.1", "127.0.0.1"]);
	server.close();
});

test("from 127.0.0.1 to another machine: EINVAL, as with the kernel", { timeout: 10_000 }, async () => {
	const client = createNet(host).connect({ port: 84, host: "10.0.0.77", localAddress: "127.0.0.1" });
	assert.match(await failure(client), /^connect EINVAL 10\.0\.0\.77:84/);
});

test("a local address that is not the kernel's, towards a destination that is: the error is that of bind", async () => {
	class Kernel extends StackOnly {
		override destination(): typeof KERNEL {
			return KERNEL;
		}
	}
	const restore = installPatch(() => host, new Kernel());
	try {
		const client = net.connect({ port: 83, host: "127.0.0.1", localAddress: "192.0.2.77" });
		assert.equal(await failure(client), "bind EADDRNOTAVAIL 192.0.2.77");
	} finally {
		restore();
	}
});

test("under the preload, too, a class may have a resetAndDestroy of its own", async () => {
	const restore = installPatch(() => host, new StackOnly());
	try {
		let called = 0;
		class Client extends net.Socket {
			override resetAndDestroy(): this {
				called++;
				super.resetAndDestroy();
				return this;
			}
		}
		const server = net.createServer().listen(84, "127.0.0.1");
		await once(server, "listening");
		const client = new Client();
		client.connect(84, "127.0.0.1");
		const [peer] = (await once(server, "connection")) as [net.Socket];
		client.resetAndDestroy();
		assert.equal(await failure(peer.resume()), "read ECONNRESET");
		assert.equal(called, 1);
		server.close();
	} finally {
		restore();
	}
});

test("who is told to listen before somebody connects does so before: plainly, from an address, by TLS, and by TLS over what connects", async () => {
	const restore = installPatch(() => host, new Shared(() => host));
	const secure = { host: "127.0.0.1", ca: certificate.cert, checkServerIdentity: () => undefined };
	const ways: [net.Server, (port: number) => net.Socket][] = [
		[net.createServer(), (port) => net.connect(port, "127.0.0.1")],
		[net.createServer(), (port) => net.connect({ port, host: "localhost", autoSelectFamily: false, family: 4 })],
		[net.createServer(), (port) => net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.1" })],
		[tls.createServer(certificate), (port) => tls.connect({ ...secure, port })],
		[tls.createServer(certificate), (port) => tls.connect({ ...secure, socket: net.connect(port, "127.0.0.1") })],
	];
	try {
		for (const [i, [server, connect]] of ways.entries()) {
			const event = server instanceof tls.Server ? "secureConnection" : "connection";
			server.on(event, (socket: net.Socket) => socket.end("hello"));
			server.listen(8500 + i, "127.0.0.1");
			const client = connect(8500 + i);
			const chunks = await client.toArray();
			assert.equal(String(Buffer.concat(chunks)), "hello");
			server.close();
			await once(server, "close");
		}
	} finally {
		restore();
	}
});

test("what was written and ended before it is known whose the connection is stands, whosever it is", async () => {
	const answer = (socket: net.Socket) => socket.resume().on("end", () => socket.end("bye"));
	const kernel = new KernelServer({ allowHalfOpen: true }, answer);
	await once(kernel.listen(0, "127.0.0.1"), "listening");
	const { port } = kernel.address() as net.AddressInfo;
	const restore = installPatch(() => host, new Shared(() => host));
	const lookup: net.LookupFunction = (_name, { all }, found) => {
		if (all) setImmediate(found, null, [{ address: "127.0.0.1", family: 4 }]);
		else setImmediate(found, null, "127.0.0.1", 4);
	};
	const byName = (autoSelectFamily: boolean) => () => net.connect({ port, host: "kernel.example", lookup, autoSelectFamily });
	const toOurs = () => {
		const server = net.createServer({ allowHalfOpen: true }, answer).listen(8510, "127.0.0.1");
		server.on("connection", () => server.close());
		return net.connect(8510, "127.0.0.1");
	};
	try {
		for (const connect of [byName(false), byName(true), toOurs])
			for (const text of ["hello", null]) {
				const client = connect();
				const told: string[] = [];
				client.on("finish", () => told.push("finish"));
				const ended = () => told.push("ended");
				if (text === null) client.end(ended);
				else client.end(text, ended);
				assert.equal(client.writable, false);
				client.once("connect", () => told.push(`connect ${client.writable}`));
				assert.equal(String(Buffer.concat(await client.toArray())), "bye");
				assert.deepEqual(told.sort(), ["connect false", "ended", "finish"]);
			}
	} finally {
		restore();
		kernel.close();
	}
});

test("where no server of the program listens by then, the kernel's is reached, by a kernel socket", async () => {
	const server = new KernelServer((socket) => socket.on("error", () => {}).end("kernel"));
	await once(server.listen(0, "127.0.0.1"), "listening");
	const { port } = server.address() as net.AddressInfo;
	const restore = installPatch(() => host, new Shared(() => host));
	try {
		const client = net.connect({ port, host: "127.0.0.1", localAddress: "127.0.0.1" });
		assert.equal(String(Buffer.concat(await client.toArray())), "kernel");
		// Once more with the same socket, which then has to be told of by its own class's way.
		client.connect(port, "127.0.0.1");
		await once(client, "connect");
		client.resetAndDestroy();
		await once(client, "close");
		const refused = net.connect(1, "127.0.0.1");
		assert.equal(await failure(refused), "connect ECONNREFUSED 127.0.0.1:1");
	} finally {
		restore();
		server.close();
	}
});

test("of a socket that was given up before its name was looked up nothing is told twice, whosever its server is by then", async () => {
	const restore = installPatch(() => host, new Shared(() => host));
	const told: string[] = [];
	try {
		const server = net.createServer().listen(0, "127.0.0.1");
		await once(server, "listening");
		const { port } = server.address() as net.AddressInfo;
		const client = net.connect({ port, host: "localhost", signal: AbortSignal.abort() });
		client.on("error", (error: NodeJS.ErrnoException) => {
			told.push(String(error.code));
			server.close();
		});
		await new Promise((resolve) => client.once("lookup", resolve));
		for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
	} finally {
		restore();
	}
	assert.deepEqual(told, ["ABORT_ERR"]);
});

test("a server on 127.0.0.1 that the policy has listen on all addresses is on 127.0.0.1 to the program", async () => {
	const restore = installPatch(() => host, new Shared(() => host, { exposeLoopback: () => true }));
	try {
		const seen: string[] = [];
		for (const address of ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", undefined]) {
			const server = net.createServer().listen({ port: 8520, host: address });
			await once(server, "listening");
			seen.push((server.address() as net.AddressInfo).address);
			server.close();
			await once(server, "close");
		}
		assert.deepEqual(seen, ["127.0.0.1", "127.0.0.2", "127.0.0.1", "0.0.0.0", "0.0.0.0"]);
	} finally {
		restore();
	}
});
