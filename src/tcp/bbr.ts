/**
 * BBR congestion control: a model of the path instead of the search for loss (Cardwell and others, "BBR: Congestion-Based
 * Congestion Control", 2016; draft-ietf-ccwg-bbr).
 *
 * Hides how a rate and a window follow from two figures: the largest delivery rate of the last rounds (rate.ts) and the
 * smallest round-trip time of the last seconds. Their product is what fits the path without a queue. The rate is probed by
 * sending a quarter faster for a round trip and then as much slower, the round-trip time by sending little for a moment.
 *
 * The machine is that of version 1, which takes no rate of loss for congestion: it keeps its throughput where one frame in
 * thirty is lost at random. From the later versions come PROBE_RTT with half of the path's content instead of four segments,
 * every five seconds, and the startup window of twice the content. Loss still counts in two ways: the window gives up what was
 * lost, and for the first round of a recovery no more is sent than is delivered (packet conservation).
 *
 * Without SACK nobody knows what was delivered before all of it was: such connections are left to CUBIC.
 *
 * State: BbrState records, beside the connection records and with the same numbers; `cwnd` and `paceRate` of the connection
 * are set here and nowhere else while C_MODEL is set.
 */
import type { Arena } from "../memory/arena.ts";
import type { Random } from "../time/clock.ts";
import { BBR_STATE_WORDS, BbrState } from "./bbr-state.gen.ts";
import { MAX_WINDOW, type PathModel } from "./congestion.ts";
import type { Connection } from "./connection.gen.ts";
import { cubic } from "./cubic.ts";
import type { Tcp } from "./engine.ts";
import { MAX_RATE, noteAppLimited, noteSent, RateSample } from "./rate.ts";
import type { AckSummary } from "./recovery.ts";
import { inFlight } from "./sendqueue.ts";
import { seqGeq } from "./seq.ts";
import { C_LOSS, C_MODEL, C_RECOVERY, C_SACK, P_RETRANSMITTED } from "./state.ts";

/** Modes, draft 4.3. */
const STARTUP = 0;
const DRAIN = 1;
const PROBE_BW = 2;
const PROBE_RTT = 3;

/** The path is full: STARTUP has been left for good. */
const M_FULL = 1;
/** What is sent now follows an idle time: a round-trip time of it shows an empty queue without PROBE_RTT. */
const M_IDLE_RESTART = 2;
/** PROBE_RTT: a round trip has passed since the flight was small enough. */
const M_PROBED = 4;
/** First round of a recovery. */
const M_CONSERVE = 8;
/** The last ACK left the connection in recovery (fast or after a time-out). */
const M_RECOVERY = 16;
/** A round-trip time was known when the rate was set first. */
const M_RTT = 32;

/** 2 / ln 2: the smallest gain with which the rate doubles each round trip; and the gain that removes the queue in one. */
const STARTUP_GAIN = 2.885;
const DRAIN_GAIN = 1 / STARTUP_GAIN;
/** Windows, in multiples of the path's content: room for delayed and clumped ACKs. */
const WINDOW_GAIN = 2;
const PROBE_RTT_GAIN = 0.5;
/** A gain per phase; each lasts about a round trip. */
const CYCLE: readonly number[] = [1.25, 0.75, 1, 1, 1, 1, 1, 1];
const PROBE_UP = 0;
/** Sent a little below the estimate, so that a queue does not stay for ever. */
const MARGIN = 0.99;
/** Rounds in one of the two windows of the rate filter: a whole cycle, so that each contains a probe. */
const BANDWIDTH_ROUNDS = 8;
/** STARTUP is over after three rounds without growth by a quarter. */
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;
/** Milliseconds. */
const MIN_RTT_WINDOW = 10_000;
const PROBE_RTT_INTERVAL = 5000;
const PROBE_RTT_TIME = 200;
/** What a stamp may lie ahead of an ACK's that waited for its turn, microseconds. */
const AHEAD = 1_000_000;
/** ACK aggregation: rounds in one of two windows, and what it may add to the window at most, microseconds at the estimate. */
const EXTRA_ROUNDS = 5;
const EXTRA_TIME = 100_000;
const MIN_SEGMENTS = 4;
/** Largest burst that the window allows for, bytes. */
const QUANTUM_MOST = 65536;

export class Bbr implements PathModel {
	readonly name = "bbr";
	readonly #s: BbrState;
	readonly #sample = new RateSample();
	readonly #random: Random;

	constructor(arena: Arena, capacity: number, random: Random) {
		this.#s = new BbrState(arena.i32, arena.reserve(capacity * BBR_STATE_WORDS * 4) >> 2);
		this.#random = random;
	}

