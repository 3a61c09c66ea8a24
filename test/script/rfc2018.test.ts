/** Selective acknowledgment, the receiver's side: RFC 2018, and RFC 2883 for duplicates. */
import { script } from "../helpers/script.ts";

script(
	"RFC 2018 4: what came ahead of a hole is reported",
	`
	established(mss 1460, sackOK)
	< P. 11:21(10) ack 1
	> . 1:1(0) ack 1 <sack 11:21>
	< P. 1:11(10) ack 1
	> . 1:1(0) ack 21
	event readable
	read 20
	counter outOfOrder=1
`,
);

script(
	"RFC 2018 2: without SACK-permitted from the peer there are no SACK blocks",
	`
	established(mss 1460)
	< P. 11:21(10) ack 1
	> . 1:1(0) ack 1
	< P. 1:11(10) ack 1
	> . 1:1(0) ack 21
	read 20
`,
);

script(
	"RFC 2018 4: the first block is the one with the segment that came last, the others follow by age, then come those reported before it",
	`
	established(mss 1460, sackOK)
	< . 11:21(10) ack 1
	> . 1:1(0) ack 1 <sack 11:21>
	< . 31:41(10) ack 1
	> . 1:1(0) ack 1 <sack 31:41 11:21>
	< . 51:61(10) ack 1
	> . 1:1(0) ack 1 <sack 51:61 31:41 11:21>
	< . 41:51(10) ack 1
	> . 1:1(0) ack 1 <sack 31:61 11:21>
	< . 21:31(10) ack 1
	> . 1:1(0) ack 1 <sack 11:61>
	< . 1:11(10) ack 1
	> . 1:1(0) ack 61
	read 60
`,
);

script(
	"RFC 2018 3: no more than four blocks, three with timestamps",
	`
	established(mss 1460, sackOK)
	b established(mss 1460, sackOK, TS)
	< . 11:21(10) ack 1
	> . 1:1(0) ack 1 <sack 11:21>
	< . 31:41(10) ack 1
	> . 1:1(0) ack 1 <sack 31:41 11:21>
	< . 51:61(10) ack 1
	> . 1:1(0) ack 1 <sack 51:61 31:41 11:21>
	< . 71:81(10) ack 1
	> . 1:1(0) ack 1 <sack 71:81 51:61 31:41 11:21>
	< . 91:101(10) ack 1
	> . 1:1(0) ack 1 <sack 91:101 71:81 51:61 31:41>
	b < . 11:21(10) ack 1
	b > . 1:1(0) ack 1 <TS,sack 11:21>
	b < . 31:41(10) ack 1
	b > . 1:1(0) ack 1 <TS,sack 31:41 11:21>
	b < . 51:61(10) ack 1
	b > . 1:1(0) ack 1 <TS,sack 51:61 31:41 11:21>
	b < . 71:81(10) ack 1
	b > . 1:1(0) ack 1 <TS,sack 71:81 51:61 31:41>
`,
);

script(
	"RFC 2018 4: data segments do not wait for SACK: the report goes out at once",
	`
	established(mss 1460, sackOK)
	write 100
	> P. 1:101(100) ack 1
	< . 11:21(10) ack 1
	> . 101:101(0) ack 1 <sack 11:21>
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 2883 4: a segment that was received before is reported as a duplicate",
	`
	established(mss 1460, sackOK)
	< . 1:11(10) ack 1
	+0~0.05 > . 1:1(0) ack 11
	< . 1:11(10) ack 1
	> . 1:1(0) ack 11 <sack 1:11>
	no segment for 1
	event readable
	read 10
`,
);

script(
	"RFC 2883 4: the report does not wait for data that leave at the same time, for they have no room for it",
	`
	established(mss 1460, sackOK)
	< . 1:11(10) ack 1
	+0~0.05 > . 1:1(0) ack 11
	< . 1:11(10) ack 1
	& write 100
	> . 1:1(0) ack 11 <sack 1:11>
	> P. 1:101(100) ack 11
	< . 11:11(0) ack 101
	no segment for 1
	event readable
	read 10
`,
);

script(
	"RFC 2883 4.1: a duplicate is reported once, before the other blocks",
	`
	established(mss 1460, sackOK)
	< . 1:11(10) ack 1
	+0~0.05 > . 1:1(0) ack 11
	< . 21:31(10) ack 1
	> . 1:1(0) ack 11 <sack 21:31>
	< . 1:11(10) ack 1
	> . 1:1(0) ack 11 <sack 1:11 21:31>
	< . 41:51(10) ack 1
	> . 1:1(0) ack 11 <sack 41:51 21:31>
	event readable
	read 10
`,
);

script(
	"RFC 2883 4.2: a duplicate of a block ahead of a hole is reported inside its block",
	`
	established(mss 1460, sackOK)
	< . 11:31(20) ack 1
	> . 1:1(0) ack 1 <sack 11:31>
	< . 11:21(10) ack 1
	> . 1:1(0) ack 1 <sack 11:21 11:31>
`,
);

script(
	"RFC 2018 4: overlapping pieces become one block and are delivered once",
	`
	established(mss 1460, sackOK)
	< . 21:41(20) ack 1
	> . 1:1(0) ack 1 <sack 21:41>
	< . 11:31(20) ack 1
	> . 1:1(0) ack 1 <*>
	< . 31:51(20) ack 1
	> . 1:1(0) ack 1 <*>
	< . 1:21(20) ack 1
	> . 1:1(0) ack 51 <*>
	event readable
	read 50
`,
);

script(
	"RFC 2018 4: a piece that covers everything ahead of the hole replaces it",
	`
	established(mss 1460, sackOK)
	< . 21:31(10) ack 1
	> . 1:1(0) ack 1 <sack 21:31>
	< . 41:51(10) ack 1
	> . 1:1(0) ack 1 <sack 41:51 21:31>
	< . 11:61(50) ack 1
	> . 1:1(0) ack 1 <*>
	< . 1:61(60) ack 1
	> . 1:1(0) ack 61 <*>
	event readable
	read 60
`,
);

script(
	"RFC 5681 4.2: a segment that fills a part of a hole is acknowledged at once",
	`
	established(mss 1460, sackOK)
	< . 21:31(10) ack 1
	> . 1:1(0) ack 1 <sack 21:31>
	< . 1:11(10) ack 1
	> . 1:1(0) ack 11 <sack 21:31>
	< . 11:21(10) ack 1
	> . 1:1(0) ack 31
	event readable
	read 30
`,
);

script(
	"RFC 2018 8: at a time-out the segment at the left edge goes again, SACKed or not",
	`
	established(mss 1000, sackOK, rtt 0.1)
	write 3000
	> . 1:1001(1000) ack 1
	> . 1001:2001(1000) ack 1
	> P. 2001:3001(1000) ack 1
	< . 1:1(0) ack 1 <sack 1:3001>
	+0.2~1.5 > . 1:1001(1000) ack 1
	< . 1:1(0) ack 3001
	no segment for 10
`,
);
