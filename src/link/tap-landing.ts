/**
 * Reading the payload of long frames from a TAP device to where the application will have it, without a copy in between.
 *
 * Hides a guess. Where a frame's headers end is known only when it was read, and a buffer that an application is to keep shall be as long
 * as what is in it. But a bulk flow sends frame after frame of the same kind: headers of one length, payload of another, as much as 64 KiB
 * hold, sometimes a few bytes less, and now and then a short one where its sender's buffer ended. So once a few were alike, each read offers
 * a page for just such headers and a buffer for just such a payload. If the frame is so, or a few bytes shorter (LANDING_SLACK), the buffer
 * becomes a landing (memory/pages.ts) that can be had as it is. It becomes one also if the frame is shorter by more, though it will then have
 * to be copied as pages have to; all else is put where it would have been read to otherwise. Too many of the other kinds, and the guess is
 * given up.
 *
 * What it saves is the copy from pages to the application's buffer, which is memory that no cache knows, and 32 pages' worth of work.
 * Figures are in docs/performance.md.
 */
import { LANDING_SLACK, type PagePool } from "../memory/pages.ts";
import { Iovecs } from "../sys/iovec.ts";
import type { Libc } from "../sys/libc.ts";
import { FRAME_OFFSET } from "./frames.ts";
import { isTcp4, tcpHeaders4, VNET_HEADER } from "./vnet.ts";

/** A guess is made from so many points on: one for each frame that was as guessed, at most MOST, less one for each that was not. */
const SURE = 2;
const MOST = 8;
/** Payload that is worth a buffer of its own, in bytes: a shorter copy costs less than the memory for it. */
const PAYLOAD_MIN = 16384;
/** What may come behind a guess that was too short: the longest frame. */
const REST = 18 + 65535;

export class TapLanding {
	/** The guess: headers and payload; and its points. */
	#headers = 0;
	#payload = 0;
	#points = 0;
	/** Where the payload is read to. */
	#buffer: Uint8Array | null = null;
	/** Where the rest of a longer frame is read to. */
	#rest: Uint8Array | null = null;
	readonly #parts: Iovecs;
	readonly #pool: PagePool;
	readonly #libc: Libc;

	constructor(pool: PagePool, libc: Libc, base: bigint) {
		this.#pool = pool;
		this.#libc = libc;
		this.#parts = new Iovecs(3, base);
	}

	/** Bytes of the headers of a frame that was as guessed. */
	get headers(): number {
		return this.#headers;
	}

	/** A long frame came, its first page beginning at `start`, that was not read by a guess, or was not as guessed. */
	learn(start: number, bytes: number): void {
		const { u8 } = this.#pool;
		const headers = isTcp4(u8, start) ? tcpHeaders4(u8, start) : bytes;
		const payload = bytes - headers;
		if (headers === this.#headers && Math.abs(payload - this.#payload) <= LANDING_SLACK) {
			this.#points = Math.min(this.#points + 1, MOST);
			// The longest of those that are nearly alike: a guess may be too long by a few bytes, and never too short.
			this.#payload = Math.max(this.#payload, payload);
		} else if (this.#points > 0) {
			// What is much shorter is cheaply put in its place, and comes between long ones of any flow.
			if (2 * payload > this.#payload) this.#points--;
		} else if (payload >= PAYLOAD_MIN) {
			this.#headers = headers;
			this.#payload = payload;
			this.#points = 1;
		}
	}

	/** Whether the next frame can be guessed, and a buffer be had for it. */
	get ready(): boolean {
		return this.#points >= SURE && this.#pool.landingsFree > 0;
	}

	/** Reads a frame whose first page begins, with the kernel's header, at `start`. As readv. Only if `ready`. */
	read(fd: number, start: number): number {
		if (this.#buffer === null || this.#buffer.length !== this.#payload) this.#prepare();
		this.#parts.at(0, start, VNET_HEADER + this.#headers);
		return this.#libc.readv(fd, this.#parts.bytes, 3);
	}

	#prepare(): void {
		const spare = this.#pool.takeSpare();
		const buffer = spare?.length === this.#payload ? spare : Buffer.allocUnsafeSlow(this.#payload);
		this.#rest ??= Buffer.allocUnsafeSlow(REST);
		this.#parts.set(1, this.#libc.address(buffer), buffer.length);
		this.#parts.set(2, this.#libc.address(this.#rest), REST);
		this.#buffer = buffer;
	}

	/** The payload of the frame that was read, of so many bytes, as a landing; 0 if it is not as guessed. Its headers begin at `start`. */
	land(start: number, bytes: number): number {
		const { u8 } = this.#pool;
		const payload = bytes - this.#headers;
		if (payload > this.#payload || payload < PAYLOAD_MIN) return 0;
		if (!isTcp4(u8, start) || tcpHeaders4(u8, start) !== this.#headers) return 0;
		const landing = this.#pool.land(this.#buffer!, payload);
		if (landing === 0) return 0;
		this.#buffer = null;
		if (this.#payload - payload <= LANDING_SLACK) this.#points = Math.min(this.#points + 1, MOST);
		else this.#points--;
		return landing;
	}

	/** Puts a frame that was read, of so many bytes, where it would be without a guess: `slots` are the pages for it. */
	scatter(slots: Int32Array, bytes: number, room: number, pageRoom: number): void {
		const pool = this.#pool;
		const guessed = this.#payload;
		let to = pool.address(slots[0]!) + FRAME_OFFSET + this.#headers;
		let free = room - this.#headers;
		for (let at = 0, end = bytes - this.#headers, slot = 0; at < end; ) {
			if (free === 0) {
				to = pool.address(slots[++slot]!);
				free = pageRoom;
			}
			const source = at < guessed ? this.#buffer! : this.#rest!;
			const from = at < guessed ? at : at - guessed;
			const part = Math.min(free, end - at, source.length - from);
			pool.copy.in(source, from, to, part);
			at += part;
			to += part;
			free -= part;
		}
	}
}
