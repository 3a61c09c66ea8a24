/** All benches, in the order in which they run when no name is given. */
import type { Bench } from "../lib/bench.ts";
import { allocation } from "./allocation.ts";
import { bulk } from "./bulk.ts";
import { flows } from "./flows.ts";
import { goodput } from "./goodput.ts";
import { http } from "./http.ts";
import { idle } from "./idle.ts";
import { latency } from "./latency.ts";
import { memlink } from "./memlink.ts";
import { memory } from "./memory.ts";
import { net } from "./net.ts";
import { peers } from "./peers.ts";
import { portable } from "./portable.ts";
import { profile } from "./profile.ts";
import { reflector } from "./reflector.ts";
import { xdp } from "./xdp.ts";

export const benches: readonly Bench[] = [
	net,
	http,
	portable,
	latency,
	idle,
	bulk,
	flows,
	goodput,
	reflector,
	profile,
	xdp,
	peers,
	memlink,
	memory,
	allocation,
];
