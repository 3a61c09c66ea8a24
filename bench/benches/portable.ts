/** The portable face (`host.tcp`) over TAP against a `net` server on kernel sockets and nginx. */
import { type Bench, type Options, type Result, ratioAtLeast, ratioAtMost } from "../lib/bench.ts";
import { onTap } from "../lib/contestants.ts";
import { httpBench, THREE_SEGMENTS } from "../lib/http-bench.ts";
import { KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, wrkNeeds } from "../lib/lab.ts";

export const portable: Bench = {
	name: "portable",
	title: "the portable face host.tcp over TAP against kernel net and nginx, wrk with 64 connections",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run: (options: Options): Promise<Result> =>
		httpBench(options, [
			{
				mode: KEEP_ALIVE,
				file: "net-keepalive.mjs",
				ours: (lab) => onTap(lab, options, "portable", "keep-alive", "millrace host.tcp"),
			},
			{
				mode: SHORT,
				file: "net-close.mjs",
				ours: (lab) => onTap(lab, options, "portable", "close", "millrace host.tcp"),
				againstKernel: ratioAtLeast(2.2),
				againstNginx: ratioAtLeast(2),
				user: ratioAtMost(0.25),
				frames: THREE_SEGMENTS,
			},
		]),
};
