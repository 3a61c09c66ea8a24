/**
 * Goodput of one flow over a bad network, each way: Millrace and a kernel server behind the same impairment.
 *
 * Millrace: `millrace run --link tap --delay 20ms --rate 100mbit --loss P`. Kernel: two TAP devices joined by the same impaired
 * link in user space, the server's kernel in a namespace of its own. The client is the same kernel both times. Congestion
 * control is pinned by route to CUBIC, which is Millrace's default and Linux's; BBR on Millrace, and what this machine's kernel
 * does by its own choice (`bbr`, say), are shown beside it.
 *
 * The arithmetic limit is what the bottleneck carries when it never idles: rate x 1448 payload bytes of 1514 in a frame. Loss
 * does not lower it: frames are lost in front of the bottleneck and take none of its time.
 */
import {
	alternate,
	type Bench,
	type Contestant,
	type Options,
	type Result,
	type Row,
	ratioAtLeast,
	row,
	type Series,
} from "../lib/bench.ts";
import { pin } from "../lib/congestion.ts";
import { joined, millrace, type Serving } from "../lib/contestants.ts";
import { flow } from "../lib/flow.ts";
import { isolationNeeds } from "../lib/lab.ts";
import { withServers } from "../lib/servers.ts";

const DELAY_MS = 20;
const RATE_MBIT = 100;
/** Losses take time to show: a round is longer than elsewhere. */
const SECONDS = 8;
const WARM_UP = 2;

const run = (options: Options): Promise<Result> => {
	const seconds = options.short ? 2 : Math.max(SECONDS, options.seconds);
	return withServers(
		options,
		async (lab, servers) => {
			const rows: Row[] = [];
			const kernelsChoice = lab.machinesChoice;
			for (const loss of options.short ? [1] : [0, 1, 3]) {
				const flags = ["--delay", `${DELAY_MS}ms`, "--rate", `${RATE_MBIT}mbit`, "--loss", `${loss}%`];
				const limit: Series = {
					name: "arithmetic limit",
					unit: "Mbit/s",
					values: [RATE_MBIT * (1448 / 1514)],
				};
				const impairment = { delay: DELAY_MS * 1000, rate: RATE_MBIT * 1e6, loss: loss / 100 };
				for (const [mode, file, name] of [
					["pull", "source.mjs", "download"],
					["push", "sink.mjs", "upload"],
				] as const) {
					const ours = await servers.start(millrace(lab, options, file, flags));
					// The client sends in an upload: there the server's choice decides nothing.
					const byModel = mode === "pull" && !options.short;
					const bbr = { ...millrace(lab, options, file, [...flags, "--congestion", "bbr"]), name: "millrace bbr" };
					const oursByModel = byModel ? await servers.start(bbr) : undefined;
					const theirs = await servers.start(joined(lab, options, file, impairment));
					const contestants: Contestant[] = [];
					const add = async (server: Serving | undefined, label: string, before: () => void): Promise<void> => {
						if (server === undefined) return;
						const measure = async (time: number) => {
							before();
							return { mbits: (await flow(lab, mode, server, time)) / 1e6 };
						};
						if (!options.short) await measure(WARM_UP);
						contestants.push({ name: label, measure: () => measure(seconds) });
					};
					await add(ours, "millrace cubic", () => pin(ours!.device!, "cubic"));
					await add(theirs, "kernel cubic", () => {
						pin(theirs!.device!, "cubic");
						pin(theirs!.far!.device, "cubic", theirs!.far!.namespace);
					});
					await add(oursByModel, "millrace bbr", () => pin(oursByModel!.device!, "cubic"));
					if (byModel && kernelsChoice !== "cubic") {
						await add(theirs, `kernel ${kernelsChoice}`, () => pin(theirs!.far!.device, kernelsChoice, theirs!.far!.namespace));
					}
					const figures = await alternate(contestants, options);
					const series = contestants.map((contestant, i) => ({
						name: `${name}, ${loss} % loss, ${contestant.name}`,
						unit: "Mbit/s",
						values: figures[i]!.mbits!,
					}));
					const mine = ours === undefined ? undefined : series[0];
					if (mine !== undefined) {
						if (theirs !== undefined) rows.push(row(mine, series[1], ratioAtLeast(1)));
						rows.push(row(mine, limit));
					}
					const model = series.find((other) => other.name.endsWith("millrace bbr"));
					const rival = series.find((other) => other.name.endsWith("kernel bbr"));
					if (model !== undefined && rival !== undefined) rows.push(row(model, rival, ratioAtLeast(1)));
					for (const other of series) if (other !== mine) rows.push(row(other, limit));
					await lab.clear();
				}
			}
			return rows;
		},
		seconds,
	);
};

export const goodput: Bench = {
	name: "goodput",
	title: `one flow over ${DELAY_MS} ms each way, ${RATE_MBIT} Mbit/s and loss, against a kernel server behind the same impairment`,
	isolated: true,
	needs: isolationNeeds,
	run,
};
