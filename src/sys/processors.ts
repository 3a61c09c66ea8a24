/**
 * How busy the machine's processors are, and the calling thread: proc_pid_stat(5), proc_stat(5).
 *
 * Hides the files of /proc and their unit. In a container they may be somebody's view of the machine rather than the machine.
 */
import { readFileSync } from "node:fs";

/** Clock ticks a second, as user space sees them on all machines that Node runs on (USER_HZ). */
const USER_HZ = 100;

/** Seconds that the calling thread has worked, user and system. */
export function threadSeconds(): number {
	const text = readFileSync("/proc/thread-self/stat", "latin1");
	// The name, in parentheses, may have any character; what follows begins with the third field, and utime and stime are 14 and 15.
	const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
	return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
}

/** Seconds that each processor has had nothing to do, by its number; those that are off are missing. */
export function idleSeconds(): Map<number, number> {
	const idle = new Map<number, number>();
	for (const line of readFileSync("/proc/stat", "latin1").split("\n")) {
		const [name = "", , , , nothing, disk] = line.split(" ");
		// The first line, of all together, has no number.
		if (/^cpu\d/.test(name)) idle.set(Number(name.slice(3)), (Number(nothing) + Number(disk)) / USER_HZ);
	}
	return idle;
}
