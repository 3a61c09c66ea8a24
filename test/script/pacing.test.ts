/** Pacing on a clock of 32 bits that wraps every 71.6 minutes. */
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
