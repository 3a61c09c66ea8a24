/**
 * Thousands of seeded runs of the whole stack over bad networks (traffic.ts says what each is, and what must hold).
 *
 * MILLRACE_SEEDS is how many (default 2000), MILLRACE_SEED where to begin (default 1). The runs are shared out to child processes, because each
 * host has an arena of its own, and because a run that hangs must not take the others with it.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { runSeed } from "./traffic.ts";

const count = Number(process.env.MILLRACE_SEEDS ?? 2000);
const first = Number(process.env.MILLRACE_SEED ?? 1);
/** Runs per child process, and children at a time. */
const SHARE = 100;
const CHILDREN = 2;

test("a run is a function of its seed", async () => {
	for (const seed of [first, first + 1, first + 2]) {
		const once = await runSeed(seed);
		const again = await runSeed(seed);
		assert.deepEqual(again, once);
	}
});

for (const [what, seeds, words] of [
	["seeds", count, []],
	["seeds of long writes over links that take them in one piece", Math.ceil(count / 10), ["--kind", "bulk"]],
	["seeds of more connections than there is memory for", Math.ceil(count / 20), ["--kind", "crowd"]],
] as const) {
	test(`${seeds} ${what}: every byte arrives once and in order or both sides see an error, and nothing is left behind`, async () => {
		const program = fileURLToPath(new URL("./run-seed.js", import.meta.url));
		const failures: string[] = [];
		let next = first;
		const work = async () => {
			while (next < first + seeds) {
				const from = next;
				const share = Math.min(SHARE, first + seeds - from);
				next += share;
				const output = await run(program, ["--seed", String(from), "--count", String(share), ...words, "--quiet"]);
				if (output !== "") failures.push(output);
			}
		};
		await Promise.all(Array.from({ length: CHILDREN }, work));
		assert.equal(failures.length, 0, `\n${failures.join("\n")}`);
	});
}

/** What a program printed; "" when it printed nothing and ended well. */
function run(program: string, args: string[]): Promise<string> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
		let output = "";
		child.stdout.on("data", (chunk: Buffer) => (output += chunk));
		child.stderr.on("data", (chunk: Buffer) => (output += chunk));
		child.on("error", reject);
		child.on("close", (code, signal) =>
			resolve(code === 0 ? output : `${output}run-seed.js ${args.join(" ")} ended with ${signal ?? `code ${code}`}`),
		);
	});
}
