/** Spinning over a TAP device: it is done, it leaves timers and other descriptors their turns, and the process ends as without it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { millrace } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";

const skip = isolate();
const dir = mkdtempSync(join(tmpdir(), "millrace-spin-"));
after(() => rmSync(dir, { recursive: true }));

/**
 * An echo server on Millrace, and a kernel client in another process that asks until it is told to stop. That happens once a timer has
 * rung ten times, a file was read and a frame came while the server spun, all while the traffic goes on.
 */
const PROGRAM = `
import { fork } from "node:child_process";
import { readFile } from "node:fs";
import net from "node:net";
if (process.argv[2] === "client") {
	const socket = net.connect(9000, "10.77.0.2", () => socket.write("?"));
	socket.on("data", () => socket.write("?"));
	socket.on("close", () => process.exit());
} else {
	const { startFromEnvironment } = await import(process.argv[2]);
	const { host } = startFromEnvironment();
	let rounds = 0;
	let rang = 0;
	let read = false;
	const server = net.createServer((socket) => {
		socket.setNoDelay();
		socket.on("error", () => {});
		const timer = setInterval(() => rang++, 1);
		readFile(process.argv[1], () => { read = true; });
		socket.on("data", (bytes) => {
			rounds++;
			socket.write(bytes);
			if (rounds < 500 || rang < 10 || !read) return;
			// On a busy machine it takes a while until traffic is dense; by then it has been, or it never is.
			if (host.stats().shard.spinHits === 0 && rounds < 50_000) return;
			clearInterval(timer);
			socket.destroy();
			server.close();
			console.log(JSON.stringify(host.stats().shard));
		});
	});
	server.listen(9000, () => fork(process.argv[1], ["client"], { env: {}, execArgv: [] }));
}
`;

test("dense traffic is spun for, timers and files go on, and the process ends by itself", { skip }, async () => {
	const path = join(dir, "echo.mjs");
	writeFileSync(path, PROGRAM);
	const stack = new URL("../../src/node/from-environment.js", import.meta.url).href;
	const { code, stdout, stderr } = await millrace(["run", "--link=tap", "--spin=1ms", path, stack]);
	assert.equal(code, 0, stderr);
	const { spinHits, spinMisses, spinTime } = JSON.parse(stdout);
	assert.ok(spinHits > 0, stdout);
	assert.ok(spinTime > 0 && spinMisses >= 0, stdout);
});
