/**
 * The preload: `node --import millrace/register server.js`, or `-r millrace/register`, puts the TCP sockets of a program on Millrace.
 *
 * Reads the options of the run from the environment (run-options.ts), patches `net` (patch.ts), and opens link and host when the
 * first socket needs them. `millrace run` does the same within its own process.
 *
 * One thread of one process has the stack: an address cannot be had twice. That is the main thread of the first process that
 * loads this module. Worker threads, and child processes that inherit it (by NODE_OPTIONS, or as workers of a cluster), keep the
 * kernel's sockets; NODE_DEBUG=millrace says so. The variable MILLRACE_OWNER tells them: the process id of the first.
 */
import { debuglog } from "node:util";
import { isMainThread } from "node:worker_threads";
import { MillraceError } from "../errors.ts";
import { type RunningStack, startFromEnvironment } from "./from-environment.ts";
import { installPatch } from "./patch.ts";
import { Shared } from "./policy.ts";
import { OPTIONS_VARIABLE, OWNER_VARIABLE, parseRunOptions } from "./run-options.ts";

/** "0" gives every connection a JSStream. */
const PLAIN_VARIABLE = "MILLRACE_PLAIN_HANDLES";
const debug = debuglog("millrace");

let stack: RunningStack | null = null;

function start(): RunningStack {
	stack ??= orEnd(startFromEnvironment);
	return stack;
}

/** What the user can put right is said in one line, without a stack trace through Node's insides. */
function orEnd<T>(action: () => T): T {
	try {
		return action();
	} catch (error) {
		if (!(error instanceof MillraceError)) throw error;
		process.stderr.write(`${error.message}\n`);
		return process.exit(2);
	}
}

function register(): void {
	const pid = String(process.pid);
	const owner = process.env[OWNER_VARIABLE] ?? pid;
	if (!isMainThread) return debug("worker thread: its sockets are the kernel's");
	if (owner !== pid) return debug("process %s has the stack: sockets of this process are the kernel's", owner);
	process.env[OWNER_VARIABLE] = pid;
	const options = orEnd(() => parseRunOptions(process.env[OPTIONS_VARIABLE] ?? ""));
	const policy = new Shared(() => stack?.host ?? null, {
		kernelPorts: options.kernelPorts,
		loopback: options.link?.kind === "loopback",
		// What the user link publishes appears on 127.0.0.1 of this machine, which is where such a listener is looked for.
		exposeLoopback: () => start().kind === "user",
		ports: options.link?.kind === "xdp" && options.address === null ? options.ports : undefined,
		leaves: (address) => start().leaves?.(address) !== false,
	});
	installPatch(() => start().host, policy, { plainHandles: process.env[PLAIN_VARIABLE] !== "0" });
}

register();
