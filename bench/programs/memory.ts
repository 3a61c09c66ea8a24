/**
 * Bytes per idle connection on the server's side: accepts N connections by the portable face and looks at what has grown.
 *
 *   node --expose-gc memory.js N
 *
 * The clients are a crowd without state (lib/crowd.ts), so what grows is the server's alone. Three figures, apart: the arena by its
 * resident pages (/proc/self/smaps: what is touched counts, not what is reserved), the JavaScript heap with what hangs on it after
 * a full collection, and the whole process (RSS, which includes both and what the collector has not given back). The first 256
 * connections are accepted beforehand, so that what is paid once (code, pages on their way) does not count.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { createHost } from "../../src/host/host.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { CROWD_SERVER, Crowd } from "../lib/crowd.ts";

const WARM = 256;
const count = Number(process.argv[2] ?? 1000);
const gc = (globalThis as { gc?: () => void }).gc;
if (gc === undefined) throw new Error("memory: run with --expose-gc");

const crowd = new Crowd({ port: 80, mode: "idle", request: new Uint8Array(0), window: 64 });
const host = createHost({
	link: crowd,
	runtime: nodeRuntime(),
	addresses: [CROWD_SERVER],
	tcp: { maxConnections: count + WARM + 64 },
});
/** As a server would: something has to hold the connections. */
const streams: unknown[] = [];
const server = host.tcp.listen({ port: 80, backlog: 4096 });

interface Sizes {
	arena: number;
	heap: number;
	rss: number;
}

function measure(): Sizes {
	gc!();
	gc!();
	const { heapUsed, external, rss } = process.memoryUsage();
	// A shared arena counts neither as heap nor as external memory of this isolate, or does so once: it is constant.
	return { arena: resident(crowd.arena), heap: heapUsed + external, rss };
}

/** Resident bytes of the mappings that hold an array. */
function resident(bytes: Uint8Array): number {
	const from = koffi.address(bytes) as bigint;
	const to = from + BigInt(bytes.length);
	let inside = false;
	let sum = 0;
	for (const line of readFileSync("/proc/self/smaps", "latin1").split("\n")) {
		const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
		if (range !== null) inside = BigInt(`0x${range[1]}`) < to && BigInt(`0x${range[2]}`) > from;
		else if (inside && line.startsWith("Rss:")) sum += Number(/\d+/.exec(line)![0]) * 1024;
	}
	return sum;
}

function accept(more: number): Promise<void> {
	const total = streams.length + more;
	return new Promise((resolve) => {
		crowd.run(more);
		const poll = (): void => {
			if (streams.length === total) resolve();
			else setTimeout(poll, 5);
		};
		poll();
	});
}

async function take(): Promise<void> {
	for await (const stream of server) streams.push(stream);
}
void take();
await accept(WARM);
await new Promise((resolve) => setTimeout(resolve, 300));
const before = measure();
await accept(count);
await new Promise((resolve) => setTimeout(resolve, 300));
const after = measure();
console.log(
	JSON.stringify({
		arena: (after.arena - before.arena) / count,
		heap: (after.heap - before.heap) / count,
		rss: (after.rss - before.rss) / count,
	}),
);
process.exit(0);
