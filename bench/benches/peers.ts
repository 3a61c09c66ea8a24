/**
 * Other user-level stacks over the same kind of TAP device, asked by the same clients: lwIP, gVisor's netstack, libslirp.
 *
 * lwIP and netstack serve as we do: small HTTP answers, one flow each way. libslirp is no server but a way out: a client behind
 * the device reaches a kernel server through it, as through our gateway. A stack that is not there, or does not compile, is left
 * out with what to install.
 */
import type { Bench, Options, Result, Row } from "../lib/bench.ts";
import { millrace, type Serving } from "../lib/contestants.ts";
import { flow } from "../lib/flow.ts";
import { KEEP_ALIVE, type Mode, measure, SHORT } from "../lib/http-rounds.ts";
import { isolationNeeds, type Lab, wrkNeeds } from "../lib/lab.ts";
import * as builds from "../lib/peer-builds.ts";
import { type Entry, peerRows, rounds } from "../lib/peer-rounds.ts";
import { events, gvisor, lwip, ourGateway, type Peer, SCRIPTS, slirp } from "../lib/peers.ts";
import { type Servers, withServers } from "../lib/servers.ts";

/** Frames longer than Ethernet's, as container tools have them with libslirp: behind a gateway nobody else sees them. */
const LONG_FRAMES = 65520;

/** What the peers bench has on one side: ours, and those that are there of the others. */
interface Field {
	readonly ours: readonly Peer[];
	readonly peers: readonly Peer[];
}

/** The program of a recipe, or undefined and a note. */
async function compiled(notes: string[], name: string, recipe: builds.Recipe, { short }: Options): Promise<string | undefined> {
	try {
		const reason = short ? builds.tooLong(recipe) : undefined;
		if (reason !== undefined && builds.lacking(recipe) === undefined) throw new Error(reason);
		return await builds.build(recipe);
	} catch (error) {
		notes.push(`${name} left out: ${(error as Error).message}`);
		return undefined;
	}
}

async function stacks(lab: Lab, options: Options, notes: string[]): Promise<Field> {
	const peers: Peer[] = [];
	const folder = builds.lwipFolder();
	const sources = folder === undefined ? undefined : await compiled(notes, "lwIP from source", builds.lwipSources(folder), options);
	if (folder === undefined) notes.push(`lwIP from source left out: ${builds.LWIP_SOURCES_REMEDY}`);
	if (sources !== undefined) peers.push(lwip(lab, sources, "lwIP from source (tap)"));
	if (sources === undefined || !options.short) {
		const library = await compiled(notes, "lwIP", builds.lwipLibrary, options);
		if (library !== undefined) peers.push(lwip(lab, library, "lwIP of Debian (tap)"));
	}
	const netstack = await compiled(notes, "gVisor", builds.gvisor, options);
	if (netstack !== undefined) {
		peers.push(gvisor(lab, netstack, "gVisor (tap)", "offload"));
		if (!options.short) peers.push(gvisor(lab, netstack, "gVisor, its device code (tap)", "plain"));
	}
	const net: Peer = { name: "millrace net (tap)", start: (mode) => millrace(lab, options, SCRIPTS[mode]) };
	return { ours: [net, events(lab, options)], peers };
}

async function gateways(lab: Lab, options: Options, notes: string[]): Promise<Field> {
	const binary = await compiled(notes, "libslirp", builds.slirp, options);
	const peers: Peer[] = [];
	if (binary !== undefined) {
		peers.push(slirp(lab, options, binary, "libslirp (tap)"));
		if (!options.short) peers.push(slirp(lab, options, binary, "libslirp, MTU 65520 (tap)", LONG_FRAMES));
	}
	return { ours: [ourGateway(lab, options)], peers };
}

/** wrk against all of a field, which are up at the same time. */
async function requests(lab: Lab, options: Options, field: Field, mode: Mode, prefix: string, servers: Servers): Promise<Row[]> {
	const entries: Entry[] = [];
	const running: Serving[] = [];
	const peerMode = mode.close ? "close" : "keep-alive";
	for (const peer of [...field.ours, ...field.peers]) {
		const ours = field.ours.includes(peer);
		const start = () => peer.start(peerMode);
		const server = await (ours ? servers.ours(peer.name, start) : servers.theirs(peer.name, start));
		if (server === undefined) continue;
		running.push(server);
		entries.push({ name: peer.name, ours, measure: (round) => measure(lab, server, mode, round < 0 ? 1 : options.seconds) });
	}
	const figures = await rounds(entries, options, servers.notes);
	for (const server of running) await server.stop();
	for (const [entry, { errors = [] }] of figures) {
		const count = errors.reduce((sum, each) => sum + each, 0);
		if (count > 0) servers.notes.push(`${prefix}${mode.name}, ${entry.name}: wrk counted ${count} errors`);
	}
	const heading = { mode: `${prefix}${mode.name}` };
	const { unit } = mode;
	return [
		...peerRows(figures, { ...heading, metric: "rate", unit: `${unit}s/s` }, true),
		...peerRows(figures, { ...heading, metric: "user", unit: `us/${unit}`, suffix: ": user CPU" }, false),
		...(mode.close ? peerRows(figures, { ...heading, metric: "frames", unit: `/${unit}`, suffix: ": frames sent" }, false) : []),
	];
}

/** One flow each way. Peers are started for each measurement, so that an idle one takes nothing from the one that is measured. */
async function bulk(lab: Lab, options: Options, field: Field, prefix: string, servers: Servers): Promise<Row[]> {
	const rows: Row[] = [];
	for (const [peerMode, direction, name] of [
		["source", "pull", "server sends"],
		["sink", "push", "server receives"],
	] as const) {
		const entries: Entry[] = [];
		const running: Serving[] = [];
		const gbits = async (server: Serving, round: number) => ({
			gbits: (await flow(lab, direction, server, round < 0 ? 1 : options.seconds)) / 1e9,
		});
		for (const peer of field.ours) {
			const server = await servers.ours(peer.name, () => peer.start(peerMode));
			if (server === undefined) continue;
			running.push(server);
			entries.push({ name: peer.name, ours: true, measure: (round) => gbits(server, round) });
		}
		for (const peer of field.peers) {
			const once = async (round: number) => {
				const server = await peer.start(peerMode);
				try {
					return await gbits(server, round);
				} finally {
					await server.stop();
				}
			};
			entries.push({ name: peer.name, ours: false, measure: once });
		}
		const figures = await rounds(entries, options, servers.notes);
		for (const server of running) await server.stop();
		rows.push(...peerRows(figures, { mode: `${prefix}${name}`, metric: "gbits", unit: "Gbit/s" }, true));
	}
	return rows;
}

const run = (options: Options): Promise<Result> =>
	withServers(options, async (lab, servers) => {
		const { notes } = servers;
		const rows: Row[] = [];
		for (const [field, prefix] of [
			[await stacks(lab, options, notes), ""],
			[await gateways(lab, options, notes), "through a gateway, "],
		] as const) {
			for (const mode of [KEEP_ALIVE, SHORT]) rows.push(...(await requests(lab, options, field, mode, prefix, servers)));
			rows.push(...(await bulk(lab, options, field, prefix, servers)));
		}
		return rows;
	});

export const peers: Bench = {
	name: "peers",
	title: "other user-level stacks over TAP, same clients: lwIP, gVisor netstack; libslirp against our gateway",
	isolated: true,
	needs: () => [...isolationNeeds(), ...wrkNeeds()],
	run,
};
