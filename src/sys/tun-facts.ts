/**
 * What the kernel says of a TAP device that is there already: whether it has several queues, and how many somebody holds.
 *
 * Hides rtnetlink (RFC 3549; linux/if_link.h, IFLA_LINKINFO), asked one question through a socket of its own. No ioctl answers
 * it, and /sys may be another namespace's. The answer is that of the moment.
 */
import { libc } from "./libc.ts";

/** Whether a TAP device takes several queues, and how many of them have a descriptor. */
export interface TapFacts {
	readonly multiQueue: boolean;
	readonly queues: number;
}

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const SOCK_CLOEXEC = 0o2000000;

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
/** Bytes of struct nlmsghdr and of struct ifinfomsg behind it. */
const HEADER = 16;
const LINK = 16;

const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_TUN_MULTI_QUEUE = 7;
const IFLA_TUN_NUM_QUEUES = 8;
/** The upper bits of an attribute's type are flags. */
const TYPE_MASK = 0x3fff;

/** Of the interface with that number; null if it is no TUN or TAP device, or the kernel (before Linux 4.17) does not say. */
export function tapFacts(interfaceIndex: number): TapFacts | null {
	const c = libc();
	const socket = c.socket(AF_NETLINK, SOCK_RAW_NONBLOCK | SOCK_CLOEXEC, 0);
	if (socket < 0) return null;
	try {
		const request = new DataView(new ArrayBuffer(HEADER + LINK));
		request.setUint32(0, HEADER + LINK, true);
		request.setUint16(4, RTM_GETLINK, true);
		request.setUint16(6, NLM_F_REQUEST, true);
		request.setInt32(HEADER + 4, interfaceIndex, true);
		// A question about one interface is answered before the call returns.
		if (c.send(socket, new Uint8Array(request.buffer), HEADER + LINK, 0) < 0) return null;
		const answer = new Uint8Array(new ArrayBuffer(32768));
		const length = c.recv(socket, answer, answer.length, 0);
		const view = new DataView(answer.buffer, 0, Math.max(length, 0));
		if (length < HEADER + LINK || view.getUint16(4, true) !== RTM_NEWLINK) return null;
		return fromLinkInfo(attributes(view, HEADER + LINK, length).get(IFLA_LINKINFO));
	} finally {
		c.close(socket);
	}
}

function fromLinkInfo(info: DataView | undefined): TapFacts | null {
	if (info === undefined) return null;
	const nested = attributes(info);
	const kind = nested.get(IFLA_INFO_KIND);
	const data = nested.get(IFLA_INFO_DATA);
	if (kind === undefined || data === undefined || new TextDecoder().decode(kind) !== "tun\0") return null;
	const tun = attributes(data);
	return {
		multiQueue: tun.get(IFLA_TUN_MULTI_QUEUE)?.getUint8(0) === 1,
		// Only said of a device of several queues.
		queues: tun.get(IFLA_TUN_NUM_QUEUES)?.getUint32(0, true) ?? 0,
	};
}

/** The attributes in a piece of a message, by type. */
function attributes(view: DataView, from = 0, end = view.byteLength): Map<number, DataView> {
	const found = new Map<number, DataView>();
	for (let at = from; at + 4 <= end; ) {
		const length = view.getUint16(at, true);
		if (length < 4 || at + length > end) break;
		found.set(view.getUint16(at + 2, true) & TYPE_MASK, new DataView(view.buffer, view.byteOffset + at + 4, length - 4));
		at += (length + 3) & ~3;
	}
	return found;
}
