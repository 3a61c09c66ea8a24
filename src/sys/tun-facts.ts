/**
 * What the kernel says of a TAP device that is there already: whether it has several queues, and how many somebody holds.
 *
 * Hides rtnetlink (RFC 3549; linux/if_link.h, IFLA_LINKINFO). No ioctl answers that question, and /sys may be another namespace's.
 * The answer is that of the moment.
 */
import { askInterface, attributes, IFINFOMSG } from "./netlink.ts";

/** Whether a TAP device takes several queues, and how many of them have a descriptor, those that are disabled included. */
export interface TapFacts {
	readonly multiQueue: boolean;
	readonly queues: number;
}

const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_TUN_MULTI_QUEUE = 7;
const IFLA_TUN_NUM_QUEUES = 8;
const IFLA_TUN_NUM_DISABLED_QUEUES = 9;

/** Of the interface with that number; null if it is no TUN or TAP device, or the kernel (before Linux 4.17) does not say. */
export function tapFacts(interfaceIndex: number): TapFacts | null {
	const answer = askInterface(interfaceIndex);
	return answer === null ? null : fromLinkInfo(attributes(answer, IFINFOMSG).get(IFLA_LINKINFO));
}

function fromLinkInfo(info: DataView | undefined): TapFacts | null {
	if (info === undefined) return null;
	const nested = attributes(info);
	const kind = nested.get(IFLA_INFO_KIND);
	const data = nested.get(IFLA_INFO_DATA);
	if (kind === undefined || data === undefined || new TextDecoder().decode(kind) !== "tun\0") return null;
	const tun = attributes(data);
	const count = (attribute: number): number => tun.get(attribute)?.getUint32(0, true) ?? 0;
	return {
		multiQueue: tun.get(IFLA_TUN_MULTI_QUEUE)?.getUint8(0) === 1,
		// Only said of a device of several queues. One that is disabled is somebody's all the same.
		queues: count(IFLA_TUN_NUM_QUEUES) + count(IFLA_TUN_NUM_DISABLED_QUEUES),
	};
}
