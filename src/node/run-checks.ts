/**
 * Rules that bind several options of a run: what only one kind of link has, what needs another option beside it, and addresses that must
 * fit each other.
 *
 * Hides the addresses that a link's two ends have when nobody named them. All is decided before anything has been opened; the first rule
 * that is broken is said, by the names of its options.
 */
import { bad } from "../link/known-options.ts";
import { formatIpv4 } from "../wire/address.ts";
import { foreignOption, refuseForeign } from "./link-choice.ts";
import type { OptionLabel } from "./option-fields.ts";
import { type Ipv4Prefix, inNetwork, isUsableAddress, networkOf, readIpv4, readIpv4Prefix } from "./quantities.ts";
import type { RunOptions } from "./run-options.ts";

/** Sockets that a packet link reads. */
const PACKET_QUEUES_MOST = 64;

/** Refuses what does not go together. Throws MILLRACE_BAD_OPTION. */
export function checkTogether(options: RunOptions, label: OptionLabel): void {
	const kind = options.link?.kind;
	refuseForeign(options, kind ?? null, label);
	const takes = options.ports.length > 0 ? "ports" : options.outgoingPorts !== null ? "outgoingPorts" : null;
	if (takes !== null) {
		for (const other of ["address", "gateway", "routes", "mac"] as const) {
			if (options[other] !== null && options[other].length > 0)
				throw bad(`${label(takes)} takes ports of the machine's own address, ${label(other)} is for an address of its own: choose one`);
		}
	}
	if (kind === "xdp" && takes === null && options.address === null)
		throw bad(`link xdp needs ${label("ports")} (of the machine's own address) or ${label("address")} (one of its own)`);
	const tapOnly = kind === undefined && options.publish.length > 0 ? foreignOption(options, "user") : null;
	if (tapOnly !== null) throw bad(`${label("publish")} is for link user, ${label(tapOnly)} for link tap: choose one`);

	const seen = new Set<string>();
	for (const { address, port } of options.publish) {
		if (seen.has(`${address}:${port}`)) throw bad(`${label("publish")}: port ${port} is given twice`);
		seen.add(`${address}:${port}`);
	}

	if ((kind === "packet" || kind === "stream") && options.address === null)
		throw bad(`link ${kind} needs ${label("address")}, one of its own`);
	if (kind === "stream" && options.mac === "interface") throw bad(`${label("mac")}: link stream has no interface; give six bytes`);
	if (options.xdpMode === "generic" && options.zeroCopy === "always")
		throw bad(`${label("xdpMode")} generic copies every frame, ${label("zeroCopy")} always none: choose one`);
	checkKernelPorts(options, label);
	checkSwitches(options, label);
	checkQueues(options, label);
	checkRing(options, label);
	if (kind === undefined || kind === "tap" || kind === "user") checkEnds(options, linkEnds(kind ?? "tap", options, label), label);
	else if (options.address !== null) checkHops(options, options.address, label);
}

/** A port is the kernel's or the stack's. */
function checkKernelPorts({ kernelPorts, ports, publish }: RunOptions, label: OptionLabel): void {
	for (const port of kernelPorts) {
		if (ports.includes(port))
			throw bad(`${label("ports")} takes port ${port}, ${label("kernelPorts")} leaves it to the kernel: choose one`);
		if (publish.some(({ to }) => to === port))
			throw bad(`${label("publish")} leads to port ${port} of the program, ${label("kernelPorts")} leaves it to the kernel: choose one`);
	}
}

/** What was asked for in words, while another option keeps it from being so. What is on by default gives way in silence. */
function checkSwitches(options: RunOptions, label: OptionLabel): void {
	for (const path of ["landing", "pageOrder"] as const) {
		if (options[path] === true && options.offload === false)
			throw bad(`${label(path)} on does not go with ${label("offload")} off: choose one`);
	}
	if (options.slabs === true && options.congestion === "bbr")
		throw bad(`${label("slabs")} on does not go with ${label("congestion")} bbr: choose one`);
	const { impair, capture } = options;
	if (impair === null && capture === null) return;
	const [other, who] =
		impair === null
			? ["capture", "a capture wants"]
			: [`impair.${Object.entries(impair).find(([, value]) => value !== null && value > 0)?.[0] ?? "loss"}`, "impairments want"];
	for (const path of ["offload", "landing", "pageOrder", "slabs"] as const) {
		if (options[path] === true) throw bad(`${label(path)} on does not go with ${label(other)}: ${who} each frame as on a wire. Choose one`);
	}
}

