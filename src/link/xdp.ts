/**
 * Link to a network interface of this machine, past its kernel: AF_XDP.
 *
 * Hides how frames of an interface are divided between kernel and stack, and how they get here without a system call each: an XDP
 * program (xdp-program.ts) on the interface, one AF_XDP socket for each of its receive queues (xdp-queue.ts), whose memory is the
 * stack's own pages. Two ways to divide:
 *
 * - **Own address** (`addresses`): the stack is a station of its own beside the kernel, with IPv4 addresses that the kernel does
 *   not have. It uses the interface's hardware address unless it is given one. It speaks ARP for its addresses itself.
 * - **Ports** (`ports`): the stack takes those TCP ports of the machine's own addresses, and a range that the kernel does not use
 *   for connections that it opens. All else stays with the kernel, which goes on answering ARP and ping. `hostOptions` has the
 *   machine's addresses and routes for `createHost`.
 *
 * Queues share the memory: the first socket registers the pages with the kernel, each further one is bound to it (XDP_SHARED_UMEM) and has
 * rings of its own. So a frame may come by one queue and its page leave by another, and memory is kept in RAM once.
 *
 * The program is linked to the interface by a descriptor: when the process ends, however it ends, the kernel has everything back at
 * once. The ports are held by bound kernel sockets meanwhile, so that no other program can have them by mistake, and a port that a
 * program has is refused.
 *
 * Neighbors with `ports`: ARP is the kernel's there, and a frame cannot go both ways. The stack asks for itself (in the machine's
 * name) when it needs a neighbor; the answer goes to the kernel, and a packet socket (xdp-beside.ts) gives us a copy of it. Nothing else of ARP
 * reaches the stack, so nobody is answered twice.
 *
 * What it cannot do: the kernel of this machine and the stack do not see each other on the same interface, for nothing that leaves
 * by it comes back. A program on this machine that connects to a taken port is refused by the kernel.
 *
 * While the interface is down nothing comes, and what is to be sent is lost (`txDown`); xdp-beside.ts tells of that. Waiting and arrival
 * times: watch.ts.
 */
import { factOf, MillraceError } from "../errors.ts";
import type { Batch } from "../memory/batch.ts";
import { PAGE_SIZE, type PagePool } from "../memory/pages.ts";
import { attachXdp, createMap, loadXdp, MAP_ARRAY, MAP_XSK, setWord, XDP_GENERIC, XDP_NATIVE, XDP_PASS } from "../sys/bpf/bpf.ts";
import { ENETDOWN, ENXIO } from "../sys/errno.ts";
import { driverOf, type KernelRoute, kernelRoutes, receiveQueues } from "../sys/interface-facts.ts";
import { interfaceWith } from "../sys/kernel-addresses.ts";
import { libc } from "../sys/libc.ts";
import { holdPort } from "../sys/ports.ts";
import { XDP_HEADROOM, Xsk } from "../sys/xsk.ts";
import { mask4, parseCidr, parseIpv4 } from "../wire/address.ts";
import { frameLimit } from "./frames.ts";
import { bad, list, refuseUnknown } from "./known-options.ts";
import type { Link, LinkContext, LinkOffload } from "./link.ts";
import { DRAINED, STARVED } from "./queue-state.ts";
import {
	claimAddresses,
	type InterfaceHostOptions,
	indexOfUp,
	machineAddresses,
	ownAddresses,
	refuseLivePorts,
	refuseSharedRange,
	stationOn,
} from "./station.ts";
import { Watch } from "./watch.ts";
import { XdpBeside } from "./xdp-beside.ts";
import { ADDRESSES_MAX, PORT_WORDS, xdpProgram } from "./xdp-program.ts";
import { XdpCounters, XdpQueue } from "./xdp-queue.ts";

