/** The README's table of figures, from the kept results: a choice of rows, each beside what it is compared with. */
import { number, times } from "./numbers.ts";
import type { Stored } from "./results.ts";

interface Choice {
	readonly what: string;
	/** Name of the result file, without its ending. */
	readonly file: string;
	readonly row: string;
	readonly against: string;
	readonly unit: string;
}

/** A choice on both Nodes. */
const both = (what: string, file: string, row: string, against: string, unit: string): Choice[] => [
	{ what: `${what}, Node 20`, file, row, against, unit },
	{ what: "the same, Node 26", file: `${file}-node26`, row, against, unit },
];

const served = (server: string): Choice[] => [
	...both(`\`${server}\`, keep-alive`, server, "keep-alive, millrace (tap)", "keep-alive, kernel (lo)", "requests/s"),
	...both(`\`${server}\`, one request per connection`, server, "short, millrace (tap)", "short, kernel (lo)", "connections/s"),
];

const lost = (percent: number, what: string): Choice => ({
	what,
	file: "goodput",
	row: `download, ${percent} % loss, millrace cubic`,
	against: `download, ${percent} % loss, kernel cubic`,
	unit: "Mbit/s",
});

const CHOICES: readonly Choice[] = [
	...served("net"),
	...served("http"),
	{
		what: "`host.tcp`, one request per connection, against kernel `net`",
		file: "portable",
		row: "short, millrace host.tcp (tap)",
		against: "short, kernel (lo)",
		unit: "connections/s",
	},
	...both("64-byte round trip, p50 (less is better)", "latency", "round trip p50, millrace (tap)", "round trip p50, kernel (lo)", "us"),
	{
		what: "the same with `--spin off`, Node 20",
		file: "latency",
		row: "round trip p50, millrace (tap, --spin off)",
		against: "round trip p50, kernel (lo)",
		unit: "us",
	},
	...both("bulk, server sends", "bulk", "server sends, millrace (tap)", "server sends, kernel (lo)", "Gbit/s"),
	...both("bulk, server receives", "bulk", "server receives, millrace (tap)", "server receives, kernel (lo)", "Gbit/s"),
	...both(
		"bulk, server receives, the client's kernel by BBR",
		"bulk",
		"server receives (kernel: bbr), millrace (tap)",
		"server receives (kernel: bbr), kernel (lo)",
		"Gbit/s",
	),
	{
		what: "short connections, AF_XDP at both ends of a veth pair",
		file: "xdp",
		row: "short, millrace to millrace (xdp)",
		against: "short, kernel net to kernel net",
		unit: "connections/s",
	},
	lost(0, "goodput, 100 Mbit/s, 40 ms, 0 % loss, CUBIC"),
	lost(1, "the same with 1 % loss (random: a round is half or twice the other)"),
	lost(3, "the same with 3 % loss (random as well)"),
	{
		what: "the same with 3 % loss, BBR",
		file: "goodput",
		row: "download, 3 % loss, millrace bbr",
		against: "download, 3 % loss, kernel bbr",
		unit: "Mbit/s",
	},
];

/** The table in Markdown, of what there is. @param results By name of their file, without its ending. */
export function figuresTable(results: ReadonlyMap<string, Stored>): string {
	const lines = ["| what | Millrace | kernel | ratio | command |", "| --- | ---: | ---: | ---: | --- |"];
	for (const { what, file, row, against, unit } of CHOICES) {
		const result = results.get(file);
		const ours = result?.rows.find((each) => each.name === row && each.against === against);
		const theirs = result?.rows.find((each) => each.name === against);
		if (result === undefined || ours === undefined || theirs === undefined) continue;
		const command = `npm run bench -- ${result.name}${file.includes("-node") ? " --node PATH" : ""}`;
		lines.push(
			`| ${what} | ${number(ours.value)} ${unit} | ${number(theirs.value)} | ${times(ours.ratio!, ours.goal, ours.met)} | \`${command}\` |`,
		);
	}
	return lines.join("\n");
}
