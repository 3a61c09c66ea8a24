/**
 * Bytes that layers 0 to 6 allocate on the JavaScript heap per frame: a host, a crowd of stateless clients that send requests and get
 * answers, and a runtime that allocates nothing itself. Prints a figure; run by test/tcp/allocation.test.ts.
 *
 *   node --expose-gc --max-semi-space-size=128 allocation-program.js FRAMES START [ANSWER]
 *
 * START is where the clock begins, in microseconds: beyond 2^31 a time is no small integer any more. ANSWER is the bytes of an answer,
 * default 64; of 8 KiB and more they go to slabs, and leave in frames that stand for several segments.
 */
import { CROWD_SERVER, Crowd } from "../../bench/lib/crowd.ts";
import { Loop } from "../../bench/lib/loop.ts";
import { createHost, type SocketEvents, type TcpSocket } from "../../src/host/host.ts";
import { type LinkOffload, SEGMENTATION_MAX } from "../../src/link/link.ts";
import { Batch, FRAME_MORE } from "../../src/memory/batch.ts";

const [frames = 1_000_000, start = 1000, bytes = 64] = process.argv.slice(2).map(Number);
const long = bytes > 1000;
/** Frames between two looks at the heap: little enough for the young generation, so that a collection in between is rare. */
const SLICE = 20_000;
const WARM = long ? 100_000 : 300_000;

const scratch = new Uint8Array(2048);
const request = new Uint8Array(64).fill(109);
const answer = new Uint8Array(bytes).fill(109);

/** Takes slices. What is said to a segment is read from its headers, so the crowd needs no more than the first entry of a frame. */
class LongCrowd extends Crowd {
	readonly offload: LinkOffload = { checksum: true, segmentation: SEGMENTATION_MAX, longPieces: true };
	#heads: Batch | null = null;

	override transmit(batch: Batch): number {
		const { count, pool } = batch;
		this.#heads ??= new Batch(pool);
		let more = false;
		for (let i = 0; i < count; i++) {
			if (more) pool.release(batch.page[i]!);
			else this.#heads.push(batch.page[i]!, batch.start[i]!, batch.length[i]!);
			more = (batch.flags[i]! & FRAME_MORE) !== 0;
		}
		batch.shift(count);
		super.transmit(this.#heads);
		return count;
	}
}

class Server implements SocketEvents {
	readonly #socket: TcpSocket;
	constructor(socket: TcpSocket) {
		this.#socket = socket;
		socket.events = this;
	}
	connected(): void {}
	readable(): void {
		// A write that is taken in part takes a view of the answer, which is the one thing that is allocated on the way in (memory/copy.ts).
		if (this.#socket.readInto(scratch, 0, scratch.length) > 0 && this.#socket.room >= answer.length) this.#socket.write(answer);
	}
	ended(): void {}
	writable(): void {}
	closed(): void {}
}

const loop = new Loop(start);
const crowd = new (long ? LongCrowd : Crowd)({ port: 80, mode: "requests", request, window: long ? 16 : 64 });
const host = createHost({
	link: crowd,
	runtime: loop,
	addresses: [CROWD_SERVER],
	memory: 16 << 20,
	tcp: { maxConnections: 1024, maxTimeWait: 64 },
});
host.tcpListen({ port: 80 }).onconnection = (socket) => void new Server(socket);
crowd.run(1 << 30);

let goal = 0;
const reached = () => crowd.sent + crowd.received >= goal;
goal = WARM;
loop.run(reached);

const slices: number[] = [];
let counted = 0;
while (counted < frames) {
	(globalThis as { gc?: () => void }).gc!();
	const from = crowd.sent + crowd.received;
	goal = from + SLICE;
	const before = process.memoryUsage().heapUsed;
	loop.run(reached);
	const after = process.memoryUsage().heapUsed;
	// Negative: a collection came in between after all.
	if (after < before) continue;
	const moved = crowd.sent + crowd.received - from;
	slices.push((after - before) / moved);
	counted += moved;
}
// The middle: what the compiler leaves on the heap now and then is not the stack's.
slices.sort((a, b) => a - b);
console.log(JSON.stringify({ bytes: slices[slices.length >> 1], frames: counted, slabs: host.stats().tcp.slabsOpened }));