	start(c: Connection, now: number): void {
		if ((c.flags & C_SACK) === 0) {
			cubic.start(c, now);
			return;
		}
		c.flags |= C_MODEL;
		const s = this.#s.at(c.index);
		s.w.fill(0, s.b, s.b + BBR_STATE_WORDS);
		s.marks = c.srtt === 0 ? 0 : M_RTT;
		s.roundEnd = 1;
		s.epochAt = now;
		c.paceTime = now;
		c.paceRate = firstRate(c);
	}

	// ---- Connections without SACK ---------------------------------------------------------------------------------------------

	acknowledged(c: Connection, acked: number, now: number): void {
		if ((c.flags & C_MODEL) === 0) cubic.acknowledged(c, acked, now);
	}

	sampled(c: Connection, rtt: number): void {
		if ((c.flags & C_MODEL) === 0) cubic.sampled?.(c, rtt);
	}

	unused(c: Connection, now: number): void {
		if ((c.flags & C_MODEL) === 0) cubic.unused?.(c, now);
	}

	idle(c: Connection, time: number, now: number): void {
		if ((c.flags & C_MODEL) === 0) cubic.idle?.(c, time, now);
	}

	// ---- What recovery tells --------------------------------------------------------------------------------------------------

	/** A recovery begins; `ssthresh` stays as it is, there is nothing that it would say. */
	lossDetected(c: Connection, flight: number): void {
		if ((c.flags & C_MODEL) === 0) cubic.lossDetected(c, flight);
		else saveWindow(c, this.#s.at(c.index));
	}

	/** The path may be another one: what STARTUP has found is counted anew, the estimate stays. */
	timedOut(c: Connection, flight: number): void {
		if ((c.flags & C_MODEL) === 0) {
			cubic.timedOut(c, flight);
			return;
		}
		const s = this.#s.at(c.index);
		saveWindow(c, s);
		s.fullBandwidth = 0;
		s.marks = (s.marks | M_RECOVERY) & ~M_CONSERVE;
	}

	undone(c: Connection): void {
		if ((c.flags & C_MODEL) === 0) {
			cubic.undone?.(c);
			return;
		}
		const s = this.#s.at(c.index);
		s.fullBandwidth = 0;
		s.fullRounds = 0;
	}

	// ---- What the model sees --------------------------------------------------------------------------------------------------

	sent(t: Tcp, c: Connection, page: number): void {
		const s = this.#s.at(c.index);
		const fromIdle = page === c.sndHead && (t.pool.flags(page) & P_RETRANSMITTED) === 0;
		if (fromIdle && s.appLimited !== 0) {
			// Restarting from idle (draft, BBRHandleRestartFromIdle): at the rate of the path, neither faster nor slower.
			s.marks |= M_IDLE_RESTART;
			s.epochAt = t.now;
			s.epochAcked = 0;
			if (s.mode === PROBE_BW) setRate(c, s, 1);
			else if (s.mode === PROBE_RTT) this.#maybeLeaveProbeRtt(t, c, s);
		}
		noteSent(t, s, page, fromIdle);
	}

	delivered(t: Tcp, c: Connection, page: number): void {
		this.#sample.take(t, this.#s.at(c.index), page);
	}

	appLimited(c: Connection): void {
		noteAppLimited(c, this.#s.at(c.index));
	}

	acknowledgedAll(t: Tcp, c: Connection, ack: AckSummary, lost: number): void {
		const s = this.#s.at(c.index);
		const sample = this.#sample;
		sample.finish(c, s);
		const acked = ack.acked + ack.sacked;
		const roundStart = sample.valid && seqGeq(sample.priorDelivered, s.roundEnd);
		if (roundStart) {
			s.roundEnd = s.delivered;
			s.rounds++;
			s.marks &= ~M_CONSERVE;
		}
		this.#updateBandwidth(s);
		if (sample.valid) updateExtra(c, s, acked, roundStart);
		if (s.mode === PROBE_BW) this.#updatePhase(c, s, ack, acked, lost);
		this.#checkFull(s, roundStart);
		this.#checkDrain(c, s, ack);
		this.#updateMinRtt(t, c, s, ack, roundStart);
		if (acked > 0) s.marks &= ~M_IDLE_RESTART;
		if ((s.marks & M_RTT) === 0 && c.srtt !== 0) {
			s.marks |= M_RTT;
			c.paceRate = firstRate(c);
		}
		setRate(c, s, pacingGain(s));
		setWindow(c, s, acked, lost);
		sample.clear();
	}

	#updateBandwidth(s: BbrState): void {
		const { rate, appLimited } = this.#sample;
		if (rate === 0 || (appLimited && rate < bandwidth(s))) return;
		if (s.rounds - s.bandwidthRound >= BANDWIDTH_ROUNDS && s.mode === PROBE_BW) {
			s.bandwidthRound = s.rounds;
			s.lastBandwidth = s.bandwidth;
			s.bandwidth = 0;
		}
		if (rate > s.bandwidth) s.bandwidth = rate;
	}

	/** PROBE_BW: goes on to the next gain when this one has had its effect. */
	#updatePhase(c: Connection, s: BbrState, ack: AckSummary, acked: number, lost: number): void {
		const gain = CYCLE[s.phase]!;
		const flight = inFlight(c);
		const time = (ack.time - s.phaseAt) | 0;
		// A phase that began so long ago that it seems to lie ahead has lasted long enough.
		const full = time > s.minRtt || time < -AHEAD;
		let next: boolean;
		// Up: until the flight has really grown by that much, or loss says that it cannot.
		if (gain > 1) next = full && (lost > 0 || flight + acked + lost >= content(c, s, gain));
		// Down: until the queue is gone, at the latest after a round trip.
		else if (gain < 1) next = full || flight <= content(c, s, 1);
		else next = full;
		if (!next) return;
		s.phase = (s.phase + 1) % CYCLE.length;
		s.phaseAt = ack.time;
	}

