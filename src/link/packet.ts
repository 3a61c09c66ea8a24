/**
 * Link to a network interface of this machine beside its kernel: AF_PACKET, for interfaces and kernels without XDP.
 *
 * Hides the life of a packet socket: a filter (packet-filter.ts) that lets pass what is the stack's, a ring in which frames arrive
 * (packet-queue.ts), a hardware address of the stack's own. The kernel sees all frames as well: it drops those to a station that it
 * is not. So the stack has a hardware address of its own here, made from its first IPv4 address (02:4d and the address); the
 * interface's own may be asked for where a network lets no other through (clouds, Wi-Fi), but only while the kernel forwards no packets
 * (net.ipv4.ip_forward), or it would send the stack's back where they came from.
 *
 * TPACKET_V2, not V3: V3 collects frames in blocks and shows a block when it is full or after a time-out of at least a
 * millisecond, which is a hundred round trips here.
 *
 * Waiting and arrival times are as in tap.ts, except that looking for frames costs no system call and so is not saved.
 */
import { MillraceError } from "../errors.ts";
import type { Batch } from "../memory/batch.ts";
import { kernelRoutes } from "../sys/interface-facts.ts";
import { libc } from "../sys/libc.ts";
import { attachFilter, bindPacketSocket, listenToMac, openPacketSocket, PacketRing, setFrameOptions } from "../sys/packet-socket.ts";
import { Poll } from "../sys/poll.ts";
import type { Alarm } from "../time/clock.ts";
import { parseCidr } from "../wire/address.ts";
import { FRAME_ROOM, frameLimit } from "./frames.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "./link.ts";
import { addressFilter } from "./packet-filter.ts";
import { PacketCounters, PacketQueue, STARVED } from "./packet-queue.ts";
import { bad, type InterfaceHostOptions, indexOfUp, ownAddresses, stationOn } from "./station.ts";

/** How long to wait before trying again when no page was free or the socket took no frame, in microseconds. */
const RETRY = 1000;
/** Largest IP packet whose frame, with a VLAN tag, fits a page. */
const MTU_MAX = FRAME_ROOM - 18;
const ETH_P_ALL = 3;
/** Most addresses: a jump of the filter reaches 255 instructions. */
const ADDRESSES_MAX = 64;
const OFFLOAD: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX };

/** Options of `packetLink`. */
export interface PacketOptions {
	/** Name of the interface, such as "eth0". It must be up. */
	interface: string;
	/** IPv4 addresses of the stack with prefix length, which the kernel does not have, such as ["192.168.1.50/24"]. */
	addresses: readonly string[];
	/** Hardware address of the stack; "interface" for the interface's own. Default: one made from the first IPv4 address. */
	mac?: string | Uint8Array;
	/** Frames that wait in the ring before the kernel drops, 1 to 4096; each takes 64 KiB of RAM. Default 240. */
	ringSize?: number;
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
	readonly #interface: string;
	readonly #ownMac: boolean;
	readonly #ringSize: number;
	readonly #counters = new PacketCounters();
	#fd = -1;
	#ring: PacketRing | null = null;
	#queue: PacketQueue | null = null;
	#poll: Poll | null = null;
	#context: LinkContext | null = null;
	#retry: Alarm | null = null;
	#noticed = 0;
	#noticedValid = false;
	#failed = false;

	constructor(options: PacketOptions) {
		const { interface: name, addresses, mac, ringSize = 240 } = options;
		if (!Number.isInteger(ringSize) || ringSize < 1 || ringSize > 4096)
			throw bad(`bad ringSize: ${ringSize}. Give a whole number from 1 to 4096`);
		if (addresses.length > ADDRESSES_MAX) throw bad(`${addresses.length} addresses are more than a packet link takes: ${ADDRESSES_MAX}`);
		this.name = `packet:${name}`;
		this.#interface = name;
		this.#ringSize = ringSize;
		this.hostOptions = ownAddresses(name, addresses, kernelRoutes());
		const station = stationOn(name, mac === "interface" ? undefined : (mac ?? macOf(parseCidr(addresses[0]!).words[3]!)));
		this.mac = station.mac;
		this.#ownMac = station.ownMac;
		this.mtu = Math.min(station.mtu, MTU_MAX);
	}

