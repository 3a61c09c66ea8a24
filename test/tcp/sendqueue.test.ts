/** The send segment alone, against an array: written, sent, SACKed, deemed lost, cut and acknowledged in any order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { abort, write } from "../../src/tcp/calls.ts";
import type { Connection } from "../../src/tcp/connection.gen.ts";
import { begin } from "../../src/tcp/opening.ts";
import { output } from "../../src/tcp/output.ts";
import {
	acknowledge,
	dropSendQueue,
	enqueue,
	enqueueFin,
	forgetSacks,
	inFlight,
	markAllLost,
	markLost,
	muchRoom,
	ownPage,
	pageSpan,
	sendRoom,
	splitPage,
	unmarkLost,
} from "../../src/tcp/sendqueue.ts";
import {
	C_FIN_PENDING,
	C_LOSS,
	C_MODEL,
	C_RECOVERY,
	E_WRITABLE,
	ESTABLISHED,
	L_STARVED,
	P_FIN,
	P_LOST,
	P_SACKED,
	P_SENT,
	SYN_SENT,
} from "../../src/tcp/state.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";

const UNSENT = 0;
const SENT = 1;
const LOST = 2;
const SACKED = 3;

const patternByte = (i: number) => ((i * 31) ^ (i >> 8)) & 255;
const PERIOD = 65536;
/** The stream from any byte of a period on, as long as a page or slice can be. */
const pattern = Uint8Array.from({ length: 2 * PERIOD }, (_, i) => patternByte(i));

const kinds = [
	"write",
	"write",
	"send",
	"send",
	"send",
	"ack",
	"ack",
	"sack",
	"lose",
	"loseAll",
	"unlose",
	"forget",
	"split",
	"own",
	"hold",
	"fin",
] as const;

