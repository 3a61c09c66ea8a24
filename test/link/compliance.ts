/**
 * What every link must do: the suite behind the promise that any pipe of frames can carry Millrace.
 *
 * A link under test comes as a bench: the link, not yet opened, and a peer at its other end that speaks in plain byte arrays. Frames
 * are marked, so that a peer with a life of its own (a kernel that says hello) disturbs nothing. Each test makes a bench of its
 * own and ends by closing it with not a page left in use.
 *
 *     linkCompliance("memory link", async () => bench);
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { frameEntries, frameLimit } from "../../src/link/frames.ts";
import type { Link, LinkContext } from "../../src/link/link.ts";
import { Arena } from "../../src/memory/arena.ts";
import { BATCH_CAPACITY, Batch, FRAME_MORE } from "../../src/memory/batch.ts";
import { HEADROOM, PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import type { Runtime } from "../../src/time/clock.ts";

/** A link, and what is needed to test it. */
export interface LinkBench {
	/** Not yet opened. */
	readonly link: Link;
	/** What the link is to be opened with. */
	readonly runtime: Runtime;
	/** Lets what is under way arrive. */
	settle(): Promise<void>;
	readonly peer: {
		/** Sends a frame to the link. */
		send(bytes: Uint8Array): void | Promise<void>;
		/** The next frame from the link, null when none has come. Frames of others may be among them. */
		receive(): Promise<Uint8Array | null>;
		close(): void | Promise<void>;
	};
	/** Called after `link.open`, with what it was opened with. */
	opened?(context: LinkContext): void | Promise<void>;
	/** Where the far end takes no frames of a stranger's: the frames that the suite is to use instead. */
	readonly frames?: TestFrames;
}

/** Frames that tell the suite which they are. */
export interface TestFrames {
	/** Bytes of the smallest. */
	readonly smallest: number;
	make(length: number, index: number): Uint8Array;
	/** The frame of the suite's that one from the link stands for; null: somebody else's. */
	read(bytes: Uint8Array): Uint8Array | null;
}

/** Where links differ. */
export interface ComplianceOptions {
	/** Why the suite cannot run here. */
	readonly skip?: string | false;
	/** The peer cannot send before the link is open (a device that `open` makes). */
	readonly peerNeedsOpen?: boolean;
	/** Frame sizes to try besides the smallest and the largest. */
	readonly sizes?: readonly number[];
	/** A link whose frames are known before it is made: each test runs on this bench first, and what its peer sent there is what the link is made of. */
	readonly rehearsal?: () => Promise<LinkBench>;
	/** Why nobody sees what the link is given to send: tests of that are skipped. */
	readonly sendsNowhere?: string;
}

/** The bench, whose peer's frames are noted in `sent`. */
function noting(bench: LinkBench, sent: Uint8Array[]): LinkBench {
	const { peer } = bench;
	const send = (bytes: Uint8Array) => {
		sent.push(bytes);
		return peer.send(bytes);
	};
	return { ...bench, peer: { send, receive: () => peer.receive(), close: () => peer.close() } };
}

const MAGIC = [0x6d, 0x69, 0x6c, 0x6c];
const POOL_PAGES = 256;
/** Times that a link is let settle before what should come is missed: on a busy machine the kernel takes its time. */
const PATIENCE = 500;
/** The same for what may not come at all. */
const LITTLE = 5;

/** Bytes before the magic: an Ethernet or an IPv4 header. */
function headerBytes(link: Link): number {
	return link.medium === "ethernet" ? 14 : 20;
}

/** A frame of `length` bytes that no protocol will answer: ethertype 0x88b5 (IEEE 802, experiments) or IP protocol 253 (RFC 3692). */
export function testFrame(link: Link, length: number, index: number): Uint8Array {
	const bytes = new Uint8Array(length);
	const header = headerBytes(link);
	if (link.medium === "ethernet") bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5]);
	else {
		bytes.set([0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, 253, 0, 0, 10, 77, 0, 9, 10, 77, 0, 2]);
		let sum = 0;
		for (let i = 0; i < 20; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
		sum = ~((sum & 0xffff) + (sum >> 16));
		bytes[10] = (sum >> 8) & 255;
		bytes[11] = sum & 255;
	}
	mark(bytes, header, index);
	return bytes;
}

/** What is put into a frame behind its headers, from `at` on: who it is. */
export function mark(bytes: Uint8Array, at: number, index: number): void {
	bytes.set(MAGIC, at);
	bytes[at + 4] = index >> 8;
	bytes[at + 5] = index & 255;
	for (let i = at + MARK; i < bytes.length; i++) bytes[i] = (i * 7 + index) & 255;
}

