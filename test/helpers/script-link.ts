/**
 * The wire of a packet script: a link whose other end is the script.
 *
 * Frames are IP packets, so that no address resolution gets between the lines. What the script injects waits until the stack receives
 * it, together with what was injected since; what the stack transmits is kept with its time until the script looks at it.
 */
import type { Link, LinkContext } from "../../src/link/link.ts";
import type { Batch } from "../../src/memory/batch.ts";

export class ScriptLink implements Link {
	readonly name = "script";
	readonly medium = "ip";
	readonly mtu: number;
	readonly sent: { time: number; bytes: Uint8Array }[] = [];
	readonly #incoming: Uint8Array[] = [];
	#context: LinkContext | undefined;

	constructor(mtu: number) {
		this.mtu = mtu;
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
		for (let i = 0; i < count; i++) this.sent.push({ time: this.#context!.runtime.clock.now(), bytes: batch.frame(i).slice() });
		batch.drop(count);
		return count;
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
