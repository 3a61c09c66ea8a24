/**
 * wrk against several servers in rounds, which the benches of small answers have in common.
 *
 * For each mode (keep-alive, one request per connection) what comes out is requests per second, the
 * server's CPU per request and, behind a TAP device, the frames it sends per request. CPU is what /proc/PID/stat counts for the
 * server process. Over TAP the kernel runs the client's receive path inside the server's system calls, so the system part is
 * not the server's alone; the user part is.
 */
import { readFileSync } from "node:fs";
import type { Row } from "./bench.ts";
import type { Server, Serving } from "./contestants.ts";
import type { Lab } from "./lab.ts";
import { type Comparison, rowsOf } from "./rows.ts";
import { LONG_WARM_UP, type Servers } from "./servers.ts";
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

/** Comparisons of each metric that is to have rows, in the order of the rows. */
export type Wanted = readonly (readonly [Metric, readonly Comparison[]])[];

/** Frames that a device has taken from the side that is not the kernel's. */
function framesFrom(device: string): number {
	const line = readFileSync("/proc/net/dev", "latin1")
		.split("\n")
		.find((text) => text.trim().startsWith(`${device}:`));
	return Number(line?.split(":")[1]?.trim().split(/\s+/)[1] ?? Number.NaN);
}

/** Lets wrk ask one server for a while. */
async function measure(lab: Lab, serving: Serving, mode: Mode, seconds: number): Promise<Record<string, number>> {
	const { address, port, child, device } = serving;
	const cpuBefore = child.cpu();
	const framesBefore = device === undefined ? 0 : framesFrom(device);
	const { requests, perSecond, errors } = await wrk(lab, { address, port, seconds, connections: mode.connections, close: mode.close });
	const cpu = child.cpu();
	if (requests === 0) throw new Error(`not one request was answered within ${seconds} s: ${child.lastWords}`);
	return {
		rate: perSecond,
		user: ((cpu.user - cpuBefore.user) * 1e6) / requests,
		system: ((cpu.system - cpuBefore.system) * 1e6) / requests,
		...(device === undefined ? {} : { frames: (framesFrom(device) - framesBefore) / requests }),
		errors,
	};
}

/** Runs one mode over all servers and returns the rows. `prefix` begins their names. */
export async function compare(
	lab: Lab,
	servers: Servers,
	mode: Mode,
	contestants: readonly Server[],
	wanted: Wanted,
	prefix = "",
): Promise<Row[]> {
	const title = `${prefix}${mode.name}`;
	const figures = await servers.rounds(title, contestants, (serving, seconds) => measure(lab, serving, mode, seconds), LONG_WARM_UP);
	for (const [server, { errors = [] }] of figures) {
		const count = errors.reduce((sum, each) => sum + each, 0);
		if (count > 0) servers.notes.push(`${title}, ${server.name}: wrk counted ${count} errors`);
	}
	const { unit } = mode;
	const words: Readonly<Record<Metric, { unit: string; suffix?: string }>> = {
		rate: { unit: `${unit}s/s` },
		user: { unit: `us/${unit}`, suffix: ": user CPU" },
		system: { unit: `us/${unit}`, suffix: ": system CPU" },
		frames: { unit: `/${unit}`, suffix: ": frames sent" },
	};
	return wanted.flatMap(([metric, comparisons]) => rowsOf(figures, { title, metric, ...words[metric] }, comparisons));
}
