/**
 * TAP devices: interfaces whose wire is a file descriptor (Linux, Documentation/networking/tuntap.rst).
 *
 * Hides /dev/net/tun and its ioctls. A device made here lives as long as its descriptor: whatever happens to the process,
 * nothing is left behind. A device that was made persistent by somebody else can be attached to and stays when it is left.
 *
 * Queues: a device made for several has a descriptor for each, numbered in the order in which they were opened. Offloads, the
 * header in front of frames and the steering program are the device's, so all queues must be in one hand: what somebody else
 * does to his would change ours. The kernel would let several hands hold them; here it is refused.
 */

import { readFileSync } from "node:fs";
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from "./constants.ts";
import { EACCES, EBUSY, EINVAL, EMFILE, ENODEV, ENOENT, ENXIO, EPERM, systemError } from "./errno.ts";
import { NetworkInterface } from "./interface.ts";
import { libc } from "./libc.ts";
import { tapFacts } from "./tun-facts.ts";

const DEVICE = "/dev/net/tun";

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNGETFEATURES = 0x800454cf;
const TUNGETVNETHDRSZ = 0x800454d7;
const TUNSETVNETHDRSZ = 0x400454d8;
const TUNSETSTEERINGEBPF = 0x800454e0;
const NO_PROGRAM = -1;

const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
/** Each frame is preceded by a virtio-net header (10 bytes), for offloads. */
export const IFF_VNET_HDR = 0x4000;
/** Several descriptors may be queues of one device. */
const IFF_MULTI_QUEUE = 0x0100;
/** Fail rather than attach to a device that exists. */
const IFF_TUN_EXCL = 0x8000;

/** The kernel may leave transport checksums to the reader. */
export const TUN_F_CSUM = 0x01;
/** The kernel may hand over TCP over IPv4, over IPv6, in segments of up to 64 KiB. Both need TUN_F_CSUM. */
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;

/** Most queues of a device: MAX_TAP_QUEUES in the kernel's drivers/net/tun.c. */
export const TAP_QUEUES_MAX = 256;

const CAP_NET_ADMIN = 12;

const NO_DEVICE = "Load the module (modprobe tun) or, in a container, add --device /dev/net/tun; or use --link user";
const TAKEN = "Another program uses a device of that name: stop it, or choose another name (--link tap:NAME)";
/** It is the file that must not be opened; CAP_NET_ADMIN is asked for later. */
const NO_ACCESS = "Run as root, let this user open it (chmod a+rw, as is usual), or use --link user";
const NO_PRIVILEGE = "Run as root, give CAP_NET_ADMIN, or use --link user";

export interface Tap {
	/** The descriptor of the first queue. Non-blocking; one read or write per frame. */
	readonly fd: number;
	/** Descriptors of all queues, the first one included. */
	readonly fds: readonly number[];
	/** The name that the device got. */
	readonly name: string;
	/** It was there before, and will be there after. */
	readonly attached: boolean;
}

/**
 * Makes a TAP device, or attaches to a persistent one. Closing the descriptors removes what was made.
 *
 * @param name Name of the interface; `%d` in it stands for the first free number.
 * @param flags IFF_VNET_HDR.
 * @param queues More than one: the device is, or must have been, made for several queues.
 */
export function openTap(name: string, flags = 0, queues = 1): Tap {
	const index = interfaceIndex(name);
	const attached = index !== 0;
	const wanted = IFF_TAP | IFF_NO_PI | flags | (queues > 1 ? IFF_MULTI_QUEUE : 0);
	const what = `${attached ? "attach to" : "create"} TAP device "${name}"`;
	if (attached && queues === 1) {
		const facts = tapFacts(index);
		if (facts?.multiQueue === true && facts.queues > 0) throw systemError(what, EBUSY, TAKEN);
	}
	const first = openQueue(name, attached ? wanted : wanted | IFF_TUN_EXCL, what, (errno) => remedy(errno, index, queues));
	const fds = [first.fd];
	try {
		// There is no IFF_TUN_EXCL for queues.
		if (attached && queues > 1 && (tapFacts(index)?.queues ?? 1) > 1) throw systemError(what, EBUSY, TAKEN);
		for (let i = 1; i < queues; i++) {
			const queue = `open queue ${i} of TAP device "${first.name}"`;
			fds.push(openQueue(first.name, wanted, queue, () => "Ask for fewer queues").fd);
		}
	} catch (error) {
		closeAll(fds);
		throw error;
	}
	return { fd: first.fd, fds, name: first.name, attached };
}

/** Closes all queues: what was made vanishes. */
export function closeTap(tap: Tap): void {
	closeAll(tap.fds);
}

function closeAll(fds: readonly number[]): void {
	// From the last one on: the kernel gives a queue that is closed the number of the last one.
	for (const fd of fds.toReversed()) libc().close(fd);
}

