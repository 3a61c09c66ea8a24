import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch } from "../../src/memory/batch.ts";
import { parseIpv4 } from "../../src/wire/address.ts";
import { set16 } from "../../src/wire/bytes.ts";
import * as icmp from "../../src/wire/icmp.ts";
import { acquainted, icmpMessage, OWN, onEthernet, PEER, packet, type Station, tcpSegment, udpDatagram } from "./harness.ts";

const overIcmp = (body: Uint8Array, fields: Parameters<typeof packet>[1] = {}, to?: string) =>
	onEthernet(packet(body, { protocol: 1, ...fields }), to === undefined ? {} : { to });
const echo = (bytes: number, from = PEER) => overIcmp(icmpMessage(icmp.ECHO_REQUEST, 0, new Uint8Array(bytes).fill(7), 99), { from });
/** The packet of ours that an error is about. */
const ours = (fields: Parameters<typeof packet>[1] = {}) => packet(tcpSegment(), { from: OWN, to: "192.0.2.9", ...fields });

function unreachable(host: Station, code: number, quote: Uint8Array, mtu = 0): void {
	host.receive(overIcmp(icmpMessage(icmp.DESTINATION_UNREACHABLE, code, quote, mtu), { from: "198.51.100.1" }));
}

test("RFC 1122 3.2.2.6: an echo request is answered with the same data, from the address that was asked", () => {
	for (const bytes of [0, 1, 56, 1472]) {
		const host = acquainted();
		host.receive(echo(bytes));
		const [frame] = host.sent();
		assert.deepEqual([frame?.ipv4?.source, frame?.ipv4?.destination], [OWN, PEER]);
		assert.deepEqual(frame?.icmp, { type: 0, code: 0, checksumOk: true, identifier: 0, sequence: 99 });
		assert.deepEqual(frame?.payload, new Uint8Array(bytes).fill(7));
		assert.equal(host.icmp.counters.echoAnswered, 1);
		assert.equal(host.pool.inUse, 0);
	}
});

test("RFC 1624 3: the reply to an echo of zeros only, where +0 and -0 differ, has a right checksum", () => {
	const host = acquainted();
	host.receive(overIcmp(Uint8Array.of(8, 0, 0xf7, 0xff, 0, 0, 0, 0)));
	assert.deepEqual(host.sent()[0]?.icmp, { type: 0, code: 0, checksumOk: true, identifier: 0, sequence: 0 });
});

test("RFC 1122 3.2.2.6: an echo request to a broadcast address is not answered", () => {
	const host = acquainted();
	host.receive(overIcmp(icmpMessage(icmp.ECHO_REQUEST, 0, new Uint8Array(8)), { to: "10.77.0.255" }, "ff:ff:ff:ff:ff:ff"));
	assert.equal(host.sent().length, 0);
	assert.equal(host.icmp.counters.echoBroadcast, 1);
});

test("echo requests are answered at a limited rate", () => {
	const host = acquainted();
	for (let i = 0; i < 400; i++) host.receive(echo(8));
	assert.equal(host.sent().length, 250);
	host.at(2.1);
	for (let i = 0; i < 400; i++) host.receive(echo(8));
	assert.equal(host.sent().length, 100);
	assert.deepEqual([host.icmp.counters.echoAnswered, host.icmp.counters.echoLimited], [350, 450]);
	assert.equal(host.pool.inUse, 0);
});

test("an echo request whose page a link still reads is not answered without another page", () => {
	const host = acquainted();
	const batch = new Batch(host.pool);
	batch.add(echo(8), 0);
	const page = batch.page[0]!;
	host.pool.retain(page);
	const rest: number[] = [];
	for (let got = host.pool.alloc(); got !== 0; got = host.pool.alloc()) rest.push(got);
	host.ip.input(batch);
	assert.deepEqual([host.sent().length, host.icmp.counters.echoNoPage], [0, 1]);
	for (const taken of [page, ...rest]) host.pool.release(taken);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 792: messages with a wrong checksum, too short or of unknown type are counted and ignored", () => {
	const host = acquainted();
	const wrong = icmpMessage(icmp.ECHO_REQUEST, 0, new Uint8Array(8));
	wrong[9]!++;
	host.receive(overIcmp(wrong));
	host.receive(overIcmp(Uint8Array.of(8, 0, 0xf7)));
	host.receive(overIcmp(icmpMessage(13, 0, new Uint8Array(12))));
	host.receive(overIcmp(icmpMessage(icmp.ECHO_REPLY, 0, new Uint8Array(12))));
	// RFC 6633 4.1: source quench is ignored. RFC 1122 3.2.2.2: so may redirects be.
	host.receive(overIcmp(icmpMessage(icmp.SOURCE_QUENCH, 0, ours())));
	host.receive(overIcmp(icmpMessage(icmp.REDIRECT, 1, ours())));
	assert.equal(host.sent().length + host.tcp.errors.length, 0);
	const { badChecksum, tooShort, unknownType, echoReplies } = host.icmp.counters;
	assert.deepEqual({ badChecksum, tooShort, unknownType, echoReplies }, { badChecksum: 1, tooShort: 1, unknownType: 3, echoReplies: 1 });
});

