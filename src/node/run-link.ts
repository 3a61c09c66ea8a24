/**
 * The link of a run: from options to a host that stands on an open link.
 *
 * Hides how links are chosen, built and wrapped. A TAP device where it is permitted, otherwise user-mode networking; whether
 * it is permitted is found out by making the device, since no check beforehand is exact (name spaces, modules, containers).
 * Impairments lie next to the link, the capture around them: it shows what the stack sent and what reached it, as a capture
 * on an end system shows a network that loses frames elsewhere.
 */
import { factOf, MillraceError } from "../errors.ts";
import { createHost, type Host, type HostOptions } from "../host/host.ts";
import { CaptureWriter, captureLink } from "../link/capture.ts";
import { impairLink } from "../link/impair.ts";
import type { Link } from "../link/link.ts";
import { loopbackLink } from "../link/loopback.ts";
import { packetLink } from "../link/packet.ts";
import { streamLink } from "../link/stream.ts";
import { tapLink } from "../link/tap.ts";
import { type Gateway, userLink } from "../link/user.ts";
import { xdpLink } from "../link/xdp.ts";
import { interfaceWith } from "../sys/kernel-addresses.ts";
import { parseMac } from "../wire/address.ts";
import { isSameFile, prepareCaptureFile } from "./capture-file.ts";
import { foreignOption } from "./link-choice.ts";
import { openReplay } from "./replay-file.ts";
import { linkEnds } from "./run-checks.ts";
import { type LinkChoice, type RouteOption, type RunOptions, SPIN_DEFAULT } from "./run-options.ts";
import { nodeRuntime } from "./runtime.ts";
import { readStreamEnd, type StreamEnd } from "./stream-end.ts";
import { openStreamEnd, type Say } from "./stream-pipe.ts";

/** Bytes for frames and streams on an XDP link unless asked for more. */
const XDP_MEMORY = 64 << 20;

/** A host on its link. */
export interface RunHost {
	host: Host;
	kind: LinkChoice["kind"];
	/** Which link was taken, with which addresses, and why: for people. */
	description: string;
	/** The stack's own address, without prefix length. */
	address: string;
	/** Of the user link. */
	gateway: Gateway | null;
	/** Where the stack has ports of the machine's own address: whether packets to an address leave the machine by its link. */
	leaves?: (address: string) => boolean;
	/** Of a replay: lets it begin, once the program is there for somebody. */
	begin?: () => void;
	/** Settles when the far end of a stream was reached, or can come; rejects with a MillraceError. */
	ready?: Promise<void>;
	/** The link stands: the capture's file is emptied and written from now on. @param lost Told why, once, if the file takes no more. */
	beginCapture(lost: (what: string) => void): void;
	/** Writes out what the capture still holds. */
	flushCapture(): void;
}

/** Errors of making a TAP device that mean "not here", and not "not so": then another link may be taken. */
const NOT_PERMITTED = new Set(["EPERM", "EACCES", "ENOENT", "ENODEV", "ENXIO", "MILLRACE_KOFFI", "MILLRACE_PLATFORM"]);

/**
 * Opens the link that the options ask for, and a host on it.
 *
 * @param say Told what happens on the link later on, a line each.
 * @throws {MillraceError} with the reason, and nothing left open, when that cannot be had.
 */
export function openRunHost(options: RunOptions, say: Say): RunHost {
	if (options.link !== null) return open(options.link, options, "as asked for", say);
	if (options.publish.length > 0) return open({ kind: "user" }, options, "for there are ports to publish", say);
	try {
		return open({ kind: "tap" }, options, "permitted here", say);
	} catch (error) {
		if (!(error instanceof MillraceError) || !NOT_PERMITTED.has(error.code)) throw error;
		if (foreignOption(options, "user") !== null) throw error;
		return open({ kind: "user" }, options, `no TAP device: ${factOf(error)}`, say);
	}
}

/** The part of an address before its prefix length. */
function bare(address: string): string {
	return address.slice(0, address.indexOf("/"));
}

