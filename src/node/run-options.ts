/**
 * The options of a run: what `millrace run` and `node --import millrace/register` can be told, as plain data.
 *
 * Hides where options come from. Both the command line and the environment variable MILLRACE_OPTIONS (JSON) end up here, and
 * here is the only place that says what is valid: values may be written as people do ("20ms", see quantities.ts) or as plain
 * numbers in the unit that the field names. Reading is idempotent: what `parseRunOptions` returns can be written as JSON and
 * read again with the same result, which is how options travel from the command line to the preload.
 *
 * Unknown keys and contradictions are refused by name, before anything has been opened.
 */

import { SPIN_MAX } from "../host/options.ts";
import type { RouteOption } from "../ip/routes.ts";
import { bad } from "../link/known-options.ts";
import { PROCESSORS_MAX } from "../sys/rps.ts";
import { formatIpv4, parseMac } from "../wire/address.ts";
import { type LinkChoice, readLink } from "./link-choice.ts";
import { type Complain, Fields, list, type OptionLabel, oneOf, type Read, readQuantity, whole } from "./option-fields.ts";
import { isUsableAddress, readBitRate, readBytes, readFraction, readIpv4, readIpv4Prefix, readMicroseconds } from "./quantities.ts";
import { checkTogether } from "./run-checks.ts";

/**
 * Microseconds for which a program's loop stays awake at most, unless told: about what a wake-up costs the two cores that take part in it, so that
 * staying awake in vain costs no more than sleeping would have.
 */
export const SPIN_DEFAULT = 50;

export type { RouteOption } from "../ip/routes.ts";
export type { LinkChoice } from "./link-choice.ts";
export type { OptionLabel } from "./option-fields.ts";

/** A port of this machine that leads to a port of the program (`user` link). */
export interface PublishOption {
	/** Address of this machine to listen on. */
	address: string;
	/** Port of this machine. */
	port: number;
	/** Port that the program listens on. */
	to: number;
}

/** Ports from the first to the last. */
export interface PortRange {
	first: number;
	last: number;
}

/** What is done to the frames on their way, in both directions. */
export interface ImpairOptions {
	/** Fractions of all frames, 0 to 1. */
	loss: number;
	reorder: number;
	duplicate: number;
	corrupt: number;
	/** Microseconds, one way. */
	delay: number;
	/** Microseconds around `delay`. */
	jitter: number;
	/** Bits a second, each way; 0: no limit. */
	rate: number;
	/** Start of the random sequence; null: another one each time. */
	seed: number | null;
}

/** The options of a run, complete: what was not given has its default or is null. */
export interface RunOptions {
	/** null: a TAP device where it is permitted, otherwise the user link. */
	link: LinkChoice | null;
	/** The stack's address with prefix length; null: the link's default. */
	address: string | null;
	/** `xdp`: ports of the machine's own addresses that the stack takes; not together with `address`. */
	ports: number[];
	/** `xdp` with `ports`: ports of connections that the stack opens; null: the link's default. */
	outgoingPorts: PortRange | null;
	/** `tap`: the kernel's address on the device; `user`: the gateway's. With prefix length; null: the link's default. */
	kernelAddress: string | null;
	/** Next hop for everything that is not on the link. */
	gateway: string | null;
	routes: RouteOption[];
	/** Empty: every port that the program listens on is published under its own number. */
	publish: PublishOption[];
	/** null: the link as it is. */
	impair: ImpairOptions | null;
	/** File that the frames are written to, pcapng. */
	capture: string | null;
	/** `xdp` and `packet` with `address`, `stream`: the stack's hardware address; "interface": that of the interface; null: the link's default. */
	mac: string | null;
	/** `xdp`: where the program that divides the frames runs. */
	xdpMode: "auto" | "native" | "generic" | null;
	/** `xdp`: whether the driver moves frames straight from and to the stack's pages. */
	zeroCopy: "auto" | "always" | "never" | null;
	/** `tap`: queues of the device; `packet`: sockets among which the kernel deals out flows; null: one. */
	queues: number | null;
	/** `packet` with several `queues`: which socket a flow comes by; null: by the kernel's hash. */
	fanout: "hash" | "ebpf" | "cpu" | "queue" | null;
	/** `tap` with several `queues`: which of them a flow comes by; null: the kernel's choice. */
	steering: "kernel" | "flow-group" | null;
	/** `tap`: processors that do the kernel's work on what the stack sends; empty: that of the stack's thread; null: as is best. */
	rps: "auto" | number[] | null;
	/** `tap`: whether many frames may be moved by one system call; null: where the kernel has io_uring. */
	ioUring: boolean | null;
	/** `tap`, `packet`: whether checksums and segmentation are left to the kernel; null: they are. */
	offload: boolean | null;
	/** `tap`: whether the payload of long frames is read to where the program has it; null: it is. */
	landing: boolean | null;
	/** As `TapOptions.expressLane`. */
	expressLane: boolean | null;
	/** Whether long writes go to slabs, where the link takes them; null: they do. */
	slabs: boolean | null;
	/** Whether windows are held while a queue stands in the link; null: they are. */
	holdWindows: boolean | null;
	/** `tap`: whether the pages of long frames are put into the order of memory; null: they are. */
	pageOrder: boolean | null;
	/** `packet`: how frames lie in the ring; null: "v2". */
	ring: "v2" | "v3" | null;
	/** `tap`, `packet`: whether frames bypass the interface's queueing disciplines; null: they do (`tap`), or where nothing is lost by it. */
	qdiscBypass: boolean | null;
	/** `packet`: whether short frames are sent by a ring; null: they are. */
	txRing: boolean | null;
	/** `xdp`: receive queues whose frames the stack takes; empty: all. */
	rxQueues: number[];
	/** `xdp`, `packet`: frames of each ring; null: the link's default. */
	ringSize: number | null;
	/** `pcap`: how many times as fast as it was recorded; "max": all at once; null: as it was. */
	speed: number | "max" | null;
	/** Ports that are left to the kernel's TCP, for listening and for connecting. */
	kernelPorts: number[];
	/** Whether a line of figures is written every second. */
	stats: boolean;
	/** Largest IP packet, in bytes; null: the link's default. */
	mtu: number | null;
	/** Bytes of the arena; null: the stack's default. */
	memory: number | null;
	congestion: "cubic" | "newreno" | "bbr" | null;
	/** Whether large pages are asked for under the stack's memory; null: they are not. */
	largePages: boolean | null;
	/** Microseconds for which the event loop stays awake after a frame while traffic is dense, 0: none; null: SPIN_DEFAULT. */
	spin: number | null;
	/** Whether short chunks are pieces of Node's pool (HandleOptions); null: they are not. */
	pooledChunks: boolean | null;
	/** Nothing is written but errors and what was asked for. */
	quiet: boolean;
}

