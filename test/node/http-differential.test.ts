/** The same HTTP programs on the kernel's sockets and, by the preload's patch, on the stack's: both must see the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { installPatch } from "../../src/node/patch.ts";
import { Shared } from "../../src/node/policy.ts";
import { httpScenarios } from "./http-scenarios.ts";
import { loopbackHost } from "./loopback-host.ts";
import { agree, later, Watch } from "./scenarios.ts";

for (const plainHandles of [true, false])
	describe(`http on the stack behaves as http on the kernel, with ${plainHandles ? "plain handles" : "JSStreams"}`, () => {
		for (const [name, scenario] of Object.entries(httpScenarios)) {
			it(name, { timeout: 20_000 }, async () => {
				const expected = new Watch();
				await scenario(expected);
				await later(10);
				const host = loopbackHost();
				const restore = installPatch(() => host, new Shared(() => host, { loopback: true }), { plainHandles });
				const actual = new Watch();
				try {
					await scenario(actual);
				} finally {
					restore();
				}
				await later(10);
				await agree(actual, expected);
				assert.deepEqual(actual.log, expected.log);
				assert.equal(host.holders(), 0, "nothing keeps the process alive");
			});
		}
	});
