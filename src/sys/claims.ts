/**
 * Names that one program of this machine has at a time: abstract UNIX sockets, bound and never used (unix(7)).
 *
 * Hides where such a name is kept: in the network namespace, as what it stands for, and for as long as the descriptor is open. So it is free the moment the
 * process ends, however it ends, and leaves no file behind.
 */
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from "./constants.ts";
import { EADDRINUSE } from "./errno.ts";
import { libc } from "./libc.ts";

/** Bytes of the longest name (sun_path, less the zero that makes it abstract). */
export const CLAIM_MAX = 107;

/**
 * Claims a name.
 *
 * @param name ASCII, at most CLAIM_MAX bytes.
 * @returns The descriptor that holds it; null if somebody has it; -1 where no such sockets can be had, and so nobody is kept from anything.
 */
export function claim(name: string): number | null {
	const c = libc();
	const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) return -1;
	const address = new Uint8Array(3 + name.length);
	address[0] = AF_UNIX;
	for (let i = 0; i < name.length; i++) address[3 + i] = name.charCodeAt(i);
	if (c.bind(fd, address, address.length) === 0) return fd;
	const errno = c.errno();
	c.close(fd);
	return errno === EADDRINUSE ? null : -1;
}