test("RFC 1122 3.2.2.1: destination unreachable is told to the transport whose packet it quotes", () => {
	for (const [code, reason] of [
		[0, "net"],
		[1, "host"],
		[2, "protocol"],
		[3, "port"],
		[5, "net"],
		[7, "host"],
		[9, "prohibited"],
		[13, "prohibited"],
	] as const) {
		const host = acquainted();
		// RFC 792: 8 bytes behind the header are all that is certain to be quoted.
		unreachable(host, code, ours().subarray(0, 28));
		assert.deepEqual(host.tcp.errors, [
			{ reason, mtu: 0, dst3: parseIpv4("192.0.2.9"), src3: parseIpv4(OWN), protocol: 6, srcPort: 4321, dstPort: 80, seq: 7 },
		]);
		assert.equal(host.icmp.counters.errorsTold, 1);
		assert.equal(host.pool.inUse, 0);
	}
	const host = acquainted();
	unreachable(host, 16, ours());
	assert.equal(host.icmp.counters.errorsIgnored, 1);
});

test("RFC 1122 3.2.2.4: time exceeded is told as well", () => {
	const host = acquainted();
	host.receive(overIcmp(icmpMessage(icmp.TIME_EXCEEDED, 0, ours())));
	assert.equal(host.tcp.errors[0]?.reason, "ttl");
});

test("options in the quoted header are skipped to find the ports", () => {
	const host = acquainted();
	unreachable(host, 3, ours({ options: [7, 7, 4, 0, 0, 0, 0, 1] }));
	assert.deepEqual([host.tcp.errors[0]?.srcPort, host.tcp.errors[0]?.dstPort], [4321, 80]);
});

test("RFC 5927 4: errors about packets that we cannot have sent are ignored", () => {
	const host = acquainted({ addresses: [`${OWN}/24`, "10.78.0.2/24"] });
	unreachable(host, 1, ours({ from: "10.77.0.3" }));
	unreachable(host, 1, ours({ from: "10.78.0.2" })); // ours, but it would have come to that address
	unreachable(host, 1, ours({ protocol: 17 }));
	unreachable(host, 1, ours({ protocol: 1 }));
	unreachable(host, 1, ours({ edit: (header) => set16(header, 6, 100) }));
	unreachable(host, 1, ours({ edit: (header) => header.set([0x65]) }));
	assert.equal(host.icmp.counters.errorsIgnored, 6);
	unreachable(host, 1, ours().subarray(0, 27));
	unreachable(host, 1, ours({ edit: (header) => header.set([0x44]) }));
	unreachable(host, 1, ours({ edit: (header) => header.set([0x4f]) }));
	assert.equal(host.icmp.counters.tooShort, 3);
	assert.equal(host.tcp.errors.length, 0);
});

test("RFC 1191: fragmentation needed brings an MTU below what was sent; 0 is never believed but estimated", () => {
	const large = ours({ edit: (header) => set16(header, 2, 1500) });
	const told = (mtu: number, quote = large) => {
		const host = acquainted();
		unreachable(host, icmp.FRAGMENTATION_NEEDED, quote, mtu);
		const [error] = host.tcp.errors;
		assert.ok(error === undefined || error.reason === "too-big");
		return error?.mtu;
	};
	assert.equal(told(1400), 1400);
	assert.equal(told(68), 68);
	assert.equal(told(0), 1492);
	assert.equal(told(0, ours({ edit: (header) => set16(header, 2, 1492) })), 1006);
	for (const mtu of [1, 67, 1500, 9000, 65535]) assert.equal(told(mtu), undefined, String(mtu));
	// Nothing smaller than the smallest MTU.
	assert.equal(told(0, ours()), undefined);
});

