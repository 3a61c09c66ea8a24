/**
 * A descriptor on Node's event loop: a callback when it can be read.
 *
 * Hides koffi's poll handle and its traps:
 * - Its methods crash the process after `close`, and it closes itself when it is garbage collected.
 * - Its type file is wrong about the callback.
 * - It calls back outside of Node's callback scope. An exception thrown there is lost and silences the handle, so it is thrown once
 *   more from a scope that reports it. Promises and `process.nextTick` wait for somebody else's callback (on Node 26, tens of
 *   milliseconds when nothing else goes on), so the callback given here should do no more than schedule a `setImmediate`, which
 *   runs in the same turn of the loop.
 * - A handle that is open when the process exits may call back where no JavaScript can run any more, which aborts it; so all are
 *   closed on `exit`. `worker.terminate()` gives no such moment: in a worker another handle does the same (worker.ts).
 *
 * The handle is level-triggered: as long as something is left to read it calls back once in each turn of the loop, at about
 * 1.0 us on Node 20. Disarming and arming costs about 1.4 us, plus two epoll_ctl calls. So a reader that drains the descriptor,
 * or takes a whole batch in each turn, is best off leaving the handle armed; `pause` is for readers that cannot take anything
 * for a while.
 */
import { SOL_SOCKET } from "./constants.ts";
import { libc, type PollHandle } from "./libc.ts";
import { setImmediate } from "./timers.ts";

const SO_ERROR = 4;

const READABLE = { readable: true };
// A handle that waits for nothing is inactive to libuv and would let the process end although it is referenced.
const NOTHING = { readable: false, disconnect: true };

/** The handles to be closed at exit. */
const open = new Set<Poll>();

function closeAll(): void {
	for (const poll of open) poll.close();
}

export class Poll {
	readonly #callback: (status: number) => void;
	#handle: PollHandle | null;
	#armed = true;

	/**
	 * Starts polling; the handle is unreferenced.
	 *
	 * @param readable Called while there is something to read. Only schedule work from it.
	 * @param failed Called if the descriptor has an error to tell of, or its device is gone. It is silent then until `resume`, which calls back
	 *   at once if that is still so (`takeError`). Only schedule work from it.
	 */
	constructor(fd: number, readable: () => void, failed: () => void) {
		this.#callback = (status) => {
			try {
				if (status >= 0) return readable();
				this.#handle?.stop();
				this.#armed = false;
				failed();
			} catch (error) {
				setImmediate(() => {
					throw error;
				});
			}
		};
		this.#handle = libc().poll(fd, this.#callback);
		this.#handle.unref();
		if (open.size === 0) process.on("exit", closeAll);
		open.add(this);
	}

	/** Whether the handle keeps the process alive. */
	ref(): void {
		this.#handle?.ref();
	}
	unref(): void {
		this.#handle?.unref();
	}

	/** No more `readable` until `resume`; a referenced handle still keeps the process alive. */
	pause(): void {
		if (this.#armed) this.#handle?.start(NOTHING, this.#callback);
		this.#armed = false;
	}
	resume(): void {
		if (!this.#armed) this.#handle?.start(READABLE, this.#callback);
		this.#armed = true;
	}

	/** Takes the descriptor off the event loop; close the descriptor after, not before. */
	close(): void {
		this.#handle?.close();
		this.#handle = null;
		if (open.delete(this) && open.size === 0) process.off("exit", closeAll);
	}
}

/** The error that a socket has to tell of, 0 if none; it is told once. */
export function takeError(fd: number): number {
	const errno = new Uint8Array(4);
	libc().getsockopt(fd, SOL_SOCKET, SO_ERROR, errno, Uint8Array.of(4, 0, 0, 0));
	return errno[0]!;
}
