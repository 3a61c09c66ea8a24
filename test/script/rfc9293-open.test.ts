/** Opening a connection: RFC 9293 3.5, 3.10.7.1 to 3.10.7.4, as seen on the wire. */
import { script } from "../helpers/script.ts";

script(
	"RFC 9293 3.10.7.1: a SYN to a port where nobody listens is answered with RST",
	`
	< S 0:0(0) <mss 1460>
	> R. 0:0(0) ack 1
	< S 0:10(10)
	> R. 0:0(0) ack 11
	< SF 0:0(0)
	> R. 0:0(0) ack 2
`,
);

script(
	"RFC 9293 3.10.7.1: an ACK that belongs to no connection is answered with RST at its acknowledgment number",
	`
	< . 1:1(0) ack 777
	> R 777:777(0)
	< P. 1:101(100) ack 778
	> R 778:778(0)
	< F. 1:1(0) ack 779
	> R 779:779(0)
`,
);

script(
	"RFC 9293 3.10.7.1: a RST that belongs to no connection is dropped",
	`
	< R 1:1(0)
	no segment for 5
	< R. 1:1(0) ack 1
	no segment for 5
`,
);

script(
	"RFC 9293 3.10.7.2: LISTEN drops a RST, answers an ACK with RST, and drops what has neither SYN nor ACK, or a FIN beside the SYN",
	`
	listen
	< R 0:0(0)
	no segment for 1
	< . 1:1(0) ack 777
	> R 777:777(0)
	< S. 0:0(0) ack 778
	> R 778:778(0)
	< F 1:1(0)
	no segment for 1
	< - 1:11(10)
	no segment for 1
	< SF 0:0(0)
	no segment for 1
	gone
`,
);

script(
	"RFC 9293 3.5: a passive open by SYN, SYN-ACK, ACK",
	`
	listen
	< S 0:0(0) win 30000 <mss 1400>
	> S. 0:0(0) ack 1 win 65535 <mss 1460>
	+0.1 < . 1:1(0) ack 1
	accept
	info state=ESTABLISHED
	no segment for 10
`,
);

script(
	"RFC 9293 3.7.1: without an MSS option, the peer's MSS is 536",
	`
	listen
	< S 0:0(0)
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	accept
	write 1000
	> . 1:537(536) ack 1
	< . 1:1(0) ack 537
	> P. 537:1001(464) ack 1
	< . 1:1(0) ack 1001
`,
);

script(
	"RFC 9293 3.7.1: segments are never larger than the peer's MSS",
	`
	established(mss 1000)
	write 2500
	> . 1:1001(1000) ack 1
	> . 1001:2001(1000) ack 1
	< . 1:1(0) ack 2001
	> P. 2001:2501(500) ack 1
	< . 1:1(0) ack 2501
`,
);

script(
	"RFC 9293 3.10.7.4: the ACK of the handshake may carry data",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< P. 1:11(10) ack 1
	accept
	info state=ESTABLISHED
	event readable
	read 10
	+0~0.05 > . 1:1(0) ack 11
`,
);

script(
	"RFC 9293 3.10.7.4: the ACK of the handshake may carry FIN",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< FP. 1:11(10) ack 1
	> . 1:1(0) ack 12
	accept
	read 10
	event readable
	event ended
	info state=CLOSE-WAIT
	shutdown
	> F. 1:1(0) ack 12
	< . 12:12(0) ack 2
	event closed null
	gone
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: a wrong ACK in SYN-RECEIVED is answered with RST, and the connection is still there",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 77
	> R 77:77(0)
	< . 1:1(0) ack 1
	accept
	info state=ESTABLISHED
`,
);

script(
	"RFC 9293 3.10.7.4, second: a RST in SYN-RECEIVED of a passive open goes back to LISTEN without a word",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< R 1:1(0)
	no segment for 10
	gone
	incarnation 1000
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	accept
`,
);

script(
	"RFC 9293 3.8.1: the SYN-ACK is sent again with doubled time-outs, then the half-open connection is forgotten",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	+1 > S. 0:0(0) ack 1 <mss 1460>
	+2 > S. 0:0(0) ack 1 <mss 1460>
	+4 > S. 0:0(0) ack 1 <mss 1460>
	+8 > S. 0:0(0) ack 1 <mss 1460>
	+16 > S. 0:0(0) ack 1 <mss 1460>
	no segment for 100
	gone
`,
);

script(
	"RFC 9293 3.10.7.4: a SYN that is sent again in SYN-RECEIVED does not make a second connection",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	+0.5 < S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	accept
	no segment for 5
	info state=ESTABLISHED
`,
);

script(
	"RFC 9293 3.10.7.4: a SYN that comes again together with the ACK of our SYN-ACK is answered no more, and what is written then leaves",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	+0.5 < S 0:0(0) <mss 1460>
	& < . 1:1(0) ack 1
	accept
	write 100
	> P. 1:101(100) ack 1
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 9293 3.5: an active open offers all options and is completed by the SYN-ACK",
	`
	connect
	> S 0:0(0) win 65535 <mss 1460,sackOK,TS val 0 ecr 0,wscale 7>
	info state=SYN-SENT
	+0.1 < S. 0:0(0) ack 1 win 30000 <mss 1400,sackOK,TS val 500 ecr 0,wscale 2>
	> . 1:1(0) ack 1 <TS val 100 ecr 500>
	event connected
	info state=ESTABLISHED
	counter activeOpens=1
	counter passiveOpens=0
	no segment for 10
`,
);

script(
	"RFC 9293 3.5: options that the peer does not answer are not used",
	`
	connect
	> S 0:0(0) win 65535 <*>
	< S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	event connected
	write 100
	> P. 1:101(100) ack 1
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 9293 3.8.1: the SYN is sent again with doubled time-outs, then the open fails with ETIMEDOUT",
	`
	connect
	> S 0:0(0) <*>
	+1 > S 0:0(0) <*>
	+2 > S 0:0(0) <*>
	+4 > S 0:0(0) <*>
	+8 > S 0:0(0) <*>
	+16 > S 0:0(0) <*>
	+32 > S 0:0(0) <*>
	no segment for 63.9
	+0.2 event closed ETIMEDOUT
	gone
`,
);

