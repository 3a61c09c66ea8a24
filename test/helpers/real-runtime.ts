/** The real event loop as a Runtime, for tests of links that wait for the kernel; seeded, so that chance is no part of them. */
import type { Runtime } from "../../src/time/clock.ts";

export function realRuntime(): Runtime {
	let seed = 1;
	return {
		clock: { now: () => Math.floor(Number(process.hrtime.bigint() / 1000n)) },
		random: {
			int32() {
				seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
				return seed;
			},
		},
		defer: (task) => void setImmediate(task),
		alarm(callback) {
			let timer: NodeJS.Timeout | undefined;
			return {
				set(at) {
					clearTimeout(timer);
					const now = Number(process.hrtime.bigint() / 1000n);
					timer = setTimeout(callback, Math.max(0, (at - now) / 1000)).unref();
				},
				clear: () => clearTimeout(timer),
			};
		},
	};
}
