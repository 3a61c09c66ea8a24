/**
 * User-mode networking by `createGateway`: frames of a TAP device on one side, ordinary kernel sockets on the other.
 *
 *   TAP_DEVICE=NAME TAP_STACK=ADDRESS/LENGTH TAP_KERNEL=ADDRESS/LENGTH node gateway.js
 *
 * A connection from the device to the stack's address is made again to the same port of 127.0.0.1: what peers/slirp.c does.
 * Prints "ready"; runs until it is ended.
 */
import { tapLink } from "../../src/link/tap.ts";
import { createGateway } from "../../src/link/user.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

const { TAP_DEVICE, TAP_STACK, TAP_KERNEL } = process.env as Record<string, string>;

const gateway = createGateway({
	link: tapLink({ name: TAP_DEVICE!, kernelAddress: TAP_KERNEL! }),
	runtime: nodeRuntime(),
	address: TAP_STACK!,
});
// A gateway does not hold the process by itself.
gateway.host.ref();
console.log("ready");
