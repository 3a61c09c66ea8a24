/**
 * Impairing link: a link around a link on which frames are lost, late, doubled, damaged, out of order, or wait for a narrow place.
 *
 * Hides when a frame goes on. What is on its way waits in one `Impairment` per direction; one alarm is set for whatever is through
 * first. Outward frames go on to the inner link from `transmit`, `flush` or the alarm, whichever comes first; inward frames are
 * taken from the inner link and handed to the host by `receive`, which the alarm asks for by `wake`. A frame's arrival time is
 * when it was through, not when somebody came to fetch it.
 *
 * Chance: one stream for each direction, forked from the seed, so that traffic one way does not change the fate of the other.
 */
import { Batch } from "../memory/batch.ts";
import type { Alarm } from "../time/clock.ts";
import { SeededRandom } from "../time/random.ts";
import { frameCount, frameEntries } from "./frames.ts";
import { checkImpairOptions, Impairment, type ImpairOptions } from "./impairment.ts";
import type { Link, LinkContext } from "./link.ts";
import { LinkWrapper } from "./wrapper.ts";

export { checkImpairOptions, type DropRule, type Impairments, type ImpairOptions } from "./impairment.ts";

/** Entries taken from the inner link by one `receive`, at most: bounds a turn whose frames are all still on their way. */
const TAKE_MAX = 1024;
/** Microseconds after which frames are offered again that the inner link did not take. */
const RETRY = 1000;

class ImpairLink extends LinkWrapper {
	readonly #options: ImpairOptions;
	#context: LinkContext | null = null;
	#in: Impairment | null = null;
	#out: Impairment | null = null;
	/** Frames from the inner link, on their way into `#in`; frames from `#out` that the inner link has not taken yet. */
	#taken: Batch | null = null;
	#leaving: Batch | null = null;
	#alarm: Alarm | null = null;
	#armedFor = Number.POSITIVE_INFINITY;
	/** The host was asked to call `receive`: until it does, inward frames need no alarm. */
	#asked = false;

	constructor(inner: Link, options: ImpairOptions) {
		super("impair", inner);
		checkImpairOptions(options);
		this.#options = options;
	}

	override open(context: LinkContext): void {
		super.open(context);
		const { pool, runtime } = context;
		const random = new SeededRandom(this.#options.seed ?? runtime.random.int32());
		this.#in = new Impairment("in", this.#options, random.fork("in"), pool);
		this.#out = new Impairment("out", this.#options, random.fork("out"), pool);
		this.#taken = new Batch(pool);
		this.#leaving = new Batch(pool);
		this.#alarm = runtime.alarm(() => this.#ring());
		this.#context = context;
	}

	override receive(batch: Batch): number {
		const context = this.#context;
		const impairment = this.#in;
		if (context === null || impairment === null) return 0;
		if (impairment.idle) {
			const before = batch.count;
			const count = this.inner.receive(batch);
			impairment.pass(frameCount(batch, before));
			return count;
		}
		this.#asked = false;
		this.#take(context, impairment);
		const moved = impairment.moveDue(batch, context.runtime.clock.now());
		this.#arm();
		return moved;
	}

	override look(): number {
		const inner = super.look();
		return inner < 0 ? inner : inner + (this.#out?.frames ?? 0) + (this.#leaving?.count ?? 0);
	}

	override transmit(batch: Batch): number {
		const context = this.#context;
		const impairment = this.#out;
		if (context === null || impairment === null) return this.inner.transmit(batch);
		if (impairment.idle) {
			const before = frameCount(batch, 0);
			const taken = this.inner.transmit(batch);
			impairment.pass(before - frameCount(batch, 0));
			return taken;
		}
		const now = context.runtime.clock.now();
		const count = batch.count;
		let at = 0;
		try {
			for (let entries = 0; at < count; at += entries) {
				entries = frameEntries(batch, at);
				impairment.admit(batch, at, entries, now);
			}
		} finally {
			// A drop rule may throw: the frames before it are not the caller's any more.
			batch.shift(at);
		}
		this.#forward(now);
		return count;
	}

	override flush(): void {
		const context = this.#context;
		if (context !== null && this.#out?.idle === false) {
			this.#forward(context.runtime.clock.now());
			this.#arm();
		}
		this.inner.flush();
	}

	override close(): void {
		const context = this.#context;
		if (context !== null) {
			this.#context = null;
			this.#alarm?.clear();
			this.#in?.clear(context.pool);
			this.#out?.clear(context.pool);
			this.#leaving?.drop(this.#leaving.count);
		}
		this.inner.close();
	}

	protected override ownCounters(): Readonly<Record<string, number>> {
		const all: Record<string, number> = {};
		for (const [direction, impairment] of [["in", this.#in] as const, ["out", this.#out] as const]) {
			for (const [name, value] of Object.entries(impairment?.counters ?? {})) {
				all[direction + name[0]!.toUpperCase() + name.slice(1)] = value;
			}
		}
		return all;
	}

	/** Takes what the inner link has. */
	#take(context: LinkContext, impairment: Impairment): void {
		const taken = this.#taken!;
		for (let total = 0; total < TAKE_MAX; ) {
			const count = this.inner.receive(taken);
			if (count === 0) return;
			const now = context.runtime.clock.now();
			let at = 0;
			try {
				for (let entries = 0; at < count; at += entries) {
					entries = frameEntries(taken, at);
					// Stamps wrap at 2^32: what counts is how long ago the frame arrived.
					const age = ((now | 0) - taken.time[at]!) | 0;
					impairment.admit(taken, at, entries, now - Math.max(0, age));
				}
			} finally {
				// None are left, unless a drop rule threw.
				taken.shift(at);
				taken.drop(taken.count);
			}
			total += count;
		}
		context.wake(); // there may be more
	}

	/** Hands on to the inner link what is through. */
	#forward(now: number): void {
		const leaving = this.#leaving!;
		do {
			this.#out!.moveDue(leaving, now);
			if (leaving.count === 0) return;
			this.inner.transmit(leaving);
		} while (leaving.count === 0);
	}

	#ring(): void {
		const context = this.#context;
		if (context === null) return;
		this.#armedFor = Number.POSITIVE_INFINITY;
		const now = context.runtime.clock.now();
		if (!this.#out!.idle && (this.#out!.next <= now || this.#leaving!.count > 0)) {
			this.#forward(now);
			this.inner.flush();
		}
		if (this.#in!.next <= now && !this.#asked) {
			this.#asked = true;
			context.wake();
		}
		this.#arm();
	}

	/** Sets the alarm for what is through first. */
	#arm(): void {
		const now = this.#context!.runtime.clock.now();
		const out = this.#leaving!.count > 0 ? now + RETRY : this.#out!.next;
		const at = this.#asked ? out : Math.min(out, this.#in!.next);
		if (at === this.#armedFor) return;
		// Frames that could not be handed on are retried in a while, not postponed by every call.
		if (this.#leaving!.count > 0 && this.#armedFor < at) return;
		this.#armedFor = at;
		if (at === Number.POSITIVE_INFINITY) this.#alarm!.clear();
		else this.#alarm!.set(Math.ceil(at));
	}
}

/**
 * A link around `link` that behaves like a bad network, each way by itself.
 *
 * Probabilities are 0 to 1, times microseconds, rates bits of frames per second. It may be stacked on any link, also on another of its kind.
 *
 * @throws MillraceError MILLRACE_BAD_OPTION when an option is unknown or out of its range.
 */
export function impairLink(link: Link, options: ImpairOptions): Link {
	return new ImpairLink(link, options);
}
