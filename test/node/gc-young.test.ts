import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { it } from "node:test";
import { letSocketsDieYoung } from "../../src/node/gc-young.ts";

const COUNTED = /pretenuring: .*mementos=/;

/** What V8 says of where surviving objects were made, over some collections of the young generation, in a process of its own. */
function counted(young: boolean): string {
	const module = JSON.stringify(new URL("../../src/node/gc-young.js", import.meta.url).href);
	const program = `
		import { letSocketsDieYoung } from ${module};
		if (${young}) letSocketsDieYoung();
		const kept = [];
		for (let i = 0; i < 3000; i++) {
			kept.push({ a: i, b: [i] });
			if (i % 1000 === 999) globalThis.gc({ type: "minor" });
		}
	`;
	const flags = ["--expose-gc", "--trace-pretenuring-statistics", "--input-type=module", "--eval", program];
	const { status, stdout, stderr } = spawnSync(process.execPath, flags, { encoding: "utf8", timeout: 60_000 });
	assert.equal(status, 0, stderr);
	return stdout;
}

it("V8 stops counting where survivors are made, where streams hold themselves, and only there", () => {
	assert.match(counted(false), COUNTED, "it counts by itself");
	const holds = letSocketsDieYoung();
	const major = Number(process.versions.node.split(".")[0]);
	if (major === 20 || major === 26) assert.equal(holds, major === 26);
	if (holds) assert.doesNotMatch(counted(true), COUNTED);
	else assert.match(counted(true), COUNTED);
});
