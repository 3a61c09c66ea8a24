/** Starts the servers of a bench, one after the other; one that does not start is left out with a note. */
import type { Serving } from "./contestants.ts";

export class Servers {
	readonly notes: string[];
	/** False when one of ours did not start. */
	complete = true;

	constructor(notes: string[]) {
		this.notes = notes;
	}

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
