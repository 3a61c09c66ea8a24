/**
 * The queueing discipline of an interface: what a frame passes between a protocol of the kernel and the device (tc(8)).
 *
 * Hides rtnetlink (RFC 3549; linux/rtnetlink.h, struct tcmsg). "noqueue" is what the kernel gives its own software devices, `lo` and veth:
 * frames go straight to the device. A TAP device would not have it by itself, though its queue behind the discipline, which the
 * reader empties, is the only one that ever fills.
 */
import { NETLINK_ROUTE, NLM_F_CREATE } from "./constants.ts";
import { askInterface, attribute, attributes, IFINFOMSG, tellKernel } from "./netlink.ts";

const RTM_NEWQDISC = 36;
const NLM_F_REPLACE = 0x100;
/** Bytes of struct tcmsg, and where its fields lie. */
const TCMSG = 20;
const IFINDEX_AT = 4;
const PARENT_AT = 12;
const TC_H_ROOT = 0xffffffff;
const TCA_KIND = 1;
const IFLA_QDISC = 6;
const KIND = "noqueue";

/** Takes the queueing discipline away, with a socket of the calling process's namespace; false where the kernel refuses. */
export function removeQdisc(interfaceIndex: number): boolean {
	const kind = attribute(TCA_KIND, new TextEncoder().encode(`${KIND}\0`));
	const message = new Uint8Array(TCMSG + kind.length);
	const view = new DataView(message.buffer);
	view.setInt32(IFINDEX_AT, interfaceIndex, true);
	view.setUint32(PARENT_AT, TC_H_ROOT, true);
	message.set(kind, TCMSG);
	return tellKernel(NETLINK_ROUTE, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, message);
}

/** The kind of discipline that the kernel says of an interface, such as "pfifo_fast"; null if it does not. */
export function qdiscKind(interfaceIndex: number): string | null {
	const answer = askInterface(interfaceIndex);
	const kind = answer === null ? undefined : attributes(answer, IFINFOMSG).get(IFLA_QDISC);
	return kind === undefined ? null : new TextDecoder().decode(kind).replace(/\0.*$/, "");
}
