// Written by scripts/records.mjs from scripts/records/connection.mjs; change it there.

/** Words (of 4 bytes) of one Connection record. */
export const CONNECTION_WORDS = 96;

/** A TCP connection (RFC 9293 3.3.1 and the RFCs named at each word), read and written in place. Point it at a record with `at`; one instance serves all records. */
export class Connection {
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
		this.b = this.base + index * 96;
		return this;
	}

	/** one of the State constants */
	get state(): number {
		return this.w[this.b + 0]!;
	}
	set state(value: number) {
		this.w[this.b + 0] = value;
	}

	/** bits, see the C_ constants in state.ts */
	get flags(): number {
		return this.w[this.b + 1]!;
	}
	set flags(value: number) {
		this.w[this.b + 1] = value;
	}

	/** RFC 9293: oldest unacknowledged sequence number */
	get sndUna(): number {
		return this.w[this.b + 2]!;
	}
	set sndUna(value: number) {
		this.w[this.b + 2] = value;
	}

	/** RFC 9293: next sequence number to be sent; retransmission never moves it back */
	get sndNxt(): number {
		return this.w[this.b + 3]!;
	}
	set sndNxt(value: number) {
		this.w[this.b + 3] = value;
	}

	/** RFC 9293: send window in bytes, already scaled */
	get sndWnd(): number {
		return this.w[this.b + 4]!;
	}
	set sndWnd(value: number) {
		this.w[this.b + 4] = value;
	}

	/** RFC 9293: next sequence number expected */
	get rcvNxt(): number {
		return this.w[this.b + 5]!;
	}
	set rcvNxt(value: number) {
		this.w[this.b + 5] = value;
	}

	/** right edge of the receive window that is honoured: the farthest ever advertised; never moves left (RFC 9293 3.8.6) */
	get rcvAdv(): number {
		return this.w[this.b + 6]!;
	}
	set rcvAdv(value: number) {
		this.w[this.b + 6] = value;
	}

	/** RFC 7323 4.3: the timestamp to echo */
	get tsRecent(): number {
		return this.w[this.b + 7]!;
	}
	set tsRecent(value: number) {
		this.w[this.b + 7] = value;
	}

	/** RFC 7323 4.3: Last.ACK.sent */
	get lastAckSent(): number {
		return this.w[this.b + 8]!;
	}
	set lastAckSent(value: number) {
		this.w[this.b + 8] = value;
	}

	/** first page of the send segment (oldest unacknowledged) */
	get sndHead(): number {
		return this.w[this.b + 9]!;
	}
	set sndHead(value: number) {
		this.w[this.b + 9] = value;
	}

	/** first page of the send segment that was never sent */
	get sndNext(): number {
		return this.w[this.b + 10]!;
	}
	set sndNext(value: number) {
		this.w[this.b + 10] = value;
	}

	/** last page of the send segment */
	get sndTail(): number {
		return this.w[this.b + 11]!;
	}
	set sndTail(value: number) {
		this.w[this.b + 11] = value;
	}

	/** first page of the receive segment (in order, not read yet) */
	get rcvHead(): number {
		return this.w[this.b + 12]!;
	}
	set rcvHead(value: number) {
		this.w[this.b + 12] = value;
	}

	/** last page of the receive segment */
	get rcvTail(): number {
		return this.w[this.b + 13]!;
	}
	set rcvTail(value: number) {
		this.w[this.b + 13] = value;
	}

	/** bytes in the receive segment */
	get rcvBytes(): number {
		return this.w[this.b + 14]!;
	}
	set rcvBytes(value: number) {
		this.w[this.b + 14] = value;
	}

	/** largest payload sent in one segment, options already taken off */
	get mss(): number {
		return this.w[this.b + 15]!;
	}
	set mss(value: number) {
		this.w[this.b + 15] = value;
	}

	/** counts the uses of this record; a handle is good only while its generation matches */
	get generation(): number {
		return this.w[this.b + 16]!;
	}
	set generation(value: number) {
		this.w[this.b + 16] = value;
	}

	/** next connection in the same hash bucket, or the free list */
	get hashNext(): number {
		return this.w[this.b + 17]!;
	}
	set hashNext(value: number) {
		this.w[this.b + 17] = value;
	}

	get localPort(): number {
		return this.w[this.b + 18]!;
	}
	set localPort(value: number) {
		this.w[this.b + 18] = value;
	}

	get remotePort(): number {
		return this.w[this.b + 19]!;
	}
	set remotePort(value: number) {
		this.w[this.b + 19] = value;
	}

	/** local address, most significant word first (IPv4 is IPv4-mapped) */
	get local0(): number {
		return this.w[this.b + 20]!;
	}
	set local0(value: number) {
		this.w[this.b + 20] = value;
	}

	get local1(): number {
		return this.w[this.b + 21]!;
	}
	set local1(value: number) {
		this.w[this.b + 21] = value;
	}

	get local2(): number {
		return this.w[this.b + 22]!;
	}
	set local2(value: number) {
		this.w[this.b + 22] = value;
	}

	get local3(): number {
		return this.w[this.b + 23]!;
	}
	set local3(value: number) {
		this.w[this.b + 23] = value;
	}

	/** remote address */
	get remote0(): number {
		return this.w[this.b + 24]!;
	}
	set remote0(value: number) {
		this.w[this.b + 24] = value;
	}

	get remote1(): number {
		return this.w[this.b + 25]!;
	}
	set remote1(value: number) {
		this.w[this.b + 25] = value;
	}

	get remote2(): number {
		return this.w[this.b + 26]!;
	}
	set remote2(value: number) {
		this.w[this.b + 26] = value;
	}

	get remote3(): number {
		return this.w[this.b + 27]!;
	}
	set remote3(value: number) {
		this.w[this.b + 27] = value;
	}

	/** sequence number after the last byte (or FIN) in the send segment */
	get sndEnd(): number {
		return this.w[this.b + 28]!;
	}
	set sndEnd(value: number) {
		this.w[this.b + 28] = value;
	}

	/** RFC 9293: segment sequence number used for the last window update */
	get sndWl1(): number {
		return this.w[this.b + 29]!;
	}
	set sndWl1(value: number) {
		this.w[this.b + 29] = value;
	}

	/** RFC 9293: acknowledgment number used for the last window update */
	get sndWl2(): number {
		return this.w[this.b + 30]!;
	}
	set sndWl2(value: number) {
		this.w[this.b + 30] = value;
	}

	/** largest send window seen, for silly-window avoidance (RFC 9293 3.8.6.2.1) */
	get sndWndMax(): number {
		return this.w[this.b + 31]!;
	}
	set sndWndMax(value: number) {
		this.w[this.b + 31] = value;
	}

	/** initial send sequence number */
	get iss(): number {
		return this.w[this.b + 32]!;
	}
	set iss(value: number) {
		this.w[this.b + 32] = value;
	}

	/** initial receive sequence number */
	get irs(): number {
		return this.w[this.b + 33]!;
	}
	set irs(value: number) {
		this.w[this.b + 33] = value;
	}

	/** RFC 7323: shift of windows that we receive */
	get sndScale(): number {
		return this.w[this.b + 34]!;
	}
	set sndScale(value: number) {
		this.w[this.b + 34] = value;
	}

	/** RFC 7323: shift of windows that we send */
	get rcvScale(): number {
		return this.w[this.b + 35]!;
	}
	set rcvScale(value: number) {
		this.w[this.b + 35] = value;
	}

	/** MSS option of the peer */
	get peerMss(): number {
		return this.w[this.b + 36]!;
	}
	set peerMss(value: number) {
		this.w[this.b + 36] = value;
	}

	/** added to the clock for TSval, so that it tells nothing of other connections (RFC 7323 5.4) */
	get tsOffset(): number {
		return this.w[this.b + 37]!;
	}
	set tsOffset(value: number) {
		this.w[this.b + 37] = value;
	}

	/** RFC 6298: smoothed round-trip time, microseconds; 0 before the first sample */
	get srtt(): number {
		return this.w[this.b + 38]!;
	}
	set srtt(value: number) {
		this.w[this.b + 38] = value;
	}

	/** RFC 6298: variation, microseconds */
	get rttVar(): number {
		return this.w[this.b + 39]!;
	}
	set rttVar(value: number) {
		this.w[this.b + 39] = value;
	}

	/** RFC 6298: time-out, microseconds, before back-off */
	get rto(): number {
		return this.w[this.b + 40]!;
	}
	set rto(value: number) {
		this.w[this.b + 40] = value;
	}

	/** RFC 8985: smallest round-trip time seen, microseconds */
	get minRtt(): number {
		return this.w[this.b + 41]!;
	}
	set minRtt(value: number) {
		this.w[this.b + 41] = value;
	}

	/** bytes SACKed above sndUna */
	get sacked(): number {
		return this.w[this.b + 42]!;
	}
	set sacked(value: number) {
		this.w[this.b + 42] = value;
	}

	/** bytes deemed lost and not sent again yet */
	get lost(): number {
		return this.w[this.b + 43]!;
	}
	set lost(value: number) {
		this.w[this.b + 43] = value;
	}

	/** RFC 5681: congestion window, bytes */
	get cwnd(): number {
		return this.w[this.b + 44]!;
	}
	set cwnd(value: number) {
		this.w[this.b + 44] = value;
	}

	/** RFC 5681: slow-start threshold, bytes */
	get ssthresh(): number {
		return this.w[this.b + 45]!;
	}
	set ssthresh(value: number) {
		this.w[this.b + 45] = value;
	}

	/** RFC 6582, 6675: recovery ends when this is acknowledged; 0: there was none */
	get recover(): number {
		return this.w[this.b + 46]!;
	}
	set recover(value: number) {
		this.w[this.b + 46] = value;
	}

	/** RFC 8985: send time of the most recently sent segment that was delivered, microseconds; that of the SYN, before there is one */
	get rackTime(): number {
		return this.w[this.b + 47]!;
	}
	set rackTime(value: number) {
		this.w[this.b + 47] = value;
	}

	/** RFC 8985: end sequence number of that segment */
	get rackEnd(): number {
		return this.w[this.b + 48]!;
	}
	set rackEnd(value: number) {
		this.w[this.b + 48] = value;
	}

	/** RFC 8985: its round-trip time, microseconds */
	get rackRtt(): number {
		return this.w[this.b + 49]!;
	}
	set rackRtt(value: number) {
		this.w[this.b + 49] = value;
	}

	/** RFC 8985: highest sequence number delivered */
	get rackFack(): number {
		return this.w[this.b + 50]!;
	}
	set rackFack(value: number) {
		this.w[this.b + 50] = value;
	}

	/** RFC 8985: low byte reo_wnd_mult, next byte recoveries left before it is reset */
	get rackWindow(): number {
		return this.w[this.b + 51]!;
	}
	set rackWindow(value: number) {
		this.w[this.b + 51] = value;
	}

	/** RFC 8985: sndNxt at the last DSACK round */
	get rackDsack(): number {
		return this.w[this.b + 52]!;
	}
	set rackDsack(value: number) {
		this.w[this.b + 52] = value;
	}

	/** RFC 8985 7: end of the tail loss probe, 0 when none is out */
	get tlpEnd(): number {
		return this.w[this.b + 53]!;
	}
	set tlpEnd(value: number) {
		this.w[this.b + 53] = value;
	}

	/** RFC 6937: bytes delivered in this recovery; NewReno: bytes of window inflation */
	get prrDelivered(): number {
		return this.w[this.b + 54]!;
	}
	set prrDelivered(value: number) {
		this.w[this.b + 54] = value;
	}

	/** RFC 6937: bytes sent in this recovery */
	get prrOut(): number {
		return this.w[this.b + 55]!;
	}
	set prrOut(value: number) {
		this.w[this.b + 55] = value;
	}

	/** RFC 6937: RecoverFS; before recovery, while a tail loss probe is out that repeated old data: when it left, microseconds */
	get prrFlight(): number {
		return this.w[this.b + 56]!;
	}
	set prrFlight(value: number) {
		this.w[this.b + 56] = value;
	}

	/** congestion window before the last reduction, 0 when there is nothing to undo */
	get undoCwnd(): number {
		return this.w[this.b + 57]!;
	}
	set undoCwnd(value: number) {
		this.w[this.b + 57] = value;
	}

	/** slow-start threshold before the last reduction */
	get undoSsthresh(): number {
		return this.w[this.b + 58]!;
	}
	set undoSsthresh(value: number) {
		this.w[this.b + 58] = value;
	}

	/** RFC 4015: TSval of the first retransmission */
	get undoTs(): number {
		return this.w[this.b + 59]!;
	}
	set undoTs(value: number) {
		this.w[this.b + 59] = value;
	}

	/** end sequence number of the segment that it repeated */
	get undoEnd(): number {
		return this.w[this.b + 60]!;
	}
	set undoEnd(value: number) {
		this.w[this.b + 60] = value;
	}

	/** congestion control's own words */
	get cc0(): number {
		return this.w[this.b + 61]!;
	}
	set cc0(value: number) {
		this.w[this.b + 61] = value;
	}

	get cc1(): number {
		return this.w[this.b + 62]!;
	}
	set cc1(value: number) {
		this.w[this.b + 62] = value;
	}

	get cc2(): number {
		return this.w[this.b + 63]!;
	}
	set cc2(value: number) {
		this.w[this.b + 63] = value;
	}

	get cc3(): number {
		return this.w[this.b + 64]!;
	}
	set cc3(value: number) {
		this.w[this.b + 64] = value;
	}

	get cc4(): number {
		return this.w[this.b + 65]!;
	}
	set cc4(value: number) {
		this.w[this.b + 65] = value;
	}

	/** first page of the out-of-order list, sorted by sequence number */
	get oooHead(): number {
		return this.w[this.b + 66]!;
	}
	set oooHead(value: number) {
		this.w[this.b + 66] = value;
	}

	/** first page of the last run of that list */
	get oooTail(): number {
		return this.w[this.b + 67]!;
	}
	set oooTail(value: number) {
		this.w[this.b + 67] = value;
	}

	/** low 21 bits: pages of that list; then its runs without a hole */
	get oooCount(): number {
		return this.w[this.b + 68]!;
	}
	set oooCount(value: number) {
		this.w[this.b + 68] = value;
	}

	/** sequence number in the block that arrived last: the first SACK block (RFC 2018 4) */
	get oooLast(): number {
		return this.w[this.b + 69]!;
	}
	set oooLast(value: number) {
		this.w[this.b + 69] = value;
	}

	/** sequence number in the block that arrived before it, when that was another one */
	get oooBefore(): number {
		return this.w[this.b + 70]!;
	}
	set oooBefore(value: number) {
		this.w[this.b + 70] = value;
	}

	/** RFC 2883: duplicate range to report in the next ACK */
	get dsackStart(): number {
		return this.w[this.b + 71]!;
	}
	set dsackStart(value: number) {
		this.w[this.b + 71] = value;
	}

	/** equal to dsackStart when there is none */
	get dsackEnd(): number {
		return this.w[this.b + 72]!;
	}
	set dsackEnd(value: number) {
		this.w[this.b + 72] = value;
	}

	/** limit of the receive segment in bytes */
	get rcvBuf(): number {
		return this.w[this.b + 73]!;
	}
	set rcvBuf(value: number) {
		this.w[this.b + 73] = value;
	}

	/** receive buffer tuning: start of the current measuring interval, microseconds */
	get rcvRttStart(): number {
		return this.w[this.b + 74]!;
	}
	set rcvRttStart(value: number) {
		this.w[this.b + 74] = value;
	}

	/** receive buffer tuning: bytes read by the application in it */
	get rcvRttBytes(): number {
		return this.w[this.b + 75]!;
	}
	set rcvRttBytes(value: number) {
		this.w[this.b + 75] = value;
	}

	/** tick (ms) under which this record is in the timer wheel; 0 when it is not */
	get timerAt(): number {
		return this.w[this.b + 76]!;
	}
	set timerAt(value: number) {
		this.w[this.b + 76] = value;
	}

	/** links of the timer wheel */
	get timerPrev(): number {
		return this.w[this.b + 77]!;
	}
	set timerPrev(value: number) {
		this.w[this.b + 77] = value;
	}

	get timerNext(): number {
		return this.w[this.b + 78]!;
	}
	set timerNext(value: number) {
		this.w[this.b + 78] = value;
	}

	/** tick of the retransmission, probe, reordering or persist timer (see timerKind in flags); 0 when off */
	get rtxAt(): number {
		return this.w[this.b + 79]!;
	}
	set rtxAt(value: number) {
		this.w[this.b + 79] = value;
	}

	/** tick of the delayed ACK; 0 when off */
	get ackAt(): number {
		return this.w[this.b + 80]!;
	}
	set ackAt(value: number) {
		this.w[this.b + 80] = value;
	}

	/** tick of the keep-alive, FIN-WAIT-2, TIME-WAIT or give-up timer; 0 when off */
	get idleAt(): number {
		return this.w[this.b + 81]!;
	}
	set idleAt(value: number) {
		this.w[this.b + 81] = value;
	}

	/** low byte: RTO back-off; then duplicate ACKs, window probes, keep-alive probes, one byte each */
	get retries(): number {
		return this.w[this.b + 82]!;
	}
	set retries(value: number) {
		this.w[this.b + 82] = value;
	}

	/** bits: on which output list and on the ready list this record is */
	get lists(): number {
		return this.w[this.b + 83]!;
	}
	set lists(value: number) {
		this.w[this.b + 83] = value;
	}

	/** E_ bits that the application has not been told yet */
	get events(): number {
		return this.w[this.b + 84]!;
	}
	set events(value: number) {
		this.w[this.b + 84] = value;
	}

	/** low byte: why the connection ended, index into ERRORS; then keep-alive probes and the seconds between them, one and two bytes, 0: as the host's options say */
	get error(): number {
		return this.w[this.b + 85]!;
	}
	set error(value: number) {
		this.w[this.b + 85] = value;
	}

	/** number of the listener that it came from; -1 for an active open */
	get listener(): number {
		return this.w[this.b + 86]!;
	}
	set listener(value: number) {
		this.w[this.b + 86] = value;
	}

	/** keep-alive: idle time before the first probe, ms */
	get keepIdle(): number {
		return this.w[this.b + 87]!;
	}
	set keepIdle(value: number) {
		this.w[this.b + 87] = value;
	}

	/** tick when the last segment came (keep-alive) */
	get lastHeard(): number {
		return this.w[this.b + 88]!;
	}
	set lastHeard(value: number) {
		this.w[this.b + 88] = value;
	}

	/** tick when `output` sent data last, or could not though nothing was out; 0 before (RFC 5681 4.1: restart after idle; what is timed in microseconds wraps in 72 minutes) */
	get lastSent(): number {
		return this.w[this.b + 89]!;
	}
	set lastSent(value: number) {
		this.w[this.b + 89] = value;
	}

	/** bytes a second at which segments leave; 0: not paced */
	get paceRate(): number {
		return this.w[this.b + 90]!;
	}
	set paceRate(value: number) {
		this.w[this.b + 90] = value;
	}

	/** when the next segment is due, microseconds */
	get paceTime(): number {
		return this.w[this.b + 91]!;
	}
	set paceTime(value: number) {
		this.w[this.b + 91] = value;
	}

	/** tick at which output goes on that pacing has stopped; 0 when off */
	get paceAt(): number {
		return this.w[this.b + 92]!;
	}
	set paceAt(value: number) {
		this.w[this.b + 92] = value;
	}

	get segmentsIn(): number {
		return this.w[this.b + 93]!;
	}
	set segmentsIn(value: number) {
		this.w[this.b + 93] = value;
	}

	get segmentsOut(): number {
		return this.w[this.b + 94]!;
	}
	set segmentsOut(value: number) {
		this.w[this.b + 94] = value;
	}

	get retransmits(): number {
		return this.w[this.b + 95]!;
	}
	set retransmits(value: number) {
		this.w[this.b + 95] = value;
	}
}

