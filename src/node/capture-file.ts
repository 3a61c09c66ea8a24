/**
 * A capture in a file.
 *
 * Hides the file system behind a CaptureSink. Writes are synchronous: they go to the page cache in tens of microseconds, come rarely
 * (the writer buffers), need no queue, and what was given is in the file even if the process ends in the next moment.
 *
 * A file that is made ready keeps what it holds until the capture begins: a start that fails must not cost an older capture.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, statSync, unlinkSync, writeSync } from "node:fs";
import { MillraceError } from "../errors.ts";
import type { CaptureSink } from "../link/pcapng.ts";

/** What errors mean to the person who gave the path. */
const REASONS: Record<string, string> = {
	ENOENT: "no such directory; make it first",
	ENOTDIR: "a part of the path is not a directory",
	EISDIR: "is a directory; give the name of a file",
	EACCES: "permission denied; choose a path that you may write",
	EPERM: "permission denied; choose a path that you may write",
	EROFS: "the file system is read-only",
	ENOSPC: "no space left on the device",
	EDQUOT: "no space left in the user's quota",
	EFBIG: "the file may not be longer",
	EPIPE: "nobody reads the pipe any more",
};

/** A file that can be written, and has not been. */
export interface PreparedCapture extends CaptureSink {
	/**
	 * Empties the file; what was written before waits for it.
	 *
	 * @param lost Told why, once, if the file takes no more: `write` throws from then on.
	 */
	begin(lost?: (what: string) => void): void;
	/** Before `begin`, everything is as it was. */
	close(): void;
}

/**
 * Creates the file, or empties it, for `new CaptureWriter({ sink })`.
 *
 * @throws MillraceError with the operating system's code when the path cannot be written.
 */
export function openCaptureFile(path: string): CaptureSink & { close(): void } {
	const file = prepareCaptureFile(path);
	file.begin();
	return file;
}

/** Whether both paths lead to one file that is there. */
export function isSameFile(a: string, b: string): boolean {
	const [one, other] = [a, b].map((path) => statSync(path, { throwIfNoEntry: false }));
	return one !== undefined && one.dev === other?.dev && one.ino === other.ino;
}

/**
 * Opens the file, and leaves what it holds until `begin`.
 *
 * @throws MillraceError with the operating system's code when the path cannot be written.
 */
export function prepareCaptureFile(path: string): PreparedCapture {
	let fd: number;
	let made = false;
	try {
		try {
			fd = openSync(path, constants.O_WRONLY);
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
			fd = openSync(path, constants.O_WRONLY | constants.O_CREAT);
			made = true;
		}
	} catch (cause) {
		const { code = "EIO", errno } = cause as NodeJS.ErrnoException;
		const reason = REASONS[code] ?? code;
		throw new MillraceError(code, `cannot write capture file "${path}": ${reason}`, errno === undefined ? { cause } : { errno, cause });
	}
	let open = true;
	/** null once the capture has begun. */
	let early: Uint8Array[] | null = [];
	let tell: (what: string) => void = () => {};
	/** What ended the capture: behind a block that is not whole nothing more can be read, even if there were room again. */
	let failure: unknown = null;
	const attempt = (step: () => void): void => {
		if (failure !== null) throw failure;
		try {
			step();
		} catch (error) {
			failure = error;
			const { code = "EIO" } = error as NodeJS.ErrnoException;
			tell(`the capture in "${path}" has ended: ${REASONS[code] ?? code}. What crosses the link from here on is not in it`);
			throw error;
		}
	};
	const put = (bytes: Uint8Array): void =>
		attempt(() => {
			for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
		});
	return {
		begin(lost) {
			if (early === null || !open) return;
			const waiting = early;
			early = null;
			if (lost !== undefined) tell = lost;
			try {
				attempt(() => {
					// A pipe has nothing to empty.
					if (fstatSync(fd).isFile()) ftruncateSync(fd);
				});
				for (const bytes of waiting) put(bytes);
			} catch (error) {
				// Who was told goes on without a capture.
				if (lost === undefined) throw error;
			}
		},
		write(bytes) {
			if (early === null) put(bytes);
			else early.push(bytes.slice());
		},
		close() {
			if (!open) return;
			open = false;
			closeSync(fd);
			if (early !== null && made) unlinkSync(path);
		},
	};
}
