/**
 * User-mode networking: a way out of the stack, and into it, by the kernel's ordinary sockets, without any privilege.
 *
 * A gateway is a second host, on the far end of a link. To the program on the near end it is the router and every machine
 * behind it: it takes packets to any address and answers as that address would. Each connection that arrives is made again
 * with a kernel socket and the two are spliced; the SYN is answered only when the outer connection stands, so that a refusal
 * or a missing machine looks to the program as it would without a gateway. In the other direction a port of this machine is
 * published: the gateway accepts there and connects to the program.
 *
 * As in QEMU's user network, the gateway's own address stands for this machine's 127.0.0.1, so a program reaches local
 * services at 10.0.2.2. Every byte crosses two complete TCP endpoints of Millrace.
 *
 * `createGateway` serves whatever is at the other end of its link: a virtual machine, a sandbox, another process. `userLink`
 * is the same with the program in this process: a memory link whose far end is a gateway, behind the Link interface.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { MillraceError, shown } from "../errors.ts";
import { createHost, type Host, type Refusal, type TcpRequest } from "../host/host.ts";
import type { Batch } from "../memory/batch.ts";
import { clearInterval, setInterval } from "../sys/timers.ts";
import type { Runtime } from "../time/clock.ts";
import { isEdge, mask4, parseCidr, parseIpv4 } from "../wire/address.ts";
import { MTU_MAX, MTU_MIN } from "./frames.ts";
import { bad, inRange, refuseUnknown, text, trueOrFalse } from "./known-options.ts";
import type { Link, LinkContext, LinkOffload } from "./link.ts";
import { type MemoryLink, memoryLinkPair } from "./memory.ts";
import { type AcceptedHandle, KernelServer, KernelSocket } from "./user-kernel.ts";
import { Splice, type SpliceOwner } from "./user-splice.ts";

/** An end of a connection, as the gateway's policy sees it. */
export interface Endpoint {
	/** IPv4 address. */
	address: string;
	/** 1 to 65535. */
	port: number;
}

/** A port of this machine that leads to a port of the guest. */
export interface Publication {
	/** Port of this machine; 0: any free one. */
	port: number;
	/** Port of the guest. */
	to: number;
	/** Address of this machine; default 127.0.0.1, so that only this machine can use it. */
	address?: string;
}

/** A port that is open. */
export interface Published {
	/** Port of this machine. */
	port: number;
	/** Closes the port before it returns; connections go on. */
	close: () => void;
}

/** Options of `createGateway`. */
export interface GatewayOptions {
	/** The link to the guest; the gateway opens and closes it. */
	link: Link;
	/** Clock, chance and alarms, such as `nodeRuntime()`. */
	runtime: Runtime;
	/** The gateway's own address; default 10.0.2.2/24. */
	address?: string;
	/** The guest's address, to which published ports lead; default 10.0.2.15. */
	guest?: string;
	/**
	 * Where a connection of the guest goes: what was asked for, something else, or null to refuse it. Default: the gateway's own
	 * address leads to 127.0.0.1 of this machine, everything else to itself.
	 */
	dial?: (to: Endpoint, from: Endpoint) => Endpoint | null;
	/** Connections at a time, both directions together; further ones are refused. Default 8192. */
	maxConnections?: number;
	/** Bytes of the gateway's arena; default that of a host. */
	memory?: number;
	/** Whether all kernel sockets read to one buffer, from which the stack copies at once; otherwise each read gets one of its own. Default true. */
	sharedBuffer?: boolean;
}

/** Figures of a gateway. */
export interface GatewayCounters {
	/** Connections at the moment. */
	open: number;
	/** Connections that came by published ports. */
	inbound: number;
	/** Connections that the guest made. */
	outbound: number;
	/** Connections of the guest that `dial` or the other side refused, or that could not be dialled (`Gateway.error`). */
	refused: number;
	/** Connections turned away because `maxConnections` were open. */
	full: number;
	/** Bytes to the guest, and from it. */
	bytesIn: number;
	/** Bytes from the guest. */
	bytesOut: number;
}

