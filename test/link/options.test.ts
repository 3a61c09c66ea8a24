/** Options of the links of devices that are wrong or contradict each other: refused before anything of the machine is looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { type PacketOptions, packetLink } from "../../src/link/packet.ts";
import { streamLink } from "../../src/link/stream.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { createGateway, userLink } from "../../src/link/user.ts";
import { xdpLink } from "../../src/link/xdp.ts";
import { VirtualClock } from "../helpers/runtime.ts";

const refused = (make: () => unknown, message: RegExp): void => assert.throws(make, { code: "MILLRACE_BAD_OPTION", message });
const tap = (options: object) => () => tapLink(options as TapOptions);
const packet = (options: object) => () => packetLink({ interface: "none0", addresses: ["10.0.0.2/24"], ...options } as PacketOptions);

test("what is on or off is true or false", () => {
	for (const name of ["offload", "landing", "pageOrder", "ioUring", "qdiscBypass", "expressLane"])
		for (const wrong of ["off", 0, null]) refused(tap({ [name]: wrong }), new RegExp(`${name} of ${wrong}: give true or false`));
	for (const name of ["offload", "qdiscBypass", "txRing"])
		for (const wrong of ["off", 0, null]) refused(packet({ [name]: wrong }), new RegExp(`${name} of ${wrong}: give true or false`));
	tapLink({ offload: undefined as never, landing: false });
});

test("expressLane, asked for, goes with one queue only", () => {
	refused(tap({ queues: 2, expressLane: true }), /expressLane goes with one queue only/);
	refused(tap({ steering: "flow-group", expressLane: true }), /expressLane goes with one queue only, without steering/);
	tapLink({ queues: 2, expressLane: false });
});

test("landing and pageOrder, asked for, go with offload only", () => {
	refused(tap({ offload: false, landing: true }), /landing goes with offload only/);
	refused(tap({ offload: false, pageOrder: true }), /pageOrder goes with offload only/);
	tapLink({ offload: false });
	tapLink({ offload: false, landing: false, pageOrder: false });
});

test("processors are numbers, or chosen by themselves", () => {
	for (const wrong of [1, "1", null, "Auto"]) refused(tap({ rps: wrong }), /bad rps: .*Give "auto" or the numbers of processors/);
	for (const wrong of [-1, 0.5, 8192, "1"]) refused(tap({ rps: [0, wrong] }), /rps/);
	for (const rps of [[], "auto"] as const) tapLink({ rps });
});

test("a link without options, or a packet link without an address, says what it needs", () => {
	refused(packet({ addresses: undefined }), /needs an address of its own/);
	refused(() => xdpLink(undefined as never), /an XDP link needs an object of options/);
	refused(() => tapLink(null as never), /a TAP link needs an object of options/);
});

test("arrays are arrays, and texts texts, also where others would be guessed", () => {
	const xdp = (options: object) => () => xdpLink({ interface: "none0", ports: [8080], ...options } as never);
	for (const wrong of [5, "192.168.1.5/24", {}, null]) {
		if (wrong !== null) refused(packet({ addresses: wrong }), /bad addresses: .*Give an array/);
		for (const name of ["ports", "queues", "outgoingPorts"]) refused(xdp({ [name]: wrong }), new RegExp(`bad ${name}: .*Give an array`));
		refused(xdp({ ports: undefined, addresses: wrong }), /bad (addresses|interface)|no interface/);
		if (typeof wrong !== "string") refused(xdp({ interface: wrong }), /bad interface: .*Give a text such as "?eth0/);
	}
	refused(() => streamLink({ start() {}, write() {}, close() {} } as never, { mac: null as never }), /bad mac: null/);
	for (const kernelAddress of ["0.0.0.0/0", "224.0.0.1/24", "255.255.255.255/32", "10.77.0.255/24"])
		refused(tap({ kernelAddress }), /bad kernelAddress: .*of a host/);
});

test("a user link is refused when it is made, not when it is opened", () => {
	for (const options of [{ guest: "10.9.9.9" }, { guest: 5 }, { dial: 5 }, { maxConnections: -1 }, { sharedBuffer: 1 }, { mtu: 5 }])
		refused(() => userLink(options as never), /user link|guest|sharedBuffer/);
	for (const address of [5, null, 5n, "x"])
		assert.throws(() => userLink({ address } as never), { code: "MILLRACE_ADDRESS", message: /is not an address with a prefix length/ });
});

test("a gateway has a guest of its network, and publishes ports that there are", async () => {
	const gateway = (options: object) => createGateway({ link: memoryLinkPair()[0], runtime: new VirtualClock().runtime, ...options });
	refused(() => gateway({ maxConnections: 1.5 }), /maxConnections 1\.5 of a gateway: give a whole number/);
	refused(() => gateway({ dial: "10.0.0.1" }), /dial of a gateway: give a function/);
	for (const guest of ["guest", "10.0.2.2", "10.9.9.9", "10.0.2.255"])
		refused(() => gateway({ address: "10.0.2.2/24", guest }), /guest .* of a gateway: give an address of 10\.0\.2\.2\/24/);
	const one = gateway({ address: "10.0.2.2/24", guest: "10.0.2.15" });
	for (const to of [undefined, 0, 70_000])
		assert.throws(() => one.publishNow({ port: 0, to } as never), {
			code: "EINVAL",
			message: /cannot publish port .* of the guest: it is not/,
		});
	refused(
		() => one.publishNow({ port: 0, to: 80, host: "127.0.0.1" } as never),
		/a publication has no option "host"\. It has port, to, address/,
	);
	await one.close();
	// Who publishes nothing needs no guest.
	const elsewhere = gateway({ address: "10.77.0.2/24" });
	refused(() => elsewhere.publishNow({ port: 0, to: 80 }), /guest 10\.0\.2\.15 of a gateway: give an address of 10\.77\.0\.2\/24/);
	await elsewhere.close();
});