test("RFC 1122 3.2.2.1: an unknown protocol and a UDP datagram are answered, quoting the packet", () => {
	for (const [protocol, code] of [
		[132, icmp.PROTOCOL_UNREACHABLE],
		[17, icmp.PORT_UNREACHABLE],
	] as const) {
		const host = acquainted();
		host.receive(onEthernet(packet(udpDatagram(), { protocol, options: [1, 1, 1, 1] })));
		const [frame] = host.sent();
		assert.deepEqual([frame?.ipv4?.source, frame?.ipv4?.destination, frame?.icmp?.type, frame?.icmp?.code], [OWN, PEER, 3, code]);
		assert.ok(frame?.icmp?.checksumOk);
		assert.deepEqual(frame.payload, packet(udpDatagram(), { protocol, options: [1, 1, 1, 1] }));
		assert.equal(host.icmp.counters.errorsSent, 1);
		assert.equal(host.pool.inUse, 0);
	}
});

test("RFC 792: an error about a SYN that is held quotes its IP header and 8 bytes, and comes from the address that was asked", () => {
	const host = acquainted({ addresses: [`${OWN}/24`], acceptAny: true });
	const syn = { src3: parseIpv4(PEER)!, srcPort: 4321, dst3: parseIpv4("192.0.2.9")!, dstPort: 80, seq: 0xfedcba98 | 0 };
	host.icmp.sendUnreachableAbout(syn, icmp.HOST_UNREACHABLE);
	const [frame] = host.sent();
	assert.deepEqual([frame?.ipv4?.source, frame?.ipv4?.destination, frame?.icmp?.type, frame?.icmp?.code], ["192.0.2.9", PEER, 3, 1]);
	assert.ok(frame?.icmp?.checksumOk);
	assert.equal(frame.payload.length, 28);
	const quoted = packet(tcpSegment(), { to: "192.0.2.9" });
	assert.deepEqual(frame.payload.subarray(12, 24), quoted.subarray(12, 24), "addresses and ports");
	assert.deepEqual([...frame.payload.subarray(24)], [0xfe, 0xdc, 0xba, 0x98]);
	assert.deepEqual([frame.payload[0], frame.payload[9]], [0x45, 6]);
	assert.deepEqual([host.icmp.counters.errorsSent, host.pool.inUse], [1, 0]);
	for (let i = 0; i < 200; i++) host.icmp.sendUnreachableAbout(syn, icmp.NET_UNREACHABLE);
	assert.equal(host.icmp.counters.errorsLimited, 151);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 1812 4.3.2.3: an error is at most 576 bytes long", () => {
	const host = acquainted();
	host.receive(onEthernet(packet(udpDatagram(1400), { protocol: 17 })));
	assert.equal(host.sent()[0]?.ipv4?.length, 576);
});

test("RFC 1122 3.2.2: no error is sent about broadcasts or fragments", () => {
	const host = acquainted();
	host.receive(onEthernet(packet(udpDatagram(), { protocol: 17, to: "255.255.255.255" }), { to: "ff:ff:ff:ff:ff:ff" }));
	host.receive(onEthernet(packet(udpDatagram(), { protocol: 17, to: "10.77.0.255" }), { to: "ff:ff:ff:ff:ff:ff" }));
	host.receive(onEthernet(packet(udpDatagram(), { protocol: 17, edit: (header) => set16(header, 6, 0x2000) })));
	host.receive(onEthernet(packet(udpDatagram(), { protocol: 17, from: "10.77.0.255" })));
	host.receive(onEthernet(packet(udpDatagram(), { protocol: 17, from: "0.0.0.0" })));
	assert.equal(host.sent().length, 0);
	assert.equal(host.icmp.counters.errorsForbidden, 2);
});

test("RFC 1812 4.3.2.8: errors are sent at a limited rate", () => {
	const host = acquainted();
	for (let i = 0; i < 200; i++) host.receive(onEthernet(packet(udpDatagram(), { protocol: 17 })));
	assert.equal(host.sent().length, 50);
	assert.equal(host.icmp.counters.errorsLimited, 150);
	assert.equal(host.pool.inUse, 0);
});
