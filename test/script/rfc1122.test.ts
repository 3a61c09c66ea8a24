/** Delayed ACK, silly windows, Nagle, zero windows, keep-alive: RFC 1122 4.2.3, RFC 9293 3.7.4, 3.8.4, 3.8.6. */
import { script } from "../helpers/script.ts";

const small = { host: { tcp: { receiveBuffer: 8000, maxReceiveBuffer: 8000 } } };

script(
	"RFC 9293 3.8.6.3: an ACK waits less than half a second for company",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	no segment for 0.03
	+0~0.02 > . 1:1(0) ack 101
	event readable
	read 100
	counter delayedAcks=1
`,
);

script(
	"RFC 9293 3.8.6.3: every second full-sized segment is acknowledged at once",
	`
	established(mss 1460)
	${Array.from({ length: 20 }, (_, i) => `< . ${1 + 10 * i}:${11 + 10 * i}(10) ack 1`).join("\n\t")}
	event readable
	read 200
	write 10
	> P. 1:11(10) ack 201
	< . 201:1661(1460) ack 11
	& < . 1661:3121(1460) ack 11
	> . 11:11(0) ack 3121
	< . 3121:4581(1460) ack 11
	no segment for 0.02
	+0~0.03 > . 11:11(0) ack 4581
	read 4380
`,
);

script(
	"RFC 9293 3.8.6.3: what a peer sends that gets no answers is acknowledged in its turn, after the first; it may wait for that (Nagle)",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	no segment for 0.03
	+0~0.02 > . 1:1(0) ack 101
	< P. 101:201(100) ack 1
	> . 1:1(0) ack 201
	+0.2 < P. 201:301(100) ack 1
	> . 1:1(0) ack 301
	event readable
	read 300
	write 10
	> P. 1:11(10) ack 301
	+0.1 < P. 301:401(100) ack 11
	no segment for 0.03
	+0~0.02 > . 11:11(0) ack 401
	read 100
`,
);

script(
	"RFC 5681 4.2: while a connection is young every full-sized segment is acknowledged, so that the peer's slow start is not held up",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	> . 1:1(0) ack 1461
	< . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921
	event readable
	read 2920
`,
);

script(
	"RFC 9293 3.8.6.3: data that answers takes the ACK along",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	+0.01 read 100
	write 50
	> P. 1:51(50) ack 101
	< . 101:101(0) ack 51
	no segment for 1
	event readable
`,
);

script(
	"RFC 9293 3.7.4 (Nagle): a short segment waits while anything is unacknowledged",
	`
	established(mss 1000)
	write 10
	> P. 1:11(10) ack 1
	write 10
	write 20
	no segment for 0.05
	+0.05 < . 1:1(0) ack 11
	> P. 11:41(30) ack 1
	< . 1:1(0) ack 41
`,
);

script(
	"RFC 9293 3.7.4 (Nagle): a full segment does not wait",
	`
	established(mss 1000)
	write 10
	> P. 1:11(10) ack 1
	write 1500
	> . 11:1011(1000) ack 1
	no segment for 0.05
	< . 1:1(0) ack 1011
	> P. 1011:1511(500) ack 1
	< . 1:1(0) ack 1511
`,
);

script(
	"RFC 9293 3.7.4: without Nagle a short segment goes at once",
	`
	established(mss 1000)
	nodelay on
	write 10
	> P. 1:11(10) ack 1
	write 10
	> P. 11:21(10) ack 1
	< . 1:1(0) ack 21
`,
);

script(
	"RFC 9293 3.7.4: turning Nagle off lets go what waits",
	`
	established(mss 1000)
	write 10
	> P. 1:11(10) ack 1
	write 10
	no segment for 0.05
	nodelay on
	> P. 11:21(10) ack 1
	< . 1:1(0) ack 21
`,
);

script(
	"RFC 9293 3.7.4 (Nagle): a FIN takes the last short segment along",
	`
	established(mss 1000)
	write 10
	> P. 1:11(10) ack 1
	write 10
	no segment for 0.05
	shutdown
	> FP. 11:21(10) ack 1
	< . 1:1(0) ack 22
`,
);

script(
	"design: what is written in one turn shares segments",
	`
	established(mss 1000)
	write 10
	& write 20
	& write 30
	& shutdown
	> FP. 1:61(60) ack 1
	< . 1:1(0) ack 62
`,
);

