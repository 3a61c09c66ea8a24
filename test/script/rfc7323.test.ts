/** Window scale, timestamps and PAWS: RFC 7323. */
import { script } from "../helpers/script.ts";

script(
	"RFC 7323 2.2: a SYN-ACK has window scale, timestamps and SACK only if the SYN had them",
	`
	listen
	< S 0:0(0) <mss 1460,wscale 7>
	> S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 7>
	< . 1:1(0) ack 1
	b < S 0:0(0) <mss 1460,TS val 100 ecr 0>
	b > S. 0:0(0) ack 1 win 65535 <mss 1460,TS val 0 ecr 100>
	b < . 1:1(0) ack 1 <TS val 100 ecr 0>
	c < S 0:0(0) <mss 1460,sackOK>
	c > S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK>
	c < . 1:1(0) ack 1
	accept
	b accept
	c accept
`,
);

script(
	"RFC 7323 2.2: the window of a SYN-ACK is not scaled, later ones are",
	`
	established(mss 1000, wscale 7, win 20)
	write 10000
	> burst 1:2001(2000)
	no segment for 0.1
	< . 1:1(0) ack 2001 win 20
	> burst 2001:4001(2000)
	< . 1:1(0) ack 4001 win 100
	> burst 4001:10001(6000)
	< . 1:1(0) ack 10001
`,
);

script(
	"RFC 7323 2.3: a window scale above 14 counts as 14",
	`
	listen
	< S 0:0(0) win 1 <mss 1000,wscale 15>
	> S. 0:0(0) ack 1 <mss 1460,wscale 7>
	< . 1:1(0) ack 1 win 1
	accept
	write 20000
	> burst 1:10001(10000)
	< . 1:1(0) ack 10001 win 0
	no segment for 0.1
`,
);

script(
	"RFC 7323 2.3: without window scale on both sides windows are plain",
	`
	established(mss 1000, win 3000)
	write 10000
	> burst 1:3001(3000)
	no segment for 0.1
	< . 1:1(0) ack 3001 win 2000
	> burst 3001:5001(2000)
	no segment for 0.1
`,
);

script(
	"RFC 7323 3.2: every segment after the SYN carries timestamps",
	`
	established(mss 1460, TS)
	write 100
	> P. 1:101(100) ack 1 <TS val 0>
	+0.05 < P. 1:11(10) ack 101 <TS val 5000 ecr 0>
	+0~0.05 > . 101:101(0) ack 11 <TS ecr 5000>
	event readable
	read 10
	shutdown
	> F. 101:101(0) ack 11 <TS ecr 5000>
`,
);

script(
	"RFC 7323 3.2: a segment without timestamps does not end a connection that has them; it is taken, as some peers leave them out",
	`
	established(mss 1460, TS)
	< P. 1:11(10) ack 1 <>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
`,
);

script(
	"RFC 7323 3.2: a RST needs no timestamps",
	`
	established(mss 1460, TS)
	< R 1:1(0) <>
	event closed ECONNRESET
	gone
`,
);

script(
	"RFC 7323 4.3: the timestamp echoed is that of the segment that moved the left edge, not of one ahead of a hole",
	`
	established(mss 1460, TS, sackOK)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 11 <TS ecr 5000>
	+0.1 < P. 21:31(10) ack 1 <TS val 5100 ecr 0>
	> . 1:1(0) ack 11 <TS ecr 5000,sack 21:31>
	+0.1 < P. 11:21(10) ack 1 <TS val 5050 ecr 0>
	> . 1:1(0) ack 31 <TS ecr 5050>
	event readable
	read 30
`,
);

script(
	"RFC 7323 4.3: with a delayed ACK the timestamp of the first segment is echoed",
	`
	established(mss 1460, TS)
	< . 1:101(100) ack 1 <TS val 5000 ecr 0>
	& < . 101:201(100) ack 1 <TS val 5010 ecr 0>
	+0~0.05 > . 1:1(0) ack 201 <TS ecr 5000>
	event readable
	read 200
`,
);

script(
	"RFC 7323 5.3: PAWS drops a segment with an older timestamp, and answers it",
	`
	established(mss 1460, TS)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	< P. 11:21(10) ack 1 <TS val 4999 ecr 0>
	> . 1:1(0) ack 11 <TS ecr 5000>
	readable 0
	< P. 11:21(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 21 <TS ecr 5000>
	read 10
`,
);

