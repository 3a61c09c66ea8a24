/** Checksums by vectors and by words: two hosts that differ in nothing else understand each other, and both find damage. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SERVER, world } from "../helpers/two-hosts.ts";

for (const [name, simd] of [
	["vectors", true],
	["words", false],
] as const) {
	test(`a host that sums by ${name} and one that does not exchange a stream over a wire that damages frames`, () =>
		world(
			async ({ server, client }) => {
				const sent = Uint8Array.from({ length: 200_001 }, (_, i) => (i * 2654435761) >>> 24);
				const listener = server.tcp.listen({ port: 80 });
				const opening = client.tcp.connect({ address: SERVER, port: 80 });
				const { value: there } = await listener[Symbol.asyncIterator]().next();
				listener.close();
				const here = await opening;
				const echo = (async () => {
					for await (const piece of there!) await there!.write(piece);
					there!.close();
				})();
				void here.write(sent).then(() => here.finish());
				const pieces: Uint8Array[] = [];
				for await (const piece of here) pieces.push(piece);
				await echo;
				here.close();
				assert.deepEqual(Buffer.concat(pieces), Buffer.from(sent));
				for (const host of [server, client]) assert.ok(host.stats().tcp.badChecksum! > 0, "damaged frames were found");
			},
			{ segment: { corrupt: 0.05 }, server: { simd }, client: { simd: !simd } },
		));
}
