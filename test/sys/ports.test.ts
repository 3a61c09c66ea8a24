/** Ports taken from the kernel's TCP: nobody else can listen there, whatever was there before. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { describe, test } from "node:test";
import { MillraceError } from "../../src/errors.ts";
import { libc } from "../../src/sys/libc.ts";
import { holdPort } from "../../src/sys/ports.ts";

const skip = process.platform !== "linux" && "needs Linux";

/** A server of the kernel's that listens; its port. */
async function listening(server: Server): Promise<number> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return (server.address() as AddressInfo).port;
}

async function closed(server: Server): Promise<void> {
	server.close();
	await once(server, "close");
}

/** What becomes of a server that asks for a port at all addresses: "listening", or the code of the error. */
async function listens(port: number, host: string): Promise<string> {
	const server = createServer();
	const said = new Promise<string>((resolve) => {
		server.once("listening", () => resolve("listening"));
		server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "EIO"));
	});
	server.listen(port, host);
	const what = await said;
	if (what === "listening") await closed(server);
	return what;
}

describe("a port that is held", { skip }, () => {
	test("is nobody else's until it is let go", async () => {
		const server = createServer();
		const port = await listening(server);
		await closed(server);
		const fd = holdPort(port);
		for (const host of ["0.0.0.0", "127.0.0.1"]) assert.equal(await listens(port, host), "EADDRINUSE", host);
		libc().close(fd);
		assert.equal(await listens(port, "0.0.0.0"), "listening");
	});

	test("is nobody else's where connections of a server before it linger in TIME-WAIT", async () => {
		// The server ends the connection first, so TIME-WAIT is at its end (RFC 9293 3.6).
		const server = createServer((socket) => socket.end());
		const port = await listening(server);
		const client = connect(port, "127.0.0.1").resume();
		await once(client, "close");
		await closed(server);
		const fd = holdPort(port);
		for (const host of ["0.0.0.0", "127.0.0.1"]) assert.equal(await listens(port, host), "EADDRINUSE", host);
		libc().close(fd);
	});

	test("is refused where a program listens", async () => {
		const server = createServer();
		const port = await listening(server);
		assert.throws(
			() => holdPort(port),
			(error: unknown) => error instanceof MillraceError && error.code === "EADDRINUSE" && /A program has it/.test(error.message),
		);
		await closed(server);
	});
});
