/**
 * What ip counts. Every packet that comes in or goes out ends under exactly one name of its group, so that
 * `received + looped` equals the sum of the fates, and nothing is ever lost without a trace.
 */
export class IpCounters {
	/** Frames taken from the link; a frame in several pieces counts once. */
	received = 0;

	// Fates of received and looped packets.
	/** Given to a transport. */
	delivered = 0;
	/** Given to nobody: no transport is registered for the protocol; answered with an ICMP error where allowed. */
	unknownProtocol = 0;
	/** Frames in several pieces (beyond one page), which are not supported yet. */
	chained = 0;
	/** Shorter than the headers that must be there. */
	tooShort = 0;
	/** Ethernet: sent to another station. */
	otherStation = 0;
	/** Ethernet: a group address as source, which no station has. */
	badStation = 0;
	/** Ethernet: neither IPv4, IPv6 nor ARP. */
	unknownType = 0;
	/** IPv6 packets, which are not supported yet. */
	ipv6 = 0;
	/** IP version neither 4 nor 6. */
	badVersion = 0;
	/** Header length below 20 or beyond the packet. */
	badHeaderLength = 0;
	/** Total length below the header's or beyond the frame: cut short on the way. */
	badLength = 0;
	/** Header checksum wrong. */
	badChecksum = 0;
	/** Source routed, or options that cannot be read (RFC 7126 4.3, 4.4). */
	sourceRouted = 0;
	/** Source is no address that a host elsewhere can have: group, 0.0.0.0/8, 127.0.0.0/8, a broadcast or our own (RFC 1122 3.2.1.3). */
	martianSource = 0;
	/** Destination that must not appear on this link: 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4. */
	martianDestination = 0;
	/** Sent to a link broadcast or group address, but to one host's IP address (RFC 1122 3.3.6). */
	linkBroadcast = 0;
	/** Destination is not an address of this host, nor a group that it is in. */
	notOurs = 0;
	/** Fragments, which are not supported yet. */
	fragments = 0;
	/** ARP: not for IPv4 over Ethernet, or contradictory in itself. */
	arpMalformed = 0;
	/** ARP: requests for our addresses. */
	arpRequests = 0;
	/** ARP: replies to us. */
	arpReplies = 0;
	/** ARP: about others, or announcements. */
	arpOther = 0;
	/** ARP: another station claims an address of ours (RFC 5227 2.4). */
	arpConflicts = 0;

	// Fates of packets that transports sent.
	/** Given to the link. */
	sent = 0;
	/** Sent to ourselves, and to be received with the next `pump`; or kept until then to be told unreachable. */
	looped = 0;
	/** No route to the destination. */
	noRoute = 0;
	/** Longer than the link's MTU. */
	tooLong = 0;
	/** Sent to ourselves, but the queue or the page pool was exhausted. */
	loopOverflow = 0;
	/** Put in the queue of a neighbor that is being resolved; counts under one of the following or `sent` later. */
	waited = 0;
	/** Pushed out of a neighbor's queue by later packets, or with the neighbor itself. */
	waitOverflow = 0;
	/** Still waiting when the neighbor failed to answer. */
	waitFailed = 0;

	// ARP on its own account.
	/** Requests sent: resolutions, probes and announcements. */
	arpRequestsSent = 0;
	/** Replies sent. */
	arpRepliesSent = 0;
	/** ARP packets not sent because no page was free. */
	arpNoPage = 0;
	/** Neighbors that did not answer. */
	neighborsFailed = 0;
	/** Neighbors forgotten to make room for others. */
	neighborsEvicted = 0;
}
