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
import { compare, KEEP_ALIVE, type Mode, SHORT, type Wanted } from "../lib/http-rounds.ts";
import { isolationNeeds, type Lab, wrkNeeds } from "../lib/lab.ts";
import * as builds from "../lib/peer-builds.ts";
import { events, gvisor, lwip, ourGateway, type Peer, SCRIPTS, slirp } from "../lib/peers.ts";
import { allPairs, rowsOf } from "../lib/rows.ts";
import { LONG_WARM_UP, type Servers, withServers } from "../lib/servers.ts";

/** Frames longer than Ethernet's, as container tools have them with libslirp: behind a gateway nobody else sees them. */
const LONG_FRAMES = 65520;

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

/** Ours, and those that are there of the others. */
async function stacks(lab: Lab, options: Options, notes: string[]): Promise<Peer[]> {
	const net: Peer = (mode) => ({ ...millrace(lab, options, SCRIPTS[mode]), name: "millrace net (tap)" });
	const peers = [net, events(lab, options)];
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
	return peers;
}

async function gateways(lab: Lab, options: Options, notes: string[]): Promise<Peer[]> {
	const binary = await compiled(notes, "libslirp", builds.slirp, options);
	const peers = [ourGateway(lab, options)];
	if (binary !== undefined) {
		peers.push(slirp(lab, options, binary, "libslirp (tap)"));
		if (!options.short) peers.push(slirp(lab, options, binary, "libslirp, MTU 65520 (tap)", LONG_FRAMES));
	}
	return peers;
}

/** wrk against all of a field. */
async function requests(lab: Lab, field: readonly Peer[], mode: Mode, prefix: string, servers: Servers): Promise<Row[]> {
	const contestants = field.map((peer) => peer(mode.close ? "close" : "keep-alive"));
	const wanted: Wanted = [
		["rate", allPairs(contestants)],
		["user", []],
	];
	return compare(lab, servers, mode, contestants, mode.close ? [...wanted, ["frames", []]] : wanted, prefix);
}

/** One flow each way; the client's kernel sends by CUBIC, Linux's default, whatever this machine gives its connections (see bulk.ts). */
async function bulk(lab: Lab, field: readonly Peer[], prefix: string, servers: Servers): Promise<Row[]> {
	const rows: Row[] = [];
	for (const [peerMode, direction, name] of [
		["source", "pull", "server sends"],
		["sink", "push", "server receives"],
	] as const) {
		const contestants = field.map((peer) => peer(peerMode));
		const title = `${prefix}${name}`;
		const load = async (serving: Serving, seconds: number) => ({ gbits: (await flow(lab, direction, serving, seconds, "cubic")) / 1e9 });
		const figures = await servers.rounds(title, contestants, load, LONG_WARM_UP);
		rows.push(...rowsOf(figures, { title, metric: "gbits", unit: "Gbit/s" }, allPairs(contestants)));
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
			for (const mode of [KEEP_ALIVE, SHORT]) rows.push(...(await requests(lab, field, mode, prefix, servers)));
			rows.push(...(await bulk(lab, field, prefix, servers)));
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
