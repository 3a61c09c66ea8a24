/**
 * Fanout of a packet link: several sockets with a ring each, among which the kernel deals out the frames of the interface.
 *
 * Hides how a group comes about so that no frame is seen twice and none by the wrong socket. A socket has to hear the interface before it can
 * join; until all have joined, a filter keeps everything from them. Flows keep together: all frames of one arrive at one socket, in
 * order. (The kernel's modes that do not promise this, round-robin and random, are not offered.)
 *
 * Whenever a socket joins or leaves, the kernel deals anew, and flows move to other sockets. What belongs to no flow of the stack's alone (ARP)
 * reaches one socket only. Both are for those to mind who share an interface and an address between stacks; for one link it makes no difference.
 *
 * By itself this is no gain for one link, whose sockets are served by one thread, but for more room at bursts; it is there so that several
 * links, of shards or of processes, can share an interface: each opens its sockets in the group of one number.
 */
import { MillraceError } from "../errors.ts";
import { FANOUT_CPU, FANOUT_EBPF, FANOUT_HASH, FANOUT_QUEUE, joinFanout, setFanoutProgram } from "../sys/packet-socket.ts";
import { FLOW_GROUPS, FlowSteering } from "./flow-steering.ts";
import { bad, refuseUnknown, wholeNumber } from "./known-options.ts";

/** A packet link's part in a fanout group. */
export interface PacketFanout {
	/** Number of the group, 0 to 65535: all links of this network namespace that name it share the interface. Default: a group of its own. */
	group?: number;
	/**
	 * Which socket gets a frame: by the kernel's flow hash ("hash", the default); by our own hash and a table of flow groups that can be changed
	 * ("ebpf", see flow-steering.ts); by the CPU ("cpu") or the receive queue ("queue") that the frame came by, which keep
	 * flows together where the network card does. The same for all links of the group.
	 */
	mode?: "hash" | "ebpf" | "cpu" | "queue";
	/** Sockets of this link, 1 to 64. Default 1. */
	queues?: number;
	/** "ebpf": sockets of the whole group, to which flow groups are dealt out in the order of joining, at most 128. Default: those of this link. */
	members?: number;
}

const MODES: Readonly<Record<string, number>> = { hash: FANOUT_HASH, ebpf: FANOUT_EBPF, cpu: FANOUT_CPU, queue: FANOUT_QUEUE };
const KNOWN = ["group", "mode", "queues", "members"];
/** Most sockets of a link; and of a group that our program deals out to: each has at least one flow group. */
const QUEUES_MAX = 64;
const MEMBERS_MAX = FLOW_GROUPS;

/** The group that a link is to join, complete. */
export type Fanout = Required<Omit<PacketFanout, "group">> & { readonly group: number | null };

/** Reads the option. Throws MillraceError for what is not valid. */
export function readFanout(option: PacketFanout): Fanout {
	refuseUnknown("fanout", option, KNOWN);
	const { group = null, mode = "hash", queues = 1, members = queues } = option;
	if (group !== null) wholeNumber("fanout group", group, 0, 65535);
	if (!Object.hasOwn(MODES, mode)) throw bad(`bad fanout mode: ${mode}. Give one of ${Object.keys(MODES).join(", ")}`);
	wholeNumber("fanout queues", queues, 1, QUEUES_MAX);
	if (mode !== "ebpf" && option.members !== undefined)
		throw bad('members of fanout goes with mode "ebpf" only: otherwise the kernel counts them. Leave it out, or give that mode');
	wholeNumber("fanout members", members, queues, MEMBERS_MAX);
	return { group, mode, queues, members };
}

/** What came of joining. */
export interface JoinedFanout {
	/** The number of the group. */
	readonly group: number;
	/** In mode "ebpf". To be closed with the link. */
	readonly steering: FlowSteering | null;
}

/** Makes bound sockets, which nothing may reach yet, members of the group. */
export function joinGroup(fds: readonly number[], { group: wanted, mode, members }: Fanout): JoinedFanout {
	const steering = mode === "ebpf" ? new FlowSteering() : null;
	try {
		let group = wanted;
		for (const fd of fds) group = joinFanout(fd, group ?? -1, MODES[mode]!);
		if (group === null) throw new MillraceError("MILLRACE_LINK", "a fanout group needs a socket");
		if (steering !== null) {
			steering.spread(members);
			setFanoutProgram(fds[0]!, steering.program);
		}
		return { group, steering };
	} catch (error) {
		steering?.close();
		throw error;
	}
}

/** The modes that can be had here: a program for the kernel needs more privileges than a packet socket. */
export function fanoutModes(): string[] {
	try {
		new FlowSteering().close();
	} catch {
		return Object.keys(MODES).filter((mode) => mode !== "ebpf");
	}
	return Object.keys(MODES);
}
