/** What links to an interface make of the kernel's addresses and connections there. */
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { describe, test } from "node:test";
import { createHost, type Host } from "../../src/index.ts";
import { packetAvailable, packetLink } from "../../src/link/packet.ts";
import { tapAvailable, tapLink } from "../../src/link/tap.ts";
import { xdpAvailable, xdpLink } from "../../src/link/xdp.ts";
import { interfaceAddresses, interfaceWith, kernelAddresses } from "../../src/sys/kernel-addresses.ts";
import { isolate } from "../helpers/namespace.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";

const skip = isolate() || lacksIp();
const lacks = (available: () => { ok: boolean; reason: string }): string | false => skip || (available().ok ? false : available().reason);
if (skip === false) {
	ip("link", "set", "lo", "up");
	vethPair("near", "far");
	ip("addr", "add", "10.9.0.1/24", "dev", "near");
	ip("addr", "add", "10.9.0.5/24", "dev", "near", "label", "near:1");
	vethPair("many", "few", 16);
	// Up, and nobody at its other end.
	ip("link", "add", "alone", "type", "veth", "peer", "name", "away");
	ip("link", "set", "alone", "up");
	ip("addr", "add", "10.8.0.2/24", "dev", "alone");
}

describe("addresses of the kernel's interfaces", { skip }, () => {
	test("are all of those that are up: with a label, and without a carrier", () => {
		assert.deepEqual(interfaceAddresses("near"), ["10.9.0.1/24", "10.9.0.5/24"]);
		assert.deepEqual([interfaceWith("10.9.0.5"), interfaceWith("10.8.0.2"), interfaceWith("10.8.0.3")], ["near", "alone", null]);
		assert.ok(kernelAddresses().some((one) => one.interface === "lo" && one.address === "127.0.0.1" && one.prefix === 8));
	});

	test("are none of an interface that is down", () => {
		ip("addr", "add", "10.7.0.1/24", "dev", "away");
		assert.equal(interfaceWith("10.7.0.1"), null);
		assert.deepEqual(interfaceAddresses("away"), ["10.7.0.1/24"]);
	});
});

test("an address that the kernel has where there is no carrier is not the stack's", { skip: lacks(packetAvailable) }, () => {
	assert.throws(() => packetLink({ interface: "near", addresses: ["10.8.0.2/24"] }), { code: "EADDRINUSE" });
});

test("a network that the kernel has where there is no carrier is not that of a TAP device", { skip: lacks(tapAvailable) }, () => {
	const link = tapLink({ kernelAddress: "10.8.0.1/24" });
	assert.throws(() => link.open({} as never), { code: "EADDRINUSE" });
});

describe("an XDP link with ports", { skip: lacks(xdpAvailable) }, () => {
	test("has those of every address of the interface, carrier or not", () => {
		assert.deepEqual(xdpLink({ interface: "near", ports: [80] }).hostOptions.addresses, ["10.9.0.1/24", "10.9.0.5/24"]);
		assert.deepEqual(xdpLink({ interface: "alone", ports: [80] }).hostOptions.addresses, ["10.8.0.2/24"]);
	});

	test("is refused where its queues would leave the stack no memory", () => {
		const link = xdpLink({ interface: "many", addresses: ["10.6.0.2/24"] });
		assert.throws(() => createHost({ link, memory: 262_144 }), { code: "MILLRACE_BAD_OPTION", message: /16 queues want 128 pages/ });
	});

	test("does not take a port on which the kernel still has connections, which it would reset", async (t) => {
		const server = net.createServer().listen(8080, "10.9.0.1");
		await once(server, "listening");
		const client = net.connect(8080, "10.9.0.1");
		const [peer] = (await once(server, "connection")) as [net.Socket];
		t.after(() => [client, peer].map((socket) => socket.destroy()));
		server.close();
		const open = (): Host => {
			const link = xdpLink({ interface: "near", ports: [80, 8080] });
			return createHost({ link, ...link.hostOptions });
		};
		assert.throws(open, { code: "EADDRINUSE", message: /open connections on port 8080, 1 of them/ });
		// Where the server ends first its end keeps the port in TIME-WAIT, which is in nobody's way.
		peer.end();
		client.resume().end();
		await Promise.all([once(peer, "close"), once(client, "close")]);
		await open().close();
	});
});