/** Who deals frames out to queues has no meaning with one. */
function checkQueues(options: RunOptions, label: OptionLabel): void {
	const queues = options.queues ?? 1;
	if (options.expressLane === true && queues > 1) throw bad(`${label("expressLane")} on does not go with ${label("queues")}: choose one`);
	if (options.link?.kind === "packet" && queues > PACKET_QUEUES_MOST)
		throw bad(`${label("queues")}: ${queues} is not between 1 and ${PACKET_QUEUES_MOST}, as link packet needs`);
	for (const path of ["fanout", "steering"] as const) {
		if (options[path] !== null && queues === 1)
			throw bad(`${label(path)} says which of several queues a flow comes by: give ${label("queues")} as well, 2 or more`);
	}
}

/** Rings of AF_XDP have a power of two of entries, those of packet sockets take 64 KiB for each. */
function checkRing({ link, ringSize }: RunOptions, label: OptionLabel): void {
	if (ringSize === null) return;
	const right = link?.kind === "xdp" ? ringSize >= 64 && (ringSize & (ringSize - 1)) === 0 : ringSize <= 4096;
	if (!right)
		throw bad(
			`${label("ringSize")}: ${ringSize} is not ${link?.kind === "xdp" ? "a power of two from 64 to 32768" : "between 1 and 4096"}, as link ${link?.kind} needs`,
		);
}

/** The addresses of a link's two ends, each with prefix length. */
export interface LinkEnds {
	address: string;
	kernelAddress: string;
}

/** Where the two ends lie in their network when nothing else was asked for; those of `user` are QEMU's. */
const ENDS = {
	tap: { network: "10.77.0.0/24", stack: 2, kernel: 1 },
	user: { network: "10.0.2.0/24", stack: 15, kernel: 2 },
};

/** The addresses of both ends: as given, or beside the one that was given, or the link's defaults. */
export function linkEnds(
	kind: "tap" | "user",
	options: Pick<RunOptions, "address" | "kernelAddress">,
	label: OptionLabel = (path) => path,
): LinkEnds {
	const { network, stack, kernel } = ENDS[kind];
	const given = options.address ?? options.kernelAddress;
	const path = options.address === null ? "kernelAddress" : "address";
	const address = options.address ?? hostOf(given ?? network, stack, path, label);
	return { address, kernelAddress: options.kernelAddress ?? hostOf(given === null ? network : address, kernel, path, label) };
}

/** A host of the network of `text` other than the one that `text` itself names: at `offset`, if that is possible. */
function hostOf(text: string, offset: number, path: string, label: OptionLabel): string {
	const prefix = readIpv4Prefix(text, 24) as Ipv4Prefix;
	const network = networkOf(prefix);
	for (const candidate of [network + offset, network + 1, network + 2, network]) {
		const host = { word: candidate, length: prefix.length };
		if (candidate !== prefix.word && inNetwork(prefix, candidate) && isUsableAddress(host))
			return `${formatIpv4(candidate)}/${prefix.length}`;
	}
	throw bad(`${label(path)}: ${text} leaves no address for the other end of the link; give it a prefix length of at most 31`);
}

/** The two ends of the link must be different hosts of one network, and every next hop must be on it. */
function checkEnds(options: RunOptions, ends: LinkEnds, label: OptionLabel): void {
	const own = readIpv4Prefix(ends.address, 24) as Ipv4Prefix;
	const kernel = readIpv4Prefix(ends.kernelAddress, 24) as Ipv4Prefix;
	if (own.word === kernel.word)
		throw bad(`${label("address")} and ${label("kernelAddress")} are both ${ends.address}: give each end of the link its own`);
	if (own.length !== kernel.length || !inNetwork(own, kernel.word)) {
		throw bad(`${label("address")} ${ends.address} and ${label("kernelAddress")} ${ends.kernelAddress} are not in one network`);
	}
	checkHops(options, ends.address, label);
}

/** Every next hop must be a neighbor. */
function checkHops(options: RunOptions, address: string, label: OptionLabel): void {
	const own = readIpv4Prefix(address, 24) as Ipv4Prefix;
	const onLink = (path: string, hop: string | null | undefined): void => {
		if (hop !== null && hop !== undefined && !inNetwork(own, readIpv4(hop) as number)) {
			throw bad(`${label(path)}: next hop ${hop} is not in the network of ${address}`);
		}
	};
	onLink("gateway", options.gateway);
	for (const route of options.routes) onLink("routes", route.via);
}
