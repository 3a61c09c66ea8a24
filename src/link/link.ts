/**
 * A link: what frames come from and go to. The only thing that the stack knows of devices.
 *
 * To carry Millrace over something new (a WebSocket, a UNIX socket, a message port), implement this interface and pass the
 * object to `createHost`. `test/link/compliance.ts` is the suite that every link must pass.
 *
 * Life: `open` once, then `receive`, `transmit` and `flush` any number of times, then `close` once. Nothing is delivered
 * before `open` nor after `close`. A link never throws from `receive`, `transmit` or `flush`: what goes wrong there is a
 * counter in `counters()`, or, if the link is gone for good, one call of `failed`.
 */
import type { Batch } from "../memory/batch.ts";
import type { PagePool } from "../memory/pages.ts";
import type { Runtime } from "../time/clock.ts";

/** What a link is given when it is opened. */
export interface LinkContext {
	/** Pages for frames on their way in; `batch.add` takes from the same pool. */
	readonly pool: PagePool;
	/** Stamp frames with `runtime.clock.now() | 0` when they arrive, not when `receive` is called. */
	readonly runtime: Runtime;
	/** To be called when `receive` may have something to give. Cheap, may be called too often; never calls back into the link. */
	wake(): void;
	/** To be called once if the link can no longer work (device gone, peer closed). The stack goes on without it. */
	failed(error: Error): void;
}

export interface Link {
	/** Short name for messages, e.g. `tap:mr0`. */
	readonly name: string;
	/** "ethernet": frames begin with an Ethernet header, without FCS. "ip": frames are IP packets. */
	readonly medium: "ethernet" | "ip";
	/** Largest IP packet, in bytes. */
	readonly mtu: number;
	/** The stack's own hardware address, 6 bytes; only for Ethernet links, which may leave the choice to the host. */
	readonly mac?: Uint8Array;
	/** True when frames that are sent come back to the sender: 127.0.0.0/8 then crosses this link. */
	readonly loopback?: boolean;

	/**
	 * What the link does in the stack's place, good once `open` has returned; absent: nothing.
	 *
	 * `checksum`: it completes transport checksums of frames marked FRAME_PARTIAL_CHECKSUM, and marks FRAME_CHECKED what it
	 * vouches for. `segmentation`: most payload bytes of a TCP segment given as a run of entries, to be cut into pieces of
	 * `batch.segment` bytes; 0: none.
	 */
	readonly offload?: { readonly checksum: boolean; readonly segmentation: number } | undefined;

	/** Called once before anything else. Throws a MillraceError if the link cannot be had. */
	open(context: LinkContext): void;
	/** Appends at most `batch.capacity - batch.count` frames to `batch`, each with its arrival time; returns how many. */
	receive(batch: Batch): number;
	/**
	 * Takes frames from the front of `batch` and returns how many; those leave the batch (`batch.drop(n)`, or `batch.shift(n)`
	 * for a link that keeps the pages and releases them later). The rest stays the caller's. The bytes of a page that is kept
	 * do not change while it is; its descriptor may, so note start and length.
	 */
	transmit(batch: Batch): number;
	/** Makes what was transmitted leave: at most one system call. */
	flush(): void;
	/** Whether an open link keeps the process alive. Links are opened unreferenced. */
	ref(): void;
	unref(): void;
	/** Gives everything back. Frames still held are lost. */
	close(): void;
	/** Named counters for `host.stats()`: frames and bytes each way, drops by reason. */
	counters(): Readonly<Record<string, number>>;
}
