/**
 * Link to a network interface of this machine beside its kernel: AF_PACKET, for interfaces and kernels without XDP.
 *
 * Hides the life of packet sockets: a filter (packet-filter.ts) that lets pass what is the stack's, a ring in which frames arrive
 * (packet-ring.ts, packet-queue.ts), the way out (packet-send.ts, packet-send-ring.ts), a hardware address of the stack's own. The kernel sees all frames as
 * well: it drops those to a station that it is not. So the stack has a hardware address of its own here, made from its first IPv4
 * address (02:4d and the address); the interface's own may be asked for where a network lets no other through (clouds, Wi-Fi), but
 * only while the kernel forwards no packets (net.ipv4.ip_forward), or it would send the stack's back where they came from.
 *
 * Which ring: "v2" shows a frame at once; "v3" lays frames close together and shows them in blocks, when one is full or after a
 * millisecond. Over a veth pair (Node 20, Linux 6.18, 15 MB of ring each) an echo of one byte takes 50 us with v2 and 1,000 us with v3;
 * of 5,000 frames that come while the program is busy v2 keeps 240 and v3 all; a frame comes out of a waiting ring in
 * 143 and 127 ns (60 bytes), 499 and 248 ns (1514 bytes); bulk data from a kernel, merged, come equally fast. A wait in every round trip
 * costs more than losses that TCP repairs, so v2 is the default.
 *
 * Queueing disciplines are bypassed where nothing is lost by that: a device that does not cut segments itself (no TSO) drops long frames
 * that come to it by the bypass, so there they take the way through the disciplines, and the kernel cuts them behind.
 *
 * Several sockets: packet-fanout.ts. All are looked at in turn by this thread. The first one sends, and one that hears nothing: a ring to
 * send from takes all that its socket is to send, and may be of another version than that of a socket that hears.
 *
 * Waiting and arrival times: watch.ts.
 */
import { factOf, MillraceError } from "../errors.ts";
import { Arena } from "../memory/arena.ts";
import type { Batch } from "../memory/batch.ts";
import { cutsSegments, kernelForwards, kernelRoutes } from "../sys/interface-facts.ts";
import { libc } from "../sys/libc.ts";
import { openPacketRing, type PacketRing, type RingKind, ringRoom } from "../sys/packet-ring.ts";
import {
	attachFilter,
	bindPacketSocket,
	listenToMac,
	openPacketSocket,
	packetDrops,
	setFanoutProgram,
	setFrameOptions,
	setQdiscBypass,
	setSendBuffer,
} from "../sys/packet-socket.ts";
import { parseCidr } from "../wire/address.ts";
import { type FlowSteering, flowGroup } from "./flow-steering.ts";
import { FRAME_ROOM, frameLimit } from "./frames.ts";
import { bad, list, refuseUnknown, trueOrFalse, wholeNumber } from "./known-options.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "./link.ts";
import { type Fanout, fanoutModes, joinGroup, type PacketFanout, readFanout } from "./packet-fanout.ts";
import { addressFilter, NOTHING } from "./packet-filter.ts";
import { PacketCounters, PacketQueue, type Treatment } from "./packet-queue.ts";
import { type PacketOut, PacketSender } from "./packet-send.ts";
import { PacketRingSender, sendRingRoom } from "./packet-send-ring.ts";
import { DRAINED, STARVED } from "./queue-state.ts";
import { claimAddresses, type InterfaceHostOptions, indexOfUp, ownAddresses, stationOn } from "./station.ts";
import { Watch } from "./watch.ts";

export type { PacketFanout } from "./packet-fanout.ts";

/** Largest IP packet whose frame, with a VLAN tag, fits a page. */
const MTU_MAX = FRAME_ROOM - 18;
const ETH_P_ALL = 3;
/** Most addresses: a jump of the filter reaches 255 instructions. */
const ADDRESSES_MAX = 64;
const RINGS: Readonly<Record<string, RingKind>> = { v2: "slots", v3: "blocks" };
/** Bytes that may be on their way through the interface: two batches of the longest frames. */
const SEND_BUFFER = 8 << 20;
const KNOWN = ["interface", "addresses", "mac", "ring", "ringSize", "fanout", "offload", "qdiscBypass", "txRing"];

