/**
 * BBR, pacing and the loss-based algorithms beside them, on a simulated bottleneck: 100 Mbit/s and 40 ms round trip unless said
 * otherwise, loss in both directions. Virtual time: the figures are a function of the seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Simulation, simulate } from "../../src/sim/index.ts";
import type { ConnectionInfo, TcpSocket } from "../../src/socket/socket.ts";
import type { TcpOptions } from "../../src/tcp/options.ts";

/** Bits a second, and the payload bytes a second that fit them: 1448 of 1500 with timestamps. */
const RATE = 100e6;
const LINK = (RATE / 8) * (1448 / 1500);
/** Microseconds. */
const ROUND_TRIP = 40_000;

interface Plan {
	seconds: number;
	tcp: Partial<TcpOptions>;
	loss?: number;
	/** Frames at the bottleneck. */
	limit?: number;
	flows?: number;
	seed?: number;
	/** Runs beside the transfer. */
	during?(sim: Simulation, run: Run): void;
	/** What a flow writes: default all that it can. */
	writer?(sim: Simulation, socket: TcpSocket): () => void;
}

interface Run {
	/** Bytes that have arrived, by flow. */
	got: number[];
	sockets: TcpSocket[];
	/** The first flow, every 50 ms from the third second on. */
	samples: ConnectionInfo[];
	timeouts: number;
	cut(on: boolean): void;
}

const PIECE = new Uint8Array(65536);

/** One host sends to another through the bottleneck. */
async function transfer(plan: Plan): Promise<Run> {
	const { seconds, tcp, loss = 0, limit = 1000, flows = 1, seed = 1 } = plan;
	const { value } = await simulate({ seed, seconds }, (sim) => {
		const out = { delay: ROUND_TRIP / 4, loss, rate: RATE, limit };
		const wire = sim.segment({ capacity: 8192, out, in: { delay: ROUND_TRIP / 4 } });
		const from = sim.host("from", { on: wire, addresses: ["10.0.0.1/24"], memory: 32 << 20, tcp });
		const to = sim.host("to", { on: wire, addresses: ["10.0.0.2/24"], memory: 32 << 20 });
		const run: Run = {
			got: [],
			sockets: [],
			samples: [],
			get timeouts() {
				return from.stats().tcp.timeouts!;
			},
			cut(on) {
				wire.filter = on ? () => false : undefined;
			},
		};
		const nothing = { connected() {}, ended() {}, writable() {}, closed() {} };
		const sink = new Uint8Array(1 << 20);
		to.tcpListen({ port: 80 }).onconnection = (socket) => {
			const flow = run.got.push(0) - 1;
			socket.events = {
				...nothing,
				readable() {
					for (let n = 1; n > 0; run.got[flow]! += n) n = socket.readInto(sink, 0, sink.length);
				},
			};
		};
		for (let i = 0; i < flows; i++) {
			let write = (): void => {};
			const events = { ...nothing, readable() {}, connected: () => write(), writable: () => write() };
			const socket = from.tcpConnect({ address: "10.0.0.2", port: 80 }, events);
			write =
				plan.writer?.(sim, socket) ??
				(() => {
					while (socket.write(PIECE) === PIECE.length);
				});
			run.sockets.push(socket);
		}
		const sample = (): void => {
			const info = run.sockets[0]!.info();
			if (info !== null) run.samples.push(info);
			if (sim.now < seconds - 0.1) sim.after(0.05, sample);
		};
		sim.at(3, sample);
		plan.during?.(sim, run);
		return run;
	});
	return value;
}

function sum(values: readonly number[]): number {
	return values.reduce((a, b) => a + b, 0);
}

/** Median of a figure of the first flow. */
function median(run: Run, figure: (info: ConnectionInfo) => number): number {
	const values = run.samples.map(figure).sort((a, b) => a - b);
	return values[values.length >> 1]!;
}

const bbr = { congestion: "bbr" } as const;

for (const loss of [0, 0.01, 0.03]) {
	test(`BBR: fills 85 % of the link where ${loss * 100} % of all frames are lost at random`, async () => {
		const run = await transfer({ seconds: 10, tcp: bbr, loss });
		assert.ok(run.got[0]! / 10 > 0.85 * LINK, `${run.got[0]! / 10} of ${LINK} bytes a second`);
	});
}

test("BBR: keeps the queue of the bottleneck short, however deep it could be", async () => {
	const run = await transfer({ seconds: 10, tcp: bbr, limit: 2000 });
	assert.ok(median(run, (info) => info.rtt) < 1.5 * ROUND_TRIP, `median ${median(run, (info) => info.rtt)} us`);
	for (const info of run.samples) assert.ok(info.rtt < 3 * ROUND_TRIP, `${info.rtt} us`);
});

