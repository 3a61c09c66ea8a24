/**
 * System calls in a worker thread, which may be ended at any moment (`worker.terminate()`, `process.exit()` within it) while the process
 * goes on.
 *
 * Hides what makes that safe. Of what a thread holds Node gives back what it knows of; so it is told:
 * - **Descriptors.** Those of our own calls take the place of one that Node has opened, and so closes with its worker
 *   (`trackUnmanagedFds`, on by default). Devices, programs and ports are the kernel's again then, as when a process ends. Where no further
 *   descriptor can be had, a descriptor stays as it is, and lives as long as the process.
 * - **Waiting.** koffi's poll handle calls into JavaScript without asking whether that is still possible. From the moment of `terminate` it is
 *   not, and the whole process is aborted if a descriptor is readable before the handle is closed. So here a stream of Node's waits, whose
 *   file was exchanged, and which has a buffer of no bytes: libuv tells of each turn in which something could be read (as UV_ENOBUFS), and
 *   reads nothing.
 */

import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { AF_UNIX, O_CLOEXEC, SOCK_CLOEXEC } from "./constants.ts";
import { systemError } from "./errno.ts";
import type { Libc, PollHandle } from "./libc.ts";
import { clearInterval, setInterval } from "./timers.ts";

const SOCK_STREAM_NONBLOCK = 1 | 0o4000;
const POLLERR = 0x0008;
/** What libuv's poll handles say of a descriptor that has an error to tell of. */
const UV_EBADF = -9;

/** The handle of a stream; Node keeps its members for code that wraps it, but does not declare them. */
interface StreamHandle {
	onread: () => void;
	readStart(): void;
	readStop(): void;
}

/** The same calls, for a worker. */
export function callsOfWorker(c: Libc): Libc {
	const kept = new Set<number>();
	const keep = (fd: number): number => {
		if (fd < 0) return fd;
		let place: number;
		try {
			place = openSync("/dev/null", "r");
		} catch {
			return fd;
		}
		c.dup3(fd, place, O_CLOEXEC);
		c.close(fd);
		kept.add(place);
		return place;
	};
	return {
		...c,
		keep,
		open: (path, flags) => keep(c.open(path, flags)),
		socket: (domain, type, protocol) => keep(c.socket(domain, type, protocol)),
		close(fd) {
			if (!kept.delete(fd)) return c.close(fd);
			closeSync(fd);
			return 0;
		},
		poll: (fd, callback) => new StreamPoll(c, fd, callback),
	};
}

class StreamPoll implements PollHandle {
	readonly #socket: Socket;
	readonly #handle: StreamHandle;
	#referenced = true;
	#paused = false;
	/** A stream that does not read keeps no thread alive. */
	#hold: NodeJS.Timeout | null = null;

	constructor(c: Libc, fd: number, callback: (status: number) => void) {
		const place = c.socket(AF_UNIX, SOCK_STREAM_NONBLOCK | SOCK_CLOEXEC, 0);
		if (place < 0) throw systemError("watch a descriptor in a worker", c.errno(), "Raise the limit of open files (ulimit -n)");
		this.#socket = new Socket({ fd: place, onread: { buffer: new Uint8Array(0), callback: () => true } } as object);
		c.dup3(fd, place, O_CLOEXEC);
		this.#handle = (this.#socket as unknown as { _handle: StreamHandle })._handle;
		const state = new Uint8Array(8); // struct pollfd
		new DataView(state.buffer).setInt32(0, fd, true);
		this.#handle.onread = () => {
			c.pollNow(state, 1, 0);
			callback((state[6]! & POLLERR) === 0 ? 0 : UV_EBADF);
		};
		this.#handle.readStart();
	}

	start({ readable }: { readable: boolean }): void {
		this.#paused = !readable;
		if (readable) this.#handle.readStart();
		else this.#handle.readStop();
		this.#keepAlive();
	}

	stop(): void {
		this.#handle.readStop();
	}

	ref(): void {
		this.#referenced = true;
		this.#socket.ref();
		this.#keepAlive();
	}

	unref(): void {
		this.#referenced = false;
		this.#socket.unref();
		this.#keepAlive();
	}

	close(): void {
		this.#paused = false;
		this.#keepAlive();
		this.#socket.destroy();
	}

	#keepAlive(): void {
		const wanted = this.#paused && this.#referenced;
		if (wanted) this.#hold ??= setInterval(() => {}, 2 ** 30);
		else if (this.#hold !== null) {
			clearInterval(this.#hold);
			this.#hold = null;
		}
	}
}
