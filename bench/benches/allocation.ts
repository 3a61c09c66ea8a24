/** Bytes allocated on the JavaScript heap per frame that passes the stack. */
import { type Bench, type Options, type Result, type Row, row, valueAtMost } from "../lib/bench.ts";
import { localNeeds, runProgram } from "../lib/local.ts";

async function run(options: Options): Promise<Result> {
	const rows: Row[] = [];
	const frames = options.short ? 100_000 : 1_000_000;
	// Accepting makes a socket object each time, which is the application's: only requests have a goal.
	for (const [mode, name] of [
		["requests", "64 B requests on open connections"],
		["short", "short connections, their socket objects included"],
	] as const) {
		const { bytes } = await runProgram<{ bytes: number }>(options, "allocation", [mode, String(frames)], ["--max-semi-space-size=64"]);
		rows.push(row({ name, unit: "bytes/frame", values: [bytes] }, undefined, mode === "requests" ? valueAtMost(1) : undefined));
	}
	return { rounds: 1, rows, notes: [], complete: true };
}

export const allocation: Bench = {
	name: "allocation",
	title: "bytes allocated on the JavaScript heap per frame, server on socket events",
	isolated: false,
	needs: localNeeds,
	run,
};
