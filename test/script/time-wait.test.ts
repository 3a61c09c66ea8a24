/** TIME-WAIT: RFC 9293 3.6.1 and 3.10.7.4 (an exact RST ends it), RFC 1337, RFC 6191 (a newer SYN ends it). */
import { script } from "../helpers/script.ts";

const toTimeWait = `
	shutdown
	> F. 1:1(0) ack 1
	< F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	event ended
	event closed null
`;

script(
	"RFC 9293 3.10.7.4, eighth: in TIME-WAIT a FIN sent again is acknowledged, and the time begins anew",
	`
	established(mss 1460)
	${toTimeWait}
	+50 < F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	+50 < F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	+61 < F. 1:1(0) ack 2
	> R 2:2(0)
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: in TIME-WAIT only the peer's own FIN begins the time anew, none of another number",
	`
	established(mss 1460)
	${toTimeWait}
	+50 < F. 1000:1000(0) ack 2
	> . 2:2(0) ack 2
	< F. 0:0(0) ack 2
	> . 2:2(0) ack 2
	< FP. 1:101(100) ack 2
	> . 2:2(0) ack 2
	+11 < F. 1:1(0) ack 2
	> R 2:2(0)
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: the same while the program has not read all",
	`
	established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	< FP. 1:101(100) ack 2
	> . 2:2(0) ack 102
	event readable
	info state=CLOSED
	+50 < FP. 1:101(100) ack 2
	> . 2:2(0) ack 102
	+50 < F. 101:101(0) ack 2
	> . 2:2(0) ack 102
	info state=CLOSED
	+50 < F. 1000:1000(0) ack 2
	> . 2:2(0) ack 102
	+11 read 100
	event ended
	event closed null
	gone
	< F. 101:101(0) ack 2
	> R 2:2(0)
`,
);

script(
	"RFC 9293 3.6.1: TIME-WAIT is over after its time also where the program read late, and others have come to it meanwhile",
	`
	established(mss 1460)
	b established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	< FP. 1:101(100) ack 2
	> . 2:2(0) ack 102
	event readable
	+50 b shutdown
	b > F. 1:1(0) ack 1
	b < F. 1:1(0) ack 2
	b > . 2:2(0) ack 2
	b event ended
	b event closed null
	+5 read 100
	event ended
	event closed null
	+6 < F. 101:101(0) ack 2
	> R 2:2(0)
	b < F. 1:1(0) ack 2
	b > . 2:2(0) ack 2
`,
);

script(
	"RFC 9293 3.10.7.4, second: an exact RST ends TIME-WAIT, another one does not",
	`
	established(mss 1460)
	${toTimeWait}
	+1 < R 3:3(0)
	no segment for 1
	< F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	< R 2:2(0)
	no segment for 1
	< F. 1:1(0) ack 2
	> R 2:2(0)
`,
);

script(
	"RFC 1337: old data in TIME-WAIT is answered with an ACK and does no harm",
	`
	established(mss 1460)
	${toTimeWait}
	+1 < P. 1:1(0) ack 1
	> . 2:2(0) ack 2
	< P. 100:200(100) ack 2
	> . 2:2(0) ack 2
`,
);

script(
	"RFC 9293 3.6.1: a SYN beyond the old sequence numbers opens a new connection out of TIME-WAIT",
	`
	established(mss 1460)
	${toTimeWait}
	+1 incarnation 100000
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	accept
	info state=ESTABLISHED
`,
);

const unread = `
	shutdown
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	< FP. 1:101(100) ack 2
	> . 2:2(0) ack 102
	event readable
`;

script(
	"RFC 9293 3.10.7.4, second: an exact RST ends TIME-WAIT also while the program has not read all, which it still may",
	`
	established(mss 1460)
	${unread}
	+1 < R 102:102(0)
	no segment for 1
	< F. 101:101(0) ack 2
	> R 2:2(0)
	read 100
	event ended
	event closed null
	gone
`,
);

script(
	"RFC 9293 3.6.1: a SYN within the old sequence numbers does not",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	+0~0.05 > . 1:1(0) ack 101
	event readable
	read 100
	shutdown
	> F. 1:1(0) ack 101
	< F. 101:101(0) ack 2
	> . 2:2(0) ack 102
	event ended
	event closed null
	+1 < S 50:50(0) <mss 1460>
	> . 2:2(0) ack 102
`,
);

script(
	"RFC 6191 2: with timestamps, a SYN with a newer one opens a new connection whatever its sequence number",
	`
	established(mss 1460, TS)
	< P. 1:101(100) ack 1 <TS val 5000 ecr 0>
	+0~0.05 > . 1:1(0) ack 101
	event readable
	read 100
	shutdown
	> F. 1:1(0) ack 101
	< F. 101:101(0) ack 2 <TS val 5001 ecr 0>
	> . 2:2(0) ack 102
	event ended
	event closed null
	+1 < S 50:50(0) <mss 1460,TS val 5001 ecr 0>
	> . 2:2(0) ack 102
	< S 50:50(0) <mss 1460,TS val 4000 ecr 0>
	> . 2:2(0) ack 102
	incarnation 4294967245
	< S 0:0(0) <mss 1460,TS val 6000 ecr 0>
	> S. 0:0(0) ack 1 <*>
	< . 1:1(0) ack 1 <TS val 6000>
	accept
`,
);

script(
	"RFC 9293 3.4.1, RFC 6528: the ISN of a new connection on the same ports is beyond the old one",
	`
	established(mss 1460)
	${toTimeWait}
	+1 incarnation 100000
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	accept
	write 100
	> P. 1:101(100) ack 1
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 9293 3.6.1: TIME-WAIT lasts as long as the option says",
	`
	established(mss 1460)
	${toTimeWait}
	+0.9 < F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	+1.1 < F. 1:1(0) ack 2
	> R 2:2(0)
`,
	{ host: { tcp: { timeWait: 1000 } } },
);

script(
	"design: TIME-WAIT beyond its limit forgets the oldest",
	`
	established(mss 1460)
	b established(mss 1460)
	${toTimeWait}
	b shutdown
	b > F. 1:1(0) ack 1
	b < F. 1:1(0) ack 2
	b > . 2:2(0) ack 2
	counter timeWaitOverflow=1
	+1 < F. 1:1(0) ack 2
	> R 2:2(0)
	b < F. 1:1(0) ack 2
	b > . 2:2(0) ack 2
`,
	{ host: { tcp: { maxTimeWait: 1 } } },
);
