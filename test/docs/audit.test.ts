/** The audit pages of docs/rfc: whatever file, name or test they mention is there. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const read = (...path: string[]) => readFileSync(join(root, ...path), "utf8");

const tests = readdirSync(join(root, "test"), { recursive: true })
	.map(String)
	.filter((name) => name.endsWith(".ts"))
	.map((name) => read("test", name))
	.join("\n");

interface Row {
	clause: string;
	where: string;
	tests: string;
	state: string;
}

function rows(page: string): Row[] {
	return read("docs/rfc", page)
		.split("\n")
		.filter((line) => /^\|.*\|$/.test(line) && !/^\|[-| ]+\|$/.test(line))
		.map((line) => line.slice(1, -1).split("|"))
		.filter((cells) => cells.length === 5 && cells[0]!.trim() !== "clause" && cells[0]!.trim() !== "part")
		.map((cells) => ({ clause: cells[0]!.trim(), where: cells[2]!, tests: cells[3]!, state: cells[4]!.trim() }));
}

const pages = readdirSync(join(root, "docs/rfc")).filter((name) => name !== "README.md");

for (const page of pages) {
	test(`${page} mentions files, names and tests that are there`, () => {
		const table = rows(page);
		assert.ok(table.length > 3, "a page has a table of five columns");
		for (const { clause, where, tests: named, state } of table) {
			let source = "";
			for (const [, name] of where.matchAll(/`([^`]+)`/g)) {
				if (name!.endsWith(".ts")) {
					assert.ok(existsSync(join(root, "src", name!)), `${clause}: src/${name} is there`);
					source = read("src", name!);
				} else assert.ok(new RegExp(`(?<![\\w#])${name}\\b`).test(source), `${clause}: ${name} is in the file named before it`);
			}
			for (const [, name] of named.matchAll(/"([^"]+)"/g)) assert.ok(tests.includes(name!), `${clause}: there is a test "${name}"`);
			assert.notEqual(state, "", `${clause}: has a state`);
		}
	});
}

test("the list of pages is complete", () => {
	const index = read("docs/rfc/README.md");
	for (const page of pages) assert.ok(index.includes(`(${page})`), `${page} is in docs/rfc/README.md`);
});
