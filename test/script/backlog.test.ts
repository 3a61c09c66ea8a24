/** Bounds of a listener, and sequence numbers that cannot be guessed: RFC 4987, RFC 6528, RFC 7323 5.4, RFC 6056. */
import { script } from "../helpers/script.ts";

script(
	"RFC 4987: half-open connections have a bound; a SYN beyond it is dropped and may come again",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	b < S 0:0(0) <mss 1460>
	b > S. 0:0(0) ack 1 <mss 1460>
	c < S 0:0(0) <mss 1460>
	no segment for 0.1
	< . 1:1(0) ack 1
	c < S 0:0(0) <mss 1460>
	c > S. 0:0(0) ack 1 <mss 1460>
	c < . 1:1(0) ack 1
	b < . 1:1(0) ack 1
	accept
	b accept
	c accept
`,
	{ host: { tcp: { synBacklog: 2 } } },
);

script(
	"RFC 4987: a half-open connection that is reset makes room",
	`
	listen
	< S 0:0(0) <mss 1460>
	> S. 0:0(0) ack 1 <mss 1460>
	b < S 0:0(0) <mss 1460>
	no segment for 0.1
	< R 1:1(0)
	b < S 0:0(0) <mss 1460>
	b > S. 0:0(0) ack 1 <mss 1460>
	b < . 1:1(0) ack 1
	b accept
`,
	{ host: { tcp: { synBacklog: 1 } } },
);

script(
	"RFC 9293 3.10.4: a listener that is closed forgets half-open connections, and keeps those it has handed over",
	`
	established(mss 1460)
	b < S 0:0(0) <mss 1460>
	b > S. 0:0(0) ack 1 <mss 1460>
	unlisten
	b > R. 1:1(0) ack 1
	b < . 1:1(0) ack 1
	b > R 1:1(0)
	c < S 0:0(0) <mss 1460>
	c > R. 0:0(0) ack 1
	write 10
	> P. 1:11(10) ack 1
	< . 1:1(0) ack 11
`,
);

script(
	"design: connections beyond the limit are refused, and counted",
	`
	established(mss 1460)
	b < S 0:0(0) <mss 1460>
	no segment for 1
	< R 1:1(0)
	event closed ECONNRESET
	b < S 0:0(0) <mss 1460>
	b > S. 0:0(0) ack 1 <mss 1460>
`,
	{ host: { tcp: { maxConnections: 1 } } },
);
