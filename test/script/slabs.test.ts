/**
 * Long writes over a link that takes slices: what leaves as one frame, what is cut off, and what is sent again of it.
 *
 * The script sees each frame as one segment, however long. The MSS is 1000, so a frame holds 65 segments.
 */
import { script } from "../helpers/script.ts";

const long = { long: true, host: { tcp: { congestion: "newreno" as const, initialWindow: 100 } } };
const SACK = "established(mss 1000, sackOK, wscale 7, rtt 0.1)";
const NO_SACK = "established(mss 1000, wscale 7, rtt 0.1)";

script(
	"a long write leaves as one frame, and more than a frame as several",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 60001
	write 80000
	> . 60001:125001(65000) ack 1
	> P. 125001:140001(15000) ack 1
	+0.1 < . 1:1(0) ack 140001
	no segment for 1
	info retransmits=0
	counter slabsOpened=3
	counter noSlab=0
`,
	long,
);

script(
	"RFC 9293 3.7.4: of a long write the short end waits until all before it is acknowledged",
	`
	${SACK}
	write 60500
	> . 1:60001(60000) ack 1
	+0.05 < . 1:1(0) ack 30001
	no segment for 0.01
	+0.05 < . 1:1(0) ack 60001
	> P. 60001:60501(500) ack 1
	+0.1 < . 1:1(0) ack 60501
	no segment for 1
`,
	long,
);

script(
	"RFC 9293 3.7.4: with the next write the short end becomes whole segments",
	`
	${SACK}
	write 60500
	> . 1:60001(60000) ack 1
	write 1700
	> . 60001:62001(2000) ack 1
	+0.1 < . 1:1(0) ack 62001
	> P. 62001:62201(200) ack 1
	+0.1 < . 1:1(0) ack 62201
	no segment for 1
`,
	long,
);

script(
	"RFC 9293 3.7.4: without Nagle's algorithm the short end leaves in the frame",
	`
	${SACK}
	nodelay on
	write 60500
	> P. 1:60501(60500) ack 1
	+0.1 < . 1:1(0) ack 60501
	no segment for 1
`,
	long,
);

script(
	"RFC 2018: one segment lost in the middle of a frame: it alone is sent again",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 9001 <sack 10001:60001>
	> . 9001:10001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
	info retransmits=1
`,
	long,
);

script(
	"RFC 2018: holes of one and of several segments in a frame are repaired in order, by segments",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 1 <sack 1001:9001 14001:30001 31001:60001>
	> . 1:1001(1000) ack 1
	> . 9001:10001(1000) ack 1
	> . 10001:11001(1000) ack 1
	> . 11001:12001(1000) ack 1
	> . 12001:13001(1000) ack 1
	> . 13001:14001(1000) ack 1
	> . 30001:31001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
	info retransmits=7
`,
	long,
);

script(
	"SACK blocks that cut at odd bytes: only whole segments count as received",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 1 <sack 1501:5501>
	> . 1:1001(1000) ack 1
	+0.01 < . 1:1(0) ack 1 <sack 1501:9501>
	> . 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
	info retransmits=2
`,
	long,
);

