/** Link efficiency: what the stack makes of a TAP device, beside a bare frame reflector that only turns frames round. */
import { type Bench, type Options, type Result, type Row, ratioAtLeast } from "../lib/bench.ts";
import { onTap } from "../lib/contestants.ts";
import { compare, KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, wrkNeeds } from "../lib/lab.ts";
import { withServers } from "../lib/servers.ts";

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const rows: Row[] = [];
		for (const mode of [KEEP_ALIVE, SHORT]) {
			const argument = mode.close ? "close" : "keep-alive";
			const of = onTap(lab, options, "portable", argument, "millrace host.tcp");
			const against = onTap(lab, options, "reflector", argument, "bare reflector");
			rows.push(
				...(await compare(
					lab,
					servers,
					mode,
					[of, against],
					[
						["rate", [{ of, against, goal: ratioAtLeast(0.6) }]],
						["user", [{ of, against }]],
						["system", []],
						["frames", []],
					],
				)),
			);
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
