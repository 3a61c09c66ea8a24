/** The XDP link before the suite that every link must pass, on one end of a veth pair; its peer is a packet socket on the other. */
import { type XdpOptions, xdpAvailable, xdpLink } from "../../src/link/xdp.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { lacksIp, vethPair } from "../helpers/veth.ts";
import { type LinkBench, linkCompliance } from "./compliance.ts";

const available = (): string | false => {
	const { ok, reason } = xdpAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) {
	vethPair("near0", "far0");
	vethPair("near1", "far1", 2);
}

function xdpBench(near: string, far: string, options: Partial<XdpOptions>) {
	return async (): Promise<LinkBench> => {
		const link = xdpLink({ interface: near, addresses: ["10.99.0.2/24"], mac: "02:00:00:00:00:01", ...options });
		let socket: PacketSocket | null = new PacketSocket(far);
		return {
			link,
			runtime: realRuntime(),
			// Frames cross within the call that sends them, or soon after in the kernel's own time.
			async settle() {
				await new Promise((resolve) => setTimeout(resolve, 2));
				for (let i = 0; i < 3; i++) await new Promise(setImmediate);
			},
			peer: {
				send: (bytes) => socket?.send(bytes),
				receive: async () => socket?.receive() ?? null,
				close() {
					socket?.close();
					socket = null;
				},
			},
		};
	};
}

linkCompliance("an XDP link, native", xdpBench("near0", "far0", { mode: "native" }), { skip, sizes: [1000, 1514] });
linkCompliance("an XDP link, generic", xdpBench("near0", "far0", { mode: "generic" }), { skip, sizes: [1000, 1514] });
linkCompliance("an XDP link of two queues", xdpBench("near1", "far1", { mode: "native" }), { skip });
linkCompliance("an XDP link with short rings", xdpBench("near0", "far0", { ringSize: 64 }), { skip });
