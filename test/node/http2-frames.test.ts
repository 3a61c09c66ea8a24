/** HTTP/2 frames that come in one piece, and connections that are reset: what an unmodified program sees of them, in which order, is what it sees over the kernel's sockets. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));

describe("frames in one piece", { concurrency: 2 }, () => {
	for (const way of ["plain", "tls"])
		it(`are told one by one, a stream before its reset, whatever the program throws in between (${way})`, { timeout: 60_000 }, () => {
			const run = (...preload: string[]) =>
				execFileSync(process.execPath, ["--no-warnings", ...preload, path("http2-frames.js"), way], { encoding: "utf8", timeout: 30_000 });
			const kernel = run();
			assert.match(kernel, /stream 9 \/reset false\nclose 9 8\nstream 11/);
			assert.equal(run("--import", path("preload-loopback.js")), kernel);
		});
});

it("sessions hear of resets as over the kernel's sockets, with async hooks as well, and nothing is left", { timeout: 60_000 }, () => {
	const run = (...preload: string[]) =>
		execFileSync(process.execPath, ["--no-warnings", ...preload, path("http2-ends.js")], { encoding: "utf8", timeout: 30_000 });
	const kernel = run();
	assert.equal(kernel, "server ECONNRESET\nserver close\nclient ECONNRESET\nclient close\nrequest ERR_HTTP2_GOAWAY_SESSION\nlast close\n");
	assert.equal(run("--import", path("preload-loopback.js")), kernel);
});