/** Whether there is an interface of that name: a device of that name would be attached to. */
export function tapExists(name: string): boolean {
	return interfaceIndex(name) !== 0;
}

function interfaceIndex(name: string): number {
	const lookup = new NetworkInterface(name);
	try {
		return lookup.index;
	} finally {
		lookup.close();
	}
}

function openQueue(name: string, flags: number, what: string, remedy: (errno: number) => string): { fd: number; name: string } {
	const c = libc();
	const fd = c.open(DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		const errno = c.errno();
		if (errno === EMFILE) throw systemError(`${what}: ${DEVICE}`, errno, "Raise the limit of open files (ulimit -n): each queue is one");
		const missing = errno === ENOENT || errno === ENODEV || errno === ENXIO;
		throw systemError(`${what}: ${DEVICE}`, errno, missing ? NO_DEVICE : errno === EACCES ? NO_ACCESS : NO_PRIVILEGE);
	}
	const request = new Uint8Array(40);
	for (let i = 0; i < name.length; i++) request[i] = name.charCodeAt(i);
	new DataView(request.buffer).setUint16(16, flags, true);
	if (c.ioctl(fd, TUNSETIFF, request) < 0) {
		const errno = c.errno();
		c.close(fd);
		throw systemError(what, errno, remedy(errno));
	}
	return { fd, name: String.fromCharCode(...request.subarray(0, request.indexOf(0))) };
}

/** @param index Of the interface that is there already, or 0. */
function remedy(errno: number, index: number, queues: number): string {
	const attached = index !== 0;
	if (errno === EPERM || errno === EACCES) return attached ? "Run as root or as the device's owner, or choose another name" : NO_PRIVILEGE;
	if (errno === EBUSY) return TAKEN;
	if (errno === EINVAL && attached) {
		const facts = tapFacts(index);
		if (facts?.multiQueue === true && queues === 1)
			return "It was made for several queues: ask for 2 or more (queues, --queues), or choose another name";
		if (facts?.multiQueue === false && queues > 1)
			return "It was made for one queue: ask for one, or make it anew (ip tuntap add mode tap multi_queue NAME)";
		return `An interface of that name exists and is no TAP device of ${queues === 1 ? "one queue" : "several queues"}: choose another name (--link tap:NAME)`;
	}
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

/**
 * Says how long the header in front of frames is. It is the device's, and whoever had it before may have left another one: QEMU sets 12.
 * Needs IFF_VNET_HDR.
 *
 * @returns How long it was.
 */
export function setTapHeader(tap: Tap, bytes: number): number {
	const size = new Int32Array(1);
	const memory = new Uint8Array(size.buffer);
	const c = libc();
	let failed = c.ioctl(tap.fd, TUNGETVNETHDRSZ, memory) < 0;
	const before = size[0]!;
	size[0] = bytes;
	if (!failed && before !== bytes) failed = c.ioctl(tap.fd, TUNSETVNETHDRSZ, memory) < 0;
	if (failed) throw systemError(`set the header of frames of TAP device "${tap.name}"`, c.errno(), "Open the link without offload");
	return before;
}

/**
 * Has a program choose the queue of each frame that the kernel sends.
 *
 * @param program Descriptor of a socket filter, whose answer is taken modulo the number of queues.
 */
export function setTapSteering(tap: Tap, program: number): void {
	if (!trySetTapSteering(tap, program))
		throw systemError(`steer the flows of TAP device "${tap.name}"`, libc().errno(), 'Needs Linux 4.16: use steering "kernel"');
}

/** The kernel chooses again. (One that cannot do that has no program.) */
export function endTapSteering(tap: Tap): void {
	trySetTapSteering(tap, NO_PROGRAM);
}

function trySetTapSteering(tap: Tap, program: number): boolean {
	const argument = new Uint8Array(4);
	new DataView(argument.buffer).setInt32(0, program, true);
	return libc().ioctl(tap.fd, TUNSETSTEERINGEBPF, argument) === 0;
}

/** Whether this kernel knows TAP devices of several queues, and if not, why. Makes none. */
export function tapQueuesAvailable(): { ok: boolean; reason: string } {
	const permitted = tapAvailable();
	if (!permitted.ok) return permitted;
	const c = libc();
	const fd = c.open(DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0) return { ok: false, reason: `${DEVICE}: ${c.strerror(c.errno()).toLowerCase()}` };
	const features = new Uint8Array(4);
	const known = c.ioctl(fd, TUNGETFEATURES, features) === 0;
	c.close(fd);
	const ok = known && (new DataView(features.buffer).getUint32(0, true) & IFF_MULTI_QUEUE) !== 0;
	return { ok, reason: ok ? `up to ${TAP_QUEUES_MAX}` : "not known to this kernel: it is older than Linux 3.8" };
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
