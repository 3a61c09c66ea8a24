/**
 * Packet sockets (packet(7)): frames as they cross an interface, seen beside the kernel.
 *
 * Hides struct sockaddr_ll and the socket options; the ring in which the kernel puts frames is in packet-ring.ts. A socket is closed
 * with its process, and with it what it asked of the interface (addresses to listen to) and its place in a fanout group.
 *
 * A fanout group is several sockets among which the kernel deals out the frames of an interface, each frame to one. Which one, as a number
 * in the order in which they joined, says the group's mode; a socket's own filter is asked after that. When a socket leaves, the
 * last one takes its number.
 */
import { SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from "./constants.ts";
import { EACCES, EINVAL, ENOSPC, EPERM, systemError } from "./errno.ts";
import { libc } from "./libc.ts";

const AF_PACKET = 17;
const SOCK_NONBLOCK = 0o4000;
export const SOL_PACKET = 263;
const SO_SNDBUF = 7;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const PACKET_ADD_MEMBERSHIP = 1;
const PACKET_STATISTICS = 6;
const PACKET_VNET_HDR = 15;
const PACKET_FANOUT = 18;
const PACKET_QDISC_BYPASS = 20;
const PACKET_FANOUT_DATA = 22;
const PACKET_IGNORE_OUTGOING = 23;
const PACKET_MR_UNICAST = 3;

/** How a fanout group deals out frames: by the kernel's flow hash, by the CPU or the queue that a frame came by, by a program. */
export const FANOUT_HASH = 0;
export const FANOUT_CPU = 2;
export const FANOUT_QUEUE = 5;
export const FANOUT_EBPF = 7;
/** The kernel chooses a number that no other group has. */
const FANOUT_UNIQUE = 0x2000;
/**
 * A group has a hook of its own, to which the socket's PACKET_IGNORE_OUTGOING does not apply. Kernels before about Linux 6.2 pass over this flag
 * without a word, so it only saves work: the sockets' filters have to drop frames that go out.
 */
const FANOUT_IGNORE_OUTGOING = 0x4000;

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

/** Sets an option whose value is a word. Returns whether the kernel took it. */
export function setPacketWord(fd: number, option: number, word: number): boolean {
	return libc().setsockopt(fd, SOL_PACKET, option, new Uint8Array(Uint32Array.of(word).buffer), 4) >= 0;
}

/** Only frames that come in (except in a fanout group, see there); where wanted, a virtio-net header with each, both ways. Before the socket has a ring. */
export function setFrameOptions(fd: number, headers: boolean): void {
	if (!setPacketWord(fd, PACKET_IGNORE_OUTGOING, 1) || (headers && !setPacketWord(fd, PACKET_VNET_HDR, 1)))
		throw systemError("set up a packet socket", libc().errno(), "This needs Linux 4.20 or later");
}

/** Whether frames that go out bypass queueing disciplines, and whoever listens on the interface. */
export function setQdiscBypass(fd: number, bypass: boolean): void {
	if (!setPacketWord(fd, PACKET_QDISC_BYPASS, bypass ? 1 : 0))
		throw systemError("bypass queueing disciplines", libc().errno(), "Leave the option qdiscBypass out");
}

/** Bytes of frames that may be on their way through the interface: as near to what is asked for as the process may have. */
export function setSendBuffer(fd: number, bytes: number): void {
	const value = new Uint8Array(Uint32Array.of(bytes).buffer);
	if (libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, value, 4) < 0) libc().setsockopt(fd, SOL_SOCKET, SO_SNDBUF, value, 4);
}

/** Frames that the kernel had no room for in the socket's ring since the last time that this was asked. */
export function packetDrops(fd: number): number {
	const words = new Uint32Array(3); // struct tpacket_stats_v3, of which older rings give two words
	const ok = libc().getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, new Uint8Array(words.buffer), Uint8Array.of(12, 0, 0, 0)) >= 0;
	return ok ? words[1]! : 0;
}

/**
 * Makes a bound socket a member of a fanout group. Frames that go out may reach it then, on older kernels. A group is there as long as it has members, in one network namespace.
 *
 * @param group 0 to 65535; -1: a new group with a number that no other one has.
 * @param mode FANOUT_HASH or one of the others; the same for all members.
 * @returns The group's number.
 */
export function joinFanout(fd: number, group: number, mode: number): number {
	const unique = group < 0;
	const type = mode | FANOUT_IGNORE_OUTGOING | (unique ? FANOUT_UNIQUE : 0);
	if (!setPacketWord(fd, PACKET_FANOUT, (unique ? 0 : group) | (type << 16))) {
		const errno = libc().errno();
		const remedy =
			errno === EINVAL
				? "The group has members of another mode, or on another interface: choose another number"
				: errno === ENOSPC
					? "A group has at most 256 members"
					: "This needs Linux 4.20 or later";
		throw systemError(unique ? "make a fanout group" : `join fanout group ${group}`, errno, remedy);
	}
	if (!unique) return group;
	const word = new Uint32Array(1);
	libc().getsockopt(fd, SOL_PACKET, PACKET_FANOUT, new Uint8Array(word.buffer), Uint8Array.of(4, 0, 0, 0));
	return word[0]! & 0xffff;
}

/** Gives a group in mode FANOUT_EBPF, of which the socket is a member, its program; it replaces the one before. */
export function setFanoutProgram(fd: number, program: number): void {
	if (!setPacketWord(fd, PACKET_FANOUT_DATA, program))
		throw systemError("give a fanout group its program", libc().errno(), "Use the mode hash");
}
