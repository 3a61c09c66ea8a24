/** ACKs alone that overtake their sender's data, as the express lane of a TAP device lets them (link/express-lane.ts). */
import { script } from "../helpers/script.ts";

script(
	"an ACK alone that overtakes data counts at once, and the data count behind it, though their numbers and timestamps are older",
	`
	established(mss 1000, sackOK, wscale 7, TS, rtt 0.1)
	write 2964
	> burst 1:2965(2964)
	+0.05 < . 2001:2001(0) ack 2965 <TS val 5010 ecr 100>
	no segment for 3
	< . 1:1001(1000) ack 1 <TS val 5000 ecr 100>
	+0~0.05 > . 2965:2965(0) ack 1001 <TS ecr 5000>
	< . 1001:2001(1000) ack 1977 <TS val 5005 ecr 100>
	+0~0.05 > . 2965:2965(0) ack 2001 <TS ecr 5005>
	event readable
	read 2000
	info retransmits=0
	counter pawsRejected=0
	counter outsideWindow=0
	counter badAck=0
`,
);

script(
	"so does one that stands at the right edge of the window, which the data on their way fill",
	`
	established(mss 1000, wscale 7, rtt 0.1)
	write 1000
	> P. 1:1001(1000) ack 1
	+0.05 < . 262145:262145(0) ack 1001 win 60
	no segment for 3
	info retransmits=0
	counter outsideWindow=0
`,
);

script(
	"the window that it tells stands; what it overtook tells an older one, which does not count",
	`
	established(mss 1000, wscale 7, rtt 0.1, win 10)
	write 3000
	> burst 1:1001(1000)
	+0.05 < . 1001:1001(0) ack 1001 win 200
	> burst 1001:3001(2000)
	< . 1:1001(1000) ack 1001 win 0
	+0~0.05 > . 3001:3001(0) ack 1001
	write 1000
	> P. 3001:4001(1000) ack 1001
	info retransmits=0
`,
);

script(
	"several of them, beside data, are no duplicate ACKs that something is lost",
	`
	established(mss 1000, sackOK, wscale 7, rtt 0.1)
	write 6000
	> burst 1:6001(6000)
	+0.05 < . 2001:2001(0) ack 1001
	< . 3001:3001(0) ack 2001
	< . 4001:4001(0) ack 3001
	< . 1:1001(1000) ack 1
	> . 6001:6001(0) ack 1001
	< . 1001:2001(1000) ack 1
	> . 6001:6001(0) ack 2001
	< . 2001:3001(1000) ack 1001
	> . 6001:6001(0) ack 3001
	< . 3001:4001(1000) ack 2001
	> . 6001:6001(0) ack 4001
	< . 4001:4001(0) ack 6001
	no segment for 3
	info retransmits=0
`,
);
