/**
 * What the driver of an interface can do for XDP, as the kernel says it (Linux 6.3: linux/netdev.h, the generic netlink family "netdev").
 *
 * Hides generic netlink. Nothing is tried on the interface: this is for people who ask beforehand. Links try, and know better.
 */
import { askKernel, attributes } from "./netlink.ts";

const NETLINK_GENERIC = 16;
const GENL_ID_CTRL = 16;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;
const NETDEV_CMD_DEV_GET = 1;
const NETDEV_A_DEV_IFINDEX = 1;
const NETDEV_A_DEV_XDP_FEATURES = 3;
/** NETDEV_XDP_ACT_BASIC and _REDIRECT: what a program of ours needs of a driver; and _XSK_ZEROCOPY. */
const NATIVE = 1 | 2;
const ZERO_COPY = 8;
/** Bytes of struct genlmsghdr. */
const HEADER = 4;

/** What a driver can do. */
export interface XdpFacts {
	/** Runs XDP programs itself. */
	readonly native: boolean;
	/** Moves frames straight from and to the memory of an AF_XDP socket. */
	readonly zeroCopy: boolean;
}

/** Of the interface with that number; null if this kernel does not say. */
export function xdpFacts(interfaceIndex: number): XdpFacts | null {
	const name = new TextEncoder().encode("netdev\0");
	const controller = askKernel(NETLINK_GENERIC, GENL_ID_CTRL, message(CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME, name));
	const family = controller === null ? undefined : attributes(controller, HEADER).get(CTRL_ATTR_FAMILY_ID);
	if (family === undefined) return null;
	const index = new Uint8Array(Uint32Array.of(interfaceIndex).buffer);
	const device = askKernel(NETLINK_GENERIC, family.getUint16(0, true), message(NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, index));
	const features = device === null ? undefined : attributes(device, HEADER).get(NETDEV_A_DEV_XDP_FEATURES);
	if (features === undefined) return null;
	const bits = features.getUint32(0, true);
	return { native: (bits & NATIVE) === NATIVE, zeroCopy: (bits & ZERO_COPY) !== 0 };
}

/** A generic message with one attribute. */
function message(command: number, type: number, value: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(HEADER + 4 + ((value.length + 3) & ~3));
	const view = new DataView(bytes.buffer);
	bytes[0] = command;
	bytes[1] = 1; // version
	view.setUint16(HEADER, 4 + value.length, true);
	view.setUint16(HEADER + 2, type, true);
	bytes.set(value, HEADER + 4);
	return bytes;
}
