/** Blind attacks: RFC 5961 3 to 7 and RFC 9293 3.10.7.4, where guesses are challenged and not obeyed. */
import { script } from "../helpers/script.ts";

script(
	"RFC 5961 3.2: a RST inside the window but not at rcvNxt is challenged, not obeyed",
	`
	+0   established(mss 1460)
	+0   < R 1001:1001(0)
	+0   > .  1:1(0) ack 1        // the challenge
	+0.1 < P. 1:11(10) ack 1      // and the connection still takes data
	+0~0.05 > . 1:1(0) ack 11
	event readable
	read 10
	counter resetInWindow=1
	counter challengeAcks=1
`,
);

script(
	"RFC 5961 3.2: a RST outside the window is dropped without a word",
	`
	established(mss 1460)
	< R 100000:100000(0)
	no segment for 1
	< R 0:0(0)
	no segment for 1
	info state=ESTABLISHED
	counter resetOutsideWindow=2
	counter resetInWindow=0
`,
);

script(
	"RFC 5961 3.2: a peer that has really reset answers the challenge with a RST that fits",
	`
	established(mss 1460)
	< R 11:11(0)
	> . 1:1(0) ack 1
	< R 1:1(0)
	event closed ECONNRESET
	gone
`,
);

script(
	"RFC 5961 3.2: the right edge of the window still counts as inside",
	`
	established(mss 1460)
	< R 65535:65535(0)
	> . 1:1(0) ack 1
	< R 65536:65536(0)
	no segment for 1
`,
);

script(
	"RFC 5961 4.2: a SYN on an established connection is challenged, whatever its number",
	`
	established(mss 1460)
	< S 1:1(0) <mss 1460>
	> . 1:1(0) ack 1
	< S 500:500(0) <mss 1460>
	> . 1:1(0) ack 1
	< S 1000000:1000000(0) <mss 1460>
	> . 1:1(0) ack 1
	< S. 0:0(0) ack 1 <mss 1460>
	> . 1:1(0) ack 1
	info state=ESTABLISHED
	counter synInWindow=2
	counter outsideWindow=2
`,
);

script(
	"RFC 5961 4.2: a peer that has restarted resets by its answer to the challenge",
	`
	established(mss 1460)
	< S 1000000:1000000(0) <mss 1460>
	> . 1:1(0) ack 1
	< R 1:1(0)
	event closed ECONNRESET
	gone
`,
);

script(
	"RFC 5961 5.2: an ACK of what was never sent is dropped and challenged",
	`
	established(mss 1460)
	write 10
	> P. 1:11(10) ack 1
	< P. 1:11(10) ack 12
	> . 11:11(0) ack 1
	readable 0
	< . 1:1(0) ack 11
	no segment for 1
`,
);

script(
	"RFC 5961 5.2: an ACK that is older than the largest window is dropped and challenged",
	`
	established(mss 1460, win 1000)
	write 500
	> P. 1:501(500) ack 1
	< . 1:1(0) ack 501
	write 1000
	> P. 501:1501(1000) ack 1
	< . 1:1(0) ack 1501
	< P. 1:11(10) ack 1
	> . 1501:1501(0) ack 1
	readable 0
	< P. 1:11(10) ack 1501
	+0~0.05 > . 1501:1501(0) ack 11
	event readable
	read 10
`,
);

script(
	"RFC 5961 5.2: an ACK that is old but within the largest window may carry data",
	`
	established(mss 1460)
	write 500
	> P. 1:501(500) ack 1
	< . 1:1(0) ack 501
	< P. 1:11(10) ack 1
	+0~0.05 > . 501:501(0) ack 11
	event readable
	read 10
`,
);

script(
	"RFC 5961 7: challenge ACKs are limited per second",
	`
	established(mss 1460)
	< R 1001:1001(0)
	> . 1:1(0) ack 1
	< R 1001:1001(0)
	> . 1:1(0) ack 1
	< R 1001:1001(0)
	no segment for 0.5
	< S 1001:1001(0)
	no segment for 1.5
	< R 1001:1001(0)
	> . 1:1(0) ack 1
`,
	{ host: { tcp: { challengeAcks: 2 } } },
);

script(
	"RFC 9293 3.10.7.4, first: a segment outside the window is answered with an ACK",
	`
	established(mss 1460)
	< P. 100000:100010(10) ack 1
	> . 1:1(0) ack 1
	readable 0
`,
);

script(
	"RFC 9293 3.10.7.4, fifth: a segment without ACK is dropped",
	`
	established(mss 1460)
	< P 1:11(10)
	no segment for 1
	readable 0
	< - 1:11(10)
	no segment for 1
	readable 0
`,
);

script(
	"RFC 9293 3.10.7.4: what overlaps with data received before counts once",
	`
	established(mss 1460)
	< . 1:101(100) ack 1
	+0~0.05 > . 1:1(0) ack 101
	< P. 51:151(100) ack 1
	> . 1:1(0) ack 151
	event readable
	readable 150
	read 150
`,
);

script(
	"RFC 9293 3.10.7.4: data beyond the window is cut off",
	`
	established(mss 1460)
	< P. 65001:66001(1000) ack 1
	> . 1:1(0) ack 1
	< R 1:1(0)
	event closed ECONNRESET
`,
	{ host: { tcp: { maxReceiveBuffer: 65535, receiveBuffer: 65535 } } },
);
