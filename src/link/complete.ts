/**
 * Frames made whole: what a link does with frames that were left incomplete for it, when it must hand them to somebody who knows
 * nothing of that.
 *
 * Hides how TCP frames are cut into segments (as Linux's TSO and every network card does it: consecutive IPv4 identifications, FIN
 * and PSH on the last segment only, CWR on the first only) and how checksums are completed. The field to be completed holds the sum
 * of the pseudo-header; with another length only the length in it changes, so addresses need not be looked at.
 *
 * Made for being right, not for speed: a frame is copied twice.
 */
import type { Batch } from "../memory/batch.ts";
import { get16, get32, set16, set32 } from "../wire/bytes.ts";
import { checksum, fold } from "../wire/checksum.ts";
import { ETHERNET_HEADER, ETHERTYPE_IPV4 } from "../wire/ethernet.ts";
import { IPV4_HEADER } from "../wire/ipv4.ts";
import { CWR, FIN, PROTOCOL_TCP, PSH, TCP_CHECKSUM_OFFSET, TCP_HEADER } from "../wire/tcp.ts";
import { copyFrame, frameBytes } from "./frames.ts";

const ETHERTYPE_IPV6 = 0x86dd;
const IPV6_HEADER = 40;
const PROTOCOL_UDP = 17;
const UDP_HEADER = 8;
const UDP_CHECKSUM_OFFSET = 6;
const TCP_FLAGS = 13;
const LONGEST = ETHERNET_HEADER + IPV6_HEADER + 65535;

export class FrameCompleter {
	/** Where the IP header begins. */
	readonly #ip: number;
	readonly #whole = new Uint8Array(LONGEST);
	readonly #segment = new Uint8Array(LONGEST);

	constructor(medium: "ethernet" | "ip") {
		this.#ip = medium === "ethernet" ? ETHERNET_HEADER : 0;
	}

	/**
	 * Completes the frame in entries `at` to `at + entries`, which is marked FRAME_PARTIAL_CHECKSUM.
	 *
	 * @param give Gets each frame that comes of it; its bytes are valid only during the call.
	 * @returns False, with nothing given, if it is not a frame that can be completed.
	 */
	complete(batch: Batch, at: number, entries: number, give: (frame: Uint8Array) => void): boolean {
		const length = frameBytes(batch, at, entries);
		const whole = this.#whole;
		const ip = this.#ip;
		if (length > LONGEST || length < ip + IPV4_HEADER) return false;
		copyFrame(batch, at, entries, whole, 0);
		const version = whole[ip]! >> 4;
		const ethertype = ip === 0 ? 0 : get16(whole, ip - 2);
		if (ip !== 0 && ethertype !== (version === 4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6)) return false;
		if (version !== 4 && (version !== 6 || length < ip + IPV6_HEADER)) return false;
		const protocol = whole[ip + (version === 4 ? 9 : 6)]!;
		const transport = ip + (version === 4 ? (whole[ip]! & 15) * 4 : IPV6_HEADER);
		const segment = batch.segment[at]!;
		if (protocol === PROTOCOL_TCP && length >= transport + TCP_HEADER) {
			const headers = transport + (whole[transport + 12]! >> 4) * 4;
			if (headers > length) return false;
			if (segment !== 0 && length - headers > segment) {
				this.#cut(length, version, transport, headers, segment, give);
				return true;
			}
			const field = transport + TCP_CHECKSUM_OFFSET;
			set16(whole, field, checksum(whole, transport, length - transport, 0));
		} else if (protocol === PROTOCOL_UDP && segment === 0 && length >= transport + UDP_HEADER) {
			// 0 would say that there is no checksum (RFC 768).
			set16(whole, transport + UDP_CHECKSUM_OFFSET, checksum(whole, transport, length - transport, 0) || 0xffff);
		} else return false;
		give(whole.subarray(0, length));
		return true;
	}

	#cut(length: number, version: number, transport: number, headers: number, size: number, give: (frame: Uint8Array) => void): void {
		const whole = this.#whole;
		const out = this.#segment;
		const ip = this.#ip;
		const field = transport + TCP_CHECKSUM_OFFSET;
		const flags = whole[transport + TCP_FLAGS]!;
		// The pseudo-header's sum without its length.
		const pseudo = get16(whole, field) + (~(length - transport) & 0xffff);
		out.set(whole.subarray(0, headers));
		for (let from = headers, index = 0; from < length; from += size, index++) {
			const end = headers + Math.min(size, length - from);
			out.set(whole.subarray(from, from + end - headers), headers);
			if (version === 4) {
				set16(out, ip + 2, end - ip);
				set16(out, ip + 4, get16(whole, ip + 4) + index);
				set16(out, ip + 10, 0);
				set16(out, ip + 10, checksum(out, ip, transport - ip, 0));
			} else set16(out, ip + 4, end - ip - IPV6_HEADER);
			set32(out, transport + 4, (get32(whole, transport + 4) + from - headers) | 0);
			out[transport + TCP_FLAGS] = flags & ~(from + size < length ? FIN | PSH : 0) & ~(index > 0 ? CWR : 0);
			set16(out, field, fold(pseudo + end - transport));
			set16(out, field, checksum(out, transport, end - transport, 0));
			give(out.subarray(0, end));
		}
	}
}
