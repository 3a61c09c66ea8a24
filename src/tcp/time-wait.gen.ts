// Written by scripts/records.mjs from scripts/records/time-wait.mjs; change it there.

/** Words (of 4 bytes) of one TimeWait record. */
export const TIME_WAIT_WORDS = 20;

/** A connection in TIME-WAIT: just what is needed to acknowledge a retransmitted FIN and to judge a new SYN (RFC 6191). Point it at a record with `at`; one instance serves all records. */
export class TimeWait {
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
		this.b = this.base + index * 20;
		return this;
	}

	/** counts the uses of this record */
	get generation(): number {
		return this.w[this.b + 0]!;
	}
	set generation(value: number) {
		this.w[this.b + 0] = value;
	}

	/** next in the same hash bucket, or the free list */
	get hashNext(): number {
		return this.w[this.b + 1]!;
	}
	set hashNext(value: number) {
		this.w[this.b + 1] = value;
	}

	get localPort(): number {
		return this.w[this.b + 2]!;
	}
	set localPort(value: number) {
		this.w[this.b + 2] = value;
	}

	get remotePort(): number {
		return this.w[this.b + 3]!;
	}
	set remotePort(value: number) {
		this.w[this.b + 3] = value;
	}

	get local0(): number {
		return this.w[this.b + 4]!;
	}
	set local0(value: number) {
		this.w[this.b + 4] = value;
	}

	get local1(): number {
		return this.w[this.b + 5]!;
	}
	set local1(value: number) {
		this.w[this.b + 5] = value;
	}

	get local2(): number {
		return this.w[this.b + 6]!;
	}
	set local2(value: number) {
		this.w[this.b + 6] = value;
	}

	get local3(): number {
		return this.w[this.b + 7]!;
	}
	set local3(value: number) {
		this.w[this.b + 7] = value;
	}

	get remote0(): number {
		return this.w[this.b + 8]!;
	}
	set remote0(value: number) {
		this.w[this.b + 8] = value;
	}

	get remote1(): number {
		return this.w[this.b + 9]!;
	}
	set remote1(value: number) {
		this.w[this.b + 9] = value;
	}

	get remote2(): number {
		return this.w[this.b + 10]!;
	}
	set remote2(value: number) {
		this.w[this.b + 10] = value;
	}

	get remote3(): number {
		return this.w[this.b + 11]!;
	}
	set remote3(value: number) {
		this.w[this.b + 11] = value;
	}

	get sndNxt(): number {
		return this.w[this.b + 12]!;
	}
	set sndNxt(value: number) {
		this.w[this.b + 12] = value;
	}

	get rcvNxt(): number {
		return this.w[this.b + 13]!;
	}
	set rcvNxt(value: number) {
		this.w[this.b + 13] = value;
	}

	/** RFC 7323 4.3; meaningful when tsOffset is not 0 */
	get tsRecent(): number {
		return this.w[this.b + 14]!;
	}
	set tsRecent(value: number) {
		this.w[this.b + 14] = value;
	}

	/** 0 when the connection had no timestamps */
	get tsOffset(): number {
		return this.w[this.b + 15]!;
	}
	set tsOffset(value: number) {
		this.w[this.b + 15] = value;
	}

	/** tick (ms) at which it is forgotten */
	get expires(): number {
		return this.w[this.b + 16]!;
	}
	set expires(value: number) {
		this.w[this.b + 16] = value;
	}

	/** next to expire */
	get fifoNext(): number {
		return this.w[this.b + 17]!;
	}
	set fifoNext(value: number) {
		this.w[this.b + 17] = value;
	}

	/** the one to expire before it */
	get fifoPrev(): number {
		return this.w[this.b + 18]!;
	}
	set fifoPrev(value: number) {
		this.w[this.b + 18] = value;
	}
}

/** Word offsets in a TimeWait record, for code that keeps lists through records. */
export const timeWaitOffset = {
	generation: 0,
	hashNext: 1,
	localPort: 2,
	remotePort: 3,
	local0: 4,
	local1: 5,
	local2: 6,
	local3: 7,
	remote0: 8,
	remote1: 9,
	remote2: 10,
	remote3: 11,
	sndNxt: 12,
	rcvNxt: 13,
	tsRecent: 14,
	tsOffset: 15,
	expires: 16,
	fifoNext: 17,
	fifoPrev: 18,
} as const;
