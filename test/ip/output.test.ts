import assert from "node:assert/strict";
import { test } from "node:test";
import { FRAME_CHECKED } from "../../src/memory/batch.ts";
import { formatIpv4, parseIpv4 } from "../../src/wire/address.ts";
import { ARP_REPLY } from "../../src/wire/arp.ts";
import { acquainted, arpFrame, counted, OWN, OWN_MAC, PEER, PEER_MAC, packet, station, tcpSegment } from "./harness.ts";

test("a packet to a known neighbor leaves at once with both headers right", () => {
	const host = acquainted();
	assert.equal(host.send(PEER, { payload: Uint8Array.of(1, 2, 3) }).routed, true);
	const [frame] = host.sent();
	assert.deepEqual(frame?.ethernet, { destination: PEER_MAC, source: OWN_MAC, type: 0x0800 });
	assert.ok(frame?.ipv4?.checksumOk && frame.tcp?.checksumOk);
	assert.deepEqual([frame.ipv4.source, frame.ipv4.destination, frame.ipv4.ttl, frame.ipv4.length], [OWN, PEER, 64, 43]);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 6864 4.1: packets are atomic: DF is set and the identification is 0", () => {
	const host = acquainted();
	host.send(PEER);
	const [frame] = host.sent();
	assert.deepEqual([frame?.ipv4?.dontFragment, frame?.ipv4?.identification], [true, 0]);
});

test("the header checksum is right for any addresses, lengths and protocols", () => {
	const host = station({ medium: "ip", routes: [{ to: "0.0.0.0/0" }] });
	for (let i = 0; i < 500; i++) {
		const destination = (Math.imul(i, 0x9e3779b1) >>> 1) | 0x01000000;
		const to = formatIpv4(destination);
		if (host.ip.source(destination) === 0 || host.ip.isLocal(destination)) continue;
		host.send(to, { payload: new Uint8Array(i) });
		const [frame] = host.sent();
		assert.ok(frame?.ipv4?.checksumOk, to);
		assert.equal(frame.malformed, undefined);
	}
});

test("RFC 1122 3.3.1.1: what is not on a connected network goes to the router, the longest prefix decides", () => {
	const host = acquainted({
		addresses: [`${OWN}/24`, "192.168.5.2/24"],
		routes: [
			{ to: "0.0.0.0/0", via: PEER },
			{ to: "172.16.0.0/12", via: "192.168.5.1" },
			{ to: "172.16.9.0/24", via: PEER },
		],
	});
	host.receive(arpFrame({ operation: 1, sender: "192.168.5.1", senderMac: "02:00:00:00:05:01", target: "192.168.5.2" }));
	host.sent();
	const way = (to: string) => {
		const source = formatIpv4(host.ip.source(parseIpv4(to)));
		host.send(to, { from: source });
		return [host.sent()[0]?.ethernet?.destination, source];
	};
	assert.deepEqual(way("198.51.100.7"), [PEER_MAC, OWN]);
	assert.deepEqual(way("172.16.1.1"), ["02:00:00:00:05:01", "192.168.5.2"]);
	assert.deepEqual(way("172.16.9.1"), [PEER_MAC, OWN]);
	assert.deepEqual(way("192.168.5.1"), ["02:00:00:00:05:01", "192.168.5.2"]);
	assert.deepEqual(way("198.51.100.7"), [PEER_MAC, OWN]);
});

test("without a route nothing is sent and the caller is told", () => {
	const host = station({ routes: [] });
	for (const to of ["192.0.2.1", "255.255.255.255", "10.77.0.255", "224.0.0.1", "0.0.0.0"]) {
		assert.equal(host.ip.source(parseIpv4(to)), 0, to);
		assert.equal(host.send(to).routed, false, to);
	}
	assert.deepEqual(counted(host), { noRoute: 5 });
	assert.equal(host.pool.inUse, 0);
});

test("a packet longer than the MTU is counted, not sent", () => {
	const host = acquainted({ mtu: 500 });
	host.send(PEER, { payload: new Uint8Array(460) });
	host.send(PEER, { payload: new Uint8Array(461) });
	assert.equal(host.sent().length, 1);
	assert.equal(host.ip.counters.tooLong, 1);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 1122 3.2.1.3 (g): 127.0.0.0/8 and own addresses never reach the link; pump delivers them", () => {
	const host = acquainted();
	let calls = 0;
	host.ip.onWork = () => calls++;
	for (const to of ["127.0.0.1", "127.9.8.7", OWN]) host.send(to, { from: formatIpv4(host.ip.source(parseIpv4(to))) });
	assert.equal(calls, 1);
	assert.equal(host.tcp.packets.length, 0);
	assert.equal(host.ip.pump(), 3);
	assert.equal(host.ip.pump(), 0);
	assert.deepEqual(
		host.tcp.packets.map((got) => [formatIpv4(got.src3), formatIpv4(got.dst3), got.flags]),
		[
			["127.0.0.1", "127.0.0.1", FRAME_CHECKED],
			["127.0.0.1", "127.9.8.7", FRAME_CHECKED],
			[OWN, OWN, FRAME_CHECKED],
		],
	);
	assert.equal(host.sent().length, 0);
	assert.equal(host.pool.inUse, 0);
});

