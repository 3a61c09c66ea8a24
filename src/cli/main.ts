#!/usr/bin/env node
/**
 * The command `millrace`: finds out which part was asked for, and turns an error into one line and an exit code.
 *
 * Exit codes: 0; 1 when `doctor` found nothing that works; 2 when the command line or the machine does not allow what was
 * asked for. Once a program runs, the exit code is the program's (see run.ts).
 */
import { MillraceError } from "../errors.ts";
import { doctor } from "./doctor.ts";
import { helpText, versionText } from "./help.ts";
import { nearest, usageError } from "./options.ts";
import { run } from "./run.ts";

const COMMANDS = ["run", "doctor", "help"];

async function main(words: readonly string[]): Promise<void> {
	const [command, ...rest] = words;
	switch (command) {
		case "run":
			if (rest[0] === "--help" || rest[0] === "-h") break;
			return run(rest);
		case "doctor":
			refuseMore(command, rest);
			// Whoever reads may have read enough: millrace doctor | head.
			process.stdout.on("error", () => process.exit());
			process.exitCode = await doctor((line) => process.stdout.write(`${line}\n`));
			return;
		case "--version":
		case "-v":
			refuseMore(command, rest);
			process.stdout.write(`${versionText()}\n`);
			return;
		case "help":
		case "--help":
		case "-h":
			refuseMore(command, rest);
			break;
		case undefined:
			throw usageError("no command; millrace run script.js runs a program, millrace help says more");
		default: {
			const kind = command.startsWith("-") ? "option" : "command";
			const near = nearest(command.replace(/^-+/, ""), COMMANDS);
			throw usageError(
				`unknown ${kind} ${command}; ${near === null ? "millrace help lists what there is" : `did you mean millrace ${near}?`}`,
			);
		}
	}
	process.stdout.write(helpText());
}

function refuseMore(command: string, rest: readonly string[]): void {
	if (rest.length > 0) throw usageError(`${command} takes no ${rest[0]!.startsWith("-") ? "option" : "argument"} ${rest[0]}`);
}

main(process.argv.slice(2)).catch((error: unknown) => {
	// A defect of our own deserves its stack; everything else is one line.
	if (!(error instanceof MillraceError)) throw error;
	process.stderr.write(`${error.message.replaceAll("\n", " ")}\n`);
	process.exit(2);
});
