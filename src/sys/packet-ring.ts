/**
 * The ring of a packet socket: memory in which the kernel puts frames, and we find them without a system call.
 *
 * Hides two layouts of the kernel's (linux/if_packet.h, af_packet.c), behind one way to walk them: `look` whether there is a frame, then its
 * place and length in fields, `advance` to give it back. The kernel fills a ring in order and stops where it comes upon what was
 * not given back: whoever keeps one frame stops all. So frames are copied out, and no slot is ever handed on as a page.
 *
 * - **Slots** (TPACKET_V2): one frame each, of 64 KiB, for it may be so long. Seen at once.
 * - **Blocks** (TPACKET_V3): frames lie in them one behind the other. A block is seen when the next frame does not fit, or when it has been
 *   open for RETIRE.
 *
 * The ring lies in the arena of whoever gave room for it, otherwise in one of its own: within one arena a frame is copied without a view.
 */
import { Arena } from "../memory/arena.ts";
import { systemError } from "./errno.ts";
import { libc } from "./libc.ts";
import { MAP_UNIT, mapInto, mapLength, unmapFrom } from "./map.ts";
import { SOL_PACKET, setPacketWord } from "./packet-socket.ts";

const PACKET_RX_RING = 5;
const PACKET_VERSION = 10;
const TPACKET_V2 = 1;
const TPACKET_V3 = 2;

/** What a frame's status says: ours to see; its checksum was left to a device; it was VLAN-tagged. */
const STATUS_USER = 1;
const STATUS_PARTIAL = 1 << 3;
const STATUS_VLAN = 1 << 4;
/** Bits of a VLAN tag that name the VLAN. */
const VLAN_ID = 0xfff;

/** Bytes of memory that the kernel takes in one piece, for slots. */
export const RING_BLOCK = 1 << 20;

/** Bytes of a slot: the longest frame, 65535 bytes behind an Ethernet header, and what the kernel puts in front. */
const SLOT = 65792;
const SLOTS_PER_BLOCK = Math.floor(RING_BLOCK / SLOT);

/** Bytes of a block; it must take the longest frame. Larger ones are seen later under load. */
const BLOCK = 1 << 18;
/** Milliseconds that a block stays open: the least there is. */
const RETIRE = 1;

/** What is asked of the kernel for a ring. */
export interface RingRequest {
	/** PACKET_RX_RING or PACKET_TX_RING; and the version, which is the socket's. */
	readonly option: number;
	readonly version: number;
	/** Struct tpacket_req or tpacket_req3. */
	readonly words: Uint32Array;
}

/** Gives a packet socket a ring. `remedy` says what to do where there is no room for it. */
export function setRing(fd: number, { option, version, words }: RingRequest, remedy: string): void {
	const set =
		setPacketWord(fd, PACKET_VERSION, version) &&
		libc().setsockopt(fd, SOL_PACKET, option, new Uint8Array(words.buffer), words.byteLength) >= 0;
	if (!set)
		throw systemError(`make a ring of ${(words[0]! * words[1]!) >> 20} MB for frames`, libc().errno(), `Free some memory, or ${remedy}`);
}

/** Bytes of an arena that `mapRing` takes. */
export function mapRingRoom(bytes: number): number {
	return mapLength(bytes) + MAP_UNIT;
}

/** Lays a socket's ring into the arena if there is room, or into one of its own. */
export function mapRing(fd: number, bytes: number, near: Arena): { arena: Arena; base: number } {
	const room = mapRingRoom(bytes);
	const arena = near.size - near.used >= room ? near : new Arena(room);
	const base = arena.reserve(bytes, MAP_UNIT);
	mapInto(arena, base, bytes, fd, 0, "the ring of a packet socket");
	return { arena, base };
}

/** "slots": TPACKET_V2. "blocks": TPACKET_V3. */
export type RingKind = "slots" | "blocks";

/** Bytes of a ring for so many of the longest frames. */
function ringSize(kind: RingKind, frames: number): number {
	if (kind === "slots") return Math.ceil(frames / SLOTS_PER_BLOCK) * RING_BLOCK;
	// One block is ours while the kernel fills another.
	return Math.max(2, Math.ceil((frames * SLOT) / BLOCK)) * BLOCK;
}

/** Bytes that a ring takes of an arena. */
export function ringRoom(kind: RingKind, frames: number): number {
	return mapRingRoom(ringSize(kind, frames));
}

export interface RingOptions {
	readonly kind: RingKind;
	/** Frames of the longest kind that the ring takes; each costs 64 KiB of RAM. */
	readonly frames: number;
	/** Where the ring may lie if there is room. */
	readonly arena: Arena;
}

/** The ring of a socket. Fields are those of the current frame, valid from a `look` that found one to `advance`. */
export abstract class PacketRing {
	/** The arena that the ring lies in. */
	readonly u8: Uint8Array;
	/** Offset of the frame in `u8`; the virtio-net header, if any, lies right in front. */
	start = 0;
	/** Bytes of the frame, and how many of them are there. */
	length = 0;
	captured = 0;
	protected readonly words: Int32Array;
	protected readonly base: number;
	protected readonly bytes: number;
	protected status = 0;
	readonly #arena: Arena;