script(
	"RFC 9293 3.8.6.2.2: the receiver's window moves by a segment or half the buffer, not by crumbs",
	`
	established(mss 1460)
	info state=ESTABLISHED
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 win 5080
	< . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 win 2160
	event readable
	read 100
	no segment for 0.2
	read 100
	no segment for 0.2
	< . 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	+0~0.05 > . 1:1(0) ack 8001 win 0
	read 500
	no segment for 0.2
	read 7300
	> . 1:1(0) ack 8001 win 8000
`,
	small,
);

script(
	"RFC 9293 3.8.6: a window that opens for a segment only, for want of pages, opens further when there are pages again, before the peer probes",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 win 5080
	< . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 win 2160
	scarce
	< . 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	+0~0.05 > . 1:1(0) ack 8001 win 0
	event readable
	read 8000
	+0~0.02 > . 1:1(0) ack 8001 win 1460
	no segment for 0.5
	plenty
	+0~0.05 > . 1:1(0) ack 8001 win 8000
`,
	// So much memory that there are pages between those kept for what comes in and those that windows need.
	{ host: { ...small.host, memory: 32 << 20 } },
);

script(
	"RFC 9293 3.8.6: a window that was held to a segment for want of pages opens while programs that write hold all that they may",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 win 5080
	< . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 win 2160
	scarce
	< . 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	+0~0.05 > . 1:1(0) ack 8001 win 0
	event readable
	read 8000
	+0~0.02 > . 1:1(0) ack 8001 win 1460
	no segment for 0.5
	enough
	+0~0.05 > . 1:1(0) ack 8001 win 8000
`,
	// So much memory that there are pages between those kept for what comes in and those that windows need.
	{ host: { ...small.host, memory: 32 << 20 } },
);

script(
	"RFC 9293 3.8.6: a window is not told of with the very page that makes pages scarce again",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 win 5080
	< . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 win 2160
	scarce
	< . 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	+0~0.05 > . 1:1(0) ack 8001 win 0
	event readable
	read 8000
	+0~0.02 > . 1:1(0) ack 8001 win 1460
	no segment for 0.5
	barely
	no segment for 0.5
	enough
	+0~0.05 > . 1:1(0) ack 8001 win 8000
`,
	// So much memory that there are pages between those kept for what comes in and those that windows need.
	{ host: { ...small.host, memory: 32 << 20 } },
);

script(
	"RFC 9293 3.10.7.4, seventh: what finds no page is answered by a shut window, which opens as soon as there are pages",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	+0~0.05 > . 1:1(0) ack 101
	event readable
	read 100
	none
	+0.1 < P. 101:201(100) ack 1
	> . 1:1(0) ack 101 win 0
	+0.2 < P. 101:201(100) ack 1
	> . 1:1(0) ack 101 win 0
	readable 0
	plenty
	+0~0.05 > . 1:1(0) ack 101 win 65535
	+0.1 < P. 101:201(100) ack 1
	+0~0.05 > . 1:1(0) ack 201
	event readable
	read 100
`,
);

script(
	"RFC 9293 3.8.6: what was promised before a page could not be had is taken as soon as one can, and the rest of the window is told again",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 win 5080
	none
	< . 2921:4381(1460) ack 1
	> . 1:1(0) ack 2921 win 0
	barely
	< . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 win 2160
	event readable
	read 5840
	> . 1:1(0) ack 5841 win 8000
`,
	// So much memory that there are pages between those kept for what comes in and those that windows need.
	{ host: { ...small.host, memory: 32 << 20 } },
);

script(
	"RFC 9293 3.8.6: a window that shrank to nothing with data out: they are sent again as soon as it opens",
	`
	established(mss 1460, sackOK)
	write 4380
	> burst 1:4381(4380)
	< . 1:1(0) ack 1 win 0
	+0~0.1 > P. 2921:4381(1460) ack 1
	< . 1:1(0) ack 1 win 0
	+0.2~2 > . 1:2(1) ack 1
	< . 1:1(0) ack 1 win 0
	+0.2 < . 1:1(0) ack 1 win 65535
	> . 1:2(1) ack 1
	> . 2:1461(1459) ack 1
	> burst 1461:4381(2920)
	< . 1:1(0) ack 4381
`,
);

script(
	"RFC 9293 3.8.6: what comes to a window after it has opened is not sent again",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 5001
	> burst 10001:20001(10000)
	+0.01 < . 1:1(0) ack 5001 win 0
	+0.02 < . 1:1(0) ack 5001
	> . 5001:6001(1000) ack 1
	+0.07 < . 1:1(0) ack 5001 <sack 10001:15001>
	> . 6001:7001(1000) ack 1
	< . 1:1(0) ack 5001 <sack 10001:20001>
	> burst 7001:10001(3000)
	+0.1 < . 1:1(0) ack 20001
`,
);

