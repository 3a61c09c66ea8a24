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
	/**
	 * Frames must be whole and complete, as on a wire: no frame that stands for several, none without its checksums. For wrappers
	 * that treat frames as a network would, and for peers that know nothing of offloads. The link then has no `offload`.
	 */
	readonly plain?: boolean;
	/**
	 * The payload of a frame that needs no look (FRAME_CHECKED) may be a landing of the pool (memory/pages.ts): one entry behind that of the
	 * headers, its start 0. Only the stack itself says so; whoever looks at frames in between has them in pages.
	 */
	readonly landings?: boolean;
}

/** What a link saves the stack. */
export interface LinkOffload {
	/**
	 * Outward, the link completes the transport checksum of frames marked FRAME_PARTIAL_CHECKSUM. Inward, it marks frames whose
	 * checksums need no look FRAME_CHECKED; those whose transport checksum was never completed FRAME_PARTIAL_CHECKSUM as well.
	 */
	readonly checksum: boolean;
	/**
	 * Most payload bytes of one TCP frame, a run of entries, that the link sends as segments of `batch.segment` bytes; 0: none. The
	 * frame's headers are those of its first segment, with lengths as if it were one packet, and it is marked
	 * FRAME_PARTIAL_CHECKSUM. Inward the link may give frames of the same kind.
	 */
	readonly segmentation: number;
	/** Outward, the entries of such a frame but the first may be slices (memory/pages.ts): any piece of the arena, longer than a page. */
	readonly longPieces?: boolean;
}

/** Payload of the longest TCP frame: what the length field of IPv4 can say, less the longest headers without IP options. */
export const SEGMENTATION_MAX = 65535 - 20 - 60;

/** What frames come from and go to. All members are called from the host's turn, on one thread. */
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
	 * Bytes of the pages' arena that the link would like to have beside them, for memory that it shares with a kernel. A frame is then copied
	 * within one arena, which makes no garbage. A link that does not find them there takes an arena of its own.
	 */
	readonly arenaBytes?: number;
	/** What may be left to the link; valid once `open` has returned. None: frames are whole and complete both ways. */
	readonly offload?: LinkOffload | undefined;

	/** Called once before anything else. Throws a MillraceError if the link cannot be had. */
	open(context: LinkContext): void;
	/** Whether the last `receive` has left frames that had come. A link without it says so by a full batch. */
	readonly waiting?: boolean | undefined;
	/** Appends at most `batch.capacity - batch.count` frames to `batch`, each with its arrival time; returns how many. */
	receive(batch: Batch): number;
	/**
	 * Has the next `receive` find what has arrived, although no event loop turns that would say so: for the end of a process. Links whose
	 * `receive` finds it anyway have none. Returns how much the link has taken and must
	 * still give on, in frames or bytes; most keep nothing. Below 0: without the event loop nothing can be received.
	 */
	look?(): number;
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
	/** Takes `ref` back. Not counted: the host counts. */
	unref(): void;
	/** Gives everything back. Frames still held are lost. */
	close(): void;
	/** Named counters for `host.stats()`: frames and bytes each way, drops by reason. */
	counters(): Readonly<Record<string, number>>;
}
