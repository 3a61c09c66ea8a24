/** Any frame at all: no throw, no page kept, each frame counted under one name. MILLRACE_FUZZ_RUNS sets how many. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { FRAME_CHECKED, FRAME_MORE } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { ARP_REPLY, ARP_REQUEST } from "../../src/wire/arp.ts";
import * as icmp from "../../src/wire/icmp.ts";
import {
	arpFrame,
	fates,
	icmpMessage,
	OWN,
	OWN_MAC,
	onEthernet,
	PEER,
	packet,
	type Station,
	station,
	tcpSegment,
	udpDatagram,
} from "./harness.ts";

const runs = Number(process.env.MILLRACE_FUZZ_RUNS ?? 3000);

const valid: Uint8Array[] = [
	arpFrame({ operation: ARP_REQUEST, target: OWN }),
	arpFrame({ operation: ARP_REPLY, target: OWN, targetMac: OWN_MAC, to: OWN_MAC }),
	arpFrame({ operation: ARP_REQUEST, sender: OWN, target: OWN }),
	onEthernet(packet(tcpSegment())),
	onEthernet(packet(tcpSegment(), { options: [7, 7, 4, 0, 0, 0, 0, 1] })),
	onEthernet(packet(udpDatagram(), { protocol: 17 })),
	onEthernet(packet(udpDatagram(), { protocol: 200 })),
	onEthernet(packet(icmpMessage(icmp.ECHO_REQUEST, 0, new Uint8Array(20)), { protocol: 1 })),
	...[0, 3, 4].map((code) =>
		onEthernet(packet(icmpMessage(icmp.DESTINATION_UNREACHABLE, code, packet(tcpSegment(), { from: OWN, to: PEER })), { protocol: 1 })),
	),
];

const mutated = fc
	.tuple(
		fc.constantFrom(...valid),
		fc.array(fc.tuple(fc.nat(80), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 127, 128, 255))), { maxLength: 4 }),
		fc.option(fc.nat(90), { nil: undefined }),
	)
	.map(([frame, edits, length]) => {
		const bytes = frame.slice();
		for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
		if (length === undefined) return bytes;
		const cut = new Uint8Array(length);
		cut.set(bytes.subarray(0, length));
		return cut;
	});

/** Checksums right, everything else anything: gets past the first defences. Flags say that the link vouches for them. */
const frames = fc.array(
	fc.tuple(
		fc.oneof({ weight: 6, arbitrary: mutated }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 120 }) }),
		fc.constantFrom(0, 0, FRAME_CHECKED, FRAME_CHECKED, FRAME_MORE),
		fc.nat(20),
	),
	{ minLength: 1, maxLength: 30 },
);

const kinds: [string, Parameters<typeof station>[0]][] = [
	["an Ethernet host", {}],
	["an Ethernet gateway", { acceptAny: true }],
	["an ip link", { medium: "ip", routes: [{ to: "0.0.0.0/0" }] }],
	["a loopback link", { medium: "ip", loopbackLink: true, addresses: ["127.0.0.1/8", `${OWN}/24`], routes: [] }],
];

for (const [name, options] of kinds) {
	test(`${name} counts every frame under one name, throws never and keeps no page`, () => {
		const pool = new PagePool(new Arena(1 << 20), 256);
		let seen = 0;
		const run = (host: Station, input: [Uint8Array, number, number][]) => {
			let pieces = 0;
			let open = false;
			let second = 0;
			for (const [bytes, flags, wait] of input) {
				// A frame in pieces is one frame.
				if (!open) pieces++;
				open = (flags & FRAME_MORE) !== 0;
				host.receive(options?.medium === "ip" ? bytes.subarray(14) : bytes, flags);
				host.send(PEER);
				second += wait;
				host.at(second);
				host.ip.pump();
			}
			const { counters } = host.ip;
			assert.equal(counters.received, pieces);
			host.sent();
			host.ip.pump();
			assert.equal(fates(host), counters.received + counters.looped);
			host.ip.close();
			assert.equal(pool.inUse, 0);
			seen += pieces;
		};
		fc.assert(
			fc.property(frames, (input) => run(station({ ...options, pool }), input)),
			{ numRuns: Math.ceil(runs / 15) },
		);
		assert.ok(seen >= runs / 15);
	});
}

test("an exhausted pool drops, counts and recovers", () => {
	const pool = new PagePool(new Arena(1 << 18), 2);
	const host = station({ pool });
	host.at(0);
	host.at(2);
	const held = [pool.alloc()];
	// The frame takes the last page: nothing can be answered except in place.
	for (const frame of valid) host.receive(frame);
	assert.ok(host.ip.counters.arpNoPage > 0);
	assert.ok(host.icmp.counters.errorsLimited > 0);
	held.push(pool.alloc());
	for (const frame of valid) host.receive(frame); // Batch.add finds no page: nothing reaches ip.
	for (const page of held) pool.release(page);
	host.sent();
	host.receive(arpFrame({ operation: ARP_REQUEST, target: OWN }));
	assert.equal(host.sent().length, 1);
	assert.equal(pool.inUse, 0);
});