script(
	"RFC 9293 3.8.6.1: nor is a probe that meets the window's opening on its way",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 20000
	> burst 1:10001(10000)
	+0.1 < . 1:1(0) ack 10001 win 0
	+0.2~1 > . 10001:10002(1) ack 1
	+0.04 < . 1:1(0) ack 10001
	> . 10002:11001(999) ack 1
	> burst 11001:20001(9000)
	+0.06 < . 1:1(0) ack 10002
	+0.05 < . 1:1(0) ack 20001
	info retransmits=0
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: the window of an ACK that acknowledges more counts, though it comes from before what came last",
	`
	established(mss 1000)
	write 3000
	> burst 1:3001(3000)
	+0.1 < P. 101:201(100) ack 1 win 0
	> . 1:1(0) ack 1
	write 1000
	< . 1:1(0) ack 1001
	> . 1001:2001(1000) ack 1
	> burst 2001:4001(2000)
	< . 1:1(0) ack 4001
`,
);

script(
	"RFC 9293 3.8.6, RFC 7323 2.4: crumbs that nobody reads use the window up, whatever the scale; a shut one takes no more",
	`
	established(mss 1460, wscale 7)
	< P. 1:101(100) ack 1
	+0~0.05 > . 1:1(0) ack 101 win 63
	< P. 101:201(100) ack 1
	+0~0.05 > . 1:1(0) ack 201 win 62
	< . 201:1661(1460) ack 1
	& < . 1661:3121(1460) ack 1
	& < . 3121:4581(1460) ack 1
	& < . 4581:6041(1460) ack 1
	& < . 6041:7501(1460) ack 1
	> . 1:1(0) ack 7501 win 5
	< P. 7501:8101(600) ack 1
	+0~0.05 > . 1:1(0) ack 8101 win 0
	< P. 8101:8141(40) ack 1
	+0~0.05 > . 1:1(0) ack 8141 win 0
	< P. 8141:8241(100) ack 1
	+0~0.05 > . 1:1(0) ack 8193 win 0
	readable 8192
	event readable
	read 8192
	> . 1:1(0) ack 8193 win 128
`,
	{ host: { tcp: { receiveBuffer: 8192 } } },
);

script(
	"RFC 9293 3.8.6: a window that has been shut opens again when the program reads",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	& < . 2921:4381(1460) ack 1
	& < . 4381:5841(1460) ack 1
	& < . 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	> . 1:1(0) ack 8001 win 0
	event readable
	no segment for 10
	read 8000
	> . 1:1(0) ack 8001 win 8000
`,
	small,
);

script(
	"RFC 9293 3.8.6: who had its window shut acknowledges from before what was taken of what it had out, and is heard",
	`
	established(mss 1460)
	write 1460
	> P. 1:1461(1460) ack 1
	< . 1:1461(1460) ack 1
	& < . 1461:2921(1460) ack 1
	> . 1461:1461(0) ack 2921
	event readable
	read 2920
	< . 1:1(0) ack 1461
	> . 1461:1461(0) ack 2921
	+10 < . 1:1(0) ack 1460
	> . 1461:1461(0) ack 2921
	+10 write 100
	> P. 1461:1561(100) ack 2921
	< . 2921:2921(0) ack 1561
`,
);

script(
	"RFC 9293 3.8.6.1: a probe into a shut window is answered, and its byte not taken",
	`
	established(mss 1460)
	< P. 1:1461(1460) ack 1
	& < P. 1461:2921(1460) ack 1
	& < P. 2921:4381(1460) ack 1
	& < P. 4381:5841(1460) ack 1
	& < P. 5841:7301(1460) ack 1
	& < P. 7301:8001(700) ack 1
	> . 1:1(0) ack 8001 win 0
	event readable
	+1 < . 8001:8002(1) ack 1
	> . 1:1(0) ack 8001 win 0
	readable 8000
	read 8000
	> . 1:1(0) ack 8001 win 8000
	+1 < . 8001:8002(1) ack 1
	+0~0.05 > . 1:1(0) ack 8002
	read 1
`,
	small,
);

script(
	"RFC 9293 3.8.6.1: a shut window is probed, with growing intervals, and never given up while it is answered",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 3000
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.2~1 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	+0.4~2 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	+0.8~4 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	+1.6~8 > . 1001:1002(1) ack 1
	+0.1 < . 1:1(0) ack 1001 win 3000
	> burst 1001:3001(2000)
	< . 1:1(0) ack 3001
	no segment for 100
`,
);