for (const [iss, slabs] of [
	[0, 0],
	[-3000, 0],
	[0x7fffff00, 0],
	[0, 1],
	[-3000, 1],
	[0x7fffff00, 3],
] as const) {
	test(`${slabs === 0 ? "pages" : `pages and slices of ${slabs} slabs`} hold what the model holds, and the sums are right (first number ${iss})`, () => {
		const step = fc.tuple(fc.constantFrom(...kinds), fc.oneof(fc.nat(30), fc.nat(5000), fc.nat(slabs === 0 ? 5000 : 100_000)));
		const sizes = slabs === 0 ? [1448, 100] : [1448, 512];
		// More than one slab holds.
		const room = slabs === 0 ? 20_000 : 90_000;
		let opened = 0;
		let refused = 0;
		fc.assert(
			fc.property(fc.array(step, { maxLength: 80, size: "max" }), fc.constantFrom(...sizes), (steps, mss) => {
				const { t, pool, connection } = bareTcp({ sendBuffer: room, maxSendBuffer: room }, slabs === 0 ? 80 : 120, 0, slabs);
				const c = connection();
				c.mss = mss;
				c.sndUna = c.sndNxt = c.sndEnd = iss;
				// State of each number from the first unacknowledged on; the FIN has one too.
				let model: number[] = [];
				let una = 0;
				let fin = false;
				const held: number[] = [];
				const list = () => {
					const pages: number[] = [];
					for (let page = c.sndHead; page !== 0; page = pool.next(page)) pages.push(page);
					return pages;
				};
				const offset = (page: number) => (pool.seq(page) - iss - una) | 0;
				const setPage = (page: number, state: number) => model.fill(state, offset(page), offset(page) + pageSpan(t, page));
				for (const [kind, n] of steps) {
					const pages = list();
					const page = pages[n % Math.max(pages.length, 1)] ?? 0;
					const flags = page === 0 ? 0 : pool.flags(page);
					const sent = (flags & P_SENT) !== 0;
					switch (kind) {
						case "write": {
							if (fin) break;
							const from = (una + model.length) % PERIOD;
							const bytes =
								n <= PERIOD ? pattern.subarray(from, from + n) : Uint8Array.from({ length: n }, (_, i) => patternByte(from + i));
							const room = sendRoom(t, c);
							const taken = enqueue(t, c, bytes, 0, n);
							assert.ok(taken <= Math.min(n, Math.max(room, 0)));
							if (pool.free > t.shortage.writeReserve) assert.equal(taken, Math.min(n, Math.max(room, 0)));
							for (let i = 0; i < taken; i++) model.push(UNSENT);
							break;
						}
						case "fin":
							if (fin) break;
							enqueueFin(t, c);
							if ((c.flags & C_FIN_PENDING) !== 0) break;
							fin = true;
							model.push(UNSENT);
							break;
						case "send": {
							// As output does: the first unsent page, whole.
							if (c.sndNext === 0) break;
							const first = c.sndNext;
							pool.setFlags(first, pool.flags(first) | P_SENT);
							setPage(first, SENT);
							c.sndNxt = (c.sndNxt + pageSpan(t, first)) | 0;
							c.sndNext = pool.next(first);
							break;
						}
						case "ack": {
							const most = (c.sndNxt - c.sndUna) | 0;
							if (most === 0) break;
							const bytes = 1 + (n % most);
							const seen: number[] = [];
							// A page that was SACKED was seen then. Of a slice what is acknowledged is cut off, and keeps the number.
							const covered = (p: number) => offset(p) + (pool.isSlice(p) ? 1 : pageSpan(t, p)) <= bytes;
							const expected = pages.filter((p) => covered(p) && (pool.flags(p) & P_SACKED) === 0);
							acknowledge(t, c, (c.sndUna + bytes) | 0, (_t, _c, p) => seen.push(p));
							assert.deepEqual(seen, expected);
							model = model.slice(bytes);
							una += bytes;
							break;
						}
						case "sack":
							if (!sent || (flags & P_SACKED) !== 0) break;
							if ((flags & P_LOST) !== 0) c.lost -= pageSpan(t, page);
							pool.setFlags(page, (flags & ~P_LOST) | P_SACKED);
							c.sacked += pageSpan(t, page);
							setPage(page, SACKED);
							break;
						case "lose":
							if (page === 0) break;
							markLost(t, c, page);
							if (sent && (flags & P_SACKED) === 0) setPage(page, LOST);
							break;
						case "loseAll":
							markAllLost(t, c);
							model = model.map((state) => (state === SENT ? LOST : state));
							break;
						case "unlose":
							unmarkLost(t, c);
							model = model.map((state) => (state === LOST ? SENT : state));
							break;
						case "forget":
							forgetSacks(t, c);
							model = model.map((state) => (state === SACKED ? SENT : state));
							break;
						case "split":
							if (page === 0 || pool.length(page) < 2) break;
							splitPage(t, c, page, 1 + (n % (pool.length(page) - 1)));
							break;
						case "hold":
							// A link that has not sent it yet.
							if (page === 0) break;
							pool.retain(page);
							held.push(page);
							break;
						case "own": {
							if (page === 0) break;
							const shared = pool.refs(page) > 1;
							const own = ownPage(t, c, page, pages[pages.indexOf(page) - 1] ?? 0);
							if (pool.isSlice(page)) assert.equal(own, pool.free > 0 ? page : 0);
							else if (own === 0) assert.ok(shared && pool.free === 0);
							else assert.ok(pool.refs(own) === 1 && (own !== page) === shared);
							break;
						}
					}
					let at = 0;
					let unsent = 0;
					for (const p of list()) {
						assert.equal(offset(p), at, "pages without gaps");
						const state = pool.flags(p);
						const expected = model[at];
						const actual = (state & P_SACKED) !== 0 ? SACKED : (state & P_LOST) !== 0 ? LOST : (state & P_SENT) !== 0 ? SENT : UNSENT;
						assert.equal(actual, expected);
						if (actual === UNSENT && unsent === 0) unsent = p;
						const start = pool.start(p);
						const length = pool.length(p);
						const from = (una + at) % PERIOD;
						if (Buffer.compare(pool.u8.subarray(start, start + length), pattern.subarray(from, from + length)) !== 0)
							assert.fail(`bytes ${una + at} to ${una + at + length} are wrong`);
						if (pool.isSlice(p)) {
							const rest = pool.behind(p);
							assert.ok(rest >= 0, "a slice runs over the end of its slab");
						}
						at += pageSpan(t, p);
						assert.equal((state & P_FIN) !== 0, fin && at === model.length);
					}
					assert.equal(at, model.length);
					assert.equal(c.sndNext, unsent);
					assert.equal(c.sndTail, list().at(-1) ?? 0);
					assert.equal((c.sndEnd - c.sndUna) | 0, model.length);
					assert.equal((c.sndUna - iss) | 0, una);
					const counts = [0, 0, 0, 0];
					for (const state of model) counts[state]!++;
					assert.deepEqual([inFlight(c), c.lost, c.sacked], [counts[SENT], counts[LOST], counts[SACKED]]);
				}
				dropSendQueue(t, c);
				for (const p of held) pool.release(p);
				assert.equal(pool.inUse, 0);
				assert.equal(pool.slabsFree, slabs);
				opened += t.counters.slabsOpened;
				refused += t.counters.noSlab;
			}),
			{ numRuns: slabs === 0 ? 200 : 60 },
		);
		// The steps did meet what this is about.
		assert.equal(opened > 0, slabs > 0);
		if (slabs < 2) assert.equal(refused > 0, slabs === 1);
	});
}