/** Options of `packetLink`. */
export interface PacketOptions {
	/** Name of the interface, such as "eth0". It must be up. */
	interface: string;
	/** IPv4 addresses of the stack with prefix length, which the kernel does not have, such as ["192.168.1.50/24"]. */
	addresses: readonly string[];
	/** Hardware address of the stack; "interface" for the interface's own. Default: one made from the first IPv4 address. */
	mac?: string | Uint8Array;
	/**
	 * How frames lie in the ring: "v2" (TPACKET_V2), each in a slot of its own and seen at once; "v3" (TPACKET_V3), close together in blocks that
	 * are seen when they are full or a millisecond old: for bursts of many short frames, where a millisecond does not matter. Default "v2".
	 */
	ring?: "v2" | "v3";
	/** Frames of 64 KiB that each socket's ring takes, 1 to 4096, and so its RAM; v3 takes many more short ones. Default 240. */
	ringSize?: number;
	/** Several sockets, and sharing the interface with other links. Default: one socket. */
	fanout?: PacketFanout;
	/**
	 * Leave checksums and cutting into segments to the kernel, both ways (PACKET_VNET_HDR): frames of up to 64 KiB may then be sent, and
	 * come where the kernel has merged them. Default true. No effect under a wrapper that needs frames as on a wire.
	 */
	offload?: boolean;
	/**
	 * Whether frames that are sent bypass the interface's queueing disciplines (tc) and whoever listens there (tcpdump). Default: where the
	 * device cuts segments itself, or none are left to it.
	 */
	qdiscBypass?: boolean;
	/**
	 * Whether frames of one segment are copied into a ring (PACKET_TX_RING, 1 MB of RAM) and taken by the kernel from there, a batch with one
	 * system call; otherwise by sendmmsg, as long ones always are. Default true: see packet-send-ring.ts.
	 */
	txRing?: boolean;
}

/** Frames that came by one of a link's sockets. */
export interface PacketQueueFigures {
	readonly rxFrames: number;
}

/** A socket, and what it hears. */
interface PacketPort {
	readonly fd: number;
	ring: PacketRing | null;
}

/** An interface of this machine, beside its kernel. Made by `packetLink`; members as in `Link`. */
export class PacketLink implements Link {
	/** `packet:` and the name of the interface. */
	readonly name: string;
	readonly medium = "ethernet";
	/** Largest IP packet, in bytes: the interface's, as far as a page holds it. */
	readonly mtu: number;
	/** The hardware address that the stack uses, 6 bytes. */
	readonly mac: Uint8Array;
	/** Addresses and routes that go with the link, for `createHost`. */
	readonly hostOptions: InterfaceHostOptions;
	/** Room in the pages' arena for the rings. */
	readonly arenaBytes: number;
	readonly #interface: string;
	readonly #ownMac: boolean;
	readonly #ring: RingKind;
	readonly #ringSize: number;
	readonly #fanout: Fanout | null;
	readonly #headers: boolean;
	readonly #bypass: boolean | null;
	readonly #counters = new PacketCounters();
	#ports: PacketPort[] = [];
	#queues: PacketQueue[] = [];
	readonly #txRing: boolean;
	#sender: PacketOut | null = null;
	/** The socket that sends, where it is none of those that hear. */
	#txFd = -1;
	#steering: FlowSteering | null = null;
	#group = -1;
	/** What keeps other links from the addresses. */
	#claims: number[] = [];
	#offload: LinkOffload | undefined;
	#dropped = 0;
	/** The queue to look at first. */
	#next = 0;
	#context: LinkContext | null = null;
	#watch: Watch | null = null;

