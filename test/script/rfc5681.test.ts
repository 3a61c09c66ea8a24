/** Congestion control and recovery for peers without SACK: RFC 5681, RFC 6582 (NewReno), RFC 3042. */
import { script } from "../helpers/script.ts";

const newreno = { host: { tcp: { congestion: "newreno" as const } } };

script(
	"RFC 5681 3.1: slow start: each ACK opens the window by what it acknowledges",
	`
	established(mss 1000, rtt 0.1)
	write 60000
	> burst 1:10001(10000)
	info cwnd=10000
	+0.1 < . 1:1(0) ack 1001
	> burst 10001:12001(2000)
	info cwnd=11000
	+0.001 < . 1:1(0) ack 2001
	> burst 12001:14001(2000)
	info cwnd=12000
`,
	newreno,
);

script(
	"RFC 5681 3.1: congestion avoidance: one segment a round trip",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1
	< . 1:1(0) ack 1
	< . 1:1(0) ack 1
	> . 1:1001(1000) ack 1                  // three duplicates: recovery, with ssthresh 5000
	+0.1 < . 1:1(0) ack 10001               // and out of it, in slow start
	info cwnd=2000 ssthresh=5000
	write 50000
	> burst 10001:12001(2000)
	+0.1 < . 1:1(0) ack 11001
	> burst 12001:14001(2000)
	< . 1:1(0) ack 12001
	> burst 14001:16001(2000)
	< . 1:1(0) ack 13001
	> burst 16001:18001(2000)
	info cwnd=5000
	+0.1 < . 1:1(0) ack 14001               // congestion avoidance
	> . 18001:19001(1000) ack 1
	< . 1:1(0) ack 15001
	> . 19001:20001(1000) ack 1
	< . 1:1(0) ack 16001
	> . 20001:21001(1000) ack 1
	< . 1:1(0) ack 17001
	> . 21001:22001(1000) ack 1
	< . 1:1(0) ack 18001
	> burst 22001:24001(2000)
	info cwnd>=5900 cwnd<=6000
`,
	newreno,
);

script(
	"RFC 3042: the first two duplicate ACKs each let a new segment out",
	`
	established(mss 1000, rtt 0.1)
	write 60000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1
	> . 10001:11001(1000) ack 1
	+0.001 < . 1:1(0) ack 1
	> . 11001:12001(1000) ack 1
	info cwnd=10000
`,
	newreno,
);

script(
	"RFC 5681 3.2: the third duplicate ACK sends the first segment again",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1
	+0.001 < . 1:1(0) ack 1
	no segment for 0.001
	+0.001 < . 1:1(0) ack 1
	> . 1:1001(1000) ack 1
	info ssthresh=5000
	+0.001 < . 1:1(0) ack 1
	+0.001 < . 1:1(0) ack 1
	no segment for 0.01
	+0.1 < . 1:1(0) ack 10001
	info cwnd<=5000
	no segment for 1
	counter fastRecoveries=1
`,
	newreno,
);

script(
	"RFC 5681 3.2, step 4: duplicate ACKs let out no more than was out, however many somebody makes",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	< . 1:1(0) ack 1
	& < . 1:1(0) ack 1
	& < . 1:1(0) ack 1
	> . 1:1001(1000) ack 1
	${"& < . 1:1(0) ack 1\n\t".repeat(60).slice(2)}write 50000
	> burst 10001:15001(5000)
	info cwnd=15000
	no segment for 0.1
`,
	newreno,
);

script(
	"RFC 5681 2: what has data, or a new window, is no duplicate ACK",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:11(10) ack 1
	< . 11:21(10) ack 1
	< . 21:31(10) ack 1
	< . 31:41(10) ack 1
	+0~0.05 > . 10001:10001(0) ack 41
	event readable
	read 40
	< . 41:41(0) ack 1 win 60000
	< . 41:41(0) ack 1 win 61000
	< . 41:41(0) ack 1 win 62000
	< . 41:41(0) ack 1 win 63000
	no segment for 0.05
	info retransmits=0
	< . 41:41(0) ack 10001
`,
	newreno,
);