script(
	"RFC 9293 3.8.6.1: a probe's byte that is taken is not sent again",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 3000
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.2~1 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1002 win 3000
	> burst 1002:3001(1999)
	< . 1:1(0) ack 3001
`,
);

script(
	"RFC 9293 3.8.6.1: a probe is beyond the window, and the peer takes no ACK from there: ACKs come from where the window ends",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 1100
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.2~1 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	< P. 1:101(100) ack 1001 win 0
	+0~0.05 > . 1001:1001(0) ack 101
	abort
	> R. 1001:1001(0) ack 101
`,
);

script(
	"RFC 9293 3.8.6.1: a probe that was taken, and an ACK from before it: its sender cannot know, and is heard",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 1100
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.2~1 > . 1001:1002(1) ack 1
	< P. 1:2(1) ack 1001 win 0
	+0~0.05 > . 1001:1001(0) ack 2
	event readable
	+0.01 < . 1:1(0) ack 1002 win 2000
	> P. 1002:1101(99) ack 2
	< . 2:2(0) ack 1101
`,
);

script(
	"RFC 7323 2.4: a window that seems to shrink by less than its unit: ACKs come from where they did",
	`
	established(mss 1000, wscale 7, win 1024)
	nodelay on
	write 1024
	> . 1:1001(1000) ack 1
	> P. 1001:1025(24) ack 1
	< . 1:1(0) ack 1001 win 0
	< P. 1:2(1) ack 1001 win 0
	+0~0.05 > . 1025:1025(0) ack 2
	< . 2:2(0) ack 1025
`,
);

script(
	"RFC 9293 3.10.7.4: an ACK from where the window ends is taken: its sender has filled the window",
	`
	established(mss 1460)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.05 < . 8001:8001(0) ack 1001
	no segment for 10
`,
	small,
);

script(
	"RFC 9293 3.8.6.1: a window that opens without a probe is used at once",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 3000
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.1 < . 1:1(0) ack 1001 win 2000
	> burst 1001:3001(2000)
	< . 1:1(0) ack 3001
`,
);

script(
	"RFC 9293 3.8.6.1: a window that shut before a quiet time is probed before the connection is given up",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	no segment for 10
	write 100
	+0.2~1 > . 1001:1002(1) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	+0.4~2 > . 1001:1002(1) ack 1
	+0.1 < . 1:1(0) ack 1001 win 1000
	> . 1001:1002(1) ack 1
	+0.1 < . 1:1(0) ack 1002 win 1000
	> P. 1002:1101(99) ack 1
	+0.1 < . 1:1(0) ack 1101
`,
);

script(
	"RFC 9293 3.8.6.2.1: the sender waits rather than fill a crumb of window",
	`
	established(mss 1000, rtt 0.1, win 4000)
	write 6000
	> burst 1:4001(4000)
	+0.1 < . 1:1(0) ack 4001 win 300
	no segment for 0.1
	+0.05 < . 1:1(0) ack 4001 win 4000
	> burst 4001:6001(2000)
	< . 1:1(0) ack 6001
`,
);

script(
	"RFC 9293 3.8.6.2.1: a receiver with a tiny window is filled at half of it",
	`
	established(mss 1000, rtt 0.1, win 500)
	write 1000
	> . 1:501(500) ack 1
	+0.1 < . 1:1(0) ack 501 win 500
	> P. 501:1001(500) ack 1
	+0.1 < . 1:1(0) ack 1001 win 500
	no segment for 1
`,
);

script(
	"RFC 9293 3.8.6: a window that shrinks is not overrun, and what is beyond it not given up",
	`
	established(mss 1000, rtt 0.1, win 4000)
	write 6000
	> burst 1:4001(4000)
	+0.05 < . 1:1(0) ack 1001 win 1000
	no segment for 0.01
	+0.05 < . 1:1(0) ack 4001 win 2000
	> burst 4001:6001(2000)
	< . 1:1(0) ack 6001
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: an older ACK does not bring an older window back",
	`
	established(mss 1000, rtt 0.1, win 2000)
	write 6000
	> burst 1:2001(2000)
	+0.1 < . 1:1(0) ack 2001 win 1000
	> . 2001:3001(1000) ack 1
	< . 1:1(0) ack 1001 win 9000
	no segment for 0.05
	+0.05 < . 1:1(0) ack 3001 win 9000
	> burst 3001:6001(3000)
	< . 1:1(0) ack 6001
`,
);

