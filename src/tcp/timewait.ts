/**
 * TIME-WAIT: segments for a connection of which only the small record is left (RFC 9293 3.10.7.4, RFC 6191). Its own may still be there, for a program
 * that has not read all, but no segment finds that.
 */
import type { IpPacket } from "../ip/transport.ts";
import * as pages from "../memory/pages.ts";
import * as tcp from "../wire/tcp.ts";
import { writeTcpHeader, writeTimestamps } from "../wire/tcp.ts";
import type { Tcp } from "./engine.ts";
import { emitAlone } from "./output.ts";
import { seqGt, seqLeq, seqLt } from "./seq.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { ACK, FIN, RST, SYN, TCP_HEADER } = tcp;
const { HEADROOM } = pages;

/**
 * A segment for a connection in TIME-WAIT. True: that is over, or it is a new SYN that may have the addresses again (RFC 9293 3.6.1, RFC 6191).
 */
export function timeWaitArrives(
	t: Tcp,
	found: number,
	packet: IpPacket,
	bits: number,
	seq: number,
	ack: number,
	length: number,
	localPort: number,
	remotePort: number,
): boolean {
	const tw = t.table.timeWaitAt(found);
	const options = t.segmentOptions;
	const stamps = tw.tsOffset !== 0;
	// The timers of a turn come after its frames.
	if (seqLeq(tw.expires, t.tick)) return true;
	if ((bits & RST) !== 0) {
		// RFC 9293 3.10.7.4, second: a RST ends TIME-WAIT, an exact one (RFC 5961 3.2). With RFC 1337's fix F1, which forbids it, a peer that begins anew
		// from the same port, and answers our ACK by a reset, would wait for all of the time (Linux does without F1 as well).
		if (seq === tw.rcvNxt) {
			t.counters.resetsIn++;
			t.table.removeTimeWait(-2 - found);
		} else t.counters.strayResets++;
		return false;
	}
	if ((bits & (SYN | ACK)) === SYN) {
		const newer =
			stamps && options.timestamps
				? seqGt(options.tsVal, tw.tsRecent) || (options.tsVal === tw.tsRecent && seqGt(seq, tw.rcvNxt))
				: seqGt(seq, tw.rcvNxt);
		if (newer && t.listeners.find(packet.dst0, packet.dst1, packet.dst2, packet.dst3, localPort) !== null) return true;
	}
	t.counters.duplicateSegments++;
	// RFC 9293 3.10.7.4, fifth: the peer's FIN again, which ends where ours was acknowledged, begins the time anew. No other does: what is old, or
	// made up, must not hold the addresses.
	if ((bits & FIN) !== 0 && ((seq + length + 1) | 0) === tw.rcvNxt) {
		t.table.restartTimeWait(found, (t.tick + t.options.timeWait) | 0);
		t.table.timeWaitAt(found);
	}
	if (length === 0 && (bits & (FIN | SYN)) === 0 && !(seqLt(seq, tw.rcvNxt) || seqGt(ack, tw.sndNxt))) return false;
	if (length === 0 && (bits & (FIN | SYN)) === 0 && !t.challenges.allowed(t.tick)) return false;
	sendTimeWaitAck(
		t,
		packet.dst3,
		localPort,
		packet.src3,
		remotePort,
		tw.sndNxt,
		tw.rcvNxt,
		(t.tick + tw.tsOffset) | 0,
		tw.tsRecent,
		stamps,
	);
	return false;
}

/** A bare ACK for a connection of which only the TIME-WAIT record is left. */
function sendTimeWaitAck(
	t: Tcp,
	local: number,
	localPort: number,
	remote: number,
	remotePort: number,
	seq: number,
	ack: number,
	tsVal: number,
	tsEcr: number,
	stamps: boolean,
): void {
	const page = t.pool.alloc();
	if (page === 0) {
		t.counters.noPage++;
		return;
	}
	const start = t.pool.address(page) + HEADROOM;
	let header = TCP_HEADER;
	if (stamps) header += writeTimestamps(t.u8, start + header, tsVal, tsEcr);
	writeTcpHeader(t.u8, start, localPort, remotePort, seq, ack, header, ACK, Math.min(t.options.receiveBuffer >> t.windowScale, 65535));
	emitAlone(t, local, remote, page, start, header);
}