/** Bytes of the mark. */
export const MARK = 6;

export function isMarked(bytes: Uint8Array, at: number): boolean {
	return bytes.length >= at + MARK && MAGIC.every((byte, i) => bytes[at + i] === byte);
}

/** Frames that come as they went. */
function testFrames(link: Link): TestFrames {
	const header = headerBytes(link);
	return {
		smallest: header + MARK,
		make: (length, index) => testFrame(link, length, index),
		read: (bytes) => (isMarked(bytes, header) ? bytes : null),
	};
}

/** Appends a frame to a batch, behind the head room a stack leaves, in entries of at most `piece` bytes. */
export function pushFrame(batch: Batch, bytes: Uint8Array, piece: number = PAGE_SIZE - HEADROOM): void {
	for (let done = 0; done < bytes.length; ) {
		const page = batch.pool.alloc();
		assert.notEqual(page, 0, "the test ran out of pages");
		const part = Math.min(piece, bytes.length - done);
		const start = batch.pool.address(page) + HEADROOM;
		batch.pool.u8.set(bytes.subarray(done, done + part), start);
		done += part;
		assert.ok(batch.push(page, start, part, 0, done < bytes.length ? FRAME_MORE : 0));
	}
}

/** The frames of a batch as byte arrays with their stamps; releases the batch. */
function drain(batch: Batch): { bytes: Uint8Array; time: number }[] {
	const frames: { bytes: Uint8Array; time: number }[] = [];
	for (let at = 0, entries = 0; at < batch.count; at += entries) {
		entries = frameEntries(batch, at);
		const parts: number[] = [];
		for (let i = at; i < at + entries; i++) parts.push(...batch.frame(i));
		frames.push({ bytes: Uint8Array.from(parts), time: batch.time[at]! });
	}
	batch.drop(batch.count);
	return frames;
}

class Session {
	readonly bench: LinkBench;
	readonly link: Link;
	readonly pool: PagePool;
	readonly batch: Batch;
	readonly frames: TestFrames;
	wakes = 0;
	failures: Error[] = [];
	#index = 0;

	constructor(bench: LinkBench, pages: number) {
		this.bench = bench;
		this.link = bench.link;
		this.frames = bench.frames ?? testFrames(bench.link);
		this.pool = new PagePool(new Arena(PagePool.bytes(pages) + 65536 + (bench.link.arenaBytes ?? 0)), pages);
		this.batch = new Batch(this.pool);
	}

	async open(): Promise<void> {
		const context: LinkContext = {
			pool: this.pool,
			runtime: this.bench.runtime,
			wake: () => {
				this.wakes++;
			},
			failed: (error) => {
				this.failures.push(error);
			},
		};
		this.link.open(context);
		await this.bench.opened?.(context);
		await this.bench.settle();
	}

