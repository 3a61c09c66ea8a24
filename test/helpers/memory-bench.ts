/** Benches for the compliance suite whose wire is memory and whose time is virtual. */
import { frameEntries } from "../../src/link/frames.ts";
import type { Link, LinkContext } from "../../src/link/link.ts";
import { loopbackLink } from "../../src/link/loopback.ts";
import { type MemoryLinkOptions, memoryLinkPair } from "../../src/link/memory.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { type LinkBench, pushFrame } from "../link/compliance.ts";
import { VirtualClock } from "./runtime.ts";

/** A program at the end of a link that speaks in byte arrays. */
export class Speaker {
	readonly link: Link;
	readonly batch: Batch;
	/** Called when frames have come. */
	onwake: () => void = () => {};

	constructor(link: Link, context: Pick<LinkContext, "pool" | "runtime">, isOpen = false) {
		this.link = link;
		this.batch = new Batch(context.pool);
		if (!isOpen) link.open({ ...context, wake: () => this.onwake(), failed() {} });
	}

	send(bytes: Uint8Array): void {
		pushFrame(this.batch, bytes);
		this.link.transmit(this.batch);
		this.link.flush();
		this.batch.drop(this.batch.count);
	}

	/** The frames that have come, with their stamps. */
	receive(): { bytes: Uint8Array; time: number }[] {
		const frames: { bytes: Uint8Array; time: number }[] = [];
		while (this.link.receive(this.batch) > 0) {
			for (let at = 0, entries = 0; at < this.batch.count; at += entries) {
				entries = frameEntries(this.batch, at);
				const parts: Uint8Array[] = [];
				for (let i = at; i < at + entries; i++) parts.push(this.batch.frame(i));
				frames.push({ bytes: new Uint8Array(Buffer.concat(parts)), time: this.batch.time[at]! });
			}
			this.batch.drop(this.batch.count);
		}
		return frames;
	}
}

export function makePool(pages = 512): PagePool {
	return new PagePool(new Arena(pages * 2200 + 65536), pages);
}

/** A bench whose link is one end of a memory pair, as `wrap` returns it. */
export function memoryBench(options: MemoryLinkOptions = {}, wrap: (link: Link) => Link = (link) => link): () => Promise<LinkBench> {
	return async () => {
		const clock = new VirtualClock();
		const [near, far] = memoryLinkPair(options);
		const speaker = new Speaker(far, { pool: makePool(), runtime: clock.runtime });
		const heard: Uint8Array[] = [];
		return {
			link: wrap(near),
			runtime: clock.runtime,
			async settle() {
				clock.advance(100_000);
			},
			peer: {
				send: (bytes) => speaker.send(bytes),
				async receive() {
					heard.push(...speaker.receive().map((frame) => frame.bytes));
					return heard.shift() ?? null;
				},
				close: () => far.close(),
			},
		};
	};
}

/** A bench whose link's other end is the link itself. */
export function loopbackBench(wrap: (link: Link) => Link = (link) => link): () => Promise<LinkBench> {
	return async () => {
		const clock = new VirtualClock();
		const link = wrap(loopbackLink());
		let speaker: Speaker | null = null;
		const heard: Uint8Array[] = [];
		return {
			link,
			runtime: clock.runtime,
			opened(context) {
				speaker = new Speaker(link, { ...context, pool: context.pool }, true);
			},
			async settle() {
				clock.advance(100_000);
			},
			peer: {
				// Not through the pool of the host, which tests exhaust: what the host sends itself needs a page anyway.
				send(bytes) {
					if (speaker !== null && speaker.batch.pool.free > 0) speaker.send(bytes);
				},
				async receive() {
					heard.push(...(speaker?.receive() ?? []).map((frame) => frame.bytes));
					return heard.shift() ?? null;
				},
				close() {},
			},
		};
	};
}
