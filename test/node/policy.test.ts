import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KERNEL, Shared, StackOnly, UNDECIDED, UNREACHABLE } from "../../src/node/policy.ts";
import type { StackHost } from "../../src/node/stack.ts";

const host = { hasListener: (port: number): boolean => port === 80 } as StackHost;
/** With a server on one address only. */
const near = { hasListener: (port: number, address = "10.77.0.2"): boolean => port === 80 && address === "10.77.0.2" } as StackHost;

describe("policy of the preload", () => {
	const policy = new Shared(() => host, { kernelPorts: [9229] });

	it("listeners go to the stack, without an address on all of its own", () => {
		assert.equal(policy.listener(undefined, 80), "0.0.0.0");
		assert.equal(policy.listener("::", 80), "0.0.0.0");
		assert.equal(policy.listener("10.77.0.2", 0), "10.77.0.2");
		assert.equal(policy.listener("127.0.0.1", 80), "127.0.0.1");
		assert.equal(policy.listener("::1", 80), "127.0.0.1");
		assert.equal(policy.listener("::ffff:10.0.0.1", 80), "10.0.0.1");
	});

	it("kernel ports and IPv6 listeners stay with the kernel", () => {
		assert.equal(policy.listener(undefined, 9229), KERNEL);
		assert.equal(policy.listener("2001:db8::1", 80), KERNEL);
		assert.equal(policy.listener("::", 80, true), KERNEL);
		assert.equal(policy.listener(undefined, 80, true), KERNEL);
		assert.equal(policy.listener("0.0.0.0", 80, true), "0.0.0.0", "says nothing of IPv4");
	});

	it("with exposeLoopback a listener on 127.0.0.0/8 listens on all addresses", () => {
		const exposing = new Shared(() => host, { exposeLoopback: () => true });
		assert.equal(exposing.listener("127.0.0.1", 80), "0.0.0.0");
		assert.equal(exposing.listener("10.77.0.2", 80), "10.77.0.2");
	});

	it("with ports of the machine's own address only those go to the stack, and only connections that leave by its link", () => {
		const taking = new Shared(() => host, { ports: [80, 443], leaves: (address) => address === "192.0.2.1" });
		assert.equal(taking.listener(undefined, 80), "0.0.0.0");
		assert.equal(taking.listener(undefined, 8081), KERNEL);
		assert.equal(taking.listener(undefined, 0), KERNEL);
		assert.equal(taking.destination("192.0.2.1", 9000), "192.0.2.1");
		assert.equal(taking.destination("10.0.0.1", 9000), KERNEL);
		assert.equal(taking.destination("10.0.0.1", 80), "10.0.0.1", "its own port of the machine");
	});

	it("destinations go to the stack, IPv6 ones to the kernel", () => {
		assert.equal(policy.destination("192.0.2.1", 443), "192.0.2.1");
		assert.equal(policy.destination("2001:db8::1", 443), KERNEL);
		assert.equal(policy.destination("192.0.2.1", 9229), KERNEL);
		assert.equal(policy.mayDial("example.com", 443), true);
		assert.equal(policy.mayDial("example.com", 9229), false);
		assert.equal(policy.mayDial("2001:db8::1", 443), false);
	});

	it("127.0.0.0/8, ::1 and localhost go to the stack where the stack listens", () => {
		for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::"]) {
			assert.equal(policy.destination(address, 80), "127.0.0.1");
			assert.equal(policy.destination(address, 81), KERNEL);
			assert.equal(policy.mayDial(address, 81), UNDECIDED);
		}
		assert.equal(policy.mayDial("LocalHost", 80), true);
		assert.equal(policy.mayDial("localhost", 81), UNDECIDED);
		const other = new Shared(() => near);
		assert.equal(other.destination("127.0.0.1", 80), KERNEL, "who listens on another address only may leave 127.0.0.1 to another program");
		assert.equal(other.mayDial("localhost", 80), UNDECIDED);
		assert.equal(other.destination("10.77.0.2", 80), "10.77.0.2");
		const exposing = new Shared(() => near, { exposeLoopback: () => true });
		assert.equal(exposing.destination("127.0.0.1", 80), "127.0.0.1", "the kernel's port would lead here");
	});

	it("a loop-back link has all of 127.0.0.0/8", () => {
		const loopback = new Shared(() => null, { loopback: true });
		assert.equal(loopback.destination("127.8.8.8", 81), "127.8.8.8");
		assert.equal(loopback.mayDial("localhost", 81), true);
	});

	it("asking does not open the host", () => {
		const lazy = new Shared(() => null);
		assert.equal(lazy.destination("127.0.0.1", 80), KERNEL);
	});
});

describe("policy of createNet", () => {
	const policy = new StackOnly();
	it("everything goes to the host; what it cannot reach is an error", () => {
		assert.equal(policy.destination("127.0.0.1"), "127.0.0.1");
		assert.equal(policy.destination("::1"), "127.0.0.1");
		assert.equal(policy.destination("2001:db8::1"), UNREACHABLE);
		assert.equal(policy.listener(undefined, 80), "0.0.0.0");
		assert.equal(policy.listener("2001:db8::1", 80), UNREACHABLE);
		assert.equal(policy.listener("::", 80, true), UNREACHABLE);
	});
});
