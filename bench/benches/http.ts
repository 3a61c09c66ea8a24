/** An unmodified `node:http` server: the same script on Millrace over TAP and on kernel sockets, with nginx beside it. */
import { type Bench, type Options, type Result, ratioAtLeast } from "../lib/bench.ts";
import { millrace, variant } from "../lib/contestants.ts";
import { httpBench, THREE_SEGMENTS } from "../lib/http-bench.ts";
import { KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, wrkNeeds } from "../lib/lab.ts";

export const http: Bench = {
	name: "http",
	title: "an unmodified node:http server over TAP against kernel http and nginx, wrk with 64 connections",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run: (options: Options): Promise<Result> =>
		httpBench(options, [
			{
				mode: KEEP_ALIVE,
				file: "http.mjs",
				ours: (lab) => millrace(lab, options, "http.mjs"),
				variants: (lab) => [variant(lab, options, "http.mjs", "--rps", "off")],
				againstKernel: ratioAtLeast(1.1),
			},
			{
				mode: SHORT,
				file: "http.mjs",
				ours: (lab) => millrace(lab, options, "http.mjs"),
				variants: (lab) => [variant(lab, options, "http.mjs", "--rps", "off")],
				againstKernel: ratioAtLeast(2),
				againstNginx: ratioAtLeast(1),
				frames: THREE_SEGMENTS,
			},
		]),
};
