/** Pages that run short: who gets them, who gives them back. */
import { script } from "../helpers/script.ts";

/** Every second byte of as much as a receive buffer takes: each in a page of its own, for ever, if nobody gives them up. */
function holes(flow: string): string {
	const lines = [`${flow} established(mss 1460)`];
	for (let at = 10; at < 10 + 2 * 512; at += 2) lines.push(`${flow} < . ${at}:${at + 1}(1) ack 1`, `${flow} > . 1:1(0) ack 1 <*>`);
	return lines.join("\n");
}

script(
	"RFC 2018 8: early bytes of peers that fall silent do not keep others from writing",
	`
	${[..."abcdefghijklmnopqrst"].map(holes).join("\n")}
	y established(mss 1460)
	y write 29200 = 1460
	y > P. 1:1461(1460) ack 1
	+0.05 y < . 1:1(0) ack 1461
	+0.1 y write 27740
	y > burst 1461:16061(14600)
	+0.1 y < . 1:1(0) ack 16061
	counter earlyShed=512
	y > burst 16061:29201(13140)
	+0.1 y < . 1:1(0) ack 29201
`,
);
