/**
 * AF_XDP sockets: frames of one queue of an interface, in memory that the process shares with the kernel (Linux,
 * Documentation/networking/af_xdp.rst).
 *
 * Hides the socket options and the four rings. All memory in which frames may lie (the UMEM) belongs to the caller; what goes
 * through the rings are offsets into it. Ours to fill: `fill`, with places for frames that arrive, and `transmit`. The kernel's:
 * `receive`, and `completion`, with the places whose frames were sent and are the caller's again.
 *
 * The rings are mapped into an arena of the socket's own. Indices run on and wrap at 2^32. They are read and written by Atomics,
 * once per batch: that orders them with the entries, which are plain memory.
 */

import { Arena } from "../memory/arena.ts";
import { SOCK_CLOEXEC, SOCK_RAW } from "./constants.ts";
import { EACCES, EBUSY, EINVAL, EOPNOTSUPP, EPERM, systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { MAP_UNIT, mapInto, mapLength, unmapFrom } from "./map.ts";

const AF_XDP = 44;
const SOL_XDP = 283;

const XDP_MMAP_OFFSETS = 1;
const XDP_RX_RING = 2;
const XDP_TX_RING = 3;
const XDP_UMEM_REG = 4;
const XDP_UMEM_FILL_RING = 5;
const XDP_UMEM_COMPLETION_RING = 6;
const XDP_STATISTICS = 7;
const XDP_OPTIONS = 8;
const XDP_MAX_TX_SKB_BUDGET = 9;

const PGOFF_RX = 0;
const PGOFF_TX = 0x80000000;
const PGOFF_FILL = 0x100000000;
const PGOFF_COMPLETION = 0x180000000;

const XDP_SHARED_UMEM = 1;
const XDP_COPY = 2;
const XDP_ZEROCOPY = 4;
const XDP_USE_NEED_WAKEUP = 8;
const RING_NEED_WAKEUP = 1;
const OPTIONS_ZEROCOPY = 1;

const MSG_DONTWAIT = 0x40;

/**
 * When a socket is closed, or its process killed, the kernel gives its queue up a little later, in a thread of its own: a program that is
 * started again at once must wait for that. How long to wait, and between tries, in ms.
 */
const BUSY_MAX = 500;
const BUSY_STEP = 5;

/** Waits without the event loop: only while a link is being opened. */
function pause(milliseconds: number): void {
	Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/** Bytes that the kernel leaves free in front of a frame, besides the head room that is asked for. */
export const XDP_HEADROOM = 256;

/** One ring in shared memory, seen from our side. */
class Ring {
	/** Entries, a power of two. */
	readonly size: number;
	protected readonly words: Int32Array;
	protected readonly mask: number;
	protected readonly producer: number;
	protected readonly consumer: number;
	protected readonly entries: number;
	readonly #flags: number;

	/** @param offsets Producer, consumer, entries and flags, in bytes from `base`. */
	constructor(words: Int32Array, base: number, offsets: readonly number[], size: number) {
		this.words = words;
		this.size = size;
		this.mask = size - 1;
		const [producer, consumer, entries, flags] = offsets.map((offset) => (base + offset) >> 2) as [number, number, number, number];
		this.producer = producer;
		this.consumer = consumer;
		this.entries = entries;
		this.#flags = flags;
	}

	/** Whether the kernel waits to be called before it looks at the ring. */
	get needsWakeup(): boolean {
		return (Atomics.load(this.words, this.#flags) & RING_NEED_WAKEUP) !== 0;
	}
}

/** A ring that we fill. Entries are seen by the kernel from `submit` on. */
class ProducerRing extends Ring {
	/** Where we are, and where the kernel was when we last looked. */
	protected at = 0;
	#consumed = 0;

	/** Entries that can be put; looks at the kernel's index only if there are fewer than `wanted`. */
	room(wanted: number): number {
		if (this.size - ((this.at - this.#consumed) | 0) < wanted) this.#consumed = Atomics.load(this.words, this.consumer);
		return this.size - ((this.at - this.#consumed) | 0);
	}

	/** Entries that were submitted and that the kernel has not taken. */
	get pending(): number {
		this.#consumed = Atomics.load(this.words, this.consumer);
		return (this.at - this.#consumed) | 0;
	}

	submit(): void {
		Atomics.store(this.words, this.producer, this.at);
	}
}

export class FillRing extends ProducerRing {
	/** Offers the place that begins at `offset`. There must be room. */
	put(offset: number): void {
		const entry = this.entries + ((this.at & this.mask) << 1);
		this.words[entry] = offset;
		this.words[entry + 1] = 0;
		this.at = (this.at + 1) | 0;
	}
}

export class TransmitRing extends ProducerRing {
	/** Queues a frame. There must be room. */
	put(offset: number, length: number): void {
		const entry = this.entries + ((this.at & this.mask) << 2);
		this.words[entry] = offset;
		this.words[entry + 1] = 0;
		this.words[entry + 2] = length;
		this.words[entry + 3] = 0;
		this.at = (this.at + 1) | 0;
	}
}

/** A ring that the kernel fills. Entries are ours from `available` on, and the kernel's again from `release` on. */
class ConsumerRing extends Ring {
	protected at = 0;

	/** Entries to be taken. */
	available(): number {
		return (Atomics.load(this.words, this.producer) - this.at) | 0;
	}

	/** Gives the first `n` entries back. */
	release(n: number): void {
		this.at = (this.at + n) | 0;
		Atomics.store(this.words, this.consumer, this.at);
	}
}

export class ReceiveRing extends ConsumerRing {
	/** Where the `i`-th available frame begins. */
	offset(i: number): number {
		return this.words[this.entries + (((this.at + i) & this.mask) << 2)]!;
	}
	length(i: number): number {
		return this.words[this.entries + (((this.at + i) & this.mask) << 2) + 2]!;
	}
}

export class CompletionRing extends ConsumerRing {
	/** Where the `i`-th frame that was sent began. */
	offset(i: number): number {
		return this.words[this.entries + (((this.at + i) & this.mask) << 1)]!;
	}
}

/** The memory in which frames lie. */
export interface Umem {
	readonly arena: Arena;
	/** Bytes from the arena's beginning on. */
	readonly length: number;
	/** Bytes of the place for one frame: 2048 or 4096. */
	readonly chunk: number;
	/** Bytes to leave free in front of a frame that arrives, besides XDP_HEADROOM. */
	readonly headroom: number;
}

export interface XskOptions {
	readonly interfaceIndex: number;
	/** The interface's name, for errors. */
	readonly interfaceName: string;
	readonly queue: number;
	/** Whether driver and kernel may use the memory without copying; "auto": if they can. */
	readonly zeroCopy: "auto" | "always" | "never";
	/** Entries of each ring, a power of two. */
	readonly ringSize: number;
	/** The memory, or a socket whose memory is shared. */
	readonly umem: Umem | Xsk;
}

/** What the kernel counts of a socket. */
export interface XskStatistics {
	/** Frames lost: longer than their place, or no page to be had; the receive ring full; the fill ring empty. */
	readonly dropped: number;
	readonly receiveRingFull: number;
	readonly fillRingEmpty: number;
	/** Entries that the kernel refused. */
	readonly badFill: number;
	readonly badTransmit: number;
}

export class Xsk {
	readonly fd: number;
	readonly fill: FillRing;
	readonly completion: CompletionRing;
	readonly receive: ReceiveRing;
	readonly transmit: TransmitRing;
	/** Frames cross without being copied. */
	readonly zeroCopy: boolean;
	readonly #arena: Arena;
	readonly #regions: { readonly at: number; readonly bytes: number }[] = [];
	readonly #where: string;

	/** Opens a socket and binds it. Throws a MillraceError. */
	constructor(options: XskOptions) {
		const { ringSize, umem, queue, interfaceName } = options;
		const c = libc();
		this.#where = `AF_XDP socket on queue ${queue} of "${interfaceName}"`;
		this.fd = c.socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (this.fd < 0) throw this.#error("open");
		try {
			if (!(umem instanceof Xsk)) this.#register(umem);
			for (const ring of [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING])
				this.#set(ring, Uint32Array.of(ringSize));
			const offsets = this.#offsets();
			// The longest ring has entries of 16 bytes.
			this.#arena = new Arena(4 * mapLength(ringSize * 16 + 4096) + 2 * MAP_UNIT);
			const at = (pageOffset: number, part: number, entry: number, what: string): [Int32Array, number, number[], number] => {
				const own = offsets.slice(part * 4, part * 4 + 4) as [number, number, number, number];
				const bytes = own[2] + ringSize * entry;
				const start = this.#arena.reserve(mapLength(bytes), MAP_UNIT);
				mapInto(this.#arena, start, bytes, this.fd, pageOffset, `the ${what} ring of an ${this.#where}`);
				this.#regions.push({ at: start, bytes: mapLength(bytes) });
				return [this.#arena.i32, start, own, ringSize];
			};
			this.receive = new ReceiveRing(...at(PGOFF_RX, 0, 16, "receive"));
			this.transmit = new TransmitRing(...at(PGOFF_TX, 1, 16, "transmit"));
			this.fill = new FillRing(...at(PGOFF_FILL, 2, 8, "fill"));
			this.completion = new CompletionRing(...at(PGOFF_COMPLETION, 3, 8, "completion"));
			this.#bind(options);
			const flags = new Uint8Array(4);
			c.getsockopt(this.fd, SOL_XDP, XDP_OPTIONS, flags, lengthOf(flags));
			this.zeroCopy = (flags[0]! & OPTIONS_ZEROCOPY) !== 0;
			// More frames for one call where the kernel lets us (it takes 32 otherwise).
			c.setsockopt(this.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, new Uint8Array(Uint32Array.of(128).buffer), 4);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	/** Makes the kernel send what is in the transmit ring; how far it came is seen there. 0, or the error number that says why it stopped. */
	kickTransmit(): number {
		const c = libc();
		return c.send(this.fd, null, 0, MSG_DONTWAIT) < 0 ? c.errno() : 0;
	}

	/** Makes the kernel look for places in the fill ring. */
	kickReceive(): void {
		libc().recv(this.fd, null, 0, MSG_DONTWAIT);
	}

	statistics(): XskStatistics {
		const bytes = new Uint8Array(48);
		libc().getsockopt(this.fd, SOL_XDP, XDP_STATISTICS, bytes, lengthOf(bytes));
		const view = new DataView(bytes.buffer);
		const field = (i: number): number => Number(view.getBigUint64(i * 8, true));
		return { dropped: field(0), badFill: field(1), badTransmit: field(2), receiveRingFull: field(3), fillRingEmpty: field(4) };
	}

	/** Closes the socket: the kernel lets go of the memory. */
	close(): void {
		libc().close(this.fd);
		for (const { at, bytes } of this.#regions.splice(0)) unmapFrom(this.#arena, at, bytes);
	}

	#register({ arena, length, chunk, headroom }: Umem): void {
		const bytes = new Uint8Array(32);
		const view = new DataView(bytes.buffer);
		view.setBigUint64(0, libc().address(arena.u8), true);
		view.setBigUint64(8, BigInt(length), true);
		view.setUint32(16, chunk, true);
		view.setUint32(20, headroom, true);
		if (libc().setsockopt(this.fd, SOL_XDP, XDP_UMEM_REG, bytes, bytes.length) < 0) {
			const errno = libc().errno();
			throw systemError(
				`give ${length >> 20} MB of memory to an ${this.#where}`,
				errno,
				"All of it is kept in RAM: ask for less memory, raise the limit of locked memory (ulimit -l), or give CAP_IPC_LOCK",
			);
		}
	}

	#set(option: number, words: Uint32Array): void {
		const bytes = new Uint8Array(words.buffer);
		if (libc().setsockopt(this.fd, SOL_XDP, option, bytes, bytes.length) < 0) throw this.#error("set up");
	}

	/** Producer, consumer, entries and flags of the rings receive, transmit, fill and completion. */
	#offsets(): number[] {
		const bytes = new Uint8Array(128);
		const length = lengthOf(bytes);
		if (libc().getsockopt(this.fd, SOL_XDP, XDP_MMAP_OFFSETS, bytes, length) < 0) throw this.#error("set up");
		if (length[0] !== bytes.length) throw systemError(`set up an ${this.#where}`, EOPNOTSUPP, "This needs Linux 5.9 or later");
		const view = new DataView(bytes.buffer);
		return Array.from({ length: 16 }, (_, i) => Number(view.getBigUint64(i * 8, true)));
	}

	#bind({ interfaceIndex, queue, zeroCopy, umem }: XskOptions): void {
		const shared = umem instanceof Xsk;
		const copy = zeroCopy === "always" ? XDP_ZEROCOPY : zeroCopy === "never" ? XDP_COPY : 0;
		const bytes = new Uint8Array(16);
		const view = new DataView(bytes.buffer);
		view.setUint16(0, AF_XDP, true);
		view.setUint16(2, shared ? XDP_SHARED_UMEM : copy | XDP_USE_NEED_WAKEUP, true);
		view.setUint32(4, interfaceIndex, true);
		view.setUint32(8, queue, true);
		view.setUint32(12, shared ? umem.fd : 0, true);
		for (let waited = 0; libc().bind(this.fd, bytes, bytes.length) < 0; waited += BUSY_STEP) {
			if (libc().errno() !== EBUSY || waited >= BUSY_MAX) throw this.#error("bind");
			pause(BUSY_STEP);
		}
	}

	#error(what: string): Error {
		const errno = libc().errno();
		const remedy =
			errno === EPERM || errno === EACCES
				? "Run as root, or give the process CAP_NET_RAW and CAP_NET_ADMIN"
				: errno === EBUSY
					? "Another program has an AF_XDP socket there: stop it, or take another queue"
					: errno === EINVAL
						? "There may be no such queue, or its driver has no zero-copy mode: see ethtool -l"
						: errno === EOPNOTSUPP
							? "Its driver has no zero-copy mode"
							: "Use --link packet, which needs no XDP";
		return systemError(`${what} an ${this.#where}`, errno, remedy);
	}
}

/** A socklen_t with the length of `bytes`. */
function lengthOf(bytes: Uint8Array): Uint8Array {
	return Uint8Array.of(bytes.length, 0, 0, 0);
}
