/** A preload like src/node/register.ts, over the fake stack. */
import { installPatch } from "../../src/node/patch.ts";
import { Shared } from "../../src/node/policy.ts";
import { FakeHost } from "./fake-socket.ts";

const host = new FakeHost();
installPatch(
	() => host,
	new Shared(() => host, { loopback: true }),
);
