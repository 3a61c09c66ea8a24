/**
 * Loaded before a server (`node --import "profiled.js?out=PATH" ...`): profiles it from its start on, for functions that were compiled before
 * a profile began do not say what was inlined into them (nor do those of Node 20 ever).
 *
 * The first SIGUSR2 is where it begins to count, the second where that ends: the profile, with both times, then goes to PATH, and
 * "profiled" to the standard output.
 */
import { writeFileSync, writeSync } from "node:fs";
import { Session } from "node:inspector";

/** Microseconds between samples: often enough for a layer of 1 % in two seconds, rarely enough to cost little. */
const INTERVAL = 500;

const out = new URL(import.meta.url).searchParams.get("out");
if (out === null) throw new Error("profiled.js: give the file for the profile, as in profiled.js?out=PATH");
const session = new Session();
session.connect();
session.post("Profiler.enable");
session.post("Profiler.setSamplingInterval", { interval: INTERVAL });
session.post("Profiler.start");

const marks: number[] = [];
process.on("SIGUSR2", () => {
	marks.push(Number(process.hrtime.bigint() / 1000n));
	const [from, to] = marks;
	if (to === undefined) return;
	session.post("Profiler.stop", (error, { profile }) => {
		if (error !== null) throw error;
		writeFileSync(out, JSON.stringify({ ...profile, from, to }));
		writeSync(1, "profiled\n");
	});
});
