/**
 * A capture in a file.
 *
 * Hides the file system behind a CaptureSink. Writes are synchronous: they go to the page cache in tens of microseconds, come rarely
 * (the writer buffers), need no queue, and what was given is in the file even if the process ends in the next moment.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { MillraceError } from "../errors.ts";
import type { CaptureSink } from "../link/pcapng.ts";

/** What errors of `open` mean to the person who gave the path. */
const REASONS: Record<string, string> = {
	ENOENT: "no such directory; make it first",
	ENOTDIR: "a part of the path is not a directory",
	EISDIR: "is a directory; give the name of a file",
	EACCES: "permission denied; choose a path that you may write",
	EPERM: "permission denied; choose a path that you may write",
	EROFS: "the file system is read-only",
	ENOSPC: "no space left on the device",
};

/**
 * Creates the file, or empties it, for `new CaptureWriter({ sink })`.
 *
 * @throws MillraceError with the operating system's code when the path cannot be written.
 */
export function openCaptureFile(path: string): CaptureSink & { close(): void } {
	let fd: number;
	try {
		fd = openSync(path, "w");
	} catch (cause) {
		const { code = "EIO", errno } = cause as NodeJS.ErrnoException;
		const reason = REASONS[code] ?? code;
		throw new MillraceError(code, `cannot write capture file "${path}": ${reason}`, errno === undefined ? { cause } : { errno, cause });
	}
	let open = true;
	return {
		write(bytes) {
			for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
		},
		close() {
			if (open) closeSync(fd);
			open = false;
		},
	};
}