script(
	"RFC 9293 3.8.4: keep-alive is off by default",
	`
	established(mss 1460)
	no segment for 100000
`,
);

script(
	"RFC 9293 3.8.4: keep-alive probes an idle connection, and an answer quiets it",
	`
	established(mss 1460)
	keepalive on 10
	+10 > . 0:0(0) ack 1
	< . 1:1(0) ack 1
	+10 > . 0:0(0) ack 1
	+5 < P. 1:11(10) ack 1
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	+9.96~10 > . 0:0(0) ack 11
	< . 11:11(0) ack 1
	keepalive off
	no segment for 1000
`,
);

script(
	"RFC 9293 3.8.4: after nine probes without an answer the connection is dead",
	`
	established(mss 1460)
	keepalive on 10
	+10 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	no segment for 74.9
	+0.2 event closed ETIMEDOUT
	gone
`,
);

script(
	"RFC 9293 3.8.4: the program says how often it is probed, and how often it may remain silent; without that it is the host's again",
	`
	established(mss 1460)
	keepalive on 10 2 3
	+10 > . 0:0(0) ack 1
	+2 > . 0:0(0) ack 1
	< . 1:1(0) ack 1
	+10 > . 0:0(0) ack 1
	keepalive on 10
	+10 > . 0:0(0) ack 1
	+75 > . 0:0(0) ack 1
	< . 1:1(0) ack 1
	keepalive on 10 2 3
	+10 > . 0:0(0) ack 1
	+2 > . 0:0(0) ack 1
	+2 > . 0:0(0) ack 1
	no segment for 1.9
	+0.2 event closed ETIMEDOUT
	gone
`,
);

script(
	"RFC 9293 3.8.4: a peer's keep-alive probe is answered",
	`
	established(mss 1460)
	+100 < . 0:0(0) ack 1
	> . 1:1(0) ack 1
	+100 < . 0:1(1) ack 1
	> . 1:1(0) ack 1
	readable 0
`,
);

script(
	"RFC 9293 3.8.5: the urgent pointer does not disturb the stream",
	`
	established(mss 1460)
	< PU. 1:11(10) ack 1 urg 5
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
`,
);

script(
	"RFC 9293 3.8.4 MUST-26: no keep-alive probe while data is outstanding",
	`
	established(mss 1460)
	keepalive on 1
	write 500
	> P. 1:501(500) ack 1
	+0.2~0.25 > P. 1:501(500) ack 1
	+0.4~0.45 > P. 1:501(500) ack 1
	+0.8~0.85 > P. 1:501(500) ack 1
	< . 1:1(0) ack 501
	keepalive off
	no segment for 10
`,
);

script(
	"RFC 9293 3.8.4, RFC 5961 7: probes of many connections are all answered, those of one connection as often as the limit allows",
	`
	established(mss 1460)
	b established(mss 1460)
	c established(mss 1460)
	+10 < . 0:0(0) ack 1
	& b < . 0:0(0) ack 1
	& c < . 0:0(0) ack 1
	> . 1:1(0) ack 1
	b > . 1:1(0) ack 1
	c > . 1:1(0) ack 1
	< . 0:0(0) ack 1
	> . 1:1(0) ack 1
	< . 0:0(0) ack 1
	& < . 0:0(0) ack 1
	& < . 0:0(0) ack 1
	& < . 0:0(0) ack 1
	no segment for 0.4
	counter challengeAcksLimited=4
	+0.1 < . 0:0(0) ack 1
	> . 1:1(0) ack 1
	+0.5 < . 0:0(0) ack 1
	> . 1:1(0) ack 1
`,
	{ host: { tcp: { challengeAcks: 1 } } },
);

