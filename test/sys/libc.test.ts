/** On which machines kernel devices can be had: those whose structs are laid out as they are written here. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { refuseMachine } from "../../src/sys/libc.ts";

const REMEDY = /\. Use --link user or a link of your own$/;

describe("the C library", () => {
	test("is used on Linux machines of 64 bits, the lowest byte first", () => {
		for (const arch of ["x64", "arm64", "riscv64", "loong64"]) refuseMachine("linux", arch, "LE");
	});

	test("is refused on all others, with what to do", () => {
		const refused = (platform: string, arch: string, order: "LE" | "BE", fact: RegExp): void =>
			assert.throws(() => refuseMachine(platform, arch, order), {
				code: "MILLRACE_PLATFORM",
				message: new RegExp(`${fact.source}${REMEDY.source}`),
			});
		refused("darwin", "arm64", "LE", /kernel devices need Linux; this is darwin/);
		refused("linux", "arm", "LE", /kernel devices need a 64-bit little-endian machine \(x64, arm64, riscv64, loong64\); this is arm/);
		refused("linux", "ia32", "LE", /this is ia32/);
		refused("linux", "ppc64", "LE", /this is ppc64/);
		refused("linux", "s390x", "BE", /this is s390x, big-endian/);
		refused("linux", "arm64", "BE", /this is arm64, big-endian/);
	});

	test("doctor says so of each link that needs it", { skip: process.platform !== "linux" && "needs Linux" }, () => {
		const other = 'data:text/javascript,Object.defineProperty(process,"arch",{value:"arm"})';
		const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
		const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", other, main, "doctor"], { encoding: "utf8" });
		assert.equal(stderr, "");
		assert.equal(status, 0);
		const reason = "no {3}kernel devices need a 64-bit little-endian machine";
		for (const what of [
			"tap",
			"tap io_uring",
			"tap queues",
			"tap steering",
			"tap lane",
			"xdp generic",
			"xdp native",
			"xdp zero-copy",
			"packet",
		])
			assert.match(stdout, new RegExp(`^link ${what} +${reason}`, "m"));
		assert.match(stdout, /^link user +yes/m);
		assert.match(stdout, /^default link +user$/m);
	});
});
