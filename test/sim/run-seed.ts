/**
 * Replays seeds: `node build/test/sim/run-seed.js --seed 7 [--count 100] [--frames]`.
 *
 * Prints a line for each seed that fails, with the command that replays it, and a summary; exit code 1 if any failed.
 */
import { parseArgs } from "node:util";
import { runSeed } from "./traffic.ts";

const { values } = parseArgs({
	options: {
		seed: { type: "string" },
		count: { type: "string", default: "1" },
		frames: { type: "boolean", default: false },
		quiet: { type: "boolean", default: false },
	},
});
const first = Number(values.seed);
const count = Number(values.count);
if (values.seed === undefined || !Number.isInteger(first) || !(count >= 1)) {
	console.error("usage: node build/test/sim/run-seed.js --seed N [--count N] [--frames] [--quiet]");
	process.exit(2);
}

function printFrame(frame: { host: string; direction: string; time: number; bytes: Uint8Array }): void {
	console.log(
		`${(frame.time / 1e6).toFixed(6)} ${frame.host} ${frame.direction} ${Buffer.from(frame.bytes.subarray(0, 80)).toString("hex")}`,
	);
}

const failed: number[] = [];
let frames = 0;
let steps = 0;
for (let seed = first; seed < first + count; seed++) {
	try {
		const result = await runSeed(seed, values.frames ? printFrame : undefined);
		frames += result.frames;
		steps += result.steps;
		if (count === 1)
			console.log(
				`seed ${seed}: ${result.frames} frames in ${result.seconds} virtual seconds and ${result.steps} steps, hash ${result.hash}`,
			);
	} catch (error) {
		failed.push(seed);
		console.log(`seed ${seed} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
		console.log(`replay: node build/test/sim/run-seed.js --seed ${seed}`);
	}
}
if (!values.quiet) console.log(JSON.stringify({ first, count, failed, frames, steps }));
process.exitCode = failed.length > 0 ? 1 : 0;
