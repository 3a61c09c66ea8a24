/** Runtimes for tests: virtual time for one host, and the real thing. */

import { VirtualTime } from "../../src/sim/runtime.ts";
import { Trace } from "../../src/sim/trace.ts";
import type { Runtime } from "../../src/time/clock.ts";
import { SeededRandom } from "../../src/time/random.ts";

/** A virtual clock with one runtime on it. */
export class VirtualClock {
	readonly time: VirtualTime;
	readonly runtime: Runtime;

	/** @param start First microsecond; by default shortly before 32 bits wrap. */
	constructor(start = 2 ** 32 - 50_000, seed = 1) {
		this.time = new VirtualTime(new Trace(), start);
		this.runtime = this.time.runtime(new SeededRandom(seed));
	}

	now(): number {
		return this.time.now();
	}

	/** Lets `us` microseconds pass, with all that happens in them. */
	advance(us: number): void {
		const until = this.time.now() + us;
		const end = this.runtime.alarm(() => {});
		end.set(until);
		this.time.run({ until, steps: 1_000_000 });
	}
}
