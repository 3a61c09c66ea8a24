/**
 * What can be asked of a TAP link.
 *
 * Hides defaults and limits: what comes out is complete, in words and bytes, and possible as far as that can be known before
 * there is a device. Bad values are refused by name.
 */
import { type InterfaceAddress, validInterfaceName } from "../sys/interface.ts";
import { PROCESSORS_MAX } from "../sys/rps.ts";
import { TAP_QUEUES_MAX } from "../sys/tun.ts";
import { isEdge, parseCidr, parseMac } from "../wire/address.ts";
import { isNoHost } from "../wire/ipv4.ts";
import { FLOW_GROUPS } from "./flow-steering.ts";
import { FRAME_ROOM } from "./frames.ts";
import { bad, refuseUnknown, stationMac, trueOrFalse, wholeNumber } from "./known-options.ts";

/** Bytes of an Ethernet header, without and with a VLAN tag. */
const ETHERNET = 14;
const ETHERNET_TAGGED = 18;
/** The flow hash has 16 bits. */
const FLOW_GROUPS_MAX = 65536;
const KNOWN = [
	"name",
	"kernelAddress",
	"mtu",
	"mac",
	"queueLength",
	"offload",
	"queues",
	"steering",
	"flowGroups",
	"ioUring",
	"qdiscBypass",
	"landing",
	"pageOrder",
	"rps",
	"expressLane",
];

/** Options of `tapLink`. */
export interface TapOptions {
	/**
	 * Name of the interface, at most 15 bytes; `%d` in it stands for the first free number. Default "mr%d". A persistent TAP
	 * device of that name is attached to, and keeps its address, MTU and queue where these options do not say otherwise.
	 */
	name?: string;
	/** IPv4 address and prefix of the kernel's side, or null for none. Default "10.77.0.1/24". */
	kernelAddress?: string | null;
	/** Largest IP packet in bytes, 68 to 1968, with offload to 65521. Default 1500. */
	mtu?: number;
	/** The stack's own hardware address: "02:00:00:00:00:01" or 6 bytes. Default: random, locally administered. */
	mac?: string | Uint8Array;
	/**
	 * Frames that the kernel queues towards the stack before it drops, 1 to 65535, in each queue. Default 4096: 50 ms of full
	 * frames at 1 Gbit/s.
	 */
	queueLength?: number;
	/**
	 * Leave checksums and cutting into segments to the kernel, both ways: frames of up to 64 KiB may then be sent, and come while there
	 * are bulk data (see tap-offload.ts), for which 33 pages are held. Default true. No effect under a wrapper that needs frames
	 * as on a wire.
	 */
	offload?: boolean;
	/**
	 * Queues of the device, 1 to 256 (the kernel's limit). Default 1. With more, the device is made for several queues; one that is
	 * attached to must have been, and nobody else may have a queue of it.
	 */
	queues?: number;
	/**
	 * Who chooses the queue of a frame from the kernel: "kernel", which spreads flows as it likes and lets each follow the queue that
	 * it is answered by; or "flow-group", a program with a table that `setReta` changes (needs CAP_BPF, and Linux 4.18). Default
	 * "kernel". With one queue, no effect but that there is no express lane.
	 */
	steering?: "kernel" | "flow-group";
	/**
	 * Flow groups of that table, a power of two, at least `queues`, at most 65536. Default 128, as most network cards have, or 256
	 * for more than 128 queues. Only with steering "flow-group".
	 */
	flowGroups?: number;
	/**
	 * Read and write many frames with one system call, by io_uring (sys/uring.ts), whenever more than a few are to be moved. Default true. Where the
	 * kernel has none or forbids it, each frame is a call.
	 */
	ioUring?: boolean;
	/**
	 * Frames of the kernel do not pass a queueing discipline on their way to the stack, as on `lo` and veth: `queueLength` is all the queue
	 * there is. Default true. No effect on a device that is attached to, whose discipline is its owner's; false for use with tc(8).
	 */
	qdiscBypass?: boolean;
	/**
	 * Read the payload of long frames to buffers that applications may have as they are (tap-landing.ts), up to 64 of 64 KiB. Default true.
	 * Only with `offload`.
	 */
	landing?: boolean;
	/**
	 * Pages for long frames are put into the order of memory, so that neighbours are one piece to read and one copy. Default true; only with
	 * `offload`. What lands (`landing`) needs no pages.
	 */
	pageOrder?: boolean;
	/**
	 * Who does the kernel's work on what the stack sends (receive packet steering), which is otherwise the stack's own thread, inside of its
	 * writes. "auto": another processor while it has time and that thread has none (spare-processor.ts), unless the device is attached to, or
	 * /sys does not show it. Or the numbers of the processors, always: where they are busy, it costs; [] for none. Default "auto".
	 */
	rps?: "auto" | readonly number[];
	/**
	 * What is sparse comes by a queue of its own and is read first: SYNs, flows of up to 16 KB and 1 MB/s, ACKs alone (express-lane.ts). Default
	 * true: where the device is made by the link, `queues` is 1, `steering` the kernel's, and the kernel permits such a program (CAP_BPF, Linux 5.8).
	 */
	expressLane?: boolean;
}

