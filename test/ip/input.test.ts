import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch, FRAME_CHECKED, FRAME_MORE } from "../../src/memory/batch.ts";
import { parseIpv4 } from "../../src/wire/address.ts";
import { set16 } from "../../src/wire/bytes.ts";
import { counted, OWN, onEthernet, PEER, packet, station, tcpSegment } from "./harness.ts";

/** The only counter that a frame raises. */
function fate(frame: Uint8Array, options: Parameters<typeof station>[0] = {}): string {
	const host = station(options);
	host.receive(frame);
	assert.equal(host.pool.inUse, 0);
	const names = Object.keys(counted(host));
	assert.equal(names.length, 1, names.join());
	return names[0]!;
}

test("a TCP segment to us reaches the transport with its extent, addresses and time", () => {
	const host = station();
	const segment = tcpSegment();
	host.receive(onEthernet(packet(segment)));
	const [got] = host.tcp.packets;
	assert.ok(got);
	assert.deepEqual(got.bytes, segment);
	assert.deepEqual([got.src2, got.src3, got.dst2, got.dst3], [0xffff, parseIpv4(PEER), 0xffff, parseIpv4(OWN)]);
	assert.deepEqual([got.version, got.protocol, got.ttl, got.broadcast, got.start - got.headerStart], [4, 6, 64, false, 20]);
	assert.equal(got.time, 1e10 | 0);
	assert.deepEqual(counted(host), { delivered: 1 });
	assert.equal(host.pool.inUse, 0);
});

test("the transport may keep the page, and then ip does not release it", () => {
	const host = station();
	host.tcp.keep = true;
	host.receive(onEthernet(packet(tcpSegment())));
	assert.equal(host.pool.inUse, 1);
	host.pool.release(host.tcp.kept[0]!);
	assert.equal(host.pool.inUse, 0);
});

test("RFC 894: what Ethernet pads a short packet with is cut off", () => {
	const host = station();
	const frame = new Uint8Array(60).fill(0xaa);
	frame.set(onEthernet(packet(tcpSegment())));
	host.receive(frame);
	assert.equal(host.tcp.packets[0]?.length, 20);
});

test("RFC 1122 3.2.1.8: options are skipped", () => {
	const host = station();
	host.receive(onEthernet(packet(tcpSegment(), { options: [7, 7, 4, 0, 0, 0, 0, 1] })));
	assert.deepEqual(host.tcp.packets[0]?.bytes, tcpSegment());
});

test("RFC 7126 4.3: source-routed packets, and those whose options cannot be read, are dropped", () => {
	for (const options of [
		[131, 7, 4, 10, 0, 0, 1, 0],
		[1, 137, 3, 4],
		[7, 0, 0, 0],
		[7, 1, 0, 0],
		[7, 9, 0, 0],
		[1, 1, 1, 7],
	]) {
		assert.equal(fate(onEthernet(packet(tcpSegment(), { options }))), "sourceRouted", String(options));
	}
	// Behind the end of the list anything may stand.
	assert.equal(fate(onEthernet(packet(tcpSegment(), { options: [0, 131, 0, 0] }))), "delivered");
});

test("RFC 1122 3.2.1.1: another version than 4 is silently discarded", () => {
	const as = (version: number) => onEthernet(packet(tcpSegment(), { edit: (header) => header.set([(version << 4) | 5]) }));
	assert.equal(fate(as(5)), "badVersion");
	assert.equal(fate(as(6)), "ipv6");
});

test("RFC 1122 3.2.1.2: a wrong header checksum is silently discarded, unless the link vouches for the frame", () => {
	const bytes = packet(tcpSegment());
	bytes[8]!--;
	assert.equal(fate(onEthernet(bytes)), "badChecksum");
	const host = station();
	host.receive(onEthernet(bytes), FRAME_CHECKED);
	assert.equal(host.tcp.packets.length, 1);
});

test("RFC 791 3.1: lengths that contradict each other are counted and dropped", () => {
	const withLengths = (headerWords: number, total: number) =>
		onEthernet(
			packet(tcpSegment(), {
				edit: (header) => {
					header[0] = 0x40 | headerWords;
					set16(header, 2, total);
				},
			}),
		);
	assert.equal(fate(withLengths(4, 40)), "badHeaderLength");
	assert.equal(fate(withLengths(0, 40)), "badHeaderLength");
	assert.equal(fate(withLengths(15, 40)), "badHeaderLength");
	assert.equal(fate(withLengths(5, 41)), "badLength");
	assert.equal(fate(withLengths(5, 19)), "badLength");
	assert.equal(fate(withLengths(5, 0)), "badLength");
	for (const length of [0, 1, 13, 14, 33])
		assert.equal(fate(onEthernet(packet(tcpSegment())).subarray(0, length)), "tooShort", String(length));
});

