/**
 * What a link around a link has to do anyway: be, to the host, the link that it wraps.
 *
 * Hides the forwarding of everything that a wrapper does not change, so that wrappers stack on any link and on each other. A
 * wrapper works on frames as on a wire, whole and complete, unless it declares that it passes on whatever it gets. A wrapper's own
 * counters carry its kind as prefix, with a number from the second of a kind on: `impair.inLost`, `impair2.inLost`.
 */
import type { Batch } from "../memory/batch.ts";
import { withLinkMethods } from "./known-options.ts";
import type { Link, LinkContext, LinkOffload } from "./link.ts";

export abstract class LinkWrapper implements Link {
	protected readonly inner: Link;
	mac?: Uint8Array;
	readonly #kind: string;
	readonly #transparent: boolean;

	/** @param transparent Frames pass as the inner link has them: with its offloads. */
	constructor(kind: string, inner: Link, transparent = false) {
		this.#kind = kind;
		this.#transparent = transparent;
		withLinkMethods(`what ${kind} is put around`, inner);
		this.inner = inner;
		this.#takeMac();
	}

	get name(): string {
		return this.inner.name;
	}
	get medium(): "ethernet" | "ip" {
		return this.inner.medium;
	}
	get mtu(): number {
		return this.inner.mtu;
	}
	get loopback(): boolean {
		return this.inner.loopback === true;
	}

	get arenaBytes(): number {
		return this.inner.arenaBytes ?? 0;
	}

	get offload(): LinkOffload | undefined {
		return this.#transparent ? this.inner.offload : undefined;
	}

	get waiting(): boolean | undefined {
		return this.#transparent ? this.inner.waiting : undefined;
	}

	open(context: LinkContext): void {
		this.inner.open(within(context, !this.#transparent || context.plain === true));
		this.#takeMac(); // a device may know its address only now
	}
	look(): number {
		return this.inner.look?.() ?? 0;
	}
	abstract receive(batch: Batch): number;
	abstract transmit(batch: Batch): number;
	flush(): void {
		this.inner.flush();
	}
	ref(): void {
		this.inner.ref();
	}
	unref(): void {
		this.inner.unref();
	}
	close(): void {
		this.inner.close();
	}

	counters(): Readonly<Record<string, number>> {
		const all: Record<string, number> = { ...this.inner.counters() };
		const names = Object.keys(all);
		let prefix = `${this.#kind}.`;
		for (let n = 2; names.some((name) => name.startsWith(prefix)); n++) prefix = `${this.#kind}${n}.`;
		for (const [name, value] of Object.entries(this.ownCounters())) all[prefix + name] = value;
		return all;
	}

	/** The wrapper's own counters, without prefix. */
	protected abstract ownCounters(): Readonly<Record<string, number>>;

	#takeMac(): void {
		if (this.inner.mac !== undefined) this.mac = this.inner.mac;
	}
}

/** The same context for a link whose frames somebody looks at: all in pages, and `plain` as on a wire. */
function within(context: LinkContext, plain: boolean): LinkContext {
	const { pool, runtime } = context;
	return { pool, runtime, plain, wake: () => context.wake(), failed: (error) => context.failed(error) };
}
