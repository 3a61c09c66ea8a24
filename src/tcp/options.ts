/**
 * The knobs of TCP, each with its default, reason and source. One object per engine; nothing here changes while it runs.
 */

/** Limits and timers of TCP. Times are milliseconds, sizes bytes. */
export interface TcpOptions {
	/** Most connections at once; a SYN or connect beyond it is refused and counted (`connectionsFull`). */
	maxConnections: number;
	/** Most connections in TIME-WAIT; beyond it the oldest is forgotten early (`timeWaitOverflow`). */
	maxTimeWait: number;
	/** Most half-open connections per listener; a SYN beyond it is dropped (`synBacklogFull`): the peer tries again. */
	synBacklog: number;
	/** 2 MSL: how long TIME-WAIT lasts, in ms. RFC 9293 says 4 minutes; 60 s is what Linux and others use. */
	timeWait: number;
	/** Smallest RTO in ms. RFC 6298 says 1 s, measured on clocks of 500 ms; 200 ms is Linux's, safe with delayed ACKs of 40 ms. */
	minRto: number;
	/** Largest RTO in ms (RFC 6298 2.5: at least 60 s). */
	maxRto: number;
	/** RTO before the first measurement, in ms (RFC 6298 2.1). */
	initialRto: number;
	/** SYNs that are sent again before ETIMEDOUT: 6 make 123 s, about as Linux does. RFC 9293 3.8.3 (MUST-23) asks for 3 minutes: 7 do that. */
	synRetries: number;
	/** SYN-ACKs that are sent again before a half-open connection is forgotten. */
	synAckRetries: number;
	/** Data that is sent again before ETIMEDOUT (R2 of RFC 9293 3.8.3: at least 100 s; 15 make more than 10 minutes). */
	retries: number;
	/** Delay of an ACK in ms (RFC 9293 3.8.6.3: below 500; 40 is Linux's and keeps Nagle peers quick). */
	delayedAck: number;
	/** Initial window in segments (RFC 6928). */
	initialWindow: number;
	/** Receive segment in bytes: where tuning starts, and its limit. */
	receiveBuffer: number;
	/** Receive segment: the limit of its tuning. */
	maxReceiveBuffer: number;
	/** Send segment in bytes: what `write` takes at once, and the most that waits to be sent; four times as much once the congestion window is. */
	sendBuffer: number;
	/** Send segment with what is in flight: the limit to which it follows twice the congestion window. */
	maxSendBuffer: number;
	/** Long writes go to slabs of 64 KiB, up to 64 of them, and leave from there in one piece where the link can (memory/pages.ts). */
	slabs: boolean;
	/** Keep-alive: idle time before the first probe (RFC 9293 3.8.4: at least 2 hours by default), time between probes, both ms, and number of probes. */
	keepAliveIdle: number;
	/** Keep-alive: time between probes that are not answered. */
	keepAliveInterval: number;
	/** Keep-alive: probes without an answer after which the connection is dead (ETIMEDOUT). */
	keepAliveProbes: number;
	/** How long FIN-WAIT-2 lasts after the application has given the connection up, in ms (RFC 9293 3.6 leaves it open; 60 s is Linux's). */
	finWait2: number;
	/** Congestion control. */
	congestion: "cubic" | "newreno" | "bbr";
	/** Spread segments over the round-trip time also where congestion control does not ask for it (BBR always does). */
	pacing: boolean;
	/** Offer timestamps, SACK, window scaling. */
	timestamps: boolean;
	/** Offer selective acknowledgments (RFC 2018). */
	sack: boolean;
	/** Offer window scaling (RFC 7323); without it windows end at 64 KiB. */
	windowScaling: boolean;
	/** Challenge ACKs per second and stack: the least; the limit is a random number up to twice that (RFC 5961 7, CVE-2016-5696). */
	challengeAcks: number;
	/** First and last port for active opens (RFC 6056; the range is Linux's). */
	firstPort: number;
	/** Last port for active opens. */
	lastPort: number;
}

/** What holds unless it is said otherwise. */
export const TCP_DEFAULTS: Readonly<TcpOptions> = {
	maxConnections: 131072,
	maxTimeWait: 65536,
	synBacklog: 4096,
	timeWait: 60_000,
	minRto: 200,
	maxRto: 60_000,
	initialRto: 1000,
	synRetries: 6,
	synAckRetries: 5,
	retries: 15,
	delayedAck: 40,
	initialWindow: 10,
	receiveBuffer: 262_144,
	maxReceiveBuffer: 4_194_304,
	sendBuffer: 262_144,
	maxSendBuffer: 4_194_304,
	slabs: true,
	keepAliveIdle: 7_200_000,
	keepAliveInterval: 75_000,
	keepAliveProbes: 9,
	finWait2: 60_000,
	congestion: "cubic",
	pacing: false,
	timestamps: true,
	sack: true,
	windowScaling: true,
	challengeAcks: 100,
	firstPort: 32768,
	lastPort: 60999,
};
