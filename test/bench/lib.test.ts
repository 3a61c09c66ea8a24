/** The bench's own arithmetic and reading: what it prints must be what was measured. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { alternate, median, ratioAtLeast, row, valueAtMost } from "../../bench/lib/bench.ts";
import { root } from "../../bench/lib/contestants.ts";
import { figuresTable } from "../../bench/lib/figures.ts";
import { Seen, turnRound, writeTcp } from "../../bench/lib/frames.ts";
import { goalsTable } from "../../bench/lib/goals.ts";
import { CALLS, timeByLayer } from "../../bench/lib/layers.ts";
import { times } from "../../bench/lib/numbers.ts";
import { pivots } from "../../bench/lib/pivot.ts";
import { type Stored, table } from "../../bench/lib/results.ts";
import { chart } from "../../bench/lib/svg.ts";
import { parse } from "../../bench/lib/wrk.ts";
import { checksum, pseudoHeader4 } from "../../src/wire/checksum.ts";
import { ACK, PROTOCOL_TCP, PSH, SYN } from "../../src/wire/tcp.ts";

test("the median of an even number of rounds lies between the middle two, and does not care about order", () => {
	assert.equal(median([9, 1, 5]), 5);
	assert.equal(median([10, 1, 4, 2]), 3);
	assert.ok(Number.isNaN(median([])));
});

test("a row holds the goal against the ratio of medians, or against the value itself", () => {
	const ours = { name: "ours", unit: "/s", values: [30, 10, 20] };
	const theirs = { name: "theirs", unit: "/s", values: [10, 10, 40] };
	assert.deepEqual(row(ours, theirs, ratioAtLeast(2)), {
		name: "ours",
		value: 20,
		unit: "/s",
		low: 10,
		high: 30,
		against: "theirs",
		ratio: 2,
		goal: "ratio >= 2",
		met: true,
	});
	assert.equal(row(ours, theirs, ratioAtLeast(2.1)).met, false);
	assert.equal(row(ours, undefined, valueAtMost(19)).met, false);
	assert.equal(row(ours).met, null);
});

test("contestants take turns, each round begins with another one, and one that fails is named", async () => {
	const order: string[] = [];
	const contestant = (name: string) => ({
		name,
		measure: async (round: number) => {
			order.push(`${name}${round}`);
			return { rate: round };
		},
	});
	const figures = await alternate([contestant("a"), contestant("b")], { rounds: 2 });
	assert.deepEqual(order, ["a0", "b0", "b1", "a1"]);
	assert.deepEqual(figures, [{ rate: [0, 1] }, { rate: [0, 1] }]);
	const broken = { name: "c", measure: () => Promise.reject(new Error("it ended")) };
	await assert.rejects(alternate([contestant("a"), broken], { rounds: 1 }), /^Error: c: it ended$/);
});

test("the report of wrk is read with its errors; anything else is refused", () => {
	const text = `Running 1s test @ http://10.77.0.2:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.60ms    2.16ms  12.47ms   84.17%
  117072 requests in 2.02s, 8.71MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  58098.52
Transfer/sec:      4.32MB
`;
	assert.deepEqual(parse(text), { requests: 117072, perSecond: 58098.52, errors: 15 });
	assert.throws(() => parse("unable to connect"), /not understood/);
});

test("a segment that is turned round goes back where it came from, with right checksums and the echo of its timestamp", () => {
	const u8 = new Uint8Array(256);
	const seen = new Seen();
	const client = 0x0a4d0001;
	const server = 0x0a4d0002;
	writeTcp(u8, 16, client, server, 1234, 80, SYN, 77, 0, true, 5000, 0, new Uint8Array(0));
	assert.ok(seen.read(u8, 16));
	assert.equal(seen.options.windowScale, 7);
	const payload = new TextEncoder().encode("odd");
	const length = turnRound(u8, seen, PSH | ACK, 1000, 78, 6000, payload);
	assert.equal(length, 20 + 32 + 3);
	assert.equal(checksum(u8, 16, 20, 0), 0);
	assert.equal(checksum(u8, 36, length - 20, pseudoHeader4(server, client, PROTOCOL_TCP, length - 20)), 0);
	assert.ok(seen.read(u8, 16));
	const { seq, ack, flags, options } = seen;
	assert.deepEqual([seq, ack, flags, seen.length, options.tsVal, options.tsEcr], [1000, 78, PSH | ACK, 3, 6000, 5000]);
});

test("table and chart show every row, and the chart is well-formed where names hold markup", () => {
	const result = {
		name: "net",
		title: "a < b & c",
		date: "2026-01-01",
		machine: { cpu: "cpu", cores: 2, memoryGiB: 4, kernel: "Linux 6" },
		node: "20.20.2",
		rounds: 5,
		seconds: 3,
		rows: [row({ name: "millrace <tap>", unit: "/s", values: [12345.6] }), row({ name: "kernel", unit: "/s", values: [0] })],
		notes: ["a note"],
	};
	const text = table(result);
	assert.match(text, /millrace <tap> +12,346/);
	assert.match(text, /note: a note/);
	const svg = chart(result);
	assert.ok(svg.includes("millrace &lt;tap&gt;") && svg.includes("a &lt; b &amp; c"));
	assert.equal(svg.match(/<rect /g)!.length, 3);
});

const kept = (name: string, node: string, rows: Stored["rows"]): Stored => ({
	name,
	title: name,
	date: "2026-01-01",
	machine: { cpu: "some", cores: 2, memoryGiB: 1, kernel: "Linux 6" },
	node,
	rounds: 1,
	seconds: 1,
	rows,
	notes: [],
});

test("the table of goals has a line for each, with what came out on each Node, missed ones bold", () => {
	const ours = { name: "ours", unit: "requests/s", values: [30] };
	const theirs = { name: "theirs", unit: "requests/s", values: [20] };
	const size = { name: "size", unit: "bytes", values: [400] };
	const results = [
		kept("b", "20.1.0", [row(size, undefined, valueAtMost(1000))]),
		kept("a", "26.0.0", [row(ours, theirs, ratioAtLeast(2)), row(theirs)]),
		kept("a", "20.1.0", [row(ours, theirs, ratioAtLeast(1.5)), row(theirs)]),
	];
	assert.deepEqual(goalsTable(results, ["a", "b"]).split("\n"), [
		"| bench | what | against | goal | Node 20 | Node 26 |",
		"| --- | --- | --- | --- | ---: | ---: |",
		"| `a` | ours | theirs | \\>= 1.5x | 1.50x |  |",
		"| `a` | ours | theirs | \\>= 2x |  | **1.50x** |",
		"| `b` | size |  | \\<= 1,000 bytes | 400 |  |",
	]);
});

test("the README's figures are the rows of the kept results, without those that are not there", () => {
	const ours = { name: "keep-alive, millrace (tap)", unit: "requests/s", values: [30000] };
	const theirs = { name: "keep-alive, kernel (lo)", unit: "requests/s", values: [20000] };
	const results = new Map([["net-node26", kept("net", "26.0.0", [row(ours, theirs), row(theirs)])]]);
	assert.deepEqual(figuresTable(results).split("\n").slice(2), [
		"| the same, Node 26 | 30,000 requests/s | 20,000 | 1.50x | `npm run bench -- net --node PATH` |",
	]);
});

test("rows of columns are tables of their own, with what is missing left empty", () => {
	const cell = (name: string, value: number) => row({ name, unit: "ns", values: [value] });
	const rows = [
		cell("a request: tcp | ours", 5),
		cell("a request: ip | ours", 2),
		cell("a request: tcp | theirs", 7),
		cell("b: tcp | ours", 1),
	];
	assert.deepEqual(pivots(rows), [
		{
			title: "a request",
			cells: [
				["ns", "ours", "theirs"],
				["tcp", "5", "7"],
				["ip", "2", ""],
			],
		},
		{
			title: "b",
			cells: [
				["ns", "ours"],
				["tcp", "1"],
			],
		},
	]);
	assert.equal(pivots([...rows, cell("short, ours", 1)]), null);
});

test("the functions that stand for system calls in a profile are there", () => {
	for (const call of CALLS) {
		const [file = "", name = ""] = call.split(" ");
		const source = readFileSync(join(root, file.startsWith("uring") ? "src/sys" : "src/link", file.replace(".js", ".ts")), "utf8");
		assert.match(source, new RegExp(`^\\t${name}\\(`, "m"), call);
	}
});

test("the time of a profile goes to the layer of the innermost function, C++ to who called it, and only the part that counts", () => {
	const frame = (id: number, functionName: string, url: string, children: number[] = []) => ({
		id,
		callFrame: { functionName, url },
		children,
	});
	const nodes = [
		frame(1, "(root)", "", [2, 3, 4, 8]),
		frame(2, "(idle)", ""),
		frame(3, "(garbage collector)", ""),
		frame(4, "run", "file:///m/src/shard/shard.js", [5, 7, 10]),
		frame(5, "transmit", "file:///m/src/link/tap.js", [6]),
		frame(6, "run", "file:///m/src/sys/uring.js"),
		frame(7, "output", "file:///m/src/tcp/output.js", [9]),
		frame(8, "emit", "node:events", [11, 12]),
		frame(9, "set", ""),
		frame(10, "later", "file:///m/src/time/clock.js"),
		frame(11, "writeLatin1String", ""),
		frame(12, "answer", "file:///m/bench/servers/net-close.mjs"),
	];
	const samples = [6, 7, 9, 6, 5, 4, 10, 11, 8, 12, 3, 2, 2];
	const profile = { nodes, startTime: 1000, samples, timeDeltas: samples.map(() => 10) };
	// Samples hold from 1010, 1020, ... on: the first is outside, of the second and of the last but one a half counts.
	const times = timeByLayer({ ...profile, from: 1025, to: 1125 });
	assert.deepEqual(Object.fromEntries(times), {
		tcp: 15,
		"system calls of the link": 10,
		"link, sys": 10,
		shard: 20,
		"C++ called by it": 10,
		"Node's JavaScript": 10,
		"the program": 10,
		collector: 10,
		idle: 5,
	});
});

test("a ratio that missed its goal by little does not look like the goal", () => {
	assert.equal(times(0.9962, "ratio >= 1", false), "0.996x");
	assert.equal(times(1.0041, "ratio >= 1", true), "1.00x");
	assert.equal(times(0.98, "ratio >= 1", false), "0.98x");
	assert.equal(times(0.9962, "value >= 1", false), "1.00x");
	assert.equal(times(0.9962, null, null), "1.00x");
});