test("the rest of a write that is taken in part waits for an ACK, not for the pool", () => {
	const { t, connection } = bareTcp({ sendBuffer: 8000, maxSendBuffer: 8000 });
	const c = connection();
	const bytes = new Uint8Array(20_000);
	assert.equal(write(t, c.index, bytes, 0, 6999), 6999);
	assert.equal(write(t, c.index, bytes, 0, 5000), 1001);
	assert.equal(sendRoom(t, c), 0);
	assert.equal(c.lists & L_STARVED, 0);
	assert.equal(write(t, c.index, bytes, 0, 5000), 0);
	assert.equal(c.lists & L_STARVED, 0);
});

test("what waits is bounded by sendBuffer, what is in flight by the window; who waits for room hears of it when bytes leave", () => {
	const { t, connection } = bareTcp({ sendBuffer: 30_000, maxSendBuffer: 100_000 });
	const c = connection();
	c.cwnd = 60_000;
	c.sndWnd = c.sndWndMax = 200_000;
	const bytes = new Uint8Array(200_000);
	const written: number[] = [];
	for (let turn = 0; turn < 4; turn++) {
		c.events = 0;
		written.push(write(t, c.index, bytes, 0, bytes.length));
		assert.ok(((c.sndEnd - c.sndNxt) | 0) <= 30_000);
		output(t, c);
		// No ACK has come. What fits no more into the window makes no room.
		assert.equal(c.events & E_WRITABLE, turn < 2 ? E_WRITABLE : 0, `turn ${turn}`);
	}
	assert.equal(written[0], 30_000);
	assert.ok(inFlight(c) > 60_000 - 1448 && inFlight(c) <= 60_000);
	assert.equal((c.sndEnd - c.sndNxt) | 0, 30_000, "and the rest waits");
	assert.equal(
		written.reduce((sum, n) => sum + n),
		inFlight(c) + 30_000,
	);
	assert.equal(write(t, c.index, bytes, 0, bytes.length), 0);
});

/** An engine with slabs whose link keeps nothing, and a connection with windows as wide as they need be. */
function wide(slabs: number, options = {}) {
	const bare = bareTcp({ sendBuffer: 400_000, maxSendBuffer: 400_000, ...options }, 600, 0, slabs);
	const c = bare.connection();
	c.cwnd = 1 << 20;
	c.sndWnd = c.sndWndMax = 1 << 20;
	const list = () => {
		const found: number[] = [];
		for (let page = c.sndHead; page !== 0; page = bare.pool.next(page)) found.push(page);
		return found;
	};
	return { ...bare, c, list };
}

const frame = 45 * 1448;

