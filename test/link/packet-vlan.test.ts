/** Frames that come to a packet link with a VLAN tag, which the kernel has taken off and tells of beside the frame. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { packetAvailable, packetLink } from "../../src/link/packet.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { lacksIp, vethPair } from "../helpers/veth.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) vethPair("near0", "far0");

/** A frame of TCP to the link, its last byte `mark`; with a tag of priority 5 and this VLAN unless that is null. */
function frame(vlan: number | null, mark: number): Uint8Array {
	const ends = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
	const tag = vlan === null ? [] : [0x81, 0, (5 << 5) | (vlan >> 8), vlan & 255];
	const packet = [8, 0, 0x45, 0, 0, 46, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 99, 0, 77, 10, 99, 0, 2];
	const bytes = new Uint8Array(60 + tag.length);
	bytes.set([...ends, ...tag, ...packet]);
	bytes[bytes.length - 1] = mark;
	return bytes;
}

describe("tagged frames", { skip }, () => {
	for (const ring of ["v2", "v3"] as const) {
		for (const offload of [true, false]) {
			const how = `ring ${ring}${offload ? "" : ", without offload"}`;
			test(`IEEE 802.1Q 9.6: VLAN 0 is priority alone, so the frame is ours; those of other VLANs are not (${how})`, async () => {
				const pool = new PagePool(new Arena(1 << 20), 64);
				const batch = new Batch(pool);
				const link = packetLink({ interface: "near0", addresses: ["10.99.0.2/24"], mac: "02:00:00:00:00:01", ringSize: 15, ring, offload });
				link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
				const peer = new PacketSocket("far0");
				for (const [i, vlan] of [5, 0, 4095, null, 256].entries()) peer.send(frame(vlan, i));
				const came: number[] = [];
				for (let tries = 0; tries < 2000 && came.length + link.counters().rxTagged! < 5; tries++) {
					await sleep(1);
					link.receive(batch);
					for (let i = 0; i < batch.count; i++) came.push(batch.frame(i).at(-1)!);
					batch.drop(batch.count);
				}
				assert.deepEqual(came, [1, 3]);
				assert.equal(link.counters().rxTagged, 3);
				peer.close();
				link.close();
				assert.equal(pool.inUse, 0);
			});
		}
	}
});