test("RFC 1122 3.2.1.3: sources that no other host can have are silently discarded", () => {
	for (const from of ["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "10.77.0.255", "10.77.0.0", OWN]) {
		assert.equal(fate(onEthernet(packet(tcpSegment(), { from }))), "martianSource", from);
	}
});

test("RFC 1122 3.2.1.3: destinations that are not ours are silently discarded", () => {
	for (const [to, name] of [
		["10.77.0.3", "notOurs"],
		["192.0.2.1", "notOurs"],
		["224.0.0.1", "notOurs"],
		["127.0.0.1", "martianDestination"],
		["0.0.0.0", "martianDestination"],
		["240.1.2.3", "martianDestination"],
	] as const) {
		assert.equal(fate(onEthernet(packet(tcpSegment(), { to }))), name, to);
	}
});

test("RFC 1122 3.2.1.7: a packet is not discarded because its time to live is 0 or 1", () => {
	for (const ttl of [0, 1]) assert.equal(fate(onEthernet(packet(tcpSegment(), { edit: (header) => header.set([ttl], 8) }))), "delivered");
});

test("RFC 1122 3.3.6: a link broadcast must carry an IP broadcast", () => {
	assert.equal(fate(onEthernet(packet(tcpSegment()), { to: "ff:ff:ff:ff:ff:ff" })), "linkBroadcast");
	assert.equal(fate(onEthernet(packet(tcpSegment()), { to: "01:00:5e:00:00:01" })), "linkBroadcast");
	for (const to of ["255.255.255.255", "10.77.0.255", "10.77.0.0"]) {
		const host = station();
		host.receive(onEthernet(packet(tcpSegment(), { to }), { to: "ff:ff:ff:ff:ff:ff" }));
		assert.equal(host.tcp.packets[0]?.broadcast, true, to);
	}
});

test("RFC 3021: a /31 network has no broadcast address", () => {
	const host = station({ addresses: ["10.77.0.2/31"], routes: [] });
	host.receive(onEthernet(packet(tcpSegment(), { from: "10.77.0.3" })));
	assert.equal(host.tcp.packets.length, 1);
	assert.equal(host.ip.source(parseIpv4("10.77.0.3")), parseIpv4(OWN));
});

test("RFC 791 3.2: fragments are counted and dropped, whole packets with or without DF are not", () => {
	for (const [field, name] of [
		[0x2000, "fragments"],
		[0x0001, "fragments"],
		[0x3fff, "fragments"],
		[0x4000, "delivered"],
		[0x0000, "delivered"],
	] as const) {
		assert.equal(fate(onEthernet(packet(tcpSegment(), { edit: (header) => set16(header, 6, field) }))), name);
	}
});

test("frames for other stations, from group addresses or of unknown type are counted and dropped", () => {
	const bytes = packet(tcpSegment());
	assert.equal(fate(onEthernet(bytes, { to: "02:00:0a:4d:00:03" })), "otherStation");
	assert.equal(fate(onEthernet(bytes, { to: "02:01:0a:4d:00:02" })), "otherStation");
	assert.equal(fate(onEthernet(bytes, { from: "03:00:0a:4d:00:01" })), "badStation");
	assert.equal(fate(onEthernet(bytes, { type: 0x8100 })), "unknownType");
	assert.equal(fate(onEthernet(bytes, { type: 0x86dd })), "ipv6");
	assert.equal(fate(onEthernet(bytes, { type: 46 })), "unknownType");
});

test("an ip link carries packets without a link header", () => {
	const host = station({ medium: "ip", routes: [{ to: "0.0.0.0/0" }] });
	host.receive(packet(tcpSegment()));
	assert.equal(host.tcp.packets.length, 1);
	host.send(PEER);
	host.send("192.0.2.1");
	const [near, far] = host.sent();
	assert.equal(near?.ipv4?.destination, PEER);
	assert.equal(far?.ipv4?.destination, "192.0.2.1");
});

test("a gateway takes packets to any host, but none to groups, nobody or 127.0.0.0/8", () => {
	const gateway = { acceptAny: true };
	assert.equal(fate(onEthernet(packet(tcpSegment(), { to: "192.0.2.1" })), gateway), "delivered");
	assert.equal(fate(onEthernet(packet(tcpSegment(), { to: "224.0.0.5" })), gateway), "notOurs");
	assert.equal(fate(onEthernet(packet(tcpSegment(), { to: "0.0.0.0" })), gateway), "martianDestination");
	assert.equal(fate(onEthernet(packet(tcpSegment(), { to: "127.0.0.1" })), gateway), "martianDestination");
	const { ip } = station(gateway);
	assert.equal(ip.isLocal(parseIpv4("192.0.2.1")), true);
	assert.equal(ip.isLocal(parseIpv4("255.255.255.255")), false);
	assert.equal(station().ip.isLocal(parseIpv4("192.0.2.1")), false);
});

test("a frame in several pieces counts once and is dropped, wherever batches end", () => {
	const host = station();
	const frame = onEthernet(packet(tcpSegment()));
	const batch = new Batch(host.pool);
	const add = (flags: number) => {
		batch.add(frame, 0);
		batch.flags[batch.count - 1] = flags;
	};
	add(0);
	add(FRAME_MORE);
	add(FRAME_MORE);
	add(0);
	add(0);
	add(FRAME_MORE);
	host.ip.input(batch);
	assert.equal(batch.count, 0);
	add(0);
	add(0);
	host.ip.input(batch);
	assert.deepEqual(counted(host), { delivered: 3, chained: 2 });
	assert.equal(host.ip.counters.received, 5);
	assert.equal(host.pool.inUse, 0);
});
