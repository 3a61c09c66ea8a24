import assert from "node:assert/strict";
import { test } from "node:test";
import { WAITING_MAX } from "../../src/ip/neighbors.ts";
import { parseIpv4 } from "../../src/wire/address.ts";
import { ARP_REPLY, ARP_REQUEST } from "../../src/wire/arp.ts";
import { ALL_MAC, acquainted, arpFrame, counted, OWN, OWN_MAC, PEER, PEER_MAC, type Station, station } from "./harness.ts";

const NOBODY = "00:00:00:00:00:00";
const reply = (fields: { sender?: string; senderMac?: string } = {}) =>
	arpFrame({ operation: ARP_REPLY, target: OWN, targetMac: OWN_MAC, to: OWN_MAC, ...fields });

/** A station whose announcements are over and that knows nobody. */
function alone(options: Parameters<typeof station>[0] = {}): Station {
	const host = station(options);
	host.at(0);
	host.at(2);
	host.sent();
	return host;
}

function requests(host: Station): [to: string | undefined, target: string | undefined][] {
	return host.sent().map((frame) => {
		assert.equal(frame.arp?.operation, "request");
		return [frame.ethernet?.destination, frame.arp.targetAddress];
	});
}

test("RFC 826: a request for us is answered to its sender, who is then known", () => {
	const host = alone();
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	const [frame] = host.sent();
	assert.deepEqual(frame?.ethernet, { destination: PEER_MAC, source: OWN_MAC, type: 0x0806 });
	assert.deepEqual(frame?.arp, { operation: "reply", senderMac: OWN_MAC, senderAddress: OWN, targetMac: PEER_MAC, targetAddress: PEER });
	host.send(PEER);
	assert.equal(host.sent()[0]?.ethernet?.destination, PEER_MAC);
	assert.deepEqual(counted(host), { arpRequests: 1, sent: 1 });
});

test("RFC 826: the first packet asks, waits and leaves with the answer", () => {
	const host = alone();
	host.send(PEER);
	host.send(PEER);
	const [frame, ...more] = host.sent();
	assert.deepEqual(frame?.ethernet, { destination: ALL_MAC, source: OWN_MAC, type: 0x0806 });
	assert.deepEqual(frame?.arp, { operation: "request", senderMac: OWN_MAC, senderAddress: OWN, targetMac: NOBODY, targetAddress: PEER });
	assert.equal(more.length, 0);
	assert.equal(host.pool.inUse, 2);
	host.receive(reply());
	assert.deepEqual(
		host.sent().map((sent) => [sent.ethernet?.destination, sent.tcp?.destinationPort, sent.ipv4?.checksumOk]),
		[
			[PEER_MAC, 80, true],
			[PEER_MAC, 80, true],
		],
	);
	assert.equal(host.pool.inUse, 0);
	assert.deepEqual(counted(host), { arpReplies: 1, sent: 2, waited: 2 });
});

test("RFC 1122 2.3.2.2: the newest packets wait, a bounded number; older ones are counted out", () => {
	const host = alone();
	for (let i = 0; i < WAITING_MAX + 4; i++) host.send(PEER, { payload: Uint8Array.of(i) });
	assert.equal(host.pool.inUse, WAITING_MAX);
	host.sent();
	host.receive(reply());
	assert.deepEqual(
		host.sent().map((frame) => frame.payload[0]),
		Array.from({ length: WAITING_MAX }, (_, i) => i + 4),
	);
	assert.equal(host.ip.counters.waitOverflow, 4);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 1122 2.3.2.1: three requests a second apart without an answer fail the neighbor, and the transport is told", () => {
	const host = alone();
	host.at(10);
	host.send(PEER);
	assert.equal(host.ip.deadline, 1e10 + 11e6);
	assert.equal(host.at(10.9), 11);
	assert.equal(host.at(11), 12);
	assert.equal(host.at(12), 13);
	assert.deepEqual(requests(host), Array(3).fill([ALL_MAC, PEER]));
	assert.equal(host.tcp.errors.length, 0);
	assert.equal(host.at(13), Infinity);
	assert.equal(host.sent().length, 0);
	assert.deepEqual(host.tcp.errors, [
		{ reason: "neighbor", mtu: 0, dst3: parseIpv4(PEER), src3: parseIpv4(OWN), protocol: 6, srcPort: 1234, dstPort: 80, seq: 0x11223344 },
	]);
	assert.equal(host.pool.inUse, 0);
	assert.deepEqual(counted(host), { waited: 1, waitFailed: 1, neighborsFailed: 1 });
});

