/** Where the time of the server's core goes: that of the main thread for a request and for a short connection, by layer. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Bench, type Options, type Result, type Row, row } from "../lib/bench.ts";
import { kernel, millrace, onTap, program, type Server, type Serving } from "../lib/contestants.ts";
import { KEEP_ALIVE, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, type Lab, said, wrkNeeds } from "../lib/lab.ts";
import { LAYERS, type Layer, timeByLayer } from "../lib/layers.ts";
import { LONG_WARM_UP, withServers } from "../lib/servers.ts";
import { wrk } from "../lib/wrk.ts";

/** Time for a profile of some ten thousand samples to be written, in ms. */
const WRITTEN = 20_000;

function contestants(lab: Lab, options: Options, close: boolean): Server[] {
	const mode = close ? "close" : "keep-alive";
	const file = close ? "net-close.mjs" : "net-keepalive.mjs";
	const named = (server: Server, name: string): Server => ({ ...server, name });
	return [
		named(onTap(lab, options, "reflector", mode, ""), "bare reflector"),
		named(onTap(lab, options, "portable", mode, ""), "millrace host.tcp"),
		named(millrace(lab, options, file), "millrace net"),
		named(kernel(lab, options, file, "lo"), "kernel net"),
		named(millrace(lab, options, "http.mjs"), "millrace http"),
		named(kernel(lab, options, "http.mjs", "lo"), "kernel http"),
	];
}

const run = async (asked: Options): Promise<Result> => {
	const folder = mkdtempSync(join(tmpdir(), "millrace-profile-"));
	const out = join(folder, "profile.json");
	const hook = pathToFileURL(program("profiled"));
	hook.searchParams.set("out", out);
	const options: Options = { ...asked, nodeFlags: ["--import", hook.href] };
	try {
		return await withServers(options, async (lab, servers) => {
			const rows: Row[] = [];
			for (const mode of [KEEP_ALIVE, SHORT]) {
				const load = { connections: mode.connections, close: mode.close };
				// A process is loaded twice, to warm up first; in a short run once.
				const warm = new WeakSet<Serving>();
				const measure = async (serving: Serving, seconds: number): Promise<Record<string, number>> => {
					const { child, address, port } = serving;
					const counts = options.short || warm.has(serving);
					warm.add(serving);
					if (counts) process.kill(child.pid, "SIGUSR2");
					const { requests } = await wrk(lab, { address, port, seconds, ...load });
					if (!counts) return {};
					process.kill(child.pid, "SIGUSR2");
					await said(child, "profiled", WRITTEN);
					if (requests === 0) throw new Error("not one request was answered");
					const times = timeByLayer(JSON.parse(readFileSync(out, "utf8")));
					const each = (of: readonly Layer[]): number => of.reduce((sum, layer) => sum + (times.get(layer) ?? 0), 0) * (1000 / requests);
					const busy = LAYERS.filter((layer) => layer !== "idle");
					return { ...Object.fromEntries(busy.map((layer) => [layer, each([layer])])), all: each(busy), idle: each(["idle"]) };
				};
				const title = `a ${mode.name} ${mode.unit}`;
				for (const [server, figures] of await servers.rounds(title, contestants(lab, options, mode.close), measure, LONG_WARM_UP)) {
					for (const [what, values] of Object.entries(figures))
						rows.push(row({ name: `${title}: ${what} | ${server.name}`, unit: "ns", values }));
				}
			}
			return rows;
		});
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
};

export const profile: Bench = {
	name: "profile",
	title: "where the time of a server's main thread goes, by layer",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run,
};
