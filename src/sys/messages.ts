/**
 * A list of messages for sendmmsg: many frames, each in pieces, in one system call.
 *
 * Hides struct mmsghdr and the struct iovec lists that it points to. Both are written in place: a message makes no garbage.
 */
import { Iovecs } from "./iovec.ts";
import { libc } from "./libc.ts";

/** Words of struct mmsghdr: name, its length, pieces, their number, control, its length, flags, bytes sent. */
const WORDS = 16;
const PIECES = 4;
const PIECES_COUNT = 6;
const IOVEC = 16;

export class Messages {
	/** Messages in the list. */
	count = 0;
	readonly #headers: BigUint64Array;
	readonly #words: Int32Array;
	readonly #bytes: Uint8Array;
	readonly #pieces: Iovecs;
	readonly #piecesAddress: bigint;
	#used = 0;
	/** The pieces' addresses do not change: each is made once. */
	readonly #address: bigint[];

	/**
	 * @param pieces Most pieces of all messages together, and so most messages.
	 * @param base Address of the memory whose offsets `addAt` takes.
	 */
	constructor(pieces: number, base: bigint) {
		this.#headers = new BigUint64Array((pieces * WORDS) / 2);
		this.#words = new Int32Array(this.#headers.buffer);
		this.#bytes = new Uint8Array(this.#headers.buffer);
		this.#pieces = new Iovecs(pieces, base);
		this.#piecesAddress = libc().address(this.#pieces.bytes);
		this.#address = Array.from({ length: pieces }, (_, i) => this.#piecesAddress + BigInt(i * IOVEC));
	}

	/** Begins a further message. */
	begin(): void {
		const at = this.count * WORDS;
		this.#headers[(at + PIECES) >> 1] = this.#address[this.#used]!;
		this.#words[at + PIECES_COUNT] = 0;
		this.count++;
	}

	/** Adds a piece to the message begun last. */
	add(address: bigint, length: number): void {
		this.#pieces.set(this.#used++, address, length);
		this.#words[(this.count - 1) * WORDS + PIECES_COUNT]!++;
	}

	/** Adds a piece that lies at `offset` from the base. */
	addAt(offset: number, length: number): void {
		this.#pieces.at(this.#used++, offset, length);
		this.#words[(this.count - 1) * WORDS + PIECES_COUNT]!++;
	}

	/** Sends messages from the `first` on; returns how many, or -1. */
	send(fd: number, first: number): number {
		const list = first === 0 ? this.#bytes : this.#bytes.subarray(first * WORDS * 4);
		return libc().sendmmsg(fd, list, this.count - first, 0);
	}

	clear(): void {
		this.count = 0;
		this.#used = 0;
	}
}
