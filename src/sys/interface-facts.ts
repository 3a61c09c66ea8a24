/**
 * What the kernel says of its interfaces, routes and ports, by files of /proc and by
 * asking drivers.
 *
 * Hides the formats of those files and requests. Everything here is read once, when a link is set up; nothing is kept.
 */

import { readFileSync } from "node:fs";
import type { MillraceError } from "../errors.ts";
import { IFF_UP } from "./constants.ts";
import { NetworkInterface } from "./interface.ts";
import { libc } from "./libc.ts";
import { askInterface } from "./netlink.ts";

/** A route of the kernel's main table; addresses as words, most significant byte first. */
export interface KernelRoute {
	readonly interface: string;
	readonly network: number;
	/** Bits of the prefix. */
	readonly prefix: number;
	/** 0: on the link. */
	readonly gateway: number;
	readonly metric: number;
}

const RTF_UP = 1;

/** The kernel's IPv4 routes, the preferred ones first among those of one prefix. */
export function kernelRoutes(): KernelRoute[] {
	const routes: KernelRoute[] = [];
	for (const line of readFileSync("/proc/net/route", "latin1").split("\n").slice(1)) {
		const [name, network, gateway, flags, , , metric, mask] = line.split("\t").map((field) => field.trim());
		if (name === undefined || mask === undefined || (Number.parseInt(flags!, 16) & RTF_UP) === 0) continue;
		routes.push({
			interface: name,
			network: fromHex(network!),
			prefix: Math.clz32(~fromHex(mask)),
			gateway: fromHex(gateway!),
			metric: Number(metric),
		});
	}
	return routes.sort((a, b) => b.prefix - a.prefix || a.metric - b.metric);
}

/** An address as these files write it: the word in memory order. */
function fromHex(text: string): number {
	const word = Number.parseInt(text, 16);
	return ((word & 0xff) << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

const SIOCETHTOOL = 0x8946;
const ETHTOOL_GDRVINFO = 0x03;
const ETHTOOL_GTSO = 0x1e;
const ETHTOOL_GCHANNELS = 0x3c;

/** Asks a driver; the answer lies in `argument`, whose first word is the question. False if it does not answer. */
function askDriver(name: string, argument: Uint8Array): boolean {
	const device = new NetworkInterface(name);
	try {
		return device.query(SIOCETHTOOL, libc().address(argument)) >= 0;
	} finally {
		device.close();
	}
}

/** How many receive queues an interface has; 1 if its driver knows nothing of queues. (Not read from /sys: that may be another namespace's.) */
export function receiveQueues(name: string): number {
	const channels = new Uint32Array(new ArrayBuffer(128)); // struct ethtool_channels
	channels[0] = ETHTOOL_GCHANNELS;
	// Queues for receiving alone, and those for both.
	return askDriver(name, new Uint8Array(channels.buffer)) ? Math.max(1, channels[5]! + channels[8]!) : 1;
}

/** Name of an interface's driver, such as "veth"; "" if it does not say. */
export function driverOf(name: string): string {
	const info = new Uint8Array(new ArrayBuffer(196)); // struct ethtool_drvinfo
	info[0] = ETHTOOL_GDRVINFO;
	return askDriver(name, info) ? String.fromCharCode(...info.subarray(4, info.indexOf(0, 4))) : "";
}

/** Whether the device of an interface cuts long TCP frames into segments, as it is set up now. */
export function cutsSegments(name: string): boolean {
	const value = new Uint32Array(new ArrayBuffer(128)); // struct ethtool_value
	value[0] = ETHTOOL_GTSO;
	return askDriver(name, new Uint8Array(value.buffer)) && value[1] !== 0;
}

/** Whether the kernel forwards IPv4 packets that come by an interface and are not for it (net.ipv4.ip_forward sets this for all). */
export function kernelForwards(name: string): boolean {
	try {
		return readFileSync(`/proc/sys/net/ipv4/conf/${name}/forwarding`, "latin1").trim() !== "0";
	} catch {
		return false; // it has no IPv4 there
	}
}

/** Where struct ifinfomsg has its flags. */
const FLAGS_AT = 8;

/** What became of the interface that had that name and number, whatever it is called now. Where that cannot be asked, it counts as down. */
export function interfaceState(name: string, index: number): "up" | "down" | "gone" {
	const answer = askInterface(index);
	if (answer !== null) return (answer.getUint32(FLAGS_AT, true) & IFF_UP) !== 0 ? "up" : "down";
	try {
		const device = new NetworkInterface(name);
		try {
			if (device.index !== index) return "gone";
			return device.up ? "up" : "down";
		} finally {
			device.close();
		}
	} catch (error) {
		// It went between the two questions; or there is no descriptor left to ask by.
		return (error as MillraceError).code === "ENODEV" ? "gone" : "down";
	}
}

/** First and last of the ports that the kernel chooses from for connections of its own. */
export function kernelPortRange(): [number, number] {
	const [first = 32768, last = 60999] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1").trim().split(/\s+/).map(Number);
	return [first, last];
}

/** State of a listener, and of what is over and only keeps its addresses, as these files write them. */
const LISTEN = "0A";
const TIME_WAIT = "06";

/** Local ports of the kernel's TCP that are in use, listening or connected, over IPv4 and IPv6, and how many connections of each live. */
export function kernelTcpPorts(): Map<number, number> {
	const ports = new Map<number, number>();
	for (const file of ["/proc/net/tcp", "/proc/net/tcp6"]) {
		let text = "";
		try {
			text = readFileSync(file, "latin1");
		} catch {
			continue; // a kernel without IPv6
		}
		for (const [, digits, state] of text.matchAll(/^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm)) {
			const port = Number.parseInt(digits!, 16);
			ports.set(port, (ports.get(port) ?? 0) + (state === LISTEN || state === TIME_WAIT ? 0 : 1));
		}
	}
	return ports;
}
