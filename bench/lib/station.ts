/**
 * A link with a function in place of a stack: takes frames, lets the function answer, sends.
 *
 * Hides the loop: the same order of work as a shard's turn (receive a batch, handle, transmit, flush), without anything
 * a stack would do in between. The link has the offloads that a stack's has: checksums are the kernel's both ways. Turns follow each other while frames come; then the link's wake starts the next.
 */
import type { Link } from "../../src/link/link.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch, FRAME_MORE, FRAME_PARTIAL_CHECKSUM } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

/** Takes over the page of a frame of one segment: it sends it on, or releases it. */
export type Handler = (page: number, start: number, length: number) => void;

export class Station {
	readonly pool: PagePool;
	readonly #link: Link;
	readonly #in: Batch;
	readonly #out: Batch;
	readonly #handler: Handler;
	readonly #runtime = nodeRuntime();
	#scheduled = false;

	constructor(link: Link, handler: Handler, pages = 2048) {
		this.pool = new PagePool(new Arena(pages * (PAGE_SIZE + 64) + 65536), pages);
		this.#link = link;
		this.#in = new Batch(this.pool);
		this.#out = new Batch(this.pool, 2 * this.#in.capacity);
		this.#handler = handler;
		link.open({
			pool: this.pool,
			runtime: this.#runtime,
			wake: () => this.#schedule(),
			failed: (error) => {
				throw error;
			},
		});
		link.ref();
		this.#schedule();
	}

	/**
	 * To be called by the handler: the frame leaves at the end of the turn.
	 *
	 * @param partial The device completes TCP's checksum.
	 */
	send(page: number, start: number, length: number, partial: boolean): void {
		if (!this.#out.push(page, start, length, 0, partial ? FRAME_PARTIAL_CHECKSUM : 0)) this.pool.release(page);
	}

	#schedule(): void {
		if (this.#scheduled) return;
		this.#scheduled = true;
		this.#runtime.defer(this.#turn);
	}

	readonly #turn = (): void => {
		this.#scheduled = false;
		const frames = this.#in;
		const received = this.#link.receive(frames);
		let run = false;
		for (let i = 0; i < frames.count; i++) {
			const page = frames.page[i]!;
			const more = (frames.flags[i]! & FRAME_MORE) !== 0;
			if (run || more) this.pool.release(page);
			else this.#handler(page, frames.start[i]!, frames.length[i]!);
			run = more;
		}
		frames.count = 0;
		if (this.#out.count > 0) {
			this.#link.transmit(this.#out);
			// What the device does not take is lost, as on a wire.
			this.#out.drop(this.#out.count);
		}
		this.#link.flush();
		if (received > 0) this.#schedule();
	};
}
