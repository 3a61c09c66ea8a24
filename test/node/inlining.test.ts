import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";

const CALLEES = 28;

/** How many of 28 functions of about 80 bytecodes each V8 puts into the one that calls them, in a process of its own; and what `inlineDeeper` said. */
function inlined(deeper: boolean, ...flags: string[]): { count: number; said: string } {
	const module = JSON.stringify(new URL("../../src/node/inlining.js", import.meta.url).href);
	const program = `
		import { inlineDeeper } from ${module};
		console.error("said", ${deeper} && inlineDeeper());
		const numbers = Array.from({ length: ${CALLEES} }, (_, i) => i);
		const callees = numbers.map((i) => \`function f\${i}(w, b) { return w[b + \${i}] + w[b + \${i + 1}] * w[b + 2] + w[b + 3] * w[b + 4] + w[b + 5] + w[b + 6]; }\`);
		const hot = \`(function hot(w, b) { return \${numbers.map((i) => \`f\${i}(w, b)\`).join(" + ")}; })\`;
		const call = (0, eval)(callees.join("\\n") + hot);
		const words = new Int32Array(64);
		for (let i = 0; i < 3_000_000; i++) call(words, i & 1);
	`;
	const args = ["--trace-turbo-inlining", "--no-concurrent-recompilation", ...flags, "--input-type=module", "--eval", program];
	// V8 prints through C, which loses lines where Node has made the pipe one that does not wait: so to a file.
	const directory = mkdtempSync(join(tmpdir(), "millrace-inlining-"));
	try {
		const trace = openSync(join(directory, "trace"), "w+");
		const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 60_000, stdio: ["ignore", trace, "pipe"] });
		closeSync(trace);
		assert.equal(status, 0, stderr);
		const lines = readFileSync(join(directory, "trace"), "utf8");
		const names = new Set(
			[...lines.matchAll(/^Inlining .*SharedFunctionInfo (f\d+)>\} into .*SharedFunctionInfo hot>/gm)].map(([, name]) => name),
		);
		return { count: names.size, said: /^said (\w+)$/m.exec(stderr)![1]! };
	} finally {
		rmSync(directory, { recursive: true });
	}
}

it("V8 puts more into one function once it was told, unless Node was started with a limit", () => {
	const byItself = inlined(false).count;
	assert.ok(byItself > 0 && byItself < CALLEES / 2, `${byItself} by itself`);
	assert.deepEqual(inlined(true), { count: CALLEES, said: "true" });
	const limited = inlined(true, "--max_inlined_bytecode_size_cumulative=920");
	assert.deepEqual(limited, { count: byItself, said: "false" });
});