function open(choice: LinkChoice, options: RunOptions, why: string, say: Say): RunHost {
	const { kind } = choice;
	if (kind === "loopback") {
		const link = loopbackLink(options.mtu === null ? {} : { mtu: options.mtu });
		const parts = openHost(link, options, ["127.0.0.1/8"], []);
		return { ...parts, kind, gateway: null, address: "127.0.0.1", description: `link loopback (${why}): 127.0.0.0/8 within this process` };
	}

	if (kind === "xdp") return openXdp(choice.name!, options, why);
	if (kind === "packet") return openPacket(choice.name!, options, why);
	if (kind === "stream") return openStream(choice.name!, options, why, say);
	if (kind === "pcap") {
		const { capture } = options;
		if (capture !== null && isSameFile(capture, choice.name!))
			throw new MillraceError("MILLRACE_BAD_OPTION", `cannot write capture file "${capture}": it is being replayed. Choose another name`);
		const { link, address } = openReplay(choice.name!, { address: options.address, speed: options.speed, say });
		const parts = openHost(link, options, [address], [{ to: "0.0.0.0/0" }]);
		return {
			...parts,
			kind,
			gateway: null,
			begin: () => link.begin(),
			address: bare(address),
			description: `link ${link.name} (${why}): ${address}${speedText(options.speed)}`,
		};
	}

	const ends = linkEnds(kind, options);
	const mtu = options.mtu === null ? {} : { mtu: options.mtu };
	const address = bare(ends.address);
	if (kind === "user") {
		const link = userLink({ address: ends.kernelAddress, guest: address, ...mtu });
		const parts = openHost(link, options, [ends.address], [{ to: "0.0.0.0/0" }]);
		const description = `link user (${why}): ${ends.address} in this process, reached by 127.0.0.1; this machine is ${bare(ends.kernelAddress)}`;
		return { ...parts, kind, gateway: link.gateway, address, description };
	}

	const holder = interfaceWith(bare(ends.kernelAddress));
	// An existing device may be attached to; it then has the address rightly.
	if (holder !== null && holder !== choice.name) {
		throw new MillraceError(
			"EADDRINUSE",
			`${bare(ends.kernelAddress)} belongs to ${holder} already. Choose another network, such as --address 10.78.0.2`,
		);
	}
	const link = tapLink({
		kernelAddress: ends.kernelAddress,
		...mtu,
		...(choice.name === undefined ? {} : { name: choice.name }),
		...given(options, "queues", "steering", "offload", "landing", "pageOrder", "ioUring", "qdiscBypass", "rps", "expressLane"),
	});
	const routes = options.gateway === null ? options.routes : [...options.routes, { to: "0.0.0.0/0", via: options.gateway }];
	const parts = openHost(link, options, [ends.address], routes);
	return {
		...parts,
		kind,
		gateway: null,
		address,
		description: `link ${link.name} (${why}): ${ends.address}, the kernel is ${bare(ends.kernelAddress)}${queuesText(options)}`,
	};
}

/** The routes asked for; and the router asked for, or else the kernel's. */
function routesOf(options: RunOptions, kernel: { readonly routes: readonly RouteOption[] }): RouteOption[] {
	return [...options.routes, ...(options.gateway === null ? kernel.routes : [{ to: "0.0.0.0/0", via: options.gateway }])];
}

function speedText(speed: RunOptions["speed"]): string {
	return speed === "max" ? ", all at once" : speed === null || speed === 1 ? ", as fast as it was" : `, ${speed} times as fast as it was`;
}

/** Said of more than one, with who deals out the frames where that was asked for. */
function queuesText({ queues, fanout, steering }: RunOptions): string {
	const by = fanout ?? steering;
	return (queues ?? 1) > 1 ? `; ${queues} queues${by === null ? "" : `, by ${by}`}` : "";
}

/** Those options of a link that were given, under the link's own names for them, which are ours. */
function given<K extends keyof RunOptions>(options: RunOptions, ...keys: K[]): { [P in K]?: NonNullable<RunOptions[P]> } {
	return Object.fromEntries(keys.flatMap((key) => (options[key] === null ? [] : [[key, options[key]]]))) as {
		[P in K]?: NonNullable<RunOptions[P]>;
	};
}

