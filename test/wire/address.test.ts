import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { MillraceError } from "../../src/errors.ts";
import * as address from "../../src/wire/address.ts";

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const word = fc.oneof(fc.constantFrom(0, 1, 0xffff, 0x10000, -1), int32);

test("IPv4 addresses go to text and back", () => {
	assert.equal(address.parseIpv4("10.77.0.2"), 0x0a4d0002);
	assert.equal(address.parseIpv4("255.255.255.255"), -1);
	fc.assert(
		fc.property(int32, (value) => {
			const text = address.formatIpv4(value);
			assert.ok(isIPv4(text));
			assert.equal(address.parseIpv4(text), value);
		}),
	);
});

test("what is no IPv4 address is refused with the remedy", () => {
	for (const text of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", " 1.2.3.4", "1.2.3.4 ", "1.2.3.-4", "localhost", "1.2.3.4/8"]) {
		assert.throws(
			() => address.parseIpv4(text),
			(error) => error instanceof MillraceError && error.code === "MILLRACE_ADDRESS" && /10\.77\.0\.2/.test(error.message),
			text,
		);
	}
});

test("IPv6 addresses go to text and back", () => {
	fc.assert(
		fc.property(word, word, word, word, (a, b, c, d) => {
			const text = address.formatIpv6(a, b, c, d);
			assert.ok(isIPv6(text), text);
			assert.deepEqual([...address.parseIpv6(text)], [a, b, c, d]);
		}),
	);
});

test("RFC 5952 4 and 5: one text per IPv6 address", () => {
	for (const [given, text] of [
		["2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"],
		["2001:DB8::1", "2001:db8::1"],
		["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
		["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
		["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
		["0:0:0:0:0:0:0:0", "::"],
		["0:0:0:0:0:0:0:1", "::1"],
		["fe80:0:0:0:0:0:0:0", "fe80::"],
		["::ffff:c000:201", "::ffff:192.0.2.1"],
		["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
	] as const) {
		assert.equal(address.formatIpv6(...(address.parseIpv6(given) as unknown as [number, number, number, number])), text);
	}
});

test("RFC 4291 2.2: what is an IPv6 address agrees with the platform on any text of its letters", () => {
	fc.assert(
		fc.property(
			fc.array(fc.constantFrom("0", "1", "a", "F", ":", "::", ":", ".", "1.2.3.4", "ffff", "12345", "/"), { maxLength: 14 }),
			(parts) => {
				const text = parts.join("");
				assert.equal(address.ipVersion(text) === 6, isIPv6(text), text);
				assert.equal(address.ipVersion(text) === 4, isIPv4(text), text);
			},
		),
		{ numRuns: 5000 },
	);
});

test("RFC 4291 2.5.5.2: an IPv4 address in four words is IPv4-mapped, and shows as IPv4", () => {
	assert.deepEqual([...address.parseAddress("10.77.0.2")], [0, 0, 0xffff, 0x0a4d0002]);
	assert.equal(address.formatAddress(0, 0, 0xffff, 0x0a4d0002), "10.77.0.2");
	assert.equal(address.formatAddress(0x20010db8, 0, 0, 1), "2001:db8::1");
	assert.throws(() => address.parseAddress("example.org"), { code: "MILLRACE_ADDRESS" });
});

test("RFC 4632 3.1: prefixes are parsed with their address and checked against its width", () => {
	const cidr = address.parseCidr("10.77.0.2/24");
	assert.deepEqual([cidr.version, cidr.words[3], cidr.prefix], [4, 0x0a4d0002, 24]);
	assert.equal(address.formatCidr(cidr), "10.77.0.2/24");
	assert.equal(address.formatCidr(address.parseCidr("FD00::2/64")), "fd00::2/64");
	assert.equal(address.formatCidr(address.parseCidr("0.0.0.0/0")), "0.0.0.0/0");
	for (const text of ["10.77.0.2", "10.77.0.2/33", "10.77.0.2/-1", "10.77.0/24", "::/129", "/24", "10.77.0.2/24/8"]) {
		assert.throws(() => address.parseCidr(text), { code: "MILLRACE_ADDRESS" }, text);
	}
	assert.equal(address.formatIpv4(address.mask4(24)), "255.255.255.0");
	assert.equal(address.mask4(0), 0);
	assert.equal(address.mask4(32), -1);
});

test("hardware addresses go to text and back", () => {
	assert.deepEqual([...address.parseMac("02-00-0A-4d-00-02")], [2, 0, 0x0a, 0x4d, 0, 2]);
	fc.assert(
		fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
			assert.deepEqual(address.parseMac(address.formatMac(bytes)), Uint8Array.from(bytes));
		}),
	);
	for (const text of ["", "02:00:0a:4d:00", "02:00:0a:4d:00:2", "02:00:0a-4d:00:02", "02:00:0a:4d:00:02:03", "gg:00:0a:4d:00:02"]) {
		assert.throws(() => address.parseMac(text), { code: "MILLRACE_ADDRESS" }, text);
	}
});
