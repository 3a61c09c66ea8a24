/**
 * io_uring as a way to make many calls with one: a batch of reads and writes, none of which waits (io_uring(7)).
 *
 * Hides the two rings and their layout. Calls are put down by `one` and `many`, made in that order by `run`, and what each of them
 * returned is in `result` until the next one is put down: bytes, or an error number below 0, as a system call has it. So this is
 * no asynchronous input and output: nothing is under way when `run` is back, memory may be reused at once, and no event is
 * waited for. Each call has RWF_NOWAIT, which makes one that would have to wait fail with EAGAIN and keeps it from being handed to a
 * thread of the kernel's.
 *
 * What it saves is the way into the kernel and what is looked up on it. Measured on a TAP device by a C program, frames of 100
 * bytes, ns per frame: write 1050 alone, 1480 as a batch of one, 890 of 4, 720 of 16, 680 of 64; read 750 alone, 730 of 4,
 * 580 of 16. That is with registered files, which save the 50 that a descriptor costs; but they live on for some milliseconds when the
 * process is killed, and with them the device, so descriptors it is. Batches of one or two are better off with plain calls.
 *
 * The rings lie in memory that we give to the kernel (Linux 6.5; later ones map none of theirs to a place of our choice): two pages of an
 * arena of their own. They are ours and the kernel's in turns, never at once, for the kernel looks at them only within our system
 * call; so they are read and written as plain memory.
 */

import { factOf, type MillraceError } from "../errors.ts";
import { Arena } from "../memory/arena.ts";
import { O_CLOEXEC, O_NONBLOCK, O_RDWR } from "./constants.ts";
import { EAGAIN, systemError } from "./errno.ts";
import { Iovecs } from "./iovec.ts";
import { libc } from "./libc.ts";
import { MAP_UNIT } from "./map.ts";

const SYS_SETUP = 425;
const SYS_ENTER = 426;

/** Go on behind a call that was refused; only this thread ever calls; no interruption of this thread for completions; our memory. */
const SETUP = (1 << 7) | (1 << 12) | (1 << 13) | (1 << 14);
/**
 * Calls of a batch. Our memory need not lie in one piece for the kernel, so each ring has to fit a page: 64 calls of 64 bytes are one
 * of 4096.
 */
export const URING_CALLS = 64;

/** What a call does: as readv, writev, read, write. */
export const URING_READV = 1;
export const URING_WRITEV = 2;
export const URING_READ = 22;
export const URING_WRITE = 23;

const RWF_NOWAIT = 8;

/** Words of a call (struct io_uring_sqe), and those that are set. */
const CALL_WORDS = 16;
const OPERATION = 0;
const DESCRIPTOR = 1;
const POSITION = 2;
const ADDRESS = 4;
const LENGTH = 6;
const RW_FLAGS = 7;
const USER_DATA = 8;
/** Words of an answer (struct io_uring_cqe). */
const ANSWER_WORDS = 4;

/** Words of the struct io_uring_params. */
const CQ_ENTRIES = 1;
const FLAGS = 2;
const SQ_HEAD = 10;
const SQ_TAIL = 11;
const SQ_ARRAY = 16;
const SQ_MEMORY = 18;
const CQ_HEAD = 20;
const CQ_TAIL = 21;
const CQ_ANSWERS = 25;
const CQ_MEMORY = 28;
const PARAMETER_WORDS = 30;

export class Uring {
	/** Calls put down since the last `run`. */
	count = 0;
	/** What the calls of the last `run` returned, in their order. */
	readonly result = new Int32Array(URING_CALLS);
	readonly #fd: number;
	readonly #words: Int32Array;
	/** Indices into `words`. */
	readonly #calls: number;
	readonly #answers: number;
	readonly #sqHead: number;
	readonly #sqTail: number;
	readonly #cqHead: number;
	readonly #cqTail: number;
	readonly #answerMask: number;
	/** Addresses that offsets are relative to, in two words each: of the memory, and of the list of pieces. */
	readonly #baseLow: number;
	readonly #baseHigh: number;
	readonly #piecesLow: number;
	readonly #piecesHigh: number;

