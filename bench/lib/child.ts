/**
 * Child processes of a bench: pinned to a core, in a network namespace of choice, measured, and always ended.
 *
 * Hides how a process is started and how it dies. Every child is started through `setpriv --pdeathsig`, so that it gets
 * SIGTERM when the bench itself dies, even by SIGKILL, and is ended by its own process id: first politely (a server removes its
 * device), then with SIGKILL, together with the processes that it started.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks per second in /proc/PID/stat: a constant of the kernel's user interface. */
const TICKS = 100;
/** How long a child may take to end politely. */
const GRACE_MS = 3000;

export interface Spawn {
	/** Core to run on; all when left out. */
	readonly cpu?: number;
	/** Process id of a member of the network namespace to run in; ours when left out. */
	readonly namespace?: number;
	readonly env?: Readonly<Record<string, string>>;
	/** Killed when it runs longer. */
	readonly seconds: number;
	/** Give the child a pipe as input: it can end when the pipe closes. */
	readonly input?: boolean;
	/** The child writes to our own output. */
	readonly passThrough?: boolean;
}

export interface Cpu {
	/** Seconds spent in user mode and in the kernel, by the process and those that it started. */
	readonly user: number;
	readonly system: number;
}

export interface Exit {
	readonly code: number | null;
	readonly signal: string | null;
}

const alive = new Set<Child>();

export class Child {
	readonly pid: number;
	readonly exited: Promise<Exit>;
	readonly command: string;
	ended: Exit | null = null;
	#process: ChildProcess;
	#stdout = "";
	#stderr = "";

	constructor(argv: readonly string[], options: Spawn) {
		const line = ["setpriv", "--pdeathsig", "TERM"];
		if (options.cpu !== undefined) line.push("taskset", "-c", String(options.cpu));
		if (options.namespace !== undefined) line.push("nsenter", "-n", "-t", String(options.namespace));
		line.push(...argv);
		this.command = argv.join(" ");
		this.#process = spawn(line[0]!, line.slice(1), {
			env: { ...process.env, ...options.env },
			stdio: options.passThrough === true ? "inherit" : [options.input === true ? "pipe" : "ignore", "pipe", "pipe"],
		});
		this.pid = this.#process.pid ?? 0;
		this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => {
			this.#stdout += text;
		});
		this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
			this.#stderr += text;
		});
		alive.add(this);
		const deadline = setTimeout(() => this.#kill("SIGKILL"), options.seconds * 1000);
		this.exited = new Promise((resolve) => {
			const done = (exit: Exit): void => {
				clearTimeout(deadline);
				alive.delete(this);
				this.ended = exit;
				resolve(exit);
			};
			this.#process.once("close", (code, signal) => done({ code, signal }));
			this.#process.once("error", (error) => {
				this.#stderr += error.message;
				done({ code: null, signal: null });
			});
		});
	}

	get stdout(): string {
		return this.#stdout;
	}

	get stderr(): string {
		return this.#stderr;
	}

	/** What the child complained of: the line of an uncaught error, else what it said last. */
	get lastWords(): string {
		const lines = (this.#stderr.trim() || this.#stdout.trim()).split("\n");
		return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.slice(-2).join(" | ");
	}

	/** Resolves with the output of a child that ends by itself; rejects if it fails. */
	async output(): Promise<string> {
		const { code, signal } = await this.exited;
		if (code !== 0) throw new Error(`${this.command}: ended with ${signal ?? `code ${code}`}: ${this.lastWords}`);
		return this.#stdout;
	}

	/** CPU time so far. */
	cpu(): Cpu {
		let user = 0;
		let system = 0;
		for (const pid of [this.pid, ...descendants(this.pid)]) {
			const fields = statFields(pid);
			// Fields 14 and 15 of proc(5), counted from 1; the first of `fields` is number 3.
			user += Number(fields?.[11] ?? 0) / TICKS;
			system += Number(fields?.[12] ?? 0) / TICKS;
		}
		return { user, system };
	}

	/** Seconds that the child's threads were on a processor, to the nanosecond: for little. Those that it started do not count. */
	onCpu(): number {
		let nanoseconds = 0;
		for (const thread of readdirSync(`/proc/${this.pid}/task`)) {
			try {
				// First field of proc(5), schedstat.
				nanoseconds += Number(readFileSync(`/proc/${this.pid}/task/${thread}/schedstat`, "latin1").split(" ")[0]);
			} catch {
				// The thread ended between the look and the reading.
			}
		}
		return nanoseconds / 1e9;
	}

	/** Ends the child: politely first. */
	async stop(): Promise<void> {
		if (this.ended !== null) return;
		this.#kill("SIGTERM");
		const timer = setTimeout(() => this.#kill("SIGKILL"), GRACE_MS);
		await this.exited;
		clearTimeout(timer);
	}

	/** Ends the child at once. */
	kill(): void {
		this.#kill("SIGKILL");
	}

	#kill(signal: NodeJS.Signals): void {
		if (this.ended !== null || this.pid === 0) return;
		const family = signal === "SIGKILL" ? [...descendants(this.pid), this.pid] : [this.pid];
		for (const pid of family) {
			try {
				process.kill(pid, signal);
			} catch {
				// It ended between the look and the signal.
			}
		}
	}
}

/** Ends whatever still runs; for the way out, also on failure. */
export async function stopAll(): Promise<void> {
	await Promise.all([...alive].reverse().map((child) => child.stop()));
}

/** The same without waiting, for exit handlers. */
export function killAll(): void {
	for (const child of alive) child.kill();
}

/** Fields of /proc/PID/stat behind the command name (which may contain anything), or null when the process is gone. */
function statFields(pid: number): string[] | null {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, "latin1");
		return text.slice(text.lastIndexOf(")") + 2).split(" ");
	} catch {
		return null;
	}
}

function descendants(root: number): number[] {
	const parents = new Map<number, number>();
	for (const entry of readdirSync("/proc")) {
		const pid = Number(entry);
		const fields = Number.isInteger(pid) && pid > 0 ? statFields(pid) : null;
		if (fields !== null) parents.set(pid, Number(fields[1]));
	}
	const found: number[] = [];
	const known = new Set([root]);
	// Children have been started after their parents, but ids wrap: repeat until nothing is added.
	for (let grown = true; grown; ) {
		grown = false;
		for (const [pid, parent] of parents) {
			if (known.has(parent) && !known.has(pid)) {
				known.add(pid);
				found.push(pid);
				grown = true;
			}
		}
	}
	return found;
}
