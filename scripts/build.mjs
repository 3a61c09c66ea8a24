// Compiles src/ to dist/ (what is published) and src/, test/ and bench/ to build/ (what is tested and measured).
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const tsc = fileURLToPath(new URL("../node_modules/typescript/bin/tsc", import.meta.url));
for (const [project, out] of [
	["tsconfig.json", "dist"],
	["tsconfig.test.json", "build"],
]) {
	rmSync(new URL(`../${out}`, import.meta.url), { recursive: true, force: true });
	const { status } = spawnSync(process.execPath, [tsc, "-p", project], { cwd: root, stdio: "inherit" });
	if (status !== 0) process.exit(status ?? 1);
}
const cli = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(cli)) chmodSync(cli, 0o755);
