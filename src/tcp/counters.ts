/** What TCP counts. One object per engine, of fixed shape; every drop and every limit has a name here. */
export class TcpCounters {
	segmentsIn = 0;
	segmentsOut = 0;
	bytesIn = 0;
	bytesOut = 0;
	/** Segments sent again. */
	retransmits = 0;
	/** Expiries of the retransmission timer. */
	timeouts = 0;
	tailLossProbes = 0;
	windowProbes = 0;
	fastRecoveries = 0;
	/** Reductions that were undone because the retransmission proved needless (RFC 4015, RFC 2883). */
	spuriousRecoveries = 0;
	activeOpens = 0;
	passiveOpens = 0;
	/** Connections that reached ESTABLISHED. */
	established = 0;
	resetsIn = 0;
	resetsOut = 0;
	/** Connections that died of ETIMEDOUT. */
	timedOut = 0;
	duplicateSegments = 0;
	outOfOrder = 0;
	sackBlocksIn = 0;
	dsacksIn = 0;
	challengeAcks = 0;
	/** Challenge ACKs that were not sent for the limit of RFC 5961 7. */
	challengeAcksLimited = 0;
	delayedAcks = 0;
	keepAlives = 0;

	/** Too short for a header, or a data offset beyond the segment. */
	badHeader = 0;
	badChecksum = 0;
	/** Options whose lengths do not add up; the segment is dropped. */
	badOptions = 0;
	/** To or from a broadcast, multicast or otherwise impossible address, or port 0. */
	badAddress = 0;
	/** Outside the receive window (RFC 9293 3.10.7.4, first). */
	outsideWindow = 0;
	/** RFC 7323 5: an old timestamp. */
	pawsRejected = 0;
	/** ACK of something never sent (RFC 5961 5). */
	badAck = 0;
	/** No ACK bit where one is due. */
	noAck = 0;
	/** SYN on a synchronized connection (RFC 5961 4). */
	synInWindow = 0;
	/** RST in the window but not at rcvNxt (RFC 5961 3). */
	resetInWindow = 0;
	/** RST outside the window. */
	resetOutsideWindow = 0;
	/** Nobody listens and no connection exists: answered with RST. */
	noListener = 0;
	/** RST for a connection that does not exist. */
	strayResets = 0;
	/** Data for a connection whose application has closed: answered with RST (RFC 9293 3.6.1). */
	dataAfterClose = 0;
	/** Data beyond the window, cut off. */
	beyondWindow = 0;
	/** Data ahead of a hole, not kept because what is early has all the pages that it may have (RFC 2018 8). */
	earlyPages = 0;
	/** Data ahead of a hole, not kept because there are as many holes before it as there may be (RFC 2018 8). */
	earlyRuns = 0;

	/** Pages of data ahead of a hole that were kept, and given up again while connections waited for pages (RFC 2018 8). */
	earlyShed = 0;
	synBacklogFull = 0;
	acceptBacklogFull = 0;
	connectionsFull = 0;
	timeWaitOverflow = 0;
	/** Times that windows were held, or held more, because a queue stood in the link (standing.ts). */
	standingQueues = 0;
	/** No page for a control segment or for the application's bytes. */
	noPage = 0;
	/** Slabs that were taken for long writes (memory/pages.ts). */
	slabsOpened = 0;
	/** No slab for a long write, which went to pages instead. */
	noSlab = 0;
	/** ICMP errors that matched no connection or an impossible sequence number. */
	unreachableIgnored = 0;
}
