/**
 * A bench of HTTP-like servers: ours over TAP, the same script on kernel sockets, nginx; both modes.
 *
 * Hides which contestants take part: the kernel over `lo` always, and over a veth pair and nginx unless the run is short, nginx
 * only where it is installed. A contestant that does not start is left out with a note; if it is ours, the result is incomplete.
 */
import type { Goal, Options, Result, Row } from "./bench.ts";
import { kernel, nginx, type Path, type Serving } from "./contestants.ts";
import { type Comparison, compare, type Mode } from "./http-rounds.ts";
import { installed, type Lab } from "./lab.ts";
import { withServers } from "./servers.ts";

export interface ModePlan {
	readonly mode: Mode;
	/** The script that the kernel contestant runs. */
	readonly file: string;
	readonly ours: (lab: Lab) => Promise<Serving>;
	/** Ours in another setting, beside the first kernel contestant, without a goal. */
	readonly variant?: (lab: Lab) => Promise<Serving>;
	readonly againstKernel?: Goal;
	readonly againstNginx?: Goal;
	/** User CPU per unit, beside the kernel contestant's. */
	readonly user?: Goal;
	/** Frames that we send per unit. */
	readonly frames?: Goal;
}

export const httpBench = (options: Options, plans: readonly ModePlan[]): Promise<Result> =>
	withServers(options, async (lab, starter) => {
		const rows: Row[] = [];
		const { notes } = starter;
		const paths: readonly Path[] = options.short ? ["lo"] : ["lo", "veth"];
		const withNginx = installed("nginx") && !options.short;
		if (!installed("nginx")) notes.push("nginx left out: apt-get install nginx");
		for (const plan of plans) {
			const ours = await starter.ours("millrace", () => plan.ours(lab));
			const servers: Serving[] = ours === undefined ? [] : [ours];
			const comparisons: Comparison[] = [];
			const beside = (theirs: Serving, rate: Goal | undefined): void => {
				servers.push(theirs);
				if (ours !== undefined) comparisons.push({ ours, theirs, metric: "rate", ...(rate && { goal: rate }) });
			};
			// The goals hold against the faster of the kernel's two ways, which is lo.
			for (const path of paths) {
				const server = await starter.theirs(`kernel (${path})`, () => kernel(lab, options, plan.file, path));
				if (server === undefined) continue;
				beside(server, path === "lo" ? plan.againstKernel : undefined);
				if (ours !== undefined && path === "lo")
					comparisons.push({ ours, theirs: server, metric: "user", ...(plan.user && { goal: plan.user }) });
			}
			for (const path of withNginx ? paths : []) {
				const server = await starter.theirs(`nginx (${path})`, () => nginx(lab, path));
				if (server !== undefined) beside(server, path === "lo" ? plan.againstNginx : undefined);
			}
			const { variant } = plan;
			const second = variant === undefined || options.short ? undefined : await starter.ours("millrace", () => variant(lab));
			if (second !== undefined) {
				const first = comparisons.find(({ metric }) => metric === "rate")?.theirs;
				if (first !== undefined) comparisons.push({ ours: second, theirs: first, metric: "rate" });
				servers.push(second);
			}
			if (ours !== undefined && plan.frames) comparisons.push({ ours, metric: "frames", goal: plan.frames });
			rows.push(...(await compare(lab, options, plan.mode, servers, comparisons, notes)));
			for (const server of servers) await server.stop();
		}
		return rows;
	});