/** The variable that carries the options to the preload. */
export const OPTIONS_VARIABLE = "MILLRACE_OPTIONS";
/** The variable that tells processes which inherit the preload who has the stack: a process id, and whether it uses it. */
export const OWNER_VARIABLE = "MILLRACE_OWNER";

/** Smallest MTU that every IPv4 host must take (RFC 791 3.2), and the largest that fits a page. */
const MTU_LEAST = 576;
const MTU_MOST = 1500;
/** Most queues of a TAP device. */
const QUEUES_MOST = 256;
/** An arena smaller than this has no room for the tables. */
const MEMORY_LEAST = 8 * 1024 * 1024;
/** What an arena of 2 GiB has room for beside the tables of 131072 connections, those of BBR included (shard/room.ts). */
export const MEMORY_MOST: number = 1910 * 1024 * 1024;
/** Fastest replay that is still one in time. */
const SPEED_MOST = 1e6;

const jsonLabel: OptionLabel = (path) => (path === "" ? OPTIONS_VARIABLE : `${OPTIONS_VARIABLE}: ${path}`);

/**
 * Reads options from JSON text or from the object that it stands for.
 *
 * @param input The text of MILLRACE_OPTIONS, or the object; empty text means "all defaults".
 * @param label How to call a field in the message of an error.
 * @throws {MillraceError} MILLRACE_BAD_OPTION, with one line that names the option, the value and what would be right.
 */
