/** The XDP programs, run by the kernel on single frames; frames of ours are told by what becomes of them without a socket. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { type XdpOptions, xdpLink } from "../../src/link/xdp.ts";
import { PORT_WORDS, type ProgramOptions, xdpProgram } from "../../src/link/xdp-program.ts";
import { createMap, loadXdp, MAP_ARRAY, MAP_XSK, setWord, testRun, XDP_DROP, XDP_PASS } from "../../src/sys/bpf/bpf.ts";
import { libc } from "../../src/sys/libc.ts";
import { parseIpv4 } from "../../src/wire/address.ts";

const skip = process.platform !== "linux" || process.getuid?.() !== 0 ? "needs Linux and root (bpf)" : false;

const OWN = "10.0.0.7";
const SECOND = "192.168.3.4";
const OTHER = "10.0.0.8";
const MAC = Uint8Array.of(2, 1, 2, 3, 4, 0xff);

const quad = (address: string): number[] => address.split(".").map(Number);

function ethernet(type: number, payload: readonly number[], destination: Iterable<number> = [2, 9, 9, 9, 9, 9]): Uint8Array {
	const bytes = new Uint8Array(Math.max(60, 14 + payload.length));
	bytes.set([...destination, 2, 0, 0, 0, 0, 9, type >> 8, type & 255, ...payload]);
	return bytes;
}

function ipv4(to: string, protocol: number, payload: readonly number[], { options = 0, fragment = 0, from = "10.0.0.9" } = {}): number[] {
	return [
		0x45 + options,
		0,
		0,
		60,
		0,
		0,
		fragment >> 8,
		fragment & 255,
		64,
		protocol,
		0,
		0,
		...quad(from),
		...quad(to),
		...new Array<number>(options * 4).fill(1),
		...payload,
	];
}

const tcp = (from: number, to: number): number[] => [from >> 8, from & 255, to >> 8, to & 255, ...new Array<number>(16).fill(0)];
const arp = (target: string, operation = 1): number[] => [
	0,
	1,
	8,
	0,
	6,
	4,
	0,
	operation,
	2,
	0,
	0,
	0,
	0,
	9,
	10,
	0,
	0,
	9,
	0,
	0,
	0,
	0,
	0,
	0,
	...quad(target),
];

const sockets = skip ? 0 : createMap(MAP_XSK, 4, 4, 4);
const map = skip ? 0 : createMap(MAP_ARRAY, 4, 4, PORT_WORDS);
after(() => skip || [sockets, map].map((fd) => libc().close(fd)));

/** A judge of frames: whether they are the stack's. */
function judge(options: Omit<ProgramOptions, "sockets" | "addresses">): (frame: Uint8Array) => boolean {
	const addresses = [OWN, SECOND].map(parseIpv4);
	const program = loadXdp(xdpProgram({ sockets, addresses, fallback: XDP_DROP, ...options }), "test");
	after(() => libc().close(program));
	return (frame) => {
		const verdict = testRun(program, frame);
		assert.ok(verdict === XDP_DROP || verdict === XDP_PASS);
		return verdict === XDP_DROP;
	};
}

