/**
 * A whole host under fire (issue: malformed input). Three ways in: single frames, sequences of frames, and sequences with time and
 * calls of the application between them. Whatever comes: no throw, the records stay consistent, every frame has one fate, and when all
 * is closed and time has passed nothing is left. MILLRACE_FUZZ_RUNS sets how many frames.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Aimed, FuzzHost, type FuzzOptions, type Manners, SLOTS } from "../helpers/fuzz-host.ts";

const runs = Number(process.env.MILLRACE_FUZZ_RUNS ?? 40_000);
const seed = process.env.MILLRACE_FUZZ_SEED;
/** Runs that one host serves. */
const LIFE = 300;

const hosts: [string, FuzzOptions][] = [
	["a host", {}],
	["a host on a link that merges and cuts segments", { segmentation: true, start: 2 ** 32 - 3e6 }],
	["a host on a link that takes slices", { segmentation: true, longPieces: true, memory: 1 << 21, start: 2 ** 32 - 3e6 }],
	[
		"a host without options, NewReno, on a link that takes slices",
		{
			...{ segmentation: true, longPieces: true, memory: 1 << 20, congestion: "newreno", start: (2 ** 31 - 5000) * 1000 },
			tcp: { timestamps: false, sack: false, windowScaling: false, initialWindow: 50 },
		},
	],
	[
		"a host without options, NewReno",
		{ congestion: "newreno", tcp: { timestamps: false, sack: false, windowScaling: false }, start: (2 ** 31 - 5000) * 1000 },
	],
	["a host with BBR", { congestion: "bbr" }],
	["a host with BBR on a link that takes slices", { congestion: "bbr", segmentation: true, longPieces: true, memory: 1 << 20 }],
	["a host short of memory", { memory: 1 << 18, tcp: { maxTimeWait: 1 }, start: (2 ** 32 - 5000) * 1000 }],
	[
		"a host with small buffers",
		{ tcp: { receiveBuffer: 3000, sendBuffer: 4000, maxReceiveBuffer: 6000, maxSendBuffer: 8000, timestamps: false } },
	],
];

const small = fc.oneof(
	{ weight: 6, arbitrary: fc.constant(0) },
	{ weight: 3, arbitrary: fc.integer({ min: -3, max: 3 }) },
	{ weight: 3, arbitrary: fc.integer({ min: -3000, max: 3000 }) },
	{ weight: 1, arbitrary: fc.integer() },
);

const flags = fc.oneof(
	{ weight: 8, arbitrary: fc.constantFrom(".", "P.", ".", "P.") },
	{ weight: 2, arbitrary: fc.constantFrom("S", "S.", "F.", "R", "R.", "FP.") },
	{ weight: 1, arbitrary: fc.constantFrom("", "SF", "SFR.", "FU", "PFU.", "SR", "EC.", "SEC") },
);

const segment: fc.Arbitrary<Aimed> = fc.record({
	slot: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 3, arbitrary: fc.nat(SLOTS - 1) }),
	flags,
	seqBase: fc.nat(6),
	seqOffset: small,
	ackBase: fc.nat(6),
	ackOffset: small,
	window: fc.oneof(fc.constant(65535), fc.constantFrom(0, 0, 1, 100, 1460), fc.nat(65535)),
	length: fc.oneof(fc.constant(0), fc.constantFrom(1, 2, 1448, 1460), fc.nat(1440)),
	options: fc.nat(8),
	pieces: fc.constantFrom(1, 1, 1, 1, 2, 3),
	edits: fc.oneof(
		{ weight: 6, arbitrary: fc.constant([]) },
		{ weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(80), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 255))), { maxLength: 3 }) },
	),
	raw: fc.uint8Array({ maxLength: 40 }),
});

/** A long merged run. */
const merged: fc.Arbitrary<Aimed> = fc
	.tuple(segment, fc.nat(6000), fc.integer({ min: 2, max: 8 }))
	.map(([aimed, length, pieces]) => ({ ...aimed, length, pieces, edits: [] }));

