/**
 * Which sockets go to the stack, and which stay with the kernel.
 *
 * Two policies. `StackOnly` is that of `createNet(host)`: every TCP socket goes to the host, and what the host cannot do is an
 * error. `Shared` is that of the preload, where the program does not know of the stack:
 *
 * - Ports in `kernelPorts` stay with the kernel, both ways.
 * - UNIX sockets, file descriptors, handles from elsewhere and cluster workers stay with the kernel (see patch.ts).
 * - Listeners go to the stack. `::`, and no address at all, mean all IPv4 addresses of the stack; `::1` means 127.0.0.1; another
 *   IPv6 address, and `::` for IPv6 alone, stays with the kernel. With `exposeLoopback` a listener on 127.0.0.0/8 listens on all addresses: for links whose
 *   far side is this machine's own loop-back address.
 * - Where the stack has ports of the machine's own address, listeners on other ports, and connections that do not leave by its link
 *   (or lead to another port of this machine), stay with the kernel.
 * - Where Node keeps the program from the network (`--permission` without `--allow-net`), everything stays with the kernel's sockets, which say so.
 * - Connections to 127.0.0.0/8, `::1` or `localhost` go to the stack if the link is a loop-back link or the stack listens there, so
 *   that a program reaches both its own servers and the machine's. Other IPv6 destinations stay with the kernel, all the rest goes
 *   to the stack.
 */
import { isIPv4 } from "node:net";
import { bad, refuseUnknown, trueOrFalse } from "../link/known-options.ts";
import type { StackHost } from "./stack.ts";

/** Answer: leave it to the kernel. */
export const KERNEL = 1;
/** Answer: there is no way there. */
export const UNREACHABLE = 2;
/** Answer before the look-up: the kernel, unless a server of the stack listens there by the time of the connect. */
export const UNDECIDED = 3;
/** The address to use on the stack, or why not. */
export type Verdict = string | typeof KERNEL | typeof UNREACHABLE;

/** Decides for each server and each connect of a program: an address on the stack, the kernel, or nowhere. */
export interface Policy {
	/** Where a server that wants to listen on `address` (undefined: all) listens. @param ipv6Only All addresses are those of IPv6. */
	listener(address: string | undefined, port: number, ipv6Only?: boolean): Verdict;
	/** Where a socket goes that wants to reach `address`. */
	destination(address: string, port: number): Verdict;
	/** Whether a socket that wants to reach this name or address may go to the stack; no more than a guess before the look-up. */
	mayDial(host: string, port: number): boolean | typeof UNDECIDED;
}

/** The IPv4 address that an address means on a stack without IPv6, or null. */
export function asIpv4(address: string): string | null {
	if (isIPv4(address)) return address;
	if (address === "::1") return "127.0.0.1";
	if (address === "::") return "0.0.0.0";
	const mapped = /^::ffff:([0-9.]+)$/i.exec(address);
	return mapped !== null && isIPv4(mapped[1]!) ? mapped[1]! : null;
}

/** The same of an address to listen on: none (undefined), and `::`, are all addresses, of both families or of IPv6 alone. */
function listenerIpv4(address: string | undefined, ipv6Only: boolean): string | null {
	const all = !address || address === "::";
	if (all) return ipv6Only ? null : "0.0.0.0";
	return asIpv4(address);
}

/** Connecting to "any address" means this host, as in the kernel. */
function target(address: string): string | null {
	const ipv4 = asIpv4(address);
	return ipv4 === "0.0.0.0" ? "127.0.0.1" : ipv4;
}

function isLoopback(ipv4: string): boolean {
	return ipv4.startsWith("127.");
}

/** Everything to the host. */
export class StackOnly implements Policy {
	listener(address: string | undefined, _port: number, ipv6Only = false): Verdict {
		return listenerIpv4(address, ipv6Only) ?? UNREACHABLE;
	}

	destination(address: string): Verdict {
		return target(address) ?? UNREACHABLE;
	}

	mayDial(): true {
		return true;
	}
}

/** Whether this Node has a permission for the network: others say that it is missing wherever there are permissions at all. */
const HAS_PERMISSION = process.allowedNodeEnvironmentFlags.has("--allow-net");

