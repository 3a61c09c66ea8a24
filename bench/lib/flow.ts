/** Runs `programs/client` once on the client's core and reads what it prints. */
import { program, type Serving } from "./contestants.ts";
import type { Lab } from "./lab.ts";

async function client(lab: Lab, mode: string, server: Serving, seconds: number, ...rest: string[]): Promise<Record<string, number>> {
	const argv = [process.execPath, program("client"), mode, server.address, String(server.port), String(seconds), ...rest];
	try {
		return JSON.parse(await lab.client(argv, { seconds: seconds + 15 }).output());
	} catch (error) {
		const { ended, lastWords } = server.child;
		throw new Error(`${(error as Error).message}${ended === null ? "" : `; the server ended: ${lastWords}`}`);
	}
}

/** 64-byte round trips: percentiles in microseconds. */
export async function roundTrips(lab: Lab, server: Serving, seconds: number): Promise<Record<string, number>> {
	const { p50, p99, count } = await client(lab, "pingpong", server, seconds);
	return { p50: p50!, p99: p99!, count: count! };
}

/**
 * One flow, in bits per second: "pull" is what the server sends, "push" what it receives.
 *
 * @param congestion The congestion control of the client's side; else the route's or the machine's.
 */
export async function flow(lab: Lab, mode: "pull" | "push", server: Serving, seconds: number, congestion?: string): Promise<number> {
	const { bytes, seconds: took } = await client(lab, mode, server, seconds, ...(congestion === undefined ? [] : [congestion]));
	return (bytes! * 8) / took!;
}
