/** A link in a worker thread, which ends as it is told; used by worker.test.ts. */
import { once } from "node:events";
import { parentPort, workerData } from "node:worker_threads";
import type { MillraceError } from "../../src/errors.ts";
import { createHost } from "../../src/host/host.ts";
import type { Link } from "../../src/link/link.ts";
import { packetLink } from "../../src/link/packet.ts";
import { tapLink } from "../../src/link/tap.ts";
import { xdpLink } from "../../src/link/xdp.ts";
import { Arena } from "../../src/memory/arena.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { createNet } from "../../src/node/net.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";

const LINKS: Record<string, () => Link> = {
	tap: () => tapLink({ name: "mrw0" }),
	taps: () => tapLink({ name: "mrw0", queues: 3, steering: "flow-group" }),
	packet: () => packetLink({ interface: "near0", addresses: ["10.99.0.2/24"], fanout: { mode: "ebpf", queues: 2 } }),
	xdp: () => xdpLink({ interface: "near0", ports: [80] }),
};

const { kind, serve } = workerData as { kind: string; serve: boolean };
const link = LINKS[kind]!();
const say = (what: string): void => parentPort!.postMessage(what);
if (serve) {
	const host = createHost({ link, runtime: nodeRuntime(), addresses: ["10.77.0.2/24"] });
	const server = createNet(host).createServer((socket) => {
		socket.pipe(socket);
		// With the last connection and the server gone, nothing keeps the thread.
		server.close();
	});
	server.listen(7, () => say("open"));
	await once(server, "close");
	await host.close();
} else {
	let told = false;
	link.open({
		pool: new PagePool(new Arena(1 << 22), 1024),
		runtime: nodeRuntime(),
		// Nothing is read, so the descriptor stays readable.
		wake() {
			if (!told) say("readable");
			told = true;
		},
		failed: (error) => say((error as MillraceError).code),
	});
	link.ref?.();
	parentPort!.on("message", (how) => {
		if (how === "exit") process.exit(0);
		if (how === "throw") throw new Error("thrown");
		say("busy");
		if (how === "busy") for (;;);
	});
	say("open");
}
