/** The peers bench: what is missing is said, what has changed is compiled anew, and a peer that fails takes nobody with it. */
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
import { type Entry, peerRows, rounds } from "../../bench/lib/peer-rounds.ts";

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

const entry = (name: string, ours: boolean, measure: Entry["measure"]): Entry => ({ name, ours, measure });

test("each of ours stands beside each peer with the goal to be ahead; peers have a row each", async () => {
	const entries = [
		entry("net", true, async () => ({ rate: 20 })),
		entry("events", true, async () => ({ rate: 40 })),
		entry("lwIP", false, async () => ({ rate: 30 })),
		entry("gVisor", false, async () => ({ rate: 10 })),
	];
	const figures = await rounds(entries, { rounds: 2, short: true }, []);
	const rows = peerRows(figures, { mode: "short", metric: "rate", unit: "/s" }, true);
	assert.deepEqual(
		rows.map(({ name, against, ratio, met }) => [name, against, ratio === null ? null : Math.round(ratio * 100) / 100, met]),
		[
			["short, net", "short, lwIP", 0.67, false],
			["short, net", "short, gVisor", 2, true],
			["short, events", "short, lwIP", 1.33, true],
			["short, events", "short, gVisor", 4, true],
			["short, lwIP", null, null, null],
			["short, gVisor", null, null, null],
		],
	);
	const plain = peerRows(figures, { mode: "short", metric: "rate", unit: "/s", suffix: ": user CPU" }, false);
	assert.deepEqual(
		plain.map(({ name, against, goal }) => [name, against, goal]),
		["net", "events", "lwIP", "gVisor"].map((name) => [`short, ${name}: user CPU`, null, null]),
	);
	assert.deepEqual(peerRows(figures, { mode: "short", metric: "frames", unit: "" }, true), []);
});

test("a peer that fails is left out with a note and not asked again, the others go on; ours failing is an error", async () => {
	const notes: string[] = [];
	let asked = 0;
	const ours = entry("net", true, async () => ({ rate: 1 }));
	const frail = entry("lwIP", false, async (round) => {
		asked++;
		if (round === 1) throw new Error("it ended");
		return { rate: 2 };
	});
	const broken = entry("gVisor", false, async () => {
		throw new Error("it never began");
	});
	const figures = await rounds([ours, frail, broken], { rounds: 3, short: true }, notes);
	assert.equal(asked, 2);
	assert.deepEqual(figures.get(ours), { rate: [1, 1, 1] });
	assert.deepEqual(notes.sort(), ["gVisor left out from round 1 on: it never began", "lwIP left out from round 2 on: it ended"]);
	const names = peerRows(figures, { mode: "m", metric: "rate", unit: "/s" }, true).map(({ name, against }) => [name, against]);
	assert.deepEqual(names, [
		["m, net", "m, lwIP"],
		["m, lwIP", null],
	]);
	const failing = entry("net", true, async () => {
		throw new Error("ours ended");
	});
	await assert.rejects(rounds([failing], { rounds: 1, short: true }, []), /ours ended/);
});

for (const recipe of [lwipLibrary, slirp]) {
	const missing = lacking(recipe);
	test(`the ${recipe.name} peer compiles without a warning`, { skip: missing !== undefined && missing }, () => {
		const [compiler, ...words] = recipe.command("/dev/null");
		const { status, stderr } = spawnSync(compiler!, [...words, "-Wall", "-Wextra", "-Werror", "-fsyntax-only"], { encoding: "utf8" });
		assert.equal(status, 0, stderr);
	});
}
