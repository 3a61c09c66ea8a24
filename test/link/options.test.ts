/** Options of the links of devices that are wrong or contradict each other: refused before anything of the machine is looked at. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type PacketOptions, packetLink } from "../../src/link/packet.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { xdpLink } from "../../src/link/xdp.ts";

const refused = (make: () => unknown, message: RegExp): void => assert.throws(make, { code: "MILLRACE_BAD_OPTION", message });
const tap = (options: object) => () => tapLink(options as TapOptions);
const packet = (options: object) => () => packetLink({ interface: "none0", addresses: ["10.0.0.2/24"], ...options } as PacketOptions);

test("what is on or off is true or false", () => {
	for (const name of ["offload", "landing", "pageOrder", "ioUring", "qdiscBypass"])
		for (const wrong of ["off", 0, null]) refused(tap({ [name]: wrong }), new RegExp(`${name} of ${wrong}: give true or false`));
	for (const name of ["offload", "qdiscBypass", "txRing"])
		for (const wrong of ["off", 0, null]) refused(packet({ [name]: wrong }), new RegExp(`${name} of ${wrong}: give true or false`));
	tapLink({ offload: undefined as never, landing: false });
});

test("landing and pageOrder, asked for, go with offload only", () => {
	refused(tap({ offload: false, landing: true }), /landing goes with offload only/);
	refused(tap({ offload: false, pageOrder: true }), /pageOrder goes with offload only/);
	tapLink({ offload: false });
	tapLink({ offload: false, landing: false, pageOrder: false });
});

test("a link without options, or a packet link without an address, says what it needs", () => {
	refused(packet({ addresses: undefined }), /needs an address of its own/);
	refused(() => xdpLink(undefined as never), /an XDP link needs an object of options/);
	refused(() => tapLink(null as never), /a TAP link needs an object of options/);
});
