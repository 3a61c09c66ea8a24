/**
 * Error numbers of Linux: the ones that code decides on, and the way to make an error of any.
 *
 * Hides the platform's tables. The numbers are those of all architectures that Node runs on (asm-generic/errno.h).
 */
import { MillraceError } from "../errors.ts";
import { libc } from "./libc.ts";

export const EPERM = 1;
export const ENOENT = 2;
export const EIO = 5;
export const ENXIO = 6;
export const E2BIG = 7;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENOSPC = 28;
export const ENOSYS = 38;
export const EBADFD = 77;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const ENETDOWN = 100;
export const ENOBUFS = 105;

/** The name of an error number, e.g. "EBUSY"; "E77" for one without a name. */
export function errnoName(errno: number): string {
	return libc().errnoNames.get(errno) ?? `E${errno}`;
}

/**
 * The error for a failed call: `cannot <what>: <the system's words>. <remedy>`.
 *
 * @param what What could not be done, e.g. `create TAP device "mr0"`.
 * @param remedy A whole sentence without its full stop.
 */
export function systemError(what: string, errno: number, remedy: string): MillraceError {
	const words = libc().strerror(errno);
	return new MillraceError(errnoName(errno), `cannot ${what}: ${words.charAt(0).toLowerCase()}${words.slice(1)}. ${remedy}`, { errno });
}