/** Word offsets in a Connection record, for code that keeps lists through records. */
export const connectionOffset = {
	state: 0,
	flags: 1,
	sndUna: 2,
	sndNxt: 3,
	sndWnd: 4,
	rcvNxt: 5,
	rcvAdv: 6,
	tsRecent: 7,
	lastAckSent: 8,
	sndHead: 9,
	sndNext: 10,
	sndTail: 11,
	rcvHead: 12,
	rcvTail: 13,
	rcvBytes: 14,
	mss: 15,
	generation: 16,
	hashNext: 17,
	localPort: 18,
	remotePort: 19,
	local0: 20,
	local1: 21,
	local2: 22,
	local3: 23,
	remote0: 24,
	remote1: 25,
	remote2: 26,
	remote3: 27,
	sndEnd: 28,
	sndWl1: 29,
	sndWl2: 30,
	sndWndMax: 31,
	iss: 32,
	irs: 33,
	sndScale: 34,
	rcvScale: 35,
	peerMss: 36,
	tsOffset: 37,
	srtt: 38,
	rttVar: 39,
	rto: 40,
	minRtt: 41,
	sacked: 42,
	lost: 43,
	cwnd: 44,
	ssthresh: 45,
	recover: 46,
	rackTime: 47,
	rackEnd: 48,
	rackRtt: 49,
	rackFack: 50,
	rackWindow: 51,
	rackDsack: 52,
	tlpEnd: 53,
	prrDelivered: 54,
	prrOut: 55,
	prrFlight: 56,
	undoCwnd: 57,
	undoSsthresh: 58,
	undoTs: 59,
	undoEnd: 60,
	cc0: 61,
	cc1: 62,
	cc2: 63,
	cc3: 64,
	cc4: 65,
	oooHead: 66,
	oooTail: 67,
	oooCount: 68,
	oooLast: 69,
	oooBefore: 70,
	dsackStart: 71,
	dsackEnd: 72,
	rcvBuf: 73,
	rcvRttStart: 74,
	rcvRttBytes: 75,
	timerAt: 76,
	timerPrev: 77,
	timerNext: 78,
	rtxAt: 79,
	ackAt: 80,
	idleAt: 81,
	retries: 82,
	lists: 83,
	events: 84,
	error: 85,
	listener: 86,
	keepIdle: 87,
	lastHeard: 88,
	lastSent: 89,
	paceRate: 90,
	paceTime: 91,
	paceAt: 92,
	segmentsIn: 93,
	segmentsOut: 94,
	retransmits: 95,
} as const;
