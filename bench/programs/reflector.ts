/**
 * The bare frame reflector: answers HTTP over TAP without connections, timers, buffers or sockets.
 *
 * The limit of what any stack on this link can reach: it takes the same frames, sends the same frames (SYN-ACK; answer, with
 * FIN in mode `close`; last ACK), with the same offloads, and does nothing else. It believes what it is told, loses what is lost, and is good for
 * nothing but comparison.
 *
 *   TAP_DEVICE=NAME TAP_KERNEL=ADDRESS/LENGTH node reflector.js keep-alive|close
 */
import { tapLink } from "../../src/link/tap.ts";
import { inlineDeeper } from "../../src/node/inlining.ts";
import { get16, set16 } from "../../src/wire/bytes.ts";
import { ACK, FIN, PSH, RST, SYN } from "../../src/wire/tcp.ts";
import { Seen, turnRound } from "../lib/frames.ts";
import { Station } from "../lib/station.ts";

const ETHERNET = 14;
const IPV4 = 0x0800;
const ARP = 0x0806;
const ISN = 1000;

const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n";
const encoder = new TextEncoder();
const keep = encoder.encode(`${head}\r\nHello, world\n`);
const close = encoder.encode(`${head}Connection: close\r\n\r\nHello, world\n`);
const nothing = new Uint8Array(0);

inlineDeeper();

const link = tapLink({ name: process.env.TAP_DEVICE ?? "mr%d", kernelAddress: process.env.TAP_KERNEL ?? "10.77.0.1/24" });
const seen = new Seen();
const station = new Station(link, handle);
const u8 = station.pool.u8;
const closing = process.argv[2] === "close";

function handle(page: number, start: number): void {
	const type = get16(u8, start + 12);
	let answer = 0;
	if (type === IPV4 && seen.read(u8, start + ETHERNET)) answer = answerTcp();
	else if (type === ARP && get16(u8, start + 20) === 1) answer = answerArp(start + ETHERNET);
	if (answer === 0) {
		station.pool.release(page);
		return;
	}
	u8.copyWithin(start, start + 6, start + 12);
	u8.set(link.mac, start + 6);
	station.send(page, start, ETHERNET + answer, type === IPV4);
}

/** Bytes of the packet that answers, 0 for none. */
function answerTcp(): number {
	const { flags, seq, ack, length } = seen;
	const now = Math.trunc(performance.now());
	if ((flags & RST) !== 0) return 0;
	if ((flags & SYN) !== 0) return turnRound(u8, seen, SYN | ACK, ISN, seq + 1, now, nothing, true);
	if (length > 0) return turnRound(u8, seen, PSH | ACK | (closing ? FIN : 0), ack, seq + length, now, closing ? close : keep, true);
	if ((flags & FIN) === 0) return 0;
	// A client that closes a kept connection waits for our FIN; one that was told to close has it already.
	return turnRound(u8, seen, closing ? ACK : FIN | ACK, ack, seq + 1, now, nothing, true);
}

function answerArp(arp: number): number {
	set16(u8, arp + 6, 2);
	// The address asked for goes to the front, with our hardware address; the asking side to the back.
	const asked = u8.slice(arp + 24, arp + 28);
	u8.copyWithin(arp + 18, arp + 8, arp + 18);
	u8.set(link.mac, arp + 8);
	u8.set(asked, arp + 14);
	return 28;
}
