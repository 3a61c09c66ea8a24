/** Pacing: on a clock of 32 bits that wraps every 71.6 minutes, and after a window that was shut. */
import { script } from "../helpers/script.ts";

for (const [what, tcp] of [
	["BBR", { congestion: "bbr" }],
	["Pacing of a window", { pacing: true }],
] as const)
	for (const idle of [4264, 4290, 2 * 4295 - 30]) {
		script(
			`${what}: after ${idle} s of silence a segment leaves at once`,
			`
			established(mss 1000, sackOK, rtt 0.1)
			write 1000
			> P. 1:1001(1000) ack 1
			+0.1 < . 1:1(0) ack 1001
			no segment for ${idle}
			write 1000
			> P. 1001:2001(1000) ack 1
			+0.1 < . 1:1(0) ack 2001
		`,
			{ host: { tcp } },
		);
		script(
			`${what}: a connection that begins after ${idle} s has its first segments at once`,
			`
			listen
			+${idle} established(mss 1000, sackOK, rtt 0.1)
			write 1000
			> P. 1:1001(1000) ack 1
			+0.1 < . 1:1(0) ack 1001
			write 1000
			> P. 1001:2001(1000) ack 1
			+0.1 < . 1:1(0) ack 2001
		`,
			{ host: { tcp } },
		);
	}

const ROUNDS = 6;
const PROBES = 15;
script(
	"BBR: probes that a shut window takes, a byte each, are no measure of the path",
	`
	established(mss 1000, sackOK, rtt 0.1, win 5000)
	write 36000
	${Array.from(
		{ length: ROUNDS },
		(_, i) => `
		+0~1 > burst ${1 + 5000 * i}:${5001 + 5000 * i}(5000)
		+0.1 < . 1:1(0) ack ${5001 + 5000 * i} win ${i < ROUNDS - 1 ? 5000 : 0}
	`,
	).join("")}
	${Array.from(
		{ length: PROBES },
		(_, i) => `
		+0.1~2 > . ${30001 + i}:${30002 + i}(1) ack 1
		+0.1 < . 1:1(0) ack ${30002 + i} win 0
	`,
	).join("")}
	+0.1 < . 1:1(0) ack ${30001 + PROBES} win 6000
	+0~1 > burst ${30001 + PROBES}:36001(${6000 - PROBES})
	+0.1 < . 1:1(0) ack 36001
`,
	{ host: { tcp: { congestion: "bbr" } } },
);