	#checkFull(s: BbrState, roundStart: boolean): void {
		if ((s.marks & M_FULL) !== 0 || !roundStart || this.#sample.appLimited) return;
		const best = bandwidth(s);
		if (best >= s.fullBandwidth * FULL_GROWTH) {
			s.fullBandwidth = best;
			s.fullRounds = 0;
			return;
		}
		if (++s.fullRounds >= FULL_ROUNDS) s.marks |= M_FULL;
	}

	#checkDrain(c: Connection, s: BbrState, ack: AckSummary): void {
		if (s.mode === STARTUP && (s.marks & M_FULL) !== 0) s.mode = DRAIN;
		if (s.mode === DRAIN && inFlight(c) <= content(c, s, 1)) this.#enterProbeBw(s, ack.time);
	}

	/** Begins the cycle anywhere but going down, so that flows that share a path do not probe together. */
	#enterProbeBw(s: BbrState, now: number): void {
		s.mode = PROBE_BW;
		s.phaseAt = now;
		const at = (this.#random.int32() >>> 0) % (CYCLE.length - 1);
		s.phase = at === 0 ? PROBE_UP : at + 1;
	}

	/** Draft: BBRUpdateMinRTT and BBRCheckProbeRTT. */
	#updateMinRtt(t: Tcp, c: Connection, s: BbrState, ack: AckSummary, roundStart: boolean): void {
		const rtt = ack.lastRtt;
		const due = s.minRtt !== 0 && ((t.tick - s.probedRttTick) | 0) > PROBE_RTT_INTERVAL;
		if (rtt > 0 && (s.probedRtt === 0 || rtt <= s.probedRtt || due)) {
			s.probedRtt = rtt;
			s.probedRttTick = t.tick;
		}
		const old = ((t.tick - s.minRttTick) | 0) > MIN_RTT_WINDOW;
		if (s.probedRtt !== 0 && (s.minRtt === 0 || s.probedRtt <= s.minRtt || old)) {
			s.minRtt = s.probedRtt;
			s.minRttTick = s.probedRttTick;
		}
		if (due && s.mode !== PROBE_RTT && (s.marks & M_IDLE_RESTART) === 0) {
			saveWindow(c, s);
			s.mode = PROBE_RTT;
			s.probeRttEnd = 0;
		}
		if (s.mode !== PROBE_RTT) return;
		// A flight kept small on purpose says nothing of the rate.
		noteAppLimited(c, s);
		if (s.probeRttEnd === 0) {
			if (inFlight(c) > probeRttWindow(c, s)) return;
			s.probeRttEnd = (t.tick + PROBE_RTT_TIME) | 0 || 1;
			s.marks &= ~M_PROBED;
			s.roundEnd = s.delivered;
			return;
		}
		if (roundStart) s.marks |= M_PROBED;
		if ((s.marks & M_PROBED) !== 0) this.#maybeLeaveProbeRtt(t, c, s);
	}

	#maybeLeaveProbeRtt(t: Tcp, c: Connection, s: BbrState): void {
		if (s.probeRttEnd === 0 || ((t.tick - s.probeRttEnd) | 0) < 0) return;
		s.probedRttTick = t.tick;
		c.cwnd = Math.max(c.cwnd, s.priorCwnd);
		if ((s.marks & M_FULL) !== 0) this.#enterProbeBw(s, t.now);
		else s.mode = STARTUP;
	}
}

function bandwidth(s: BbrState): number {
	return Math.max(s.bandwidth, s.lastBandwidth);
}

/** Before anything is known: the initial window in a round trip, or in a millisecond if that is not known either. */
function firstRate(c: Connection): number {
	return Math.min(MAX_RATE, Math.floor((STARTUP_GAIN * c.cwnd * 1e6) / (c.srtt || 1000)));
}

