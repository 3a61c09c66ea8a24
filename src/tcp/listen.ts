/**
 * Segments that belong to no connection (RFC 9293 3.10.7.1 and 3.10.7.2, CLOSED and LISTEN): a SYN to a listener makes one, all else is reset.
 *
 * Hides the limits of a listener: half-open connections, connections that wait for the application, the table itself. A SYN that meets
 * one of them is counted and dropped without an answer, so the peer tries again.
 */
import type { IpPacket } from "../ip/transport.ts";
import * as pages from "../memory/pages.ts";
import * as tcp from "../wire/tcp.ts";
import { window as windowOf, writeTcpHeader } from "../wire/tcp.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { setPeerMss } from "./mss.ts";
import { begin } from "./opening.ts";
import { emitAlone } from "./output.ts";
import { seqGt } from "./seq.ts";
import * as state from "./state.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_HELD, C_PASSIVE, C_SACK, C_SCALE, C_SEND_SYN, C_TS, E_ACCEPT, SYN_RECEIVED } = state;
const { ACK, FIN, RST, SYN, TCP_HEADER } = tcp;
const { HEADROOM } = pages;

/** RFC 9293 3.10.7.1 and 3.10.7.2: CLOSED and LISTEN. */
export function noConnection(
	t: Tcp,
	packet: IpPacket,
	bits: number,
	seq: number,
	ack: number,
	length: number,
	localPort: number,
	remotePort: number,
	found: number,
): boolean {
	if ((bits & RST) !== 0) {
		t.counters.strayResets++;
		return false;
	}
	const listener = t.listeners.find(packet.dst0, packet.dst1, packet.dst2, packet.dst3, localPort);
	if (listener === null || (bits & ACK) !== 0) {
		if (listener === null) t.counters.noListener++;
		else t.counters.badAck++;
		const span = length + ((bits & SYN) !== 0 ? 1 : 0) + ((bits & FIN) !== 0 ? 1 : 0);
		sendStrayReset(t, packet.dst3, localPort, packet.src3, remotePort, seq, ack, (bits & ACK) !== 0, span);
		return false;
	}
	// RFC 9293 3.10.7.2, fourth: neither SYN nor ACK. And a SYN with a FIN, which opens nothing that could be used; Linux drops it, too.
	if ((bits & (SYN | FIN)) !== SYN) {
		t.counters.noAck++;
		return false;
	}
	if (listener.pending >= listener.backlog) {
		t.counters.acceptBacklogFull++;
		return false;
	}
	if (listener.halfOpen >= t.options.synBacklog) {
		t.counters.synBacklogFull++;
		return false;
	}
	const index = t.table.alloc();
	if (index < 0) {
		t.counters.connectionsFull++;
		return false;
	}
	// RFC 9293 3.10.7.2, third: the SYN makes a connection in SYN-RECEIVED.
	const c = t.at(index);
	c.local0 = packet.dst0;
	c.local1 = packet.dst1;
	c.local2 = packet.dst2;
	c.local3 = packet.dst3;
	c.localPort = localPort;
	c.remote0 = packet.src0;
	c.remote1 = packet.src1;
	c.remote2 = packet.src2;
	c.remote3 = packet.src3;
	c.remotePort = remotePort;
	c.listener = listener.id;
	c.flags = C_PASSIVE;
	begin(t, c);
	if (found < -1) {
		// RFC 9293 3.6.1, RFC 6191: the new connection's numbers lie beyond the old one's.
		const old = t.table.timeWaitAt(found).sndNxt;
		if (!seqGt(c.iss, old)) {
			c.iss = (old + 0x20000) | 0;
			c.sndUna = c.iss;
			c.sndEnd = (c.iss + 1) | 0;
		}
		t.table.removeTimeWait(-2 - found);
		t.at(index);
	}
	c.sndNxt = (c.iss + 1) | 0;
	c.state = SYN_RECEIVED;
	takeSyn(t, c, packet, seq);
	t.table.insert(index);
	listener.halfOpen++;
	t.halfOpen++;
	t.counters.passiveOpens++;
	if (listener.held) {
		c.flags |= C_HELD;
		t.raise(c, E_ACCEPT);
	} else {
		c.flags |= C_SEND_SYN;
		t.queueOutput(c, 0);
	}
	return false;
}

/** Notes what a SYN says: numbers, window, options that both sides want. */
export function takeSyn(t: Tcp, c: Connection, packet: IpPacket, seq: number): void {
	const options = t.segmentOptions;
	c.irs = seq;
	c.rcvNxt = (seq + 1) | 0;
	c.rcvAdv = c.rcvNxt;
	c.lastAckSent = c.rcvNxt;
	c.sndWnd = windowOf(t.u8, packet.start);
	c.sndWndMax = c.sndWnd;
	c.sndWl1 = seq;
	c.flags &= ~(C_TS | C_SACK | C_SCALE);
	if (options.timestamps && t.options.timestamps) {
		c.flags |= C_TS;
		c.tsRecent = options.tsVal;
	}
	if (options.sackPermitted && t.options.sack) c.flags |= C_SACK;
	if (options.windowScale >= 0 && t.options.windowScaling) {
		c.flags |= C_SCALE;
		c.sndScale = options.windowScale;
		c.rcvScale = t.windowScale;
	}
	setPeerMss(t, c, options.mss);
	c.lastHeard = t.tick;
}

/**
 * RFC 9293 3.10.7.1: the answer to a segment that belongs to no connection.
 *
 * @param ackBit Whether the segment had an ACK: then the RST takes its sequence number from there.
 */
export function sendStrayReset(
	t: Tcp,
	local: number,
	localPort: number,
	remote: number,
	remotePort: number,
	seq: number,
	ack: number,
	ackBit: boolean,
	span: number,
): void {
	const page = t.pool.alloc();
	if (page === 0) {
		t.counters.noPage++;
		return;
	}
	const start = t.pool.address(page) + HEADROOM;
	if (ackBit) writeTcpHeader(t.u8, start, localPort, remotePort, ack, 0, TCP_HEADER, RST, 0);
	else writeTcpHeader(t.u8, start, localPort, remotePort, 0, (seq + span) | 0, TCP_HEADER, RST | ACK, 0);
	t.counters.resetsOut++;
	emitAlone(t, local, remote, page, start, TCP_HEADER);
}
