/**
 * The command line: which options there are, and how a list of words becomes the object that `parseRunOptions` reads.
 *
 * Hides the spelling of options only; what a value may be is decided in node/run-options.ts, for every way in alike. It is a
 * loop of its own because `util.parseArgs` can neither stop at the script (whose options are not ours) nor take an option
 * with an optional value (`--reorder` and `--reorder 5%`).
 *
 * Rules: `--name value` or `--name=value`; the first word that is no option is the script, and all that follows is the
 * script's; an option given twice is refused unless it makes a list; an unknown one is refused by name.
 */
import { MillraceError } from "../errors.ts";
import { parseRunOptions, type RunOptions, SPIN_DEFAULT } from "../node/run-options.ts";

/** One option of `millrace run`. */
export interface OptionSpec {
	/** Name without the dashes. */
	readonly name: string;
	/** Field of RunOptions, with a dot where it is nested. */
	readonly path: string;
	/** What the value is called in the help; absent for a switch. */
	readonly value?: string;
	/** The value when none is given; with it, a value is optional and taken only if it looks like a percentage or a short time, or like one without its unit. */
	readonly otherwise?: string;
	/** May be given several times. */
	readonly list?: true;
	readonly help: string;
}

/** What an optional value of a switch-like option must look like, so that it cannot be the script's name; a unit that is missing is for the value's own check. */
const FIGURE = /^([0-9][0-9.]*(%|us|ms|s)?|off)$/;
/** How often an impairment strikes when it is asked for without a figure. */
const SOME = "1%";
/** How long a spin lasts at most, likewise. */
const SPIN = "100us";

