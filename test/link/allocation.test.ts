/** The links of devices make no garbage per frame (docs/design.md, "Never"). In a process of its own, where nothing else allocates. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { packetAvailable } from "../../src/link/packet.ts";
import { xdpAvailable } from "../../src/link/xdp.ts";
import { isolate } from "../helpers/namespace.ts";
import { lacksIp } from "../helpers/veth.ts";

const program = fileURLToPath(new URL("../helpers/link-allocation-program.js", import.meta.url));
const lacks = ({ ok, reason }: { ok: boolean; reason: string }): string | false => (ok ? false : reason);
const skip = isolate() || lacksIp() || lacks(packetAvailable());

/** A block of packet sockets comes when it is a millisecond old, so of these there are fewer. */
for (const [kind, frames] of [
	["tap", 1_000_000],
	["tap-calls", 1_000_000],
	["packet", 1_000_000],
	["packet-v3", 200_000],
	["xdp", 1_000_000],
] as const) {
	const why = skip || (kind === "xdp" && lacks(xdpAvailable()));
	test(`${frames} frames between a link (${kind}) and packet sockets allocate nothing each`, { skip: why }, (t) => {
		const flags = ["--max-semi-space-size=128"];
		const output = execFileSync("unshare", ["-n", process.execPath, ...flags, program, kind, `${frames}`], { encoding: "utf8" });
		const { bytes, frames: counted } = JSON.parse(output) as { bytes: number; frames: number };
		t.diagnostic(`${bytes.toFixed(2)} bytes a frame over ${counted} frames`);
		assert.ok(counted >= frames);
		// The smallest object for each frame that goes one way, at one end, would be 8 for each. To look at the heap takes up to 1.
		assert.ok(bytes < 4, `${bytes} bytes a frame`);
	});
}
