/**
 * MSS: how many bytes of text a segment has (RFC 9293 3.7.1, RFC 6691, RFC 1191 6.4).
 *
 * `peerMss` is what the peer takes, `mss` what fits it and our way to it, with the options that each segment carries taken off.
 */
import { PAGE_SIZE } from "../memory/pages.ts";
import { TIMESTAMPS_LENGTH } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { C_TS } from "./state.ts";

/** Smallest MSS that is believed (a smaller one makes a header for every byte); Linux has 48, with options taken off. */
const MIN_MSS = 64;
/** RFC 9293 3.7.1: MSS of a peer that names none, over IPv4. */
export const DEFAULT_MSS = 536;

/** The MSS that we announce: what fits our link and one page. */
export function mssFor(t: Tcp, c: Connection): number {
	return Math.min(t.lower.mtuTo(c.remote3) - 40, PAGE_SIZE - 256);
}

/** Takes the peer's MSS (0: it named none). */
export function setPeerMss(t: Tcp, c: Connection, mss: number): void {
	c.peerMss = mss === 0 ? DEFAULT_MSS : Math.max(mss, MIN_MSS);
	updateMss(c, mssFor(t, c));
}

/** Takes what our side allows now: `own` as from `mssFor`, or less when the path has become narrower. */
export function updateMss(c: Connection, own: number): void {
	c.mss = Math.max(Math.min(c.peerMss, own) - ((c.flags & C_TS) !== 0 ? TIMESTAMPS_LENGTH : 0), 16);
}