test("RFC 1122 2.3.2.1: a neighbor that did not answer is asked again for the next packet, and no more often for many", () => {
	const host = alone();
	host.send(PEER);
	for (const second of [3, 4, 5]) host.at(second);
	assert.equal(host.tcp.errors.length, 1);
	host.sent();
	for (let i = 0; i < 100; i++) host.send(PEER);
	assert.equal(requests(host).length, 1);
	for (const second of [6, 7]) host.at(second);
	assert.equal(requests(host).length, 2);
	host.receive(reply());
	assert.equal(host.sent().length, 100);
	assert.equal(host.tcp.errors.length, 1);
	host.ip.close();
	assert.equal(host.pool.inUse, 0);
});

test("a neighbor that did not answer and shows up is reachable at once", () => {
	const host = alone();
	host.send(PEER);
	for (const second of [3, 4, 5]) host.at(second);
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	host.sent();
	host.send(PEER);
	assert.equal(host.sent()[0]?.tcp?.destinationPort, 80);
});

test("RFC 1122 2.3.2.1: a proof lasts 30 s; then the next packet goes out and probes by unicast", () => {
	const host = alone();
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	host.sent();
	assert.equal(host.at(31.9), 32);
	host.send(PEER);
	assert.equal(host.sent().length, 1);
	assert.equal(host.at(32), Infinity);
	assert.equal(host.sent().length, 0);
	host.send(PEER);
	const [probe, packet] = host.sent();
	assert.deepEqual([probe?.arp?.operation, probe?.ethernet?.destination], ["request", PEER_MAC]);
	assert.equal(packet?.ethernet?.destination, PEER_MAC);
	host.receive(reply());
	host.send(PEER);
	assert.equal(host.sent().length, 1);
	assert.equal(host.at(61), 62);
});

test("RFC 1122 2.3.2.1: a neighbor that does not answer probes is forgotten and asked for by broadcast", () => {
	const host = alone();
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	host.sent();
	host.at(40);
	for (const second of [40, 41, 42]) {
		host.at(second);
		host.send(PEER);
	}
	assert.deepEqual(
		host.sent().map((frame) => [frame.ethernet?.destination, frame.arp?.operation]),
		[40, 41, 42].flatMap(() => [
			[PEER_MAC, "request"],
			[PEER_MAC, undefined],
		]),
	);
	host.at(43);
	host.send(PEER);
	assert.deepEqual(requests(host), [[ALL_MAC, PEER]]);
	host.receive(reply({ senderMac: "02:00:00:00:00:77" }));
	assert.equal(host.sent()[0]?.ethernet?.destination, "02:00:00:00:00:77");
	assert.equal(host.ip.counters.neighborsFailed, 1);
});

test("RFC 826: what is said to others updates whom we know, but makes no new acquaintance", () => {
	const host = acquainted();
	host.receive(arpFrame({ operation: ARP_REQUEST, senderMac: "02:00:00:00:00:55", target: "10.77.0.9" }));
	host.receive(arpFrame({ operation: ARP_REQUEST, sender: "10.77.0.8", senderMac: "02:00:00:00:00:08", target: "10.77.0.9" }));
	host.send(PEER);
	assert.equal(host.sent()[0]?.ethernet?.destination, "02:00:00:00:00:55");
	assert.equal(host.ip.neighbors.size, 1);
	assert.equal(host.ip.counters.arpOther, 2);
});

