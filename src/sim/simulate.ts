/**
 * `simulate`: a network of hosts that is a function of its seed.
 *
 * Hides how virtual time, seeded chance and links come together. A scenario builds segments and hosts, and starts what is to happen;
 * then virtual time runs until the scenario is over or a bound is reached. Nothing in it takes real time, and the same seed gives the
 * same run: `hash` is the proof.
 *
 * A scenario that returns a promise ends when the promise does, and may await anything that the hosts do (`host.tcp`, `sim.sleep`), but
 * nothing real. A scenario that does not is driven by events only, ends when nothing is left to happen, and runs faster.
 */
import { MillraceError, shown } from "../errors.ts";
import { createHost, type Host, type HostOptions } from "../host/host.ts";
import { bad, refuseUnknown, wholeNumber } from "../link/known-options.ts";
import { SeededRandom } from "../time/random.ts";
import { Segment, type SegmentOptions } from "./network.ts";
import { SECOND, type VirtualRuntime, VirtualTime } from "./runtime.ts";
import { type FrameListener, Trace } from "./trace.ts";

/** Seed and bounds of a run. */
export interface SimulateOptions {
	/** Whole number; everything that is left to chance follows from it. */
	readonly seed: number;
	/** Virtual seconds after which the run ends: a number from 0 on, Infinity included. Default 3600. */
	readonly seconds?: number;
	/** Steps (alarms and deferred tasks) after which the run is given up with MILLRACE_SIM_STEPS: a whole number from 1 on, or Infinity. Default 20,000,000. */
	readonly steps?: number;
	/** Virtual time at the start, in seconds, 0 to 2^32; 4290 is close to where a 32-bit count of microseconds wraps. Default 1. */
	readonly start?: number;
	/** Sees every frame that a host sends or gets. */
	readonly onFrame?: FrameListener;
}

/** What came out of a run. */
export interface SimulateResult<T> {
	/** The seed it was made of. */
	readonly seed: number;
	/** What the scenario returned. */
	readonly value: T;
	/** Virtual seconds that the run took. */
	readonly seconds: number;
	/** Alarms and deferred tasks that ran. */
	readonly steps: number;
	/** Frames that hosts sent or got. */
	readonly frames: number;
	/** Hash over everything that happened: the same seed and the same code give the same hash. */
	readonly hash: string;
}

/** Options of a host in a simulation: those of `createHost`, with a segment in place of the link and the runtime. */
export interface SimulatedHostOptions extends Omit<HostOptions, "link" | "runtime"> {
	/** The segment that the host is plugged into. */
	readonly on: Segment;
}

const KNOWN = ["seed", "seconds", "steps", "start", "onFrame"];

/** Latest start, in seconds: all that may come in a run is then still a whole number of microseconds below 2^53. */
const START_MAX = 2 ** 32;

/** Arena of a simulated host unless said otherwise, in bytes: a simulation has many hosts, each with few connections. */
const HOST_MEMORY = 8 << 20;

/** What a scenario is given. */
export class Simulation {
	/** The seed of the run. */
	readonly seed: number;
	/** Chance for the scenario itself; hosts and segments have streams of their own. */
	readonly random: SeededRandom;
	/** All hosts, by name, in order of creation. */
	readonly hosts = new Map<string, Host>();
	readonly #time: VirtualTime;
	readonly #start: number;
	readonly #seed: SeededRandom;
	readonly #scenario: VirtualRuntime;
	readonly #runtimes = new Map<string, VirtualRuntime>();
	readonly #onFrame: FrameListener | undefined;
	#segments = 0;

	/** @internal */
	constructor(time: VirtualTime, options: SimulateOptions) {
		this.seed = options.seed;
		this.#time = time;
		this.#start = time.now();
		this.#seed = new SeededRandom(options.seed);
		this.random = this.#seed.fork("scenario");
		this.#scenario = time.runtime(this.random);
		this.#onFrame = options.onFrame;
	}