function pacingGain(s: BbrState): number {
	if (s.mode === STARTUP) return STARTUP_GAIN;
	if (s.mode === DRAIN) return DRAIN_GAIN;
	return s.mode === PROBE_BW ? CYCLE[s.phase]! : 1;
}

function setRate(c: Connection, s: BbrState, gain: number): void {
	const rate = Math.min(MAX_RATE, Math.floor(gain * MARGIN * bandwidth(s)));
	// Until the path is full a sample can only be too small.
	if (rate > 0 && ((s.marks & M_FULL) !== 0 || rate > c.paceRate)) c.paceRate = rate;
}

/** Burst of pacing: a millisecond's worth, at least two segments. */
function quantum(c: Connection): number {
	return Math.max(2 * c.mss, Math.min(c.paceRate / 1000, QUANTUM_MOST));
}

/** What the path holds without a queue, times `gain`, with room for a few bursts (draft: BBRInflight). */
function content(c: Connection, s: BbrState, gain: number): number {
	if (s.minRtt === 0) return Math.max(c.cwnd, MIN_SEGMENTS * c.mss);
	const bytes = Math.max((gain * bandwidth(s) * s.minRtt) / 1e6, 3 * quantum(c), MIN_SEGMENTS * c.mss);
	// Going up must also show where the content is but a few segments.
	return Math.min(MAX_WINDOW, Math.floor(s.mode === PROBE_BW && s.phase === PROBE_UP ? bytes + 2 * c.mss : bytes));
}

function probeRttWindow(c: Connection, s: BbrState): number {
	return Math.max(Math.floor((PROBE_RTT_GAIN * bandwidth(s) * s.minRtt) / 1e6), MIN_SEGMENTS * c.mss);
}

/** Remembers the window for when recovery or PROBE_RTT is over; a window that one of them has set is not it. */
function saveWindow(c: Connection, s: BbrState): void {
	s.priorCwnd = (s.marks & M_RECOVERY) === 0 && s.mode !== PROBE_RTT ? c.cwnd : Math.max(s.priorCwnd, c.cwnd);
}

/** How far ACKs come in clumps: bytes acknowledged beyond what the estimate explains. Without room for them the path runs empty in between. */
function updateExtra(c: Connection, s: BbrState, acked: number, roundStart: boolean): void {
	if (roundStart && s.rounds - s.extraRound >= EXTRA_ROUNDS) {
		s.extraRound = s.rounds;
		s.lastExtra = s.extra;
		s.extra = 0;
	}
	let expected = (bandwidth(s) * Math.max(0, (s.deliveredAt - s.epochAt) | 0)) / 1e6;
	if (s.epochAcked <= expected || s.epochAcked >= 1 << 30) {
		s.epochAcked = 0;
		s.epochAt = s.deliveredAt;
		expected = 0;
	}
	s.epochAcked += acked;
	const extra = Math.min(Math.floor(s.epochAcked - expected), c.cwnd);
	if (extra > s.extra) s.extra = extra;
}

function setWindow(c: Connection, s: BbrState, acked: number, lost: number): void {
	let window = c.cwnd;
	const recovery = (c.flags & (C_RECOVERY | C_LOSS)) !== 0;
	if (acked > 0) {
		if (lost > 0) window = Math.max(window - lost, c.mss);
		if (recovery && (s.marks & M_RECOVERY) === 0) {
			// First round of fast recovery: as much leaves as arrives.
			if ((c.flags & C_RECOVERY) !== 0) {
				s.marks |= M_CONSERVE;
				s.roundEnd = s.delivered;
				window = inFlight(c) + acked;
			}
			s.marks |= M_RECOVERY;
		} else if (!recovery && (s.marks & M_RECOVERY) !== 0) {
			s.marks &= ~(M_RECOVERY | M_CONSERVE);
			window = Math.max(window, s.priorCwnd);
		}
		if ((s.marks & M_CONSERVE) !== 0) window = Math.max(window, inFlight(c) + acked);
		else {
			const room = Math.min(Math.max(s.extra, s.lastExtra), (bandwidth(s) * EXTRA_TIME) / 1e6);
			const full = (s.marks & M_FULL) !== 0;
			const target = content(c, s, full ? WINDOW_GAIN : STARTUP_GAIN) + (full ? Math.floor(room) : 0);
			if (full) window = Math.min(window + acked, target);
			else if (window < target || s.bandwidth === 0) window += acked;
		}
	}
	window = Math.max(window, MIN_SEGMENTS * c.mss);
	if (s.mode === PROBE_RTT) window = Math.min(window, probeRttWindow(c, s));
	c.cwnd = Math.min(window, MAX_WINDOW);
}