/** Head room that puts the IP header behind 14 bytes of Ethernet on a word boundary. */
const HEADROOM = 2;
/** Largest IP packet of which the whole frame, with a VLAN tag, fits a page behind the head room. */
const MTU_MAX = PAGE_SIZE - XDP_HEADROOM - HEADROOM - 18;
/** Ports above those that Linux chooses from for connections of its own. */
const OUTGOING: readonly [number, number] = [61000, 65535];
/** Drivers of devices that give frames of this machine's kernels without their checksums. */
const VIRTUAL = new Set(["veth", "virtio_net", "tun", "bridge", "macvlan"]);
/** Pages that the kernel has of each queue for what comes, at least. */
const LEND_MIN = 8;
const KNOWN = ["interface", "addresses", "mac", "ports", "outgoingPorts", "queues", "mode", "zeroCopy", "ringSize"];
const MODES = ["auto", "native", "generic"];
const ZERO_COPY = ["auto", "always", "never"];
/** Frames may then come marked; none are completed by the link on their way out. */
const MARKED: LinkOffload = { checksum: false, segmentation: 0 };

/** Options of `xdpLink`: either `addresses` or `ports`. */
export interface XdpOptions {
	/** Name of the interface, such as "eth0". It must be up. */
	interface: string;
	/** Own address: IPv4 addresses with prefix length that the kernel does not have, such as ["192.168.1.50/24"]. */
	addresses?: readonly string[];
	/** Own address: hardware address of the stack's own. Default: the interface's, which every network lets through. */
	mac?: string | Uint8Array;
	/** Ports: TCP ports of the machine's addresses that the stack takes. May be empty: then it only opens connections. */
	ports?: readonly number[];
	/** Ports: first and last port of connections that the stack opens. Default 61000 to 65535, which Linux leaves alone. */
	outgoingPorts?: readonly [number, number];
	/** Receive queues of the interface whose frames the stack takes. Default all. Frames on the others go to the kernel. */
	queues?: readonly number[];
	/** Where the XDP program runs: in the driver ("native"), in the kernel behind it ("generic", slower, works with every driver). Default "auto": native if the driver can. */
	mode?: "auto" | "native" | "generic";
	/** Whether the driver moves frames straight from and to the pages. Default "auto": if it can. */
	zeroCopy?: "auto" | "always" | "never";
	/** Frames of each ring, a power of two from 64 to 32768. Default 2048. */
	ringSize?: number;
}

/** An interface of this machine, past its kernel. Made by `xdpLink`; members as in `Link`. */
export class XdpLink implements Link {
	/** `xdp:` and the name of the interface. */
	readonly name: string;
	readonly medium = "ethernet";
	/** Largest IP packet, in bytes: the interface's. */
	readonly mtu: number;
	/** The hardware address that the stack uses, 6 bytes. */
	readonly mac: Uint8Array;
	/** Addresses, routes and ports that go with the link. */
	readonly hostOptions: InterfaceHostOptions;
	readonly #options: Readonly<XdpOptions>;
	readonly #interface: string;
	/** The stack's hardware address is not the interface's. */
	readonly #ownMac: boolean;
	readonly #ports: readonly number[] | null;
	readonly #outgoing: readonly [number, number];
	readonly #partial: boolean;
	/** As they were when the link was made. */
	readonly #routes: readonly KernelRoute[];
	readonly #counters = new XdpCounters();
	/** Descriptors to be closed: program, link, maps, ports. */
	readonly #descriptors: number[] = [];
	#queues: XdpQueue[] = [];
	#beside: XdpBeside | null = null;
	/** The queue to look at first. */
	#next = 0;
	#context: LinkContext | null = null;
	#watch: Watch | null = null;
	#native = false;
	/** What the kernel had counted when the link was closed. */
	#final: Readonly<Record<string, number>> | null = null;

