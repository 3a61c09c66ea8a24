/** Rootless: a program with `--link user`, run by a user without any privilege, and curl on this machine's 127.0.0.1. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, createReadStream, openSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Running, start } from "../cli/helpers.ts";
import { isolate } from "../helpers/namespace.ts";
import { curl, get, inRepository, lacksTools, scratch, sha256 } from "../helpers/peers.ts";

/** nobody, as Debian has it. */
const NOBODY = 65534;
const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--bounding-set=-all", "--no-new-privs"];
const example = inRepository("examples/http-server.mjs");
const skip = isolate() || lacksTools("curl", "setpriv") || unreadable();
const directory = scratch();

/** Others must be able to read the repository. */
function unreadable(): string | false {
	if (process.seteuid === undefined) return "needs UNIX users";
	const before = process.geteuid!();
	try {
		process.seteuid(NOBODY);
		// Not access(2), which asks for the real user.
		for (const path of [process.execPath, example]) closeSync(openSync(path, "r"));
		return false;
	} catch {
		return "needs a checkout and a node that the user nobody can read";
	} finally {
		process.seteuid(before);
	}
}

/** Runs the words as nobody while `use` lasts. */
async function asNobody(words: string[], env: Record<string, string>, use: (running: Running) => Promise<void>): Promise<void> {
	const running = start(["run", ...words], { HOME: "/", ...env }, AS_NOBODY);
	running.outcome.catch(() => {});
	try {
		await use(running);
	} finally {
		running.child.kill("SIGINT");
		await running.outcome;
	}
}

describe("the user nobody", { skip, timeout: 60_000 }, () => {
	test("gets the link user by default, and is told why", () =>
		asNobody([example], { PORT: "8081" }, async (running) => {
			await running.says(/^millrace: link user \(no TAP device: .*\): 10\.0\.2\.15\/24 /m);
			await running.says(/^millrace: port 8081 of the program is open at 127\.0\.0\.1:8081 /m);
			assert.match(await curl("http://127.0.0.1:8081/"), /It runs/);
		}));

	test("serves 50 MB to curl, and takes them back, sha256 equal; 200 requests at once", () =>
		asNobody(["--link=user", example], { PORT: "8082" }, async (running) => {
			await running.says(/is open at/);
			const path = join(directory, "file");
			await curl("-o", path, "http://127.0.0.1:8082/bytes?n=50000000");
			const hash = await sha256(createReadStream(path));
			assert.equal(await curl("-T", path, "-X", "POST", "http://127.0.0.1:8082/hash"), `${hash} 50000000\n`);
			const agent = new http.Agent({ maxSockets: 200 });
			const url = "http://127.0.0.1:8082/bytes?n=20000";
			const sums = await Promise.all(Array.from({ length: 200 }, async () => sha256(await get(url, { agent }))));
			assert.equal(new Set(sums).size, 1);
			agent.destroy();
		}));

	test("--publish: one port of the machine leads to another of the program, also through losses", () =>
		asNobody(["--publish=8083:80", "--loss=1%", "--delay=2ms", "--seed=9", example], { PORT: "80" }, async (running) => {
			await running.says(/^millrace: port 80 of the program is open at 127\.0\.0\.1:8083 /m);
			await running.says(/^http server on port 80$/m);
			assert.match(await curl("http://127.0.0.1:8083/"), /It runs/);
			await assert.rejects(curl("http://127.0.0.1:80/"), /Connection refused|Couldn't connect/);
			const path = join(directory, "published");
			await curl("-o", path, "http://127.0.0.1:8083/bytes?n=2000000");
			const hash = await sha256(createReadStream(path));
			assert.equal(await curl("--data-binary", `@${path}`, "http://127.0.0.1:8083/hash"), `${hash} 2000000\n`);
		}));

	test("as a client: 20 MB from a server of this machine, at the gateway's address, sha256 equal", async () => {
		const body = Buffer.alloc(20_000_000, "millrace");
		const server = http.createServer((_, response) => response.end(body)).listen(0, "127.0.0.1");
		server.unref();
		await once(server, "listening");
		const { port } = server.address() as AddressInfo;
		await asNobody(["--link=user", inRepository("examples/fetch-client.mjs"), `http://10.0.2.2:${port}/`], {}, async (running) => {
			const { code, stdout } = await running.outcome;
			assert.deepEqual([code, stdout], [0, `200 ${body.length} ${createHash("sha256").update(body).digest("hex")}\n`]);
		});
	});
});