/** The options, complete. */
export interface TapSettings {
	readonly name: string;
	readonly kernelAddress: InterfaceAddress | null;
	readonly mtu: number;
	/** The largest MTU that `offload` allows. */
	readonly mtuMax: number;
	readonly mac: Uint8Array;
	readonly queueLength: number;
	readonly offload: boolean;
	readonly queues: number;
	/** 0: the kernel steers. */
	readonly flowGroups: number;
	readonly ioUring: boolean;
	readonly qdiscBypass: boolean;
	readonly landing: boolean;
	readonly pageOrder: boolean;
	/** Empty: none. */
	readonly rps: "auto" | readonly number[];
	readonly expressLane: boolean;
}

/** Reads options; throws MILLRACE_BAD_OPTION. */
export function tapSettings(options: TapOptions): TapSettings {
	refuseUnknown("a TAP link", options, KNOWN);
	const { name = "mr%d", kernelAddress = "10.77.0.1/24", mtu = 1500, mac, queueLength = 4096 } = options;
	const {
		offload = true,
		queues = 1,
		steering = "kernel",
		ioUring = true,
		qdiscBypass = true,
		landing = true,
		pageOrder = true,
		rps = "auto",
		expressLane = true,
	} = options;
	trueOrFalse({ offload, ioUring, qdiscBypass, landing, pageOrder, expressLane });
	for (const name of ["landing", "pageOrder"] as const)
		if (options[name] === true && !offload)
			throw bad(`${name} goes with offload only: without it no frame is longer than a page. Leave it out`);
	const mtuMax = offload ? 65535 - ETHERNET : FRAME_ROOM - ETHERNET_TAGGED;
	if (typeof name !== "string" || !validInterfaceName(name))
		throw bad(`bad name of a TAP device: "${name}". Give 1 to 15 printable characters without blanks, slashes and colons, such as mr0`);
	wholeNumber("mtu", mtu, 68, mtuMax);
	wholeNumber("queueLength", queueLength, 1, 65535);
	wholeNumber("queues", queues, 1, TAP_QUEUES_MAX);
	if (rps !== "auto") {
		if (!Array.isArray(rps)) throw bad(`bad rps: ${rps}. Give "auto" or the numbers of processors, such as [1, 3]`);
		for (const processor of rps) wholeNumber("rps", processor, 0, PROCESSORS_MAX - 1);
	}
	if (options.expressLane === true && (queues > 1 || steering === "flow-group"))
		throw bad(
			"expressLane goes with one queue only, without steering: else flows are spread over queues. Leave it out, or leave out those",
		);
	if (steering !== "kernel" && steering !== "flow-group") throw bad(`bad steering: "${steering}". Give "kernel" or "flow-group"`);
	if (steering === "kernel" && options.flowGroups !== undefined)
		throw bad('flowGroups goes with steering "flow-group" only: the kernel has no table of them. Leave it out, or give that steering');
	const { flowGroups = queues > FLOW_GROUPS ? TAP_QUEUES_MAX : FLOW_GROUPS } = options;
	if (!(flowGroups >= queues && flowGroups <= FLOW_GROUPS_MAX && Number.isInteger(Math.log2(flowGroups))))
		throw bad(`bad flowGroups: ${flowGroups}. Give a power of two, at least as many as queues (${queues}), at most ${FLOW_GROUPS_MAX}`);
	return {
		name,
		kernelAddress: kernelAddress === null ? null : parseKernelAddress(kernelAddress),
		mtu,
		mtuMax,
		mac: mac === undefined ? randomMac() : stationMac(typeof mac === "string" ? parseMac(mac) : mac),
		queueLength,
		offload,
		queues,
		flowGroups: steering === "flow-group" ? flowGroups : 0,
		ioUring,
		qdiscBypass,
		landing,
		pageOrder,
		rps: rps === "auto" ? rps : [...rps],
		expressLane,
	};
}

function parseKernelAddress(text: string): InterfaceAddress {
	const { version, words, prefix } = parseCidr(text);
	const word = words[3]!;
	if (version !== 4 || isNoHost(word) || isEdge(word, prefix))
		throw bad(`bad kernelAddress: "${text}". Give an IPv4 address of a host with its prefix length, such as 10.77.0.1/24`);
	return { word, prefix };
}

function randomMac(): Uint8Array {
	const mac = crypto.getRandomValues(new Uint8Array(6));
	mac[0] = (mac[0]! & 0xfc) | 0x02; // locally administered, one station
	return mac;
}
