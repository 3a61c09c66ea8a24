/** What a server costs while nothing happens: without connections, and with a thousand that are open and silent. */
import { alternate, type Bench, type Options, type Result, type Row, row, valueAtMost } from "../lib/bench.ts";
import { kernel, millrace, program, type Server, type Serving } from "../lib/contestants.ts";
import { isolationNeeds, type Lab, said } from "../lib/lab.ts";
import { number } from "../lib/numbers.ts";
import { withServers } from "../lib/servers.ts";

const CONNECTIONS = 1000;
/** Milliseconds until what the connections left to do is done: delayed ACKs, collections, compilations. */
const SETTLE = { short: 1000, full: 7000 };

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function holdConnections(lab: Lab, server: Serving): Promise<void> {
	const argv = [process.execPath, program("holder"), server.address, String(server.port), String(CONNECTIONS)];
	await said(lab.client(argv, { seconds: 3600 }), "ready");
}

/** Seconds of a full run's window: so little is measured that a shorter one would show single timers. */
const WINDOW = 10;

/** Share of a core that the server took, in percent. */
async function share(server: Serving, seconds: number): Promise<{ share: number }> {
	const start = performance.now();
	const before = server.child.onCpu();
	// It has started, which took time: a meter at zero would make an idle server of any.
	if (before === 0) throw new Error("this kernel does not count the time of threads (/proc/PID/task/*/schedstat): nothing can be said");
	await sleep(seconds * 1000);
	return { share: ((server.child.onCpu() - before) / (performance.now() - start)) * 1e5 };
}

const run = (options: Options): Promise<Result> => {
	const seconds = options.short ? options.seconds : Math.max(WINDOW, options.seconds);
	return withServers(
		options,
		async (lab, servers) => {
			const cases: { server: Server; serving: Serving }[] = [];
			for (const [what, connections] of [
				["no connection", 0],
				[`${number(CONNECTIONS)} idle connections`, CONNECTIONS],
			] as const) {
				for (const who of ["millrace (tap)", "millrace (tap, --spin)", "kernel (lo)"]) {
					const bare =
						who === "kernel (lo)"
							? kernel(lab, options, "net-keepalive.mjs", "lo")
							: millrace(lab, options, "net-keepalive.mjs", who.includes("--spin") ? ["--spin"] : []);
					const start = async (): Promise<Serving> => {
						const serving = await bare.start();
						if (connections > 0) await holdConnections(lab, serving);
						return serving;
					};
					const server = { name: `${what}, ${who}`, ours: bare.ours, start };
					const serving = await servers.start(server);
					if (serving !== undefined) cases.push({ server, serving });
				}
			}
			await sleep(options.short ? SETTLE.short : SETTLE.full);
			const figures = await alternate(
				cases.map(({ server, serving }) => ({ name: server.name, measure: () => share(serving, seconds) })),
				options,
			);
			const rows: Row[] = cases.map(({ server: { name, ours } }, i) =>
				row({ name: `${name}: CPU`, unit: "% of a core", values: figures[i]!.share! }, undefined, ours ? valueAtMost(1) : undefined),
			);
			return rows;
		},
		seconds,
	);
};

export const idle: Bench = {
	name: "idle",
	title: "CPU of a net server without traffic, over TAP and on kernel sockets: no connection, and 1,000 idle ones",
	isolated: true,
	needs: isolationNeeds,
	run,
};