script(
	"RFC 6582 3.2: a partial ACK sends the next hole, and recovery goes on",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1
	< . 1:1(0) ack 1
	< . 1:1(0) ack 1
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	> . 3001:4001(1000) ack 1
	+0.1 < . 1:1(0) ack 6001
	> . 6001:7001(1000) ack 1
	+0.1 < . 1:1(0) ack 10001
	info ssthresh=5000
	no segment for 5
`,
	newreno,
);

script(
	"RFC 6582 3.2, step 2: duplicates of an ACK that does not cover the last recovery start no new one",
	`
	established(mss 1000, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.3 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	< . 1:1(0) ack 3001
	< . 1:1(0) ack 3001
	< . 1:1(0) ack 3001
	no segment for 1
	info ssthresh>=2000
`,
	newreno,
);

script(
	"RFC 5681 4.1: after an idle time of more than an RTO the window is the initial one again",
	`
	established(mss 1000, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 5001
	> burst 10001:20001(10000)
	+0.1 < . 1:1(0) ack 20001
	info cwnd>10000
	+10 write 30000
	> burst 20001:30001(10000)
	info cwnd=10000
	no segment for 0.05
	+0.01 < . 1:1(0) ack 30001
	> burst 30001:50001(20000)
	< . 1:1(0) ack 50001
`,
	newreno,
);

script(
	"RFC 5681 4.1: also if the idle time is the one after which a clock of 32 bits shows the same microsecond",
	`
	established(mss 1000, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 5001
	> burst 10001:20001(10000)
	+0.1 < . 1:1(0) ack 20001
	info cwnd>10000
	no segment for 4294.9
	write 30000
	> burst 20001:30001(10000)
	< . 1:1(0) ack 30001
	> burst 30001:50001(20000)
	< . 1:1(0) ack 50001
`,
	newreno,
);

script(
	"RFC 5681 4.1: of what a shut window dropped no more goes again at once than the initial window",
	`
	established(mss 1000, rtt 0.1)
	write 35000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 5001
	> burst 10001:20001(10000)
	+0.1 < . 1:1(0) ack 20001
	> burst 20001:35001(15000)
	+0.01 < . 1:1(0) ack 20001 win 0
	+0.1~0.4 > . 20001:20002(1) ack 1
	+0.01 < . 1:1(0) ack 20001
	> . 20002:21001(999) ack 1
	> burst 21001:30001(9000)
	+0.1 < . 1:1(0) ack 30001
	> burst 30001:35001(5000)
	< . 1:1(0) ack 35001
`,
	newreno,
);

for (const minutes of [10, 40])
	script(
		`RFC 9438 4.2, 5.8: silence is no time in which the window of CUBIC would have grown (${minutes} minutes of it)`,
		`
		established(mss 1000, sackOK, rtt 0.1)
		write 10000
		> burst 1:10001(10000)
		+0.1 < . 1:1(0) ack 1 <sack 1001:10001>
		> . 1:1001(1000) ack 1
		+0.1 < . 1:1(0) ack 10001
		write 14000
		> burst 10001:17001(7000)
		+0.1 < . 1:1(0) ack 17001
		info cwnd<8000
		> burst 17001:24001(7000)
		+0.1 < . 1:1(0) ack 24001
		info cwnd<8500
		no segment for ${60 * minutes}
		write 16000
		> burst 24001:32001(8000)
		+0.1 < . 1:1(0) ack 32001
		// A fraction of a segment more; half a window if the silence counted.
		> burst 32001:40001(8000)
		+0.1 < . 1:1(0) ack 40001
		info cwnd<9500
	`,
	);

/** A second in which twenty short segments leave, and the next of them always before the last is acknowledged. */
const trickle = (from: number): string =>
	Array.from(
		{ length: 20 },
		(_, i) => `
		+0.05 write 10
		> P. ${from + 10 * i}:${from + 10 * i + 10}(10) ack 1
		< . 1:1(0) ack ${from + 10 * i}
	`,
	).join("");

script(
	"RFC 9438 4.2, 5.8: nor is time in which something is always out, but not a window",
	`
	established(mss 1000, sackOK, rtt 0.05)
	nodelay on
	write 10000
	> burst 1:10001(10000)
	+0.05 < . 1:1(0) ack 1 <sack 1001:10001>
	> . 1:1001(1000) ack 1
	+0.05 < . 1:1(0) ack 10001
	write 14000
	> burst 10001:17001(7000)
	+0.05 < . 1:1(0) ack 17001
	> burst 17001:24001(7000)
	+0.05 < . 1:1(0) ack 24001
	info cwnd<8500
	${Array.from({ length: 20 }, (_, i) => trickle(24001 + 200 * i)).join("")}
	< . 1:1(0) ack 28001
	info cwnd<8500
	write 16000
	> burst 28001:36001(8000)
	+0.05 < . 1:1(0) ack 36001
	// A fraction of a segment more; half a window if all that time counted.
	> burst 36001:44001(8000)
	+0.05 < . 1:1(0) ack 44001
	info cwnd<9500
`,
);

script(
	"RFC 9438: CUBIC reduces to seven tenths",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 1 <sack 1001:10001>
	> . 1:1001(1000) ack 1
	info ssthresh=7000
	+0.1 < . 1:1(0) ack 10001
	info cwnd=7000
`,
);

script(
	"RFC 2861, RFC 7661: a window that is not used does not grow",
	`
	established(mss 1000, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	write 1000
	> P. 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 2001
	write 1000
	> P. 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	info cwnd=10000
`,
	newreno,
);

script(
	"RFC 5681 4.2: each segment ahead of a hole has a duplicate ACK of its own, for a peer without SACK counts them",
	`
	established(mss 1000)
	< . 1001:2001(1000) ack 1
	& < . 2001:3001(1000) ack 1
	& < . 3001:4001(1000) ack 1
	> . 1:1(0) ack 1
	> . 1:1(0) ack 1
	> . 1:1(0) ack 1
	< . 1:1001(1000) ack 1
	& < . 4001:5001(1000) ack 1
	& < . 6001:7001(1000) ack 1
	& < . 7001:8001(1000) ack 1
	> . 1:1(0) ack 5001                     // what the hole's filling acknowledges is no duplicate
	> . 1:1(0) ack 5001
	> . 1:1(0) ack 5001
	event readable
	read 5000
`,
);

script(
	"RFC 2018 4: a peer with SACK is told of all that came ahead of a hole at once",
	`
	established(mss 1000, sackOK)
	< . 1001:2001(1000) ack 1
	& < . 2001:3001(1000) ack 1
	& < . 3001:4001(1000) ack 1
	> . 1:1(0) ack 1 <sack 1001:4001>
`,
);
