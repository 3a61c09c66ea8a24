import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { createHost } from "../../src/index.ts";
import { loopbackLink } from "../../src/link/loopback.ts";
import { createNet } from "../../src/node/net.ts";

it("what host.net is asked for after the host was closed fails as with a network that is down", async () => {
	const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
	const { net } = host;
	await host.close();
	const [refused] = (await once(net.connect(80, "10.0.0.2").resume(), "error")) as [NodeJS.ErrnoException];
	assert.match(refused.message, /^connect ENETDOWN 10\.0\.0\.2:80/);
	const server = net.createServer();
	server.listen(80, "10.0.0.2");
	const [unheard] = (await once(server, "error")) as [NodeJS.ErrnoException];
	assert.equal(unheard.code, "ENETDOWN");
	assert.equal(server.listening, false);
});

it("closing the host closes the servers of host.net and lets their process end", async () => {
	const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
	const server = host.net.createServer();
	server.listen(80, "10.0.0.2");
	await once(server, "listening");
	const closed = once(server, "close");
	await host.close();
	await closed;
	assert.equal(server.listening, false);
	// Whoever closes it as well is told what Node tells in such a case.
	const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => server.close(resolve));
	assert.equal(error?.code, "ERR_SERVER_NOT_RUNNING");
});

it("closing the host ends every socket of host.net with an error, also where nobody reads", { timeout: 20_000 }, async () => {
	for (const options of [{}, { plainHandles: false }]) {
		const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
		const net = createNet(host, options);
		const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
		server.listen(80, "10.0.0.2");
		await once(server, "listening");
		const pair = async (): Promise<[Socket, Socket]> => {
			const accepted = once(server, "connection") as Promise<[Socket]>;
			const client = net.connect({ port: 80, host: "10.0.0.2", allowHalfOpen: true });
			await once(client, "connect");
			return [client, (await accepted)[0]];
		};
		const [idle, paused] = await pair();
		const [full, writer] = await pair();
		// More than a stream buffers: Node stops reading.
		writer.write(new Uint8Array(200_000));
		const [ended, after] = await pair();
		after.end();
		ended.resume();
		await once(ended, "end");
		const [waiting, stuck] = await pair();
		stuck.write(new Uint8Array(20_000_000));
		await setTimeout(50);
		const sockets = { idle, paused, full, writer, ended, after, waiting, stuck };
		const heard: Record<string, string> = {};
		const closed = Object.entries(sockets).map(([name, socket]) => {
			socket.on("error", ({ message }) => (heard[name] = message));
			return new Promise((resolve) => socket.on("close", resolve));
		});
		await host.close();
		await Promise.all(closed);
		assert.deepEqual(heard, Object.fromEntries(Object.keys(sockets).map((name) => [name, "read ECONNABORTED"])));
	}
});

it("closing the host is no error for a socket that has heard the end and said its own", { timeout: 20_000 }, async () => {
	for (const options of [{}, { plainHandles: false }]) {
		const host = createHost({ link: loopbackLink(), addresses: ["10.0.0.2/24"] });
		const net = createNet(host, options);
		const heard: string[] = [];
		const over = new Promise<void>((resolve) => {
			const server = net.createServer((socket) => {
				socket.resume().on("end", () => setImmediate(() => void host.close()));
				socket.on("error", ({ message }) => heard.push(message)).on("close", resolve);
			});
			// The other end is told: it has not heard the end.
			server.listen(80, "10.0.0.2", () =>
				net
					.connect(80, "10.0.0.2")
					.on("error", () => {})
					.end("hello"),
			);
		});
		await over;
		assert.deepEqual(heard, []);
	}
});
