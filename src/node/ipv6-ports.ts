/**
 * Ports on IPv6 addresses of a stack that has none: `::1` beside 127.0.0.1, on one port.
 *
 * Programs listen on both, since `localhost` is both, and with the kernel each is a port of its own. Here `::1` stands for 127.0.0.1. So on
 * a port that has a listener on IPv4 already, one on `::1` succeeds without any: a client that wanted `::1` comes to the other. It steps
 * back for a listener on IPv4 that comes later, and takes the port over when that is closed. All IPv6 addresses (`::`, or no address) means
 * all of IPv4 as well, as in the kernel: such a listener shares its port with nobody.
 *
 * Which listener has the IPv6 side of a port, each host's ports apart, is known here and nowhere else.
 */
import { errnoOf } from "./errno.ts";
import type { StackHost } from "./stack.ts";

/** The IPv6 side that a listener's address has. */
export type Ipv6Side = "none" | "loopback" | "all";

/** The IPv6 side of an address as it was given to `listen`. */
export function ipv6SideOf(address: string | null): Ipv6Side {
	if (!address || address === "::") return "all";
	return address === "::1" ? "loopback" : "none";
}

/** Who listens on a port. */
export interface PortHolder {
	readonly ipv6: Ipv6Side;
	/** 0: any, until it is open. */
	readonly port: number;
	/** Has it listen on the stack; 0 or an error number. */
	open(): number;
	/** Takes its listener away; the port is still its own. */
	stepBack(): void;
	/** Its listener is gone and cannot be had back. */
	lost(): void;
}

const EADDRINUSE = errnoOf("EADDRINUSE");

const holders = new WeakMap<StackHost, Map<number, PortHolder>>();

/** Lets a holder have its port: with a listener, or on `::1` perhaps without. Returns 0 or an error number. */
export function takePort(host: StackHost, holder: PortHolder): number {
	const known = holders.get(host) ?? new Map<number, PortHolder>();
	holders.set(host, known);
	const { ipv6 } = holder;
	const other = known.get(holder.port);
	if (other !== undefined && ipv6 !== "none") return EADDRINUSE;
	let error = holder.open();
	// In use outside of the stack, it is in use for all.
	if (error === EADDRINUSE && host.hasListener(holder.port)) {
		if (ipv6 === "loopback") error = 0;
		else if (ipv6 === "none" && other?.ipv6 === "loopback") {
			other.stepBack();
			try {
				error = holder.open();
			} finally {
				if (error !== 0) comeBack(host, other);
			}
		}
	}
	if (error === 0 && ipv6 !== "none") known.set(holder.port, holder);
	return error;
}

/** To be called when the holder's listener, if it had one, is closed. */
export function givePort(host: StackHost, holder: PortHolder): void {
	const known = holders.get(host);
	const other = known?.get(holder.port);
	if (other === holder) known!.delete(holder.port);
	else if (other?.ipv6 === "loopback") comeBack(host, other);
}

/** Gives `::1` its listener again, unless one on IPv4 has the port. */
function comeBack(host: StackHost, holder: PortHolder): void {
	try {
		if (holder.open() === 0 || host.hasListener(holder.port)) return;
	} catch {
		// The host is closed.
	}
	holder.lost();
}
