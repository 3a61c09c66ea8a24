/**
 * `millrace/sim`: whole networks in one process, in virtual time, deterministic by seed.
 *
 * ```ts
 * import { simulate } from "millrace/sim";
 *
 * const { hash } = await simulate({ seed: 7 }, async (sim) => {
 * 	const wire = sim.segment({ out: { delay: 20_000, loss: 0.02 } });
 * 	const a = sim.host("a", { on: wire, addresses: ["10.0.0.1/24"] });
 * 	const b = sim.host("b", { on: wire, addresses: ["10.0.0.2/24"] });
 * 	sim.at(1.5, () => wire.partition(["a"], ["b"]));
 * 	sim.at(4, () => wire.heal());
 * 	...
 * });
 * ```
 */
export { SeededRandom } from "../time/random.ts";
export { type FrameFilter, Segment, type SegmentOptions } from "./network.ts";
export { VirtualRuntime, VirtualTime } from "./runtime.ts";
export { type SimulatedHostOptions, type SimulateOptions, type SimulateResult, Simulation, simulate } from "./simulate.ts";
export { type FrameListener, Trace } from "./trace.ts";
