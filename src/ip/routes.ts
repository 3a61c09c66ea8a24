/**
 * Where a destination goes: own addresses, connected networks and routes, for IPv4.
 *
 * Hides prefixes. The longest prefix wins; among equals the one given first. A host has a handful of routes, so they are
 * searched in order from the longest on; `IpLayer` asks again only when the destination changes.
 */
import { MillraceError } from "../errors.ts";
import { formatCidr, formatIpv4, isEdge, mask4, parseCidr, parseIpv4 } from "../wire/address.ts";
import { isLoopback, isNoHost } from "../wire/ipv4.ts";

/** An own address, as an option: "10.77.0.2/24" or the same in an object. */
export type AddressOption = string | { address: string };

/** A route, as an option. */
export interface RouteOption {
	/** Destination, such as "0.0.0.0/0". */
	to: string;
	/** The router, on a connected network; without it the destination itself is on the link. */
	via?: string;
}

interface Route {
	network: number;
	mask: number;
	/** The router's address; 0 when the destination is on the link. */
	via: number;
	/** The own address to send from. */
	source: number;
}

/** The routing table of a host. */
export class Routes {
	/** Own addresses, in the order given. */
	readonly addresses: Int32Array;
	readonly #masks: Int32Array;
	readonly #routes: Route[] = [];

	/**
	 * @param gateways Whether `via` must be on a connected network: true for Ethernet; other links know no neighbors.
	 * @throws MillraceError MILLRACE_ADDRESS for text that cannot be parsed, MILLRACE_ROUTE for a router that cannot be reached.
	 */
	constructor(addresses: readonly AddressOption[], routes: readonly RouteOption[], gateways: boolean) {
		const own = addresses.map((option) => {
			const text = typeof option === "string" ? option : option.address;
			const cidr = parseCidr(text);
			const address = cidr.words[3]!;
			if (cidr.version !== 4)
				throw new MillraceError("MILLRACE_ADDRESS", `${text} is an IPv6 address, which is not supported yet; give IPv4 addresses`);
			if (isNoHost(address) || isEdge(address, cidr.prefix)) {
				throw new MillraceError(
					"MILLRACE_ADDRESS",
					`${text} is not an address that a host can have; give one host's address, such as 10.77.0.2/24`,
				);
			}
			return { address, prefix: cidr.prefix };
		});
		this.addresses = Int32Array.from(own, ({ address }) => address);
		this.#masks = Int32Array.from(own, ({ prefix }) => mask4(prefix));
		for (const { address, prefix } of own) this.#add(address, prefix, 0, address);
		for (const { to, via } of routes) this.#addRoute(to, via, gateways);
	}

	#addRoute(to: string, via: string | undefined, gateways: boolean): void {
		const cidr = parseCidr(to);
		if (cidr.version !== 4)
			throw new MillraceError("MILLRACE_ROUTE", `route to ${formatCidr(cidr)}: IPv6 is not supported yet; give IPv4 routes`);
		const router = via === undefined ? 0 : parseIpv4(via);
		let source = this.addresses[0] ?? 0;
		if (router !== 0) {
			const connected = this.connected(router);
			if (connected !== 0) source = connected;
			if (this.isOwn(router) || isNoHost(router) || isLoopback(router) || this.isBroadcast(router) || (gateways && connected === 0)) {
				const own = [...this.addresses].map(formatIpv4).join(", ") || "none";
				throw new MillraceError(
					"MILLRACE_ROUTE",
					`route to ${to}: router ${via} is not a neighbor on a connected network (own addresses: ${own}); give the router's address on this link`,
				);
			}
		}
		if (source === 0) throw new MillraceError("MILLRACE_ROUTE", `route to ${to}: the host has no address to send from; give it one`);
		this.#add(cidr.words[3]!, cidr.prefix, gateways ? router : 0, source);
	}

	#add(address: number, prefix: number, via: number, source: number): void {
		const mask = mask4(prefix);
		const before = this.#routes.findIndex((route) => mask >>> 0 > route.mask >>> 0);
		this.#routes.splice(before < 0 ? this.#routes.length : before, 0, { network: address & mask, mask, via, source });
	}

	/** Whether an address is one of our own, 127.0.0.0/8 not counted. */
	isOwn(address: number): boolean {
		const { addresses } = this;
		for (let i = 0; i < addresses.length; i++) if (addresses[i] === address) return true;
		return false;
	}

	/** Whether an address is a broadcast: to all, or to a connected network (also in the old form, RFC 1122 3.3.6). */
	isBroadcast(address: number): boolean {
		if (address === -1) return true;
		for (let i = 0; i < this.#masks.length; i++) {
			const mask = this.#masks[i]!;
			const host = address & ~mask;
			// A mask of /31 or /32 has no host bits beyond bit 0 (RFC 3021).
			if (((address ^ this.addresses[i]!) & mask) === 0 && ~mask >>> 0 > 1 && (host === 0 || host === ~mask)) return true;
		}
		return false;
	}

	/** The own address on the connected network that holds `address`, or 0. */
	connected(address: number): number {
		for (let i = 0; i < this.#masks.length; i++) {
			if (((address ^ this.addresses[i]!) & this.#masks[i]!) === 0) return this.addresses[i]!;
		}
		return 0;
	}

	#find(destination: number): Route | undefined {
		const routes = this.#routes;
		for (let i = 0; i < routes.length; i++) {
			const route = routes[i]!;
			if ((destination & route.mask) === route.network) return route;
		}
		return undefined;
	}

	/** The neighbor to give a packet to: the router, or the destination itself; 0 if there is no route. */
	nextHop(destination: number): number {
		if (isNoHost(destination) || isLoopback(destination) || this.isBroadcast(destination)) return 0;
		const route = this.#find(destination);
		return route === undefined ? 0 : route.via !== 0 ? route.via : destination;
	}

	/** The own address to send from to a destination; 0 if there is no route. */
	source(destination: number): number {
		if (isNoHost(destination) || this.isBroadcast(destination)) return 0;
		return this.#find(destination)?.source ?? 0;
	}
}
