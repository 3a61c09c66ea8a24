/**
 * `millrace/node`: Node's faces of a host.
 *
 * - `createNet(host)`: `node:net` on a host.
 * - `installPatch`: sends the sockets of a whole program to a host, as the preload does; `Shared` and `StackOnly` say which.
 * - `nodeRuntime()`: clock, random numbers and timers of this process, for `createHost`.
 * - `openCaptureFile(path)`: a file as the sink of a `CaptureWriter`.
 * - `socketPipe`, `datagramPipe`: Node's sockets as pipes for `streamLink`.
 */
export { openCaptureFile } from "./capture-file.ts";
export { createNet, type StackNet } from "./net.ts";
export { installPatch } from "./patch.ts";
export { datagramPipe, socketPipe } from "./pipe.ts";
export { KERNEL, type Policy, Shared, type SharedOptions, StackOnly, UNREACHABLE, type Verdict } from "./policy.ts";
export { nodeRuntime } from "./runtime.ts";
export type { HandleOptions } from "./server-handle.ts";
export type { StackEvents, StackHost, StackListener, StackSocket } from "./stack.ts";
