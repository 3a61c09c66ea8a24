/**
 * The far end of a stream link as people write it: what stands behind `--link stream:`.
 *
 * Hides the spelling only; opening is stream-pipe.ts. The forms are QEMU's network back ends, each seen from the other side:
 *
 *     stream:unix:PATH                    -netdev stream,server=on,addr.type=unix,addr.path=PATH
 *     stream:tcp:HOST:PORT                -netdev stream,server=on,addr.type=inet,...   -netdev socket,listen=HOST:PORT
 *     stream:listen:unix:PATH             -netdev stream,server=off,addr.type=unix,addr.path=PATH
 *     stream:listen:tcp:[HOST:]PORT       -netdev stream,server=off,addr.type=inet,...  -netdev socket,connect=HOST:PORT
 *     stream:udp:[ADDR:]PORT:ADDR:PORT    -netdev dgram,local.type=inet,...,remote...   -netdev socket,udp=...,localaddr=...
 *
 * unix and tcp carry each frame behind its length, udp a frame a datagram. In the last form the port here stands before the peer's.
 */
import { readInteger, readIpv4 } from "./quantities.ts";

/** A port of an address, or of a host by name. */
export interface Endpoint {
	host: string;
	port: number;
}

/** Where frames come from and go to. */
export type StreamEnd =
	| { how: "connect" | "listen"; path: string }
	| ({ how: "connect" | "listen" } & Endpoint)
	| { how: "datagrams"; local: Endpoint; peer: Endpoint };

/** All forms, for complaints and help. */
export const STREAM_FORMS =
	"stream:unix:PATH, stream:tcp:HOST:PORT, stream:listen:unix:PATH, stream:listen:tcp:[HOST:]PORT or stream:udp:[ADDR:]PORT:ADDR:PORT";

/** Longest path of a UNIX socket in bytes (unix(7): 108 with the closing zero). */
const PATH_MOST = 107;
const HERE = "127.0.0.1";

/** What is asked for now and then and cannot be had this way, by its first word. */
const ELSEWHERE: Readonly<Record<string, string>> = {
	ws: "a WebSocket is for the library: webSocketPipe of millrace/link/stream",
	wss: "a WebSocket is for the library: webSocketPipe of millrace/link/stream",
	dgram: "datagrams go over UDP; Node has no UNIX datagram sockets",
	unixgram: "datagrams go over UDP; Node has no UNIX datagram sockets",
	fd: "a descriptor that was handed over is for the library: socketPipe of millrace/node",
	mcast: "a multicast group is no pair of two ends",
};

/** Reads what stands behind "stream:"; a text says what would be right. */
export function readStreamEnd(text: string): StreamEnd | string {
	const [kind, rest] = firstWord(text);
	if (kind === "unix" || kind === "tcp") return readSocket("connect", kind, rest);
	if (kind === "listen") {
		const [inner, where] = firstWord(rest);
		if (inner === "unix" || inner === "tcp") return readSocket("listen", inner, where);
		return STREAM_FORMS;
	}
	if (kind === "udp") return readPair(rest);
	const remark = Object.hasOwn(ELSEWHERE, kind) ? ` (${ELSEWHERE[kind]})` : "";
	return `${STREAM_FORMS}${remark}`;
}

function firstWord(text: string): [string, string] {
	const colon = text.indexOf(":");
	return colon < 0 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)];
}

function readSocket(how: "connect" | "listen", kind: "unix" | "tcp", where: string): StreamEnd | string {
	if (kind === "unix") {
		const bytes = Buffer.byteLength(where);
		if (bytes === 0 || bytes > PATH_MOST || where.includes("\0")) return `a UNIX socket, whose path has 1 to ${PATH_MOST} bytes`;
		return { how, path: where };
	}
	// The last colon, for an IPv6 address has some of its own: [::1]:5000.
	const colon = where.lastIndexOf(":");
	const port = readInteger(where.slice(colon + 1), 1, 65535);
	const host = colon < 0 && how === "listen" ? HERE : where.slice(0, Math.max(colon, 0)).replace(/^\[(.*)\]$/, "$1");
	if (port === null || !/^[A-Za-z0-9._:-]+$/.test(host))
		return how === "listen"
			? "stream:listen:tcp:[HOST:]PORT, such as stream:listen:tcp:5000"
			: "stream:tcp:HOST:PORT, such as stream:tcp:127.0.0.1:5000";
	return { how, host, port };
}

function readPair(where: string): StreamEnd | string {
	const wanted = "stream:udp:[ADDR:]PORT:ADDR:PORT, the port here and the peer's, such as stream:udp:5001:127.0.0.1:5002";
	const parts = where.split(":");
	if (parts.length === 3) parts.unshift(HERE);
	const [here, herePort, there, therePort] = parts as [string, string, string, string];
	const ports = [herePort, therePort].map((part) => readInteger(part ?? "", 1, 65535));
	const words = [here, there].map((part) => readIpv4(part ?? ""));
	if (parts.length !== 4 || ports.includes(null) || words.includes(null)) return wanted;
	// What the kernel sends from 127.0.0.0/8 never leaves the machine.
	const local = words.map((word) => (word as number) >>> 24 === 127);
	if (local[0] !== local[1] && words[0] !== 0) return `${wanted}; towards another machine, the address here is not of 127.0.0.0/8`;
	return { how: "datagrams", local: { host: here, port: ports[0]! }, peer: { host: there, port: ports[1]! } };
}