test("BBR: a queue of 64 frames, a fifth of what the path holds, is enough", async () => {
	const run = await transfer({ seconds: 10, tcp: bbr, limit: 64 });
	assert.ok(run.got[0]! / 10 > 0.85 * LINK);
	const info = run.sockets[0]!.info()!;
	assert.ok(info.retransmits < 0.1 * info.segmentsOut, `${info.retransmits} of ${info.segmentsOut} sent again`);
});

test("BBR: two flows share the link", async () => {
	const run = await transfer({ seconds: 20, tcp: bbr, flows: 2, seed: 3 });
	const jain = sum(run.got) ** 2 / (2 * sum(run.got.map((n) => n * n)));
	assert.ok(jain > 0.7, `Jain's index ${jain} of ${run.got}`);
	assert.ok(sum(run.got) / 20 > 0.85 * LINK);
});

test("BBR: an application that sends little for a while does not make the path look slow", async () => {
	let before = 0;
	const run = await transfer({
		seconds: 12,
		tcp: bbr,
		// As much as goes for 4 s, then 20 kB every 100 ms for 4 s, then as much as goes again.
		writer: (sim, socket) => {
			const full = (): void => {
				if (sim.now > 4 && sim.now < 8) return;
				while (socket.write(PIECE) === PIECE.length);
			};
			const little = (): void => {
				if (sim.now >= 8) return full();
				socket.write(PIECE, 45_536);
				sim.after(0.1, little);
			};
			sim.at(4, little);
			return full;
		},
		during: (sim, run) => sim.at(8, () => (before = sum(run.got))),
	});
	assert.ok((sum(run.got) - before) / 4 > 0.85 * LINK, `${(sum(run.got) - before) / 4} bytes a second afterwards`);
});

test("BBR: a connection that was cut off until its retransmission timer expired gets its rate back", async () => {
	let before = 0;
	const run = await transfer({
		seconds: 10,
		tcp: bbr,
		during: (sim, run) => {
			sim.at(3, () => run.cut(true));
			sim.at(4, () => run.cut(false));
			sim.at(6, () => (before = sum(run.got)));
		},
	});
	assert.ok(run.timeouts > 0);
	assert.ok((sum(run.got) - before) / 4 > 0.85 * LINK, `${(sum(run.got) - before) / 4} bytes a second afterwards`);
});

test("BBR: after 40 minutes of silence it still looks for more than it knows of", async () => {
	// The end is before PROBE_RTT begins the cycle anew.
	const [quiet, again, end] = [6, 2406, 2410.5];
	let before = 0;
	let flows = 0;
	const run = await transfer({
		seconds: end,
		tcp: bbr,
		flows: 2,
		seed: 3,
		// Two share the link; then both are silent, and one goes on alone.
		writer: (sim, socket) => {
			const first = flows++ === 0;
			const full = (): void => {
				if (sim.now > quiet && (!first || sim.now < again)) return;
				while (socket.write(PIECE) === PIECE.length);
			};
			if (first) sim.at(again, full);
			return full;
		},
		during: (sim, run) => sim.at(end - 2, () => (before = run.got[0]!)),
	});
	assert.ok((run.got[0]! - before) / 2 > 0.8 * LINK, `${(run.got[0]! - before) / 2} of ${LINK} bytes a second`);
});

test("BBR: without SACK the connection is CUBIC's", async () => {
	const run = await transfer({ seconds: 5, tcp: { ...bbr, sack: false } });
	assert.ok(run.got[0]! / 5 > 0.8 * LINK);
});

test("RFC 9438, RFC 5681: CUBIC and NewReno get what their formulas say, and no more, from loss at random", async () => {
	// Mathis and others, 1997: MSS / RTT * sqrt(3 / 2p).
	const reno = (1448 / (ROUND_TRIP / 1e6)) * Math.sqrt(1.5 / 0.01);
	for (const congestion of ["cubic", "newreno"] as const) {
		const run = await transfer({ seconds: 60, tcp: { congestion }, loss: 0.01 });
		const rate = run.got[0]! / 60;
		assert.ok(rate > 0.8 * reno && rate < 1.4 * reno, `${congestion}: ${rate}, the formula has ${reno}`);
	}
});

test("Pacing: CUBIC loses less at a short queue when its segments are spread", async () => {
	const plain = await transfer({ seconds: 15, tcp: {}, limit: 32 });
	const paced = await transfer({ seconds: 15, tcp: { pacing: true }, limit: 32 });
	assert.ok(paced.got[0]! > plain.got[0]!, `${paced.got[0]} and ${plain.got[0]} bytes`);
});