/** Where the kernel's sockets read to: each read is over before the next one begins, whoever's it is. As long as Node's own. */
const INCOMING = new Uint8Array(65536);

/** What a gateway and a user link have in common. */
const KNOWN = ["address", "guest", "dial", "maxConnections", "memory", "sharedBuffer"];

/** Largest IP packet of a user link, in bytes: that of Ethernet. */
const MTU = 1500;
const DEFAULT_ADDRESS = "10.0.2.2/24";
const DEFAULT_GUEST = "10.0.2.15";
const THIS_MACHINE = "127.0.0.1";
const MAX_CONNECTIONS = 8192;
/** Most that can be asked for: far more than a process has descriptors for. */
const CONNECTIONS_MAX = 2 ** 20;
/** Frames that may wait in each direction of the memory link: it has no rate, so what does not fit one turn of many connections would be lost. */
const QUEUE = 8192;

/** Errors of the outer connection that mean something else than that somebody refused, and what the guest is to see then. */
const REFUSALS: Readonly<Record<string, Refusal>> = {
	ENETUNREACH: "net",
	ENETDOWN: "net",
	EHOSTUNREACH: "host",
	EHOSTDOWN: "host",
	ETIMEDOUT: "silence",
};

/** Refuses what is wrong in the options that a gateway and a user link have in common. */
function checkGateway(whose: string, options: UserLinkOptions | GatewayOptions): void {
	const { address = DEFAULT_ADDRESS, guest = DEFAULT_GUEST, maxConnections = MAX_CONNECTIONS, sharedBuffer, dial } = options;
	trueOrFalse({ sharedBuffer });
	inRange(whose, "maxConnections", maxConnections, 0, CONNECTIONS_MAX);
	if (dial !== undefined && typeof dial !== "function")
		throw bad(`dial of ${whose}: give a function (to, from) => where the connection goes, or null`);
	text("guest", guest, DEFAULT_GUEST);
	if (parseCidr(address).version !== 4) throw bad(`address ${address} of ${whose}: give an IPv4 address such as ${DEFAULT_ADDRESS}`);
	if (options.guest !== undefined) assertNeighbor(guest, address);
}

/** The guest is another host of the gateway's network. */
function assertNeighbor(guest: string, address: string): void {
	const { words, prefix } = parseCidr(address);
	const own = words[3]!;
	const word = isIP(guest) === 4 ? parseIpv4(guest) : own;
	if (word === own || isEdge(word, prefix) || ((word ^ own) & mask4(prefix)) !== 0)
		throw bad(`guest ${guest} of a gateway: give an address of ${address}, other than its own`);
}

/** A router with every machine behind it, for one guest. Made by `createGateway`. */
export class Gateway implements SpliceOwner {
	/** The gateway's own host. */
	readonly host: Host;
	readonly #address: string;
	/** The address with its prefix length. */
	readonly #network: string;
	readonly #guest: string;
	readonly #dial: (to: Endpoint, from: Endpoint) => Endpoint | null;
	readonly #limit: number;
	readonly #sharedBuffer: boolean;
	readonly #splices = new Set<Splice>();
	readonly #servers = new Set<KernelServer>();
	#closed = false;
	#inbound = 0;
	#outbound = 0;
	#refused = 0;
	#full = 0;
	/** Bytes to the guest. */
	bytesIn = 0;
	/** Bytes from the guest. */
	bytesOut = 0;
	/** Why a connection could last not be dialled at all: what `dial` threw, or what is wrong with the end that it named. */
	error: Error | null = null;

