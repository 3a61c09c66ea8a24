/**
 * The preload at work: puts the TCP sockets of a program on Millrace. Loaded by register.ts, and by `millrace run` in its own process.
 *
 * Reads the options of the run from the environment (run-options.ts), patches `net` (patch.ts), and opens link and host when the
 * first socket needs them.
 *
 * One process has the stack: an address cannot be had twice. That is the first one that loads this module. Child processes that
 * inherit it (by NODE_OPTIONS, or as workers of a cluster) keep the kernel's sockets; NODE_DEBUG=millrace says so. The variable
 * MILLRACE_OWNER tells them: the process id of the first.
 *
 * The first may be one that nobody meant, such as npm. So a child whose parent had made nothing of its stack says on stderr that
 * it is without, when it has its first socket that would have been the stack's.
 */
import cluster from "node:cluster";
import { debuglog } from "node:util";
import { MillraceError } from "../errors.ts";
import { type RunningStack, startFromEnvironment } from "./from-environment.ts";
import { installPatch } from "./patch.ts";
import { KERNEL, type Policy, Shared, type SharedOptions } from "./policy.ts";
import { OPTIONS_VARIABLE, OWNER_VARIABLE, parseRunOptions, type RunOptions } from "./run-options.ts";
import { say } from "./say.ts";

/** "0" gives every connection a JSStream. */
const PLAIN_VARIABLE = "MILLRACE_PLAIN_HANDLES";
/** Behind the process id in MILLRACE_OWNER: that process uses its stack. */
const IN_USE = " in use";
const debug = debuglog("millrace");

let stack: RunningStack | null = null;

function start(): RunningStack {
	if (stack === null) {
		stack = orEnd(startFromEnvironment);
		// Not under `millrace run`, where the variable is for this module alone.
		if (process.env[OWNER_VARIABLE] === String(process.pid)) process.env[OWNER_VARIABLE] += IN_USE;
	}
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

/** What of the options is for the policy, also where there will be no stack. */
function sharing({ kernelPorts, link, address, ports }: RunOptions): SharedOptions {
	return {
		kernelPorts,
		loopback: link?.kind === "loopback",
		ports: link?.kind === "xdp" && address === null ? ports : undefined,
	};
}

/** Leaves everything to the kernel, and calls `missed` with each socket that would have been the stack's. */
function kernelOnly(wanted: Policy, missed: () => void): Policy {
	return {
		listener(address, port, ipv6Only) {
			if (wanted.listener(address, port, ipv6Only) !== KERNEL) missed();
			return KERNEL;
		},
		destination: () => KERNEL,
		mayDial(host, port) {
			if (wanted.mayDial(host, port) === true) missed();
			return false;
		},
	};
}

/** Says once that the stack is another process's, if this one has a use for it. */
function sayWhenMissed(owner: string): void {
	let options: RunOptions;
	try {
		options = parseRunOptions(process.env[OPTIONS_VARIABLE] ?? "");
	} catch {
		// For whoever has the stack to say.
		return;
	}
	if (options.quiet) return;
	const policy = kernelOnly(new Shared(() => null, sharing(options)), () => {
		uninstall();
		say(
			`millrace: process ${owner} loaded the preload first and has the stack: the sockets of this one (${process.pid}) are the kernel's. Give --import to the program's own node, or start it by millrace run`,
		);
	});
	const uninstall = installPatch(() => start().host, policy);
}

function preload(): void {
	const pid = String(process.pid);
	const variable = process.env[OWNER_VARIABLE] ?? pid;
	const owner = variable.replace(IN_USE, "");
	if (owner !== pid) {
		debug("process %s has the stack: sockets of this process are the kernel's", owner);
		// Workers of a cluster are processes of a program that may well use its stack later.
		if (owner === variable && !cluster.isWorker) sayWhenMissed(owner);
		return;
	}
	process.env[OWNER_VARIABLE] = pid;
	const options = orEnd(() => parseRunOptions(process.env[OPTIONS_VARIABLE] ?? ""));
	const policy = new Shared(() => stack?.host ?? null, {
		...sharing(options),
		// What the user link publishes appears on 127.0.0.1 of this machine, which is where such a listener is looked for.
		exposeLoopback: () => start().kind === "user",
		leaves: (address) => start().leaves?.(address) !== false,
	});
	installPatch(() => start().host, policy, {
		plainHandles: process.env[PLAIN_VARIABLE] !== "0",
		pooledChunks: options.pooledChunks ?? false,
	});
}

preload();
