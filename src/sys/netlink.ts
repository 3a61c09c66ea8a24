/**
 * Questions and orders to the kernel by netlink (RFC 3549), one at a time.
 *
 * Hides the socket and how messages are made of attributes. Each question has a socket of its own, and is answered before the call that
 * sends it returns. What is asked is in interface-facts.ts, tun-facts.ts, xdp-facts.ts and kernel-addresses.ts, what is ordered there and in qdisc.ts.
 */
import { NETLINK_ROUTE, SOCK_CLOEXEC } from "./constants.ts";
import { libc } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK = 3 | 0o4000;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
/** An answer that is an error number below 0; 0: done. */
const NLMSG_ERROR = 2;
/** Behind the last answer to a question for all there is of a kind. */
const NLMSG_DONE = 3;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
/** Bytes of struct ifinfomsg, and where the interface's number lies. */
export const IFINFOMSG = 16;
const INDEX_AT = 4;
/** Bytes of struct nlmsghdr. */
const HEADER = 16;
const ANSWER = 32768;
/** The upper bits of an attribute's type are flags. */
const TYPE_MASK = 0x3fff;

/** Asks; `body` is what follows the message's header. The answer's body, or null if it is not of the type `wanted`. */
export function askKernel(protocol: number, type: number, body: Uint8Array, wanted = type): DataView | null {
	return exchange(protocol, type, 0, body, wanted);
}

/** What the kernel says of an interface: struct ifinfomsg, and attributes behind it. Null if there is none of that number. */
export function askInterface(index: number): DataView | null {
	const question = new DataView(new ArrayBuffer(IFINFOMSG));
	question.setInt32(INDEX_AT, index, true);
	return askKernel(NETLINK_ROUTE, RTM_GETLINK, new Uint8Array(question.buffer), RTM_NEWLINK);
}

/** Orders; true if it was done. `flags` are those of the message's header, beyond the usual ones. */
export function tellKernel(protocol: number, type: number, flags: number, body: Uint8Array): boolean {
	return exchange(protocol, type, flags | NLM_F_ACK, body, NLMSG_ERROR)?.getInt32(0, true) === 0;
}

/** Asks for all there is of a kind: the bodies of the answers, or null if not all of them came. */
export function listKernel(protocol: number, type: number, body: Uint8Array, wanted: number): DataView[] | null {
	const bodies: DataView[] = [];
	const done = ask(protocol, type, NLM_F_DUMP, body, (receive) => {
		for (let answer = receive(); answer !== null; answer = receive()) {
			for (let at = 0; at + HEADER <= answer.byteLength; ) {
				const length = answer.getUint32(at, true);
				const kind = answer.getUint16(at + 4, true);
				if (length < HEADER || at + length > answer.byteLength || kind === NLMSG_ERROR) return null;
				if (kind === NLMSG_DONE) return true;
				if (kind === wanted) bodies.push(new DataView(answer.buffer, at + HEADER, length - HEADER));
				at += (length + 3) & ~3;
			}
		}
		return null;
	});
	return done === null ? null : bodies;
}

function exchange(protocol: number, type: number, flags: number, body: Uint8Array, wanted: number): DataView | null {
	return ask(protocol, type, flags, body, (receive) => {
		const answer = receive();
		if (answer === null || answer.byteLength < HEADER || answer.getUint16(4, true) !== wanted) return null;
		return new DataView(answer.buffer, HEADER, answer.byteLength - HEADER);
	});
}

/** Sends a message, and has its answer read by `read`, which is given what receives a piece of it: null when there is none. Null if it cannot be sent. */
function ask<T>(
	protocol: number,
	type: number,
	flags: number,
	body: Uint8Array,
	read: (receive: () => DataView | null) => T | null,
): T | null {
	const c = libc();
	const socket = c.socket(AF_NETLINK, SOCK_RAW_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (socket < 0) return null;
	try {
		const request = new Uint8Array(new ArrayBuffer(HEADER + body.length));
		const header = new DataView(request.buffer);
		header.setUint32(0, request.length, true);
		header.setUint16(4, type, true);
		header.setUint16(6, NLM_F_REQUEST | flags, true);
		request.set(body, HEADER);
		if (c.send(socket, request, request.length, 0) < 0) return null;
		return read(() => {
			const answer = new Uint8Array(new ArrayBuffer(ANSWER));
			const length = c.recv(socket, answer, answer.length, 0);
			return length <= 0 ? null : new DataView(answer.buffer, 0, length);
		});
	} finally {
		c.close(socket);
	}
}

/** An attribute of a message, padded as the next one wants it. */
export function attribute(type: number, value: Uint8Array): Uint8Array {
	const bytes = new Uint8Array((4 + value.length + 3) & ~3);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, 4 + value.length, true);
	view.setUint16(2, type, true);
	bytes.set(value, 4);
	return bytes;
}

/** The attributes in a piece of a message, by type. */
export function attributes(view: DataView, from = 0): Map<number, DataView> {
	const found = new Map<number, DataView>();
	for (let at = from; at + 4 <= view.byteLength; ) {
		const length = view.getUint16(at, true);
		if (length < 4 || at + length > view.byteLength) break;
		found.set(view.getUint16(at + 2, true) & TYPE_MASK, new DataView(view.buffer, view.byteOffset + at + 4, length - 4));
		at += (length + 3) & ~3;
	}
	return found;
}
