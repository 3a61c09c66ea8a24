/** Layers 0 to 6 make no garbage per frame (docs/design.md, "Never"). In a process of its own, where nothing else allocates. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../helpers/allocation-program.js", import.meta.url));

/** Times that are small integers, that need 32 bits, and that need more. */
for (const start of [1000, 3e9, 9e9]) {
	test(`a million frames of requests and answers allocate less than a byte each (clock at ${start} us)`, (t) => {
		const flags = ["--expose-gc", "--max-semi-space-size=128"];
		const output = execFileSync(process.execPath, [...flags, program, "1000000", String(start)], { encoding: "utf8" });
		const { bytes, frames } = JSON.parse(output) as { bytes: number; frames: number };
		t.diagnostic(`${bytes.toFixed(2)} bytes a frame over ${frames} frames`);
		assert.ok(frames >= 1e6);
		// What is left is numbers of the clock, a few in a turn of up to 64 frames.
		assert.ok(bytes < 1, `${bytes} bytes a frame`);
	});
}

for (const start of [1000, 9e9]) {
	test(`long writes by slabs allocate nothing for each frame either (clock at ${start} us)`, (t) => {
		const flags = ["--expose-gc", "--max-semi-space-size=128"];
		const output = execFileSync(process.execPath, [...flags, program, "600000", String(start), `${45 * 1448}`], { encoding: "utf8" });
		const { bytes, frames, slabs } = JSON.parse(output) as { bytes: number; frames: number; slabs: number };
		t.diagnostic(`${bytes.toFixed(2)} bytes a frame over ${frames} frames, ${slabs} slabs`);
		assert.ok(slabs > 10_000, `${slabs} slabs`);
		// A turn has only some forty frames here, so that the numbers of the clock are more for each, 1 to 3 bytes; the smallest object for each would be 16.
		assert.ok(bytes < 12, `${bytes} bytes a frame`);
	});
}
