/**
 * Bytes that the links of devices allocate on the JavaScript heap per frame: two links with a device between them, and frames that go
 * there and back without an event loop. Prints a figure; run by test/link/allocation.test.ts, in a network namespace of its own.
 *
 *   node --max-semi-space-size=128 link-allocation-program.js KIND FRAMES
 *
 * KIND: what the near end is; the far end is a packet socket, whose allocations count as well.
 */
import { getHeapStatistics } from "node:v8";
import { Loop } from "../../bench/lib/loop.ts";
import type { Link } from "../../src/link/link.ts";
import { packetLink } from "../../src/link/packet.ts";
import { tapLink } from "../../src/link/tap.ts";
import { xdpLink } from "../../src/link/xdp.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { HEADROOM, PagePool } from "../../src/memory/pages.ts";
import { vethPair } from "./veth.ts";

const [kind = "", framesText] = process.argv.slice(2);
const frames = Number(framesText);
const PAGES = 1024;
/** Frames that are sent with one call, and those of a round, of which a queue of a device must have room. */
const TRAIN = 48;
const ROUND = 16 * TRAIN;
/** Frames of a figure. */
const SLICE = 20 * ROUND;
const WARM = 200_000;
/** Looks at an end before the event loop has a turn: a block of packet sockets may be a millisecond old, which a TAP device is not. */
const LOOKS = kind.startsWith("tap") ? 2 * ROUND : 100_000;
/** Turns after which frames count as lost, and tries after which a link takes none. */
const TURNS = 10_000;
/** Hardware addresses of the ends, but for their last byte. */
const PREFIX = "02:00:00:00:00:0";
/** Of ethertype 0x88b5 (IEEE 802, experiments): nobody answers it. */
const frame = new Uint8Array(120).fill(109);
frame.set([2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0x88, 0xb5]);

const loop = new Loop(1000);

class End {
	readonly #link: Link;
	readonly #batch: Batch;
	readonly #pool: PagePool;
	got = 0;

	constructor(link: Link) {
		this.#link = link;
		this.#pool = new PagePool(new Arena(PagePool.bytes(PAGES) + 65536 + (link.arenaBytes ?? 0)), PAGES);
		this.#batch = new Batch(this.#pool);
		const failed = (error: Error): void => {
			throw error;
		};
		link.open({ pool: this.#pool, runtime: loop, wake() {}, failed });
	}

	/** @param station The last byte of the hardware address that frames go to. */
	send(count: number, station: number): void {
		const { pool } = this.#batch;
		for (let i = 0; i < count; i++) {
			const page = pool.alloc();
			if (page === 0) throw new Error(`${this.#link.name} has no free page`);
			const start = pool.address(page) + HEADROOM;
			pool.u8.set(frame, start);
			pool.u8[start + 5] = station;
			this.#batch.push(page, start, frame.length, 0, 0);
		}
		for (let tries = 0; this.#batch.count > 0; tries++) {
			if (tries > TURNS) throw new Error(`${this.#link.name} takes no frames`);
			this.#link.transmit(this.#batch);
			this.#link.flush();
		}
	}

	/** Takes what has come. */
	look(): void {
		this.#link.receive(this.#batch);
		for (let i = 0; i < this.#batch.count; i++) {
			const type = this.#batch.start[i]! + 12;
			if (this.#pool.u8[type] === 0x88 && this.#pool.u8[type + 1] === 0xb5) this.got++;
		}
		this.#batch.drop(this.#batch.count);
	}

	/** Takes what comes; true when `count` of ours have. */
	took(count: number): boolean {
		for (let tries = 0; this.got < count && tries < LOOKS; tries++) this.look();
		if (this.got < count) return false;
		this.got -= count;
		return true;
	}
}

function ends(): [End, End] {
	if (kind.startsWith("tap")) {
		const link = tapLink({ kernelAddress: null, ioUring: kind === "tap" });
		const near = new End(link);
		return [near, farEnd(link.interfaceName)];
	}
	vethPair("near0", "far0");
	const own = { interface: "near0", addresses: ["10.99.0.2/24"], mac: `${PREFIX}1` };
	const near = kind === "xdp" ? xdpLink(own) : packetLink({ ...own, ring: kind === "packet-v3" ? "v3" : "v2" });
	return [new End(near), farEnd("far0")];
}

function farEnd(name: string): End {
	return new End(packetLink({ interface: name, addresses: ["10.99.0.3/24"], mac: `${PREFIX}2` }));
}

const [near, far] = ends();
const directions = [
	[near, far, 2],
	[far, near, 1],
] as const;

let before = 0;
/** Bytes of the heap between calls of `begin` and `end`; without those in which a collection came in between. */
let allocated = 0;

function begin(): void {
	before = getHeapStatistics().used_heap_size;
}

function end(): void {
	const grown = getHeapStatistics().used_heap_size - before;
	if (grown > 0) allocated += grown;
}

/** Carries so many frames. The turns of Node's loop are not counted. */
async function carry(count: number): Promise<void> {
	for (let moved = 0; moved < count; moved += 2 * ROUND) {
		for (const [from, to, station] of directions) {
			begin();
			for (let sent = 0; sent < ROUND; sent += TRAIN) {
				from.send(TRAIN, station);
				to.look();
			}
			let done = to.took(ROUND);
			end();
			for (let turns = 0; !done; turns++) {
				if (turns > TURNS) throw new Error(`${kind}: of ${ROUND} frames only ${to.got} came`);
				// A TAP device is looked at again when the event loop has seen it.
				await new Promise(setImmediate);
				begin();
				done = to.took(ROUND);
				end();
			}
		}
		loop.time += 50;
	}
}

await carry(Math.min(WARM, frames));
const slices: number[] = [];
for (let counted = 0; counted < frames; counted += SLICE) {
	allocated = 0;
	await carry(SLICE);
	slices.push(allocated / SLICE);
}
// The middle: what the compiler leaves on the heap now and then is not the link's.
slices.sort((a, b) => a - b);
console.log(JSON.stringify({ bytes: slices[slices.length >> 1], frames: slices.length * SLICE }));
process.exit(0);
