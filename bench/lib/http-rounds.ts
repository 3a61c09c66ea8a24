/**
 * The rounds that `net`, `http` and `portable` have in common: wrk against several servers that are up at the same time.
 *
 * For each mode (keep-alive, one request per connection) the servers take turns; what comes out is requests per second, the
 * server's CPU per request and, behind a TAP device, the frames it sends per request. CPU is what /proc/PID/stat counts for the
 * server process. Over TAP the kernel runs the client's receive path inside the server's system calls, so the system part is
 * not the server's alone; the user part is.
 */
import { readFileSync } from "node:fs";
import { alternate, type Goal, type Options, type Row, row, type Series } from "./bench.ts";
import type { Serving } from "./contestants.ts";
import type { Lab } from "./lab.ts";
import { wrk } from "./wrk.ts";

export interface Mode {
	readonly name: string;
	/** One unit of work: "request" or "connection". */
	readonly unit: string;
	readonly close: boolean;
	/** Connections that wrk keeps busy at a time. */
	readonly connections: number;
}

export const KEEP_ALIVE: Mode = { name: "keep-alive", unit: "request", close: false, connections: 64 };
export const SHORT: Mode = { name: "short", unit: "connection", close: true, connections: 64 };

export type Metric = "rate" | "user" | "system" | "frames";

/** Our server beside another one (or, without one, beside a fixed bound), by one metric. */
export interface Comparison {
	readonly ours: Serving;
	readonly theirs?: Serving;
	readonly metric: Metric;
	readonly goal?: Goal;
}

/** Frames that a device has taken from the side that is not the kernel's. */
function framesFrom(device: string): number {
	const line = readFileSync("/proc/net/dev", "latin1")
		.split("\n")
		.find((text) => text.trim().startsWith(`${device}:`));
	return Number(line?.split(":")[1]?.trim().split(/\s+/)[1] ?? Number.NaN);
}

/** Lets wrk ask one server for a while. */
export async function measure(lab: Lab, server: Serving, mode: Mode, seconds: number): Promise<Record<string, number>> {
	const cpuBefore = server.child.cpu();
	const framesBefore = server.device === undefined ? 0 : framesFrom(server.device);
	const { address, port } = server;
	const { requests, perSecond, errors } = await wrk(lab, { address, port, seconds, connections: mode.connections, close: mode.close });
	const cpu = server.child.cpu();
	if (requests === 0) throw new Error(`${server.name}: not one request was answered within ${seconds} s: ${server.child.lastWords}`);
	return {
		rate: perSecond,
		user: ((cpu.user - cpuBefore.user) * 1e6) / requests,
		system: ((cpu.system - cpuBefore.system) * 1e6) / requests,
		...(server.device === undefined ? {} : { frames: (framesFrom(server.device) - framesBefore) / requests }),
		errors,
	};
}

/** Runs one mode over all servers and returns the rows: each server's figures, compared as asked. */
export async function compare(
	lab: Lab,
	options: Options,
	mode: Mode,
	servers: readonly Serving[],
	comparisons: readonly Comparison[],
	notes: string[],
): Promise<Row[]> {
	const figures = await alternate(
		servers.map((server) => ({
			name: server.name,
			measure: (round: number) => measure(lab, server, mode, round < 0 ? 1 : options.seconds),
		})),
		options,
	);
	const series = (server: Serving, metric: Metric): Series => ({
		name: `${mode.name}, ${server.name}${{ rate: "", user: ": user CPU", system: ": system CPU", frames: ": frames sent" }[metric]}`,
		unit: { rate: `${mode.unit}s/s`, user: `us/${mode.unit}`, system: `us/${mode.unit}`, frames: `/${mode.unit}` }[metric],
		values: figures[servers.indexOf(server)]?.[metric] ?? [],
	});
	const rows: Row[] = [];
	for (const metric of ["rate", "user", "system", "frames"] as const) {
		for (const server of servers) {
			const own = series(server, metric);
			if (own.values.length === 0) continue;
			const wanted = comparisons.filter((comparison) => comparison.ours === server && comparison.metric === metric);
			if (wanted.length === 0) rows.push(row(own));
			for (const { theirs, goal } of wanted) rows.push(row(own, theirs === undefined ? undefined : series(theirs, metric), goal));
		}
	}
	servers.forEach((server, i) => {
		const errors = (figures[i]!.errors ?? []).reduce((sum, count) => sum + count, 0);
		if (errors > 0) notes.push(`${mode.name}, ${server.name}: wrk counted ${errors} errors`);
	});
	return rows;
}
