/**
 * The transmit ring of a packet socket (PACKET_TX_RING): slots in shared memory into which frames are written, and one system call for all of them.
 *
 * Hides the life of a slot (linux/if_packet.h; af_packet.c, tpacket_snd): ours, asked to be sent, under way, and ours again once the last
 * reader of its memory is done, which need not be in order. The kernel takes slots in order and stops at one that it cannot send:
 * that one is not passed over, it waits for something that can be sent there. So to lose it, those behind it are moved up (`skip`): slow, and rare.
 *
 * A frame's memory is the device's to read while it is under way; only headers are copied. Where it would go to another reader of this machine
 * instead (veth, a capture), the kernel copies it before (Linux 4.20: skb_orphan_frags).
 *
 * Invariant: slots from `unsent` up to `next` are asked to be sent, in that order; nobody but us and the kernel writes to them.
 */
import type { Arena } from "../memory/arena.ts";
import { libc } from "./libc.ts";
import { unmapFrom } from "./map.ts";
import { mapRing, mapRingRoom, RING_BLOCK, setRing } from "./packet-ring.ts";

const PACKET_TX_RING = 13;
const TPACKET_V2 = 1;
const MSG_DONTWAIT = 0x40;

/** What a slot's status says. */
const AVAILABLE = 0;
const SEND_REQUEST = 1;
const SENDING = 2;
const WRONG_FORMAT = 4;

/** Words of struct tpacket2_hdr: status, length. The frame begins behind 32 bytes. */
const LENGTH = 1;
const FRAME_AT = 32;

/** Slots of a ring, at least: two batches. (A block of short ones has 512.) */
const SLOTS = 128;

/** Bytes of a slot for frames so long, such that short ones never cross a page of memory. */
function slotBytes(longest: number): number {
	return longest + FRAME_AT <= 2048 ? 2048 : Math.ceil((longest + FRAME_AT) / 256) * 256;
}

function shape(longest: number): { slot: number; perBlock: number; blocks: number } {
	const slot = slotBytes(longest);
	const perBlock = Math.floor(RING_BLOCK / slot);
	return { slot, perBlock, blocks: Math.ceil(SLOTS / perBlock) };
}

/** Bytes that a ring takes of an arena. */
export function txRingRoom(longest: number): number {
	return mapRingRoom(shape(longest).blocks * RING_BLOCK);
}

export class PacketTxRing {
	/** The arena that the ring lies in. */
	readonly u8: Uint8Array;
	/** Slots that were asked to be sent, and not taken yet. */
	pending = 0;
	readonly #fd: number;
	readonly #arena: Arena;
	readonly #base: number;
	readonly #bytes: number;
	readonly #words: Int32Array;
	/** Where each slot begins. */
	readonly #at: Int32Array;
	/** Length of what was put into each. */
	readonly #length: Int32Array;
	#next = 0;
	#unsent = 0;

	/** @param longest Bytes of the longest frame, with its virtio-net header if the socket has them. */
	constructor(fd: number, longest: number, arena: Arena) {
		const { slot, perBlock, blocks } = shape(longest);
		const slots = blocks * perBlock;
		this.#fd = fd;
		this.#bytes = blocks * RING_BLOCK;
		const words = Uint32Array.of(RING_BLOCK, blocks, slot, slots);
		setRing(fd, { option: PACKET_TX_RING, version: TPACKET_V2, words }, "do without a ring to send (txRing)");
		const { arena: where, base } = mapRing(fd, this.#bytes, arena);
		this.#arena = where;
		this.#base = base;
		this.u8 = where.u8;
		this.#words = where.i32;
		this.#at = Int32Array.from({ length: slots }, (_, i) => base + Math.floor(i / perBlock) * RING_BLOCK + (i % perBlock) * slot);
		this.#length = new Int32Array(slots);
	}

	/** Whether the next slot may be written to. */
	get free(): boolean {
		return Atomics.load(this.#words, this.#at[this.#next]! >> 2) === AVAILABLE;
	}

	/** Where the next frame goes, as an offset in `u8`. */
	get place(): number {
		return this.#at[this.#next]! + FRAME_AT;
	}

	/** Asks for what was written to `place` to be sent with the next `send`. */
	put(length: number): void {
		const at = this.#at[this.#next]! >> 2;
		this.#words[at + LENGTH] = length;
		Atomics.store(this.#words, at, SEND_REQUEST);
		this.#length[this.#next] = length;
		this.#next = this.#after(this.#next);
		this.pending++;
	}

	/** Makes the kernel take what is pending; -1 with errno if it stopped at the oldest for a reason. What it took is said by `taken`. */
	send(): number {
		return libc().send(this.#fd, null, 0, MSG_DONTWAIT);
	}

	/** The length of the oldest frame if it was taken, which is then pending no more; -1 otherwise. To be asked again until it says so. */
	taken(): number {
		if (this.pending === 0) return -1;
		const slot = this.#unsent;
		const status = Atomics.load(this.#words, this.#at[slot]! >> 2);
		if (status !== AVAILABLE && status !== SENDING) return -1;
		this.#unsent = this.#after(slot);
		this.pending--;
		return this.#length[slot]!;
	}

	/** Whether the kernel found that it cannot be sent at all. */
	get wrong(): boolean {
		return Atomics.load(this.#words, this.#at[this.#unsent]! >> 2) === WRONG_FORMAT;
	}

	/** Loses all that is pending; returns how many frames that were. */
	clear(): number {
		const lost = this.pending;
		for (; this.pending > 0; this.pending--) {
			this.#next = this.#next === 0 ? this.#at.length - 1 : this.#next - 1;
			Atomics.store(this.#words, this.#at[this.#next]! >> 2, AVAILABLE);
		}
		return lost;
	}

	/** Loses the oldest frame that is pending, by moving those behind it up. */
	skip(): void {
		const { u8 } = this;
		const words = this.#words;
		let slot = this.#unsent;
		for (let left = this.pending - 1; left > 0; left--) {
			const from = this.#after(slot);
			const length = this.#length[from]!;
			const at = this.#at[slot]!;
			u8.copyWithin(at + FRAME_AT, this.#at[from]! + FRAME_AT, this.#at[from]! + FRAME_AT + length);
			words[(at >> 2) + LENGTH] = length;
			this.#length[slot] = length;
			Atomics.store(words, at >> 2, SEND_REQUEST);
			slot = from;
		}
		Atomics.store(words, this.#at[slot]! >> 2, AVAILABLE);
		this.#next = slot;
		this.pending--;
	}

	/** After the socket was closed. */
	close(): void {
		unmapFrom(this.#arena, this.#base, this.#bytes);
	}

	#after(slot: number): number {
		return slot + 1 === this.#at.length ? 0 : slot + 1;
	}
}
