/** The same scripts on Node's own `net` and on a host's: both must see the same. */
import assert from "node:assert/strict";
import net from "node:net";
import { describe, it } from "node:test";
import { createNet } from "../../src/node/net.ts";
import { loopbackHost } from "./loopback-host.ts";
import { agree, later, scenarios, Watch } from "./scenarios.ts";
import { unusual } from "./unusual.ts";

for (const plainHandles of [true, false])
	describe(`net on a host behaves as net on the kernel, with ${plainHandles ? "plain handles" : "JSStreams"}`, () => {
		for (const [name, scenario] of Object.entries({ ...scenarios, ...unusual })) {
			it(name, { timeout: 20_000 }, async () => {
				const expected = new Watch();
				await scenario(net, expected);
				await later(10);
				const host = loopbackHost();
				const actual = new Watch();
				await scenario(createNet(host, { plainHandles }), actual);
				await later(10);
				await agree(actual, expected);
				assert.deepEqual(actual.log, expected.log);
				assert.equal(host.holders(), 0, "nothing keeps the process alive");
			});
		}
	});
