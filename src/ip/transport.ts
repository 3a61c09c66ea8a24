/**
 * The seams of ip: to the transports above it (tcp, udp, icmp), and to the queue of the link below.
 *
 * Addresses are 128 bits wide, as four 32-bit words in host order, most significant first. An IPv4 address is written as
 * IPv4-mapped (::ffff:a.b.c.d, RFC 4291 2.5.5.2), so its bits are word 3.
 */

import type { Batch } from "../memory/batch.ts";

/** A received packet, seen from above ip. One object for all packets: valid only during `Transport.input`. */
export interface IpPacket {
	version: 4 | 6;
	/** The page that holds it, and the extent of the transport header and payload there: absolute arena offset, bytes. */
	page: number;
	start: number;
	length: number;
	/**
	 * A packet that a link merged runs over several entries of a batch: the bytes of payload in the further entries, the
	 * batch, and the first and last of those entries. 0 bytes: it does not. Only TCP gets such packets. Their pages stay the
	 * batch's: who keeps one retains it.
	 */
	more: number;
	batch: Batch | null;
	firstMore: number;
	lastMore: number;
	/** Arrival time of the frame, microseconds, wrapping. */
	time: number;
	/** FRAME_CHECKED: the link has verified the transport checksum. */
	flags: number;
	src0: number;
	src1: number;
	src2: number;
	src3: number;
	dst0: number;
	dst1: number;
	dst2: number;
	dst3: number;
	protocol: number;
	ttl: number;
	/** Absolute arena offset of the IP header, for ICMP errors that quote it. */
	headerStart: number;
	/** The destination is a broadcast or multicast address. */
	broadcast: boolean;
}

/** Why a packet could not be delivered: an ICMP error for it, or no answer to address resolution. */
export interface Unreachable {
	/** "net" | "host" | "protocol" | "port" | "prohibited" | "ttl" | "too-big" | "neighbor". */
	reason: "net" | "host" | "protocol" | "port" | "prohibited" | "ttl" | "too-big" | "neighbor";
	/** Next-hop MTU in bytes for "too-big", else 0. */
	mtu: number;
	/** Destination (word 3 for IPv4) and source of the packet that failed, and its protocol and ports as far as known (else 0). */
	dst3: number;
	src3: number;
	protocol: number;
	srcPort: number;
	dstPort: number;
	/** First 4 bytes of the transport header after the ports: TCP's sequence number. */
	seq: number;
}

export interface Transport {
	/** Takes a packet. True: the transport took over the reference on the page. False: ip releases it. */
	input(packet: IpPacket): boolean;
	/** A packet of this transport could not be delivered. Only a hint: it may be forged. */
	unreachable?(error: Unreachable): void;
}

/** Where frames go that are ready for the link. */
export interface Outbox {
	/**
	 * Takes over the reference on the page; `start` and `length` are the frame's extent, `flags` and `segment` as in a batch.
	 * The first entry of a run says in `entries` how many there are, so that they go to the link together.
	 */
	push(page: number, start: number, length: number, flags: number, segment?: number, entries?: number): void;
}
