/** 64 bytes there and back on one connection: an unmodified `net` echo server over TAP (sleeping, or spinning, between frames) and on kernel sockets. */
import { alternate, type Bench, type Options, type Result, type Row, ratioAtMost, row } from "../lib/bench.ts";
import { kernel, millrace, type Serving } from "../lib/contestants.ts";
import { roundTrips } from "../lib/flow.ts";
import { isolationNeeds } from "../lib/lab.ts";
import { withServers } from "../lib/servers.ts";

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const ours = await servers.ours("millrace", () => millrace(lab, options, "echo.mjs"));
		const spinning = await servers.ours("millrace with --spin", async () => ({
			...(await millrace(lab, options, "echo.mjs", ["--spin"])),
			name: "millrace (tap, --spin)",
		}));
		const lo = await servers.theirs("kernel (lo)", () => kernel(lab, options, "echo.mjs", "lo"));
		const veth = options.short ? undefined : await servers.theirs("kernel (veth)", () => kernel(lab, options, "echo.mjs", "veth"));
		const running = [ours, spinning, lo, veth].filter((server): server is Serving => server !== undefined);
		const figures = await alternate(
			running.map((server) => ({
				name: server.name,
				measure: (round: number) => roundTrips(lab, server, round < 0 ? 1 : options.seconds),
			})),
			options,
		);
		const rows: Row[] = [];
		for (const metric of ["p50", "p99"] as const) {
			const series = (server: Serving) => ({
				name: `round trip ${metric}, ${server.name}`,
				unit: "us",
				values: figures[running.indexOf(server)]![metric]!,
			});
			for (const server of running) {
				if (server === spinning && lo !== undefined) rows.push(row(series(server), series(lo)));
				else if (server !== ours) rows.push(row(series(server)));
				else
					for (const other of running)
						if (other !== ours && other !== spinning)
							rows.push(row(series(ours), series(other), other === lo ? ratioAtMost(1) : undefined));
			}
		}
		return rows;
	});

export const latency: Bench = {
	name: "latency",
	title: "64-byte round trips on one connection, a net echo server over TAP against kernel net, blocking kernel client",
	isolated: true,
	needs: isolationNeeds,
	run,
};
