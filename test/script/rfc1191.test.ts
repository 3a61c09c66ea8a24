/** Paths that take less than the link: RFC 1191, down to the smallest links that there are (RFC 791 3.2). */
import { script } from "../helpers/script.ts";

script(
	"RFC 1191 3: what is too large for the path goes again, cut",
	`
	established(mss 1460, rtt 0.1)
	write 1460
	> P. 1:1461(1460) ack 1
	+0.1 icmp too-big 1000
	> . 1:961(960) ack 1
	> P. 961:1461(500) ack 1
	+0.1 < . 1:1(0) ack 1461
`,
);

script(
	"RFC 1191 3: below 296 segments get no smaller; routers may cut them instead",
	`
	established(mss 1460, rtt 0.1)
	write 400
	> P. 1:401(400) ack 1
	+0.1 cut
	& icmp too-big 256
	> . 1:257(256) ack 1
	> P. 257:401(144) ack 1
	+0.1 < . 1:1(0) ack 401
	write 600
	> . 401:657(256) ack 1
	> . 657:913(256) ack 1
	+0.1 < . 1:1(0) ack 913
	> P. 913:1001(88) ack 1
	+0.1 < . 1:1(0) ack 1001
`,
);

script(
	"RFC 5927 4: a message about what is not on its way changes nothing",
	`
	established(mss 1460, rtt 0.1)
	write 400
	> P. 1:401(400) ack 1
	+0.1 < . 1:1(0) ack 401
	icmp too-big 256
	write 1460
	> P. 401:1861(1460) ack 1
	counter unreachableIgnored=1
	+0.1 < . 1:1(0) ack 1861
`,
);

script(
	"RFC 791 3.2: on a link of 68 bytes a segment with timestamps has 16 of text",
	`
	established(mss 1460, TS)
	write 32
	> . 1:17(16) ack 1
	> P. 17:33(16) ack 1
	+0.1 < . 1:1(0) ack 33
`,
	{ mtu: 68 },
);

script(
	"RFC 2018 3: an ACK has no more SACK blocks than fit the link",
	`
	established(mss 1460, sackOK, TS)
	< . 11:21(10) ack 1
	> . 1:1(0) ack 1 <sack 11:21, TS>
	< . 31:41(10) ack 1
	> . 1:1(0) ack 1 <sack 31:41 11:21, TS>
	< . 51:61(10) ack 1
	> . 1:1(0) ack 1 <sack 51:61 31:41, TS>
`,
	{ mtu: 76 },
);
