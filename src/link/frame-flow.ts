/**
 * The flow hash of a frame in the arena.
 *
 * Hides where a frame has what the hash is of, by the rules of flow-steering.ts, whose program does the same in the kernel: ports of
 * TCP and UDP unless the packet is a fragment, or ends before them. What is not IPv4 is of flow 0; so is IPv6, which the stack does
 * not send.
 */
import { get16, get32 } from "../wire/bytes.ts";
import { flowHash } from "./flow-steering.ts";

const ETHERNET = 14;
const IPV4 = 20;
const TYPE_IPV4 = 0x0800;
const TCP = 6;
const UDP = 17;
/** More fragments, or an offset. */
const FRAGMENT = 0x3fff;

/** Of the Ethernet frame of `length` bytes at `start`; 0 to 65535. */
export function frameFlowHash(u8: Uint8Array, start: number, length: number): number {
	if (length < ETHERNET + IPV4 || get16(u8, start + 12) !== TYPE_IPV4) return 0;
	const ip = start + ETHERNET;
	const protocol = u8[ip + 9];
	let fromPort = 0;
	let toPort = 0;
	if ((protocol === TCP || protocol === UDP) && (get16(u8, ip + 6) & FRAGMENT) === 0) {
		const header = (u8[ip]! & 15) * 4;
		if (length >= ETHERNET + header + 4) {
			fromPort = get16(u8, ip + header);
			toPort = get16(u8, ip + header + 2);
		}
	}
	return flowHash(get32(u8, ip + 12), get32(u8, ip + 16), fromPort, toPort);
}
