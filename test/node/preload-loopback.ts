/** A preload like src/node/register.ts, over a loop-back link. */
import { installPatch } from "../../src/node/patch.ts";
import { Shared } from "../../src/node/policy.ts";
import { loopbackHost } from "./loopback-host.ts";

const host = loopbackHost();
installPatch(() => host, new Shared(() => host, { loopback: true }));
