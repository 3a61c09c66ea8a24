/**
 * A station by hand behind a TAP link: what a stack would be, for tests of the link alone. Answers ARP where told to, pings.
 */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { type TapLink, type TapOptions, tapLink } from "../../src/link/tap.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch, FRAME_MORE } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import type { Runtime } from "../../src/time/clock.ts";
import { set16 } from "../../src/wire/bytes.ts";
import { checksum } from "../../src/wire/checksum.ts";
import { realRuntime } from "./real-runtime.ts";

export const MAC = "02:00:00:00:00:02";
export const STACK = [10, 77, 0, 2];
export const KERNEL = [10, 77, 0, 1];
export const BROADCAST = [255, 255, 255, 255, 255, 255];
export const PAGES = 128;

/** A frame that arrived, its run joined. */
export interface Arrived {
	bytes: Uint8Array;
	flags: number;
	segment: number;
	entries: number;
	/** The pages that it lay in. */
	pages: number[];
}

const opened: TapLink[] = [];

/** Closes what a test left open. */
export function closeAll(): void {
	for (const link of opened.splice(0)) link.close();
}

/** An open link, with what a stack would hold, and the frames that arrived so far. */
export function station(options: TapOptions = {}, runtime: Runtime = realRuntime(), plain = false) {
	const pool = new PagePool(new Arena(1 << 20), PAGES);
	const link = tapLink({ mac: MAC, offload: false, ...options });
	const failures: Error[] = [];
	let wakes = 0;
	let woken: () => void = () => {};
	link.open({
		pool,
		runtime,
		plain,
		wake: () => {
			wakes++;
			setImmediate(woken); // as a host does: promises settled in here may wait
		},
		failed: (error) => void failures.push(error),
	});
	opened.push(link);
	link.ref();
	const batch = new Batch(pool);
	const held: Arrived[] = [];
	return {
		link,
		pool,
		batch,
		failures,
		get wakes() {
			return wakes;
		},
		/** Resolves with the first frame that fits, whether it came before or comes now. */
		async arrival(fits: (frame: Uint8Array) => boolean): Promise<Arrived> {
			for (;;) {
				const at = held.findIndex(({ bytes }) => fits(bytes));
				if (at >= 0) return held.splice(at, 1)[0]!;
				const wake = new Promise<void>((resolve) => {
					woken = resolve;
				});
				if (link.receive(batch) === 0) await wake;
				for (let i = 0, first = 0; i < batch.count; i++) {
					if ((batch.flags[i]! & FRAME_MORE) !== 0) continue;
					const parts = Array.from({ length: i + 1 - first }, (_, k) => batch.frame(first + k));
					held.push({
						bytes: new Uint8Array(Buffer.concat(parts)),
						flags: batch.flags[first]!,
						segment: batch.segment[first]!,
						entries: parts.length,
						pages: Array.from(batch.page.subarray(first, i + 1)),
					});
					first = i + 1;
				}
				batch.drop(batch.count);
			}
		},
		async frame(fits: (frame: Uint8Array) => boolean): Promise<Uint8Array> {
			return (await this.arrival(fits)).bytes;
		},
		/** Puts a frame into the batch, as a run cut at the offsets `cuts`. */
		add(frame: Uint8Array, { flags = 0, segment = 0, cuts = [] }: { flags?: number; segment?: number; cuts?: number[] } = {}): void {
			const first = batch.count;
			for (const [i, from] of [0, ...cuts].entries()) {
				assert.ok(batch.add(frame.subarray(from, cuts[i]), 0));
				batch.flags[first + i] = flags | (i < cuts.length ? FRAME_MORE : 0);
			}
			batch.segment[first] = segment;
		},
		/** Sends the batch; returns how many entries were taken. */
		transmit(): number {
			const taken = link.transmit(batch);
			link.flush();
			return taken;
		},
		send(...frames: Uint8Array[]): number {
			for (const frame of frames) this.add(frame);
			return this.transmit();
		},
		/** Answers the kernel's question for the stack's address; returns the kernel's hardware address. */
		async resolve(): Promise<Uint8Array> {
			const question = await this.frame(isArp(1));
			this.send(arp(2, question.subarray(6, 12)));
			return question.slice(6, 12);
		},
	};
}

export const isArp = (operation: number) => (frame: Uint8Array) => frame[12] === 8 && frame[13] === 6 && frame[21] === operation;
export const isIpv4 = (protocol: number) => (frame: Uint8Array) => frame[12] === 8 && frame[13] === 0 && frame[23] === protocol;

/** An ICMP echo reply. */
export const isEcho = (sequence: number) => (frame: Uint8Array) =>
	isIpv4(1)(frame) && frame[34] === 0 && ((frame[40]! << 8) | frame[41]!) === sequence;

export function arp(operation: number, target: Iterable<number>): Uint8Array {
	const mac = [2, 0, 0, 0, 0, 2];
	const known = operation === 1 ? [0, 0, 0, 0, 0, 0] : target;
	const ethernet = [...(operation === 1 ? BROADCAST : target), ...mac, 8, 6];
	const kind = [0, 1, 8, 0, 6, 4, 0, operation];
	return Uint8Array.of(...ethernet, ...kind, ...mac, ...STACK, ...known, ...KERNEL);
}

/** An ICMP echo request from the stack's address to the kernel's. */
export function ping(to: Uint8Array, sequence: number, size: number): Uint8Array {
	const frame = new Uint8Array(14 + 20 + 8 + size);
	frame.set([...to, 2, 0, 0, 0, 0, 2, 8, 0]);
	frame.set([0x45, 0, (28 + size) >> 8, (28 + size) & 255, 0, 0, 0x40, 0, 64, 1, 0, 0, ...STACK, ...KERNEL], 14);
	frame.set([8, 0, 0, 0, 0x12, 0x34, sequence >> 8, sequence & 255], 34);
	for (let i = 0; i < size; i++) frame[42 + i] = i & 255;
	set16(frame, 24, checksum(frame, 14, 20, 0));
	set16(frame, 36, checksum(frame, 34, 8 + size, 0));
	return frame;
}

/** Makes the kernel send a UDP datagram to the stack's address. */
export function kernelSends(payload: string | Uint8Array, port = 9): void {
	const socket = createSocket("udp4");
	socket.send(payload, port, "10.77.0.2", () => socket.close());
}