/** All options, in the order of the help. */
export const OPTIONS: readonly OptionSpec[] = [
	{
		name: "link",
		path: "link",
		value: "LINK",
		help: "what carries the frames, see below; default: tap or else user",
	},
	{ name: "address", path: "address", value: "ADDR[/LEN]", help: "the program's address; default 10.77.0.2/24 (tap), 10.0.2.15/24 (user)" },
	{ name: "ports", path: "ports", value: "PORT,...", list: true, help: "take these ports of the machine's own address (xdp)" },
	{
		name: "outgoing-ports",
		path: "outgoingPorts",
		value: "A-B",
		help: "ports of connections it opens (xdp, --ports); default 61000-65535",
	},
	{
		name: "kernel-address",
		path: "kernelAddress",
		value: "ADDR[/LEN]",
		help: "the other end's; default 10.77.0.1/24 (tap), 10.0.2.2/24 (user)",
	},
	{
		name: "gateway",
		path: "gateway",
		value: "ADDR",
		help: "next hop off the link (tap, stream, xdp, packet); default: none or the kernel's",
	},
	{
		name: "route",
		path: "routes",
		value: "NET[=VIA]",
		list: true,
		help: "a further route (tap, stream, xdp, packet), such as 192.168.0.0/16=10.77.0.1",
	},
	{
		name: "publish",
		path: "publish",
		value: "[ADDR:]PORT:PORT",
		list: true,
		help: "port here : port of the program (user); default: each under its number",
	},
	{ name: "kernel-ports", path: "kernelPorts", value: "PORT,...", list: true, help: "ports that stay with the kernel" },
	{ name: "mac", path: "mac", value: "MAC", help: "hardware address of the program (xdp, packet, stream); interface: its" },
	{ name: "xdp-mode", path: "xdpMode", value: "MODE", help: "native (in the driver), generic (behind it), auto (default)" },
	{ name: "zero-copy", path: "zeroCopy", value: "WHEN", help: "always, never, auto (default): if the driver can (xdp)" },
	{ name: "queues", path: "queues", value: "N", help: "queues of the device (tap) or sockets (packet), all read by this process" },
	{
		name: "fanout",
		path: "fanout",
		value: "MODE",
		help: "which socket a flow comes by (packet, --queues): hash (default), ebpf, cpu, queue",
	},
	{ name: "steering", path: "steering", value: "HOW", help: "which queue a flow comes by (tap, --queues): kernel (default), flow-group" },
	{
		name: "rps",
		path: "rps",
		value: "WHICH",
		list: true,
		help: "processors for the kernel's work on what is sent (tap): auto, off, N,...",
	},
	{ name: "rx-queues", path: "rxQueues", value: "N,...", list: true, help: "queues of the interface to take (xdp); default all" },
	{ name: "ring-size", path: "ringSize", value: "FRAMES", help: "frames of each ring (xdp, a power of two; packet)" },
	{ name: "ring", path: "ring", value: "KIND", help: "v2 (default) or v3, for bursts: up to 1 ms later (packet)" },
	{
		name: "io-uring",
		path: "ioUring",
		value: "on|off",
		help: "move many frames by one system call (tap); default on, where it can be had",
	},
	{ name: "offload", path: "offload", value: "on|off", help: "leave checksums and segmentation to the kernel (tap, packet); default on" },
	{ name: "page-order", path: "pageOrder", value: "on|off", help: "put pages of long frames into the order of memory (tap); default on" },
	{
		name: "express-lane",
		path: "expressLane",
		value: "on|off",
		help: "SYNs, flows that send little and ACKs alone come first (tap); default on",
	},
	{ name: "landing", path: "landing", value: "on|off", help: "read bulk data to where programs have them (tap); default on" },
	{
		name: "qdisc-bypass",
		path: "qdiscBypass",
		value: "on|off",
		help: "go past queueing disciplines (tap, packet); default: where nothing is lost",
	},
	{ name: "tx-ring", path: "txRing", value: "on|off", help: "send short frames by a ring in shared memory (packet); default on" },
	{ name: "speed", path: "speed", value: "FACTOR", help: "of a replay (pcap): 10x, 0.5x, or max for all at once; default 1x" },
	{ name: "mtu", path: "mtu", value: "BYTES", help: "largest IP packet, 576 to 1500" },
	{ name: "loss", path: "impair.loss", value: "PERCENT", help: "frames lost, each way, such as 2%" },
	{ name: "delay", path: "impair.delay", value: "TIME", help: "one-way delay, such as 20ms" },
	{ name: "jitter", path: "impair.jitter", value: "TIME", help: "how far the delay varies, such as 5ms" },
	{ name: "rate", path: "impair.rate", value: "RATE", help: "each way, such as 100mbit" },
	{ name: "reorder", path: "impair.reorder", value: "PERCENT", otherwise: SOME, help: `frames that arrive late; ${SOME} without a figure` },
	{
		name: "duplicate",
		path: "impair.duplicate",
		value: "PERCENT",
		otherwise: SOME,
		help: `frames that arrive twice; ${SOME} without a figure`,
	},
	{ name: "corrupt", path: "impair.corrupt", value: "PERCENT", otherwise: SOME, help: `frames with a wrong bit; ${SOME} without a figure` },
	{ name: "seed", path: "impair.seed", value: "NUMBER", help: "start of the random sequence of the above" },
	{ name: "capture", path: "capture", value: "FILE", help: "write what crosses the link, pcapng" },
	{ name: "congestion", path: "congestion", value: "NAME", help: "cubic (default), newreno or bbr" },
	{ name: "memory", path: "memory", value: "SIZE", help: "memory for frames and connections, such as 256mb" },
	{ name: "slabs", path: "slabs", value: "on|off", help: "send long writes in pieces of 64 KiB (tap, packet, user); default on" },
	{ name: "hold-windows", path: "holdWindows", value: "on|off", help: "hold windows while a queue stands in the link; default on" },
	{ name: "large-pages", path: "largePages", value: "on|off", help: "large pages under the stack's memory, 8 MB and more; default off" },
	{
		name: "spin",
		path: "spin",
		value: "TIME|off",
		otherwise: SPIN,
		help: `stay awake while traffic is dense; default ${SPIN_DEFAULT}us, ${SPIN} without a figure`,
	},
	{
		name: "pooled-chunks",
		path: "pooledChunks",
		value: "on|off",
		help: "servers read short chunks into shared buffers (mind chunk.buffer); default off",
	},
	{ name: "stats", path: "stats", help: "a line of figures every second, on stderr" },
	{ name: "quiet", path: "quiet", help: "do not say which link was taken" },
];

