/** Starts the servers of a bench, one after the other; one that does not start is left out with a note. */
import type { Options, Result, Row } from "./bench.ts";
import { stopAll } from "./child.ts";
import type { Serving } from "./contestants.ts";
import { Lab } from "./lab.ts";

export class Servers {
	readonly notes: string[] = [];
	/** False when one of ours did not start. */
	complete = true;

	async ours(name: string, start: () => Promise<Serving>): Promise<Serving | undefined> {
		const server = await this.theirs(name, start);
		if (server === undefined) this.complete = false;
		return server;
	}

	async theirs(name: string, start: () => Promise<Serving>): Promise<Serving | undefined> {
		try {
			return await start();
		} catch (error) {
			this.notes.push(`${name} left out: ${(error as Error).message}`);
			return undefined;
		}
	}
}

/** Runs a bench with servers, whose rows are what `measure` gives. All that was started is ended, however it comes out. */
export async function withServers(options: Options, measure: (lab: Lab, servers: Servers) => Promise<Row[]>): Promise<Result> {
	const servers = new Servers();
	try {
		const rows = await measure(Lab.open(), servers);
		return { rounds: options.rounds, rows, notes: servers.notes, complete: servers.complete };
	} finally {
		await stopAll();
	}
}
