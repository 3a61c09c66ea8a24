/**
 * `millrace run`: runs a program on Millrace, in this very process.
 *
 * Why no child process: the command becomes the program, so there is one process to signal, to debug, to limit and to wait
 * for. Signals, exit codes, terminals and job control are the program's without forwarding; when the process is killed, in
 * whatever way, everything it had is gone with it, a TAP device included; a link that cannot be had is reported here, with
 * exit code 2, before the first line of the program runs; start-up costs one process instead of two. What the program starts
 * itself (child processes, workers) gets an untouched environment and execArgv, and so uses the kernel's sockets.
 *
 * The program is started by `Module.runMain`, the function that `node script.js` itself ends in: CommonJS or ES module by
 * Node's own rules, `require.main`, `import.meta.main` and exit code 13 for an unsettled top-level await included. (Tried on
 * Node 20, 22, 24 and 26.) `process.argv` is what `node script.js ...` would have made of it.
 *
 * The same can be had without this command by `node --import millrace/register`: options travel to that module through the
 * environment either way.
 */
import Module, { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { MillraceError } from "../errors.ts";
import { OPTIONS_VARIABLE, OWNER_VARIABLE } from "../node/run-options.ts";
import { parseRun } from "./options.ts";

/** Not in the type library, but in every version since 0.x: it runs the program that `process.argv[1]` names. */
const { runMain } = Module as unknown as { runMain: () => void };

/**
 * Reads the command line, takes the stack into service and starts the program.
 *
 * @throws {MillraceError} before the program has begun: bad option, no script, no link.
 */
export async function run(words: readonly string[]): Promise<void> {
	const { options, script, args } = parseRun(words);
	const path = resolve(script);
	mustExist(script, path);

	// The variables are only for the preload: the program and what it starts see the environment that the command was given.
	const before = { [OPTIONS_VARIABLE]: process.env[OPTIONS_VARIABLE], [OWNER_VARIABLE]: process.env[OWNER_VARIABLE] };
	process.env[OPTIONS_VARIABLE] = JSON.stringify(options);
	delete process.env[OWNER_VARIABLE];
	// In this order: the gateway must have seen `net` as it was before the preload changes it.
	const { startFromEnvironment } = await import("../node/from-environment.ts");
	await startFromEnvironment().ready;
	await import("../node/preload.ts");
	for (const [name, value] of Object.entries(before)) {
		if (value === undefined) delete process.env[name];
		else process.env[name] = value;
	}

	process.argv.splice(1, process.argv.length, path, ...args);
	// On a turn of its own: what the program throws is its own uncaught exception, not a rejection of this function.
	setImmediate(() => runMain());
}

/** The script must be one that Node would find under this name. */
function mustExist(script: string, path: string): void {
	try {
		createRequire(join(process.cwd(), "script.js")).resolve(path);
	} catch {
		throw new MillraceError("MILLRACE_NO_SCRIPT", `script not found: ${script}; give the path of a JavaScript file`);
	}
}