function openPacket(name: string, options: RunOptions, why: string): RunHost {
	const { queues, fanout: mode } = options;
	const fanout = (queues ?? 1) === 1 ? {} : { fanout: { queues: queues!, ...(mode === null ? {} : { mode }) } };
	const link = packetLink({
		interface: name,
		addresses: [options.address!],
		...given(options, "mac", "ring", "ringSize", "offload", "qdiscBypass", "txRing"),
		...fanout,
	});
	const [address] = link.hostOptions.addresses as [string];
	const parts = openHost(link, options, [address], routesOf(options, link.hostOptions));
	return {
		...parts,
		kind: "packet",
		gateway: null,
		address: bare(address),
		description: `link ${link.name} (${why}): ${address}${queuesText(options)}`,
	};
}

function openStream(where: string, options: RunOptions, why: string, say: Say): RunHost {
	const { pipe, framing, description, ready } = openStreamEnd(readStreamEnd(where) as StreamEnd, say);
	const address = options.address!;
	const link = streamLink(pipe, {
		name: `stream:${where}`,
		framing,
		...(options.mtu === null ? {} : { mtu: options.mtu }),
		...(options.mac === null ? {} : { mac: parseMac(options.mac) }),
	});
	const parts = openHost(link, options, [address], routesOf(options, { routes: [] }));
	return {
		...parts,
		kind: "stream",
		gateway: null,
		address: bare(address),
		ready,
		description: `link stream (${why}): ${address}, ${description}`,
	};
}

function openXdp(name: string, options: RunOptions, why: string): RunHost {
	const { address, ports, outgoingPorts } = options;
	const own = address === null ? { ports } : { addresses: [address] };
	const outgoing = outgoingPorts === null ? {} : { outgoingPorts: [outgoingPorts.first, outgoingPorts.last] as const };
	const link = xdpLink({
		interface: name,
		...own,
		...outgoing,
		...(options.mac === "interface" ? {} : given(options, "mac")),
		...(options.xdpMode === null ? {} : { mode: options.xdpMode }),
		...(options.rxQueues.length === 0 ? {} : { queues: [...new Set(options.rxQueues)] }),
		...given(options, "zeroCopy", "ringSize"),
	});
	const { addresses, tcp } = link.hostOptions;
	// All of the memory is kept in RAM for the kernel to write to: less than for other links, unless asked for.
	const memory = options.memory ?? XDP_MEMORY;
	const parts = openHost(link, { ...options, memory }, addresses, routesOf(options, link.hostOptions), tcp);
	const what = address === null ? `ports ${ports.join(", ") || "none"} of ${addresses.join(", ")}, the rest is the kernel's` : address;
	const end = address === null ? { leaves: (to: string) => link.leadsTo(to) } : {};
	return {
		...parts,
		...end,
		kind: "xdp",
		gateway: null,
		address: bare(addresses[0]!),
		description: `link ${link.name} (${why}): ${what}; ${link.how}`,
	};
}

/** Wraps the link as the options say and opens a host on it. */
function openHost(
	link: Link,
	options: RunOptions,
	addresses: readonly string[],
	routes: readonly RouteOption[],
	tcp: HostOptions["tcp"] = {},
): Pick<RunHost, "host" | "beginCapture" | "flushCapture"> {
	let outer = link;
	if (options.impair !== null) {
		const { seed, rate, ...impair } = options.impair;
		outer = impairLink(outer, { ...impair, ...(rate === 0 ? {} : { rate }), ...(seed === null ? {} : { seed }) });
	}
	const sink = options.capture === null ? null : prepareCaptureFile(options.capture);
	const writer = sink === null ? null : new CaptureWriter({ sink, startTime: Date.now() * 1000 });
	// Whoever looks at a capture looks for what is on the wire: each segment, with its checksum.
	if (writer !== null) outer = captureLink(outer, writer, false);
	try {
		const host = createHost({
			link: outer,
			runtime: nodeRuntime(),
			addresses,
			routes,
			tcp: { ...tcp, ...given(options, "slabs"), ...given(options, "holdWindows") },
			...(options.memory === null ? {} : { memory: options.memory }),
			...given(options, "largePages"),
			...(options.congestion === null ? {} : { congestion: options.congestion }),
			spin: options.spin ?? SPIN_DEFAULT,
		});
		return { host, beginCapture: (lost) => sink?.begin(lost), flushCapture: () => writer?.flush() };
	} catch (error) {
		sink?.close();
		throw error;
	}
}
