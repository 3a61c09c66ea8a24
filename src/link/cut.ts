/**
 * TCP frames that the kernel has merged, cut into the segments that they were.
 *
 * Hides what differs from one segment to the next: lengths, IP identification and checksum, sequence number, flags. The headers
 * of the merged frame are those of the first segment, with the length of all; FIN and PSH belong to the last one, CWR to the first
 * (as in the kernel's own tcp_gso_segment). TCP over IPv4 only; what else is merged stays out (the link counts it).
 */
import type { PagePool } from "../memory/pages.ts";
import { get16, get32, set16, set32 } from "../wire/bytes.ts";
import { checksum, pseudoHeader4 } from "../wire/checksum.ts";
import { ETHERNET_HEADER, ETHERTYPE_IPV4, etherType } from "../wire/ethernet.ts";
import { copyBytes } from "./frames.ts";

const IPV4_HEADER = 20;
const TCP_HEADER = 20;
const TCP = 6;
const FIN = 0x01;
const PSH = 0x08;
const CWR = 0x80;

export class Cutter {
	/** Segments of the frame that was looked at last. */
	segments = 0;
	#u8: Uint8Array = new Uint8Array(0);
	#start = 0;
	#headers = 0;
	#payload = 0;
	#size = 0;
	#ip = 0;

	/** Looks at the merged frame of `length` bytes at `start`, whose segments hold `size` bytes each. False if it cannot be cut. */
	begin(u8: Uint8Array, start: number, length: number, size: number): boolean {
		return this.#look(u8, start, length) && this.#divide(size);
	}

	/** The same of a frame that does not say how long its segments were: they get frames of `most` bytes. */
	beginAtMost(u8: Uint8Array, start: number, length: number, most: number): boolean {
		return this.#look(u8, start, length) && this.#divide(most - this.#headers);
	}

	#look(u8: Uint8Array, start: number, length: number): boolean {
		this.segments = 0;
		if (length < ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER || etherType(u8, start) !== ETHERTYPE_IPV4) return false;
		const at = start + ETHERNET_HEADER;
		const ip = (u8[at]! & 15) * 4;
		if (u8[at + 9] !== TCP || ip < IPV4_HEADER || length < ETHERNET_HEADER + ip + TCP_HEADER) return false;
		const tcp = (u8[at + ip + 12]! >> 4) * 4;
		const payload = get16(u8, at + 2) - ip - tcp;
		if (tcp < TCP_HEADER || payload <= 0 || ETHERNET_HEADER + ip + tcp + payload > length) return false;
		this.#u8 = u8;
		this.#start = start;
		this.#ip = ip;
		this.#headers = ETHERNET_HEADER + ip + tcp;
		this.#payload = payload;
		return true;
	}

	#divide(size: number): boolean {
		if (size <= 0) return false;
		this.#size = size;
		this.segments = Math.ceil(this.#payload / size);
		return true;
	}

	/** Bytes of the longest segment's frame. */
	get longest(): number {
		return this.#headers + Math.min(this.#size, this.#payload);
	}

	/**
	 * Writes the frame of segment `i` to a pool's memory at `to`; returns its length.
	 *
	 * @param complete Whether to sum TCP's checksum; the IP header's always is.
	 */
	write(i: number, pool: PagePool, to: number, complete: boolean): number {
		const target = pool.u8;
		const headers = this.#headers;
		const from = i * this.#size;
		const part = Math.min(this.#size, this.#payload - from);
		copyBytes(this.#u8, this.#start, headers, pool, to);
		copyBytes(this.#u8, this.#start + headers + from, part, pool, to + headers);
		const ip = to + ETHERNET_HEADER;
		const tcp = ip + this.#ip;
		const length = headers - ETHERNET_HEADER + part;
		set16(target, ip + 2, length);
		set16(target, ip + 4, get16(target, ip + 4) + i);
		set16(target, ip + 10, 0);
		set16(target, ip + 10, checksum(target, ip, this.#ip, 0));
		set32(target, tcp + 4, (get32(target, tcp + 4) + from) | 0);
		if (i + 1 < this.segments) target[tcp + 13]! &= ~(FIN | PSH);
		if (i > 0) target[tcp + 13]! &= ~CWR;
		if (complete) {
			const bytes = length - this.#ip;
			const pseudo = pseudoHeader4(get32(target, ip + 12), get32(target, ip + 16), TCP, bytes);
			set16(target, tcp + 16, 0);
			set16(target, tcp + 16, checksum(target, tcp, bytes, pseudo));
		}
		return headers + part;
	}
}
