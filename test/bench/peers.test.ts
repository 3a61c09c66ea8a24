/** The peers of the bench: what is missing is said, and what has changed is compiled anew. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../../bench/lib/contestants.ts";
import {
	gvisor,
	lacking,
	lwipFolder,
	lwipLibrary,
	lwipSources,
	programPath,
	type Recipe,
	slirp,
	tooLong,
} from "../../bench/lib/peer-builds.ts";

test("a peer that cannot be compiled says which packages to install, and only those that are missing", () => {
	assert.equal(
		lacking(lwipLibrary, () => false),
		"apt-get install liblwip-dev gcc",
	);
	assert.equal(
		lacking(slirp, (evidence) => evidence === "gcc"),
		"apt-get install libslirp-dev",
	);
	assert.equal(
		lacking(gvisor, () => true),
		undefined,
	);
});

test("a short run compiles only what takes seconds", () => {
	assert.match(tooLong(gvisor, () => false) ?? "", /takes minutes/);
	assert.equal(
		tooLong(gvisor, () => true),
		undefined,
	);
	assert.equal(
		tooLong(slirp, () => false),
		undefined,
	);
});

test("a program has another name when its command or what it is made with has changed", () => {
	const path = programPath(slirp, "libslirp-dev 4.7.0");
	assert.equal(programPath(slirp, "libslirp-dev 4.7.0"), path);
	assert.notEqual(programPath(slirp, "libslirp-dev 4.8.0"), path);
	const faster: Recipe = { ...slirp, command: (to) => [...slirp.command(to), "-O3"] };
	assert.notEqual(programPath(faster, "libslirp-dev 4.7.0"), path);
	assert.notEqual(programPath({ ...slirp, sources: ["lwip.c", "tap.h"] }, "libslirp-dev 4.7.0"), path);
});

test("lwIP's sources are found by what apt-get source makes of them", () => {
	const folder = mkdtempSync(join(tmpdir(), "millrace-peers-"));
	try {
		assert.equal(lwipFolder(join(folder, "none")), undefined);
		assert.equal(lwipFolder(folder), undefined);
		for (const part of ["core/ipv4", "netif"]) mkdirSync(join(folder, "lwip-2.1.3/src", part), { recursive: true });
		assert.equal(lwipFolder(folder), undefined);
		writeFileSync(join(folder, "lwip-2.1.3/src/core/tcp.c"), "");
		const found = lwipFolder(folder);
		assert.equal(found, join(folder, "lwip-2.1.3"));
		const command = lwipSources(found!).command("program");
		assert.ok(command.includes(join(found!, "src/core/tcp.c")));
		assert.ok(command.includes(`-I${join(root, "bench/peers/lwip")}`));
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

for (const recipe of [lwipLibrary, slirp]) {
	const missing = lacking(recipe);
	test(`the ${recipe.name} peer compiles without a warning`, { skip: missing !== undefined && missing }, () => {
		const [compiler, ...words] = recipe.command("/dev/null");
		const { status, stderr } = spawnSync(compiler!, [...words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only"], { encoding: "utf8" });
		assert.equal(status, 0, stderr);
	});
}
