/**
 * Passive opens: how a `net.Server` that is about to listen gets a handle on the stack.
 *
 * Hides what stays with the kernel whatever the policy says: UNIX sockets, file descriptors, a handle that the server already
 * has, and the server that a cluster's primary opens in the name of its workers, because its connections are sent to other
 * processes.
 */
import cluster from "node:cluster";
import type net from "node:net";
import { errnoOf } from "./errno.ts";
import { ipv6SideOf } from "./ipv6-ports.ts";
import { asIpv4, KERNEL, type Policy, UNREACHABLE } from "./policy.ts";
import { type HandleOptions, ServerHandle } from "./server-handle.ts";
import type { StackHost } from "./stack.ts";

/** `net.Server.prototype._listen2`: kept under that name by Node for code that wraps it. */
export type Listen2 = (
	this: net.Server,
	address: string | null,
	port: number | null,
	addressType: number | null,
	backlog: number | undefined,
	fd: number | undefined,
	flags: number | undefined,
) => void;

/** libuv's flag of the option `ipv6Only`. */
const UV_TCP_IPV6ONLY = 1;

/**
 * Gives `server` a handle on the stack if the policy wants so.
 *
 * @returns The address that it will listen on, or null if it is left to the kernel.
 */
export function prepareServer(
	server: net.Server,
	host: () => StackHost,
	policy: Policy,
	address: string | null,
	port: number | null,
	fd: number | undefined,
	flags: number | undefined,
	options: HandleOptions,
): string | null {
	const internals = server as unknown as { _handle: object | null };
	if (internals._handle || typeof port !== "number" || port < 0 || (typeof fd === "number" && fd >= 0) || isForWorkers(server)) return null;
	const verdict = policy.listener(address ?? undefined, port, ((flags ?? 0) & UV_TCP_IPV6ONLY) !== 0);
	if (verdict === KERNEL) return null;
	if (verdict === UNREACHABLE) internals._handle = new RefusingHandle(host());
	else {
		const handle = new ServerHandle(host(), verdict, port, options, ipv6SideOf(address));
		// Also where it stands for a wider one (`exposeLoopback`), the program's is what it sees.
		handle.shown = asIpv4(address ?? "") ?? verdict;
		internals._handle = handle;
	}
	return address || "0.0.0.0";
}

/** A cluster's primary: the server whose connections it deals out is the one that must never get any itself. */
function isForWorkers(server: net.Server): boolean {
	if (!cluster.isPrimary || cluster.workers === undefined) return false;
	const listeners = server.listeners("connection");
	return listeners.length === 1 && listeners[0]!.name === "fail" && Object.keys(cluster.workers).length > 0;
}

/** For an address that the stack cannot have. */
class RefusingHandle extends ServerHandle {
	constructor(host: StackHost) {
		super(host, "", 0);
	}
	override listen(): number {
		return errnoOf("EADDRNOTAVAIL");
	}
}
