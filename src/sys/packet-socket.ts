/**
 * Packet sockets (packet(7)): frames as they cross an interface, seen beside the kernel.
 *
 * Hides struct sockaddr_ll, the options, and the ring in which the kernel puts frames for us to see (TPACKET_V2). A socket is closed with its process, and with it what it asked of the interface
 * (addresses to listen to).
 */
import { Arena } from "../memory/arena.ts";
import { EACCES, EPERM, systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { MAP_UNIT, mapInto, mapLength, unmapFrom } from "./map.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_RX_RING = 5;
const PACKET_VERSION = 10;
const PACKET_VNET_HDR = 15;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V2 = 1;
const PACKET_MR_UNICAST = 3;

/** Opens a packet socket that is bound to nothing, and hears nothing. Non-blocking. */
export function openPacketSocket(): number {
	const fd = libc().socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0) return fd;
	const errno = libc().errno();
	const remedy = errno === EPERM || errno === EACCES ? "Run as root, or give the process CAP_NET_RAW" : "Raise the limit of open files";
	throw systemError("open a packet socket", errno, remedy);
}

/** Makes a packet socket hear frames of one ethertype (ETH_P_ALL: 3) on one interface. */
export function bindPacketSocket(fd: number, interfaceIndex: number, ethertype: number): void {
	const bytes = new Uint8Array(20); // struct sockaddr_ll
	const view = new DataView(bytes.buffer);
	view.setUint16(0, AF_PACKET, true);
	view.setUint16(2, ethertype);
	view.setInt32(4, interfaceIndex, true);
	if (libc().bind(fd, bytes, bytes.length) < 0)
		throw systemError("bind a packet socket", libc().errno(), "The interface may be gone: see ip link");
}

/** Makes an interface take frames to a further hardware address, as long as the socket is open. */
export function listenToMac(fd: number, interfaceIndex: number, mac: Uint8Array): void {
	const bytes = new Uint8Array(16); // struct packet_mreq
	const view = new DataView(bytes.buffer);
	view.setInt32(0, interfaceIndex, true);
	view.setUint16(4, PACKET_MR_UNICAST, true);
	view.setUint16(6, 6, true);
	bytes.set(mac, 8);
	if (libc().setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, bytes, bytes.length) < 0)
		throw systemError("listen to a further hardware address", libc().errno(), "Use the interface's own hardware address");
}

/** Frames that reach the socket from now on pass a classic BPF program (8 bytes an instruction). Before the socket is bound: all of them. */
export function attachFilter(fd: number, program: Uint8Array): void {
	const memory = new Uint8Array(new ArrayBuffer(program.length));
	memory.set(program);
	const bytes = new Uint8Array(16); // struct sock_fprog
	const view = new DataView(bytes.buffer);
	view.setUint16(0, program.length >> 3, true);
	view.setBigUint64(8, libc().address(memory), true);
	if (libc().setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, bytes.length) < 0)
		throw systemError("attach a filter to a packet socket", libc().errno(), "Raise net.core.optmem_max");
}

/** Only frames that come in; a virtio-net header with each, both ways; frames that go out bypass queueing disciplines. */
export function setFrameOptions(fd: number): void {
	for (const option of [PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR, PACKET_QDISC_BYPASS]) {
		if (libc().setsockopt(fd, SOL_PACKET, option, Uint8Array.of(1, 0, 0, 0), 4) < 0)
			throw systemError("set up a packet socket", libc().errno(), "This needs Linux 4.20 or later");
	}
}

/** What a slot's status says: the frame is ours to see; it was VLAN-tagged. */
const STATUS_USER = 1;
const STATUS_VLAN = 1 << 4;
/** Bytes of a slot: the longest frame, 65535 bytes behind an Ethernet header, and what the kernel puts in front. */
const SLOT = 65792;
const BLOCK = 1 << 20;
const SLOTS_PER_BLOCK = Math.floor(BLOCK / SLOT);

/** The ring of a socket, in an arena of its own; the frames in it are copied out, for the kernel fills its slots in turn. */
export class PacketRing {
	readonly u8: Uint8Array;
	readonly #words: Int32Array;
	readonly #arena: Arena;
	readonly #base: number;
	readonly #bytes: number;
	readonly #slots: number;
	#at = 0;
	/** Offset of the current slot. */
	#slot: number;

	/** @param frames Frames that the ring takes at least; each costs 64 KiB of RAM, for it may have that length. */
	constructor(fd: number, frames: number) {
		const blocks = Math.ceil(frames / SLOTS_PER_BLOCK);
		this.#slots = blocks * SLOTS_PER_BLOCK;
		this.#bytes = blocks * BLOCK;
		const set = (option: number, ...words: number[]): void => {
			const bytes = new Uint8Array(Uint32Array.from(words).buffer);
			if (libc().setsockopt(fd, SOL_PACKET, option, bytes, bytes.length) < 0)
				throw systemError(`make a ring of ${blocks} MB for frames`, libc().errno(), "Free some memory, or ask for fewer frames (ringSize)");
		};
		set(PACKET_VERSION, TPACKET_V2);
		set(PACKET_RX_RING, BLOCK, blocks, SLOT, this.#slots);
		this.#arena = new Arena(mapLength(this.#bytes) + 2 * MAP_UNIT);
		this.#base = this.#arena.reserve(this.#bytes, MAP_UNIT);
		mapInto(this.#arena, this.#base, this.#bytes, fd, 0, "the ring of a packet socket");
		this.u8 = this.#arena.u8;
		this.#words = this.#arena.i32;
		this.#slot = this.#base;
	}

	/** Whether there is a frame in the current slot. */
	get ready(): boolean {
		return (Atomics.load(this.#words, this.#slot >> 2) & STATUS_USER) !== 0;
	}
	/** The frame came with a VLAN tag, which the kernel has taken off. */
	get tagged(): boolean {
		return (this.#words[this.#slot >> 2]! & STATUS_VLAN) !== 0;
	}
	/** Bytes of the frame, and how many of them are there. */
	get length(): number {
		return this.#words[(this.#slot >> 2) + 1]!;
	}
	get captured(): number {
		return this.#words[(this.#slot >> 2) + 2]!;
	}
	/** Offset of the frame in `u8`; the virtio-net header lies right in front. */
	get start(): number {
		return this.#slot + (this.#words[(this.#slot >> 2) + 3]! & 0xffff);
	}

	/** Gives the slot back, and goes on to the next. */
	advance(): void {
		Atomics.store(this.#words, this.#slot >> 2, 0);
		this.#at = this.#at + 1 === this.#slots ? 0 : this.#at + 1;
		this.#slot = this.#base + Math.floor(this.#at / SLOTS_PER_BLOCK) * BLOCK + (this.#at % SLOTS_PER_BLOCK) * SLOT;
	}

	/** After the socket was closed. */
	close(): void {
		unmapFrom(this.#arena, this.#base, this.#bytes);
	}
}