script(
	"RFC 7323 5.2: a RST is not subject to PAWS",
	`
	established(mss 1460, TS)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	< R 11:11(0) <TS val 1 ecr 0>
	event closed ECONNRESET
	gone
`,
);

script(
	"RFC 7323 5.3: timestamps are compared modulo 2^32",
	`
	listen
	< S 0:0(0) <mss 1460,TS val 4294967290 ecr 0>
	> S. 0:0(0) ack 1 <mss 1460,TS val 0 ecr 4294967290>
	< . 1:1(0) ack 1 <TS val 4294967295 ecr 0>
	accept
	< P. 1:11(10) ack 1 <TS val 5 ecr 0>
	+0~0.05 > . 1:1(0) ack 11 <TS ecr 5>
	event readable
	read 10
	< P. 11:21(10) ack 1 <TS val 4294967295 ecr 0>
	> . 1:1(0) ack 11 <TS ecr 5>
	readable 0
`,
);

script(
	"RFC 7323 5.5, 5.3: it is a segment inside the window that ends the silence; what one outside says of the time is not believed",
	`
	established(mss 1460, TS)
	no segment for 2160000
	< P. 900001:900011(10) ack 1 <TS val 3000000000 ecr 0>
	> . 1:1(0) ack 1
	< P. 1:11(10) ack 1
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	counter pawsRejected=0
`,
);

script(
	"RFC 7323 5.5: after 24 days without a segment an older timestamp is taken again",
	`
	established(mss 1460, TS)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	no segment for 2160000
	< P. 11:21(10) ack 1 <TS val 4000 ecr 0>
	+0~0.05 > . 1:1(0) ack 21 <TS ecr 4000>
	read 10
`,
);

script(
	"RFC 7323 5.5, RFC 9293 3.8.4: a peer that only probes for a month is still heard",
	`
	established(mss 1460, TS)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	no segment for 864000
	< . 10:10(0) ack 1 <TS val 864005000 ecr 0>
	> . 1:1(0) ack 11
	no segment for 864000
	< . 10:10(0) ack 1 <TS val 1728005000 ecr 0>
	> . 1:1(0) ack 11
	no segment for 864000
	< P. 11:21(10) ack 1 <TS val 2592005000 ecr 0>
	+0~0.05 > . 1:1(0) ack 21 <TS ecr 2592005000>
	read 10
	counter pawsRejected=0
`,
);

script(
	"RFC 9293 3.7.1, RFC 6691: the MSS option does not count timestamps, the segments do",
	`
	established(mss 1460, TS)
	write 3000
	> . 1:1449(1448) ack 1
	> . 1449:2897(1448) ack 1
	< . 1:1(0) ack 2897
	> P. 2897:3001(104) ack 1
	< . 1:1(0) ack 3001
`,
);

script(
	"RFC 7323 appendix, RFC 9293 3.1: option bytes that do not add up do no harm",
	`
	established(mss 1460)
	< P. 1:11(10) ack 1 <raw 08 00 01 01>
	no segment for 0.2
	readable 0
	< P. 1:11(10) ack 1 <raw fe 04 12 34>
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	< P. 11:21(10) ack 1 <raw 00 ff ff ff>
	+0~0.05 > . 1:1(0) ack 21
	read 10
`,
);

script(
	"RFC 5961 5.2, RFC 7323 4.3: of a segment that is refused no timestamp is noted, or it would make all that the peer sends look old",
	`
	established(mss 1460,TS)
	< P. 1:11(10) ack 1 <TS val 5000 ecr 0>
	event readable
	read 10
	write 10
	> P. 1:11(10) ack 11 <TS ecr 5000>
	< . 11:11(0) ack 100000 <TS val 900005000 ecr 0>
	> . 11:11(0) ack 11 <TS ecr 5000>
	< S. 11:11(0) ack 11 <TS val 900005000 ecr 0>
	> . 11:11(0) ack 11 <TS ecr 5000>
	< . 10:10(0) ack 100000 <TS val 900005000 ecr 0>
	> . 11:11(0) ack 11 <TS ecr 5000>
	< P. 11:21(10) ack 11 <TS val 5001 ecr 0>
	read 10
	write 10
	> P. 11:21(10) ack 21 <TS ecr 5001>
`,
);
