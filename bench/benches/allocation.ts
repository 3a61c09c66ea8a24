/** Bytes allocated on the JavaScript heap per frame that passes the stack. */
import { type Bench, type Options, type Result, type Row, row, valueAtMost } from "../lib/bench.ts";
import { localNeeds, runProgram } from "../lib/local.ts";

async function run(options: Options): Promise<Result> {
	const rows: Row[] = [];
	const frames = options.short ? 100_000 : 1_000_000;
	// What the stack itself makes has a goal. Accepting makes a socket object each time, and Node's event loop some for each turn.
	for (const [mode, turns, name] of [
		["requests", "bare", "64 B requests on open connections"],
		["requests", "node", "64 B requests on open connections, the turns of Node's event loop included"],
		["short", "bare", "short connections, their socket objects included"],
	] as const) {
		const argv = [mode, turns, String(frames)];
		const { bytes } = await runProgram<{ bytes: number }>(options, "allocation", argv, ["--max-semi-space-size=64"]);
		const goal = mode === "requests" && turns === "bare" ? valueAtMost(1) : undefined;
		rows.push(row({ name, unit: "bytes/frame", values: [bytes] }, undefined, goal));
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