	/** Virtual seconds since the run began. */
	get now(): number {
		return (this.#time.now() - this.#start) / SECOND;
	}

	/** A wire, or a switch when more than two hosts are plugged in. */
	segment(options: SegmentOptions = {}): Segment {
		const label = `segment ${this.#segments++}`;
		return new Segment(options, this.#time.runtime(this.#seed.fork(label)), label);
	}

	/** A host on a segment. Its name must be new; its random numbers follow from the seed and the name. */
	host(name: string, options: SimulatedHostOptions): Host {
		if (this.hosts.has(name)) throw new MillraceError("MILLRACE_SIM_NAME", `there is a host named "${name}" already; give another name`);
		if (typeof options?.on?.plug !== "function") throw bad(`host "${name}" needs an option "on": the segment that it is plugged into`);
		const { on, ...rest } = options;
		const runtime = this.#time.runtime(this.#seed.fork(`host ${name}`));
		const link = on.plug(name, this.#time.trace, this.#onFrame);
		const host = createHost({ memory: HOST_MEMORY, ...rest, link, runtime });
		this.hosts.set(name, host);
		this.#runtimes.set(name, runtime);
		return host;
	}

	/** Alarms and deferred tasks of a host that are still to happen; 0 when it will do nothing by itself. */
	pending(name: string): number {
		return this.#runtimes.get(name)?.pending ?? 0;
	}

	/**
	 * Holds up a host for so many seconds, as a program does that keeps its event loop to itself: frames wait, timers are late.
	 *
	 * @throws {MillraceError} MILLRACE_SIM_NAME when there is no such host, MILLRACE_SIM_TIME for seconds that are none.
	 */
	hold(name: string, seconds: number): void {
		const runtime = this.#runtimes.get(name);
		if (runtime === undefined) throw new MillraceError("MILLRACE_SIM_NAME", `there is no host named "${name}" to hold up: make it first`);
		if (!(seconds >= 0)) throw new MillraceError("MILLRACE_SIM_TIME", `host "${name}" held up for ${seconds} s: give a number from 0 on`);
		runtime.hold(this.#time.now() + seconds * SECOND);
	}

	/** Runs `task` when so many seconds of the run have passed. */
	at(seconds: number, task: () => void): void {
		if (typeof task !== "function") throw bad(`${String(task)} is to be run at ${shown(seconds)} s: give a function`);
		aNumber("at", seconds);
		this.#scenario.alarm(task).set(this.#start + seconds * SECOND);
	}

	/** Runs `task` so many seconds from now. */
	after(seconds: number, task: () => void): void {
		if (typeof task !== "function") throw bad(`${String(task)} is to be run after ${shown(seconds)} s: give a function`);
		aNumber("after", seconds);
		this.#scenario.alarm(task).set(this.#time.now() + seconds * SECOND);
	}

	/** Resolves so many virtual seconds from now. */
	sleep(seconds: number): Promise<void> {
		aNumber("sleep", seconds);
		return new Promise((resolve) => this.after(seconds, resolve));
	}
}

function aNumber(call: string, seconds: number): void {
	if (typeof seconds !== "number" || Number.isNaN(seconds)) throw bad(`${call} of ${shown(seconds)} seconds: give a number`);
}

/** @throws {MillraceError} MILLRACE_BAD_OPTION */
function check({ seed, seconds = 0, steps = 1, start = 0, onFrame }: SimulateOptions): void {
	if (!Number.isSafeInteger(seed)) throw bad(`seed ${seed}: give a whole number`);
	if (typeof seconds !== "number" || !(seconds >= 0)) throw bad(`seconds ${seconds}: give a number from 0 on`);
	if (steps !== Number.POSITIVE_INFINITY) wholeNumber("steps", steps, 1, Number.MAX_SAFE_INTEGER);
	if (typeof start !== "number" || !(start >= 0 && start <= START_MAX)) throw bad(`start ${start}: give seconds from 0 to ${START_MAX}`);
	if (onFrame !== undefined && typeof onFrame !== "function")
		throw bad(`onFrame ${String(onFrame)}: give a function that is called with each frame`);
}

/**
 * Runs a scenario.
 *
 * @returns What it returned, and the figures of the run.
 * @throws What the scenario throws. MILLRACE_BAD_OPTION for options that are not known or out of their range, and a scenario that is no function. MILLRACE_SIM_STEPS when `steps` were not enough. For a scenario that returns a promise:
 *   MILLRACE_SIM_TIME when `seconds` passed before it was settled, MILLRACE_SIM_QUIET when it was not settled and nothing was left to happen.
 */
export async function simulate<T>(options: SimulateOptions, scenario: (sim: Simulation) => T | Promise<T>): Promise<SimulateResult<T>> {
	refuseUnknown("simulate", options, KNOWN);
	check(options);
	if (typeof scenario !== "function") throw bad("simulate needs a scenario: a function that is given the simulation");
	const { seconds = 3600, steps = 20_000_000 } = options;
	const trace = new Trace();
	const time = new VirtualTime(trace, Math.round((options.start ?? 1) * SECOND));
	const start = time.now();
	const limits = { until: start + Math.round(seconds * SECOND), steps };
	const returned = scenario(new Simulation(time, options));
	let value: T;
	if (returned instanceof Promise) {
		let settled = false;
		const settle = () => {
			settled = true;
		};
		returned.then(settle, settle);
		const stop = await time.settle({ ...limits, done: () => settled });
		if (!settled && stop === "time")
			throw new MillraceError(
				"MILLRACE_SIM_TIME",
				`seed ${options.seed}: the scenario was not over after ${seconds} virtual seconds; raise seconds, or see what it waits for`,
			);
		if (!settled)
			throw new MillraceError(
				"MILLRACE_SIM_QUIET",
				`seed ${options.seed}: the scenario waits for something at ${(time.now() - start) / SECOND} s, but nothing is left to happen`,
			);
		value = await returned;
	} else {
		time.run(limits);
		value = returned;
	}
	return {
		seed: options.seed,
		value,
		seconds: (time.now() - start) / SECOND,
		steps: time.steps,
		frames: trace.frames,
		hash: trace.digest(),
	};
}