/** What a command line of `millrace run` asks for. */
export interface RunCommand {
	options: RunOptions;
	/** As written. */
	script: string;
	/** What is the script's own. */
	args: string[];
}

/** A wrong command line; the message is one line. */
export function usageError(message: string): MillraceError {
	return new MillraceError("MILLRACE_USAGE", message);
}

/**
 * Reads the words after `millrace run`.
 *
 * @throws {MillraceError} MILLRACE_USAGE or MILLRACE_BAD_OPTION, with one line that names the option.
 */
export function parseRun(words: readonly string[]): RunCommand {
	const fields: Record<string, unknown> = {};
	const given = new Set<string>();
	let at = 0;
	for (; at < words.length; at++) {
		const word = words[at]!;
		if (word === "--") {
			at++;
			break;
		}
		if (!word.startsWith("-") || word === "-") break;
		const equals = word.indexOf("=");
		const flag = equals < 0 ? word : word.slice(0, equals);
		const spec = OPTIONS.find((option) => `--${option.name}` === flag);
		if (spec === undefined) throw unknown(flag);
		if (given.has(spec.name) && spec.list === undefined) throw usageError(`${flag} is given twice`);
		given.add(spec.name);

		let value: unknown = true;
		if (spec.value !== undefined) {
			if (equals >= 0) value = word.slice(equals + 1);
			else if (spec.otherwise !== undefined) value = FIGURE.test(words[at + 1] ?? "") ? words[++at] : spec.otherwise;
			else if (at + 1 < words.length && !words[at + 1]!.startsWith("--")) value = words[++at];
			else throw usageError(`${flag} needs a value: ${flag} ${spec.value} (${spec.help})`);
		} else if (equals >= 0) throw usageError(`${flag} takes no value`);
		put(fields, spec, value);
	}
	const script = words[at];
	const options = parseRunOptions(fields, labelOf);
	if (script === undefined) throw usageError("no script: millrace run [options] script.js [arguments]");
	return { options, script, args: words.slice(at + 1) };
}

function put(fields: Record<string, unknown>, spec: OptionSpec, value: unknown): void {
	const [outer, inner] = spec.path.split(".") as [string, string?];
	if (inner !== undefined) {
		fields[outer] ??= {};
		(fields[outer] as Record<string, unknown>)[inner] = value;
	} else if (spec.list) fields[outer] = [...((fields[outer] as unknown[]) ?? []), value];
	else fields[outer] = value;
}

function labelOf(path: string): string {
	return `--${OPTIONS.find((option) => option.path === path)?.name ?? path}`;
}

function unknown(flag: string): MillraceError {
	const near = nearest(
		flag.replace(/^-+/, ""),
		OPTIONS.map((option) => option.name),
	);
	return usageError(`unknown option ${flag}${near === null ? "; millrace help lists the options" : `; did you mean --${near}?`}`);
}

/** The name that was probably meant: at most a third of its letters wrong, or the only one that begins so. */
export function nearest(word: string, names: readonly string[]): string | null {
	const begins = names.filter((name) => word.length >= 2 && name.startsWith(word));
	if (begins.length === 1) return begins[0]!;
	let best: string | null = null;
	let least = Number.POSITIVE_INFINITY;
	for (const name of names) {
		const steps = editDistance(word, name);
		if (steps < least && steps <= Math.max(1, Math.floor(name.length / 3))) {
			least = steps;
			best = name;
		}
	}
	return best;
}

/** Letters to insert, remove, replace or swap with their neighbour until `a` is `b`. */
function editDistance(a: string, b: string): number {
	let older: number[] = [];
	let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const row = [i];
		for (let j = 1; j <= b.length; j++) {
			const same = a[i - 1] === b[j - 1];
			let steps = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
			if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) steps = Math.min(steps, older[j - 2]! + 1);
			row.push(steps);
		}
		older = previous;
		previous = row;
	}
	return previous[b.length]!;
}
