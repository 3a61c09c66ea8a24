/** Runs `programs/client` or `programs/flows` once on the client's core and reads what it prints. */
import { program, type Serving } from "./contestants.ts";
import type { Lab } from "./lab.ts";

type Figures = Promise<Record<string, number>>;

async function client(lab: Lab, name: string, mode: string, server: Serving, seconds: number, ...rest: string[]): Figures {
	const argv = [process.execPath, program(name), mode, server.address, String(server.port), String(seconds), ...rest];
	try {
		return JSON.parse(await lab.client(argv, { seconds: seconds + 15 }).output());
	} catch (error) {
		const { ended, lastWords } = server.child;
		throw new Error(`${(error as Error).message}${ended === null ? "" : `; the server ended: ${lastWords}`}`);
	}
}

/** 64-byte round trips: percentiles in microseconds. */
export async function roundTrips(lab: Lab, server: Serving, seconds: number): Promise<Record<string, number>> {
	const { p50, p99, count } = await client(lab, "client", "pingpong", server, seconds);
	return { p50: p50!, p99: p99!, count: count! };
}

/**
 * One flow, in bits per second: "pull" is what the server sends, "push" what it receives.
 *
 * @param congestion The congestion control of the client's side; else the route's or the machine's.
 */
export async function flow(lab: Lab, mode: "pull" | "push", server: Serving, seconds: number, congestion?: string): Promise<number> {
	const { bytes, seconds: took } = await client(lab, "client", mode, server, seconds, ...(congestion === undefined ? [] : [congestion]));
	return (bytes! * 8) / took!;
}

/** As `flow`, of `count` flows together; and how long a connection beside them takes to come about, and a request on one that is open: medians, in milliseconds. */
export async function flows(
	lab: Lab,
	mode: "pull" | "push",
	server: Serving,
	seconds: number,
	count: number,
	congestion: string,
): Promise<{ bits: number; connect: number; request: number }> {
	const { bytes, seconds: took, connect, request } = await client(lab, "flows", mode, server, seconds, String(count), congestion);
	return { bits: (bytes! * 8) / took!, connect: connect!, request: request! };
}
