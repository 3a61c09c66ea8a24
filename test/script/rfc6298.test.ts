/** Retransmission time-out: RFC 6298, and RFC 9293 3.8.1. Peers without SACK, so that nothing but the time-out repairs. */
import { script } from "../helpers/script.ts";

script(
	"RFC 6298 2.2: after the first measurement R, RTO = R + 4 * R/2",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.3 > P. 1:101(100) ack 1
`,
);

script(
	"RFC 6298 2.3: further measurements are smoothed with alpha 1/8 and beta 1/4",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.2 < . 1:1(0) ack 101
	// RTTVAR = 3/4 * 50 + 1/4 * 100 = 62.5, SRTT = 7/8 * 100 + 1/8 * 200 = 112.5, RTO = 112.5 + 250
	write 100
	> P. 101:201(100) ack 1
	+0.3625 > P. 101:201(100) ack 1
`,
);

script(
	"RFC 6298 2.4: the RTO has a lower bound, 200 ms by default",
	`
	established(mss 1460, rtt 0.001)
	write 100
	> P. 1:101(100) ack 1
	+0.2 > P. 1:101(100) ack 1
`,
);

script(
	"RFC 6298 3 (Karn): a segment that was sent twice gives no measurement",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.3 > P. 1:101(100) ack 1
	+0.5 < . 1:1(0) ack 101
	// Nothing was measured, so the back-off stays.
	write 100
	> P. 101:201(100) ack 1
	+0.6 > P. 101:201(100) ack 1
`,
);

script(
	"RFC 6298 3 (Karn): what waited for a repeated segment gives no measurement either",
	`
	established(mss 1000, rtt 0.1)
	write 3000
	> burst 1:3001(3000)
	+0.3 > . 1:1001(1000) ack 1
	+0.55 < . 1:1(0) ack 3001
	write 100
	> P. 3001:3101(100) ack 1
	+0.6 > P. 3001:3101(100) ack 1
`,
);

script(
	"RFC 6298 5.3: an ACK of new data starts the timer anew",
	`
	established(mss 1000, rtt 0.1)
	write 2000
	> . 1:1001(1000) ack 1
	> P. 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	// RTTVAR = 3/4 * 50 + 0, SRTT = 100: RTO = 250 ms from the ACK
	+0.25 > P. 1001:2001(1000) ack 1
	< . 1:1(0) ack 2001
`,
);

script(
	"RFC 6298 5.2: when all is acknowledged the timer is off",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.1 < . 1:1(0) ack 101
	no segment for 100
`,
);

script(
	"RFC 6298 5.4: only the earliest segment is sent again, and the rest follows with the ACKs",
	`
	established(mss 1000, rtt 0.1)
	write 4000
	> burst 1:4001(4000)
	+0.3 > . 1:1001(1000) ack 1
	+0.1 < . 1:1(0) ack 1001
	> . 1001:2001(1000) ack 1
	> . 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001
	> P. 3001:4001(1000) ack 1
	+0.1 < . 1:1(0) ack 4001
	no segment for 10
`,
);

script(
	"RFC 6298 5.5: the time-out doubles with each expiry, up to 60 s",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.3 > P. 1:101(100) ack 1
	+0.6 > P. 1:101(100) ack 1
	+1.2 > P. 1:101(100) ack 1
	+2.4 > P. 1:101(100) ack 1
	+4.8 > P. 1:101(100) ack 1
	+9.6 > P. 1:101(100) ack 1
	+19.2 > P. 1:101(100) ack 1
	+38.4 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	< . 1:1(0) ack 101
	no segment for 100
`,
);

script(
	"RFC 6298 5.5: a path that has become slower is found out, one segment at a time: the back-off ends with a measurement",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.3 > P. 1:101(100) ack 1
	+0.2 < . 1:1(0) ack 101
	write 100
	> P. 101:201(100) ack 1
	+0.5 < . 1:1(0) ack 201
	// RTTVAR = 3/4 * 50 + 1/4 * 400 = 137.5, SRTT = 7/8 * 100 + 1/8 * 500 = 150: RTO = 700 ms
	write 100
	> P. 201:301(100) ack 1
	+0.7 > P. 201:301(100) ack 1
	info retransmits=2
`,
);

