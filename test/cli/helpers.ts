/**
 * Runs the command as people do: in a process of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export interface Outcome {
	/** Exit code, or the signal that ended it. */
	code: number | NodeJS.Signals;
	stdout: string;
	stderr: string;
}

export interface Running {
	child: ChildProcess;
	/** Waits until the pattern appears in what was written so far, on either stream. */
	says(pattern: RegExp): Promise<RegExpMatchArray>;
	outcome: Promise<Outcome>;
}

/** Starts `millrace ...words`, its command line put behind `prefix`. */
export function start(words: readonly string[], env: Record<string, string> = {}, prefix: readonly string[] = []): Running {
	return startCommand([...prefix, process.execPath, MAIN, ...words], env);
}

/** Starts a command. */
export function startCommand(words: readonly string[], env: Record<string, string> = {}): Running {
	const [command, ...args] = words as [string, ...string[]];
	const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
	let stdout = "";
	let stderr = "";
	const checks = new Set<() => void>();
	const note = (): void => {
		for (const check of checks) check();
	};
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
		note();
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
		note();
	});
	const outcome = once(child, "close").then(([code, signal]) => ({ code: code ?? signal, stdout, stderr }) as Outcome);
	const says = (pattern: RegExp): Promise<RegExpMatchArray> =>
		new Promise((resolve, reject) => {
			const check = (): void => {
				const match = pattern.exec(stderr) ?? pattern.exec(stdout);
				if (match === null) return;
				checks.delete(check);
				resolve(match);
			};
			checks.add(check);
			check();
			void outcome.then(({ code }) => reject(new Error(`ended with ${code} before it said ${pattern}:\n${stdout}${stderr}`)));
		});
	return { child, says, outcome };
}

/** Runs `millrace ...words` to its end. */
export function millrace(words: readonly string[], env: Record<string, string> = {}, prefix: readonly string[] = []): Promise<Outcome> {
	return start(words, env, prefix).outcome;
}
