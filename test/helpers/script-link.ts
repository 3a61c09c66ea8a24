/**
 * The wire of a packet script: a link whose other end is the script.
 *
 * Frames are IP packets, so that no address resolution gets between the lines. What the script injects waits until the stack receives
 * it, together with what was injected since; what the stack transmits is kept with its time until the script looks at it.
 *
 * A long link takes frames that stand for several segments, slices among their pieces; the script sees each as one long segment. A slow
 * one keeps what it was given until `release`, and then nobody may have changed a byte of it.
 */
import assert from "node:assert/strict";
import { frameBytes, frameEntries } from "../../src/link/frames.ts";
import { type Link, type LinkContext, type LinkOffload, SEGMENTATION_MAX } from "../../src/link/link.ts";
import { type Batch, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import { completeSum } from "./segment.ts";

export class ScriptLink implements Link {
	readonly name = "script";
	readonly medium = "ip";
	readonly mtu: number;
	readonly sent: { time: number; bytes: Uint8Array }[] = [];
	readonly offload: LinkOffload | undefined;
	/** What is sent stays here for a while. */
	slow = false;
	readonly #kept: { page: number; start: number; bytes: Uint8Array }[] = [];
	readonly #incoming: Uint8Array[] = [];
	#context: LinkContext | undefined;

	constructor(mtu: number, long = false) {
		this.mtu = mtu;
		this.offload = long ? { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true } : undefined;
	}

	inject(bytes: Uint8Array): void {
		this.#incoming.push(bytes);
		this.#context?.wake();
	}

	open(context: LinkContext): void {
		this.#context = context;
	}

	receive(batch: Batch): number {
		let taken = 0;
		while (this.#incoming.length > 0 && batch.add(this.#incoming[0]!, this.#context!.runtime.clock.now())) {
			this.#incoming.shift();
			taken++;
		}
		return taken;
	}

	transmit(batch: Batch): number {
		const count = batch.count;
		for (let i = 0, entries = 0; i < count; i += entries) {
			entries = frameEntries(batch, i);
			const bytes = new Uint8Array(frameBytes(batch, i, entries));
			for (let n = i, at = 0; n < i + entries; at += batch.length[n++]!) bytes.set(batch.frame(n), at);
			if ((batch.flags[i]! & FRAME_PARTIAL_CHECKSUM) !== 0) completeSum(bytes);
			if (bytes.length > this.mtu) assert.ok(batch.segment[i]! > 0 && batch.segment[i]! <= this.mtu - 40, "a long frame of no segments");
			this.sent.push({ time: this.#context!.runtime.clock.now(), bytes });
		}
		if (this.slow) {
			for (let i = 0; i < count; i++) this.#kept.push({ page: batch.page[i]!, start: batch.start[i]!, bytes: batch.frame(i).slice() });
			batch.shift(count);
		} else batch.drop(count);
		return count;
	}

	/** A slow link has sent what it kept. */
	release(): void {
		const { pool } = this.#context!;
		for (const { page, start, bytes } of this.#kept.splice(0)) {
			assert.deepEqual(pool.u8.slice(start, start + bytes.length), bytes, "bytes that the link still had to send were changed");
			pool.release(page);
		}
	}

	flush(): void {}
	ref(): void {}
	unref(): void {}
	close(): void {
		this.#context = undefined;
	}
	counters(): Record<string, number> {
		return {};
	}
}