test("a peer with a small MSS has no more pages than four times its bytes fill, and who waits for room hears of it all the same", () => {
	for (const [mss, pages] of [
		[512, 40],
		[511, 40],
		[64, 40],
		[24, 40],
	] as const) {
		const { t, pool, connection } = bareTcp({ sendBuffer: 20_480, maxSendBuffer: 20_480 });
		const c = connection();
		c.mss = mss;
		c.sndWnd = c.sndWndMax = 200_000;
		const taken = write(t, c.index, new Uint8Array(200_000), 0, 200_000);
		assert.equal(pool.inUse, pages, `MSS ${mss}`);
		assert.ok(taken <= pages * mss && taken > (pages - 1) * mss, `MSS ${mss}: ${taken} bytes`);
		assert.equal(muchRoom(t, c), false);
		c.sndNxt = c.sndEnd;
		acknowledge(t, c, (c.sndUna + Math.ceil(taken / 2)) | 0, () => {});
		assert.equal(muchRoom(t, c), true, `MSS ${mss}`);
	}
});

test("long writes fill slabs to the last whole segment of a frame, one behind the other; short ones take pages", () => {
	const { t, pool, c, list } = wide(32);
	write(t, c.index, new Uint8Array(100_000), 0, 100_000);
	assert.deepEqual(list().map(pool.length.bind(pool)), [frame, 100_000 - frame]);
	// The slab that is open takes what comes next, however short, as long as nothing of it has left.
	write(t, c.index, new Uint8Array(100), 0, 100);
	assert.deepEqual(list().map(pool.length.bind(pool)), [frame, 100_100 - frame]);
	write(t, c.index, new Uint8Array(70_000), 0, 70_000);
	assert.deepEqual(list().map(pool.length.bind(pool)), [frame, frame, 170_100 - 2 * frame]);
	assert.deepEqual([t.counters.slabsOpened, t.counters.noSlab, pool.inUse], [3, 0, 0]);
	const short = t.at(t.table.alloc());
	short.state = ESTABLISHED;
	begin(t, short);
	write(t, short.index, new Uint8Array(8191), 0, 8191);
	assert.deepEqual([t.counters.slabsOpened, pool.inUse], [3, Math.ceil(8191 / short.mss)]);
});

test("without a free slab a long write goes to pages, and that is counted", () => {
	const { t, pool, c, list } = wide(1);
	assert.equal(write(t, c.index, new Uint8Array(frame), 0, frame), frame);
	assert.deepEqual([t.counters.slabsOpened, t.counters.noSlab, pool.inUse, list().length], [1, 0, 0, 1]);
	c.sndNxt = c.sndEnd; // as if it had left
	assert.equal(write(t, c.index, new Uint8Array(frame), 0, frame), frame);
	assert.deepEqual([t.counters.slabsOpened, t.counters.noSlab, pool.inUse, list().length], [1, 1, 45, 46]);
});

test("what waits is an eighth of the slabs that are free, and a slab at least, or a send buffer while half of them are free; whoever has sent it all may write again", () => {
	const { t, pool, connection } = bareTcp({ sendBuffer: 150_000, maxSendBuffer: 600_000, maxConnections: 32 }, 2048, 0, 32);
	const took: number[] = [];
	for (let n = 0; n < 24; n++) {
		const share = Math.max(2 * pool.slabsFree >= 32 ? 150_000 : 65_536, (pool.slabsFree * 65_536) / 8);
		const c = connection();
		c.cwnd = 300_000;
		assert.ok(muchRoom(t, c), "nothing waits");
		const taken = write(t, c.index, new Uint8Array(400_000), 0, 400_000);
		assert.equal(taken, share);
		took.push(taken);
		assert.ok(!muchRoom(t, t.at(c.index)));
	}
	assert.deepEqual([took[0], took.at(-1)], [262_144, 65_536]);
	assert.ok(t.counters.noSlab > 0);
});

test("what waits is no more than leaves in a turn, which those share who send, and two slabs at least", () => {
	for (const [senders, mss, most] of [
		[1, 1448, 400_000],
		[4, 1448, 256 * 1448],
		[8, 1448, 128 * 1448],
		[20, 1448, 128 * 1448],
		[20, 600, 131_072],
	] as const) {
		const { t, connection } = bareTcp({ sendBuffer: 100_000, maxConnections: 32 }, 2048, 0, 512);
		const all = Array.from({ length: senders }, () => {
			const c = connection();
			t.table.insert(c.index);
			c.mss = mss;
			c.cwnd = c.sndWnd = c.sndWndMax = 1 << 20;
			write(t, c.index, new Uint8Array(50_000), 0, 50_000);
			return c.index;
		});
		t.flush();
		// As many again when they have left.
		for (let round = 0; round < 2; round++) {
			for (const index of all) {
				write(t, index, new Uint8Array(500_000), 0, 500_000);
				const c = t.at(index);
				assert.equal((c.sndEnd - c.sndNxt) | 0, most, `${senders} by ${mss}, round ${round}`);
			}
			for (let n = 0; n < 4; n++) t.flush();
		}
	}
});

