import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";

const MODULE = new URL("../../src/node/run-end.js", import.meta.url).href;

/** Runs a program that calls `atEnd`, after what it does `before`; gives it `signals` one after the other, each when it has said "ready". */
async function run(
	program: string,
	signals: NodeJS.Signals[] = [],
	before = "",
): Promise<{ end: number | NodeJS.Signals; said: string[] }> {
	const source = `
		import { writeSync } from "node:fs";
		import { atEnd } from ${JSON.stringify(MODULE)};
		const say = (text) => writeSync(1, text + "\\n");
		const stay = () => { setInterval(() => {}, 1000); say("ready"); };
		let left = 0;
		let late = false;
		${before}
		atEnd({ close: () => { say("close"); if (late) process.nextTick(say, "too late"); }, unsent: () => left });
		${program}`;
	const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "inherit"] });
	let text = "";
	child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
		for (const _ of chunk.matchAll(/ready/g)) {
			const signal = signals.shift();
			if (signal !== undefined) child.kill(signal);
		}
		text += chunk;
	});
	const [code, signal] = await once(child, "close");
	return { end: signal ?? code, said: text.split("\n").filter((line) => line !== "" && line !== "ready") };
}

describe("the end of a run", () => {
	test("a program that ends by itself has its connections closed and its files written", async () => {
		assert.deepEqual(await run(""), { end: 0, said: ["close"] });
	});

	test("a program with nothing more to do stays until its peers have what it sent them", async () => {
		const program = 'left = 3; setInterval(() => { if (left > 0) say("left " + --left); }, 50).unref();';
		assert.deepEqual(await run(program), { end: 0, said: ["left 2", "left 1", "left 0", "close"] });
	});

	test("process.exit closes before the process ends", async () => {
		assert.deepEqual(await run("process.exit(3)"), { end: 3, said: ["close"] });
	});

	test("what the program does at its exit comes before, whenever it asked for that", async () => {
		const program = 'process.on("exit", () => say("exit")); process.once("exit", () => say("once"));';
		for (const end of ["", "setImmediate(() => process.exit())"])
			assert.deepEqual(await run(program + end), { end: 0, said: ["exit", "once", "close"] });
	});

	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
		test(`${signal} without a handler of the program closes first, and is then what the process dies of`, async () => {
			assert.deepEqual(await run("late = true; stay()", [signal]), { end: signal, said: ["close"] });
		});
	}

	test("a program that handles the signal does not notice that somebody else listens, and goes on", async () => {
		const program = `
			let count = 0;
			process.on("SIGINT", () => {
				say("listeners " + process.listenerCount("SIGINT"));
				if (++count === 2) process.exit(7);
				setImmediate(() => say("ready"));
			});
			stay();`;
		assert.deepEqual(await run(program, ["SIGINT", "SIGINT"]), { end: 7, said: ["listeners 1", "listeners 1", "close"] });
	});

	test("a program that handles a signal once leaves the second one to us", async () => {
		const program = 'process.once("SIGTERM", () => { say("once"); setImmediate(() => setImmediate(() => say("ready"))); }); stay();';
		assert.deepEqual(await run(program, ["SIGTERM", "SIGTERM"]), { end: "SIGTERM", said: ["once", "close"] });
	});

	test("a program that handles a signal once, before all others, has handled it", async () => {
		const program = `
			process.prependOnceListener("SIGTERM", () => {
				say("once " + process.listenerCount("SIGTERM"));
				setImmediate(() => setImmediate(() => say("ready")));
			});
			stay();`;
		assert.deepEqual(await run(program, ["SIGTERM", "SIGTERM"]), { end: "SIGTERM", said: ["once 0", "close"] });
	});

	test("a program that listened for a signal, once, before its first socket has handled it, too", async () => {
		const before =
			'process.once("SIGTERM", () => { say("once " + process.listenerCount("SIGTERM")); setImmediate(() => setImmediate(() => say("ready"))); });';
		assert.deepEqual(await run("stay()", ["SIGTERM", "SIGTERM"], before), { end: "SIGTERM", said: ["once 0", "close"] });
	});

	test("a library that ends the process when it is the only listener, as signal-exit does, may", async () => {
		const program = `
			const listener = () => {
				if (process.listenerCount("SIGINT") > 1) return;
				process.off("SIGINT", listener);
				process.kill(process.pid, "SIGINT");
			};
			process.on("SIGINT", listener);
			stay();`;
		assert.deepEqual((await run(program, ["SIGINT"])).end, "SIGINT");
	});
});
