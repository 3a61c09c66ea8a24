/** scripts/layers.mjs, which holds the direction of the map: on small trees, each with one fault. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../../scripts/layers.mjs", import.meta.url));

/** What the check says of a source tree, given as file names with their text. */
function check(tree: Record<string, string>): { status: number | null; lines: string[] } {
	const root = mkdtempSync(join(tmpdir(), "millrace-layers-"));
	try {
		for (const [name, text] of Object.entries(tree)) {
			mkdirSync(dirname(join(root, name)), { recursive: true });
			writeFileSync(join(root, name), text);
		}
		const { status, stdout } = spawnSync(process.execPath, [script, root], { encoding: "utf8" });
		return { status, lines: stdout.trim().split("\n") };
	} finally {
		rmSync(root, { recursive: true, force: true });
	}
}

function refused(tree: Record<string, string>, where: RegExp): void {
	const { status, lines } = check(tree);
	assert.equal(status, 1);
	assert.equal(lines.length, 2, lines.join("\n"));
	assert.match(lines[0]!, where);
}

test("layers: imports of lower layers, of the own folder and of errors.ts are in order", () => {
	const { status } = check({
		"errors.ts": "export class E {}",
		"memory/a.ts": 'import { E } from "../errors.ts"; export const a = E;',
		"tcp/b.ts": 'import { a } from "../memory/a.ts";\nimport {\n\tc,\n} from "./c.ts";\nexport const b = a ?? c;',
		"tcp/c.ts": "export const c = 1;",
		"index.ts": 'export * from "./tcp/b.ts";',
	});
	assert.equal(status, 0);
});

test("layers: an import of a higher layer is refused, type-only and dynamic ones too", () => {
	const host = { "host/h.ts": "export type H = 1;" };
	refused({ ...host, "tcp/a.ts": '\nimport { H } from "../host/h.ts";' }, /^src\/tcp\/a\.ts:2: .*layer 4 imports layer 6/);
	refused({ ...host, "tcp/a.ts": 'import type { H } from "../host/h.ts";' }, /^src\/tcp\/a\.ts:1: /);
	refused({ ...host, "tcp/a.ts": 'export type { H } from "../host/h.ts";' }, /^src\/tcp\/a\.ts:1: /);
	refused({ ...host, "tcp/a.ts": 'const h = await import("../host/h.ts");' }, /^src\/tcp\/a\.ts:1: /);
});

test("layers: a circle between folders of one layer is refused", () => {
	refused({ "host/h.ts": 'import "../socket/s.ts";', "socket/s.ts": 'import "../host/h.ts";' }, /circle between folders/);
});

test("layers: Node's modules belong to the platform folders, koffi to sys/, other packages nowhere", () => {
	assert.equal(check({ "sys/s.ts": 'import koffi from "koffi"; import fs from "node:fs";' }).status, 0);
	refused({ "ip/i.ts": 'import fs from "node:fs";' }, /knows no Node API/);
	refused({ "node/n.ts": 'import koffi from "koffi";' }, /only sys\/ may import koffi/);
	refused({ "cli/c.ts": 'import ws from "ws";' }, /nobody another package/);
});

test("layers: protocol code reads no clock, takes no chance and sets no timer of the platform", () => {
	for (const use of [
		"Date.now()",
		"performance.now()",
		"Math.random()",
		"setTimeout(() => {}, 1)",
		"setInterval(f, 1)",
		"Buffer.alloc(1)",
	]) {
		refused({ "tcp/a.ts": `export const a = \`\${${use}}\`;` }, /^src\/tcp\/a\.ts:1: /);
	}
});

test("layers: what stands in comments and strings is no use", () => {
	const text =
		'// import "../host/h.ts"\n/* Date.now() */\nexport const a = "setTimeout(1)" + `Math.random()` + String(/["\'`]/);\nsocket.setTimeout(1);\n';
	assert.equal(check({ "tcp/a.ts": text, "host/h.ts": "" }).status, 0);
});
