/**
 * What a CPU profile of V8's says of a server: the time of its main thread, by layer.
 *
 * A sample is its innermost function's; one that V8 has inlined counts as what it has become a part of, unless that V8 tells them apart. System
 * calls that go through koffi have no frame of their own: the functions that make those of a TAP device do next to nothing else, and stand for them, with the
 * kernel's work inside. A function without a file is C++, Node's where Node calls it. What lies below all JavaScript ("(program)" of
 * V8's) is the event loop and the kernel for it.
 */

interface Frame {
	readonly functionName: string;
	readonly url: string;
}

/** What `Profiler.stop` gives; times are microseconds of the monotonic clock. */
export interface Profile {
	readonly nodes: readonly {
		readonly id: number;
		readonly callFrame: Frame;
		readonly children?: readonly number[];
	}[];
	readonly startTime: number;
	readonly samples: readonly number[];
	/** Time before each sample. */
	readonly timeDeltas: readonly number[];
}

/** A profile and the part of it that counts. */
export interface Window extends Profile {
	readonly from: number;
	readonly to: number;
}

/** Rows, in the order of a table. */
export const LAYERS = [
	"system calls of the link",
	"link, sys",
	"memory",
	"wire",
	"ip",
	"tcp",
	"shard",
	"socket",
	"host",
	"node",
	"Node's JavaScript",
	"C++ called by it",
	"the program",
	"collector",
	"below JavaScript",
	"idle",
] as const;

export type Layer = (typeof LAYERS)[number];

const BY_NAME: Readonly<Record<string, Layer>> = { "(garbage collector)": "collector", "(program)": "below JavaScript", "(idle)": "idle" };
const BY_FOLDER: Readonly<Record<string, Layer>> = {
	link: "link, sys",
	sys: "link, sys",
	memory: "memory",
	wire: "wire",
	ip: "ip",
	icmp: "ip",
	tcp: "tcp",
	shard: "shard",
	time: "shard",
	socket: "socket",
	host: "host",
	node: "node",
	cli: "node",
};

/** Functions that make the system calls of a TAP device, with their files. */
export const CALLS: ReadonlySet<string> = new Set(["uring.js run", "tap-queue.js #readOne", "tap-queue.js #writeOne"]);

/** The layer of a function in a file; undefined for one without. */
function layerOf({ functionName, url }: Frame): Layer | undefined {
	if (url === "") return undefined;
	if (CALLS.has(`${url.slice(url.lastIndexOf("/") + 1)} ${functionName}`)) return "system calls of the link";
	if (url.startsWith("node:")) return "Node's JavaScript";
	const folder = /\/src\/(\w+)\/[^/]+$/.exec(url)?.[1];
	return (folder === undefined ? undefined : BY_FOLDER[folder]) ?? "the program";
}

/** Microseconds of each layer in the part that counts. */
export function timeByLayer({ nodes, startTime, samples, timeDeltas, from, to }: Window): Map<Layer, number> {
	const parent = new Map<number, number>();
	for (const { id, children = [] } of nodes) for (const child of children) parent.set(child, id);
	const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
	const layerAt = (id: number): Layer => {
		const frame = frames.get(id)!;
		const own = BY_NAME[frame.functionName] ?? layerOf(frame);
		if (own !== undefined) return own;
		for (let caller = parent.get(id); caller !== undefined; caller = parent.get(caller)) {
			const layer = layerOf(frames.get(caller)!);
			if (layer !== undefined) return layer === "Node's JavaScript" ? "C++ called by it" : layer;
		}
		return "below JavaScript";
	};
	const layers = new Map(nodes.map(({ id }) => [id, layerAt(id)]));
	const times = new Map<Layer, number>();
	let time = startTime;
	for (const [i, sample] of samples.entries()) {
		time += timeDeltas[i]!;
		const until = time + (timeDeltas[i + 1] ?? 0);
		const counted = Math.min(until, to) - Math.max(time, from);
		const layer = layers.get(sample)!;
		if (counted > 0) times.set(layer, (times.get(layer) ?? 0) + counted);
	}
	return times;
}
