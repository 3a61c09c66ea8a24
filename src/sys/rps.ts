/**
 * Receive packet steering of an interface (RPS; the kernel's Documentation/networking/scaling.rst): on which processors the kernel works on
 * what comes by it.
 *
 * Hides the files of /sys. They are those of the network namespace that /sys was mounted in, which need not be ours: another interface of the
 * same name, and even of the same number, may be there, so the hardware address is compared. There is no other way to ask for RPS than by these files.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { MillraceError } from "../errors.ts";

/** Processors that a Linux kernel can be made for at most (NR_CPUS). */
export const PROCESSORS_MAX = 8192;

const NOT_THERE = "not all of them are there, are on and are for such work";

/**
 * Has the kernel work on what comes by the interface on these processors, each flow on one of them.
 *
 * @param hardware Address of the interface, six bytes.
 * @returns What puts it back.
 * @throws {MillraceError} ENODEV if /sys does not show the interface, EACCES, EROFS ..., EINVAL for processors that there are not.
 */
export function steerReceive(name: string, hardware: Uint8Array, processors: readonly number[]): () => void {
	const fail = (code: string, why: string): MillraceError =>
		new MillraceError(code, `cannot have the kernel work for "${name}" on processors ${processors.join(", ")}: ${why}`);
	if (!isShown(name, hardware))
		throw fail("ENODEV", "/sys is not of this network namespace. Mount it (mount -t sysfs sysfs /sys), or leave the option rps out");
	const mask = maskOf(processors);
	const before: [string, string][] = [];
	const undo = (): void => {
		for (const [file, text] of before.splice(0)) writeFileSync(file, text);
	};
	try {
		for (const file of queueFiles(name)) {
			before.push([file, readFileSync(file, "latin1")]);
			writeFileSync(file, mask);
			// Of processors that are off, or that the kernel keeps for other work, it takes none, and does not say so.
			if (plain(readFileSync(file, "latin1")) !== plain(mask)) throw fail("EINVAL", NOT_THERE);
		}
	} catch (error) {
		try {
			undo();
		} catch {
			// What went wrong first is what there is to say.
		}
		if (error instanceof MillraceError) throw error;
		const { code = "EIO", message } = error as NodeJS.ErrnoException;
		if (code === "EOVERFLOW" || code === "EINVAL") throw fail("EINVAL", NOT_THERE);
		throw fail(code, `${message}. Leave the option rps out`);
	}
	return undo;
}

/** Whether what comes by the interface is worked on where it comes, and that may be changed as far as can be seen: /sys shows it, and nobody has named processors. */
export function receiveUnsteered(name: string, hardware: Uint8Array): boolean {
	try {
		return isShown(name, hardware) && queueFiles(name).every((file) => plain(readFileSync(file, "latin1")) === "");
	} catch {
		// A kernel without RPS.
		return false;
	}
}

/** Whether /sys shows this interface, and not another one of its name. */
function isShown(name: string, hardware: Uint8Array): boolean {
	try {
		const formatted = Array.from(hardware, (byte) => byte.toString(16).padStart(2, "0")).join(":");
		return readFileSync(`/sys/class/net/${name}/address`, "latin1").trim() === formatted;
	} catch {
		return false;
	}
}

function queueFiles(name: string): string[] {
	const queues = `/sys/class/net/${name}/queues`;
	return readdirSync(queues)
		.filter((queue) => queue.startsWith("rx-"))
		.map((queue) => `${queues}/${queue}/rps_cpus`);
}

/** A set of processors as the kernel reads it: words of 32 bits, the last processors first. */
function maskOf(processors: readonly number[]): string {
	const words = new Uint32Array(Math.floor(Math.max(...processors) / 32) + 1);
	for (const processor of processors) words[processor >> 5]! |= 1 << (processor & 31);
	return Array.from(words.reverse(), (word) => word.toString(16).padStart(8, "0")).join(",");
}

/** A set as the kernel writes it, whatever number of digits this one has. */
function plain(mask: string): string {
	return mask.replace(/[,\s]/g, "").replace(/^0+/, "");
}
