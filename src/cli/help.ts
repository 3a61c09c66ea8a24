/**
 * What `millrace help` and `millrace --version` print.
 */
import { createRequire } from "node:module";
import { OPTIONS } from "./options.ts";

/** Column in which explanations begin. */
const COLUMN = 35;

/** What `--link` may say. */
const LINKS: readonly (readonly [link: string, what: string])[] = [
	["tap, tap:NAME", "a TAP device: this machine's kernel is the other end; root or CAP_NET_ADMIN"],
	["user", "rootless: listeners on 127.0.0.1, connections by kernel sockets"],
	["loopback", "127.0.0.0/8 within the program"],
	["xdp:INTERFACE", "an interface, past the kernel: --ports of its address, or an --address beside it"],
	["packet:INTERFACE", "an interface, beside the kernel, with an --address; needs no XDP"],
	["stream:unix:PATH", "frames behind their lengths on a UNIX socket, as QEMU -netdev stream has them"],
	["stream:tcp:HOST:PORT", "the same by TCP (also QEMU -netdev socket)"],
	["stream:listen:unix:PATH", "the same, waiting for the other side; it may leave and come again"],
	["stream:listen:tcp:[HOST:]PORT", "the same by TCP; HOST is 127.0.0.1 unless it is given"],
	["stream:udp:[ADDR:]PORT:ADDR:PORT", "a frame a datagram, from the port here to the other side's (QEMU -netdev dgram)"],
	["pcap:FILE", "what a capture holds arrives again, in its time; answers go into --capture"],
];

const row = (left: string, right: string): string => `  ${left.padEnd(COLUMN)}${right}\n`;

/** The version of this package. */
export function versionText(): string {
	return (createRequire(import.meta.url)("millrace/package.json") as { version: string }).version;
}

export function helpText(): string {
	const options = OPTIONS.map(({ name, value, otherwise, help }) => {
		const argument = value === undefined ? "" : otherwise === undefined ? ` ${value}` : ` [${value}]`;
		return row(`--${name}${argument}`, help);
	});
	return [
		"millrace: a user-level TCP/IP stack for Node.js\n\n",
		row("millrace run [options] script.js [arguments]", "").trimEnd(),
		"\n",
		row("", "runs a program with its TCP sockets on Millrace"),
		row("millrace doctor", "says which links can run here, and why others cannot"),
		row("millrace help", "this text"),
		row("millrace --version", "the version"),
		"\nOptions of run:\n",
		...options,
		"\nLinks:\n",
		...LINKS.map(([link, what]) => row(link, what)),
		"\nThe same without the command: node --import millrace/register script.js, with the options as JSON in the\n",
		'environment: MILLRACE_OPTIONS=\'{"link":"user","impair":{"loss":"2%"}}\'. Options for Node itself go before the command:\n',
		"node --max-old-space-size=4096 node_modules/millrace/dist/cli/main.js run script.js, or into NODE_OPTIONS.\n",
		"Exit code: the program's own; 2 for a wrong command line or a link that cannot be had here; of doctor 1 if none can.\n",
	].join("");
}
