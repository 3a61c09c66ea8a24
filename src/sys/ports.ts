/**
 * Ports taken away from the kernel's TCP: bound by a socket that never listens.
 *
 * Hides bind(2). As long as the descriptor is open no other program can listen on the port and the kernel gives it to no
 * connection; when the process ends the kernel has it back.
 */
import { AF_INET, SOCK_CLOEXEC, SOL_SOCKET } from "./constants.ts";
import { EADDRINUSE, systemError } from "./errno.ts";
import { libc } from "./libc.ts";

const SOCK_STREAM = 1;
const SO_REUSEADDR = 2;

/** Takes a port; returns the descriptor that holds it. */
export function holdPort(port: number): number {
	const c = libc();
	const fd = c.socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) throw systemError(`hold port ${port}`, c.errno(), "Raise the limit of open files");
	const address = new Uint8Array(16);
	address[0] = AF_INET;
	address[2] = port >> 8;
	address[3] = port & 255;
	if (c.bind(fd, address, address.length) === 0) return fd;
	// Connections that have ended but linger (TIME-WAIT) are in the way only of those who do not say this.
	if (c.errno() === EADDRINUSE) {
		setReuse(fd, 1);
		if (c.bind(fd, address, address.length) === 0) {
			// Who goes on saying it and does not listen lets others who say it listen there, as all of Node's servers do (inet_bind_conflict).
			setReuse(fd, 0);
			return fd;
		}
	}
	const errno = c.errno();
	c.close(fd);
	const remedy =
		errno === EADDRINUSE
			? "A program has it from the kernel: stop that program, or take another port"
			: "Run as root, or take ports from 1024 on";
	throw systemError(`take port ${port}`, errno, remedy);
}

function setReuse(fd: number, on: 0 | 1): void {
	libc().setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, Uint8Array.of(on, 0, 0, 0), 4);
}
