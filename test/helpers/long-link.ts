/**
 * A link around a plain one that takes long frames, as a TAP device does: frames that stand for several segments, slices among their pieces.
 *
 * Hides where they are cut: here, into frames as on a wire, as soon as they come or a while later. Until then the link holds the pieces,
 * as a device does whose queue is long, so the stack may have to send again what has not left yet.
 */
import { FrameCompleter } from "../../src/link/complete.ts";
import { Cutter } from "../../src/link/cut.ts";
import { copyFrame, FRAME_OFFSET, FrameQueue, frameBytes, frameEntries } from "../../src/link/frames.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "../../src/link/link.ts";
import { LinkWrapper } from "../../src/link/wrapper.ts";
import { Batch, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import type { Segment } from "../../src/sim/index.ts";
import type { Alarm } from "../../src/time/clock.ts";

const OFFLOAD: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true };

export class LongLink extends LinkWrapper {
	/** Frames of several segments that were cut, and segments that they became. */
	cut = 0;
	segments = 0;
	/** Segments lost for want of a page. */
	lost = 0;
	readonly #hold: number;
	readonly #cutter = new Cutter();
	readonly #completer: FrameCompleter;
	readonly #whole = new Uint8Array(1 << 17);
	readonly #waiting = new FrameQueue(2048);
	#leaving: Batch | undefined;
	#held: Batch | undefined;
	#context: LinkContext | undefined;
	#alarm: Alarm | undefined;
	#armed = false;

	/** @param hold Microseconds for which frames stay here. */
	constructor(inner: Link, hold: number) {
		super("long", inner);
		this.#hold = hold;
		this.#completer = new FrameCompleter(inner.medium);
	}

	override get offload(): LinkOffload {
		return OFFLOAD;
	}

	override open(context: LinkContext): void {
		super.open(context);
		this.#context = context;
		this.#leaving = new Batch(context.pool);
		this.#held = new Batch(context.pool);
		this.#alarm = context.runtime.alarm(() => this.#ring());
	}

	receive(batch: Batch): number {
		return this.inner.receive(batch);
	}

	transmit(batch: Batch): number {
		const { count } = batch;
		if (this.#hold === 0) {
			this.#pass(batch);
			return count;
		}
		for (let i = 0; i < count; i++) {
			const { page, start, length, flags, segment } = batch;
			if (this.#waiting.room > 0) this.#waiting.push(page[i]!, start[i]!, length[i]!, 0, flags[i]!, segment[i]!);
			else throw new Error("more than 2048 entries wait in a link of a test");
		}
		batch.shift(count);
		if (!this.#armed) this.#alarm!.set(this.#context!.runtime.clock.now() + this.#hold);
		this.#armed = true;
		return count;
	}

	#ring(): void {
		this.#armed = false;
		const held = this.#held!;
		while (this.#waiting.count > 0) {
			this.#waiting.moveTo(held);
			this.#pass(held);
		}
		this.inner.flush();
	}

	/** Hands on what a batch holds as frames of one segment each. */
	#pass(batch: Batch): void {
		const { pool } = batch;
		for (let i = 0, entries = 0; i < batch.count; i += entries) {
			entries = frameEntries(batch, i);
			const segment = batch.segment[i]!;
			if ((batch.flags[i]! & FRAME_PARTIAL_CHECKSUM) === 0) {
				this.#push(batch, batch.frame(i));
			} else if (segment === 0 || this.medium === "ip") {
				if (segment !== 0) this.cut++;
				if (!this.#completer.complete(batch, i, entries, (bytes) => this.#push(batch, bytes)))
					throw new Error("a frame cannot be completed");
			} else {
				this.cut++;
				copyFrame(batch, i, entries, this.#whole, 0);
				if (!this.#cutter.begin(this.#whole, 0, frameBytes(batch, i, entries), segment)) throw new Error("a frame cannot be cut");
				for (let n = 0; n < this.#cutter.segments; n++) {
					const page = pool.alloc();
					if (page === 0) this.lost++;
					else this.#leave(page, this.#cutter.write(n, pool, pool.address(page) + FRAME_OFFSET, true));
				}
			}
		}
		batch.drop(batch.count);
		this.inner.transmit(this.#leaving!);
	}

	#push({ pool }: Batch, bytes: Uint8Array): void {
		const page = pool.alloc();
		if (page === 0) {
			this.lost++;
			return;
		}
		pool.u8.set(bytes, pool.address(page) + FRAME_OFFSET);
		this.#leave(page, bytes.length);
	}

	#leave(page: number, length: number): void {
		const leaving = this.#leaving!;
		if (leaving.count === leaving.capacity) this.inner.transmit(leaving);
		leaving.push(page, leaving.pool.address(page) + FRAME_OFFSET, length);
		this.segments++;
	}

	override close(): void {
		this.#alarm?.clear();
		if (this.#context !== undefined) this.#waiting.clear(this.#context.pool);
		this.inner.close();
	}

	protected ownCounters(): Readonly<Record<string, number>> {
		return { cut: this.cut, segments: this.segments, lost: this.lost };
	}
}

/** A segment of a simulation as a host sees it whose link takes long frames. */
export function longLinks(segment: Segment, hold: number): Segment {
	const plug: Segment["plug"] = (name, trace, onFrame) => new LongLink(segment.plug(name, trace, onFrame), hold);
	return { plug } as Segment;
}