test("a looped packet that the sender holds on to is received in a page of its own", () => {
	const host = acquainted();
	host.tcp.keep = true;
	const { page } = host.send(OWN, { payload: Uint8Array.of(9, 8, 7), hold: true });
	host.ip.pump();
	assert.notEqual(host.tcp.kept[0], page);
	assert.deepEqual(host.tcp.packets[0]?.bytes.subarray(20), Uint8Array.of(9, 8, 7));
	assert.equal(host.pool.refs(page), 1);
	host.pool.release(page);
	host.pool.release(host.tcp.kept[0]!);
	assert.equal(host.pool.inUse, 0);
});

test("packets to ourselves are bounded, and pump takes only what was there when it began", () => {
	const host = acquainted({ loopMax: 4 });
	for (let i = 0; i < 6; i++) host.send(OWN);
	for (let i = 0; i < 2; i++) host.pool.release(host.send(OWN, { hold: true }).page);
	assert.equal(host.ip.counters.loopOverflow, 4);
	assert.equal(host.pool.inUse, 4);
	const { input } = host.tcp;
	host.tcp.input = (got) => {
		host.send(OWN);
		return input.call(host.tcp, got);
	};
	for (let i = 0; i < 3; i++) assert.equal(host.ip.pump(), 4);
	host.ip.close();
	assert.equal(host.pool.inUse, 0);
});

test("a loopback link carries 127.0.0.0/8 and own addresses", () => {
	const host = station({ medium: "ip", loopbackLink: true, addresses: ["127.0.0.1/8"], routes: [] });
	host.send("127.0.0.1", { from: "127.0.0.1" });
	host.send("127.3.2.1", { from: "127.0.0.1" });
	assert.equal(host.ip.pump(), 0);
	assert.deepEqual(
		host.sent().map((frame) => frame.ipv4?.destination),
		["127.0.0.1", "127.3.2.1"],
	);
	host.receive(packet(tcpSegment(), { from: "127.0.0.1", to: "127.3.2.1" }));
	assert.equal(host.tcp.packets.length, 1);
	assert.equal(host.ip.source(parseIpv4("127.3.2.1")), parseIpv4("127.0.0.1"));
});

test("what the neighbor moved to is followed at once", () => {
	const host = acquainted();
	host.send(PEER);
	host.receive(arpFrame({ operation: ARP_REPLY, senderMac: "02:00:00:00:00:99", target: PEER, targetMac: "02:00:00:00:00:99" }));
	host.send(PEER);
	assert.deepEqual(
		host
			.sent()
			.filter((frame) => frame.ipv4 !== undefined)
			.map((frame) => frame.ethernet?.destination),
		[PEER_MAC, "02:00:00:00:00:99"],
	);
});

test("who says unasked that it has moved has to prove it: the next packet asks there, and after three seconds all", () => {
	const host = acquainted();
	host.receive(arpFrame({ operation: ARP_REPLY, senderMac: "02:00:00:00:00:99", target: PEER, targetMac: "02:00:00:00:00:99" }));
	host.send(PEER);
	const way = () => host.sent().map(({ ethernet, arp }) => [arp === undefined ? "packet" : "question", ethernet?.destination]);
	assert.deepEqual(way(), [
		["question", "02:00:00:00:00:99"],
		["packet", "02:00:00:00:00:99"],
	]);
	for (const second of [3.1, 4.2, 5.3]) host.at(second);
	host.sent();
	host.send(PEER);
	assert.deepEqual(way(), [["question", "ff:ff:ff:ff:ff:ff"]]);
	host.receive(arpFrame({ operation: ARP_REPLY, target: OWN }));
	assert.deepEqual(way(), [["packet", PEER_MAC]]);
	host.send(PEER);
	assert.deepEqual(way(), [["packet", PEER_MAC]], "who answered is believed");
});

test("a router that no station can be is refused", () => {
	for (const via of ["127.0.0.1", "224.0.0.1", "10.77.0.255"])
		assert.throws(() => station({ medium: "ip", routes: [{ to: "0.0.0.0/0", via }] }), { code: "MILLRACE_ROUTE" }, via);
});

test("addresses, routes, MTUs and hardware addresses that cannot work are refused with the remedy", () => {
	const refused = (options: Parameters<typeof station>[0], code: string, words: RegExp) =>
		assert.throws(
			() => station(options),
			(error: Error & { code?: string }) => error.code === code && words.test(error.message),
			String(words),
		);
	refused({ addresses: ["10.77.0.2"] }, "MILLRACE_ADDRESS", /prefix length/);
	refused({ addresses: ["10.77.0.255/24"] }, "MILLRACE_ADDRESS", /10\.77\.0\.2\/24/);
	refused({ addresses: ["224.0.0.1/32"] }, "MILLRACE_ADDRESS", /one host's address/);
	refused({ addresses: ["fd00::2/64"] }, "MILLRACE_ADDRESS", /not supported yet/);
	refused({ routes: [{ to: "0.0.0.0/0", via: "10.78.0.1" }] }, "MILLRACE_ROUTE", /10\.77\.0\.2/);
	refused({ routes: [{ to: "0.0.0.0/0", via: OWN }] }, "MILLRACE_ROUTE", /not a neighbor/);
	refused({ routes: [{ to: "::/0", via: PEER }] }, "MILLRACE_ROUTE", /not supported yet/);
	refused({ routes: [{ to: "default", via: PEER }] }, "MILLRACE_ADDRESS", /default/);
	refused({ mtu: 67 }, "MILLRACE_MTU", /68/);
	refused({ mac: Uint8Array.of(1, 0, 0, 0, 0, 1) }, "MILLRACE_MAC", /group/);
	refused({ mac: Uint8Array.of(2, 0) }, "MILLRACE_MAC", /6 bytes/);
});
