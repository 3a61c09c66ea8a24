// What BBR knows of one connection: 32 words (128 bytes), in a table of their own that exists only when BBR is chosen.
// Rates are bytes a second, times microseconds unless said otherwise; all wrap.
export default {
	name: "BbrState",
	file: "src/tcp/bbr-state.gen.ts",
	words: 32,
	comment: "BBR's model of the path of one connection (draft-ietf-ccwg-bbr).",
	fields: {
		delivered: "delivery rate: bytes delivered so far",
		deliveredAt: "delivery rate: when that was counted last",
		firstSentAt: "delivery rate: send time of the page that was delivered last",
		appLimited: "delivery rate: samples say nothing until `delivered` has passed this; 0: they do",

		mode: "STARTUP, DRAIN, PROBE_BW or PROBE_RTT",
		marks: "bits, see the M_ constants in bbr.ts",
		roundEnd: "a round trip is over when a page is delivered that was sent at this count of `delivered` or later",
		rounds: "round trips so far",
		bandwidth: "largest rate sample of the present window of rounds",
		lastBandwidth: "largest rate sample of the window before",
		bandwidthRound: "round in which the present window began",
		minRtt: "smallest round-trip time of the last ten seconds; 0 before the first",
		minRttTick: "when it was seen (ms)",
		probedRtt: "smallest round-trip time since the queue was last known to be empty",
		probedRttTick: "when it was seen (ms)",
		probeRttEnd: "PROBE_RTT: when it may end (ms); 0 while too much is in flight",
		priorCwnd: "window before recovery or PROBE_RTT",
		fullBandwidth: "STARTUP: rate from which growth is counted",
		fullRounds: "STARTUP: rounds without such growth",
		phase: "PROBE_BW: index into the cycle of gains",
		phaseAt: "PROBE_BW: when the phase began",

		extra: "most bytes acknowledged beyond the estimate, in the present five rounds",
		lastExtra: "and in those before",
		extraRound: "round in which the present ones began",
		epochAt: "when acknowledgments were last no faster than the estimate",
		epochAcked: "bytes acknowledged since",
	},
};
