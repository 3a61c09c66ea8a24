/** `::1` beside 127.0.0.1, and `::` for IPv6 alone beside 0.0.0.0: programs listen on both, on one port. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import { createNet } from "../../src/node/net.ts";
import { loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
const stack = createNet(host);
after(() => host.close());

/** A server that says its name; the code of the error if it cannot listen. */
async function serve(name: string, port: number, address: string | undefined, ipv6Only = false): Promise<net.Server | string> {
	const server = stack.createServer((socket) => socket.end(name));
	try {
		await once(server.listen({ port, ipv6Only, ...(address === undefined ? {} : { host: address }) }), "listening");
	} catch (error) {
		return (error as NodeJS.ErrnoException).code ?? String(error);
	}
	return server;
}

async function started(...args: Parameters<typeof serve>): Promise<net.Server> {
	const server = await serve(...args);
	assert.ok(server instanceof net.Server, `${args}: ${server}`);
	return server;
}

async function who(port: number, address = "127.0.0.1"): Promise<string> {
	const socket = stack.connect(port, address);
	let text = "";
	try {
		for await (const chunk of socket) text += chunk;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code!;
	}
	return text;
}

async function close(server: net.Server): Promise<void> {
	server.close();
	await once(server, "close");
}

describe("a port on ::1 and on IPv4", () => {
	it("is had by both in either order, and IPv4 gets the connections", async () => {
		for (const address of ["127.0.0.1", "0.0.0.0"])
			for (const order of [
				[address, "::1"],
				["::1", address],
			]) {
				const servers = [];
				for (const at of order) servers.push(await started(at, 8000, at));
				assert.deepEqual(
					servers.map((server) => (server.address() as net.AddressInfo).port),
					[8000, 8000],
				);
				assert.equal(await who(8000), address);
				assert.equal(await who(8000, "::1"), address);
				for (const server of servers) await close(server);
				assert.equal(await who(8000), "ECONNREFUSED");
				assert.ok(!host.hasListener(8000));
			}
	});

	it("is ::1's when the other closes, and the other's when ::1 closes", async () => {
		const four = await started("four", 8000, "127.0.0.1");
		const six = await started("six", 8000, "::1");
		await close(four);
		assert.equal(await who(8000), "six");
		const again = await started("again", 8000, "127.0.0.1");
		assert.equal(await who(8000), "again");
		await close(six);
		assert.equal(await who(8000), "again");
		await close(again);
		assert.ok(!host.hasListener(8000));
	});

	it("stays with IPv4 as long as one of its listeners takes 127.0.0.1", async () => {
		const one = await started("one", 8000, "127.0.0.1");
		const other = await started("other", 8000, "10.0.0.1");
		const six = await started("six", 8000, "::1");
		await close(other);
		assert.equal(await who(8000), "one");
		await close(one);
		assert.equal(await who(8000), "six");
		await close(six);
	});

	it("is in use for a second ::1, and for all addresses of both families", async () => {
		const four = await started("four", 8000, "127.0.0.1");
		const six = await started("six", 8000, "::1");
		for (const address of ["::1", "127.0.0.1", "0.0.0.0", "::", undefined]) assert.equal(await serve("x", 8000, address), "EADDRINUSE");
		await close(four);
		for (const address of ["::1", "::", undefined]) assert.equal(await serve("x", 8000, address), "EADDRINUSE");
		assert.equal(await who(8000), "six");
		await close(six);
		for (const all of ["::", undefined]) {
			const both = await started("both", 8000, all);
			for (const address of ["::1", "127.0.0.1", "0.0.0.0", "::", undefined]) assert.equal(await serve("x", 8000, address), "EADDRINUSE");
			await close(both);
		}
	});

	it("that any will do for is a number for the other, too", async () => {
		const six = await started("six", 0, "::1");
		const { port } = six.address() as net.AddressInfo;
		const four = await started("four", port, "127.0.0.1");
		assert.equal(await who(port), "four");
		await close(four);
		assert.equal(await who(port), "six");
		await close(six);
	});

	it("keeps the process by either server, until it is closed or said not to", async () => {
		const before = host.holders();
		const four = await started("four", 8000, "127.0.0.1");
		const six = await started("six", 8000, "::1");
		assert.equal(host.holders(), before + 2);
		six.unref();
		assert.equal(host.holders(), before + 1);
		six.ref();
		four.close();
		assert.equal(host.holders(), before + 1);
		await close(six);
		assert.equal(host.holders(), before);
	});

	it("is gone with the host", async () => {
		const host = loopbackHost();
		const stack = createNet(host);
		const closed = [];
		for (const address of ["127.0.0.1", "::1"]) {
			const server = stack.createServer().listen(8000, address);
			await once(server, "listening");
			closed.push(once(server, "close"));
		}
		await host.close();
		await Promise.all(closed);
		assert.equal(host.holders(), 0);
	});
});

describe(":: for IPv6 alone", () => {
	it("is no address of a host", async () => {
		assert.equal(await serve("six", 8000, "::", true), "EADDRNOTAVAIL");
	});
});

describe("the preload with the user link", () => {
	const register = new URL("../../src/node/register.js", import.meta.url).href;
	const env = { ...process.env, MILLRACE_OPTIONS: JSON.stringify({ link: "user", quiet: true }) };
	const run = async (source: string) => (await promisify(execFile)(process.execPath, ["--import", register, "-e", source], { env })).stdout;

	it("127.0.0.1 and ::1 on a port of another process are in use", async () => {
		const taken = net.createServer().listen(0, "127.0.0.1");
		await once(taken, "listening");
		const { port } = taken.address() as net.AddressInfo;
		const source = `for (const host of ["127.0.0.1", "::1"])
			require("node:net").createServer().on("error", ({ code }) => console.log(code)).listen(${port}, host);`;
		assert.equal(await run(source), "EADDRINUSE\nEADDRINUSE\n");
		taken.close();
	});

	it("a server on 127.0.0.1 says so, although it listens on all addresses of the stack", async () => {
		const source = `const server = require("node:net").createServer().listen(0, "127.0.0.1", () => {
			console.log(server.address().address);
			server.close();
		});`;
		assert.equal(await run(source), "127.0.0.1\n");
	});

	it("0.0.0.0 is the stack's, and :: for IPv6 alone the kernel's", async () => {
		const source = `
			const net = require("node:net");
			const four = net.createServer().listen(0, "0.0.0.0", () => {
				const six = net.createServer().on("error", ({ code }) => (console.log(code), four.close()));
				six.listen({ port: four.address().port, host: "::", ipv6Only: true }, () => {
					for (const server of [four, six]) console.log(server._handle.constructor.name, server.close() === server);
				});
			});`;
		const output = await run(source);
		assert.match(output, /^(ServerHandle true\nTCP true|EAFNOSUPPORT)\n$/);
	});
});