script(
	"RFC 6298 5.5: a back-off that has not ended goes on from where it was, up to 60 s",
	`
	established(mss 1460, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1
	+0.3 > P. 1:101(100) ack 1
	+0.6 > P. 1:101(100) ack 1
	< . 1:1(0) ack 101
	write 100
	> P. 101:201(100) ack 1
	+1.2 > P. 101:201(100) ack 1
	+2.4 > P. 101:201(100) ack 1
	+4.8 > P. 101:201(100) ack 1
	+9.6 > P. 101:201(100) ack 1
	+19.2 > P. 101:201(100) ack 1
	+38.4 > P. 101:201(100) ack 1
	< . 1:1(0) ack 201
	write 100
	> P. 201:301(100) ack 1
	+60 > P. 201:301(100) ack 1
	< . 1:1(0) ack 301
`,
);

script(
	"RFC 7323 4.1: an echoed timestamp says which transmission was acknowledged, so what was sent twice gives a measurement",
	`
	established(mss 1460, TS, rtt 0.1)
	write 100
	> P. 1:101(100) ack 1 <TS val 100>
	+0.3 > P. 1:101(100) ack 1 <TS val 400>
	+0.2 < . 1:1(0) ack 101 <TS ecr 100>
	// R = 501 ms and a tick. RTTVAR = 3/4 * 50 + 1/4 * 402 = 138, SRTT = 7/8 * 100 + 1/8 * 502 = 150: RTO = 702 ms
	write 100
	> P. 101:201(100) ack 1
	+0.702 > P. 101:201(100) ack 1
	+0.1 < . 1:1(0) ack 201
	// Of the second transmission, R = 101 ms. RTTVAR = 116, SRTT = 144: RTO = 608 ms
	write 100
	> P. 201:301(100) ack 1
	+0.608 > P. 201:301(100) ack 1
`,
);

for (const [what, ecr] of [
	["from the future", 5000],
	["of an hour ago", -3_600_000],
] as const) {
	script(
		`RFC 7323 4.1: an echo ${what} measures nothing`,
		`
		established(mss 1460, TS, rtt 0.1)
		write 100
		> P. 1:101(100) ack 1
		+0.3 > P. 1:101(100) ack 1
		+0.1 < . 1:1(0) ack 101 <TS ecr ${ecr}>
		write 100
		> P. 101:201(100) ack 1
		+0.6 > P. 101:201(100) ack 1
	`,
	);
}

script(
	"RFC 6298 5.7: when the SYN was sent again, the RTO for data is at least 3 seconds",
	`
	connect
	> S 0:0(0) <*>
	+1 > S 0:0(0) <*>
	+0.1 < S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	event connected
	write 100
	> P. 1:101(100) ack 1
	+3 > P. 1:101(100) ack 1
`,
);

script(
	"RFC 6298 3 (Karn), RFC 5681 3.1: a SYN-ACK that was sent again because the SYN came again measures nothing; the window is one segment",
	`
	listen
	< S 0:0(0) <mss 1000>
	> S. 0:0(0) ack 1 <*>
	+0.5 < S 0:0(0) <mss 1000>
	> S. 0:0(0) ack 1 <*>
	+0.01 < . 1:1(0) ack 1
	accept
	info cwnd=1000
	write 1000
	> P. 1:1001(1000) ack 1
	+3 > P. 1:1001(1000) ack 1
	< . 1:1(0) ack 1001
`,
);

script(
	"RFC 6298 2.2: a SYN that came twice before it was answered once leaves the handshake a measurement",
	`
	listen
	< S 0:0(0) <mss 1000>
	& < S 0:0(0) <mss 1000>
	> S. 0:0(0) ack 1 <*>
	+0.1 < . 1:1(0) ack 1
	accept
	info cwnd=10000
`,
);

script(
	"RFC 5681 3.1: after a time-out the congestion window is one segment, and ssthresh half the flight",
	`
	established(mss 1000, rtt 0.1)
	write 10000
	> burst 1:10001(10000)
	+0.3 > . 1:1001(1000) ack 1
	info cwnd=1000 ssthresh=5000
	+0.1 < . 1:1(0) ack 1001
	> burst 1001:3001(2000)
	info cwnd=2000
`,
	{ host: { tcp: { congestion: "newreno" } } },
);