script(
	"acknowledgments in the middle of segments, and a hole behind them",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 1234
	+0.001 < . 1:1(0) ack 4321 <sack 10321:60001>
	> . 4321:5321(1000) ack 1
	> . 5321:6321(1000) ack 1
	> . 6321:7321(1000) ack 1
	> . 7321:8321(1000) ack 1
	> . 8321:9321(1000) ack 1
	> . 9321:10321(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
`,
	long,
);

script(
	"RFC 5681 3.2, RFC 6582: without SACK, a segment of a frame is sent again for three duplicate ACKs, the next hole for a partial ACK",
	`
	${NO_SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 9001
	+0.001 < . 1:1(0) ack 9001
	+0.001 < . 1:1(0) ack 9001
	+0.001 < . 1:1(0) ack 9001
	> . 9001:10001(1000) ack 1
	+0.1 < . 1:1(0) ack 20001
	> . 20001:21001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
	info retransmits=2
`,
	long,
);

script(
	"RFC 3042: the first two duplicate ACKs each let one segment out, which no frame waits for",
	`
	${NO_SACK}
	write 60000
	> . 1:10001(10000) ack 1
	+0.1 < . 1:1(0) ack 1
	> . 10001:11001(1000) ack 1
	+0.001 < . 1:1(0) ack 1
	> . 11001:12001(1000) ack 1
	+0.001 < . 1:1(0) ack 1
	> . 1:1001(1000) ack 1
`,
	{ long: true, host: { tcp: { congestion: "newreno" as const } } },
);

script(
	"RFC 6298 5.4, RFC 8985 7.3: silence: the last segment as a probe, then from the first on, as many as slow start lets out",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.2 > P. 59001:60001(1000) ack 1
	+0.3 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	> . 1001:2001(1000) ack 1
	> . 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	> . 3001:4001(1000) ack 1
	> . 4001:5001(1000) ack 1
	> . 5001:6001(1000) ack 1
	> . 6001:7001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
`,
	long,
);

script(
	"RFC 8985 7.3: the last segment of a frame may be short: the probe is that one",
	`
	${SACK}
	nodelay on
	write 59500
	> P. 1:59501(59500) ack 1
	+0.2 > P. 59001:59501(500) ack 1
	+0.1 < . 1:1(0) ack 59501
	no segment for 1
	info retransmits=1
`,
	long,
);

script(
	"RFC 8985 7.3: the last segment without a SACK is probed, and the FIN with it",
	`
	${SACK}
	write 60000
	& shutdown
	> FP. 1:60001(60000) ack 1
	+0.2 > FP. 59001:60001(1000) ack 1
	+0.1 < . 1:1(0) ack 60002
	no segment for 1
	info retransmits=1 state=FIN-WAIT-2
`,
	long,
);

script(
	"RFC 8985 7.3: with new data in hand the probe is its first segment",
	`
	established(mss 1000, sackOK, win 62000, rtt 0.1)
	write 100000
	> . 1:62001(62000) ack 1
	+0.1 < . 1:1(0) ack 1 win 63000
	+0.1 > . 62001:63001(1000) ack 1
	+0.1 < . 1:1(0) ack 63001 win 64000
	> . 63001:65001(2000) ack 1
	> P. 65001:100001(35000) ack 1
	+0.1 < . 1:1(0) ack 100001 win 64000
	no segment for 1
	info retransmits=0
`,
	long,
);

script(
	"a window smaller than the frame: whole segments of it",
	`
	established(mss 1000, sackOK, win 5500, rtt 0.1)
	write 60000
	> . 1:5001(5000) ack 1
	no segment for 0.05
	+0.05 < . 1:1(0) ack 5001
	> . 5001:10001(5000) ack 1
	+0.1 < . 1:1(0) ack 10001 win 60000
	> P. 10001:60001(50000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
`,
	long,
);

script(
	"RFC 9293 3.8.6.2.1: a window smaller than a segment is used all the same, if the peer never had a larger one",
	`
	established(mss 1000, sackOK, win 700, rtt 0.1)
	write 60000
	> . 1:701(700) ack 1
	+0.1 < . 1:1(0) ack 701
	> . 701:1001(300) ack 1
	> . 1001:1401(400) ack 1
	+0.1 < . 1:1(0) ack 1401 win 60000
	> . 1401:2001(600) ack 1
	> P. 2001:60001(58000) ack 1
	+0.1 < . 1:1(0) ack 60001
	no segment for 1
`,
	long,
);

script(
	"RFC 9293 3.8.6.1: a window that shuts within a frame is probed with a byte of it, and opens again",
	`
	established(mss 1000, sackOK, win 3000, rtt 0.1)
	write 60000
	> . 1:3001(3000) ack 1
	+0.1 < . 1:1(0) ack 3001 win 0
	+0.2~0.4 > . 3001:3002(1) ack 1
	+0.1 < . 1:1(0) ack 3001 win 0
	+0.3~0.8 > . 3001:3002(1) ack 1
	+0.1 < . 1:1(0) ack 3002 win 3000
	> . 3002:6002(3000) ack 1
	+0.1 < . 1:1(0) ack 6002 win 60000
	> . 6002:59002(53000) ack 1
	+0.1 < . 1:1(0) ack 59002
	> P. 59002:60001(999) ack 1
`,
	long,
);

script(
	"a window that shuts behind a frame in flight: what was sent goes again by segments when it opens",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 20001 win 0
	+0.2~0.4 > . 20001:20002(1) ack 1
	+0.1 < . 1:1(0) ack 20002 win 20
	> . 20002:21002(1000) ack 1
	+0.1 < . 1:1(0) ack 21002 win 400
	> . 21002:22002(1000) ack 1
	> . 22002:23002(1000) ack 1
	+0.1 < . 1:1(0) ack 60001 win 400
	no segment for 1
`,
	long,
);

script(
	"RFC 1191: segments that are too big go again in smaller ones; later frames are cut by the new size",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	icmp too-big 840
	> . 1:801(800) ack 1
	> . 801:1601(800) ack 1
	> burst 1601:60001(58400)
	+0.1 < . 1:1(0) ack 60001
	write 60100
	> . 60001:120001(60000) ack 1
	+0.1 < . 1:1(0) ack 120001
	> P. 120001:120101(100) ack 1
	+0.1 < . 1:1(0) ack 120101
	no segment for 1
	counter slabsOpened=2
`,
	long,
);

script(
	"RFC 1191: with segments of less than 512 bytes nothing more goes to slabs, and what is there leaves",
	`
	${SACK}
	write 65000
	> P. 1:65001(65000) ack 1
	write 50000
	> . 65001:100001(35000) ack 1
	icmp too-big 296
	> burst 1:32513(32512)
	+0.1 < . 1:1(0) ack 32513
	> burst 32513:48641(16128)
	+0.1 < . 1:1(0) ack 100001
	> . 100001:114849(14848) ack 1
	+0.1 < . 1:1(0) ack 114849
	> P. 114849:115001(152) ack 1
	+0.1 < . 1:1(0) ack 115001
	write 15000
	> burst 115001:129849(14848)
	+0.1 < . 1:1(0) ack 129849
	> P. 129849:130001(152) ack 1
	+0.1 < . 1:1(0) ack 130001
	no segment for 1
	counter slabsOpened=2
	counter noSlab=0
`,
	long,
);

script(
	"a FIN that the window has no room for does not leave with the frame",
	`
	established(mss 1000, sackOK, win 60000, rtt 0.1)
	write 60000
	& shutdown
	> . 1:59001(59000) ack 1
	> . 59001:60001(1000) ack 1
	+0.1 < . 1:1(0) ack 60001
	> F. 60001:60001(0) ack 1
	+0.1 < . 1:1(0) ack 60002
	no segment for 1
`,
	long,
);

script(
	"RFC 6298 3: an acknowledgment of a part of a frame is a sample of the round-trip time",
	`
	${SACK}
	write 60000
	> P. 1:60001(60000) ack 1
	+0.18 < . 1:1(0) ack 10001
	info rtt>=108000 rtt<=112000
	+0.01 < . 1:1(0) ack 60001
`,
	long,
);

script(
	"without a free slab a long write leaves from pages, as one frame too, and is counted",
	`
	a ${SACK}
	b ${SACK}
	a write 60000
	a > P. 1:60001(60000) ack 1
	b write 30000
	b > P. 1:30001(30000) ack 1
	counter slabsOpened=1
	counter noSlab=1
	a < . 1:1(0) ack 60001
	b < . 1:1(0) ack 30001
	b write 30000
	b > P. 30001:60001(30000) ack 1
	counter slabsOpened=2
	counter noSlab=1
`,
	{ ...long, host: { ...long.host, memory: 300_000 } },
);

script(
	"a link that still has the frame while its segments are sent again, acknowledged, and others written",
	`
	${SACK}
	slow
	write 60000
	> P. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 9001 <sack 10001:60001>
	> . 9001:10001(1000) ack 1
	write 20000
	> burst 60001:80001(20000)
	+0.1 < . 1:1(0) ack 80001
	write 20000
	> P. 80001:100001(20000) ack 1
	counter slabsOpened=2
	release
	+0.1 < . 1:1(0) ack 100001
	no segment for 1
`,
	long,
);

script(
	"a frame that the window would cut waits while little of the window is unused, and then goes on",
	`
	established(mss 1000, sackOK, win 65000, rtt 0.1)
	write 200000
	> . 1:65001(65000) ack 1
	+0.1 < . 1:1(0) ack 10001
	no segment for 0.01
	+0.01 < . 1:1(0) ack 21001
	no segment for 0.01
	+0.01 < . 1:1(0) ack 22001
	> . 65001:87001(22000) ack 1
	+0.1 < . 1:1(0) ack 87001
	> . 87001:130001(43000) ack 1
	> . 130001:152001(22000) ack 1
`,
	{ ...long, keep: true },
);

script(
	"a frame that waits for the window goes on when what is out is lost: the probe is its first segment",
	`
	established(mss 1000, sackOK, win 65000, rtt 0.1)
	write 130000
	> . 1:65001(65000) ack 1
	+0.1 < . 1:1(0) ack 10001
	+0.2 > . 65001:66001(1000) ack 1
	+0.1 < . 1:1(0) ack 10001 <sack 65001:66001>
	> . 10001:11001(1000) ack 1
`,
	{ ...long, keep: true },
);

script(
	"RFC 9293 3.4: a FIN stays behind the last byte when SACK blocks cut the frame that carries it",
	`
	${SACK}
	write 60000
	& shutdown
	> FP. 1:60001(60000) ack 1
	+0.1 < . 1:1(0) ack 1 <sack 1001:30001>
	> . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 30001 <sack 31001:60002>
	> . 30001:31001(1000) ack 1
	+0.2~0.4 > . 30001:31001(1000) ack 1
	+0.1 < . 1:1(0) ack 60002
	info state=FIN-WAIT-2
`,
	{ ...long, keep: true },
);

script(
	"RFC 8985 7.3, RFC 1191: a slab in as many pieces as it may have is probed without its last segment",
	`
	${SACK}
	write 65000
	> P. 1:65001(65000) ack 1
	icmp too-big 296
	> burst 1:32513(32512)
	+0.2~0.7 > . 1:257(256) ack 1
	+0.1 < . 1:1(0) ack 32513
	> burst 32513:65001(32488)
	+0.1 < . 1:1(0) ack 65001
	no segment for 1
`,
	long,
);