test("replies that nobody asked for, and senders off the link, are not believed", () => {
	const host = alone();
	host.receive(reply());
	host.receive(arpFrame({ operation: ARP_REQUEST, sender: "192.0.2.1", target: OWN }));
	assert.equal(host.ip.neighbors.size, 0);
	// The latter is answered all the same: it is on the wire.
	assert.equal(host.sent()[0]?.arp?.targetAddress, "192.0.2.1");
});

test("a route without a router: who is there is asked, and believed", () => {
	const host = station({ addresses: [`${OWN}/24`], routes: [{ to: "172.16.0.0/12" }] });
	host.sent();
	host.send("172.16.1.1");
	assert.deepEqual(requests(host), [[ALL_MAC, "172.16.1.1"]]);
	host.receive(reply({ sender: "172.16.1.1" }));
	assert.equal(host.sent()[0]?.ethernet?.destination, PEER_MAC);
	// Who asks from there is known, too.
	host.receive(arpFrame({ operation: ARP_REQUEST, sender: "172.16.1.2", target: OWN }));
	host.sent();
	host.send("172.16.1.2");
	assert.equal(host.sent()[0]?.ethernet?.destination, PEER_MAC);
});

test("packets that wait for many who do not answer leave half of the pages", () => {
	const host = alone({ addresses: ["10.77.0.2/16"] });
	for (let i = 0; i < 4; i++) for (let n = 0; n < WAITING_MAX; n++) host.send(`10.77.9.${i}`, { payload: Uint8Array.of(n) });
	assert.equal(host.pool.inUse, host.pool.capacity / 2);
	assert.equal(host.ip.counters.waitOverflow, 4 * WAITING_MAX - host.pool.capacity / 2);
	host.sent();
	// The newest of each are those that wait.
	host.receive(reply({ sender: "10.77.9.3" }));
	const left = host.sent().map((frame) => frame.payload[0]);
	assert.equal(left.at(-1), WAITING_MAX - 1);
	assert.ok(left.length >= host.pool.capacity / 16, `${left.length}`);
});

test("room for packets that wait comes back when they are sent, given up or pushed out", () => {
	const host = alone({ addresses: ["10.77.0.2/16"], neighborsMax: 8 });
	const half = host.pool.capacity / 2;
	const fill = (network: number): void => {
		const before = host.ip.counters.waitOverflow;
		for (let i = 0; i < half; i++) host.send(`10.77.${network}.${i % 4}`);
		assert.deepEqual([host.pool.inUse, host.ip.counters.waitOverflow - before], [half, 0]);
	};
	fill(1);
	// The oldest go for newer ones; answered.
	for (let i = 0; i < 4; i++) host.send(`10.77.1.${i}`);
	for (let i = 0; i < 4; i++) host.receive(reply({ sender: `10.77.1.${i}` }));
	assert.equal(host.sent().length, half + 4);
	fill(2);
	// Never answered.
	for (const second of [1, 2, 3]) host.at(second);
	host.sent();
	for (const second of [6, 7]) host.at(second);
	fill(3);
	// Pushed out by others, one packet each.
	for (let i = 0; i < 4; i++) host.send(`10.77.4.${i}`);
	assert.equal(host.pool.inUse, 4);
	for (const second of [8, 9, 10, 13, 14]) host.at(second);
	host.sent();
	fill(5);
});

test("RFC 5227 2.1.1: a probe for our address is answered and teaches nothing", () => {
	const host = alone();
	host.receive(arpFrame({ operation: ARP_REQUEST, sender: "0.0.0.0", target: OWN }));
	assert.deepEqual(host.sent()[0]?.arp, {
		operation: "reply",
		senderMac: OWN_MAC,
		senderAddress: OWN,
		targetMac: PEER_MAC,
		targetAddress: "0.0.0.0",
	});
	assert.equal(host.ip.neighbors.size, 0);
});

