/** IP, ARP and ICMP with the kernel of this machine as neighbor, over a TAP device in a network namespace of its own. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { Icmp } from "../../src/icmp/icmp.ts";
import { IpLayer } from "../../src/ip/ip.ts";
import type { Unreachable } from "../../src/ip/transport.ts";
import { tapLink } from "../../src/link/tap.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { HEADROOM, PagePool } from "../../src/memory/pages.ts";
import { formatMac, parseIpv4 } from "../../src/wire/address.ts";
import { checksum, pseudoHeader4 } from "../../src/wire/checksum.ts";
import * as icmp from "../../src/wire/icmp.ts";
import * as udp from "../../src/wire/udp.ts";
import { isolate } from "../helpers/namespace.ts";
import { realRuntime } from "../helpers/real-runtime.ts";

const skip = isolate();
const OWN = parseIpv4("10.77.0.2");
const KERNEL = parseIpv4("10.77.0.1");

function open() {
	const pool = new PagePool(new Arena(1 << 20), 128);
	const runtime = realRuntime();
	const link = tapLink();
	const received = new Batch(pool);
	const out = new Batch(pool);
	let woken: () => void = () => {};
	link.open({ pool, runtime, wake: () => setImmediate(() => turn()), failed: (error) => assert.fail(error) });
	link.ref();
	const ip = new IpLayer({
		pool,
		runtime,
		medium: "ethernet",
		mtu: link.mtu,
		mac: link.mac,
		addresses: ["10.77.0.2/24"],
		routes: [{ to: "0.0.0.0/0", via: "10.77.0.1" }],
		out: { push: (page, start, length, flags) => void out.push(page, start, length, 0, flags) },
	});
	const icmpLayer = new Icmp({ pool, runtime, ip });
	const send = () => {
		link.transmit(out);
		link.flush();
	};
	const turn = () => {
		while (link.receive(received) > 0) ip.input(received);
		send();
		woken();
	};
	ip.advance(runtime.clock.now());
	send();
	return {
		pool,
		link,
		ip,
		icmp: icmpLayer,
		/** Sends a transport's packet to the kernel. */
		send(bytes: Uint8Array, protocol: number) {
			const page = pool.alloc();
			const start = pool.address(page) + HEADROOM;
			pool.u8.set(bytes, start);
			assert.ok(ip.output(page, start, bytes.length, OWN, KERNEL, protocol, 0));
			send();
		},
		/** Waits until a turn has made `done` true. */
		async until(done: () => boolean) {
			while (!done()) {
				await new Promise<void>((resolve) => {
					woken = resolve;
				});
			}
		},
	};
}

const host = skip === false ? open() : undefined;
after(() => host?.link.close());

test("RFC 1122 3.2.2.1: the kernel hears that nobody listens on a port, as ECONNREFUSED on its socket", { skip }, async () => {
	const socket = createSocket("udp4");
	socket.connect(9, "10.77.0.2");
	await once(socket, "connect");
	socket.send("x");
	const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
	assert.equal(error.code, "ECONNREFUSED");
	socket.close();
	assert.equal(host!.icmp.counters.errorsSent, 1);
});

test("RFC 826: the kernel has learned our hardware address", { skip }, () => {
	const line = readFileSync("/proc/net/arp", "utf8")
		.split("\n")
		.find((entry) => entry.startsWith("10.77.0.2 "));
	assert.ok(line?.includes(formatMac(host!.link.mac)), line);
	assert.ok(line?.includes(" 0x2 "), line);
});

test("RFC 826, RFC 792: the kernel answers our question for its address, and our echo request", { skip }, async () => {
	const fresh = host!;
	fresh.ip.neighbors.clear();
	const request = new Uint8Array(icmp.ICMP_HEADER + 100).fill(5);
	icmp.writeIcmpError(request, 0, icmp.ECHO_REQUEST, 0);
	icmp.setChecksumField(request, 0, checksum(request, 0, request.length, 0));
	const before = fresh.ip.counters.arpReplies;
	fresh.send(request, 1);
	await fresh.until(() => fresh.icmp.counters.echoReplies === 1);
	assert.equal(fresh.ip.counters.arpReplies, before + 1);
});

test("RFC 1122 3.2.2.1: the kernel's port unreachable reaches the transport whose datagram it quotes", { skip }, async () => {
	const errors: Unreachable[] = [];
	host!.ip.register(udp.PROTOCOL_UDP, { input: () => false, unreachable: (error) => void errors.push({ ...error }) });
	const datagram = new Uint8Array(udp.UDP_HEADER + 3);
	udp.writeUdpHeader(datagram, 0, 4000, 5000, datagram.length);
	udp.setChecksumField(datagram, 0, checksum(datagram, 0, datagram.length, pseudoHeader4(OWN, KERNEL, udp.PROTOCOL_UDP, datagram.length)));
	host!.send(datagram, udp.PROTOCOL_UDP);
	await host!.until(() => errors.length > 0);
	const { reason, dst3, src3, protocol, srcPort, dstPort } = errors[0]!;
	assert.deepEqual(
		{ reason, dst3, src3, protocol, srcPort, dstPort },
		{ reason: "port", dst3: KERNEL, src3: OWN, protocol: 17, srcPort: 4000, dstPort: 5000 },
	);
	assert.equal(host!.pool.inUse, 0);
});
