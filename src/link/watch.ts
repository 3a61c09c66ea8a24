/**
 * When a link that stands on rings is to be looked at: its descriptors on the event loop, and what has to be tried again.
 *
 * Hides the poll handles and the alarm, and what a frame's arrival time is: as in tap.ts, that of the wake-up where it still stands, for the
 * kernel does not say when it queued a frame; but not once something was sent since, for no answer may be stamped earlier than its
 * question. Looking for frames costs no system call, so it is not saved where nothing was heard.
 */
import { Poll } from "../sys/poll.ts";
import type { Alarm } from "../time/clock.ts";
import type { LinkContext } from "./link.ts";

/** How long to wait before trying again when no page was free or the device took no frame, in microseconds. */
const RETRY = 1000;

export class Watch {
	readonly #context: LinkContext;
	readonly #retry: Alarm;
	readonly #polls: Poll[] = [];
	#noticed = 0;
	#noticedValid = false;
	#failed = false;
	#closed = false;

	/** @param again What is to be tried again, before the stack is woken. */
	constructor(context: LinkContext, again: () => void) {
		this.#context = context;
		this.#retry = context.runtime.alarm(() => {
			for (const poll of this.#polls) poll.resume();
			again();
			context.wake();
		});
	}

	/**
	 * Wakes the stack whenever a descriptor is readable. The first one that is watched keeps the process alive where that is asked for.
	 *
	 * @param gone The error that says so when the descriptor's device is gone; without it that is nothing to speak of.
	 * @param heard Told before the stack is woken.
	 */
	add(fd: number, gone?: () => Error, heard?: () => void): void {
		const notice = (): void => {
			heard?.();
			if (!this.#noticedValid) {
				this.#noticed = this.#context.runtime.clock.now() | 0;
				this.#noticedValid = true;
			}
			this.#context.wake();
		};
		this.#polls.push(new Poll(fd, notice, () => gone !== undefined && this.#fail(gone())));
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
	}

	#fail(error: Error): void {
		if (this.#failed) return;
		this.#failed = true;
		const { runtime, failed } = this.#context;
		// Later: `failed` may well close the link, which is in the middle of something.
		runtime.defer(() => {
			if (!this.#closed) failed.call(this.#context, error);
		});
	}
}