	/** Checksums and segmentation, unless the link was opened for plain frames. */
	get offload(): LinkOffload | undefined {
		return this.#queue !== null && this.#context?.plain !== true ? OFFLOAD : undefined;
	}

	/** Opens the socket. Throws MillraceError: EPERM, ENODEV, ENETDOWN, ENOMEM, MILLRACE_KOFFI, MILLRACE_PLATFORM. */
	open(context: LinkContext): void {
		if (this.#context !== null)
			throw new MillraceError("MILLRACE_LINK", `link ${this.name} was opened before; make a new one for each host`);
		this.#context = context;
		try {
			const index = indexOfUp(this.#interface);
			const fd = openPacketSocket();
			this.#fd = fd;
			const addresses = this.hostOptions.addresses.map((text) => parseCidr(text).words[3]!);
			attachFilter(fd, addressFilter(addresses, this.#ownMac ? this.mac : undefined));
			setFrameOptions(fd);
			this.#ring = new PacketRing(fd, this.#ringSize);
			if (this.#ownMac) listenToMac(fd, index, this.mac);
			bindPacketSocket(fd, index, ETH_P_ALL);
			this.#queue = new PacketQueue(fd, this.#ring, context.pool, frameLimit(this), context.plain === true, this.#counters);
			this.#retry = context.runtime.alarm(() => this.#again());
			this.#poll = new Poll(
				fd,
				() => this.#notice(),
				() => this.#fail(),
			);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	receive(batch: Batch): number {
		const queue = this.#queue;
		if (queue === null) return 0;
		const time = this.#noticedValid ? this.#noticed : this.#context!.runtime.clock.now() | 0;
		this.#noticedValid = false;
		const frames = queue.receive(batch, time);
		if (queue.state === STARVED) {
			// Frames wait, so the handle would call back in every turn for nothing.
			this.#poll?.pause();
			this.#retrySoon();
		}
		return frames;
	}

	transmit(batch: Batch): number {
		const queue = this.#queue;
		if (queue === null || batch.count === 0) return 0;
		this.#noticedValid = false;
		const taken = queue.transmit(batch);
		if (queue.stalled) this.#retrySoon();
		return taken;
	}

	/** Nothing to do: each batch left with its own system call. */
	flush(): void {}

	ref(): void {
		this.#poll?.ref();
	}

	unref(): void {
		this.#poll?.unref();
	}

	close(): void {
		this.#poll?.close();
		this.#poll = null;
		this.#retry?.clear();
		this.#retry = null;
		this.#queue = null;
		if (this.#fd >= 0) libc().close(this.#fd);
		this.#fd = -1;
		this.#ring?.close();
		this.#ring = null;
	}

	counters(): Readonly<Record<string, number>> {
		return { ...this.#counters };
	}

	#notice(): void {
		if (!this.#noticedValid) {
			this.#noticed = this.#context!.runtime.clock.now() | 0;
			this.#noticedValid = true;
		}
		this.#context!.wake();
	}

	#retrySoon(): void {
		const { clock } = this.#context!.runtime;
		this.#retry?.set(clock.now() + RETRY);
	}

	#again(): void {
		this.#poll?.resume();
		this.#context!.wake();
	}

	#fail(): void {
		if (this.#failed) return;
		this.#failed = true;
		const { runtime, failed } = this.#context!;
		const error = new MillraceError("ENODEV", `interface "${this.#interface}" was brought down or removed. Restart, or open a new link`);
		// Later: `failed` may well close the link, which is in the middle of something.
		runtime.defer(() => {
			if (this.#queue !== null) failed.call(this.#context, error);
		});
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
			setFrameOptions(fd);
		} finally {
			libc().close(fd);
		}
	} catch (error) {
		return { ok: false, reason: (error as Error).message.replace(/^millrace: /, "").replace(/\. .*$/s, "") };
	}
	return { ok: true, reason: "permitted" };
}

/** A locally administered hardware address for an IPv4 address. */
function macOf(address: number): Uint8Array {
	return Uint8Array.of(0x02, 0x4d, address >>> 24, address >>> 16, address >>> 8, address);
}
