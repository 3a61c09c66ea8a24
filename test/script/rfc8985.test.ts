/** Loss recovery with SACK: RACK-TLP (RFC 8985), proportional rate reduction (RFC 6937), and RFC 6675's limits. */
import { script } from "../helpers/script.ts";

const newreno = { host: { tcp: { congestion: "newreno" as const } } };

script(
	"RFC 6928: the initial window is ten segments",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	no segment for 0.05
	< . 1:1(0) ack 10001
	> burst 10001:20001(10000)
	< . 1:1(0) ack 20001
`,
);

script(
	"RFC 8985 6.2: three segments SACKed beyond a hole: it is lost, without waiting",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:4001>
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 10001
	no segment for 1
`,
);

script(
	"RFC 8985 6.2, step 4: fewer SACKed segments, and no reordering seen: a quarter round trip of patience",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 5000
	> burst 1:5001(5000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:2001>
	+0.025 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 5001
	no segment for 1
`,
);

script(
	"RFC 8985 6.2, step 4: a DSACK that comes when nothing is out any more lets the window grow, once for all reports of a flight",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 5000
	> burst 1:5001(5000)
	+0.1 < . 1:1(0) ack 1 <sack 2001:3001>
	+0.025 > . 1:1001(1000) ack 1
	< . 1:1(0) ack 1 <sack 2001:4001>
	> . 1001:2001(1000) ack 1
	< . 1:1(0) ack 5001
	+0.1 < . 1:1(0) ack 5001 <sack 1:1001>
	< . 1:1(0) ack 5001 <sack 1001:2001>
	counter dsacksIn=2
	write 5000
	> burst 5001:10001(5000)
	+0.1 < . 1:1(0) ack 5001 <sack 6001:7001>
	+0.05 > . 5001:6001(1000) ack 1
	< . 1:1(0) ack 10001
	+0.1 < . 1:1(0) ack 10001 <sack 5001:6001>
	write 4000
	> burst 10001:14001(4000)
	+0.1 < . 1:1(0) ack 10001 <sack 11001:12001>
	+0.075 > . 10001:11001(1000) ack 1
	< . 1:1(0) ack 14001
`,
);

script(
	"RFC 8985 6.2: reordering within the window costs nothing",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 5000
	> burst 1:5001(5000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:2001>
	+0.01 < . 1:1(0) ack 2001
	+0.01 < . 1:1(0) ack 5001
	no segment for 1
	info retransmits=0
`,
);

script(
	"RFC 8985 6.2: several holes are found together and repaired in order",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:2001 3001:4001 5001:10001>
	> . 1:1001(1000) ack 1
	> . 2001:3001(1000) ack 1
	> . 4001:5001(1000) ack 1
	+0.1 < . 1:1(0) ack 10001
	no segment for 1
	counter sackBlocksIn=3
	counter fastRecoveries=1
`,
);

script(
	"RFC 8985 6.2, steps 2 and 5: after 40 minutes of silence nothing counts as sent before what came last",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	no segment for 2400
	write 5000
	> burst 1001:6001(5000)
	+0.14 < . 1:1(0) ack 2001
	no segment for 0.05
	< . 1:1(0) ack 6001
	info retransmits=0
`,
);

script(
	"RFC 8985 6.2, steps 2 and 5: nor when what follows the silence is the probe of a shut window",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	no segment for 2400
	write 5000
	+0.2~1 > . 1001:1002(1) ack 1
	+0.1 < . 1:1(0) ack 1001 win 65535
	> . 1001:1002(1) ack 1
	> burst 1002:6001(4999)
	+0.14 < . 1:1(0) ack 1002
	no segment for 0.05
	< . 1:1(0) ack 6001
	info retransmits=1
`,
);

script(
	"RFC 8985 6.2: a retransmission that is lost is found when something sent after it arrives",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:10001>
	> . 1:1001(1000) ack 1
	> burst 10001:14001(4000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:14001>
	+0~0.03 > . 1:1001(1000) ack 1
	> burst 14001:18001(4000)
`,
	newreno,
);

script(
	"RFC 8985 7.2: a silent tail is probed after two round trips, with the last segment",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.2 > P. 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	no segment for 1
	counter tailLossProbes=1
`,
);

script(
	"RFC 8985 7.2: a probe for a single segment in flight waits for the peer's delayed ACK",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.3~0.4 > P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	no segment for 1
`,
);

script(
	"RFC 8985 7.3: the probe carries new data if there is any",
	`
	established(mss 1000, sackOK, rtt 0.1, win 3000)
	write 4000
	> burst 1:3001(3000)
	+0.05 < . 1:1(0) ack 1 win 4000 <>
	> P. 3001:4001(1000) ack 1
	+0.15~0.25 > P. 3001:4001(1000) ack 1
	+0.1 < . 1:1(0) ack 4001
	no segment for 1
`,
);

script(
	"RFC 8985 7.3: one probe, then the time-out",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.2 > P. 2001:3001(1000) ack 1
	+0.3 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	no segment for 1
`,
);

script(
	"RFC 8985 7.4.2: a probe that repaired the last segment reduces the window once, as soon as later data shows it",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 9001
	+0.1~0.4 > P. 9001:10001(1000) ack 1
	+0.1 < . 1:1(0) ack 10001
	info ssthresh=Infinity
	write 10000
	> burst 10001:20001(10000)
	+0.1 < . 1:1(0) ack 20001
	info ssthresh=5000 cwnd<=6000
	no segment for 1
`,
	newreno,
);

script(
	"RFC 8985 7.4, RFC 2883: a probe of what had arrived anyway does not",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 9001
	+0.1~0.4 > P. 9001:10001(1000) ack 1
	< . 1:1(0) ack 10001
	+0.1 < . 1:1(0) ack 10001 <sack 9001:10001>
	counter dsacksIn=1
	info cwnd>=10000
	no segment for 1
	write 1000
	> P. 10001:11001(1000) ack 1
	+0.1 < . 1:1(0) ack 11001
	info ssthresh=Infinity
`,
	newreno,
);

script(
	"RFC 8985 7.4.2: nor if the peer, who does not know DSACK, answers both copies",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.3 > P. 1:1001(1000) ack 1
	+0.05 < . 1:1(0) ack 1001
	+0.1 < . 1:1(0) ack 1001
	write 1000
	> P. 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 2001
	info ssthresh=Infinity
`,
	newreno,
);

script(
	"RFC 8985 7.2: when it is known that a probe was needless, the next flight has one, too",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.3 > P. 1:1001(1000) ack 1
	< . 1:1(0) ack 1001
	+0.1 < . 1:1(0) ack 1001 <sack 1:1001>
	write 3000
	> burst 1001:4001(3000)
	+0.2 > P. 3001:4001(1000) ack 1
	< . 1:1(0) ack 4001
`,
);

script(
	"RFC 6298 3, RFC 2883: the report that a probe was needless answers the probe, which measures the path",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.3 > P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	+0.3 < . 1:1(0) ack 1001 <sack 1:1001>
	// R = 400 ms. RTTVAR = 3/4 * 50 + 1/4 * 300 = 112.5, SRTT = 7/8 * 100 + 1/8 * 400 = 137.5: 2 * SRTT + 200 = 475
	write 1000
	> P. 1001:2001(1000) ack 1
	+0.4 < . 1:1(0) ack 2001
	no segment for 1
	info retransmits=1
`,
);

script(
	"RFC 6937 3: during recovery what leaves follows what was delivered",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 40000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:4001>
	> . 1:1001(1000) ack 1
	// Proportional while more than ssthresh (5000) is in the pipe: one out for two delivered.
	+0.001 < . 1:1(0) ack 1 <sack 1001:5001>
	> . 10001:11001(1000) ack 1
	+0.001 < . 1:1(0) ack 1 <sack 1001:6001>
	+0.001 < . 1:1(0) ack 1 <sack 1001:7001>
	// From there on one for one: the pipe stays at ssthresh.
	+0.001 < . 1:1(0) ack 1 <sack 1001:8001>
	> . 11001:12001(1000) ack 1
	+0.001 < . 1:1(0) ack 1 <sack 1001:9001>
	> . 12001:13001(1000) ack 1
	+0.001 < . 1:1(0) ack 1 <sack 1001:10001>
	> . 13001:14001(1000) ack 1
`,
	newreno,
);

script(
	"RFC 6937 3: after recovery the window is ssthresh",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:10001>
	> . 1:1001(1000) ack 1
	info ssthresh=5000
	+0.1 < . 1:1(0) ack 10001
	info cwnd=5000 ssthresh=5000
`,
	newreno,
);

script(
	"RFC 6675 5: one window reduces once, however many segments it lost",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:4001>
	> . 1:1001(1000) ack 1
	info ssthresh=5000
	+0.001 < . 1:1(0) ack 1 <sack 1001:4001 5001:10001>
	> . 4001:5001(1000) ack 1
	info ssthresh=5000
	+0.1 < . 1:1(0) ack 10001
	info ssthresh=5000
`,
	newreno,
);

script(
	"RFC 2018 8: after two time-outs the peer's SACKs are not trusted any more",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:3001>
	+0.025 > . 1:1001(1000) ack 1
	+0.2~0.4 > . 1:1001(1000) ack 1
	+0.4~0.8 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	> . 1001:2001(1000) ack 1
	> P. 2001:3001(1000) ack 1
	< . 1:1(0) ack 3001
	no segment for 1
`,
);

script(
	"RFC 2018 5, RFC 6675: SACK blocks that make no sense are ignored",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.1 < . 1:1(0) ack 1 <sack 2001:1001>
	< . 1:1(0) ack 1 <sack 50001:60001>
	< . 1:1(0) ack 1 <sack 1001:90001>
	info state=ESTABLISHED
	+0.1 > P. 2001:3001(1000) ack 1
	< . 1:1(0) ack 3001
	no segment for 1
`,
);

script(
	"RFC 4015: a time-out that proves needless by timestamps is undone",
	`
	established(mss 1012, sackOK, TS, rtt 0.1)
	write 5000
	> burst 1:5001(5000)
	+0.2 > P. 4001:5001(1000) ack 1
	+0.3 > . 1:1001(1000) ack 1
	info cwnd=1000
	+0.01 < . 1:1(0) ack 1001 <TS ecr 100>      // for the first transmission, not the second
	info cwnd>=10000 lost=0
	< . 1:1(0) ack 5001 <TS ecr 100>
	no segment for 1
	info retransmits=2
	counter spuriousRecoveries=1
`,
);

script(
	"RFC 4015: a time-out that was right stays",
	`
	established(mss 1012, sackOK, TS, rtt 0.1)
	write 5000
	> burst 1:5001(5000)
	+0.2 > P. 4001:5001(1000) ack 1
	+0.3 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 <TS ecr 602>
	> . 1001:2001(1000) ack 1
	> . 2001:3001(1000) ack 1
	info cwnd=2000
	+0.1 < . 1:1(0) ack 5001
	no segment for 1
	counter spuriousRecoveries=0
`,
);

script(
	"RFC 6582, RFC 5681 3.2: data that was never lost is not sent again when ACKs are lost",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 8001
	+0.001 < . 1:1(0) ack 10001
	no segment for 5
	info retransmits=0
`,
);