/** One thing that happens, as data, so that a counterexample can be read. */
type Step =
	| ["segment", Aimed, boolean]
	| ["icmp", number, number]
	| ["raw", Uint8Array, number]
	| ["establish", number, number]
	| ["call", string, number, number]
	| ["advance", number]
	| ["reach", number];

function perform(host: FuzzHost, step: Step): void {
	switch (step[0]) {
		case "segment":
			return host.segment(step[1], step[2]);
		case "icmp":
			return host.icmp(step[1], step[2]);
		case "raw":
			return host.inject([{ bytes: step[1], flags: step[2] }]);
		case "establish":
			return host.establish(step[1], step[2]);
		case "call":
			return host.call(step[1], step[2], step[3]);
		case "advance":
			return host.advance(step[1]);
		case "reach": {
			const [state, reach] = states[step[1]]!;
			host.manners = { read: false, echo: false, closeOnEnd: false, cutOnConnect: false };
			for (const act of reach) act(host);
			if (host.tcp.pool.capacity > 200) assert.equal(host.state(state === "SYN-SENT" ? 4 : 0), state);
		}
	}
}

const manners: fc.Arbitrary<Manners> = fc.record({
	read: fc.boolean(),
	echo: fc.boolean(),
	closeOnEnd: fc.boolean(),
	cutOnConnect: fc.nat(9).map((n) => n === 0),
});

const CALLS = [
	...["read", "read", "write", "write", "write", "finish", "close", "abort", "nodelay", "keepalive", "connect"],
	...["proceed", "refuse", "listen", "unlisten", "unlistenAny", "slow"],
];

/** A segment by the book; its flags and options are to be added. */
const BOOK = {
	...{ slot: 0, window: 65535, length: 0, pieces: 1, edits: [], raw: new Uint8Array(0) },
	...{ options: 0, seqBase: 0, seqOffset: 0, ackBase: 0, ackOffset: 0 },
};

type Act = (host: FuzzHost) => void;
const established: Act = (host) => host.establish(0, 1);
const write: Act = (host) => host.call("write", 0, 9000);
const finish: Act = (host) => host.call("finish", 0, 0);
const close: Act = (host) => host.call("close", 0, 0);
const ack: Act = (host) => host.segment({ ...BOOK, flags: "." });
const fin: Act = (host) => host.segment({ ...BOOK, flags: "F." });
const crossingFin: Act = (host) => host.segment({ ...BOOK, flags: "F.", ackBase: 2 });
const dataAndFin: Act = (host) => host.segment({ ...BOOK, flags: "FP.", length: 10 });

/** How slot 0 (or 4) comes to every state there is. */
const states: readonly (readonly [string, readonly Act[]])[] = [
	["CLOSED", []],
	["SYN-SENT", [(host) => host.call("connect", 4, 0)]],
	["SYN-RECEIVED", [(host) => host.segment({ ...BOOK, flags: "S", options: 1 })]],
	["ESTABLISHED", [established]],
	["ESTABLISHED", [established, write]],
	["FIN-WAIT-1", [established, finish]],
	["FIN-WAIT-2", [established, finish, ack]],
	["CLOSE-WAIT", [established, dataAndFin]],
	["CLOSING", [established, finish, crossingFin]],
	["LAST-ACK", [established, fin, finish]],
	// In TIME-WAIT, and its own record waits for somebody to read.
	["CLOSED", [established, finish, ack, dataAndFin]],
	["CLOSED", [established, close, ack, fin]],
];

const frame: fc.Arbitrary<Step> = fc.oneof(
	{ weight: 10, arbitrary: fc.tuple(fc.constant("segment"), segment, fc.constant(false)) },
	{ weight: 2, arbitrary: fc.tuple(fc.constant("segment"), segment, fc.constant(true)) },
	{ weight: 1, arbitrary: fc.tuple(fc.constant("segment"), merged, fc.constant(false)) },
	{ weight: 1, arbitrary: fc.tuple(fc.constant("icmp"), fc.nat(4), fc.constantFrom(0, 0, 68, 296, 576, 1400, 1500, 9000, 65535)) },
	{ weight: 1, arbitrary: fc.tuple(fc.constant("raw"), fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0, 2)) },
) as fc.Arbitrary<Step>;

