/**
 * The beginning of a connection, whoever opens it: what its record starts with, and what the end of the handshake settles.
 *
 * Hides the values that a connection has before anything was heard of the peer, and those that follow from how its handshake went. Who opens is
 * elsewhere: the application in calls.ts (`open`), the peer in listen.ts.
 *
 * Read first: RFC 9293 3.4.1 and 3.10.7.4, RFC 6298 2.1 and 5.7, RFC 6928.
 */
import { TIMESTAMPS_LENGTH } from "../wire/tcp.ts";
import { initialWindow, SSTHRESH_UNBOUNDED } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { DEFAULT_MSS, mssFor } from "./mss.ts";
import { sampleRtt } from "./rto.ts";
import * as state from "./state.ts";
import { setIdle, stopRetransmitTimer } from "./timers.ts";

// Constants of a module's own are part of its code; imported ones are read from memory at each use (state.ts).
const { C_FIN_PENDING, C_FINISHED, C_KEEPALIVE, C_SEND_SYN, C_SYN_RETRANSMITTED, ESTABLISHED, FIN_WAIT_1 } = state;

/** Sets what every new connection starts with. Addresses and ports are there already. */
export function begin(t: Tcp, c: Connection): void {
	const options = t.options;
	t.secrets.of(c);
	c.iss = t.secrets.initialSequence(t.nowFull);
	c.tsOffset = t.secrets.timestampOffset();
	c.sndUna = c.iss;
	c.sndNxt = c.iss;
	c.sndEnd = (c.iss + 1) | 0;
	c.rto = options.initialRto * 1000;
	// Two units of the window field at least: where one cannot be told for the bytes that are open, there is another to tell (window.ts).
	c.rcvBuf = Math.max(options.receiveBuffer, 2 << t.windowScale);
	c.ssthresh = SSTHRESH_UNBOUNDED;
	c.peerMss = DEFAULT_MSS;
	c.mss = mssFor(t, c) - (options.timestamps ? TIMESTAMPS_LENGTH : 0);
	c.cwnd = initialWindow(c, t.options.initialWindow);
	c.lastHeard = t.tick;
	c.rcvRttStart = t.now;
}

/** The handshake is complete: RFC 9293 3.10.7.4, ESTABLISHED. */
export function established(t: Tcp, c: Connection): void {
	c.state = ESTABLISHED;
	// A SYN that came again had asked for another SYN-ACK: the peer has one, and what leaves now is data.
	c.flags &= ~C_SEND_SYN;
	t.halfOpen--;
	t.counters.established++;
	stopRetransmitTimer(c);
	c.retries &= ~0xff;
	if ((c.flags & C_SYN_RETRANSMITTED) === 0) {
		const rtt = (t.ack.time - c.rackTime) | 0;
		if (rtt >= 0) sampleRtt(c, rtt, t.options);
	} else if (c.srtt === 0) {
		// RFC 6298 5.7
		c.rto = 3_000_000;
	}
	c.cwnd = (c.flags & C_SYN_RETRANSMITTED) !== 0 && c.srtt === 0 ? c.mss : initialWindow(c, t.options.initialWindow);
	t.congestion.start(c, t.now);
	if ((c.flags & C_KEEPALIVE) !== 0) setIdle(t, c, c.keepIdle);
	if ((c.flags & C_FINISHED) !== 0) c.state = FIN_WAIT_1;
	// A FIN may have waited for a page meanwhile (shortage.ts).
	if (c.sndNext !== 0 || (c.flags & C_FIN_PENDING) !== 0) t.queueOutput(c, 2);
}
