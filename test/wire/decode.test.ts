import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARP_REQUEST } from "../../src/wire/arp.ts";
import { decodeFrame } from "../../src/wire/decode.ts";
import * as icmp from "../../src/wire/icmp.ts";
import * as tcp from "../../src/wire/tcp.ts";
import { setChecksumField } from "../../src/wire/udp.ts";
import { arpFrame, icmpMessage, OWN, OWN_MAC, onEthernet, PEER, PEER_MAC, packet, tcpSegment, udpDatagram } from "../ip/harness.ts";

test("a frame decodes into its layers", () => {
	const frame = decodeFrame(onEthernet(packet(tcpSegment(tcp.SYN | tcp.ACK))));
	assert.deepEqual(frame.ethernet, { destination: OWN_MAC, source: PEER_MAC, type: 0x0800 });
	assert.deepEqual(frame.ipv4, {
		source: PEER,
		destination: OWN,
		protocol: 6,
		ttl: 64,
		length: 40,
		headerLength: 20,
		identification: 0,
		dontFragment: true,
		moreFragments: false,
		fragmentOffset: 0,
		tos: 0,
		checksumOk: true,
	});
	assert.deepEqual(frame.tcp, {
		sourcePort: 4321,
		destinationPort: 80,
		seq: 7,
		ack: 0,
		flags: "SA",
		window: 512,
		urgent: 0,
		headerLength: 20,
		checksumOk: true,
		options: {},
	});
	assert.equal(frame.payload.length, 0);
	assert.equal(frame.malformed, undefined);
});

test("TCP options are named", () => {
	const bytes = new Uint8Array(60);
	let length = tcp.writeSynOptions(bytes, 20, 1460, 7, true, true, -1, 5);
	length += tcp.writeSack(bytes, 20 + length, Int32Array.of(10, 20), 1);
	tcp.writeTcpHeader(bytes, 0, 1, 2, -1, -2, 20 + length, tcp.SYN, 0);
	const frame = decodeFrame(packet(bytes.subarray(0, 20 + length)), "ip");
	assert.deepEqual(frame.tcp?.options, {
		mss: 1460,
		windowScale: 7,
		sackPermitted: true,
		timestamps: { value: 0xffffffff, echo: 5 },
		sack: [[10, 20]],
	});
	assert.deepEqual([frame.tcp?.seq, frame.tcp?.ack], [0xffffffff, 0xfffffffe]);
	assert.equal(frame.tcp?.checksumOk, false);
});

test("ARP, UDP and ICMP errors with what they quote decode", () => {
	assert.equal(decodeFrame(arpFrame({ operation: ARP_REQUEST, target: OWN })).arp?.targetAddress, OWN);
	const frame = decodeFrame(packet(udpDatagram(5), { protocol: 17 }), "ip");
	assert.deepEqual(frame.udp, { sourcePort: 5353, destinationPort: 53, length: 13, checksumOk: true });
	assert.equal(frame.payload.length, 5);
	const wrong = udpDatagram(5);
	setChecksumField(wrong, 0, 0);
	assert.equal(decodeFrame(packet(wrong, { protocol: 17 }), "ip").udp?.checksumOk, false);
	const error = icmpMessage(
		icmp.DESTINATION_UNREACHABLE,
		icmp.FRAGMENTATION_NEEDED,
		packet(tcpSegment(), { from: OWN, to: PEER }).subarray(0, 28),
		1400,
	);
	const { icmp: message } = decodeFrame(packet(error, { protocol: 1 }), "ip");
	assert.deepEqual([message?.type, message?.code, message?.mtu, message?.checksumOk], [3, 4, 1400, true]);
	assert.equal(message?.about?.ipv4?.destination, PEER);
	assert.match(message?.about?.malformed ?? "", /cut short/);
});

test("what is wrong is said, and what could be read is there", () => {
	const good = onEthernet(packet(tcpSegment()));
	assert.match(decodeFrame(good.subarray(0, 10)).malformed ?? "", /Ethernet header cut short at 10/);
	assert.match(decodeFrame(good.subarray(0, 30)).malformed ?? "", /IPv4 header cut short/);
	const short = decodeFrame(good.subarray(0, 50));
	assert.match(short.malformed ?? "", /IPv4 packet of 40 bytes cut short/);
	assert.equal(short.ipv4?.source, PEER);
	const flipped = good.slice();
	flipped[22]!++;
	assert.equal(decodeFrame(flipped).ipv4?.checksumOk, false);
	assert.match(decodeFrame(packet(Uint8Array.of(1, 2, 3)), "ip").malformed ?? "", /TCP header cut short/);
	assert.match(decodeFrame(Uint8Array.of(0x10), "ip").malformed ?? "", /IP version 1/);
});

test("any bytes decode without a throw", () => {
	const runs = Number(process.env.MILLRACE_FUZZ_RUNS ?? 5000);
	const valid = [
		onEthernet(packet(tcpSegment(), { options: [1, 1, 1, 1] })),
		arpFrame({ operation: ARP_REQUEST, target: OWN }),
		onEthernet(packet(udpDatagram(), { protocol: 17 })),
		onEthernet(packet(icmpMessage(3, 1, packet(tcpSegment())), { protocol: 1 })),
		onEthernet(packet(new Uint8Array(60)), { type: 0x86dd }),
	];
	const edits = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 4 });
	fc.assert(
		fc.property(
			fc.oneof(fc.constantFrom(...valid), fc.uint8Array({ maxLength: 80 })),
			edits,
			fc.nat(90),
			fc.boolean(),
			(frame, changes, length, ip) => {
				const bytes = frame.slice(0, length);
				for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
				const decoded = decodeFrame(bytes, ip ? "ip" : "ethernet");
				assert.ok(decoded.payload.length <= bytes.length);
			},
		),
		{ numRuns: runs },
	);
});

test("errors that quote errors without end do not exhaust the stack", () => {
	let bytes = packet(tcpSegment());
	while (bytes.length < 60000) bytes = packet(icmpMessage(3, 1, bytes), { protocol: 1 });
	assert.equal(decodeFrame(bytes, "ip").icmp?.about?.icmp?.type, 3);
});
