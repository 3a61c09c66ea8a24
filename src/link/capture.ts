/**
 * Capturing link: a link around a link that writes what crosses it, both ways, to a capture.
 *
 * Hides nothing of the traffic: frames are written as the inner link gives or takes them, when it does (inward: with their arrival
 * time). Put around an impairing link it shows what the host sees; inside, what the network sees. Frames that the inner link refuses
 * are not written until it takes them. With offloads that is what a capture on a network card's host shows, too: frames that
 * stand for several segments, and on their way out without their checksums.
 */
import { Batch } from "../memory/batch.ts";
import { frameEntries } from "./frames.ts";
import { trueOrFalse, withMethods } from "./known-options.ts";
import type { Link, LinkContext } from "./link.ts";
import type { CaptureWriter } from "./pcapng.ts";
import { LinkWrapper } from "./wrapper.ts";

export { type CaptureOptions, type CaptureSink, CaptureWriter } from "./pcapng.ts";

class CaptureLink extends LinkWrapper {
	readonly #writer: CaptureWriter;
	#context: LinkContext | null = null;
	#id = 0;
	/** What is being offered to the inner link, with references of its own: entries that are taken leave the host's batch. */
	#offered: Batch | null = null;

	constructor(inner: Link, writer: CaptureWriter, offloads: boolean) {
		super("capture", inner, offloads);
		withMethods("the writer of a capture", writer, ["addInterface", "frame", "removeInterface"], "a CaptureWriter");
		trueOrFalse({ offloads });
		this.#writer = writer;
	}

	override open(context: LinkContext): void {
		super.open(context);
		try {
			this.#id = this.#writer.addInterface(this.name, this.medium, context.runtime);
		} catch (error) {
			this.inner.close();
			throw error;
		}
		this.#context = context;
	}

	override receive(batch: Batch): number {
		const before = batch.count;
		const count = this.inner.receive(batch);
		if (count === 0 || this.#context === null) return count;
		const now = this.#context.runtime.clock.now();
		for (let at = before, entries = 0; at < batch.count; at += entries) {
			entries = frameEntries(batch, at);
			const age = ((now | 0) - batch.time[at]!) | 0; // stamps wrap at 2^32
			this.#writer.frame(this.#id, "in", now - age, batch, at, entries);
		}
		return count;
	}

	override transmit(batch: Batch): number {
		const context = this.#context;
		if (context === null) return this.inner.transmit(batch);
		if (this.#offered === null || this.#offered.capacity < batch.count) this.#offered = new Batch(batch.pool, batch.capacity);
		const offered = this.#offered;
		for (let i = 0; i < batch.count; i++) {
			batch.pool.retain(batch.page[i]!);
			offered.push(batch.page[i]!, batch.start[i]!, batch.length[i]!, 0, batch.flags[i]!);
		}
		try {
			return this.inner.transmit(batch);
		} finally {
			// Also if it threw, as a drop rule may: what it took until then has left the batch.
			const taken = offered.count - batch.count;
			const now = context.runtime.clock.now();
			for (let at = 0, entries = 0; at < taken; at += entries) {
				entries = frameEntries(offered, at);
				this.#writer.frame(this.#id, "out", now, offered, at, entries);
			}
			offered.drop(offered.count);
		}
	}

	override close(): void {
		if (this.#context !== null) {
			this.#context = null;
			this.#writer.removeInterface();
		}
		this.inner.close();
	}

	protected override ownCounters(): Readonly<Record<string, number>> {
		const { frames, bytes, dropped } = this.#writer;
		return { frames, bytes, dropped };
	}
}

/**
 * A link around `link` whose frames are written by `writer`. Several links may share a writer: the file then shows them as several
 * interfaces. Closing the last of them ends the capture.
 *
 * @param offloads Whether the inner link's offloads stay in use (default): cheaper, but the capture then has frames that stand
 * for several segments, and frames whose checksums are not complete. False: frames as on a wire.
 * @throws MillraceError MILLRACE_BAD_OPTION for what is no link, or no writer.
 */
export function captureLink(link: Link, writer: CaptureWriter, offloads = true): Link {
	return new CaptureLink(link, writer, offloads);
}