	constructor(options: GatewayOptions) {
		refuseUnknown("a gateway", options, ["link", "runtime", ...KNOWN]);
		checkGateway("a gateway", options);
		const { link, runtime, address = DEFAULT_ADDRESS, guest = DEFAULT_GUEST, memory } = options;
		const { maxConnections = MAX_CONNECTIONS, sharedBuffer = true } = options;
		this.#network = address;
		this.#address = address.slice(0, address.indexOf("/"));
		this.#guest = guest;
		this.#dial = options.dial ?? ((to) => (to.address === this.#address ? { address: THIS_MACHINE, port: to.port } : to));
		this.#limit = maxConnections;
		this.#sharedBuffer = sharedBuffer;
		this.host = createHost({ link, runtime, addresses: [address], acceptAny: true, ...(memory === undefined ? {} : { memory }) });
		this.host.tcpListenAny((request) => this.#requested(request));
	}

	/**
	 * Opens a port of this machine that leads to one of the guest.
	 *
	 * @returns The port, which matters when any free one was asked for, and a way to close it again; connections go on.
	 * @throws {MillraceError} EADDRINUSE, EACCES, EADDRNOTAVAIL: the port cannot be had. MILLRACE_BAD_OPTION. EINVAL: there is no such port.
	 * ENOTFOUND and other codes of the resolver's: nobody knows the name `address`. MILLRACE_LINK_CLOSED: the gateway was closed, also while an address was looked up.
	 */
	async publish(publication: Publication): Promise<Published> {
		const address = addressOf(publication);
		return this.publishNow({ ...publication, address: isIP(address) === 0 ? await addressNamed(address) : address });
	}

	/** The same before it returns; `address` is not a name then. */
	publishNow(publication: Publication): Published {
		const address = addressOf(publication);
		assertNeighbor(this.#guest, this.#network);
		const { port, to } = publication;
		if (!Number.isInteger(port) || port < 0 || port > 65535)
			throw new MillraceError("EINVAL", `cannot publish port ${port}: it is not a whole number from 0 to 65535`);
		if (!Number.isInteger(to) || to < 1 || to > 65535)
			throw new MillraceError("EINVAL", `cannot publish port ${to} of the guest: it is not a whole number from 1 to 65535`);
		if (this.#closed)
			throw new MillraceError(
				"MILLRACE_LINK_CLOSED",
				`cannot publish port ${port}: the gateway was closed, and takes no connections. Make another`,
			);
		const server = new KernelServer();
		const code = server.listenNow(address, port, (handle) => this.#accepted(handle, to));
		if (code !== null) {
			const another = `such as ${(port % 64511) + 1024}:${to}`;
			const remedy =
				code === "EADDRNOTAVAIL"
					? "Give an address of this machine"
					: code === "EACCES"
						? `Ports below 1024 need privilege: publish another one, ${another}`
						: `Publish another port, ${another}`;
			throw new MillraceError(code, `cannot publish port ${port} on ${address}: ${code}. ${remedy}`);
		}
		server.unref();
		this.#servers.add(server);
		const close = (): void => {
			if (this.#servers.delete(server)) server.close();
		};
		return { port: (server.address() as { port: number }).port, close };
	}

	/** Resets all connections, closes all ports and the link. */
	async close(): Promise<void> {
		this.#closed = true;
		for (const server of this.#servers) server.close();
		this.#servers.clear();
		for (const splice of [...this.#splices]) splice.abort();
		await this.host.close();
	}

	/**
	 * Gives up connections that are still being made outside. A guest that still wants one repeats its SYN, and is served anew.
	 *
	 * @internal A guest says nothing when it gives up a connection that it only asked for (RFC 9293 3.10.5), and while the kernel is connecting,
	 * which it does for two minutes where nobody answers, the process cannot end.
	 */
	giveUpConnecting(): void {
		for (const splice of this.#splices) if (splice.connecting) splice.abort();
	}

	/** Figures of the moment and since the start. */
	counters(): GatewayCounters {
		return {
			open: this.#splices.size,
			inbound: this.#inbound,
			outbound: this.#outbound,
			refused: this.#refused,
			full: this.#full,
			bytesIn: this.bytesIn,
			bytesOut: this.bytesOut,
		};
	}

	/** @internal */
	spliceClosed(splice: Splice): void {
		this.#splices.delete(splice);
	}

	/** A socket of the kernel's, and its splice: for a connection to be made, or one that was accepted. */
	#outside(handle?: AcceptedHandle): { socket: KernelSocket; splice: Splice } {
		const onread = { buffer: INCOMING, callback: (length: number, bytes: Uint8Array) => splice.received(bytes, length) };
		const socket = new KernelSocket({
			allowHalfOpen: true,
			...(this.#sharedBuffer ? { onread } : {}),
			...(handle === undefined ? {} : { handle, pauseOnCreate: true }),
		});
		const splice: Splice = new Splice(this, socket);
		return { socket, splice };
	}

	/** A client of this machine came to a published port. */
	#accepted(handle: AcceptedHandle, to: number): void {
		const { socket, splice } = this.#outside(handle);
		if (this.#splices.size >= this.#limit) {
			this.#full++;
			socket.resetAndDestroy();
			return;
		}
		try {
			splice.join(this.host.tcpConnect({ address: this.#guest, port: to }, splice));
		} catch {
			// No source port or no memory: to the client, the program is not there.
			this.#refused++;
			socket.resetAndDestroy();
			return;
		}
		this.#splices.add(splice);
		this.#inbound++;
	}

	/** The guest wants to connect to some address: make that connection outside, then answer. */
	#requested(request: TcpRequest): void {
		let target: Endpoint | null = null;
		try {
			target = this.#dial(
				{ address: request.localAddress, port: request.localPort },
				{ address: request.remoteAddress, port: request.remotePort },
			);
		} catch (error) {
			// To the guest it is a refusal: thrown from here, it would leave the SYN without an answer.
			this.error = error as Error;
		}
		if (target === null) {
			this.#refused++;
			request.refuse();
			return;
		}
		if (this.#splices.size >= this.#limit) {
			this.#full++;
			request.refuse();
			return;
		}
		this.#connect(request, target);
	}

	/**
	 * @internal A turn for a process whose event loop turns no more, as `Shard.turn`. Returns the bytes of the guest that the kernel can
	 * still be given.
	 */
	turn(): number {
		this.host.shard.turn();
		let bytes = 0;
		for (const splice of this.#splices) bytes += splice.push();
		return bytes;
	}

	#connect(request: TcpRequest, target: Endpoint): void {
		const { socket, splice } = this.#outside();
		this.#splices.add(splice);
		const failed = (error: NodeJS.ErrnoException): void => {
			this.#refused++;
			request.refuse(REFUSALS[error.code ?? ""]);
		};
		const closed = (): void => request.refuse("silence");
		socket.once("error", failed);
		socket.once("close", closed);
		const connected = (): void => {
			socket.off("error", failed);
			socket.off("close", closed);
			const inner = request.accept(splice);
			if (inner === null) {
				// The guest gave up while the outer connection was being made.
				socket.resetAndDestroy();
				return;
			}
			this.#outbound++;
			splice.join(inner);
		};
		try {
			// Without an address Node would connect to this very machine: a policy that has none for a guest must not open it.
			if (isIP(target.address) !== 4 || !Number.isInteger(target.port) || target.port < 1 || target.port > 65535)
				throw new MillraceError(
					"MILLRACE_BAD_OPTION",
					`dial of a gateway answered ${JSON.stringify(target)}: give an IPv4 address and a port, or null`,
				);
			socket.connect({ host: target.address, port: target.port, family: 4 }, connected);
			socket.unref();
		} catch (error) {
			// No address and port: `failed` answers the guest.
			this.error = error as Error;
			socket.destroy(this.error);
		}
	}
}

/** The address that a publication names. What listens on none would listen on all that the machine has. */
/** The address of a name. */
async function addressNamed(name: string): Promise<string> {
	try {
		return (await lookup(name)).address;
	} catch (cause) {
		const { code = "ENOTFOUND" } = cause as NodeJS.ErrnoException;
		throw new MillraceError(code, `cannot publish a port on ${name}: ${code}. Give an address of this machine, or a name of one`, {
			cause,
		});
	}
}

function addressOf(publication: Publication): string {
	refuseUnknown("a publication", publication, ["port", "to", "address"]);
	const { address = THIS_MACHINE } = publication;
	if (typeof address === "string" && address !== "") return address;
	throw new MillraceError(
		"MILLRACE_BAD_OPTION",
		`address ${shown(address)} of a publication: give one of this machine, such as ${THIS_MACHINE}`,
	);
}

/**
 * A gateway at the far end of any link: user-mode networking for the guest at the near end.
 *
 * @example
 * const gateway = createGateway({ link: framesOfTheVirtualMachine, runtime: nodeRuntime() });
 * await gateway.publish({ port: 8080, to: 80 });
 * @throws {MillraceError} MILLRACE_BAD_OPTION for an option that is unknown, or what opening the link throws.
 */
export function createGateway(options: GatewayOptions): Gateway {
	return new Gateway(options);
}

/** Options of `userLink`. */
export interface UserLinkOptions extends Pick<GatewayOptions, "address" | "guest" | "dial" | "maxConnections" | "memory" | "sharedBuffer"> {
	/** Largest IP packet, in bytes; default 1500. */
	mtu?: number;
}

/** The near end of a memory link whose far end is a gateway. */
export class UserLink implements Link {
	readonly name = "user";
	readonly medium = "ip";
	readonly mtu: number;
	readonly #near: MemoryLink;
	readonly #far: MemoryLink;
	readonly #options: UserLinkOptions;
	#gateway: Gateway | null = null;
	/** Nothing of the kernel's is waited for while no port is published, so a timer holds the process for the program's sockets. */
	#hold: NodeJS.Timeout | null = null;

	constructor(options: UserLinkOptions = {}) {
		refuseUnknown("a user link", options, ["mtu", ...KNOWN]);
		checkGateway("a user link", options);
		const { mtu = MTU } = options;
		inRange("a user link", "mtu", mtu, MTU_MIN, MTU_MAX);
		this.#options = options;
		[this.#near, this.#far] = memoryLinkPair({ name: "user", medium: "ip", mtu, capacity: QUEUE });
		this.mtu = this.#near.mtu;
	}

	/** The gateway, once the link is open. */
	get gateway(): Gateway {
		if (this.#gateway === null)
			throw new MillraceError("MILLRACE_LINK_CLOSED", "the user link has a gateway only while it is open: create the host first");
		return this.#gateway;
	}

	get offload(): LinkOffload | undefined {
		return this.#near.offload;
	}

	open(context: LinkContext): void {
		this.#near.open(context);
		const { mtu: _, ...options } = this.#options;
		this.#gateway = createGateway({ ...options, link: this.#far, runtime: context.runtime });
	}

	receive(batch: Batch): number {
		return this.#near.receive(batch);
	}

	look(): number {
		return this.#gateway?.turn() ?? 0;
	}

	transmit(batch: Batch): number {
		return this.#near.transmit(batch);
	}

	flush(): void {
		this.#near.flush();
	}

	ref(): void {
		this.#hold ??= setInterval(() => {}, 2 ** 30);
	}

	unref(): void {
		if (this.#hold !== null) clearInterval(this.#hold);
		this.#hold = null;
		// The program waits for none of its connections any more.
		this.#gateway?.giveUpConnecting();
	}

	close(): void {
		this.unref();
		this.#near.close();
		void this.#gateway?.close();
		this.#gateway = null;
	}

	counters(): Readonly<Record<string, number>> {
		const gateway = this.#gateway?.counters();
		return gateway === undefined ? this.#near.counters() : { ...this.#near.counters(), ...prefixed(gateway) };
	}
}

function prefixed(counters: GatewayCounters): Record<string, number> {
	return Object.fromEntries(Object.entries(counters).map(([name, value]) => [`gateway${name[0]!.toUpperCase()}${name.slice(1)}`, value]));
}

/**
 * The rootless link: the stack's connections leave through kernel sockets, and ports of this machine can be published.
 *
 * @example
 * const link = userLink();
 * const host = createHost({ link, addresses: ["10.0.2.15/24"], routes: [{ to: "0.0.0.0/0" }] });
 * await link.gateway.publish({ port: 8080, to: 80 });
 */
export function userLink(options: UserLinkOptions = {}): UserLink {
	return new UserLink(options);
}
