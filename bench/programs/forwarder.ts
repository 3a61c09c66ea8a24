/**
 * Joins two TAP devices by an impaired link: two kernels talk over the same bad network that `millrace run` makes for itself.
 *
 *   forwarder.js DEVICE_A KERNEL_A DEVICE_B OPTIONS     OPTIONS: what impairLink takes, as JSON
 *
 * The impairment lies around A and acts on both directions, once each. B gets no address: it is to be moved to another
 * network namespace. Prints "ready" when both devices are there; runs until it is ended.
 */
import { impairLink } from "../../src/link/impair.ts";
import type { Link } from "../../src/link/link.ts";
import { tapLink } from "../../src/link/tap.ts";
import { Arena } from "../../src/memory/arena.ts";
import { Batch } from "../../src/memory/batch.ts";
import { PAGE_SIZE, PagePool } from "../../src/memory/pages.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

const PAGES = 8192;
const [deviceA, kernelA, deviceB, options] = process.argv.slice(2) as [string, string, string, string];

const pool = new PagePool(new Arena(PAGES * (PAGE_SIZE + 64) + 65536), PAGES);
const runtime = nodeRuntime();
const batch = new Batch(pool);
const a: Link = impairLink(tapLink({ name: deviceA, kernelAddress: kernelA }), JSON.parse(options));
const b: Link = tapLink({ name: deviceB, kernelAddress: null });

let scheduled = false;
function schedule(): void {
	if (scheduled) return;
	scheduled = true;
	runtime.defer(turn);
}

function turn(): void {
	scheduled = false;
	if (move(a, b) + move(b, a) > 0) schedule();
}

function move(from: Link, to: Link): number {
	const count = from.receive(batch);
	if (batch.count > 0) to.transmit(batch);
	batch.drop(batch.count);
	to.flush();
	return count;
}

for (const link of [a, b]) {
	link.open({
		pool,
		runtime,
		wake: schedule,
		plain: true,
		failed: (error) => {
			throw error;
		},
	});
	link.ref();
}
console.log("ready");