export function parseRunOptions(input: unknown, label: OptionLabel = jsonLabel): RunOptions {
	let value = input;
	if (typeof input === "string") {
		if (input.trim() === "") value = {};
		else {
			try {
				value = JSON.parse(input);
			} catch (error) {
				throw bad(`${label("")} is not JSON: ${(error as Error).message}`);
			}
		}
	}
	const fields = new Fields(value, "", label);
	const options: RunOptions = {
		link: fields.take("link", readLink),
		address: fields.take("address", readHostAddress),
		ports: fields.take("ports", list(readPort)) ?? [],
		outgoingPorts: fields.take("outgoingPorts", readPortRange),
		kernelAddress: fields.take("kernelAddress", readHostAddress),
		gateway: fields.take("gateway", readAddress),
		routes: fields.take("routes", list(readRoute)) ?? [],
		publish: fields.take("publish", list(readPublish)) ?? [],
		impair: fields.take("impair", readImpair),
		capture: fields.take("capture", readPath),
		kernelPorts: fields.take("kernelPorts", list(readPort)) ?? [],
		mac: fields.take("mac", readMac),
		xdpMode: fields.take("xdpMode", oneOf("auto", "native", "generic")),
		zeroCopy: fields.take("zeroCopy", oneOf("auto", "always", "never")),
		queues: fields.take("queues", readQueues),
		fanout: fields.take("fanout", oneOf("hash", "ebpf", "cpu", "queue")),
		steering: fields.take("steering", oneOf("kernel", "flow-group")),
		rps: fields.take("rps", readRps),
		ioUring: fields.take("ioUring", readSwitch),
		offload: fields.take("offload", readSwitch),
		landing: fields.take("landing", readSwitch),
		expressLane: fields.take("expressLane", readSwitch),
		slabs: fields.take("slabs", readSwitch),
		holdWindows: fields.take("holdWindows", readSwitch),
		pageOrder: fields.take("pageOrder", readSwitch),
		ring: fields.take("ring", oneOf("v2", "v3")),
		qdiscBypass: fields.take("qdiscBypass", readSwitch),
		txRing: fields.take("txRing", readSwitch),
		rxQueues: fields.take("rxQueues", list(readQueue)) ?? [],
		ringSize: fields.take("ringSize", readRingSize),
		speed: fields.take("speed", readSpeed),
		stats: fields.take("stats", readFlag) ?? false,
		mtu: fields.take("mtu", readMtu),
		memory: fields.take("memory", readMemory),
		congestion: fields.take("congestion", readCongestion),
		largePages: fields.take("largePages", readSwitch),
		spin: fields.take("spin", readSpin),
		pooledChunks: fields.take("pooledChunks", readSwitch),
		quiet: fields.take("quiet", readFlag) ?? false,
	};
	fields.end();
	checkTogether(options, label);
	return options;
}

const readFraction1: Read<number> = (value, complain) =>
	readQuantity(value, complain, readFraction, 0, 1, "a percentage between 0% and 100%, such as 2%");

const readTime: Read<number> = (value, complain) =>
	readQuantity(value, complain, readMicroseconds, 0, 60_000_000, "a time such as 20ms, 150us or 1.5s (at most 60s)");

const readSpin: Read<number> = (value, complain) =>
	value === "off" || value === false || value === 0
		? 0
		: Math.round(readQuantity(value, complain, readMicroseconds, 1, SPIN_MAX, "a time from 1us to 1ms, such as 100us, or off"));

const readRate: Read<number> = (value, complain) =>
	readQuantity(value, complain, readBitRate, 8000, 1e12, "a rate such as 100mbit, 56kbit or 1gbit (at least 8kbit)");

const readPort = (value: unknown, complain: Complain): number => whole(value, 1, 65535) ?? complain("a port between 1 and 65535");
const readMtu: Read<number> = (value, complain) =>
	whole(value, MTU_LEAST, MTU_MOST) ?? complain(`a number of bytes between ${MTU_LEAST} and ${MTU_MOST}`);
const readSeed: Read<number> = (value, complain) => whole(value, 0, 0xffffffff) ?? complain("a whole number between 0 and 4294967295");
const readFlag: Read<boolean> = (value, complain) => (typeof value === "boolean" ? value : complain("true or false"));
/** What is on or off, where saying nothing is a third thing: so it is said in words, or as a boolean. */
const readSwitch: Read<boolean> = (value, complain) =>
	value === "on" || value === true ? true : value === "off" || value === false ? false : complain("on or off");
const readMemory: Read<number> = (value, complain) =>
	Math.floor(readQuantity(value, complain, readBytes, MEMORY_LEAST, MEMORY_MOST, "a size between 8mb and 1910mb, such as 256mb"));

const readPath: Read<string> = (value, complain) =>
	typeof value === "string" && value !== "" && !value.includes("\0") ? value : complain("a file name");

const readCongestion = oneOf("cubic", "newreno", "bbr");

const readPortRange: Read<PortRange> = (value, complain) => {
	const wanted = "a range of ports such as 61000-65535";
	const parts = typeof value === "string" ? value.split("-") : [(value as PortRange).first, (value as PortRange).last];
	const first = whole(parts[0], 1, 65535);
	const last = whole(parts[1], 1, 65535);
	return parts.length !== 2 || first === null || last === null || first > last ? complain(wanted) : { first, last };
};

const readQueues: Read<number> = (value, complain) =>
	whole(value, 1, QUEUES_MOST) ?? complain(`a number of queues between 1 and ${QUEUES_MOST}`);
const readQueue = (value: unknown, complain: Complain): number => whole(value, 0, 4095) ?? complain("the number of a queue, from 0 on");
const readProcessors = list(
	(value, complain) => whole(value, 0, PROCESSORS_MAX - 1) ?? complain("auto, off or the number of a processor, from 0 on"),
);
const readRps: Read<"auto" | number[]> = (value, ...rest) => {
	const [word, more] = [value].flat();
	if (more === undefined && (word === "auto" || word === "off")) return word === "auto" ? word : [];
	return readProcessors(value, ...rest);
};
const readRingSize: Read<number> = (value, complain) => whole(value, 1, 32768) ?? complain("a number of frames between 1 and 32768");