	frame(length: number): Uint8Array {
		return this.frames.make(length, this.#index++);
	}

	/** Those of the suite's. */
	ours(frames: readonly { bytes: Uint8Array; time: number }[]): { bytes: Uint8Array; time: number }[] {
		return frames.flatMap(({ bytes, time }) => {
			const frame = this.frames.read(bytes);
			return frame === null ? [] : [{ bytes: frame, time }];
		});
	}

	/** Transmits all of the batch, as a stack does: what is left is offered again. */
	async transmit(): Promise<void> {
		for (let tries = 0; this.batch.count > 0; tries++) {
			assert.ok(tries < 200, "the link takes no frames");
			const before = this.batch.count;
			const count = this.link.transmit(this.batch);
			assert.equal(this.batch.count, before - count, "transmit returns how many frames left the batch");
			this.link.flush();
			if (this.batch.count > 0) await this.bench.settle();
		}
	}

	/** Our frames that the link gives, until there are `want` or nothing comes any more. */
	async received(want: number, patience = PATIENCE): Promise<{ bytes: Uint8Array; time: number }[]> {
		const frames: { bytes: Uint8Array; time: number }[] = [];
		for (let quiet = 0; quiet < patience && frames.length < want; ) {
			await this.bench.settle();
			const count = this.link.receive(this.batch);
			assert.equal(count, this.batch.count, "receive returns how many entries it appended");
			quiet = count === 0 ? quiet + 1 : 0;
			frames.push(...this.ours(drain(this.batch)));
		}
		return frames;
	}

	/** Our frames that reached the peer, until there are `want` or nothing comes any more. */
	async arrived(want: number, patience = PATIENCE): Promise<Uint8Array[]> {
		const frames: Uint8Array[] = [];
		for (let quiet = 0; quiet < patience && frames.length < want; quiet++) {
			await this.bench.settle();
			for (let bytes = await this.bench.peer.receive(); bytes !== null; bytes = await this.bench.peer.receive()) {
				const frame = this.frames.read(bytes);
				if (frame !== null) frames.push(frame);
			}
		}
		return frames;
	}

	async end(): Promise<void> {
		this.batch.drop(this.batch.count);
		this.link.close();
		await this.bench.settle();
		await this.bench.peer.close();
		assert.equal(this.pool.inUse, 0, "pages are left in use");
	}
}

/** All counters of what did not go well. */
function losses(link: Link): number {
	return Object.entries(link.counters())
		.filter(([name]) => !/(frames|bytes|seen)$/i.test(name))
		.reduce((sum, [, value]) => sum + value, 0);
}

/** Declares the suite for one kind of link. `makeBench` is called once per test, with what the peer sent in its rehearsal. */
export function linkCompliance(
	name: string,
	makeBench: (sent: readonly Uint8Array[]) => Promise<LinkBench>,
	options: ComplianceOptions = {},
): void {
	const { skip = false, peerNeedsOpen = false, rehearsal, sendsNowhere } = options;

	async function run(session: Session, body: (session: Session) => Promise<void>): Promise<void> {
		try {
			await body(session);
		} catch (error) {
			session.link.close();
			await session.bench.peer.close();
			throw error;
		}
		await session.end();
	}

	function rule(what: string, body: (session: Session) => Promise<void>, pages = POOL_PAGES, skipped = skip): void {
		test(what, { skip: skipped }, async () => {
			const sent: Uint8Array[] = [];
			if (rehearsal !== undefined) await run(new Session(noting(await rehearsal(), sent), pages), body);
			await run(new Session(await makeBench(sent), pages), body);
		});
	}

	/** A rule of what the far end gets. */
	function outgoing(what: string, body: (session: Session) => Promise<void>): void {
		rule(what, body, POOL_PAGES, sendsNowhere ?? skip);
	}

	function sizes({ link, frames: { smallest } }: Session): number[] {
		const limit = frameLimit(link);
		const all = [smallest, smallest + 1, 60, 61, 127, 128, 576, 1023, limit - 1, limit, ...(options.sizes ?? [])];
		return all.filter((size) => size >= smallest && size <= limit);
	}

	describe(`${name} is a link:`, () => {
		rule("it says what it is", async ({ link }) => {
			assert.ok(link.name.length > 0);
			assert.ok(link.medium === "ethernet" || link.medium === "ip");
			assert.ok(Number.isInteger(link.mtu) && link.mtu >= 68 && link.mtu <= 65535);
			if (link.mac !== undefined) {
				assert.equal(link.mac.length, 6);
				assert.equal(link.mac[0]! & 1, 0, "a hardware address that is a group address");
			}
		});

		rule("nothing is delivered before it is open", async (session) => {
			if (!peerNeedsOpen) await session.bench.peer.send(session.frame(60));
			await session.bench.settle();
			assert.equal(session.link.receive(session.batch), 0);
			assert.equal(session.batch.count, 0);
			assert.equal(session.wakes, 0);
			await session.open();
		});

		rule("frames of all sizes come in whole, and in order", async (session) => {
			await session.open();
			const sent = sizes(session).map((size) => session.frame(size));
			for (const bytes of sent) await session.bench.peer.send(bytes);
			assert.deepEqual(
				(await session.received(sent.length)).map((frame) => frame.bytes),
				sent,
			);
		});

		outgoing("frames of all sizes go out whole, and in order", async (session) => {
			await session.open();
			const sent = sizes(session).map((size) => session.frame(size));
			for (const bytes of sent) {
				if (BATCH_CAPACITY - session.batch.count < 40) await session.transmit();
				pushFrame(session.batch, bytes);
			}
			await session.transmit();
			assert.deepEqual(await session.arrived(sent.length), sent);
		});

		outgoing("a frame that lies in several pages goes out as one, if frames may be longer than a page", async (session) => {
			if (frameLimit(session.link) <= PAGE_SIZE) return;
			await session.open();
			const size = 2100;
			const sent = [session.frame(100), session.frame(size), session.frame(101)];
			pushFrame(session.batch, sent[0]!);
			pushFrame(session.batch, sent[1]!, Math.ceil(size / 3));
			pushFrame(session.batch, sent[2]!);
			assert.equal(session.batch.count, 5);
			await session.transmit();
			assert.deepEqual(await session.arrived(3), sent);
		});

		rule("receive never appends more than there is room for, and leaves alone what is there", async (session) => {
			await session.open();
			const sent = Array.from({ length: 10 }, () => session.frame(80));
			for (const bytes of sent) await session.bench.peer.send(bytes);
			const got: Uint8Array[] = [];
			for (let quiet = 0; got.length < sent.length && quiet < PATIENCE; ) {
				await session.bench.settle();
				const small = new Batch(session.pool, 4);
				const mine = testFrame(session.link, 70, 999);
				pushFrame(small, mine);
				const count = session.link.receive(small);
				assert.ok(count <= 3, "more than the room of 3");
				assert.equal(small.count, 1 + count);
				assert.deepEqual(Uint8Array.from(small.frame(0)), mine);
				quiet = count === 0 ? quiet + 1 : 0;
				const before = small.count;
				if (before === small.capacity) {
					assert.equal(session.link.receive(small), 0, "no room, no frame");
					assert.equal(small.count, before);
				}
				got.push(...session.ours(drain(small).slice(1)).map((frame) => frame.bytes));
				if (count === 3 && got.length < sent.length - 3) assert.notEqual(session.link.waiting, false, "frames have come and were left");
			}
			assert.deepEqual(got, sent);
			for (let quiet = 0; session.link.waiting === true; quiet++) {
				assert.ok(quiet < PATIENCE, "nothing is left");
				await session.bench.settle();
				session.link.receive(session.batch);
				drain(session.batch);
			}
		});

		outgoing("transmit takes from the front and leaves the rest as it was", async (session) => {
			await session.open();
			const sent = Array.from({ length: BATCH_CAPACITY }, (_, i) => session.frame(64 + i));
			for (const bytes of sent) pushFrame(session.batch, bytes);
			for (let left = sent.length, tries = 0; left > 0; tries++) {
				assert.ok(tries < 200, "the link takes no frames");
				const count = session.link.transmit(session.batch);
				left -= count;
				assert.equal(session.batch.count, left);
				for (let i = 0; i < left; i++) assert.deepEqual(Uint8Array.from(session.batch.frame(i)), sent[sent.length - left + i]);
				session.link.flush();
				if (left > 0) await session.bench.settle();
			}
			assert.equal(session.link.transmit(session.batch), 0, "an empty batch is no work");
			session.link.flush();
			assert.deepEqual(await session.arrived(sent.length), sent);
		});

		outgoing("a page that somebody else holds is neither changed nor lost", async (session) => {
			await session.open();
			const bytes = session.frame(Math.min(1400, frameLimit(session.link)));
			pushFrame(session.batch, bytes);
			const page = session.batch.page[0]!;
			const start = session.batch.start[0]!;
			session.pool.retain(page);
			await session.transmit();
			// The owner may use the descriptor for other things as soon as transmit returns.
			session.pool.setStart(page, 0);
			session.pool.setLength(page, 0);
			session.pool.setNext(page, page);
			assert.deepEqual(await session.arrived(1), [bytes]);
			session.link.close();
			await session.bench.settle();
			assert.equal(session.pool.refs(page), 1);
			assert.deepEqual(Uint8Array.from(session.pool.u8.subarray(start, start + bytes.length)), bytes);
			session.pool.release(page);
		});

		rule("arrival stamps come from the clock and never go back", async (session) => {
			// A device may have something to say of its own as soon as it is up, and be noticed for it before our first frame.
			const before = session.bench.runtime.clock.now();
			await session.open();
			const times: number[] = [];
			for (let round = 0; round < 5; round++) {
				await session.bench.peer.send(session.frame(90));
				await session.bench.peer.send(session.frame(91));
				times.push(...(await session.received(2)).map((frame) => frame.time));
			}
			const after = session.bench.runtime.clock.now();
			assert.equal(times.length, 10);
			let last = before | 0;
			for (const time of times) {
				assert.ok(((time - last) | 0) >= 0, `stamp ${time} after ${last}`);
				last = time;
			}
			assert.ok((((after | 0) - last) | 0) >= 0, "a stamp from the future");
		});

		rule("the host is woken when a frame has come", async (session) => {
			await session.open();
			for (let round = 0; round < 3; round++) {
				session.wakes = 0;
				await session.bench.peer.send(session.frame(100));
				for (let tries = 0; session.wakes === 0 && tries < PATIENCE; tries++) await session.bench.settle();
				assert.ok(session.wakes > 0, "not woken");
				assert.equal((await session.received(1)).length, 1);
			}
		});

		rule("its counters count", async (session) => {
			await session.open();
			const before = session.link.counters();
			for (const name of ["rxFrames", "rxBytes", "txFrames", "txBytes"]) {
				assert.equal(typeof before[name], "number", `no counter ${name}`);
			}
			for (let i = 0; i < 3; i++) await session.bench.peer.send(session.frame(200));
			assert.equal((await session.received(3)).length, 3);
			for (let i = 0; i < 2; i++) pushFrame(session.batch, session.frame(300));
			await session.transmit();
			await session.arrived(2);
			const after = session.link.counters();
			assert.ok(after.rxFrames! >= before.rxFrames! + 3);
			assert.ok(after.rxBytes! >= before.rxBytes! + 600);
			assert.ok(after.txFrames! >= before.txFrames! + 2);
			assert.ok(after.txBytes! >= before.txBytes! + 600);
			for (const [name, value] of Object.entries(after)) assert.ok(Number.isInteger(value) && value >= 0, name);
		});

		outgoing("a frame longer than its limit is dropped and counted, and traffic goes on", async (session) => {
			await session.open();
			const before = losses(session.link);
			const good = session.frame(100);
			pushFrame(session.batch, session.frame(frameLimit(session.link) + 1));
			pushFrame(session.batch, good);
			await session.transmit();
			assert.deepEqual(await session.arrived(1), [good]);
			assert.ok(losses(session.link) > before, "no drop was counted");
		});

		rule(
			"without a free page frames are lost, not the link",
			async (session) => {
				await session.open();
				const held: number[] = [];
				for (let page = session.pool.alloc(); page !== 0; page = session.pool.alloc()) held.push(page);
				for (let i = 0; i < 3; i++) await session.bench.peer.send(session.frame(100));
				await session.bench.settle();
				assert.equal(session.link.receive(session.batch), 0);
				for (const page of held) session.pool.release(page);
				await session.received(4, LITTLE);
				const good = session.frame(110);
				await session.bench.peer.send(good);
				const got = await session.received(1);
				assert.deepEqual(got.at(-1)?.bytes, good);
			},
			48,
		);

		rule("after close nothing is delivered, either way, and nobody is woken", async (session) => {
			await session.open();
			await session.bench.peer.send(session.frame(100)); // on its way, or waiting
			session.link.close();
			const wakes = session.wakes;
			if (!peerNeedsOpen) await session.bench.peer.send(session.frame(100));
			await session.bench.settle();
			assert.equal(session.link.receive(session.batch), 0);
			assert.equal(session.batch.count, 0);
			pushFrame(session.batch, session.frame(120));
			session.link.transmit(session.batch);
			session.link.flush();
			await session.bench.settle();
			assert.equal(session.wakes, wakes);
			if (!peerNeedsOpen) assert.deepEqual(await session.arrived(1, LITTLE), []);
		});

		rule("closing it again is harmless, also if it was never open", async (session) => {
			session.link.close();
			session.link.close();
			await session.bench.settle();
			assert.equal(session.failures.length, 0);
		});

		rule("ref and unref may be called at any time", async (session) => {
			await session.open();
			session.link.ref();
			session.link.ref();
			session.link.unref();
			session.link.unref();
			session.link.unref();
			const bytes = session.frame(100);
			await session.bench.peer.send(bytes);
			assert.deepEqual((await session.received(1))[0]?.bytes, bytes);
			session.link.close();
			session.link.ref();
			session.link.unref();
		});

		rule("when the peer goes away nothing is thrown, and the host hears of it at most once", async (session) => {
			await session.open();
			pushFrame(session.batch, session.frame(100));
			await session.transmit();
			await session.bench.settle();
			await session.bench.peer.close();
			for (let i = 0; i < 3; i++) {
				await session.bench.settle();
				if (session.batch.count === 0) pushFrame(session.batch, session.frame(100));
				session.link.transmit(session.batch);
				session.link.flush();
				session.link.receive(session.batch);
				session.batch.drop(session.batch.count);
			}
			assert.ok(session.failures.length <= 1);
			for (const error of session.failures) assert.ok(error instanceof Error);
		});
	});
}