	constructor(fd: number, { kind, frames, arena }: RingOptions) {
		const bytes = ringSize(kind, frames);
		this.bytes = bytes;
		const slots = kind === "slots";
		const unit = slots ? RING_BLOCK : BLOCK;
		const words = slots
			? Uint32Array.of(RING_BLOCK, bytes / unit, SLOT, (bytes / unit) * SLOTS_PER_BLOCK)
			: Uint32Array.of(BLOCK, bytes / unit, BLOCK, bytes / unit, RETIRE, 0, 0);
		const version = slots ? TPACKET_V2 : TPACKET_V3;
		setRing(fd, { option: PACKET_RX_RING, version, words }, "ask for fewer frames (ringSize)");
		const { arena: where, base } = mapRing(fd, bytes, arena);
		this.#arena = where;
		this.base = base;
		this.u8 = this.#arena.u8;
		this.words = this.#arena.i32;
	}

	/** The frame came with the tag of a VLAN, which the kernel has taken off. VLAN 0 is none: such a tag says a priority alone (IEEE 802.1Q 9.6). */
	get tagged(): boolean {
		return (this.status & STATUS_VLAN) !== 0 && (this.tag & VLAN_ID) !== 0;
	}
	/** The frame's transport checksum was never completed. */
	get partial(): boolean {
		return (this.status & STATUS_PARTIAL) !== 0;
	}

	/** The tag, where the status says that there is one. */
	protected abstract get tag(): number;

	/** Whether there is a frame. */
	abstract look(): boolean;
	/** Gives the frame back, and goes on to the next. */
	abstract advance(): void;

	/** After the socket was closed. */
	close(): void {
		unmapFrom(this.#arena, this.base, this.bytes);
	}
}

/** Word of struct tpacket2_hdr with the VLAN tag (16 bits). Its first: status, length, bytes there, offset of the frame (16 bits). */
const SLOT_TAG = 6;

class SlotRing extends PacketRing {
	readonly #slots: number;
	#at = 0;
	/** Offset of the current slot. */
	#slot: number;

	constructor(fd: number, options: RingOptions) {
		super(fd, options);
		this.#slots = (this.bytes / RING_BLOCK) * SLOTS_PER_BLOCK;
		this.#slot = this.base;
	}

	protected get tag(): number {
		return this.words[(this.#slot >> 2) + SLOT_TAG]!;
	}

	look(): boolean {
		const { words } = this;
		const at = this.#slot >> 2;
		this.status = Atomics.load(words, at);
		if ((this.status & STATUS_USER) === 0) return false;
		this.length = words[at + 1]!;
		this.captured = words[at + 2]!;
		this.start = this.#slot + (words[at + 3]! & 0xffff);
		return true;
	}

	advance(): void {
		Atomics.store(this.words, this.#slot >> 2, 0);
		this.#at = this.#at + 1 === this.#slots ? 0 : this.#at + 1;
		this.#slot = this.base + Math.floor(this.#at / SLOTS_PER_BLOCK) * RING_BLOCK + (this.#at % SLOTS_PER_BLOCK) * SLOT;
	}
}

/** Words of struct tpacket_block_desc: status, frames, offset of the first. */
const BLOCK_STATUS = 2;
const BLOCK_FRAMES = 3;
const BLOCK_FIRST = 4;
/** Words of struct tpacket3_hdr: offset of the next, bytes there, length, status, offset of the frame (16 bits), VLAN tag (16 bits). */
const NEXT = 0;
const CAPTURED = 3;
const LENGTH = 4;
const STATUS = 5;
const MAC = 6;
const TAG = 8;

class BlockRing extends PacketRing {
	/** Offset of the current block, of the current frame's header in it, and frames of it that are left. */
	#block: number;
	#frame = 0;
	#left = 0;

	constructor(fd: number, options: RingOptions) {
		super(fd, options);
		this.#block = this.base;
	}

	protected get tag(): number {
		return this.words[(this.#frame >> 2) + TAG]!;
	}

	look(): boolean {
		const { words } = this;
		while (this.#left === 0) {
			const block = this.#block >> 2;
			if ((Atomics.load(words, block + BLOCK_STATUS) & STATUS_USER) === 0) return false;
			this.#left = words[block + BLOCK_FRAMES]!;
			this.#frame = this.#block + words[block + BLOCK_FIRST]!;
			if (this.#left === 0) this.#release();
		}
		const at = this.#frame >> 2;
		this.status = words[at + STATUS]!;
		this.length = words[at + LENGTH]!;
		this.captured = words[at + CAPTURED]!;
		this.start = this.#frame + (words[at + MAC]! & 0xffff);
		return true;
	}

	advance(): void {
		if (--this.#left === 0) this.#release();
		else this.#frame += this.words[(this.#frame >> 2) + NEXT]!;
	}

	/** Gives the block back. */
	#release(): void {
		Atomics.store(this.words, (this.#block >> 2) + BLOCK_STATUS, 0);
		this.#block += BLOCK;
		if (this.#block === this.base + this.bytes) this.#block = this.base;
	}
}

/** Gives a packet socket a ring. Before it is bound. */
export function openPacketRing(fd: number, options: RingOptions): PacketRing {
	return options.kind === "slots" ? new SlotRing(fd, options) : new BlockRing(fd, options);
}
