/**
 * The stack's own words on standard error.
 *
 * Hides that nobody may be there to read them: a program that writes nothing itself must not end because its stack had something to say to a pipe that is
 * shut, or to a full disk.
 */
import { writeSync } from "node:fs";

const STDERR = 2;

/** Writes a line, or nothing. */
export function say(text: string): void {
	try {
		writeSync(STDERR, `${text}\n`);
	} catch {
		// Whoever would hear of it has gone.
	}
}