	constructor(options: PacketOptions) {
		refuseUnknown("a packet link", options, KNOWN);
		const {
			interface: name,
			addresses = [],
			mac,
			ring = "v2",
			ringSize = 240,
			fanout,
			offload = true,
			qdiscBypass,
			txRing = true,
		} = options;
		trueOrFalse({ offload, qdiscBypass, txRing });
		if (!Object.hasOwn(RINGS, ring)) throw bad(`bad ring: ${ring}. Give v2 or v3`);
		wholeNumber("ringSize", ringSize, 1, 4096);
		list("addresses", addresses, '["192.168.1.50/24"]');
		if (addresses.length > ADDRESSES_MAX) throw bad(`${addresses.length} addresses are more than a packet link takes: ${ADDRESSES_MAX}`);
		this.name = `packet:${name}`;
		this.#interface = name;
		this.#ring = RINGS[ring]!;
		this.#ringSize = ringSize;
		this.#fanout = fanout === undefined ? null : readFanout(fanout);
		this.#headers = offload;
		this.#bypass = qdiscBypass ?? null;
		this.#txRing = txRing;
		this.hostOptions = ownAddresses(name, addresses, kernelRoutes());
		const station = stationOn(name, mac === "interface" ? undefined : (mac ?? macOf(parseCidr(addresses[0]!).words[3]!)));
		this.mac = station.mac;
		this.#ownMac = station.ownMac;
		this.mtu = Math.min(station.mtu, MTU_MAX);
		const sent = txRing ? sendRingRoom(frameLimit(this)) : 0;
		this.arenaBytes = this.queues * ringRoom(this.#ring, ringSize) + sent;
	}

	/** Checksums, and segmentation where it can be had, unless the link was opened for plain frames or without offload. */
	get offload(): LinkOffload | undefined {
		return this.#offload;
	}

	/** Sockets of the link. */
	get queues(): number {
		return this.#fanout?.queues ?? 1;
	}

	/** Number of the fanout group, for other links that are to join; -1 without one, or while the link is not open. */
	get fanoutGroup(): number {
		return this.#group;
	}

	/** Frames of each socket since the link was opened. */
	queueFigures(): PacketQueueFigures[] {
		return this.#queues.map(({ frames }) => ({ rxFrames: frames }));
	}

	/**
	 * The flow group of TCP or UDP packets between two ends, which may be given in either order. With ports 0: of all else between the two
	 * addresses, fragments included. What is not IP is of group 0.
	 */
	flowGroup(address: string, port: number, otherAddress: string, otherPort: number): number {
		return flowGroup(address, port, otherAddress, otherPort);
	}

	/** The member of the fanout group that each flow group goes to, a copy. Empty unless the link is open in fanout mode "ebpf". */
	get reta(): number[] {
		return this.#steering?.reta ?? [];
	}

	/**
	 * Sends a flow group to another member of the fanout group, from the kernel's next frame on. Of several links in a group each has a table,
	 * and the group goes by one of them: by that of the link that was opened last, or last had this called. So let one link do it.
	 * Throws MILLRACE_BAD_OPTION, MILLRACE_LINK.
	 */
	setReta(group: number, member: number): void {
		const steering = this.#steering;
		if (steering === null)
			throw new MillraceError("MILLRACE_LINK", `flow groups of link ${this.name} cannot be moved: it is not open in fanout mode "ebpf"`);
		steering.move(group, "member", member, this.#fanout!.members);
		// Where others may be in the group, theirs may be the program it has. (Changing it has the kernel wait, so not for nothing.)
		const { group: shared, members, queues } = this.#fanout!;
		if (shared !== null || members > queues) setFanoutProgram(this.#ports[0]!.fd, steering.program);
	}

	/** Opens the sockets. Throws MillraceError: EPERM, ENODEV, ENETDOWN, ENOMEM, EINVAL, ENOSPC, MILLRACE_KOFFI, MILLRACE_PLATFORM. */
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

	#open(context: LinkContext): void {
		const { pool, plain = false } = context;
		const index = indexOfUp(this.#interface);
		if (!this.#ownMac && kernelForwards(this.#interface))
			throw new MillraceError(
				"MILLRACE_LINK",
				`the kernel forwards packets that come by interface "${this.#interface}", those to the stack as well while it has the interface's hardware address. Give the stack one of its own (leave mac out), use --link xdp, or end that: sysctl net.ipv4.conf.${this.#interface}.forwarding=0`,
			);
		const addresses = this.hostOptions.addresses.map((text) => parseCidr(text).words[3]!);
		const filter = addressFilter(addresses, this.#ownMac ? this.mac : undefined);
		const fanout = this.#fanout;
		// Who joins a group shares the address with the others of it.
		if (fanout === null || fanout.group === null) this.#claims = claimAddresses(this.#interface, index, this.hostOptions.addresses);
		const headers = this.#headers;
		const counters = this.#counters;
		const limit = frameLimit(this);
		const treatment: Treatment = !headers ? "headerless" : plain ? "plain" : "offload";
		for (let i = 0; i < this.queues; i++) {
			const port: PacketPort = { fd: openPacketSocket(), ring: null };
			this.#ports.push(port);
			attachFilter(port.fd, fanout === null ? filter : NOTHING);
			setFrameOptions(port.fd, headers);
			const ring = openPacketRing(port.fd, { kind: this.#ring, frames: this.#ringSize, arena: pool.arena });
			port.ring = ring;
			this.#queues.push(new PacketQueue({ ring, pool, limit, treatment, counters }));
			if (i === 0 && this.#ownMac) listenToMac(port.fd, index, this.mac);
			bindPacketSocket(port.fd, index, ETH_P_ALL);
		}
		const fds = this.#ports.map(({ fd }) => fd);
		if (fanout !== null) {
			const { group, steering } = joinGroup(fds, fanout);
			this.#group = group;
			this.#steering = steering;
			for (const fd of fds) attachFilter(fd, filter);
		}

		const offload = treatment === "offload";
		const cuts = offload && cutsSegments(this.#interface);
		const bypass = this.#bypass ?? (cuts || !offload);
		// What must bypass the disciplines must be cut by the device.
		if (offload) this.#offload = { checksum: true, segmentation: cuts || !bypass ? SEGMENTATION_MAX : 0, longPieces: true };
		const [fd] = fds as [number];
		const senders = this.#txRing ? [fd, this.#openSender(index)] : [fd];
		for (const sender of senders) {
			setQdiscBypass(sender, bypass);
			setSendBuffer(sender, SEND_BUFFER);
		}
		const bypassing = bypass && this.#bypass === null ? senders : [];
		const long = new PacketSender({ fd, pool, limit, headers, bypassing, counters });
		this.#sender = this.#txRing ? new PacketRingSender({ fd: this.#txFd, pool, limit, counters, long }) : long;

		this.#watch = new Watch(context, { name: this.#interface, index }, () => this.flush());
		for (const { fd } of this.#ports) this.#watch.add(fd);
	}

	/** A socket that hears nothing, for a ring to send from. */
	#openSender(index: number): number {
		const fd = openPacketSocket();
		this.#txFd = fd;
		setFrameOptions(fd, true);
		bindPacketSocket(fd, index, 0);
		return fd;
	}

	receive(batch: Batch): number {
		const queues = this.#queues;
		const count = queues.length;
		if (this.#watch === null) return 0;
		const time = this.#watch.time();
		let frames = 0;
		const first = this.#next;
		for (let i = 0; i < count; i++) {
			const at = first + i < count ? first + i : first + i - count;
			const queue = queues[at]!;
			frames += queue.receive(batch, time);
			if (queue.state === STARVED) this.#watch.starved();
			// The one that had to leave some is first the next time.
			if (queue.state !== DRAINED) this.#next = at;
		}
		return frames;
	}

	transmit(batch: Batch): number {
		const sender = this.#sender;
		if (sender === null || batch.count === 0) return 0;
		this.#watch?.sent();
		const taken = sender.transmit(batch);
		if (sender.stalled) this.#watch?.later();
		return taken;
	}

	flush(): void {
		if (this.#sender?.flush() === false) this.#watch?.later();
	}

	ref(): void {
		this.#watch?.ref();
	}

	unref(): void {
		this.#watch?.unref();
	}

	close(): void {
		this.#countDrops();
		const ports = this.#ports.splice(0);
		this.#watch?.close();
		this.#watch = null;
		this.#queues = [];
		for (const { fd } of ports) libc().close(fd);
		if (this.#txFd >= 0) libc().close(this.#txFd);
		this.#txFd = -1;
		this.#sender?.close();
		this.#sender = null;
		for (const { ring } of ports) ring?.close();
		this.#steering?.close();
		this.#steering = null;
		this.#group = -1;
		this.#offload = undefined;
		for (const fd of this.#claims.splice(0)) libc().close(fd);
	}

	counters(): Readonly<Record<string, number>> {
		this.#countDrops();
		return { ...this.#counters, rxDropped: this.#dropped };
	}

	/** The kernel counts anew after each question. */
	#countDrops(): void {
		for (const { fd } of this.#ports) this.#dropped += packetDrops(fd);
	}
}

/** A link to an interface of this machine, beside its kernel. */
export function packetLink(options: PacketOptions): PacketLink {
	return new PacketLink(options);
}

/** Whether packet sockets can be had here, and if not, why, in a few words. */
export function packetAvailable(): { ok: boolean; reason: string } {
	try {
		const fd = openPacketSocket();
		try {
			setFrameOptions(fd, true);
		} finally {
			libc().close(fd);
		}
	} catch (error) {
		return { ok: false, reason: factOf(error) };
	}
	return { ok: true, reason: "permitted" };
}

/** What packet sockets can do here besides: each tried in small. */
export function packetAbilities(): { rings: string[]; fanout: string[] } {
	const rings = Object.keys(RINGS).filter((ring) => {
		const fd = openPacketSocket();
		try {
			openPacketRing(fd, { kind: RINGS[ring]!, frames: 1, arena: new Arena(65536) }).close();
			return true;
		} catch {
			return false;
		} finally {
			libc().close(fd);
		}
	});
	return { rings, fanout: fanoutModes() };
}

/** A locally administered hardware address for an IPv4 address. */
function macOf(address: number): Uint8Array {
	return Uint8Array.of(0x02, 0x4d, address >>> 24, address >>> 16, address >>> 8, address);
}
