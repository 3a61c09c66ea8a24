/**
 * Checks the package as a user gets it: what it holds, what publint says, and whether every export can be imported and
 * type-checks in a project of its own. Needs `npm run build` before.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chdir, execPath, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { formatMessage } from "publint/utils";

const root = fileURLToPath(new URL("..", import.meta.url));
chdir(root);
const manifest = JSON.parse(readFileSync("package.json", "utf8"));
const problems = [];

function run(command, args, cwd = root) {
	const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
	return { ok: status === 0, out: stdout ?? "", all: `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}` };
}

// What the tarball holds.
const scratch = mkdtempSync(join(tmpdir(), "millrace-pack-"));
const pack = run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", scratch]);
if (!pack.ok) {
	console.log(pack.all);
	exit(1);
}
const packed = [JSON.parse(pack.out)].flat(2).flatMap((entry) => (entry.files ? [entry] : Object.values(entry)))[0];
const names = packed.files.map(({ path }) => path);
const WANTED =
	/^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.+\.(?:js|d\.ts|d\.ts\.map)|src\/.+\.ts|docs\/.+\.(?:md|svg)|examples\/.+\.mjs)$/;
for (const name of names) if (!WANTED.test(name) || /\.test\./.test(name)) problems.push(`the package holds ${name}`);
for (const name of ["README.md", "LICENSE", "CHANGELOG.md"]) if (!names.includes(name)) problems.push(`the package lacks ${name}`);
const targets = Object.values(manifest.exports).flatMap((target) => (typeof target === "string" ? [target] : Object.values(target)));
for (const target of [...targets, ...Object.values(manifest.bin)].map((path) => path.replace(/^\.\//, ""))) {
	if (!names.includes(target)) problems.push(`package.json names ${target}, which the package lacks`);
}
// Whoever can make a link by a function of a file can import that file, and no other file of links.
for (const name of names.filter((name) => /^src\/link\/[^/]+\.ts$/.test(name))) {
	const key = `./link/${name.slice("src/link/".length, -".ts".length)}`;
	const makes = /^export function \w+Link(?:Pair)?\(/m.test(readFileSync(name, "utf8"));
	if (makes !== key in manifest.exports) problems.push(`package.json ${makes ? "lacks" : "should not have"} the export ${key}`);
}

// publint, with its suggestions counted as faults.
const { messages } = await publint({ pkgDir: root, strict: true });
for (const message of messages) problems.push(`publint: ${formatMessage(message, manifest)}`);

// A project that uses the package: every export, by both ways of module resolution, declarations checked as well.
const installed = join(scratch, "node_modules");
mkdirSync(join(installed, "millrace"), { recursive: true });
run("tar", ["xzf", join(scratch, packed.filename), "--strip-components=1", "-C", join(installed, "millrace")]);
for (const name of [...Object.keys(manifest.dependencies), "@koromix", "@types", "undici-types"]) {
	symlinkSync(join(root, "node_modules", name), join(installed, name));
}
const specifiers = Object.keys(manifest.exports)
	.filter((key) => key !== "./package.json")
	.map((key) => `millrace${key.slice(1)}`);
// The preload acts when it is imported, so it is only resolved here; its tests run it.
const isPreload = (specifier) => specifier.endsWith("/register");
const consumer = specifiers.map((specifier, i) =>
	isPreload(specifier) ? `import "${specifier}";` : `import * as m${i} from "${specifier}";\nexport const n${i}: object = m${i};`,
);
writeFileSync(join(scratch, "package.json"), '{ "type": "module" }\n');
writeFileSync(join(scratch, "consumer.ts"), `${consumer.join("\n")}\n`);
const tsc = join(root, "node_modules/typescript/bin/tsc");
for (const [module, resolution] of [
	["nodenext", "nodenext"],
	["esnext", "bundler"],
]) {
	const strict = ["--noEmit", "--strict", "--target", "es2023", "--lib", "es2024", "--types", "node"];
	const check = run(execPath, [tsc, ...strict, "--module", module, "--moduleResolution", resolution, "consumer.ts"], scratch);
	if (!check.ok) problems.push(`types, by ${resolution} resolution:\n${check.all}`);
}
for (const specifier of specifiers.filter((specifier) => !isPreload(specifier))) {
	const load = run(execPath, ["--input-type=module", "--eval", `await import(${JSON.stringify(specifier)})`], scratch);
	if (!load.ok) problems.push(`import ${specifier}:\n${load.all}`);
}
rmSync(scratch, { recursive: true, force: true });

for (const problem of problems) console.log(problem);
const size = `${names.length} files, ${Math.round(packed.size / 1024)} KiB packed`;
console.log(problems.length === 0 ? `package: ${size}, ${specifiers.length} exports: in order` : `package: ${problems.length} problems`);
exit(problems.length === 0 ? 0 : 1);
