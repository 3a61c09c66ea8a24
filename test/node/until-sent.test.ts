/** Programs of the library that have nothing more to do, while their peers have not got everything yet. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test } from "node:test";
import { promisify } from "node:util";

const MODULE = new URL("../../src/index.js", import.meta.url).href;

/** Runs a program with a host that serves and one that asks, over a slow wire, neither of which has anything that Node waits for; gives what it said. */
async function run(program: string): Promise<string[]> {
	const source = `
		import { writeSync } from "node:fs";
		import { createHost, impairLink, memoryLinkPair } from ${JSON.stringify(MODULE)};
		const say = (text) => writeSync(1, text + "\\n");
		const [near, far] = memoryLinkPair();
		const host = createHost({ link: impairLink(near, { delay: 30_000 }), addresses: ["10.0.0.1/24"] });
		const client = createHost({ link: far, addresses: ["10.0.0.2/24"] });
		let got = 0;
		const ask = (read = true) => {
			const socket = client.tcpConnect({ address: "10.0.0.1", port: 80 }, {
				connected() {},
				readable() { while (read && socket.available > 0) got += socket.read().length; },
				writable() {},
				ended() { socket.finish(); },
				closed() {},
			});
		};
		process.on("exit", () => say(got + " bytes"));
		${program}`;
	const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", source]);
	return stdout.trim().split("\n");
}

const SERVE = `
	const server = host.net.createServer((socket) => {
		socket.end(Buffer.alloc(200_000));
		socket.on("finish", () => { socket.destroy(); say("destroyed"); });
		server.close();
	}).listen(80);`;

describe("a program of the library that has nothing more to do", () => {
	test("stays until its peers have what it sent them before it closed", async () => {
		assert.deepEqual(await run(`${SERVE} ask();`), ["destroyed", "200000 bytes"]);
	});

	test("does not wait for a host that is closed", async () => {
		const program = `${SERVE} ask(); process.once("beforeExit", () => { host.close(); client.close(); });`;
		const [first, second] = await run(program);
		assert.equal(first, "destroyed");
		assert.notEqual(second, "200000 bytes");
	});

	test("ends at once with connections that wait for nothing", async () => {
		const program = `
			host.tcpListen({ port: 80 }).onconnection = (socket) => { socket.events = { readable() {}, ended() {}, writable() {}, closed() {} }; };
			ask();
			const wait = setInterval(() => {
				if (host.connections().length === 0 || host.connections()[0].state !== "ESTABLISHED") return;
				clearInterval(wait);
				process.once("beforeExit", () => say("kept by a timer: " + process.getActiveResourcesInfo().includes("Timeout")));
			}, 5);`;
		assert.deepEqual(await run(program), ["kept by a timer: false", "0 bytes"]);
	});
});
