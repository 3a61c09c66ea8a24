/**
 * TAP devices: interfaces whose wire is a file descriptor (Linux, Documentation/networking/tuntap.rst).
 *
 * Hides /dev/net/tun and its ioctls. A device made here lives as long as its descriptor: whatever happens to the process,
 * nothing is left behind. A device that was made persistent by somebody else can be attached to and stays when it is left.
 */
import { readFileSync } from "node:fs";
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, ENXIO, EPERM, systemError } from "./errno.ts";
import { NetworkInterface } from "./interface.ts";
import { libc } from "./libc.ts";

const DEVICE = "/dev/net/tun";

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;

const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Each frame is preceded by a virtio-net header (10 bytes), for offloads. */
export const IFF_VNET_HDR = 0x4000;
/** Several descriptors may be queues of one device. */
export const IFF_MULTI_QUEUE = 0x0100;
/** Fail rather than attach to a device that exists. */
const IFF_TUN_EXCL = 0x8000;

/** The kernel may leave transport checksums to the reader. */
export const TUN_F_CSUM = 0x01;
/** The kernel may hand over TCP over IPv4, over IPv6, in segments of up to 64 KiB. Both need TUN_F_CSUM. */
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;

const CAP_NET_ADMIN = 12;

const NO_DEVICE = "Load the module (modprobe tun) or, in a container, add --device /dev/net/tun; or use --link user";
const NO_PRIVILEGE = "Run as root, give CAP_NET_ADMIN, or use --link user";

export interface Tap {
	/** Non-blocking; one read or write per frame. */
	readonly fd: number;
	/** The name that the device got. */
	readonly name: string;
	/** It was there before, and will be there after. */
	readonly attached: boolean;
}

/**
 * Makes a TAP device, or attaches to a persistent one. Closing the descriptor removes what was made.
 *
 * @param name Name of the interface; `%d` in it stands for the first free number.
 * @param flags IFF_VNET_HDR, IFF_MULTI_QUEUE.
 */
export function openTap(name: string, flags = 0): Tap {
	const c = libc();
	const lookup = new NetworkInterface(name);
	const attached = lookup.index !== 0;
	lookup.close();

	const what = `${attached ? "attach to" : "create"} TAP device "${name}"`;
	const fd = c.open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		const errno = c.errno();
		throw systemError(`${what}: ${DEVICE}`, errno, errno === ENOENT || errno === ENODEV || errno === ENXIO ? NO_DEVICE : NO_PRIVILEGE);
	}
	const request = new Uint8Array(40);
	for (let i = 0; i < name.length; i++) request[i] = name.charCodeAt(i);
	const wanted = IFF_TAP | IFF_NO_PI | flags | (attached ? 0 : IFF_TUN_EXCL);
	new DataView(request.buffer).setUint16(16, wanted, true);
	if (c.ioctl(fd, TUNSETIFF, request) < 0) {
		const errno = c.errno();
		c.close(fd);
		throw systemError(what, errno, remedy(errno, attached));
	}
	return { fd, name: String.fromCharCode(...request.subarray(0, request.indexOf(0))), attached };
}

function remedy(errno: number, attached: boolean): string {
	if (errno === EPERM || errno === EACCES) return attached ? "Run as root or as the device's owner, or choose another name" : NO_PRIVILEGE;
	if (errno === EBUSY) return "Another program uses a device of that name: stop it, or choose another name (--link tap:NAME)";
	if (errno === EINVAL && attached)
		return "An interface of that name exists and is no TAP device of one queue: choose another name (--link tap:NAME)";
	return "Choose another name (--link tap:NAME), or use --link user";
}

/** Says which offloads the reader of the device understands: TUN_F_ flags. Needs IFF_VNET_HDR. */
export function setTapOffload(tap: Tap, offloads: number): void {
	if (!trySetTapOffload(tap, offloads))
		throw systemError(`set the offloads of TAP device "${tap.name}"`, libc().errno(), "Open the link without offload");
}

/** The same for a device at work: false if it cannot be done. Frames that are queued stay as they are. */
export function trySetTapOffload(tap: Tap, offloads: number): boolean {
	return libc().ioctlValue(tap.fd, TUNSETOFFLOAD, offloads) === 0;
}

/** Whether a TAP device can be made here, and if not, why, in a few words. Makes none. */
export function tapAvailable(): { ok: boolean; reason: string } {
	try {
		const c = libc();
		const fd = c.open(DEVICE, O_RDWR | O_CLOEXEC);
		if (fd < 0) {
			const errno = c.errno();
			return { ok: false, reason: `${DEVICE}: ${c.strerror(errno).toLowerCase()}` };
		}
		c.close(fd);
	} catch (error) {
		return { ok: false, reason: (error as Error).message.replace(/^millrace: /, "") };
	}
	const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1] ?? "0";
	if (((BigInt(`0x${effective}`) >> BigInt(CAP_NET_ADMIN)) & 1n) === 0n)
		return { ok: false, reason: "not permitted: neither root nor CAP_NET_ADMIN" };
	return { ok: true, reason: "permitted" };
}