	/**
	 * @param fd A descriptor of the kind that calls are for: it is tried.
	 * @param base Address of the memory whose offsets `one` takes.
	 * @param pieces The list whose pieces `many` takes.
	 * @throws MillraceError where the kernel has no io_uring, forbids it, or cannot do such calls on such descriptors without waiting.
	 */
	constructor(fd: number, base: bigint, pieces: Iovecs) {
		const c = libc();
		const list = c.address(pieces.bytes);
		this.#baseLow = Number(base & 0xffffffffn);
		this.#baseHigh = Number(base >> 32n);
		this.#piecesLow = Number(list & 0xffffffffn);
		this.#piecesHigh = Number(list >> 32n);

		const arena = new Arena(3 * MAP_UNIT);
		const calls = arena.reserve(MAP_UNIT, MAP_UNIT);
		const rings = arena.reserve(MAP_UNIT, MAP_UNIT);
		const memory = c.address(arena.u8);
		const parameters = new Int32Array(PARAMETER_WORDS);
		const addresses = new BigUint64Array(parameters.buffer);
		parameters[FLAGS] = SETUP;
		addresses[SQ_MEMORY / 2] = memory + BigInt(calls);
		addresses[CQ_MEMORY / 2] = memory + BigInt(rings);
		this.#fd = c.keep(c.syscall3(SYS_SETUP, URING_CALLS, new Uint8Array(parameters.buffer), 0));
		if (this.#fd < 0) throw noUring(c.errno());

		const place = (field: number): number => (rings + parameters[field]!) >> 2;
		this.#words = arena.i32;
		this.#calls = calls >> 2;
		this.#sqHead = place(SQ_HEAD);
		this.#sqTail = place(SQ_TAIL);
		this.#cqHead = place(CQ_HEAD);
		this.#cqTail = place(CQ_TAIL);
		this.#answers = place(CQ_ANSWERS);
		this.#answerMask = parameters[CQ_ENTRIES]! - 1;
		const order = place(SQ_ARRAY);
		for (let i = 0; i < URING_CALLS; i++) this.#words[order + i] = i;
		try {
			this.#try(fd);
		} catch (error) {
			this.close();
			throw error;
		}
	}

	/** Puts down a call on a non-blocking descriptor with `length` bytes at `offset` from the base. There must be room. */
	one(operation: number, fd: number, offset: number, length: number): void {
		const low = this.#baseLow + offset;
		this.#put(operation, fd, low | 0, this.#baseHigh + (low > 0xffffffff ? 1 : 0), length);
	}

	/** Puts down a call with pieces `first` to `first + count` of the list. They must stay as they are until `run`. */
	many(operation: number, fd: number, first: number, count: number): void {
		const low = this.#piecesLow + first * 16;
		this.#put(operation, fd, low | 0, this.#piecesHigh + (low > 0xffffffff ? 1 : 0), count);
	}

	/** The address comes in two words: as one number it would be an object for each call, wherever this is not inlined. */
	#put(operation: number, fd: number, low: number, high: number, length: number): void {
		const words = this.#words;
		const i = this.count++;
		const call = this.#calls + ((words[this.#sqTail]! + i) & (URING_CALLS - 1)) * CALL_WORDS;
		words[call + OPERATION] = operation;
		words[call + DESCRIPTOR] = fd;
		// -1: where the file is, as read and write do.
		words[call + POSITION] = -1;
		words[call + POSITION + 1] = -1;
		words[call + ADDRESS] = low;
		words[call + ADDRESS + 1] = high;
		words[call + LENGTH] = length;
		words[call + RW_FLAGS] = RWF_NOWAIT;
		words[call + USER_DATA] = i;
	}

	/** Makes the calls; how many they were. One that the kernel did not come to has EAGAIN as its result. */
	run(): number {
		const { result } = this;
		const words = this.#words;
		const count = this.count;
		this.count = 0;
		for (let i = 0; i < count; i++) result[i] = -EAGAIN;
		words[this.#sqTail] = (words[this.#sqTail]! + count) | 0;
		libc().uringEnter(SYS_ENTER, this.#fd, count, 0, 0, 0, 0);
		words[this.#sqTail] = words[this.#sqHead]!;
		const end = words[this.#cqTail]!;
		for (let at = words[this.#cqHead]!; at !== end; at = (at + 1) | 0) {
			const answer = this.#answers + (at & this.#answerMask) * ANSWER_WORDS;
			result[words[answer]!] = words[answer + 2]!;
		}
		words[this.#cqHead] = end;
		return count;
	}

	/** The kernel takes the rings apart when it has time; the memory stays until then, whatever becomes of us. */
	close(): void {
		libc().close(this.#fd);
	}

	/** Whether such a descriptor takes calls that do not wait: by one that reads nothing. */
	#try(fd: number): void {
		this.one(URING_READ, fd, 0, 0);
		this.run();
		const result = this.result[0]!;
		if (result < 0 && result !== -EAGAIN) throw noUring(-result);
	}
}

function noUring(errno: number): MillraceError {
	return systemError("use io_uring", errno, "It needs Linux 6.5, and sysctl kernel.io_uring_disabled at 0; some containers forbid it");
}

/** Whether io_uring can be had here, and if not, why, in a few words. */
export function uringAvailable(): { ok: boolean; reason: string } {
	try {
		const c = libc();
		const base = c.address(new Arena(MAP_UNIT).u8);
		const fd = c.open("/dev/null", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		try {
			new Uring(fd, base, new Iovecs(1, base)).close();
		} finally {
			c.close(fd);
		}
	} catch (error) {
		return { ok: false, reason: factOf(error) };
	}
	return { ok: true, reason: "permitted" };
}
