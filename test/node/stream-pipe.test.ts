import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openStreamEnd } from "../../src/node/stream-pipe.ts";

const dir = mkdtempSync(join(tmpdir(), "millrace-stream-pipe-"));
after(() => rmSync(dir, { recursive: true }));

/** A UNIX socket that nobody has any more, as a process leaves it that was killed. */
async function stale(path: string): Promise<void> {
	const server = net.createServer().listen(`${path}.first`);
	await once(server, "listening");
	renameSync(`${path}.first`, path);
	server.close();
	await once(server, "close");
}

test("a listening end that is closed while it looks whether a socket is left behind does not begin to listen", async () => {
	for (const after of ["at once", "a tick later"]) {
		const path = join(dir, `${after}.sock`);
		await stale(path);
		const before = statSync(path, { bigint: true }).ctimeNs;
		const { pipe } = openStreamEnd({ how: "listen", path }, () => {});
		pipe.start({ arrived() {}, restarted() {}, closed() {} });
		pipe.unref?.();
		if (after !== "at once") await new Promise((resolve) => process.nextTick(resolve));
		pipe.close();
		// The one that was left behind has been removed, and perhaps replaced.
		while (existsSync(path) && statSync(path, { bigint: true }).ctimeNs === before) await sleep(1);
		await assert.rejects(once(net.connect(path), "connect"), { code: "ENOENT" });
	}
});
