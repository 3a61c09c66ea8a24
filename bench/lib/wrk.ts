/** wrk, the load generator: runs it once on the client's core and reads its report. */
import type { Lab } from "./lab.ts";

export interface Load {
	readonly address: string;
	readonly port: number;
	readonly seconds: number;
	readonly connections: number;
	/** Ask the server to close after each answer. */
	readonly close: boolean;
}

export interface Report {
	readonly requests: number;
	readonly perSecond: number;
	/** Socket errors and answers other than 2xx. */
	readonly errors: number;
}

export async function wrk(lab: Lab, load: Load): Promise<Report> {
	const argv = ["wrk", "-t1", `-c${load.connections}`, `-d${load.seconds}s`, "--timeout", "2s"];
	if (load.close) argv.push("-H", "Connection: close");
	argv.push(`http://${load.address}:${load.port}/`);
	return parse(await lab.client(argv, { seconds: load.seconds + 20 }).output());
}

/** Reads the text that wrk 4 prints. */
export function parse(text: string): Report {
	const total = /(\d+) requests in/.exec(text);
	const rate = /Requests\/sec:\s+([\d.]+)/.exec(text);
	if (total === null || rate === null) throw new Error(`wrk: report not understood: ${text.trim()}`);
	let errors = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
	const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
	for (const count of sockets?.slice(1) ?? []) errors += Number(count);
	return { requests: Number(total[1]), perSecond: Number(rate[1]), errors };
}
