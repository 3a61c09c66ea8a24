/**
 * A bench of HTTP-like servers: ours over TAP, the same script on kernel sockets, nginx; both modes.
 *
 * Hides which contestants take part: the kernel over `lo` always, and over a veth pair and nginx unless the run is short, nginx
 * only where it is installed.
 */
import { type Goal, type Options, type Result, type Row, valueAtMost } from "./bench.ts";
import { kernel, nginx, type Path, type Server } from "./contestants.ts";
import { compare, type Mode } from "./http-rounds.ts";
import { installed, type Lab } from "./lab.ts";
import type { Comparison } from "./rows.ts";
import { withServers } from "./servers.ts";

/**
 * Segments of a short connection: SYN-ACK; answer with ACK and FIN in one; last ACK. What a connection has more that wrk cuts off at the end, or
 * whose client sent something twice, is the part above 3.
 */
export const THREE_SEGMENTS: Goal = valueAtMost(3.05);

export interface ModePlan {
	readonly mode: Mode;
	/** The script that the kernel contestant runs. */
	readonly file: string;
	readonly ours: (lab: Lab) => Server;
	/** Ours in other settings, beside the first kernel contestant, without a goal. */
	readonly variants?: (lab: Lab) => readonly Server[];
	readonly againstKernel?: Goal;
	readonly againstNginx?: Goal;
	/** User CPU per unit, beside the kernel contestant's. */
	readonly user?: Goal;
	/** Frames that we send per unit. */
	readonly frames?: Goal;
}

const comparison = (of: Server, against: Server | undefined, goal: Goal | undefined): Comparison => ({
	of,
	...(against && { against }),
	...(goal && { goal }),
});

export const httpBench = (options: Options, plans: readonly ModePlan[]): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const rows: Row[] = [];
		const paths: readonly Path[] = options.short ? ["lo"] : ["lo", "veth"];
		const withNginx = installed("nginx") && !options.short;
		if (!installed("nginx")) servers.notes.push("nginx left out: apt-get install nginx");
		for (const plan of plans) {
			const ours = plan.ours(lab);
			const kernels = paths.map((path) => kernel(lab, options, plan.file, path));
			const nginxes = withNginx ? paths.map((path) => nginx(lab, path)) : [];
			const variants = plan.variants === undefined || options.short ? [] : plan.variants(lab);
			// The goals hold against the faster of the kernel's two ways, which is lo: the first.
			const rate = [
				...kernels.map((theirs, i) => comparison(ours, theirs, i === 0 ? plan.againstKernel : undefined)),
				...nginxes.map((theirs, i) => comparison(ours, theirs, i === 0 ? plan.againstNginx : undefined)),
				...variants.map((variant) => comparison(variant, kernels[0], undefined)),
			];
			const contestants = [ours, ...kernels, ...nginxes, ...variants];
			rows.push(
				...(await compare(lab, servers, plan.mode, contestants, [
					["rate", rate],
					["user", [comparison(ours, kernels[0], plan.user)]],
					["system", []],
					["frames", plan.frames === undefined ? [] : [comparison(ours, undefined, plan.frames)]],
				])),
			);
		}
		return rows;
	});
