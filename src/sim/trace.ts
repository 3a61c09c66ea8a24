/**
 * The trace of a simulation: a hash over everything that happened, in order, with its time.
 *
 * Hides how two runs are compared. Every step of the clock and every frame that a host takes or gives is mixed in; equal hashes mean
 * equal runs, so a test that runs a seed twice proves that nothing real (clock, chance, order of a Map) leaks into the stack.
 */
import type { Link, LinkContext } from "../link/link.ts";
import { LinkWrapper } from "../link/wrapper.ts";
import type { Batch } from "../memory/batch.ts";
import { mix32 } from "../time/random.ts";

/** Called with each frame that crosses a host's link; the bytes are valid only during the call. */
export type FrameListener = (frame: {
	readonly host: string;
	readonly direction: "in" | "out";
	readonly time: number;
	readonly bytes: Uint8Array;
}) => void;

/** A hash over steps and frames. */
export class Trace {
	/** Frames noted so far. */
	frames = 0;
	#low = 0x811c9dc5 | 0;
	#high = 0x01000193;

	/** Notes that a step of `source` ran at `time`. */
	step(time: number, source: number): void {
		this.#mix(time | 0);
		this.#mix(source);
	}

	/** Notes a frame. */
	frame(time: number, source: number, bytes: Uint8Array): void {
		this.frames++;
		let hash = 0x811c9dc5 | 0;
		for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
		this.#mix(time | 0);
		this.#mix(source);
		this.#mix(bytes.length);
		this.#mix(hash);
	}

	/** The hash so far: 16 hexadecimal digits. */
	digest(): string {
		const hex = (word: number) => (word >>> 0).toString(16).padStart(8, "0");
		return hex(mix32(this.#high)) + hex(mix32(this.#low));
	}

	#mix(word: number): void {
		this.#low = Math.imul(this.#low ^ word, 0x01000193) ^ (this.#low >>> 15);
		this.#high = (Math.imul(this.#high, 0x5bd1e995) + mix32(this.#low ^ word)) | 0;
	}
}

/** A host's link, with everything that crosses it noted: what the host gives before the impairments, what it gets after them. */
export class TracedLink extends LinkWrapper {
	readonly #host: string;
	readonly #source: number;
	readonly #trace: Trace;
	readonly #listener: FrameListener | undefined;
	#context: LinkContext | undefined;

	constructor(inner: Link, host: string, source: number, trace: Trace, listener: FrameListener | undefined) {
		super("trace", inner);
		this.#host = host;
		this.#source = source;
		this.#trace = trace;
		this.#listener = listener;
	}

	override open(context: LinkContext): void {
		this.#context = context;
		super.open(context);
	}

	receive(batch: Batch): number {
		const before = batch.count;
		const moved = this.inner.receive(batch);
		for (let i = before; i < batch.count; i++) this.#note(batch, i, "in");
		return moved;
	}

	transmit(batch: Batch): number {
		for (let i = 0; i < batch.count; i++) this.#note(batch, i, "out");
		return this.inner.transmit(batch);
	}

	protected ownCounters(): Readonly<Record<string, number>> {
		return {};
	}

	#note(batch: Batch, i: number, direction: "in" | "out"): void {
		const bytes = batch.frame(i);
		const time = this.#context?.runtime.clock.now() ?? 0;
		this.#trace.frame(time, this.#source * 2 + (direction === "in" ? 1 : 0), bytes);
		this.#listener?.({ host: this.#host, direction, time, bytes });
	}
}
