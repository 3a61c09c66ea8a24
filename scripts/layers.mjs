/**
 * Holds the direction of the map in docs/design.md, section 3.
 *
 * Reads every import of src/ (static, dynamic, type-only) and reports with file and line what breaks one of four rules:
 *   1. a file imports only from its own folder, from lower layers, or from its own layer without a circle between folders;
 *   2. Node's modules, and npm packages, are imported only where the map allows the platform;
 *   3. koffi is imported only by sys/;
 *   4. layers 0 to 6 and sim/ take no time, chance or timer from the platform: these are passed in (time/clock.ts).
 * Exit code 1 if anything is reported.
 */
import { readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { argv, exit } from "node:process";
import { fileURLToPath } from "node:url";

const src = resolve(argv[2] ?? fileURLToPath(new URL("../src", import.meta.url)));

/** Layer of each unit: a folder, or the files of a folder whose names begin so. The longest match counts. */
const LAYER = {
	"memory/": 0,
	"sys/": 0,
	"wire/": 1,
	"time/": 1,
	"link/": 2,
	"ip/": 3,
	"tcp/": 4,
	"udp/": 4,
	"icmp/": 4,
	"shard/": 5,
	"socket/": 6,
	"host/": 6,
	"control/": 7,
	"link/user": 7, // a memory link with a whole gateway host behind it: stands on hosts, hidden behind the Link interface
	"sim/": 7.5, // beside 2..8: puts whole hosts into virtual time; only programs and the operator stand above it
	"node/": 8,
	"nf/": 8,
	"index.ts": 8.5, // what `import "millrace"` gives
	"cli/": 9,
	"console/": 9,
};

/** Importable by all, imports nothing. */
const COMMON = "errors.ts";

/** Where Node's modules and globals may be used, and why. */
const PLATFORM = {
	"sys/": "the seam to libc",
	"link/tap": "a kernel device",
	"link/user": "ends in kernel sockets",
	"node/": "puts Node's own interfaces on top of sockets",
	"cli/": "a command",
	"console/": "a command",
};

const FORBIDDEN = [
	[/\bDate\.now\b|\bnew Date\b|\bperformance\.now\b|\bhrtime\b/, "reads a clock: use runtime.clock"],
	[/\bMath\.random\b|\bgetRandomValues\b|\brandomBytes\b/, "takes random numbers: use runtime.random"],
	[/(?<![.\w$#])(?:setTimeout|setInterval|setImmediate)\s*\(|\bprocess\.nextTick\b/, "sets a timer: use runtime.alarm or runtime.defer"],
	[/(?<![.\w$#])(?:process\.\w|Buffer[.(]|require\s*\()/, "uses a global of Node"],
];

/** Single uses that the rules forbid and reason allows: file, what is used, why. */
const EXCEPTIONS = [
	[
		"sim/runtime.ts",
		"setImmediate(",
		"between two steps of virtual time, to let all microtasks run; no time passes and no result depends on it",
	],
];

const longestPrefix = (table, file) =>
	Object.keys(table)
		.filter((prefix) => file.startsWith(prefix))
		.sort((a, b) => b.length - a.length)[0];

/** The source with the insides of comments, strings and regular expressions blanked, every other character in its place. */
function blank(text) {
	const out = text.split("");
	const hide = (from, to) => {
		for (let i = from; i < to; i++) if (out[i] !== "\n") out[i] = " ";
	};
	const open = []; // brace depth at which each template literal around us goes on
	let depth = 0;
	let i = 0;
	const template = () => {
		const from = i;
		while (i < text.length && text[i] !== "`" && !(text[i] === "$" && text[i + 1] === "{")) i += text[i] === "\\" ? 2 : 1;
		hide(from, i);
		if (text[i] === "`") i++;
		else {
			open.push(depth);
			i += 2;
		}
	};
	while (i < text.length) {
		const c = text[i];
		if (c === "/" && (text[i + 1] === "/" || text[i + 1] === "*")) {
			const line = text[i + 1] === "/";
			const end = text.indexOf(line ? "\n" : "*/", i + 2);
			const to = end < 0 ? text.length : line ? end : end + 2;
			hide(i, to);
			i = to;
		} else if (c === '"' || c === "'") {
			const from = ++i;
			while (i < text.length && text[i] !== c && text[i] !== "\n") i += text[i] === "\\" ? 2 : 1;
			hide(from, i++);
		} else if (c === "`") {
			i++;
			template();
		} else if (
			c === "/" &&
			/(?:^|[=(,:[!&|?{};]|\breturn)$/.test(
				out
					.slice(Math.max(0, i - 80), i)
					.join("")
					.trimEnd()
					.slice(-7),
			)
		) {
			const from = ++i;
			for (let inClass = false; i < text.length && text[i] !== "\n" && (inClass || text[i] !== "/"); i++) {
				if (text[i] === "\\") i++;
				else if (text[i] === "[") inClass = true;
				else if (text[i] === "]") inClass = false;
			}
			hide(from, i++);
		} else if (c === "{") {
			depth++;
			i++;
		} else if (c === "}") {
			i++;
			if (open.at(-1) === depth) {
				open.pop();
				template();
			} else depth--;
		} else i++;
	}
	return out.join("");
}

const IMPORT =
	/\b(?:import|export)\s+(?:[\w$*{},\s]+?\bfrom\s*)?["']|\b(?:import|export)\s*[*{][\w$*{},\s]*?\bfrom\s*["']|\b(?:import|require)\s*\(\s*["']/g;

const violations = [];
/** unit -> unit -> where the first such import is. */
const edges = new Map();

const files = readdirSync(src, { recursive: true })
	.map(String)
	.filter((name) => name.endsWith(".ts"))
	.sort();
for (const file of files) {
	const text = readFileSync(join(src, file), "utf8");
	const code = blank(text);
	const at = (offset) => `src/${file}:${text.slice(0, offset).split("\n").length}`;
	const unit = longestPrefix(LAYER, file);
	if (unit === undefined && file !== COMMON) {
		violations.push(`${at(0)}: is in no layer of the map: add its folder to docs/design.md and scripts/layers.mjs`);
		continue;
	}
	const platform = longestPrefix(PLATFORM, file);

	for (const match of code.matchAll(IMPORT)) {
		const quote = match.index + match[0].length;
		const specifier = text.slice(quote, code.indexOf(text[quote - 1], quote));
		if (!specifier.startsWith(".")) {
			if (specifier === "koffi" ? unit !== "sys/" : !isBuiltin(specifier))
				violations.push(`${at(match.index)}: imports ${specifier}: only sys/ may import koffi, nobody another package`);
			else if (platform === undefined)
				violations.push(`${at(match.index)}: imports ${specifier}: layer ${LAYER[unit] ?? "common"} knows no Node API`);
			continue;
		}
		const target = relative(src, resolve(src, dirname(file), specifier)).replaceAll("\\", "/");
		if (target === COMMON && file !== COMMON) continue;
		const other = longestPrefix(LAYER, target);
		if (file === COMMON || other === undefined || LAYER[other] > LAYER[unit]) {
			const layers =
				file === COMMON
					? "must import nothing"
					: other === undefined
						? "is in no layer"
						: `layer ${LAYER[unit]} imports layer ${LAYER[other]}`;
			violations.push(`${at(match.index)}: imports ${target}: ${layers}`);
		} else if (other !== unit) {
			if (!edges.has(unit)) edges.set(unit, new Map());
			if (!edges.get(unit).has(other)) edges.get(unit).set(other, at(match.index));
		}
	}
	if (platform === undefined) {
		for (const [pattern, what] of FORBIDDEN) {
			for (const match of code.matchAll(new RegExp(pattern, "g"))) {
				const used = match[0].trim();
				if (!EXCEPTIONS.some(([where, name]) => where === file && name === used)) violations.push(`${at(match.index)}: ${used} ${what}`);
			}
		}
	}
}

// Circles between folders: since imports never go up, one can only lie within a layer.
const finished = new Set();
const path = [];
function visit(unit) {
	if (finished.has(unit)) return;
	const start = path.indexOf(unit);
	if (start >= 0) {
		const circle = [...path.slice(start), unit];
		const where = circle.slice(1).map((to, i) => `${edges.get(circle[i]).get(to)} (${circle[i]} -> ${to})`);
		violations.push(`${where[0]}: circle between folders: ${where.join(", ")}`);
		return;
	}
	path.push(unit);
	for (const to of edges.get(unit)?.keys() ?? []) visit(to);
	path.pop();
	finished.add(unit);
}
for (const unit of edges.keys()) visit(unit);

for (const violation of violations) console.log(violation);
console.log(violations.length === 0 ? `layers: ${files.length} files keep the map` : `layers: ${violations.length} violations`);
exit(violations.length === 0 ? 0 : 1);
