/** Runs a measured program of ours once, alone, on the server's core; reads the JSON that it prints. */
import type { Options } from "./bench.ts";
import { Child } from "./child.ts";
import { program } from "./contestants.ts";

export async function runProgram<T>(
	options: Options,
	name: string,
	args: readonly string[],
	flags: readonly string[] = [],
	seconds = 120,
): Promise<T> {
	const child = new Child([options.node, ...flags, program(name), ...args], { cpu: 0, seconds });
	return JSON.parse(await child.output());
}

/** What such a bench needs: it pins its program to a core. */
export const localNeeds = (): string[] => (process.platform === "linux" ? [] : ["Linux (taskset, /proc)"]);
