/** Closing a connection: RFC 9293 3.6, 3.10.4, 3.10.5, 3.10.7.4 eighth, as seen on the wire. */
import { script } from "../helpers/script.ts";

script(
	"RFC 9293 3.6, figure 12: we close first",
	`
	established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	info state=FIN-WAIT-1
	+0.1 < . 1:1(0) ack 2
	info state=FIN-WAIT-2
	+0.1 < F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	event ended
	event closed null
	no segment for 100
	gone
`,
);

script(
	"RFC 9293 3.6, figure 12: the peer closes first",
	`
	established(mss 1460)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	info state=CLOSE-WAIT
	no segment for 10
	shutdown
	> F. 1:1(0) ack 2
	info state=LAST-ACK
	< . 2:2(0) ack 2
	event closed null
	gone
	no segment for 100
`,
);

script(
	"RFC 9293 3.6, figure 13: both close at once",
	`
	established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< F. 1:1(0) ack 1
	> . 2:2(0) ack 2
	info state=CLOSING
	< . 2:2(0) ack 2
	event ended
	event closed null
	no segment for 100
	gone
`,
);

script(
	"RFC 9293 3.10.7.4, eighth: a FIN that acknowledges ours leads from FIN-WAIT-1 to TIME-WAIT",
	`
	established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< F. 1:1(0) ack 2
	> . 2:2(0) ack 2
	event ended
	event closed null
	no segment for 100
	gone
`,
);

script(
	"RFC 9293 3.6: data can still be received after we have closed our side",
	`
	established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	+1 < P. 1:101(100) ack 2
	+0~0.05 > . 2:2(0) ack 101
	event readable
	read 100
	+1 < FP. 101:201(100) ack 2
	> . 2:2(0) ack 202
	event readable
	read 100
	event ended
	event closed null
`,
);

script(
	"RFC 9293 3.6: data can still be sent after the peer has closed its side",
	`
	established(mss 1460)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	write 100
	> P. 1:101(100) ack 2
	< . 2:2(0) ack 101
	write 100
	& shutdown
	> FP. 101:201(100) ack 2
	< . 2:2(0) ack 202
	event closed null
	gone
`,
);

script(
	"RFC 9293 3.10.4: a close is queued behind the data, and shares its last segment",
	`
	established(mss 1000)
	write 2500
	& shutdown
	> . 1:1001(1000) ack 1
	> . 1001:2001(1000) ack 1
	> FP. 2001:2501(500) ack 1
	< . 1:1(0) ack 2502
	info state=FIN-WAIT-2
`,
);

script(
	"RFC 9293 3.10.7.4: the answer to data and FIN of one segment, given in the same turn, is one segment",
	`
	established(mss 1460)
	< FP. 1:101(100) ack 1
	> . 1:1(0) ack 102
	read 100
	event readable
	event ended
`,
);

script(
	"RFC 9293 3.10.7.4, eighth: a FIN that comes too early waits for the data before it",
	`
	established(mss 1460)
	< F. 101:101(0) ack 1
	> . 1:1(0) ack 1
	info state=ESTABLISHED
	< P. 1:101(100) ack 1
	> . 1:1(0) ack 102
	read 100
	event readable
	event ended
	info state=CLOSE-WAIT
`,
);

script(
	"RFC 9293 3.8.1: a FIN that is not acknowledged is sent again",
	`
	established(mss 1460, rtt 0.1)
	shutdown
	> F. 1:1(0) ack 1
	+0.3 > F. 1:1(0) ack 1
	+0.6 > F. 1:1(0) ack 1
	+1.2 > F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	info state=FIN-WAIT-2
	no segment for 5
`,
);

script(
	"RFC 9293 3.10.7.4: in LAST-ACK the FIN is sent again until it is acknowledged",
	`
	established(mss 1460, rtt 0.1)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	shutdown
	> F. 1:1(0) ack 2
	+0.3 > F. 1:1(0) ack 2
	+0.3 < F. 1:1(0) ack 1
	> . 2:2(0) ack 2
	< . 2:2(0) ack 2
	event closed null
	gone
`,
);

script(
	"RFC 9293 3.10.7.4: an old FIN sent again in CLOSE-WAIT is acknowledged again",
	`
	established(mss 1460)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	+1 < F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	info state=CLOSE-WAIT
	shutdown
	> F. 1:1(0) ack 2
	< . 2:2(0) ack 2
	event closed null
`,
);

script(
	"RFC 9293 3.10.7.4, seventh: after the peer's FIN its data is ignored",
	`
	established(mss 1460)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	< P. 2:102(100) ack 1
	readable 0
	info state=CLOSE-WAIT
	+0~0.05 > . 1:1(0) ack 2
`,
);

