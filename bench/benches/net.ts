/** An unmodified `net` server: the same script on Millrace over TAP and on kernel sockets, with nginx beside it. */
import { type Bench, type Options, type Result, ratioAtLeast, ratioAtMost } from "../lib/bench.ts";
import { millrace, steered, variant } from "../lib/contestants.ts";
import { httpBench, THREE_SEGMENTS } from "../lib/http-bench.ts";
import { KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, wrkNeeds } from "../lib/lab.ts";
import { nodeVersion } from "../lib/results.ts";

export const net: Bench = {
	name: "net",
	title: "an unmodified net server over TAP against kernel net and nginx, wrk with 64 connections",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run: (options: Options): Promise<Result> =>
		httpBench(options, [
			{
				mode: KEEP_ALIVE,
				file: "net-keepalive.mjs",
				ours: (lab) => millrace(lab, options, "net-keepalive.mjs"),
				variants: (lab) => [
					variant(lab, options, "net-keepalive.mjs", "--pooled-chunks", "on"),
					steered(lab, options, "net-keepalive.mjs"),
				],
				againstKernel: ratioAtLeast(1.4),
				againstNginx: ratioAtLeast(1.2),
			},
			{
				mode: SHORT,
				file: "net-close.mjs",
				ours: (lab) => millrace(lab, options, "net-close.mjs"),
				variants: (lab) => [steered(lab, options, "net-close.mjs")],
				// Node 20's own objects take most of a short connection, on the kernel and here: less of it is a stack's to save.
				againstKernel: ratioAtLeast(Number.parseInt(nodeVersion(options.node), 10) >= 26 ? 2 : 1.6),
				againstNginx: ratioAtLeast(1.5),
				user: ratioAtMost(0.7),
				frames: THREE_SEGMENTS,
			},
		]),
};