/** "10", "10x", "0.5x" or "max". */
const readSpeed: Read<number | "max"> = (value, complain) => {
	if (value === "max") return value;
	const speed = typeof value === "string" && /^[0-9]+(\.[0-9]+)?x?$/.test(value) ? Number.parseFloat(value) : value;
	const right = typeof speed === "number" && speed >= 1 / SPEED_MOST && speed <= SPEED_MOST;
	return right ? speed : complain("a speed such as 10x or 0.5x, or max");
};

const readMac: Read<string> = (value, complain) => {
	const wanted = 'a hardware address of a single station, such as 02:00:00:00:00:01, or "interface"';
	if (value === "interface") return value;
	try {
		return typeof value === "string" && (parseMac(value)[0]! & 1) === 0 ? value.toLowerCase() : complain(wanted);
	} catch {
		return complain(wanted);
	}
};

const readAddress: Read<string> = (value, complain) => {
	const word = typeof value === "string" ? readIpv4(value) : null;
	return word === null ? complain("an IPv4 address such as 10.77.0.1") : formatIpv4(word);
};

const readHostAddress: Read<string> = (value, complain) => {
	const prefix = typeof value === "string" ? readIpv4Prefix(value, 24) : null;
	if (prefix === null) return complain("an IPv4 address such as 10.77.0.2 or 10.77.0.2/24");
	if (prefix.length === 0 || !isUsableAddress(prefix)) return complain("an address that one host can have");
	return `${formatIpv4(prefix.word)}/${prefix.length}`;
};

function readRoute(value: unknown, complain: Complain): RouteOption {
	const wanted = "a route such as 192.168.0.0/16 or 192.168.0.0/16=10.77.0.1";
	const object = typeof value === "string" ? fromText(value) : value;
	if (typeof object !== "object" || object === null) return complain(wanted);
	const { to, via, ...rest } = object as Record<string, unknown>;
	const network = typeof to === "string" ? readIpv4Prefix(to, 32) : null;
	const hop = via === undefined ? undefined : typeof via === "string" ? readIpv4(via) : null;
	if (network === null || hop === null || Object.keys(rest).length > 0) return complain(wanted);
	const text = `${formatIpv4(network.word)}/${network.length}`;
	return hop === undefined ? { to: text } : { to: text, via: formatIpv4(hop) };

	function fromText(route: string): RouteOption {
		const equals = route.indexOf("=");
		return equals < 0 ? { to: route } : { to: route.slice(0, equals), via: route.slice(equals + 1) };
	}
}

function readPublish(value: unknown, complain: Complain): PublishOption {
	const wanted = "a port, PORT:PORT or ADDRESS:PORT:PORT, such as 8080:80 (port here, port of the program)";
	let parts: unknown[];
	if (typeof value === "string") parts = value.split(":");
	else if (typeof value === "object" && value !== null) {
		const { address, port, to, ...rest } = value as Record<string, unknown>;
		if (Object.keys(rest).length > 0) return complain(wanted);
		parts = [address, port, to];
	} else parts = [value];
	if (parts.length > 3) return complain(wanted);
	const to = whole(parts.at(-1), 1, 65535);
	const port = parts.length === 1 ? to : whole(parts.at(-2), 1, 65535);
	const address = parts.length === 3 && parts[0] !== undefined ? (typeof parts[0] === "string" ? readIpv4(parts[0]) : null) : 0x7f000001;
	if (to === null || port === null || address === null) return complain(wanted);
	return { address: formatIpv4(address), port, to };
}

const readImpair: Read<ImpairOptions> = (value, _complain, path, label) => {
	const fields = new Fields(value, path, label);
	const impair: ImpairOptions = {
		loss: fields.take("loss", readFraction1) ?? 0,
		reorder: fields.take("reorder", readFraction1) ?? 0,
		duplicate: fields.take("duplicate", readFraction1) ?? 0,
		corrupt: fields.take("corrupt", readFraction1) ?? 0,
		delay: fields.take("delay", readTime) ?? 0,
		jitter: fields.take("jitter", readTime) ?? 0,
		rate: fields.take("rate", (v, c, p, l) => (v === 0 ? 0 : readRate(v, c, p, l))) ?? 0,
		seed: fields.take("seed", readSeed),
	};
	fields.end();
	if (impair.seed !== null && Object.keys(value as object).length === 1)
		throw bad(`${label("impair.seed")} chooses what impairments do: give one as well, such as ${label("impair.loss")} 2%`);
	if (impair.jitter > impair.delay)
		throw bad(`${label("impair.jitter")}: more than ${label("impair.delay")}: frames cannot arrive before they are sent`);
	return impair;
};
