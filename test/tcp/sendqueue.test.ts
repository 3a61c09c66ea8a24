/** The send segment alone, against an array: written, sent, SACKed, deemed lost, cut and acknowledged in any order. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
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
	ownPage,
	pageSpan,
	sendRoom,
	splitPage,
	unmarkLost,
} from "../../src/tcp/sendqueue.ts";
import { C_FIN_PENDING, E_WRITABLE, L_STARVED, P_FIN, P_LOST, P_SACKED, P_SENT } from "../../src/tcp/state.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";

const UNSENT = 0;
const SENT = 1;
const LOST = 2;
const SACKED = 3;

const patternByte = (i: number) => ((i * 31) ^ (i >> 8)) & 255;

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

for (const iss of [0, -3000, 0x7fffff00]) {
	test(`pages hold what the model holds, and the sums are right (first number ${iss})`, () => {
		const step = fc.tuple(fc.constantFrom(...kinds), fc.oneof(fc.nat(30), fc.nat(5000)));
		fc.assert(
			fc.property(fc.array(step, { maxLength: 80, size: "max" }), fc.constantFrom(1448, 100), (steps, mss) => {
				const { t, pool, connection } = bareTcp({ sendBuffer: 20_000, maxSendBuffer: 20_000 }, 80);
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
							const bytes = Uint8Array.from({ length: n }, (_, i) => patternByte(una + model.length + i));
							const room = sendRoom(t, c);
							const taken = enqueue(t, c, bytes, 0, n);
							assert.ok(taken <= Math.min(n, Math.max(room, 0)));
							if (pool.free > t.writeReserve) assert.equal(taken, Math.min(n, Math.max(room, 0)));
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
							// A page that was SACKED was seen then.
							const expected = pages.filter((p) => offset(p) + pageSpan(t, p) <= bytes && (pool.flags(p) & P_SACKED) === 0);
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
							if (own === 0) assert.ok(shared && pool.free === 0);
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
						for (let i = 0; i < pool.length(p); i++) {
							if (pool.u8[start + i] !== patternByte(una + at + i)) assert.fail(`byte ${una + at + i} is wrong`);
						}
						at += pageSpan(t, p);
						assert.equal((state & P_FIN) !== 0, fin && at === model.length);
					}
					assert.equal(at, model.length);
					assert.equal(c.sndNext, unsent);
					assert.equal(c.sndTail, list().at(-1) ?? 0);
					assert.equal((c.sndEnd - c.sndUna) | 0, model.length);
					assert.equal((c.sndUna - iss) | 0, una);
					const count = (state: number) => model.filter((each) => each === state).length;
					assert.equal(c.lost, count(LOST));
					assert.equal(c.sacked, count(SACKED));
					assert.equal(inFlight(c), count(SENT));
				}
				dropSendQueue(t, c);
				for (const p of held) pool.release(p);
				assert.equal(pool.inUse, 0);
			}),
			{ numRuns: 200 },
		);
	});
}

test("the rest of a write that is taken in part waits for an ACK, not for the pool", () => {
	const { t, connection } = bareTcp({ sendBuffer: 8000, maxSendBuffer: 8000 });
	const c = connection();
	const bytes = new Uint8Array(20_000);
	assert.equal(t.write(c.index, bytes, 0, 6999), 6999);
	assert.equal(t.write(c.index, bytes, 0, 5000), 1001);
	assert.equal(sendRoom(t, c), 0);
	assert.equal(c.lists & L_STARVED, 0);
	assert.equal(t.write(c.index, bytes, 0, 5000), 0);
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
		written.push(t.write(c.index, bytes, 0, bytes.length));
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
	assert.equal(t.write(c.index, bytes, 0, bytes.length), 0);
});
