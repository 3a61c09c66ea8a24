/**
 * Delivery rate estimation: how fast the path delivered the latest flight (draft-cheng-iccrg-delivery-rate-estimation).
 *
 * Hides that ACKs come in clumps. Each page notes, when it leaves, how much had been delivered by then and when; when it is
 * delivered, the bytes delivered since over the time since are a rate. The time is the longer of what sending and what
 * acknowledging took, so neither a burst of ours nor a compressed row of ACKs looks like bandwidth. Samples of a flight that
 * the application did not fill are marked: they are a lower bound only.
 *
 * The notes are in the first 16 bytes of the page: headers never reach so far down (HEADROOM is 128, all headers together
 * less than 112), and they cost nothing when no algorithm asks for them. What the connection knows is in BbrState.
 */
import type { PagePool } from "../memory/pages.ts";
import type { BbrState } from "./bbr-state.gen.ts";
import type { Connection } from "./connection.gen.ts";
import type { Tcp } from "./engine.ts";
import { inFlight, pageSpan } from "./sendqueue.ts";
import { seqGt } from "./seq.ts";

const DELIVERED = 0;
const DELIVERED_AT = 1;
const FIRST_SENT_AT = 2;
const APP_LIMITED = 3;
const NOTE_WORDS = 4;

/** Largest rate that a word holds. */
export const MAX_RATE = 0x7fffffff;

/** What the pages delivered by the ACK in hand say; one object per engine. */
export class RateSample {
	/** Some page has been delivered. */
	valid = false;
	/** `delivered` when the latest of these pages left, and the time of that count. */
	priorDelivered = 0;
	priorTime = 0;
	/** The flight was not filled by the application. */
	appLimited = false;
	/** Bytes a second; 0: no sample. */
	rate = 0;
	sendElapsed = 0;
	#sentAt = 0;
	#end = 0;

	clear(): void {
		this.valid = false;
		this.rate = 0;
	}

	/** A page was delivered. */
	take(t: Tcp, s: BbrState, page: number): void {
		const pool = t.pool;
		const span = pageSpan(t, page);
		s.delivered = (s.delivered + span) | 0;
		s.deliveredAt = t.ack.time;
		const sentAt = pool.time(page);
		const end = (pool.seq(page) + span) | 0;
		// The page that was sent last tells most.
		if (this.valid) {
			const later = (sentAt - this.#sentAt) | 0;
			if (later < 0 || (later === 0 && !seqGt(end, this.#end))) return;
		}
		const w = pool.arena.i32;
		const note = pool.address(page) >> 2;
		this.valid = true;
		this.#sentAt = sentAt;
		this.#end = end;
		this.priorDelivered = w[note + DELIVERED]!;
		this.priorTime = w[note + DELIVERED_AT]!;
		this.appLimited = w[note + APP_LIMITED] !== 0;
		this.sendElapsed = (sentAt - w[note + FIRST_SENT_AT]!) | 0;
		s.firstSentAt = sentAt;
	}

	/** All pages of the ACK were taken: works out the rate. */
	finish(c: Connection, s: BbrState): void {
		this.rate = 0;
		if (s.appLimited !== 0 && seqGt(s.delivered, s.appLimited)) s.appLimited = 0;
		if (!this.valid) return;
		const interval = Math.max(this.sendElapsed, (s.deliveredAt - this.priorTime) | 0);
		// Nothing is delivered in less than a round trip: such a sample is of a page that was repeated needlessly.
		if (interval <= 0 || interval < c.minRtt) return;
		this.rate = Math.min(MAX_RATE, Math.floor((((s.delivered - this.priorDelivered) >>> 0) * 1e6) / interval));
	}
}

/** A page leaves: it notes what has been delivered. */
export function noteSent(t: Tcp, s: BbrState, page: number, fromIdle: boolean): void {
	if (fromIdle) {
		s.firstSentAt = t.now;
		s.deliveredAt = t.now;
	}
	const w = t.pool.arena.i32;
	const note = t.pool.address(page) >> 2;
	w[note + DELIVERED] = s.delivered;
	w[note + DELIVERED_AT] = s.deliveredAt;
	w[note + FIRST_SENT_AT] = s.firstSentAt;
	w[note + APP_LIMITED] = s.appLimited;
}

/** The application has nothing more to send: what is in flight from now on does not fill the path. */
export function noteAppLimited(c: Connection, s: BbrState): void {
	s.appLimited = (s.delivered + inFlight(c)) | 0 || 1;
}

/** Takes a page's notes over to the page that replaces or continues it. */
export function carryNote(pool: PagePool, from: number, to: number): void {
	const source = pool.address(from) >> 2;
	pool.arena.i32.copyWithin(pool.address(to) >> 2, source, source + NOTE_WORDS);
}
