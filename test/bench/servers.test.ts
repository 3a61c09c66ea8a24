/** Rounds of servers: each a new process, alone, and a server that fails takes nobody with it; and what the rows say of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ratioAtLeast, valueAtLeast } from "../../bench/lib/bench.ts";
import type { Server, Serving } from "../../bench/lib/contestants.ts";
import { allPairs, rowsOf } from "../../bench/lib/rows.ts";
import { Servers } from "../../bench/lib/servers.ts";

const SERVING = {} as Serving;
const server = (name: string, ours: boolean, start: Server["start"] = async () => SERVING): Server => ({ name, ours, start });
const lab = { clear: async () => {} };

test("each round starts a server anew, warms it up, measures it and ends it before the next one", async () => {
	const happened: string[] = [];
	const starting = (name: string): Server =>
		server(name, true, async () => {
			happened.push(`start ${name}`);
			return SERVING;
		});
	const clear = async (): Promise<void> => void happened.push("end");
	const measure = async (_: Serving, seconds: number, { name }: Server) => {
		happened.push(`${name} ${seconds} s`);
		return { rate: seconds };
	};
	const [a, b] = [starting("a"), { ...starting("b"), compiled: true }];
	const figures = await new Servers({ rounds: 2, seconds: 3, short: false }, { clear }).rounds("m", [a, b], measure, 7);
	const once = (name: string): string[] => [`start ${name}`, `${name} ${name === "a" ? 7 : 1} s`, `${name} 3 s`, "end"];
	assert.deepEqual(happened, ["a", "b", "b", "a"].flatMap(once));
	assert.deepEqual(figures.get(a), { rate: [3, 3] });
	happened.length = 0;
	await new Servers({ rounds: 1, seconds: 1, short: true }, { clear }).rounds("m", [a], measure);
	assert.deepEqual(happened, ["start a", "a 1 s", "end"]);
});

test("a server that fails is ended, left out with a note and not asked again, the others go on", async () => {
	let asked = 0;
	let cleared = 0;
	const ours = server("net", true);
	const frail = server("lwIP", false);
	const broken = server("gVisor", false, async () => {
		throw new Error("it never began");
	});
	const servers = new Servers({ rounds: 3, seconds: 1, short: true }, { clear: async () => void cleared++ });
	const figures = await servers.rounds("short", [ours, frail, broken], async (_, __, { name }) => {
		if (name === "lwIP" && ++asked === 2) throw new Error("it ended");
		return { rate: 1 };
	});
	assert.equal(asked, 2);
	assert.equal(cleared, 3 + 2 + 1);
	assert.deepEqual(figures.get(ours), { rate: [1, 1, 1] });
	assert.deepEqual(servers.notes.sort(), [
		"short, gVisor left out from round 1 on: it never began",
		"short, lwIP left out from round 2 on: it ended",
	]);
	assert.ok(servers.complete);
	const rows = rowsOf(figures, { title: "short", metric: "rate", unit: "/s" }, allPairs([ours, frail, broken]));
	assert.deepEqual(
		rows.map(({ name, against }) => [name, against]),
		[
			["short, net", "short, lwIP"],
			["short, lwIP", null],
		],
	);
});

test("one of ours that fails makes the bench incomplete, at its start and under load", async () => {
	const options = { rounds: 1, seconds: 1, short: true };
	const broken = server("net", true, async () => {
		throw new Error("no device");
	});
	const started = new Servers(options, lab);
	assert.equal(await started.start(broken), undefined);
	assert.deepEqual([started.complete, started.notes], [false, ["net left out: no device"]]);
	const measured = new Servers(options, lab);
	await measured.rounds("m", [server("net", true)], async () => {
		throw new Error("reset");
	});
	assert.deepEqual([measured.complete, measured.notes], [false, ["m, net left out from round 1 on: reset"]]);
});

test("a server has a row for each comparison, in their order, or one by itself", async () => {
	const [net, events] = [server("net", true), server("events", true)];
	const [lwip, gvisor] = [server("lwIP", false), server("gVisor", false)];
	const rates = new Map([
		[net, 20],
		[events, 40],
		[lwip, 30],
		[gvisor, 10],
	]);
	const all = [...rates.keys()];
	const servers = new Servers({ rounds: 1, seconds: 1, short: true }, lab);
	const figures = await servers.rounds("short", all, async (_, __, of) => ({ rate: rates.get(of)! }));
	const heading = { title: "short", metric: "rate", unit: "/s" };
	assert.deepEqual(
		rowsOf(figures, heading, allPairs(all)).map(({ name, against, ratio, met }) => [name, against, ratio?.toFixed(2), met]),
		[
			["short, net", "short, lwIP", "0.67", false],
			["short, net", "short, gVisor", "2.00", true],
			["short, events", "short, lwIP", "1.33", true],
			["short, events", "short, gVisor", "4.00", true],
			["short, lwIP", null, undefined, null],
			["short, gVisor", null, undefined, null],
		],
	);
	const some = [{ of: net, against: lwip, goal: ratioAtLeast(0.6) }, { of: net, goal: valueAtLeast(30) }, { of: events }];
	assert.deepEqual(
		rowsOf(figures, { ...heading, suffix: ": again" }, some).map(({ name, against, met }) => [name, against, met]),
		[
			["short, net: again", "short, lwIP: again", true],
			["short, net: again", null, false],
			["short, events: again", null, null],
			["short, lwIP: again", null, null],
			["short, gVisor: again", null, null],
		],
	);
	assert.deepEqual(rowsOf(figures, { ...heading, metric: "frames" }, allPairs(all)), []);
});
