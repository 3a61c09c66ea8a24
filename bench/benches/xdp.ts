/**
 * Short connections over a veth pair: client and server both on Millrace, past the kernel, against both on the kernel.
 *
 * Each measurement has the pair to itself: as long as an XDP program is on it the kernel's own packets take another way through it.
 * So servers are started and ended with each. wrk, which is written in C, stands beside the plain `net` client.
 */

import { packetAvailable } from "../../src/link/packet.ts";
import { xdpAvailable } from "../../src/link/xdp.ts";
import {
	alternate,
	type Bench,
	type Contestant,
	leavingOut,
	type Options,
	type Result,
	type Row,
	ratioAtLeast,
	row,
} from "../lib/bench.ts";
import { type Child, stopAll } from "../lib/child.ts";
import { program, script } from "../lib/contestants.ts";
import { installed, isolationNeeds, Lab, reachable, said, VETH_SERVER } from "../lib/lab.ts";
import { wrk } from "../lib/wrk.ts";

const CONNECTIONS = 64;
const KERNEL = "kernel net to kernel net";
const WRK = "wrk to kernel net";
/** Addresses of the stack's own on the two ends. */
const CLIENT = "10.78.0.10";
const SERVER = "10.78.0.20";

let nextPort = 8080;

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

function pairs(lab: Lab, options: Options): Contestant[] {
	const far = lab.far();
	const { seconds } = options;
	const client = async (words: readonly string[]): Promise<Record<string, number>> => {
		const line = [options.node, program("short"), "client", ...words, String(seconds)];
		return JSON.parse(await lab.client(line, { seconds: seconds + 20 }).output());
	};
	const ours = (link: string): Contestant => ({
		name: `millrace to millrace (${link})`,
		measure: () => {
			const port = String(nextPort++);
			const server = lab.server([options.node, program("short"), "server", link, "veth1", `${SERVER}/24`, port], { namespace: far });
			return withServer(server, said(server, "ready"), () => client([link, "veth0", `${CLIENT}/24`, port, SERVER]));
		},
	});
	const kernel = (name: string, load: (port: number) => Promise<Record<string, number>>): Contestant => ({
		name,
		measure: () => {
			const port = nextPort++;
			const server = lab.server([options.node, script("net-close.mjs")], { env: { PORT: String(port) }, namespace: far });
			return withServer(server, reachable(server, VETH_SERVER, port), () => load(port));
		},
	});
	const list = [ours("xdp"), kernel(KERNEL, (port) => client(["kernel", "veth0", "-", String(port), VETH_SERVER]))];
	if (options.short) return list;
	if (packetAvailable().ok) list.push(ours("packet"), ours("packet-v3"));
	if (installed("wrk")) {
		list.push(
			kernel(WRK, async (port) => {
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
	let complete = true;
	try {
		const list = pairs(lab, options).map((pair) =>
			leavingOut(pair, (round, error) => {
				notes.push(`${pair.name} left out from round ${round + 1} on: ${error.message}`);
				if (pair.name.startsWith("millrace")) complete = false;
			}),
		);
		const figures = await alternate(list, options);
		const found = list.flatMap(({ name }, i) => {
			const { rate = [], errors = [] } = figures[i]!;
			const count = errors.reduce((sum, each) => sum + each, 0);
			if (count > 0) notes.push(`${name}: ${count} connections failed`);
			return rate.length === 0 ? [] : [{ name: `short, ${name}`, unit: "connections/s", values: rate }];
		});
		const [xdp, kernel, wrk] = ["millrace to millrace (xdp)", KERNEL, WRK].map((name) =>
			found.find((one) => one.name === `short, ${name}`),
		);
		const rows: Row[] = found.map((one) =>
			one === kernel || one === wrk || kernel === undefined ? row(one) : row(one, kernel, one === xdp ? ratioAtLeast(3) : undefined),
		);
		if (xdp !== undefined && wrk !== undefined) rows.push(row(xdp, wrk));
		return { rounds: options.rounds, rows, notes, complete };
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