	constructor(options: XdpOptions) {
		refuseUnknown("an XDP link", options, KNOWN);
		const { interface: name, addresses, ports, mac, ringSize = 2048, outgoingPorts = OUTGOING } = options;
		const { mode = "auto", zeroCopy = "auto" } = options;
		if (!MODES.includes(mode)) throw bad(`bad mode: ${mode}. Give one of ${MODES.join(", ")}`);
		if (!ZERO_COPY.includes(zeroCopy)) throw bad(`bad zeroCopy: ${zeroCopy}. Give one of ${ZERO_COPY.join(", ")}`);
		if (zeroCopy === "always" && mode === "generic")
			throw bad('zeroCopy "always" does not go with mode "generic", which always copies. Leave one of them out');
		this.#options = options;
		this.#interface = name;
		this.name = `xdp:${name}`;
		if ((addresses === undefined) === (ports === undefined))
			throw bad("an XDP link needs either addresses (of its own) or ports (of the machine's addresses)");
		const { queues = [0] } = options;
		list("queues", queues, "[0, 1]");
		if (addresses !== undefined) list("addresses", addresses, '["192.168.1.50/24"]');
		if (ports !== undefined) list("ports", ports, "[8080]");
		list("outgoingPorts", outgoingPorts, "[61000, 65535]");
		if (queues.length === 0 || new Set(queues).size < queues.length || queues.some((queue) => !Number.isInteger(queue) || queue < 0))
			throw bad(`bad queues: ${queues.join(", ")}. Give numbers of receive queues, from 0 on, each once; leave it out for all`);
		if (options.outgoingPorts !== undefined && ports === undefined)
			throw bad("outgoingPorts goes with ports only: all ports of an address of its own are the stack's. Leave it out, or give ports");
		if (!(outgoingPorts.length === 2 && outgoingPorts[0] <= outgoingPorts[1]))
			throw bad(`bad outgoingPorts: ${outgoingPorts.join(", ")}. Give the first port and the last, such as 61000 and 65535`);
		if (!(ringSize >= 64 && ringSize <= 32768 && (ringSize & (ringSize - 1)) === 0))
			throw bad(`bad ringSize: ${ringSize}. Give a power of two from 64 to 32768`);
		for (const port of [...(ports ?? []), ...outgoingPorts]) {
			if (!Number.isInteger(port) || port < 1 || port > 65535) throw bad(`bad port: ${port}. Give whole numbers from 1 to 65535`);
		}
		this.#ports = ports ?? null;
		this.#outgoing = outgoingPorts;

		const station = stationOn(name, mac);
		this.mac = station.mac;
		this.#ownMac = station.ownMac;
		if (this.#ownMac && ports !== undefined) throw bad("mac does not go with ports: the machine has the interface's hardware address");
		this.mtu = Math.min(station.mtu, MTU_MAX);
		this.#partial = VIRTUAL.has(driverOf(name));
		this.#routes = kernelRoutes();
		this.hostOptions =
			addresses !== undefined ? ownAddresses(name, addresses, this.#routes) : machineAddresses(name, outgoingPorts, this.#routes);
		if (this.hostOptions.addresses.length > ADDRESSES_MAX)
			throw bad(`${this.hostOptions.addresses.length} addresses are more than an XDP link takes: ${ADDRESSES_MAX}`);
	}

	get offload(): LinkOffload | undefined {
		return this.#partial && this.#queues.length > 0 && this.#context?.plain !== true ? MARKED : undefined;
	}

	/** How frames cross, for people: "native, zero-copy". Valid once the link is open. */
	get how(): string {
		const copy = this.#queues.every(({ socket }) => socket.zeroCopy) ? "zero-copy" : "copy mode";
		const queues = this.#queues.length === 1 ? "1 queue" : `${this.#queues.length} queues`;
		return `${this.#native ? "native" : "generic"} XDP, ${copy}, ${queues}`;
	}

	/** Whether the kernel's routes lead to an IPv4 address by this interface; false for the machine's own addresses. */
	leadsTo(address: string): boolean {
		const word = parseIpv4(address);
		if (interfaceWith(address) !== null) return false;
		return this.#routes.find(({ network, prefix }) => ((network ^ word) & mask4(prefix)) === 0)?.interface === this.#interface;
	}

	/** Divides the interface's frames. Throws MillraceError: EPERM, ENODEV, ENETDOWN, EBUSY, EADDRINUSE, MILLRACE_KOFFI, MILLRACE_PLATFORM. */
	open(context: LinkContext): void {
		if (this.#context !== null)
			throw new MillraceError("MILLRACE_LINK_USED", `link ${this.name} was opened before: a link serves one host, once; make another`);
		this.#context = context;
		try {
			this.#open(context);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	receive(batch: Batch): number {
		const queues = this.#queues;
		const count = queues.length;
		const watch = this.#watch;
		if (watch === null) return 0;
		const time = watch.time();
		let frames = this.#beside!.receive(batch, time, watch);
		const first = this.#next;
		for (let i = 0; i < count; i++) {
			const at = first + i < count ? first + i : first + i - count;
			const queue = queues[at]!;
			frames += queue.receive(batch, time);
			queue.reap();
			if (queue.state === STARVED) watch.starved();
			// The one that had to leave some is first the next time.
			if (queue.state !== DRAINED) this.#next = at;
		}
		return frames;
	}

	transmit(batch: Batch): number {
		const queue = this.#queues[0];
		if (queue === undefined || batch.count === 0) return 0;
		const watch = this.#watch;
		if (watch?.down === true) return queue.lose(batch);
		watch?.sent();
		const taken = queue.transmit(batch);
		if (batch.count === 0) return taken;
		// The ring is full: let the kernel take some, and try the rest once.
		this.flush();
		const more = queue.transmit(batch);
		// A driver that needs no call to go on says nothing when it has.
		if (batch.count > 0) watch?.later();
		return taken + more;
	}

	flush(): void {
		const watch = this.#watch;
		if (watch === null || watch.down) return;
		const errno = this.#queues[0]?.kick() ?? 0;
		if (errno === 0) return;
		if (errno === ENETDOWN) watch.lost();
		// The socket is bound to nothing any more.
		else if (errno === ENXIO) watch.gone();
		else watch.later();
	}

	ref(): void {
		this.#watch?.ref();
	}

	unref(): void {
		this.#watch?.unref();
	}

	close(): void {
		if (this.#queues.length > 0) this.#final = this.#kernelCounters();
		this.#watch?.close();
		this.#watch = null;
		// First the program, so that no frame is redirected to nobody; then sockets that share another's memory before that.
		for (const fd of this.#descriptors.splice(0).reverse()) libc().close(fd);
		for (const queue of this.#queues.splice(0).reverse()) queue.close();
		this.#beside?.close();
		this.#beside = null;
	}

	counters(): Readonly<Record<string, number>> {
		return { ...this.#counters, ...(this.#final ?? this.#kernelCounters()) };
	}

	/** What the kernel counts, as long as the sockets are open. */
	#kernelCounters(): { rxDropped: number; rxRingFull: number; rxFillEmpty: number } {
		let rxDropped = 0;
		let rxRingFull = 0;
		let rxFillEmpty = 0;
		for (const { socket } of this.#queues) {
			const { dropped, receiveRingFull, fillRingEmpty } = socket.statistics();
			rxDropped += dropped;
			rxRingFull += receiveRingFull;
			rxFillEmpty += fillRingEmpty;
		}
		return { rxDropped, rxRingFull, rxFillEmpty };
	}

	#open(context: LinkContext): void {
		const { pool, plain } = context;
		const { mode = "auto", zeroCopy = "auto", ringSize = 2048 } = this.#options;
		const name = this.#interface;
		const index = indexOfUp(name);
		const all = receiveQueues(name);
		const queues = this.#options.queues ?? Array.from({ length: all }, (_, i) => i);
		for (const queue of queues) {
			if (queue >= all) throw bad(`interface "${name}" has no receive queue ${queue}. It has 0 to ${all - 1}`);
		}
		if (LEND_MIN * queues.length > pool.capacity >> 1)
			throw bad(
				`${queues.length} queues want ${LEND_MIN * queues.length} pages, more than half of the ${pool.capacity} that there are. Give the host more memory, or the link fewer queues`,
			);

		if (this.#ports === null) this.#descriptors.push(...claimAddresses(name, index, this.hostOptions.addresses));
		const ports = this.#ports === null ? undefined : this.#takePorts(this.#ports);
		const counters = this.#counters;
		this.#beside = new XdpBeside({ interfaceIndex: index, mac: this.#ownMac ? this.mac : null, arp: ports !== undefined, counters });

		const sockets = this.#keep(createMap(MAP_XSK, 4, 4, all));
		const program = this.#keep(
			loadXdp(
				xdpProgram({
					sockets,
					addresses: this.hostOptions.addresses.map((text) => parseCidr(text).words[3]!),
					mac: this.#ownMac ? this.mac : undefined,
					ports,
				}),
				"millrace",
			),
		);
		this.#attach(program, index, zeroCopy === "always" ? "native" : mode);
		for (const queue of queues) {
			const socket = new Xsk({
				interfaceIndex: index,
				interfaceName: name,
				queue,
				zeroCopy: this.#native ? zeroCopy : "never",
				ringSize,
				umem: this.#queues[0]?.socket ?? umemOf(pool),
			});
			this.#queues.push(
				new XdpQueue({
					socket,
					pool,
					counters,
					lend: Math.min(ringSize, Math.max(LEND_MIN, Math.floor((pool.capacity >> 3) / queues.length))),
					limit: frameLimit(this),
					partial: !this.#partial ? "none" : plain === true ? "complete" : "mark",
				}),
			);
		}
		const watch = new Watch(context, { name, index }, () => this.flush());
		this.#watch = watch;
		for (const { socket } of this.#queues) watch.add(socket.fd);
		this.#beside.watchBy(watch);
		// From here on frames come.
		for (const [i, { socket }] of this.#queues.entries()) setWord(sockets, queues[i]!, socket.fd);
	}

	#attach(program: number, index: number, mode: "auto" | "native" | "generic"): void {
		if (mode !== "generic") {
			try {
				this.#keep(attachXdp(program, index, XDP_NATIVE, this.#interface));
				this.#native = true;
				return;
			} catch (error) {
				// Behind the driver frames are copied, whatever was asked for.
				if (mode === "native" || this.#options.zeroCopy === "always" || TAKEN.has((error as MillraceError).code)) throw error;
			}
		}
		this.#keep(attachXdp(program, index, XDP_GENERIC, this.#interface));
	}

	/** Takes the ports from the kernel; what the program needs to know of them. */
	#takePorts(ports: readonly number[]): { map: number; first: number; last: number } {
		const [first, last] = this.#outgoing;
		refuseSharedRange(first, last);
		refuseLivePorts(ports);
		const bits = new Int32Array(PORT_WORDS);
		for (const port of new Set(ports)) {
			this.#keep(holdPort(port));
			bits[port >> 5]! |= 1 << (port & 31);
		}
		const map = this.#keep(createMap(MAP_ARRAY, 4, 4, PORT_WORDS));
		for (let i = 0; i < PORT_WORDS; i++) if (bits[i] !== 0) setWord(map, i, bits[i]!);
		return { map, first, last };
	}

	#keep(fd: number): number {
		this.#descriptors.push(fd);
		return fd;
	}
}

/** A link to an interface of this machine, past its kernel. */
export function xdpLink(options: XdpOptions): XdpLink {
	return new XdpLink(options);
}

/** Whether AF_XDP can be used here, and if not, why, in a few words. Changes nothing on any interface. */
export function xdpAvailable(): { ok: boolean; reason: string } {
	const fds: number[] = [];
	try {
		const map = createMap(MAP_XSK, 4, 4, 1);
		fds.push(map, loadXdp(xdpProgram({ sockets: map, addresses: [0], fallback: XDP_PASS }), "millrace"));
		const socket = libc().socket(44, 3, 0); // AF_XDP, SOCK_RAW
		if (socket < 0) return { ok: false, reason: `no AF_XDP sockets: ${libc().strerror(libc().errno()).toLowerCase()}` };
		fds.push(socket);
	} catch (error) {
		return { ok: false, reason: factOf(error) };
	} finally {
		for (const fd of fds) libc().close(fd);
	}
	return { ok: true, reason: "permitted" };
}

/** Why ports of the machine cannot be had by XDP although addresses of its own can; null if they can. */
export function xdpPortsLack(): string | null {
	const fds: number[] = [];
	try {
		const sockets = createMap(MAP_XSK, 4, 4, 1);
		fds.push(sockets);
		const map = createMap(MAP_ARRAY, 4, 4, PORT_WORDS);
		fds.push(map, loadXdp(xdpProgram({ sockets, addresses: [0], ports: { map, first: 1, last: 0 } }), "millrace"));
		return null;
	} catch (error) {
		return factOf(error);
	} finally {
		for (const fd of fds) libc().close(fd);
	}
}

/** The interface's XDP program is another's, or none may be set: another mode will not help. */
const TAKEN = new Set(["EBUSY", "EEXIST", "EPERM", "EACCES"]);

/** All pages of the pool, and what lies before them: offsets are then those of the arena. */
function umemOf(pool: PagePool) {
	return { arena: pool.arena, length: pool.address(pool.capacity) + PAGE_SIZE, chunk: PAGE_SIZE, headroom: HEADROOM };
}
