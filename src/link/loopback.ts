/**
 * Loop-back link: what a host sends on it, the same host receives later. It carries 127.0.0.0/8 within one process.
 *
 * Hides nothing new: it is a memory link whose other end is itself. "Later" matters: a frame never arrives inside the call that sent
 * it, so a stack that talks to itself takes turns, with bounded work in each, like one that talks to a device.
 */
import { refuseUnknown } from "./known-options.ts";
import { MemoryLink } from "./memory.ts";

/** Options of `loopbackLink`. */
export interface LoopbackLinkOptions {
	/** Largest IP packet, in bytes: 68 to 65535, default 1832. */
	readonly mtu?: number;
	/** Pages that may wait: 64 to 1048576, default 4096. */
	readonly capacity?: number;
}

/** Largest segment that the stack sends (`mssFor`: a page less its head room, 1792), with 40 bytes of IPv4 and TCP headers: one page, one segment. */
const MTU = 1832;

/** Pages that may wait: every connection within the process shares this queue, in both directions. */
const CAPACITY = 4096;

/**
 * A link on which a host talks to itself.
 *
 * @throws MillraceError MILLRACE_BAD_OPTION when an option is unknown or out of its range.
 */
export function loopbackLink(options: LoopbackLinkOptions = {}): MemoryLink {
	refuseUnknown("a loop-back link", options, ["mtu", "capacity"]);
	const { mtu = MTU, capacity = CAPACITY } = options;
	return new MemoryLink({ name: "loopback", medium: "ip", mtu, capacity, loopback: true });
}
