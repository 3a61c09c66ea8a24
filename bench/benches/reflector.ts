/** Link efficiency: what the stack makes of a TAP device, beside a bare frame reflector that only turns frames round. */
import { type Bench, type Options, type Result, type Row, ratioAtLeast } from "../lib/bench.ts";
import { onTap, type Serving } from "../lib/contestants.ts";
import { type Comparison, compare, KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, wrkNeeds } from "../lib/lab.ts";
import { withServers } from "../lib/servers.ts";

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const { notes } = servers;
		const rows: Row[] = [];
		for (const mode of [KEEP_ALIVE, SHORT]) {
			const argument = mode.close ? "close" : "keep-alive";
			const limit = await servers.ours("reflector", () => onTap(lab, options, "reflector", argument, "bare reflector"));
			const ours = await servers.ours("millrace", () => onTap(lab, options, "portable", argument, "millrace host.tcp"));
			const running = [ours, limit].filter((server): server is Serving => server !== undefined);
			const comparisons: Comparison[] =
				ours && limit
					? [
							{ ours, theirs: limit, metric: "rate", goal: ratioAtLeast(0.6) },
							{ ours, theirs: limit, metric: "user" },
						]
					: [];
			rows.push(...(await compare(lab, options, mode, running, comparisons, notes)));
			for (const server of running) await server.stop();
		}
		return rows;
	});

export const reflector: Bench = {
	name: "reflector",
	title: "link efficiency: host.tcp over TAP against a bare frame reflector on the same link",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run,
};
