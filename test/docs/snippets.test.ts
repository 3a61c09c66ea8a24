/**
 * The code in README and guides: every `ts` and `js` block says by a second word behind the language how it is checked.
 *
 *   ts check   it type-checks in a project that has the package
 *   js run     it type-checks, runs, and ends by itself with exit code 0
 *
 * Blocks are written to a folder beside this file, from where "millrace" is the built package (its own name, by its exports).
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { OPTIONS } from "../../src/cli/options.ts";
import { IcmpCounters } from "../../src/icmp/icmp.ts";
import { IpCounters } from "../../src/ip/counters.ts";
import { WAITING_MAX } from "../../src/ip/neighbors.ts";
import { TapCounters } from "../../src/link/tap-queue.ts";
import { ShardCounters } from "../../src/shard/shard.ts";
import { TcpCounters } from "../../src/tcp/counters.ts";
import { TCP_DEFAULTS } from "../../src/tcp/options.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = fileURLToPath(new URL("./snippets/", import.meta.url));
const read = (path: string) => readFileSync(join(root, path), "utf8");

const pages = [
	"README.md",
	...readdirSync(join(root, "docs"))
		.filter((name) => name.endsWith(".md"))
		.map((name) => `docs/${name}`),
];

interface Snippet {
	page: string;
	line: number;
	language: string;
	way: string;
	code: string;
}

function snippets(page: string): Snippet[] {
	const found: Snippet[] = [];
	const text = read(page);
	for (const match of text.matchAll(/^```(ts|js|typescript|javascript|mjs)\b[ ]*(.*)\n([\s\S]*?)^```$/gm)) {
		const line = text.slice(0, match.index).split("\n").length;
		found.push({ page, line, language: match[1]!, way: match[2]!.trim(), code: match[3]! });
	}
	return found;
}

function run(args: string[], limit: number): Promise<{ code: number | null; output: string }> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], timeout: limit });
		let output = "";
		child.stdout.on("data", (chunk) => (output += chunk));
		child.stderr.on("data", (chunk) => (output += chunk));
		child.on("error", reject);
		child.on("close", (code) => resolve({ code, output }));
	});
}

const all = pages.flatMap(snippets);
const nameOf = ({ page, line, language }: Snippet) => `${page.replace(/\W/g, "-")}-${line}.${language === "ts" ? "mts" : "mjs"}`;

describe("code in README and guides", () => {
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const snippet of all) writeFileSync(join(folder, nameOf(snippet)), `${snippet.code}\nexport {};\n`);

	test("says how it is checked", () => {
		assert.ok(all.length > 10, "snippets were found");
		for (const { page, line, language, way } of all) {
			assert.ok(["ts check", "js run", "js check"].includes(`${language} ${way}`), `${page}:${line}: \`\`\`${language} ${way}`);
		}
	});

	test("type-checks against the built package", { timeout: 120_000 }, async () => {
		const options = { noEmit: true, strict: true, allowJs: true, checkJs: true, noImplicitAny: true, skipLibCheck: true };
		const modules = { target: "es2023", lib: ["es2024"], module: "nodenext", moduleResolution: "nodenext", types: ["node"] };
		writeFileSync(
			join(folder, "tsconfig.json"),
			JSON.stringify({ compilerOptions: { ...options, ...modules }, include: ["*.mts", "*.mjs"] }),
		);
		const { code, output } = await run([join(root, "node_modules/typescript/bin/tsc"), "-p", folder], 120_000);
		assert.equal(code, 0, output);
	});

	for (const snippet of all.filter(({ way }) => way === "run")) {
		test(`${snippet.page}:${snippet.line} runs`, { timeout: 60_000 }, async () => {
			const { code, output } = await run([join(folder, nameOf(snippet))], 60_000);
			assert.equal(code, 0, output);
		});
	}
});

describe("tables in README and guides", () => {
	test("guide-run.md has every option of the command line", () => {
		const guide = read("docs/guide-run.md");
		const table = guide.slice(guide.indexOf("## All options"), guide.indexOf("## The same without"));
		for (const { name } of OPTIONS) assert.ok(table.includes(`--${name}`), `--${name}`);
	});

	test("guide-options.md has every option of TCP, with its default", () => {
		const guide = read("docs/guide-options.md");
		for (const [name, value] of Object.entries(TCP_DEFAULTS)) {
			const row = guide.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
			assert.ok(row !== undefined, name);
			assert.ok(
				row
					.split("|")[2]!
					.replace(/(?<=\d) (?=\d)/g, "")
					.includes(String(value)),
				`${name} is ${value}: ${row}`,
			);
		}
	});

	test("guide-observe.md names only counters that there are", () => {
		const there = new Set(
			[new TcpCounters(), new IpCounters(), new IcmpCounters(), new ShardCounters(), new TapCounters()].flatMap((counters) =>
				Object.keys(counters),
			),
		);
		const others = new Set(["pagesInUse", "pages", "pagesExhausted", "slabsInUse", "slabs", "largePages", "rxDropNoPage"]);
		const table = read("docs/guide-observe.md")
			.split("\n")
			.filter((line) => /^\| .*\? \|/.test(line));
		assert.ok(table.length > 5, "the table was found");
		for (const line of table) {
			for (const [, name] of line.matchAll(/`(?:tcp|ip|icmp|shard|memory|link)?\.?([a-z]+[A-Z]\w*)`/g)) {
				if (name !== "onLate") assert.ok(there.has(name!) || others.has(name!) || name === "host", `${name}: ${line}`);
			}
		}
	});

	test("each counter of TCP, IP and ICMP is asserted by some test", () => {
		const tests = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
		const words = new Set(tests.flatMap((name) => read(`test/${name}`).match(/\w+/g) ?? []));
		const counters = [new TcpCounters(), new IpCounters(), new IcmpCounters()].flatMap((of) => Object.keys(of));
		assert.deepEqual(
			counters.filter((name) => !words.has(name)),
			[],
		);
	});

	test("guide-library.md has every code of ours that an error can have, and no others", () => {
		const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
		// Environment variables begin alike, but are written out once, where they are read.
		const codes = sources.flatMap((name) =>
			[...read(`src/${name}`).matchAll(/(?:Error|#fail|\w+Error)\(\s*"(MILLRACE_\w+)"/g)].map(([, code]) => code!),
		);
		const rows = [...read("docs/guide-library.md").matchAll(/^\| `(MILLRACE_\w+)`/gm)].map(([, code]) => code!);
		assert.deepEqual(rows, [...new Set(codes)].sort());
	});

	test("guide-options.md names the bounds that there are", () => {
		const guide = read("docs/guide-options.md");
		assert.match(guide, new RegExp(`^\\| packets that wait for one neighbor \\| ${WAITING_MAX} \\|`, "m"));
		assert.match(read("docs/rfc/rfc1122.md"), new RegExp(`the newest packets wait" \\| done: ${WAITING_MAX} \\|`));
	});

	test("links between pages lead somewhere, in the package too, and to headings that there are", () => {
		const headings = (text: string) =>
			[...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
				heading!
					.toLowerCase()
					.replace(/[^\w\- ]/g, "")
					.replaceAll(" ", "-"),
			);
		const { files } = JSON.parse(read("package.json")) as { files: string[] };
		const isPacked = (path: string) => [...files, "package.json"].some((name) => `${relative(root, path)}/`.startsWith(`${name}/`));
		const audits = readdirSync(join(root, "docs/rfc")).map((name) => `docs/rfc/${name}`);
		for (const page of [...pages, ...audits, "CHANGELOG.md"]) {
			for (const [, target, heading] of read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
				const path = target === "" ? join(root, page) : join(root, page, "..", target!);
				assert.ok(existsSync(path), `${page}: ${target}`);
				// Who has the package has these pages from it, and what they lead to must be there as well.
				assert.ok(isPacked(path), `${page}: ${target} is in the package`);
				if (heading !== undefined) assert.ok(headings(readFileSync(path, "utf8")).includes(heading), `${page}: ${target}#${heading}`);
			}
		}
	});
});
