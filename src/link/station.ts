/**
 * What a link to an interface of this machine is there: its hardware address, its IPv4 addresses, its routes.
 *
 * Hides what must be asked of the kernel for that, and what must not clash with it. Two kinds of station: one of the stack's own
 * beside the kernel, with addresses that the kernel does not have; and the machine itself, some of whose ports the stack takes.
 */
import { MillraceError } from "../errors.ts";
import { claim } from "../sys/claims.ts";
import { NetworkInterface } from "../sys/interface.ts";
import { type KernelRoute, kernelPortRange, kernelTcpPorts } from "../sys/interface-facts.ts";
import { interfaceAddresses, interfaceWith } from "../sys/kernel-addresses.ts";
import { libc } from "../sys/libc.ts";
import { formatIpv4, mask4, parseCidr, parseMac } from "../wire/address.ts";
import { bad, list, stationMac, text } from "./known-options.ts";

/** What `createHost` is to be told to fit the link. */
export interface InterfaceHostOptions {
	readonly addresses: readonly string[];
	readonly routes: readonly { readonly to: string; readonly via?: string }[];
	readonly tcp: { readonly firstPort?: number; readonly lastPort?: number };
}

function noInterface(name: string): MillraceError {
	return new MillraceError("ENODEV", `there is no interface "${name}". See ip link for those there are`);
}

/** The station on an Ethernet interface: with its hardware address, or with one of its own. */
export function stationOn(name: string, mac: string | Uint8Array | undefined): { mac: Uint8Array; ownMac: boolean; mtu: number } {
	text("interface", name, "eth0");
	const device = new NetworkInterface(name);
	try {
		if (device.index === 0) throw noInterface(name);
		if (!device.ethernet) throw bad(`interface "${name}" is no Ethernet. Use another, or --link tap`);
		const theirs = device.mac;
		const own = mac === undefined ? theirs : stationMac(typeof mac === "string" ? parseMac(mac) : mac);
		return { mac: own, ownMac: !theirs.every((byte, i) => byte === own[i]), mtu: device.mtu };
	} finally {
		device.close();
	}
}

/** The kernel's number of an interface, which must be up. */
export function indexOfUp(name: string): number {
	const device = new NetworkInterface(name);
	try {
		const { index } = device;
		if (index === 0) throw noInterface(name);
		if (!device.up) throw new MillraceError("ENETDOWN", `interface "${name}" is down. Bring it up: ip link set ${name} up`);
		return index;
	} finally {
		device.close();
	}
}

/** Addresses of the stack's own, which the kernel must not have; its default router serves us too if it is in our network. */
export function ownAddresses(name: string, addresses: readonly string[], kernel: readonly KernelRoute[]): InterfaceHostOptions {
	list("addresses", addresses, '["192.168.1.50/24"]');
	if (addresses.length === 0) throw bad("the link needs an address of its own, such as 192.168.1.50/24");
	const own = addresses.map((text) => {
		const { version, words, prefix } = parseCidr(text);
		if (version !== 4) throw bad(`bad address: "${text}". Give IPv4 addresses with their prefix length, such as 192.168.1.50/24`);
		return { word: words[3]!, prefix };
	});
	for (const { word } of own) {
		const holder = interfaceWith(formatIpv4(word));
		if (holder !== null)
			throw new MillraceError(
				"EADDRINUSE",
				`the kernel has ${formatIpv4(word)} on interface "${holder}". Choose an address that nobody has, or take ports of this one (--link xdp with --ports)`,
			);
	}
	const near = (gateway: number): boolean => own.some(({ word, prefix }) => ((word ^ gateway) & mask4(prefix)) === 0);
	const route = kernel.find((entry) => entry.interface === name && entry.prefix === 0 && entry.gateway !== 0 && near(entry.gateway));
	return { addresses, routes: route === undefined ? [] : [{ to: "0.0.0.0/0", via: formatIpv4(route.gateway) }], tcp: {} };
}

/**
 * Keeps other links of this machine from addresses of the stack's own: two that answer for one serve nobody.
 *
 * @returns Descriptors to close at the end.
 * @throws MillraceError EADDRINUSE
 */
export function claimAddresses(name: string, index: number, addresses: readonly string[]): number[] {
	const held: number[] = [];
	for (const text of addresses) {
		const address = text.slice(0, text.indexOf("/"));
		const fd = claim(`millrace ${index} ${address}`);
		if (fd !== null) {
			if (fd >= 0) held.push(fd);
			continue;
		}
		for (const other of held) libc().close(other);
		throw new MillraceError(
			"EADDRINUSE",
			`another program of this machine has ${address} on interface "${name}", on a stack of its own. Choose an address that nobody has, or stop that program`,
		);
	}
	return held;
}

/** The machine's addresses on the interface, and its routes by it. */
export function machineAddresses(
	name: string,
	[firstPort, lastPort]: readonly [number, number],
	kernel: readonly KernelRoute[],
): InterfaceHostOptions {
	const addresses = interfaceAddresses(name);
	if (addresses.length === 0)
		throw new MillraceError(
			"EADDRNOTAVAIL",
			`interface "${name}" has no IPv4 address whose ports could be taken. Give the link addresses of its own`,
		);
	const networks = addresses.map((text) => parseCidr(text)).map(({ words, prefix }) => ({ word: words[3]!, mask: mask4(prefix) }));
	const usable = ({ interface: via, network, prefix, gateway }: KernelRoute): boolean => {
		if (via !== name) return false;
		const connected = (address: number): boolean => networks.some(({ word, mask }) => ((word ^ address) & mask) === 0);
		return gateway !== 0 ? connected(gateway) : prefix === 0 || !connected(network);
	};
	const routes = kernel.filter(usable).map(({ network, prefix, gateway }) => {
		const to = `${formatIpv4(network)}/${prefix}`;
		return gateway === 0 ? { to } : { to, via: formatIpv4(gateway) };
	});
	return { addresses, routes, tcp: firstPort <= lastPort ? { firstPort, lastPort } : {} };
}

/** Ports for connections of the stack's must not be ports of the kernel's. */
export function refuseSharedRange(first: number, last: number): void {
	const [low, high] = kernelPortRange();
	if (first <= high && last >= low)
		throw new MillraceError(
			"EADDRINUSE",
			`ports ${first} to ${last} for outgoing connections overlap those of the kernel, ${low} to ${high} (net.ipv4.ip_local_port_range). Choose others (--outgoing-ports), or change the kernel's`,
		);
	for (const port of kernelTcpPorts().keys()) {
		if (port >= first && port <= last)
			throw new MillraceError(
				"EADDRINUSE",
				`port ${port} of the kernel's is in use, within ${first} to ${last} for outgoing connections. Choose other ports (--outgoing-ports)`,
			);
	}
}

/** Ports that are to be the stack's must not have connections of the kernel's, such as those of a server that was told to end: they would be reset. */
export function refuseLivePorts(wanted: Iterable<number>): void {
	const live = kernelTcpPorts();
	for (const port of wanted) {
		const connections = live.get(port) ?? 0;
		if (connections > 0)
			throw new MillraceError(
				"EADDRINUSE",
				`the kernel still has open connections on port ${port}, ${connections} of them, which would be reset. Wait until they have ended, or end whoever has them (ss -tn sport = :${port})`,
			);
	}
}
