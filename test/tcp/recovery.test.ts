/** Loss recovery on connections that have lived for long: what a record has noted is older than half of the sequence space. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dupAckRecovery } from "../../src/tcp/dupack.ts";
import { rackRecovery } from "../../src/tcp/rack.ts";
import { proportionalRate } from "../../src/tcp/recovery.ts";
import { enqueue } from "../../src/tcp/sendqueue.ts";
import { C_RECOVERY, C_SACK, P_SENT } from "../../src/tcp/state.ts";
import { bareTcp } from "../helpers/bare-tcp.ts";

/** A connection with four segments out. */
function fourOut(flags: number) {
	const { t, pool, connection } = bareTcp();
	const c = connection();
	c.flags |= flags;
	c.cwnd = 10 * c.mss;
	enqueue(t, c, new Uint8Array(4 * c.mss), 0, 4 * c.mss);
	for (let page = c.sndHead; page !== 0; page = pool.next(page)) pool.setFlags(page, P_SENT);
	c.sndNext = 0;
	c.sndNxt = c.sndEnd;
	return { t, c };
}

/** Distances around the whole sequence space. */
const DISTANCES = [1, 0x7fffffff, 0x80000001, 0xc0000000];

test("RFC 6582 3.2, step 2: three duplicate ACKs repair a loss however long ago the last one was", () => {
	for (const distance of DISTANCES) {
		const { t, c } = fourOut(0);
		const end = c.sndUna;
		c.recover = (end - distance) | 0;
		// So much has been acknowledged since then, at most an eighth of the space at a time.
		Object.assign(t.ack, { acked: 1, duplicate: false });
		for (let left = distance - 1; left > 0; left -= 0x20000000) {
			c.sndUna = (end - left) | 0;
			dupAckRecovery.acknowledged(t, c, t.ack);
		}
		c.sndUna = end;
		Object.assign(t.ack, { acked: 0, duplicate: true });
		for (let i = 0; i < 3; i++) dupAckRecovery.acknowledged(t, c, t.ack);
		assert.ok((c.flags & C_RECOVERY) !== 0, `${distance} bytes after the last recovery`);
	}
});

test("RFC 8985 6.2, step 4: a DSACK widens the reordering window, once a round, however long ago the last one was", () => {
	for (const distance of DISTANCES) {
		const { t, c } = fourOut(C_SACK);
		c.rackRtt = c.minRtt = 1000;
		c.rackDsack = (c.sndUna - distance) | 0;
		Object.assign(t.ack, { acked: 0, sacked: 0, dsack: true });
		rackRecovery.acknowledged(t, c, t.ack);
		assert.equal(c.rackWindow & 0xff, 2, `${distance} bytes after the last round`);
		rackRecovery.acknowledged(t, c, t.ack);
		assert.equal(c.rackWindow & 0xff, 2, "in the same round");
	}
});

test("RFC 5681 3.1: proportional rate reduction leaves a window of a segment, even with all lost and more repeated than delivered", () => {
	const { c } = fourOut(C_SACK | C_RECOVERY);
	c.lost = 4 * c.mss;
	c.ssthresh = 2 * c.mss;
	Object.assign(c, { prrFlight: 4 * c.mss, prrDelivered: 0, prrOut: 2 * c.mss });
	proportionalRate(c, 0, false);
	assert.equal(c.cwnd, c.mss);
});