test("no slabs while the handshake goes on, for a model of the path, for a small MSS, or while losses are repaired", () => {
	const cases: Record<string, (c: Connection) => void> = {
		handshake: (c) => (c.state = SYN_SENT),
		model: (c) => (c.flags |= C_MODEL),
		mss: (c) => (c.mss = 511),
		recovery: (c) => (c.flags |= C_RECOVERY),
		loss: (c) => (c.flags |= C_LOSS),
	};
	for (const [name, change] of Object.entries(cases)) {
		const { t, c } = wide(4);
		change(c);
		assert.equal(write(t, c.index, new Uint8Array(30_000), 0, 30_000), 30_000, name);
		assert.deepEqual([t.counters.slabsOpened, t.counters.noSlab], [0, 0], name);
	}
});

test("what a link still holds of a slab is not written over, though all of it is acknowledged", () => {
	const { t, pool, c, list } = wide(1);
	write(t, c.index, new Uint8Array(20_000).fill(1), 0, 20_000);
	const [slice] = list() as [number];
	const start = pool.start(slice);
	pool.retain(slice);
	pool.setFlags(slice, P_SENT);
	c.sndNext = 0;
	c.sndNxt = c.sndEnd;
	acknowledge(t, c, (c.sndUna + 5000) | 0, () => {});
	acknowledge(t, c, c.sndEnd, () => {});
	assert.deepEqual([c.sndHead, pool.slabsFree], [0, 0]);
	write(t, c.index, new Uint8Array(30_000).fill(2), 0, 30_000);
	assert.equal(t.counters.noSlab, 1);
	assert.deepEqual(pool.u8.subarray(start, start + 20_000), new Uint8Array(20_000).fill(1));
	pool.release(slice);
	assert.equal(pool.slabsFree, 1);
});

test("a slab that is cut too often still takes acknowledgments", () => {
	const { t, pool, c, list } = wide(1);
	write(t, c.index, new Uint8Array(60_000), 0, 60_000);
	pool.setFlags(c.sndHead, P_SENT);
	c.sndNext = 0;
	c.sndNxt = c.sndEnd;
	for (let page = c.sndHead; splitPage(t, c, page, 100); ) page = pool.next(page);
	assert.equal(list().length, 128);
	const seen: number[] = [];
	acknowledge(t, c, (c.sndUna + 50) | 0, (_t, _c, page) => seen.push(page));
	assert.deepEqual([seen.length, list().length, pool.length(c.sndHead), (c.sndEnd - c.sndUna) | 0], [0, 128, 50, 59_950]);
	acknowledge(t, c, (c.sndUna + 150) | 0, (_t, _c, page) => seen.push(page));
	assert.deepEqual([seen.length, list().length], [2, 126]);
	acknowledge(t, c, (c.sndEnd - 1000) | 0, () => {});
	assert.deepEqual([list().length, pool.length(c.sndHead)], [1, 1000]);
});

test("what windows permit leaves before a reset, also when it is more than a connection may send in one turn", () => {
	const { t, connection } = bareTcp({ sendBuffer: 1 << 20, maxSendBuffer: 1 << 20 }, 2048);
	const c = connection();
	t.table.insert(c.index);
	t.flush();
	const segments = 3 * t.turnSegments + 7;
	c.cwnd = c.sndWnd = segments * c.mss;
	assert.equal(write(t, c.index, new Uint8Array(segments * c.mss), 0, segments * c.mss), segments * c.mss);
	abort(t, c.index);
	assert.equal(t.counters.segmentsOut, segments + 1);
});
