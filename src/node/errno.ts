/**
 * Names of system errors, their numbers as Node reports them, and errors that look as if the kernel had caused them.
 *
 * Hides where the numbers come from: `util.getSystemErrorMap`, which is right on every platform.
 */
import { getSystemErrorMap } from "node:util";

const numbers = new Map<string, number>();
for (const [number, [name]] of getSystemErrorMap()) numbers.set(name, number);

/** The number of a system error, negative; that of EIO for a name that the system does not have. */
export function errnoOf(code: string): number {
	return numbers.get(code) ?? numbers.get("EIO")!;
}

export const ECANCELED = errnoOf("ECANCELED");
export const ECONNABORTED = errnoOf("ECONNABORTED");
export const ECONNRESET = errnoOf("ECONNRESET");
export const EPIPE = errnoOf("EPIPE");
export const EBADF = errnoOf("EBADF");
export const EADDRINUSE = errnoOf("EADDRINUSE");
export const EADDRNOTAVAIL = errnoOf("EADDRNOTAVAIL");
export const EALREADY = errnoOf("EALREADY");
export const EISCONN = errnoOf("EISCONN");
export const EINVAL = errnoOf("EINVAL");
export const ENOTCONN = errnoOf("ENOTCONN");
export const ENETUNREACH = errnoOf("ENETUNREACH");
const ENETDOWN = errnoOf("ENETDOWN");

/** The number that stands for an error thrown by the stack. Anything that is not an error of ours is thrown on. */
export function errnoOfThrown(error: unknown): number {
	const code = (error as { code?: unknown } | null)?.code;
	// The host was closed: to Node, which knows numbers alone, its network is down.
	if (code === "MILLRACE_CLOSED") return ENETDOWN;
	if (typeof code !== "string" || !numbers.has(code)) throw error;
	return errnoOf(code);
}

/** An error as Node makes it from a failed system call: `read ECONNRESET`, with errno, code and syscall, and the address that it was about. */
export function systemError(errno: number, syscall: string, address?: string, port = 0): NodeJS.ErrnoException {
	const code = getSystemErrorMap().get(errno)?.[0] ?? `Unknown system error ${errno}`;
	const about = address === undefined ? "" : port === 0 ? ` ${address}` : ` ${address}:${port}`;
	const error: NodeJS.ErrnoException & { address?: string; port?: number } = new Error(`${syscall} ${code}${about}`);
	error.errno = errno;
	error.code = code;
	error.syscall = syscall;
	if (address !== undefined) error.address = address;
	if (port !== 0) error.port = port;
	return error;
}
