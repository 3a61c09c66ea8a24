/**
 * The servers of a bench, in rounds: in each round every server is a new process, and no other one runs beside it.
 *
 * Hides starting, warming up and ending. One process of Node is fast or slow from its start to its end, so a figure of one process
 * would be a figure of that process. A server that fails, at its start or under load, is left out from then on, with a note; if it
 * is ours, the bench is incomplete.
 */
import { alternate, leavingOut, type Options, type Result, type Row } from "./bench.ts";
import { stopAll } from "./child.ts";
import type { Server, Serving } from "./contestants.ts";
import { CUBIC, Lab } from "./lab.ts";

/** Seconds of round trips before a process is measured. A short run has none: it shows that all works, not how fast. */
const WARM_UP = 3;
/** The same for all other loads, which run more code, or the same less often: Node compiles it for so long (docs/performance.md). */
export const LONG_WARM_UP = 8;
/** The same for programs that are machine code. */
const COMPILED_WARM_UP = 1;

/** Puts one load on a server for a while; named metrics. */
export type Measure = (serving: Serving, seconds: number, server: Server) => Promise<Readonly<Record<string, number>>>;

/** The values of each metric, a value per round, per server. */
export type Figures = ReadonlyMap<Server, Readonly<Record<string, readonly number[]>>>;

export class Servers {
	readonly notes: string[] = [];
	/** False when one of ours failed. */
	complete = true;
	readonly #options: Pick<Options, "rounds" | "seconds" | "short">;
	readonly #lab: Pick<Lab, "clear">;

	constructor(options: Pick<Options, "rounds" | "seconds" | "short">, lab: Pick<Lab, "clear">) {
		this.#options = options;
		this.#lab = lab;
	}

	/** Starts a server that is to stay until the laboratory is cleared; undefined when it does not start. */
	async start(server: Server): Promise<Serving | undefined> {
		try {
			return await server.start();
		} catch (error) {
			this.#leaveOut(server, `${server.name} left out: ${(error as Error).message}`);
			return undefined;
		}
	}

	/** Measures servers in rounds. `title` says of what, in notes; `warmUp` how long those are loaded before that are not compiled. */
	async rounds(title: string, servers: readonly Server[], measure: Measure, warmUp: number = WARM_UP): Promise<Figures> {
		const { seconds, short } = this.#options;
		const contestants = servers.map((server) => {
			const measured = async (): Promise<Readonly<Record<string, number>>> => {
				try {
					const serving = await server.start();
					if (!short) await measure(serving, server.compiled === true ? COMPILED_WARM_UP : warmUp, server);
					return await measure(serving, seconds, server);
				} finally {
					await this.#lab.clear();
				}
			};
			return leavingOut({ name: server.name, measure: measured }, (round, error) =>
				this.#leaveOut(server, `${title}, ${server.name} left out from round ${round + 1} on: ${error.message}`),
			);
		});
		const table = await alternate(contestants, this.#options);
		return new Map(servers.map((server, i) => [server, table[i]!]));
	}

	#leaveOut(server: Server, note: string): void {
		this.notes.push(note);
		if (server.ours) this.complete = false;
	}
}

/**
 * Runs a bench with servers, whose rows are what `measure` gives. All that was started is ended, however it comes out.
 *
 * @param seconds Of a measurement, where the bench has a length of its own.
 */
export async function withServers(
	options: Options,
	measure: (lab: Lab, servers: Servers) => Promise<Row[]>,
	seconds: number = options.seconds,
): Promise<Result> {
	try {
		const lab = Lab.open();
		const servers = new Servers(options, lab);
		if (lab.usual !== CUBIC)
			servers.notes.push(
				`kernels have ${lab.usual} where no other one is named: ${CUBIC} is not in net.ipv4.tcp_allowed_congestion_control`,
			);
		const rows = await measure(lab, servers);
		return { rounds: options.rounds, seconds, rows, notes: servers.notes, complete: servers.complete };
	} finally {
		await stopAll();
	}
}
