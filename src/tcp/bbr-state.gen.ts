// Written by scripts/records.mjs from scripts/records/bbr.mjs; change it there.

/** Words (of 4 bytes) of one BbrState record. */
export const BBR_STATE_WORDS = 32;

/** BBR's model of the path of one connection (draft-ietf-ccwg-bbr). Point it at a record with `at`; one instance serves all records. */
export class BbrState {
	/** The arena as words. */
	readonly w: Int32Array;
	/** Word offset of record 0. */
	readonly base: number;
	/** Number of the record that this is pointed at. */
	index = 0;
	/** Word offset of that record. */
	b = 0;

	constructor(words: Int32Array, base: number) {
		this.w = words;
		this.base = base;
		this.b = base;
	}

	at(index: number): this {
		this.index = index;
		this.b = this.base + index * 32;
		return this;
	}

	/** delivery rate: bytes delivered so far */
	get delivered(): number {
		return this.w[this.b + 0]!;
	}
	set delivered(value: number) {
		this.w[this.b + 0] = value;
	}

	/** delivery rate: when that was counted last */
	get deliveredAt(): number {
		return this.w[this.b + 1]!;
	}
	set deliveredAt(value: number) {
		this.w[this.b + 1] = value;
	}

	/** delivery rate: send time of the page that was delivered last */
	get firstSentAt(): number {
		return this.w[this.b + 2]!;
	}
	set firstSentAt(value: number) {
		this.w[this.b + 2] = value;
	}

	/** delivery rate: samples say nothing until `delivered` has passed this; 0: they do */
	get appLimited(): number {
		return this.w[this.b + 3]!;
	}
	set appLimited(value: number) {
		this.w[this.b + 3] = value;
	}

	/** STARTUP, DRAIN, PROBE_BW or PROBE_RTT */
	get mode(): number {
		return this.w[this.b + 4]!;
	}
	set mode(value: number) {
		this.w[this.b + 4] = value;
	}

	/** bits, see the M_ constants in bbr.ts */
	get marks(): number {
		return this.w[this.b + 5]!;
	}
	set marks(value: number) {
		this.w[this.b + 5] = value;
	}

	/** a round trip is over when a page is delivered that was sent at this count of `delivered` or later */
	get roundEnd(): number {
		return this.w[this.b + 6]!;
	}
	set roundEnd(value: number) {
		this.w[this.b + 6] = value;
	}

	/** round trips so far */
	get rounds(): number {
		return this.w[this.b + 7]!;
	}
	set rounds(value: number) {
		this.w[this.b + 7] = value;
	}

	/** largest rate sample of the present window of rounds */
	get bandwidth(): number {
		return this.w[this.b + 8]!;
	}
	set bandwidth(value: number) {
		this.w[this.b + 8] = value;
	}

	/** largest rate sample of the window before */
	get lastBandwidth(): number {
		return this.w[this.b + 9]!;
	}
	set lastBandwidth(value: number) {
		this.w[this.b + 9] = value;
	}

	/** round in which the present window began */
	get bandwidthRound(): number {
		return this.w[this.b + 10]!;
	}
	set bandwidthRound(value: number) {
		this.w[this.b + 10] = value;
	}

	/** smallest round-trip time of the last ten seconds; 0 before the first */
	get minRtt(): number {
		return this.w[this.b + 11]!;
	}
	set minRtt(value: number) {
		this.w[this.b + 11] = value;
	}

	/** when it was seen (ms) */
	get minRttTick(): number {
		return this.w[this.b + 12]!;
	}
	set minRttTick(value: number) {
		this.w[this.b + 12] = value;
	}

	/** smallest round-trip time since the queue was last known to be empty */
	get probedRtt(): number {
		return this.w[this.b + 13]!;
	}
	set probedRtt(value: number) {
		this.w[this.b + 13] = value;
	}

	/** when it was seen (ms) */
	get probedRttTick(): number {
		return this.w[this.b + 14]!;
	}
	set probedRttTick(value: number) {
		this.w[this.b + 14] = value;
	}

	/** PROBE_RTT: when it may end (ms); 0 while too much is in flight */
	get probeRttEnd(): number {
		return this.w[this.b + 15]!;
	}
	set probeRttEnd(value: number) {
		this.w[this.b + 15] = value;
	}

	/** window before recovery or PROBE_RTT */
	get priorCwnd(): number {
		return this.w[this.b + 16]!;
	}
	set priorCwnd(value: number) {
		this.w[this.b + 16] = value;
	}

	/** STARTUP: rate from which growth is counted */
	get fullBandwidth(): number {
		return this.w[this.b + 17]!;
	}
	set fullBandwidth(value: number) {
		this.w[this.b + 17] = value;
	}

	/** STARTUP: rounds without such growth */
	get fullRounds(): number {
		return this.w[this.b + 18]!;
	}
	set fullRounds(value: number) {
		this.w[this.b + 18] = value;
	}

	/** PROBE_BW: index into the cycle of gains */
	get phase(): number {
		return this.w[this.b + 19]!;
	}
	set phase(value: number) {
		this.w[this.b + 19] = value;
	}

	/** PROBE_BW: when the phase began */
	get phaseAt(): number {
		return this.w[this.b + 20]!;
	}
	set phaseAt(value: number) {
		this.w[this.b + 20] = value;
	}

	/** most bytes acknowledged beyond the estimate, in the present five rounds */
	get extra(): number {
		return this.w[this.b + 21]!;
	}
	set extra(value: number) {
		this.w[this.b + 21] = value;
	}

	/** and in those before */
	get lastExtra(): number {
		return this.w[this.b + 22]!;
	}
	set lastExtra(value: number) {
		this.w[this.b + 22] = value;
	}

	/** round in which the present ones began */
	get extraRound(): number {
		return this.w[this.b + 23]!;
	}
	set extraRound(value: number) {
		this.w[this.b + 23] = value;
	}

	/** when acknowledgments were last no faster than the estimate */
	get epochAt(): number {
		return this.w[this.b + 24]!;
	}
	set epochAt(value: number) {
		this.w[this.b + 24] = value;
	}

	/** bytes acknowledged since */
	get epochAcked(): number {
		return this.w[this.b + 25]!;
	}
	set epochAcked(value: number) {
		this.w[this.b + 25] = value;
	}
}