const opening = fc.tuple(fc.constant("establish"), fc.constantFrom(0, 0, 0, 1, 4, 6), fc.constantFrom(0, 1, 1, 2)) as fc.Arbitrary<Step>;

/** Acknowledges all, nothing, or the first page, perhaps with a SACK block for what was sent last. */
const byTheBook = fc
	.record({
		slot: fc.constantFrom(0, 0, 0, 4, 6),
		flags: fc.constantFrom(".", ".", "P.", "F."),
		length: fc.constantFrom(0, 100, 1448),
		window: fc.constantFrom(65535, 65535, 0),
		ackBase: fc.constantFrom(0, 0, 0, 2, 4),
		options: fc.constantFrom(0, 0, 4, 8),
	})
	.map((fields): Step => ["segment", { ...BOOK, ...fields }, false]);

const call = fc.tuple(
	fc.constant("call"),
	fc.constantFrom(...CALLS),
	fc.constantFrom(0, 0, 0, 1, 4, 5, 6),
	fc.oneof(fc.nat(20), fc.nat(20_000), fc.nat(20_000)),
) as fc.Arbitrary<Step>;

const time = fc.tuple(
	fc.constant("advance"),
	fc.oneof(fc.nat(1000), fc.nat(50_000), fc.nat(2_000_000), fc.constantFrom(60_000_000, 200_000_000, 1_000_000_000)),
) as fc.Arbitrary<Step>;

/** Name, steps, and frames of a run on average. */
const ways: [string, fc.Arbitrary<Step[]>, number][] = [
	["single frames at every state", fc.tuple(fc.nat(states.length - 1), frame).map(([state, step]) => [["reach", state], step]), 3],
	[
		"sequences of frames",
		fc
			.tuple(
				opening,
				fc.array(fc.oneof({ weight: 4, arbitrary: frame }, { weight: 1, arbitrary: byTheBook }), {
					minLength: 1,
					maxLength: 24,
					size: "max",
				}),
			)
			.map(([first, rest]) => [first, ...rest]),
		14,
	],
	[
		"sequences with time and calls",
		fc.array(
			fc.oneof(
				{ weight: 6, arbitrary: frame },
				{ weight: 5, arbitrary: byTheBook },
				{ weight: 2, arbitrary: opening },
				{ weight: 6, arbitrary: call },
				{ weight: 3, arbitrary: time },
			),
			{ minLength: 1, maxLength: 50, size: "max" },
		),
		16,
	],
];

let total = 0;

for (const [kind, options] of hosts) {
	for (const [way, steps, frames] of ways) {
		test(`${kind}, ${way}: no throw, no leak, each frame counted`, () => {
			let host = new FuzzHost(options);
			let age = 0;
			fc.assert(
				fc.property(steps, manners, fc.boolean(), (list, habits, good) => {
					if (++age > LIFE) {
						total += host.frames;
						host = new FuzzHost(options);
						age = 0;
					}
					const { frames: before } = host;
					try {
						host.begin(habits);
						for (const step of list) perform(host, step);
						host.finish(good);
					} catch (error) {
						total += host.frames - before;
						host = new FuzzHost(options);
						age = 0;
						throw error;
					}
				}),
				{
					includeErrorInReport: true,
					numRuns: Math.ceil(runs / frames / hosts.length),
					...(seed === undefined ? {} : { seed: Number(seed) }),
				},
			);
			total += host.frames;
		});
	}
}

// What chance seldom hits: an exact reset, which ends TIME-WAIT and is counted once.
for (const [kind, options] of hosts) {
	test(`${kind}: an exact reset in TIME-WAIT is counted`, () => {
		const host = new FuzzHost(options);
		host.begin({ read: true, echo: false, closeOnEnd: false, cutOnConnect: false });
		perform(host, ["reach", states.length - 1]);
		const { resetsIn } = host.tcp.counters;
		host.segment({ ...BOOK, flags: "R", seqOffset: 1002 });
		assert.equal(host.tcp.counters.resetsIn, resetsIn + 1);
		host.finish(true);
	});
}

test("as many frames as were asked for", (t) => {
	t.diagnostic(`${total} frames`);
	assert.ok(total > runs / 2, `${total} frames`);
});
