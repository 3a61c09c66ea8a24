/** A full server over a TAP device gets another processor for the kernel's work by itself, where the machine has one. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { connect } from "node:net";
import { availableParallelism } from "node:os";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { idleSeconds } from "../../src/sys/processors.ts";
import { isolate } from "../helpers/namespace.ts";

const skip = isolate() || (availableParallelism() < 2 && "needs two processors");
const index = new URL("../../src/index.js", import.meta.url).href;

/** Answers each byte after 0.1 ms of work, until it was helped; then says which processors help. */
const SERVER = `
	import { readFileSync } from "node:fs";
	import { createHost, tapLink } from ${JSON.stringify(index)};
	const host = createHost({ link: tapLink({ name: "mrs0", kernelAddress: "10.90.0.1/24" }), addresses: ["10.90.0.2/24"] });
	async function serve(stream) {
		for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
			for (const end = performance.now() + 0.1; performance.now() < end; );
			if (host.stats().link.rpsOn > 0) {
				console.log(readFileSync("/sys/class/net/mrs0/queues/rx-0/rps_cpus", "latin1"));
				process.exit();
			}
			await stream.write(bytes);
		}
	}
	const listener = host.tcp.listen({ port: 9000 });
	console.error("listening");
	for await (const stream of listener) serve(stream).catch(() => {});
`;

/** Seconds until it is given up: three are enough on a machine that has nothing else to do. */
const PATIENCE = 30;

test("a thread that is full is helped by a processor that is not", { skip }, async (t) => {
	// /sys must be that of the network namespace.
	const inside = 'mount -t sysfs sysfs /sys && exec "$@"';
	const server = spawn("unshare", ["-m", "sh", "-c", inside, "sh", process.execPath, "--input-type=module", "-e", SERVER], {
		stdio: ["ignore", "pipe", "pipe"],
	});
	t.after(() => server.kill("SIGKILL"));
	const output = text(server.stdout);
	await new Promise((resolve) => server.stderr.once("data", resolve));
	const before = idleSeconds();
	const sockets = Array.from({ length: 8 }, () => {
		const socket = connect(9000, "10.90.0.2", () => socket.write("?"));
		socket.setNoDelay();
		socket.on("data", (bytes) => socket.write(bytes));
		socket.on("error", () => {});
		return socket;
	});
	t.after(() => {
		for (const socket of sockets) socket.destroy();
	});
	const given = new AbortController();
	const said = await Promise.race([output, wait(PATIENCE * 1000, null, { signal: given.signal }).catch(() => null)]);
	given.abort();
	if (said === null) {
		const idlest = Math.max(...Array.from(idleSeconds(), ([processor, seconds]) => seconds - before.get(processor)!)) / PATIENCE;
		// Other programs' load, not ours: what is tested needs a machine that has time.
		if (idlest < 0.5) return t.skip(`no processor was idle for half of ${PATIENCE} s, but ${idlest.toFixed(2)} of it`);
	}
	assert.match(said ?? "not helped", /^[0-9a-f,]*[1-9a-f][0-9a-f,]*\n/);
});
