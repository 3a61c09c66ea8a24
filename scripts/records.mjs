// Writes the record classes (src/**/*.gen.ts) from their layouts in scripts/records/. `--check` only compares.
//
// A script, not code built at start-up: plain classes with constant offsets are inlined by every engine without warm-up, need
// no `new Function` (which content security policies forbid), and can be read.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const check = process.argv.includes("--check");
const layouts = new URL("./records/", import.meta.url);
let stale = 0;
for (const entry of readdirSync(layouts).sort()) {
	const { default: layout } = await import(new URL(entry, layouts));
	const names = Object.keys(layout.fields);
	if (names.length > layout.words) throw new Error(`${entry}: ${names.length} fields do not fit ${layout.words} words`);
	const lines = [
		`// Written by scripts/records.mjs from scripts/records/${entry}; change it there.`,
		"",
		`/** Words (of 4 bytes) of one ${layout.name} record. */`,
		`export const ${layout.name.replace(/(?<!^)[A-Z]/g, "_$&").toUpperCase()}_WORDS = ${layout.words};`,
		"",
		`/** ${layout.comment} Point it at a record with \`at\`; one instance serves all records. */`,
		`export class ${layout.name} {`,
		"\t/** The arena as words. */",
		"\treadonly w: Int32Array;",
		"\t/** Word offset of record 0. */",
		"\treadonly base: number;",
		"\t/** Number of the record that this is pointed at. */",
		"\tindex = 0;",
		"\t/** Word offset of that record. */",
		"\tb = 0;",
		"",
		"\tconstructor(words: Int32Array, base: number) {",
		"\t\tthis.w = words;",
		"\t\tthis.base = base;",
		"\t\tthis.b = base;",
		"\t}",
		"",
		"\tat(index: number): this {",
		"\t\tthis.index = index;",
		`\t\tthis.b = this.base + index * ${layout.words};`,
		"\t\treturn this;",
		"\t}",
	];
	for (const [offset, name] of names.entries()) {
		const comment = layout.fields[name];
		lines.push("");
		if (comment !== "") lines.push(`\t/** ${comment} */`);
		lines.push(`\tget ${name}(): number {`, `\t\treturn this.w[this.b + ${offset}]!;`, "\t}");
		lines.push(`\tset ${name}(value: number) {`, `\t\tthis.w[this.b + ${offset}] = value;`, "\t}");
	}
	lines.push("}", "");
	if (layout.listed) {
		lines.push(`/** Word offsets in a ${layout.name} record, for code that keeps lists through records. */`);
		lines.push(`export const ${layout.name.charAt(0).toLowerCase()}${layout.name.slice(1)}Offset = {`);
		for (const [offset, name] of names.entries()) lines.push(`\t${name}: ${offset},`);
		lines.push("} as const;", "");
	}
	const target = new URL(`../${layout.file}`, import.meta.url);
	const text = lines.join("\n");
	if (check) {
		let old = "";
		try {
			old = readFileSync(target, "utf8");
		} catch {}
		if (old !== text) {
			console.error(`${layout.file} is not what scripts/records/${entry} describes; run npm run records`);
			stale++;
		}
	} else writeFileSync(target, text);
}
process.exitCode = stale === 0 ? 0 : 1;
