/**
 * Short connections over a veth pair: client and server both on Millrace, past the kernel, against both on the kernel.
 *
 * Each measurement has the pair to itself: as long as an XDP program is on it the kernel's own packets take another way through it.
 * So servers are started and ended with each. wrk, which is written in C, stands beside the plain `net` client.
 */

import { packetAvailable } from "../../src/link/packet.ts";
import { xdpAvailable } from "../../src/link/xdp.ts";
import { alternate, type Bench, type Options, type Result, type Row, ratioAtLeast, row } from "../lib/bench.ts";
import { type Child, stopAll } from "../lib/child.ts";
import { program, script } from "../lib/contestants.ts";
import { installed, isolationNeeds, Lab, reachable, said, VETH_SERVER } from "../lib/lab.ts";
import { wrk } from "../lib/wrk.ts";

const CONNECTIONS = 64;
/** Addresses of the stack's own on the two ends. */
const CLIENT = "10.78.0.10";
const SERVER = "10.78.0.20";

let nextPort = 8080;

interface Pair {
	readonly name: string;
	measure(): Promise<Record<string, number>>;
}

async function withServer(
	server: Child,
	ready: Promise<void>,
	use: () => Promise<Record<string, number>>,
): Promise<Record<string, number>> {
	try {
		await ready;
		return await use();
	} finally {
		await server.stop();
	}
}

function pairs(lab: Lab, options: Options): Pair[] {
	const far = lab.far();
	const { seconds } = options;
	const client = async (words: readonly string[]): Promise<Record<string, number>> => {
		const line = [options.node, program("short"), "client", ...words, String(seconds)];
		return JSON.parse(await lab.client(line, { seconds: seconds + 20 }).output());
	};
	const ours = (link: string): Pair => ({
		name: `millrace to millrace (${link})`,
		measure: () => {
			const port = String(nextPort++);
			const server = lab.server([options.node, program("short"), "server", link, "veth1", `${SERVER}/24`, port], { namespace: far });
			return withServer(server, said(server, "ready"), () => client([link, "veth0", `${CLIENT}/24`, port, SERVER]));
		},
	});
	const kernel = (name: string, load: (port: number) => Promise<Record<string, number>>): Pair => ({
		name,
		measure: () => {
			const port = nextPort++;
			const server = lab.server([options.node, script("net-close.mjs")], { env: { PORT: String(port) }, namespace: far });
			return withServer(server, reachable(server, VETH_SERVER, port), () => load(port));
		},
	});
	const list = [ours("xdp"), kernel("kernel net to kernel net", (port) => client(["kernel", "veth0", "-", String(port), VETH_SERVER]))];
	if (options.short) return list;
	if (packetAvailable().ok) list.push(ours("packet"), ours("packet-v3"));
	if (installed("wrk")) {
		list.push(
			kernel("wrk to kernel net", async (port) => {
				const load = { address: VETH_SERVER, port, seconds, connections: CONNECTIONS, close: true };
				const { perSecond, errors } = await wrk(lab, load);
				return { rate: perSecond, errors };
			}),
		);
	}
	return list;
}

async function run(options: Options): Promise<Result> {
	const lab = Lab.open();
	const notes: string[] = [];
	try {
		const list = pairs(lab, options);
		const figures = await alternate(list, options);
		const series = (i: number) => ({ name: `short, ${list[i]!.name}`, unit: "connections/s", values: figures[i]!.rate! });
		const rows: Row[] = [];
		for (const i of list.keys()) {
			const errors = figures[i]!.errors!.reduce((sum, count) => sum + count, 0);
			if (errors > 0) notes.push(`${list[i]!.name}: ${errors} connections failed`);
			if (i === 1 || list[i]!.name.startsWith("wrk")) rows.push(row(series(i)));
			else rows.push(row(series(i), series(1), i === 0 ? ratioAtLeast(3) : undefined));
		}
		const last = list.length - 1;
		if (list[last]!.name.startsWith("wrk")) rows.push(row(series(0), series(last)));
		return { rounds: options.rounds, rows, notes, complete: true };
	} finally {
		await stopAll();
	}
}

export const xdp: Bench = {
	name: "xdp",
	title: "short connections over a veth pair, client and server past the kernel (AF_XDP) against both on kernel net",
	isolated: true,
	needs: () => {
		const { ok, reason } = xdpAvailable();
		return [...isolationNeeds(), ...(ok ? [] : [`AF_XDP: ${reason}`])];
	},
	run,
};