script(
	"RFC 9293 3.8.6.1, RFC 6429: a shut window that is answered ends a connection that the program has given up",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 3000
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	close
	+0.2~1 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	+0.4~2 > . 1001:1002(1) ack 1
	< . 1:1(0) ack 1001 win 0
	+0.8~4 > R. 1001:1001(0) ack 1
	gone
	counter timedOut=1
`,
	{ host: { tcp: { retries: 2 } } },
);

script(
	"RFC 9293 3.8.6.1: a peer that is gone is given up behind a shut window also after 25 days of silence",
	`
	established(mss 1000, rtt 0.1, win 1000)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001 win 0
	no segment for 2160000
	write 100
	+0.2~1 > . 1001:1002(1) ack 1
	+0.4~2 > . 1001:1002(1) ack 1
	+4 event closed ETIMEDOUT
	gone
`,
	{ host: { tcp: { retries: 2 } } },
);

script(
	"RFC 9293 3.8.6.1: a probe takes no page of those that are kept for what comes in: without another one it is empty",
	`
	established(mss 1460)
	< . 1:1(0) ack 1 win 0
	write 100
	scarce
	+0~2 > . 0:0(0) ack 1
	< . 1:1(0) ack 1 win 0
	plenty
	+0~3 > . 1:2(1) ack 1
	< . 1:1(0) ack 2 win 0
	< . 1:1(0) ack 2 win 10000
	> P. 2:101(99) ack 1
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 9293 3.8.6.2.1: a window that opens for want of pages for a segment only takes a whole one, in units of the scale",
	`
	established(mss 1460, wscale 7, win 512)
	< . 1:1461(1460) ack 1
	> . 1:1(0) ack 1461 <*>
	< . 1461:2921(1460) ack 1
	> . 1:1(0) ack 2921 <*>
	< . 2921:4381(1460) ack 1
	> . 1:1(0) ack 4381 <*>
	< . 4381:5841(1460) ack 1
	> . 1:1(0) ack 5841 <*>
	< . 5841:7301(1460) ack 1
	> . 1:1(0) ack 7301 <*>
	< P. 7301:8193(892) ack 1
	+0~0.1 > . 1:1(0) ack 8193 win 0
	event readable
	scarce
	read 8192
	+0~0.1 > . 1:1(0) ack 8193 win 12
	plenty
	+0~0.1 > . 1:1(0) ack 8193 win 128
`,
	{ host: { memory: 32 << 20, tcp: { receiveBuffer: 8192, maxReceiveBuffer: 4_194_304 } } },
);

script(
	"RFC 9293 3.8.6: into a window that shrank below a segment goes again what fits, and the connection stays",
	`
	established(mss 1000, win 5000, rtt 0.1)
	write 3000
	> . 1:1001(1000) ack 1
	> . 1001:2001(1000) ack 1
	> P. 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 1 win 500
	+0.2~0.3 > . 1:501(500) ack 1
	+0.1 < . 1:1(0) ack 501 win 0
	+0.1~2 > . 501:502(1) ack 1
	+0.1 < . 1:1(0) ack 501 win 0
	+0.1 < . 1:1(0) ack 501 win 5000
	> . 501:502(1) ack 1
	> . 502:1001(499) ack 1
	> . 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 2001 win 5000
	> P. 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001 win 5000
`,
);

script(
	"RFC 9293 3.10.7.4: what lies beyond the window is cut off, and counted",
	`
	established(mss 1460)
	< . 1:1461(1460) ack 1
	> . 1:1(0) ack 1461 win 540
	event readable
	& < P. 1461:2461(1000) ack 1
	> . 1:1(0) ack 2001 win 0
	counter beyondWindow=1
	read 2000
	> . 1:1(0) ack 2001 win 2000
`,
	{ host: { tcp: { receiveBuffer: 2000, maxReceiveBuffer: 2000 } } },
);
