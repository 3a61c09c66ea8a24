/**
 * Replays seeds: `node build/test/sim/run-seed.js --seed 7 [--count 100] [--kind bulk|crowd] [--frames]`.
 *
 * Prints a line for each seed that fails, with the command that replays it, and a summary; exit code 1 if any failed.
 */
import { parseArgs } from "node:util";
import { decode } from "../helpers/segment.ts";
import { type Kind, runSeed } from "./traffic.ts";

const { values } = parseArgs({
	options: {
		seed: { type: "string" },
		count: { type: "string", default: "1" },
		kind: { type: "string", default: "usual" },
		frames: { type: "boolean", default: false },
		quiet: { type: "boolean", default: false },
	},
});
const first = Number(values.seed);
const count = Number(values.count);
const kind = values.kind as Kind;
if (values.seed === undefined || !Number.isInteger(first) || !(count >= 1) || !["usual", "bulk", "crowd"].includes(kind)) {
	console.error("usage: node build/test/sim/run-seed.js --seed N [--count N] [--kind usual|bulk|crowd] [--frames] [--quiet]");
	process.exit(2);
}

function printFrame(frame: { host: string; direction: string; time: number; bytes: Uint8Array }): void {
	const { host, direction, time, bytes } = frame;
	let text: string;
	try {
		const segment = decode(bytes[0] === 0x45 ? bytes : bytes.subarray(14, 14 + ((bytes[16]! << 8) | bytes[17]!)));
		const { srcPort, dstPort, seq, ack, window, flags, payload, options } = segment;
		const length = payload.length;
		const more = JSON.stringify(options) === "{}" ? "" : ` ${JSON.stringify(options)}`;
		text = `${segment.src & 255}:${srcPort} > ${segment.dst & 255}:${dstPort} ${flags} ${seq}:${(seq + length) >>> 0}(${length}) ack ${ack} win ${window}${more}`;
	} catch (error) {
		text = `${(error as Error).message}: ${Buffer.from(bytes.subarray(0, 80)).toString("hex")}`;
	}
	console.log(`${(time / 1e6).toFixed(6)} ${host} ${direction} ${text}`);
}

const failed: number[] = [];
let frames = 0;
let steps = 0;
const sum: Record<string, number> = {};

function add(values: Record<string, unknown>): void {
	for (const [name, value] of Object.entries(values)) {
		if (typeof value === "number") sum[name] = (sum[name] ?? 0) + value;
		else add(value as Record<string, unknown>);
	}
}

for (let seed = first; seed < first + count; seed++) {
	try {
		const result = await runSeed(seed, values.frames ? printFrame : undefined, kind);
		frames += result.frames;
		steps += result.steps;
		add({ ...result.value });
		if (count === 1)
			console.log(
				`seed ${seed}: ${result.frames} frames in ${result.seconds} virtual seconds and ${result.steps} steps, hash ${result.hash}`,
			);
	} catch (error) {
		failed.push(seed);
		console.log(`seed ${seed} failed: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
		console.log(`replay: node build/test/sim/run-seed.js --seed ${seed}${kind === "usual" ? "" : ` --kind ${kind}`}`);
	}
}
if (!values.quiet) console.log(JSON.stringify({ first, count, failed, frames, steps, ...sum }));
process.exitCode = failed.length > 0 ? 1 : 0;