/** Asked each time: a program may drop a permission. */
function isForbidden(): boolean {
	return HAS_PERMISSION && process.permission?.has("net") === false;
}

/** What the preload is told about sharing the program with the kernel. */
export interface SharedOptions {
	/** Ports that the kernel keeps. */
	kernelPorts?: readonly number[];
	/** The link is a loop-back link: 127.0.0.0/8 belongs to the stack. */
	loopback?: boolean;
	/** Whether listeners on 127.0.0.0/8 listen on all addresses of the stack. Asked only for such a listener. */
	exposeLoopback?: () => boolean;
	/** The stack has these ports of the machine's own address, and none else. */
	ports?: readonly number[] | undefined;
	/** With `ports`: whether packets to an address leave the machine by the stack's link. */
	leaves?: (address: string) => boolean;
}

/** Stack and kernel side by side. */
export class Shared implements Policy {
	readonly #host: () => StackHost | null;
	readonly #kernelPorts: ReadonlySet<number>;
	readonly #loopback: boolean;
	readonly #exposeLoopback: () => boolean;
	readonly #ports: ReadonlySet<number> | null;
	readonly #leaves: (address: string) => boolean;

	/** @param host The host if it exists already: a question of policy does not create one. */
	constructor(host: () => StackHost | null, options: SharedOptions = {}) {
		if (typeof host !== "function") throw bad("Shared needs a function that gives the host, or null while there is none");
		refuseUnknown("Shared", options, ["kernelPorts", "loopback", "exposeLoopback", "ports", "leaves"]);
		for (const name of ["kernelPorts", "ports"] as const)
			if (options[name] !== undefined && !Array.isArray(options[name]))
				throw bad(`${name} ${String(options[name])} of Shared: give a list of ports`);
		for (const name of ["exposeLoopback", "leaves"] as const)
			if (options[name] !== undefined && typeof options[name] !== "function")
				throw bad(`${name} ${String(options[name])} of Shared: give a function`);
		trueOrFalse({ loopback: options.loopback });
		this.#host = host;
		this.#kernelPorts = new Set(options.kernelPorts);
		this.#loopback = options.loopback ?? false;
		this.#exposeLoopback = options.exposeLoopback ?? (() => false);
		this.#ports = options.ports === undefined ? null : new Set(options.ports);
		this.#leaves = options.leaves ?? (() => true);
	}

	listener(address: string | undefined, port: number, ipv6Only = false): Verdict {
		if (isForbidden() || this.#kernelPorts.has(port) || this.#ports?.has(port) === false) return KERNEL;
		const ipv4 = listenerIpv4(address, ipv6Only);
		if (ipv4 === null) return KERNEL;
		return isLoopback(ipv4) && this.#exposeLoopback() ? "0.0.0.0" : ipv4;
	}

	destination(address: string, port: number): Verdict {
		if (isForbidden() || this.#kernelPorts.has(port)) return KERNEL;
		const ipv4 = target(address);
		if (ipv4 === null || (isLoopback(ipv4) && !this.#owns(ipv4, port))) return KERNEL;
		if (this.#ports !== null && !this.#leaves(ipv4) && !this.#owns(ipv4, port)) return KERNEL;
		return ipv4;
	}

	mayDial(host: string, port: number): boolean | typeof UNDECIDED {
		if (isForbidden() || this.#kernelPorts.has(port)) return false;
		const address = host.toLowerCase() === "localhost" ? "127.0.0.1" : target(host);
		if (address === null) return !host.includes(":");
		if (!isLoopback(address) || this.#owns(address, port)) return true;
		return this.#ports?.has(port) === false ? false : UNDECIDED;
	}

	/** Of an address of this machine: whether that port of it is the stack's. */
	#owns(address: string, port: number): boolean {
		if (this.#loopback) return true;
		// Where loop-back is exposed, the kernel's port of that number leads to the program itself, whichever address it listens on.
		return this.#host()?.hasListener(port, this.#exposeLoopback() ? undefined : address) ?? false;
	}
}
