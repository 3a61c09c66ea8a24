/** The packet link's filter, run by a small interpreter of the four instructions that it is made of. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressFilter } from "../../src/link/packet-filter.ts";
import { parseIpv4 } from "../../src/wire/address.ts";

/** What the kernel says of a frame beside its bytes: whither it goes. */
const DIRECTION = -0x1000 + 4;
const [TO_US, TO_OTHERS, OUTGOING] = [0, 3, 4];

function passes(program: Uint8Array, frame: Uint8Array, direction = TO_US): boolean {
	const code = new DataView(program.buffer);
	const data = new DataView(frame.buffer, frame.byteOffset, frame.length);
	let accumulator = 0;
	for (let at = 0; ; at += 8) {
		const constant = code.getInt32(at + 4, true);
		switch (code.getUint16(at, true)) {
			case 0x20:
				if (constant === DIRECTION) {
					accumulator = direction;
					break;
				}
				assert.ok(constant >= 0);
				if (constant + 4 > frame.length) return false;
				accumulator = data.getInt32(constant);
				break;
			case 0x28:
				if (constant + 2 > frame.length) return false;
				accumulator = data.getUint16(constant);
				break;
			case 0x15:
				at += 8 * code.getUint8(at + (accumulator === constant ? 2 : 3));
				break;
			case 0x06:
				return constant !== 0;
			default:
				assert.fail(`instruction ${at / 8}`);
		}
	}
}

const OWN = [10, 0, 0, 7];
const SECOND = [192, 168, 3, 4];
const OTHER = [10, 0, 0, 8];
const MAC = Uint8Array.of(2, 0x4d, 10, 0, 0, 7);
const ALL = new Array<number>(6).fill(255);

function frame(type: number, at: number, address: readonly number[], to: Iterable<number> = [2, 9, 9, 9, 9, 9]): Uint8Array {
	const bytes = new Uint8Array(60);
	bytes.set([...to, 2, 0, 0, 0, 0, 9, type >> 8, type & 255]);
	bytes.set(address, at);
	return bytes;
}
const ipv4 = (address: readonly number[], to?: Iterable<number>) => frame(0x0800, 30, address, to);
const arp = (address: readonly number[], to?: Iterable<number>) => frame(0x0806, 38, address, to);
const addresses = [OWN, SECOND].map((bytes) => parseIpv4(bytes.join(".")));

test("with a hardware address of its own: everything to that, and ARP about its addresses", () => {
	const filter = addressFilter(addresses, MAC);
	assert.ok(passes(filter, frame(0x88b5, 30, OTHER, MAC)));
	assert.ok(passes(filter, ipv4(OTHER, MAC)));
	for (const address of [OWN, SECOND]) assert.ok(passes(filter, arp(address, ALL)));
	assert.ok(!passes(filter, arp(OTHER, ALL)));
	assert.ok(!passes(filter, ipv4(OWN)));
	assert.ok(!passes(filter, ipv4(OWN, [3, ...MAC.subarray(1)])));
	assert.ok(!passes(filter, ipv4(OWN, [...MAC.subarray(0, 5), 8])));
	assert.ok(!passes(filter, arp(OWN, ALL).subarray(0, 41)));
});

test("with the interface's: IPv4 to its addresses, and ARP about them", () => {
	const filter = addressFilter(addresses);
	for (const address of [OWN, SECOND]) {
		assert.ok(passes(filter, ipv4(address)));
		assert.ok(passes(filter, arp(address, ALL)));
	}
	assert.ok(!passes(filter, ipv4(OTHER)));
	assert.ok(!passes(filter, arp(OTHER)));
	assert.ok(!passes(filter, frame(0x86dd, 30, OWN)));
});

test("nothing that goes out, whatever it is; addresses of other stations do not matter", () => {
	for (const filter of [addressFilter(addresses), addressFilter(addresses, MAC)]) {
		for (const bytes of [ipv4(OWN, MAC), arp(OWN, ALL)]) {
			assert.ok(passes(filter, bytes, TO_OTHERS));
			assert.ok(!passes(filter, bytes, OUTGOING));
		}
	}
});

test("as many addresses as a link takes: all jumps reach", () => {
	const many = Array.from({ length: 64 }, (_, i) => 0x0a000100 + i);
	const filter = addressFilter(many);
	for (const i of [0, 63]) assert.ok(passes(filter, ipv4([10, 0, 1, i])));
	assert.ok(passes(filter, arp([10, 0, 1, 63])));
	assert.ok(!passes(filter, ipv4(OWN)));
	assert.ok(!passes(filter, ipv4([10, 0, 1, 63]), OUTGOING));
});