describe("the XDP program", { skip }, () => {
	test("own address: IPv4 to it and ARP about it are the stack's, all else is the kernel's", () => {
		const ours = judge({});
		for (const address of [OWN, SECOND]) {
			assert.ok(ours(ethernet(0x0800, ipv4(address, 6, tcp(1, 2)))));
			assert.ok(ours(ethernet(0x0800, ipv4(address, 1, [8, 0, 0, 0, 0, 0, 0, 0]))));
			assert.ok(ours(ethernet(0x0806, arp(address))));
			assert.ok(ours(ethernet(0x0806, arp(address, 2))));
		}
		assert.ok(!ours(ethernet(0x0800, ipv4(OTHER, 6, tcp(1, 2)))));
		assert.ok(!ours(ethernet(0x0806, arp(OTHER))));
		assert.ok(!ours(ethernet(0x86dd, ipv4(OWN, 6, tcp(1, 2)))));
		assert.ok(!ours(ethernet(0x88b5, arp(OWN))));
		assert.ok(!ours(ethernet(0x0806, arp(OWN)).subarray(0, 41)), "an ARP packet that is cut off");
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 6, [])).subarray(0, 33)), "an IPv4 header that is cut off");
		assert.ok(!ours(ethernet(0x0800, []).subarray(0, 14)));
	});

	test("IEEE 802.1Q 9.6: VLAN 0 is a priority alone, so it changes nothing; other VLANs are the kernel's", () => {
		const tagged = (vlan: number, bytes: Uint8Array): Uint8Array =>
			Uint8Array.of(...bytes.subarray(0, 12), 0x81, 0, 0xa0 | (vlan >> 8), vlan & 255, ...bytes.subarray(12));
		setWord(map, 2, 1 << 16);
		const frames = [ethernet(0x0800, ipv4(OWN, 6, tcp(1, 80))), ethernet(0x0806, arp(OWN)), ethernet(0x0800, ipv4(OTHER, 6, tcp(1, 80)))];
		for (const options of [{}, { ports: { map, first: 61000, last: 65000 } }]) {
			const ours = judge(options);
			for (const frame of frames) {
				assert.equal(ours(tagged(0, frame)), ours(frame));
				for (const vlan of [1, 256, 4095]) assert.ok(!ours(tagged(vlan, frame)), `VLAN ${vlan}`);
			}
			assert.ok(!ours(tagged(0, frames[0]!).subarray(0, 17)), "cut off");
		}
	});

	test("own hardware address: everything to it, and of the rest only ARP about the own address", () => {
		const ours = judge({ mac: MAC });
		assert.ok(ours(ethernet(0x88b5, [], MAC)));
		assert.ok(ours(ethernet(0x0800, ipv4(OTHER, 17, []), MAC)));
		assert.ok(ours(ethernet(0x0806, arp(OWN), [255, 255, 255, 255, 255, 255])));
		assert.ok(!ours(ethernet(0x0806, arp(OTHER), [255, 255, 255, 255, 255, 255])));
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 6, tcp(1, 2)))));
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 6, tcp(1, 2)), [2, 1, 2, 3, 4, 0xfe])));
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 6, tcp(1, 2)), [2, 0, 2, 3, 4, 0xff])));
	});

	test("ports: TCP to them and to the range of outgoing connections, behind IP options too", () => {
		for (const port of [0, 80, 8080, 8095]) setWord(map, port >> 5, 1 << (port & 31));
		const ours = judge({ ports: { map, first: 61000, last: 65000 } });
		const to = (port: number, more = {}, address = OWN) => ours(ethernet(0x0800, ipv4(address, 6, tcp(port + 1, port), more)));
		for (const port of [80, 8080 + 15, 61000, 63000, 65000]) {
			assert.ok(to(port), `${port}`);
			assert.ok(to(port, { options: 10 }), `${port} behind options`);
			assert.ok(to(port, {}, SECOND), `${port} of the second address`);
			assert.ok(!to(port, {}, OTHER), `${port} of another machine`);
		}
		for (const port of [81, 22, 60999, 65001, 65535]) assert.ok(!to(port), `${port}`);
		assert.ok(!ours(ethernet(0x0806, arp(OWN))), "ARP is the kernel's");
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 17, tcp(80, 80)))), "UDP is the kernel's");
		assert.ok(!to(80, { fragment: 100 }), "a later fragment");
		assert.ok(to(80, { fragment: 0x2000 }), "the first fragment");
		assert.ok(to(80, { fragment: 0x4000 }), "don't fragment");
		assert.ok(!ours(ethernet(0x0800, [0x65, ...ipv4(OWN, 6, tcp(1, 80)).slice(1)])), "version 6 in an IPv4 frame");
		assert.ok(!ours(ethernet(0x0800, [0x44, ...ipv4(OWN, 6, tcp(1, 80)).slice(1)])), "a header of 16 bytes");
		assert.ok(!ours(ethernet(0x0800, ipv4(OWN, 6, tcp(1, 80), { options: 10 })).subarray(0, 14 + 60 + 3)), "ports cut off");
	});

	test("ports: ICMP errors about the stack's own connections are the stack's, other ICMP is the kernel's", () => {
		setWord(map, 80 >> 5, 1 << (80 & 31));
		const ours = judge({ ports: { map, first: 61000, last: 65000 } });
		const about = (type: number, port: number, from = OWN, protocol = 6, options = 0) =>
			ours(ethernet(0x0800, ipv4(OWN, 1, [type, 4, 0, 0, 0, 0, 0, 0, ...ipv4(OTHER, protocol, tcp(port, 443), { from, options })])));
		assert.ok(about(3, 80));
		assert.ok(about(3, 61234));
		assert.ok(about(3, 80, OWN, 6, 3));
		assert.ok(!about(3, 81));
		assert.ok(!about(3, 80, OTHER));
		assert.ok(!about(3, 80, OWN, 17));
		assert.ok(!about(8, 80));
	});
});

test("options of an XDP link that are not valid are refused by name, before the interface is looked at", () => {
	const refused = (options: object, message: RegExp) =>
		assert.throws(() => xdpLink({ interface: "none0", ports: [80], ...options } as XdpOptions), { code: "MILLRACE_BAD_OPTION", message });
	refused({ port: 80 }, /an XDP link has no option "port"\. It has interface, addresses, mac, ports/);
	refused({ mode: "driver" }, /bad mode: driver\. Give one of auto, native, generic/);
	refused({ zeroCopy: true }, /bad zeroCopy: true\. Give one of auto, always, never/);
	refused({ zeroCopy: "always", mode: "generic" }, /zeroCopy "always" does not go with mode "generic"/);
	for (const queues of [[], [0, 0], [0.5], [-1]]) refused({ queues }, /bad queues: /);
	for (const outgoingPorts of [[61000], [62000, 61000], [61000, 61001, 61002]]) refused({ outgoingPorts }, /bad outgoingPorts: /);
	refused({ ports: undefined, addresses: ["10.0.0.7/24"], outgoingPorts: [61000, 61999] }, /outgoingPorts goes with ports only/);
});
