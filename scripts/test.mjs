/**
 * Runs the compiled tests of build/test.
 *
 *   node scripts/test.mjs [--unit | --kernel] [--verbose] [WORD...]
 *
 * First all tests that need nothing but Node, files side by side. Then test/kernel/, where real programs talk to the stack
 * over devices: as root with /dev/net/tun, one file after the other, each in a network namespace of its own, so that no
 * packet can leave by the machine's routes. Where that is not possible, one line per file says why. WORDs choose the files
 * whose path contains one of them. The last line is `N passed, N failed`; the exit code is 1 if anything failed.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { argv, chdir, env, execPath, exit, getuid } from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

chdir(fileURLToPath(new URL("..", import.meta.url)));
const { values: options, positionals: words } = parseArgs({
	args: argv.slice(2),
	options: { unit: { type: "boolean" }, kernel: { type: "boolean" }, verbose: { type: "boolean" } },
	allowPositionals: true,
});

/** A test, or a file of tests, that hangs this long is a failure, in ms; MILLRACE_LONG=1 runs the full size of what is cut short otherwise. */
const TEST_TIMEOUT = env.MILLRACE_LONG === "1" ? 1_800_000 : 300_000;

const all = existsSync("build/test")
	? readdirSync("build/test", { recursive: true })
			.map((name) => join("build/test", String(name)))
			.filter((name) => name.endsWith(".test.js") && (words.length === 0 || words.some((word) => name.includes(word))))
			.sort()
	: [];
const isKernel = (file) => file.startsWith(join("build/test/kernel/"));

const scratch = mkdtempSync(join(tmpdir(), "millrace-test-"));
const totalsFile = join(scratch, "totals");
const totals = { passed: 0, failed: 0, skipped: 0 };

/** Runs node's test runner over `files`, its command line put behind `prefix`, and adds up what it says. */
function runTests(files, prefix, concurrency) {
	rmSync(totalsFile, { force: true });
	const reporter = fileURLToPath(new URL("test-reporter.mjs", import.meta.url));
	const reporters = [`--test-reporter=${reporter}`, "--test-reporter-destination=stdout"];
	if (options.verbose) reporters.push("--test-reporter=spec", "--test-reporter-destination=stderr");
	const node = [execPath, "--test", `--test-concurrency=${concurrency}`, `--test-timeout=${TEST_TIMEOUT}`, ...reporters, ...files];
	const [command, ...args] = [...prefix, ...node];
	const { status, error } = spawnSync(command, args, {
		stdio: ["ignore", "inherit", "inherit"],
		env: { ...env, MILLRACE_TEST_TOTALS: totalsFile, ...(prefix.length > 0 ? { MILLRACE_TEST_NAMESPACE: "1" } : {}) },
		timeout: prefix.length > 0 ? TEST_TIMEOUT + 30_000 : undefined,
		killSignal: "SIGKILL",
	});
	const said = existsSync(totalsFile) ? JSON.parse(readFileSync(totalsFile, "utf8")) : { passed: 0, failed: 0, skipped: 0 };
	if (status !== 0 && said.failed === 0) {
		console.log(`not ok  ${files.length === 1 ? files[0] : "the test runner"}: ${error?.message ?? `exit code ${status}`}`);
		said.failed = 1;
	}
	for (const key of Object.keys(totals)) totals[key] += said[key];
}

/** What is missing for tests with devices, or null. */
function kernelTestsLack() {
	if (process.platform !== "linux") return "need Linux";
	if (getuid() !== 0) return "need root (for TAP devices and network namespaces)";
	try {
		accessSync("/dev/net/tun", constants.R_OK | constants.W_OK);
	} catch (error) {
		return `need /dev/net/tun (${error.code})`;
	}
	const { status, error } = spawnSync("unshare", ["-n", "true"]);
	return status === 0 ? null : `need network namespaces (unshare -n: ${error?.code ?? `exit code ${status}`})`;
}

if (all.length === 0) {
	console.log(`not ok  no test file in build/test${words.length > 0 ? ` has ${words.join(" or ")} in its path` : ": run npm run build"}`);
	totals.failed++;
}
try {
	const unit = options.kernel ? [] : all.filter((file) => !isKernel(file));
	if (unit.length > 0) runTests(unit, [], availableParallelism());

	const kernel = options.unit ? [] : all.filter(isKernel);
	const lack = kernel.length > 0 ? kernelTestsLack() : null;
	for (const file of kernel) {
		if (lack === null) runTests([file], ["unshare", "-n", "sh", "-c", '"$0" scripts/loopback-up.mjs && exec "$0" "$@"'], 1);
		else console.log(`skipped  ${file.replace("build/", "").replace(/\.js$/, "")}: ${lack}`);
	}
} finally {
	rmSync(scratch, { recursive: true, force: true });
}
if (totals.skipped > 0) console.log(`${totals.skipped} skipped`);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
exit(totals.failed === 0 ? 0 : 1);
