import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, test } from "node:test";
import { createNet } from "../../src/node/net.ts";
import { installPatch } from "../../src/node/patch.ts";
import { KERNEL, StackOnly } from "../../src/node/policy.ts";
import { loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
after(() => host.close());

/** What a socket that cannot connect says. */
async function failure(socket: net.Socket): Promise<string> {
	return new Promise((resolve) => socket.on("error", (error) => resolve(error.message)));
}

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