test("RFC 5227 2.3: each address is announced twice, 2 s apart", () => {
	const host = station({ addresses: [`${OWN}/24`, "10.78.0.2/24"] });
	assert.equal(host.at(0), 2);
	const announced = host
		.sent()
		.map((frame) => [frame.ethernet?.destination, frame.arp?.operation, frame.arp?.senderAddress, frame.arp?.targetAddress]);
	assert.deepEqual(announced, [
		[ALL_MAC, "request", OWN, OWN],
		[ALL_MAC, "request", "10.78.0.2", "10.78.0.2"],
	]);
	assert.equal(host.at(2), Infinity);
	assert.equal(host.sent().length, 2);
	assert.equal(host.at(100), Infinity);
	assert.equal(host.sent().length, 0);
});

test("RFC 5227 2.4: another station with our address is counted, and answered at most every 10 s", () => {
	const host = alone();
	const claim = arpFrame({ operation: ARP_REQUEST, sender: OWN, senderMac: "02:00:00:00:00:66", target: OWN });
	host.receive(claim);
	host.receive(claim);
	assert.deepEqual(requests(host), [[ALL_MAC, OWN]]);
	host.at(11);
	host.receive(claim);
	host.at(12);
	host.receive(claim);
	assert.equal(requests(host).length, 1);
	assert.equal(host.ip.counters.arpConflicts, 4);
	assert.equal(host.ip.neighbors.size, 0);
	// Our own announcement, come back by a bridge, is no conflict.
	host.receive(arpFrame({ operation: ARP_REQUEST, sender: OWN, senderMac: OWN_MAC, target: OWN }));
	assert.deepEqual(counted(host), { arpConflicts: 4, arpOther: 1 });
});

test("malformed ARP is counted and leaves no trace", () => {
	const good = arpFrame({ operation: ARP_REQUEST, target: OWN });
	const bad: [number, number][] = [
		[14, 1],
		[15, 6],
		[16, 9],
		[18, 8],
		[19, 16],
		[20, 1],
		[21, 3],
		[21, 0],
		[22, 0x03],
		[28, 127],
		[28, 224],
		[28, 255],
	];
	for (const [at, value] of bad) {
		const host = alone();
		const frame = good.slice();
		frame[at] = value;
		host.receive(frame);
		assert.deepEqual(counted(host), { arpMalformed: 1 }, `${at}`);
		assert.equal(host.ip.neighbors.size + host.sent().length, 0);
	}
	const host = alone();
	host.receive(good.subarray(0, 41));
	assert.deepEqual(counted(host), { arpMalformed: 1 });
});

test("RFC 1122 2.3.2.1: each of a thousand addresses that are tried at once is asked for once a second, however often", () => {
	const host = alone({ addresses: ["10.77.0.2/16"] });
	const asked = () => host.sent().filter((frame) => frame.arp?.operation === "request").length;
	const all = () => {
		for (let i = 0; i < 1000; i++) host.send(`10.77.${1 + (i >> 8)}.${i & 0xff}`);
	};
	all();
	assert.equal(asked(), 1000);
	all();
	assert.equal(asked(), 0);
	host.at(3);
	assert.equal(asked(), 1000);
	assert.equal(host.ip.counters.neighborsEvicted, 0);
});

test("a flood to dead addresses is bounded and does not push out who is known", () => {
	const host = alone({ addresses: ["10.77.0.2/16"], neighborsMax: 8 });
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	for (let i = 1; i < 100; i++) host.send(`10.77.1.${i}`);
	assert.equal(host.ip.neighbors.size, 5);
	assert.equal(host.pool.inUse, 4);
	assert.deepEqual([host.ip.counters.neighborsEvicted, host.ip.counters.waitOverflow], [95, 95]);
	host.sent();
	host.send(PEER);
	assert.equal(host.sent()[0]?.ethernet?.destination, PEER_MAC);
	// And a flood of strangers is bounded likewise.
	for (let i = 1; i < 100; i++) {
		host.receive(
			arpFrame({ operation: ARP_REQUEST, sender: `10.77.2.${i}`, senderMac: `02:00:00:00:02:${(16 + i).toString(16)}`, target: OWN }),
		);
	}
	assert.equal(host.ip.neighbors.size, 8);
	for (const second of [3, 4, 5, 8]) host.at(second);
	assert.equal(host.pool.inUse, 0);
});
