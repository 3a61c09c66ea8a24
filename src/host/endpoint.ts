/**
 * Where to connect and where to listen: addresses and ports as callers name them.
 *
 * Hides what of it is refused: a text that is no IPv4 address, a number that is no port.
 */
import { MillraceError, shown } from "../errors.ts";
import { formatIpv4, parseIpv4 } from "../wire/address.ts";

/** Where to connect, and from where. */
export interface ConnectOptions {
	/** IPv4 address. */
	address: string;
	/** 1 to 65535. */
	port: number;
	/** Own address and port; default: by route, and a random free port. */
	localAddress?: string;
	/** 1 to 65535; 0 or absent: a random free one. */
	localPort?: number;
}

/** Where to listen. */
export interface ListenOptions {
	/** Own address; default any. */
	address?: string;
	/** 0: any free port. */
	port: number;
	/** Most established connections that wait to be handed over, at least one; default 511, as in Node. */
	backlog?: number;
}

/** All that may be given; another name is refused. */
export const CONNECT_OPTIONS = ["address", "port", "localAddress", "localPort"];
export const LISTEN_OPTIONS = ["address", "port", "backlog"];

/** The word of an address; `what` names it. @throws {MillraceError} EINVAL */
export function ipv4(text: string, what: string): number {
	try {
		return parseIpv4(text);
	} catch (cause) {
		throw new MillraceError("EINVAL", `${what} ${shown(text)} is not an IPv4 address such as ${formatIpv4(0x0a4d0002)}`, {
			cause,
		});
	}
}

/** A port that may be given; `what` names it. @throws {MillraceError} EINVAL */
export function portNumber(port: number, least: number, what = "port"): number {
	if (!Number.isInteger(port) || port < least || port > 65535)
		throw new MillraceError("EINVAL", `${what} ${shown(port)} is not a whole number from ${least} to 65535`);
	return port;
}
