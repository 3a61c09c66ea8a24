/**
 * Packet sockets (packet(7)): frames as they cross an interface, seen beside the kernel.
 *
 * Hides struct sockaddr_ll and the options. A socket is closed with its process, and with it what it asked of the interface
 * (addresses to listen to).
 */
import { EACCES, EPERM, systemError } from "./errno.ts";
import { libc } from "./libc.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const PACKET_ADD_MEMBERSHIP = 1;
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
