/**
 * The notation of packet scripts: one line of text to one Step, and segments back to text.
 *
 *   +0.1  < P. 1:11(10) ack 1 win 65535 <mss 1460,TS val 5 ecr 0>     // a comment
 *
 * A line is [time] [&] [flow] command. Time is `+seconds` after the line before, or `+from~to`. `&` does not let the stack run since
 * the line before. A flow is one small letter; without it, flow a. The commands are in script.ts.
 */

export interface Pattern {
	flags: string;
	seq: number;
	length: number;
	ack: number | undefined;
	window: number | undefined;
	urgent: number;
	/** Undefined: nothing was said; null: `<*>`, anything; else what must be (or is) there. */
	options: OptionPattern | null | undefined;
}

export interface OptionPattern {
	mss?: number;
	wscale?: number;
	sackPermitted?: boolean;
	sack?: [number, number][];
	ts?: { val: number | undefined; ecr: number | undefined };
	raw?: Uint8Array;
}

export interface Step {
	/** Line number in the script, from 1. */
	line: number;
	text: string;
	/** Seconds after the line before: earliest and latest. */
	from: number;
	to: number;
	joined: boolean;
	flow: string;
	command: string;
	rest: string;
}

/** Splits a script into steps; empty lines and comments are none. */
export function parseScript(source: string): Step[] {
	const steps: Step[] = [];
	source.split("\n").forEach((raw, index) => {
		const text = raw.replace(/\/\/.*$/, "").trim();
		if (text === "") return;
		const match = /^(?:\+([\d.]+)(?:~([\d.]+))?\s+)?(&\s*)?(?:([a-z])\s+)?([<>]|established|[a-z]+)(.*)$/.exec(text);
		if (!match) throw new Error(`line ${index + 1}: cannot read "${text}"`);
		const from = Number(match[1] ?? 0);
		steps.push({
			line: index + 1,
			text,
			from,
			to: match[2] === undefined ? from : Number(match[2]),
			joined: match[3] !== undefined,
			flow: match[4] ?? "a",
			command: match[5]!,
			rest: match[6]!.trim(),
		});
	});
	return steps;
}

/** Reads `FLAGS seq:end(len) [ack n] [win n] [urg n] [<options>]`. */
export function parseSegment(text: string): Pattern {
	const match = /^([SFRPUEC]*\.?|-)\s+(\d+):(\d+)\((\d+)\)(?:\s+ack\s+(\d+))?(?:\s+win\s+(\d+))?(?:\s+urg\s+(\d+))?(?:\s+<([^>]*)>)?$/.exec(
		text,
	);
	if (!match || match[1] === "") throw new Error(`cannot read segment "${text}"`);
	const seq = Number(match[2]);
	const length = Number(match[4]);
	if (seq + length !== Number(match[3])) throw new Error(`${match[2]}:${match[3]}(${match[4]}) does not add up`);
	const flags = match[1] === "-" ? "" : match[1]!;
	if (flags.includes(".") !== (match[5] !== undefined)) throw new Error(`ACK flag and ack number go together in "${text}"`);
	return {
		flags,
		seq,
		length,
		ack: match[5] === undefined ? undefined : Number(match[5]),
		window: match[6] === undefined ? undefined : Number(match[6]),
		urgent: Number(match[7] ?? 0),
		options: match[8] === undefined ? undefined : parseOptions(match[8]),
	};
}

export function parseOptions(text: string): OptionPattern | null {
	if (text.trim() === "*") return null;
	const options: OptionPattern = {};
	for (const part of text.split(",").map((piece) => piece.trim())) {
		const words = part.split(/\s+/);
		if (part === "" || part === "nop") continue;
		if (words[0] === "mss") options.mss = Number(words[1]);
		else if (words[0] === "wscale") options.wscale = Number(words[1]);
		else if (words[0] === "sackOK") options.sackPermitted = true;
		else if (words[0] === "raw") options.raw = Uint8Array.from(words.slice(1).map((word) => Number.parseInt(word, 16)));
		else if (words[0] === "sack") options.sack = words.slice(1).map((block) => block.split(":").map(Number) as [number, number]);
		else if (words[0] === "TS") {
			const value = (name: string) => {
				const at = words.indexOf(name);
				return at === -1 ? undefined : Number(words[at + 1]);
			};
			options.ts = { val: value("val"), ecr: value("ecr") };
		} else throw new Error(`cannot read TCP option "${part}"`);
	}
	return options;
}

export function formatOptions(options: OptionPattern | null | undefined): string {
	if (options === undefined) return "";
	if (options === null) return " <*>";
	const parts: string[] = [];
	if (options.mss !== undefined) parts.push(`mss ${options.mss}`);
	if (options.sackPermitted) parts.push("sackOK");
	if (options.ts) {
		const { val, ecr } = options.ts;
		parts.push(`TS${val === undefined ? "" : ` val ${val}`}${ecr === undefined ? "" : ` ecr ${ecr}`}`);
	}
	if (options.wscale !== undefined) parts.push(`wscale ${options.wscale}`);
	if (options.sack) parts.push(`sack ${options.sack.map(([left, right]) => `${left}:${right}`).join(" ")}`);
	return parts.length === 0 ? "" : ` <${parts.join(",")}>`;
}

export function formatSegment(pattern: Pattern): string {
	const ack = pattern.ack === undefined ? "" : ` ack ${pattern.ack}`;
	const win = pattern.window === undefined ? "" : ` win ${pattern.window}`;
	const urg = pattern.urgent === 0 ? "" : ` urg ${pattern.urgent}`;
	return `${pattern.flags || "-"} ${pattern.seq}:${pattern.seq + pattern.length}(${pattern.length})${ack}${win}${urg}${formatOptions(pattern.options)}`;
}
