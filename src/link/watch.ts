/**
 * When a link that stands on rings is to be looked at: its descriptors on the event loop, what has to be tried again, and whether its
 * interface is there.
 *
 * Hides the poll handles and the alarm, and what a frame's arrival time is: as in tap.ts, that of the wake-up where it still stands, for the
 * kernel does not say when it queued a frame; but not once something was sent since, for no answer may be stamped earlier than its
 * question. Looking for frames costs no system call, so it is not saved where nothing was heard.
 *
 * An interface that goes down is told of by a packet socket that is bound to it, as an error of the socket's (ENETDOWN). That is no end: the kernel
 * hooks the socket in again when the interface comes up, and says nothing then. A removed interface goes down first, and of what comes
 * after that such a socket says nothing either. So an interface that is down is looked after until it is up or gone.
 */
import { MillraceError } from "../errors.ts";
import { interfaceState } from "../sys/interface-facts.ts";
import { Poll, takeError } from "../sys/poll.ts";
import type { Alarm } from "../time/clock.ts";
import type { LinkContext } from "./link.ts";

/** How long to wait before trying again when no page was free or the device took no frame, in microseconds. */
const RETRY = 1000;
/** How often an interface that is down is looked after, in microseconds: a person does not notice it, and it is four short system calls. */
const LOOK = 100_000;

/** An interface of this machine, by the name and number that it had when the link was opened. */
export interface WatchedInterface {
	readonly name: string;
	readonly index: number;
}

export class Watch {
	/** The interface is down, or gone. */
	down = false;
	readonly #interface: WatchedInterface;
	readonly #context: LinkContext;
	readonly #retry: Alarm;
	readonly #look: Alarm;
	readonly #polls: Poll[] = [];
	#noticed = 0;
	#noticedValid = false;
	#failed = false;
	#closed = false;

	/** @param again What is to be tried again, before the stack is woken. */
	constructor(context: LinkContext, watched: WatchedInterface, again: () => void) {
		this.#context = context;
		this.#interface = watched;
		this.#retry = context.runtime.alarm(() => {
			for (const poll of this.#polls) poll.resume();
			again();
			context.wake();
		});
		this.#look = context.runtime.alarm(() => {
			const state = interfaceState(watched.name, watched.index);
			if (state === "gone") return this.gone();
			if (state === "down") return this.#lookAfter(LOOK);
			this.down = false;
			again();
			context.wake();
		});
	}

	/**
	 * Wakes the stack whenever a descriptor is readable. The first one that is watched keeps the process alive where that is asked for.
	 *
	 * @param fd A socket.
	 * @param heard Told before the stack is woken.
	 */
	add(fd: number, heard?: () => void): void {
		const notice = (): void => {
			heard?.();
			if (!this.#noticedValid) {
				this.#noticed = this.#context.runtime.clock.now() | 0;
				this.#noticedValid = true;
			}
			this.#context.wake();
		};
		const poll = new Poll(fd, notice, () => {
			takeError(fd);
			poll.resume();
			this.lost();
		});
		this.#polls.push(poll);
	}

	/** The kernel has said that the interface is down. */
	lost(): void {
		if (this.down || this.#closed) return;
		this.down = true;
		this.#lookAfter(0);
	}

	/** The interface is there no more: the link fails, once. */
	gone(): void {
		if (this.#failed) return;
		this.#failed = true;
		this.down = true;
		this.#look.clear();
		const { runtime, failed } = this.#context;
		const error = new MillraceError("ENODEV", `interface "${this.#interface.name}" was removed. Restart, or open a new link`);
		// Later: `failed` may well close the link, which is in the middle of something.
		runtime.defer(() => {
			if (!this.#closed) failed.call(this.#context, error);
		});
	}

	/** The arrival time of the frames that are taken now. */
	time(): number {
		const time = this.#noticedValid ? this.#noticed : this.#context.runtime.clock.now() | 0;
		this.#noticedValid = false;
		return time;
	}

	/** Frames were sent: those that are taken from now on may be answers to them. */
	sent(): void {
		this.#noticedValid = false;
	}

	/** Frames wait for pages, so the handles would call back in every turn for nothing. */
	starved(): void {
		for (const poll of this.#polls) poll.pause();
		this.later();
	}

	/** Something has to be tried again. */
	later(): void {
		this.#retry.set(this.#context.runtime.clock.now() + RETRY);
	}

	ref(): void {
		this.#polls[0]?.ref();
	}

	unref(): void {
		this.#polls[0]?.unref();
	}

	/** Before the descriptors are closed. */
	close(): void {
		this.#closed = true;
		for (const poll of this.#polls.splice(0)) poll.close();
		this.#retry.clear();
		this.#look.clear();
	}

	#lookAfter(delay: number): void {
		this.#look.set(this.#context.runtime.clock.now() + delay);
	}
}