script(
	"RFC 1122 4.2.2.13: a close with unread data is a reset",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	+0~0.05 > . 1:1(0) ack 101
	event readable
	close
	> R. 1:1(0) ack 101
	gone
	no segment for 10
`,
);

for (const end of ["", "& shutdown"]) {
	script(
		`RFC 1122 4.2.2.13: what was written before a close with unread data${end && " and an end"} goes before the reset`,
		`
		established(mss 1460)
		< P. 1:101(100) ack 1
		+0~0.05 > . 1:1(0) ack 101
		event readable
		write 500
		${end}
		& close
		> ${end ? "FP" : "P"}. 1:501(500) ack 101
		> R. ${end ? "502:502" : "501:501"}(0) ack 101
		gone
		no segment for 10
	`,
	);
}

script(
	"RFC 1122 4.2.2.13: data that arrives after a close is answered with a reset",
	`
	established(mss 1460)
	close
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	< P. 1:101(100) ack 2
	> R. 2:2(0) ack 1
	gone
	no segment for 10
	counter dataAfterClose=1
`,
);

script(
	"RFC 1122 4.2.2.13: a close without unread data is an orderly one",
	`
	established(mss 1460)
	< P. 1:101(100) ack 1
	read 100
	event readable
	close
	> F. 1:1(0) ack 101
	< F. 101:101(0) ack 2
	> . 2:2(0) ack 102
	no segment for 100
	gone
`,
);

script(
	"RFC 9293 3.10.5: an abort sends RST and forgets the connection",
	`
	established(mss 1460)
	write 100
	> P. 1:101(100) ack 1
	abort
	> R. 101:101(0) ack 1
	gone
	< . 1:1(0) ack 101
	> R 101:101(0)
	no segment for 10
`,
);

script(
	"RFC 9293 3.10.7.4, second: a RST at rcvNxt ends the connection with ECONNRESET",
	`
	established(mss 1460)
	< R 1:1(0)
	event closed ECONNRESET
	gone
	no segment for 10
`,
);

script(
	"RFC 9293 3.10.7.4, second: what was received before a RST can not be read any more, and unsent data is gone",
	`
	established(mss 1000, win 1000)
	write 5000
	> . 1:1001(1000) ack 1
	< P. 1:101(100) ack 1
	event readable
	& < R 101:101(0)
	event closed ECONNRESET
	gone
	no segment for 10
`,
);

for (const [state, lines, error] of [
	["FIN-WAIT-1", "shutdown\n> F. 1:1(0) ack 1", "ECONNRESET"],
	["FIN-WAIT-2", "shutdown\n> F. 1:1(0) ack 1\n< . 1:1(0) ack 2", "ECONNRESET"],
] as const) {
	script(
		`RFC 9293 3.10.7.4, second: a RST in ${state} ends the connection`,
		`
		established(mss 1460)
		${lines}
		info state=${state}
		< R 1:1(0)
		event closed ${error}
		gone
		no segment for 10
	`,
	);
}

script(
	"RFC 9293 3.10.7.4, second: a RST in CLOSE-WAIT ends the connection",
	`
	established(mss 1460)
	< F. 1:1(0) ack 1
	> . 1:1(0) ack 2
	event ended
	< R 2:2(0)
	event closed ECONNRESET
	gone
`,
);

script(
	"RFC 9293 3.10.7.4, second: a RST in CLOSING and LAST-ACK ends the connection in silence",
	`
	established(mss 1460)
	b established(mss 1460)
	shutdown
	> F. 1:1(0) ack 1
	< F. 1:1(0) ack 1
	> . 2:2(0) ack 2
	event ended
	info state=CLOSING
	< R 2:2(0)
	b < F. 1:1(0) ack 1
	b > . 1:1(0) ack 2
	b event ended
	b shutdown
	b > F. 1:1(0) ack 2
	b < R 2:2(0)
	no segment for 10
	gone
`,
);

script(
	"RFC 9293 3.6.1: FIN-WAIT-2 of a connection that the program has given up ends by itself",
	`
	established(mss 1460)
	close
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
	no segment for 120
	gone
`,
);

script(
	"RFC 9293 3.8.3: data that is never acknowledged ends the connection with ETIMEDOUT",
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
	+60 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	+60 > P. 1:101(100) ack 1
	no segment for 59
	+2 event closed ETIMEDOUT
	gone
`,
);

script(
	"RFC 9293 3.10.4: a FIN that waits for a page leaves while programs that write hold all that they may",
	`
	established(mss 1000, rtt 0.1)
	scarce
	shutdown
	no segment for 1
	enough
	+0~0.05 > F. 1:1(0) ack 1
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: a FIN that waits for a page is not acknowledged with the data before it",
	`
	established(mss 1000, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.05 < F. 1:1(0) ack 1
	> . 1001:1001(0) ack 2
	scarce
	shutdown
	+0.05 < . 2:2(0) ack 1001
	info state=LAST-ACK
	plenty
	+0~0.05 > F. 1001:1001(0) ack 2
	+0.1 < . 2:2(0) ack 1002
	gone
`,
);

for (const [what, bytes] of [
	["all", 500],
	["the last", 1500],
] as const)
	script(
		`RFC 9293 3.8.6.2.1: a window takes ${what} text that just fits, though the FIN behind it does not`,
		`
	established(mss 1000, win ${bytes}, rtt 0.1)
	write ${bytes}
	& shutdown
	${bytes > 1000 ? "> . 1:1001(1000) ack 1" : ""}
	> . ${bytes > 1000 ? 1001 : 1}:${bytes + 1}(${bytes > 1000 ? bytes - 1000 : bytes}) ack 1
	no segment for 0.09
	< . 1:1(0) ack ${bytes + 1}
	> F. ${bytes + 1}:${bytes + 1}(0) ack 1
`,
	);

script(
	"RFC 9293 3.8.6.2.1: the last segment of a window that slides leaves at once, and its FIN with the next",
	`
	established(mss 1000, sackOK, win 2000, rtt 0.1)
	write 3000
	& shutdown
	> . 1:1001(1000) ack 1
	> . 1001:2001(1000) ack 1
	+0.1 < . 1:1(0) ack 2001 win 1000
	> . 2001:3001(1000) ack 1
	+0.1 < . 1:1(0) ack 3001 win 1000
	> F. 3001:3001(0) ack 1
	+0.1 < . 1:1(0) ack 3002
`,
);