script(
	"RFC 9293 3.10.7.3, first: in SYN-SENT a wrong ACK is answered with RST and the open goes on",
	`
	connect
	> S 0:0(0) <*>
	< . 0:0(0) ack 77
	> R 77:77(0)
	< S. 0:0(0) ack 78 <mss 1460>
	> R 78:78(0)
	< S. 0:0(0) ack 0 <mss 1460>
	> R 0:0(0)
	< S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	event connected
`,
);

script(
	"RFC 9293 3.10.7.3, second: in SYN-SENT a RST that acknowledges the SYN refuses the connection",
	`
	connect
	> S 0:0(0) <*>
	< R. 0:0(0) ack 1
	event closed ECONNREFUSED
	gone
	no segment for 10
`,
);

script(
	"RFC 9293 3.10.7.3, second: in SYN-SENT a RST without ACK, or with a wrong one, is dropped",
	`
	connect
	> S 0:0(0) <*>
	< R 0:0(0)
	< R. 0:0(0) ack 77
	< R. 0:0(0) ack 0
	info state=SYN-SENT
	+1 > S 0:0(0) <*>
	< R. 0:0(0) ack 1
	event closed ECONNREFUSED
`,
);

script(
	"RFC 9293 3.10.7.3: in SYN-SENT an ACK without SYN is dropped even if it acknowledges the SYN",
	`
	connect
	> S 0:0(0) <*>
	< . 0:0(0) ack 1
	info state=SYN-SENT
	no segment for 0.5
	< S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	event connected
`,
);

script(
	"RFC 9293 3.10.7.3, fourth: the SYN-ACK may carry data",
	`
	connect
	> S 0:0(0) <*>
	< SP. 0:10(10) ack 1 <mss 1460>
	+0~0.05 > . 1:1(0) ack 11
	event connected
	event readable
	read 10
`,
);

script(
	"RFC 9293 3.5, figure 8: both sides open at once",
	`
	connect
	> S 0:0(0) <*>
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	info state=SYN-RECEIVED
	< . 1:1(0) ack 1
	event connected
	info state=ESTABLISHED
	write 10
	> P. 1:11(10) ack 1
	< . 1:1(0) ack 11
`,
);

script(
	"RFC 9293 3.5, figure 8: when both sides open at once, the peer's SYN-ACK opens as well",
	`
	connect
	> S 0:0(0) <*>
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< S. 0:0(0) ack 1 <mss 1460>
	event connected
	info state=ESTABLISHED
	no segment for 5
`,
);

script(
	"RFC 9293 3.5, figure 8: the peer's SYN is acknowledged also where its SYN-ACK comes right behind it",
	`
	connect
	> S 0:0(0) <*>
	< S 0:0(0) <mss 1460>
	& < S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	event connected
	info state=ESTABLISHED
	no segment for 5
`,
);

script(
	"RFC 9293 3.10.4: a FIN that waits for a page before the connection is open leaves when it is",
	`
	connect
	> S 0:0(0) <*>
	scarce
	shutdown
	plenty
	+0.1 < S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< . 1:1(0) ack 1
	event connected
	> F. 1:1(0) ack 1
	< . 1:1(0) ack 2
`,
);

script(
	"RFC 9293 3.10.7.4, second: a RST in SYN-RECEIVED of an active open refuses the connection",
	`
	connect
	> S 0:0(0) <*>
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	< R 1:1(0)
	event closed ECONNREFUSED
	gone
`,
);

script(
	"RFC 9293 3.9.1: what is written before the connection is open is sent when it is",
	`
	connect
	> S 0:0(0) <*>
	write 100
	no segment for 0.5
	< S. 0:0(0) ack 1 <mss 1460>
	> P. 1:101(100) ack 1
	event connected
	< . 1:1(0) ack 101
`,
);

script(
	"RFC 9293 3.9.1: what is written and finished before the connection is open goes out in one segment",
	`
	connect
	> S 0:0(0) <*>
	write 100
	shutdown
	< S. 0:0(0) ack 1 <mss 1460>
	> FP. 1:101(100) ack 1
	event connected
	< . 1:1(0) ack 102
	info state=FIN-WAIT-2
`,
);

script(
	"RFC 9293 3.10.4: a close in SYN-SENT deletes the connection",
	`
	connect
	> S 0:0(0) <*>
	close
	gone
	no segment for 10
	< S. 0:0(0) ack 1 <mss 1460>
	> R 1:1(0)
`,
);

script(
	"RFC 5927, RFC 9293 3.9.2.2: ICMP unreachable ends an open that has not succeeded",
	`
	connect
	> S 0:0(0) <*>
	icmp host
	+0~10 event closed EHOSTUNREACH
	gone
`,
);

script(
	"RFC 9293 3.9.2.2: ICMP host unreachable does not end an established connection",
	`
	established(mss 1460)
	write 100
	> P. 1:101(100) ack 1
	icmp host
	< . 1:1(0) ack 101
	info state=ESTABLISHED
	no segment for 1
`,
);
