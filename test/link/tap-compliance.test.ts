/** The TAP link, plain and with offloads, before the suite that every link must pass; its peer is a packet socket on the device. */
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { type LinkBench, linkCompliance } from "./compliance.ts";

const skip = isolate();

function tapBench(options: TapOptions) {
	return async (): Promise<LinkBench> => {
		const link = tapLink({ kernelAddress: null, ...options });
		let socket: PacketSocket | null = null;
		return {
			link,
			runtime: realRuntime(),
			opened() {
				socket = new PacketSocket(link.interfaceName);
			},
			// The kernel carries a frame within the call that sends it; only the poll handle needs a turn of the event loop.
			async settle() {
				for (let i = 0; i < 3; i++) await new Promise(setImmediate);
			},
			peer: {
				send: (bytes) => socket!.send(bytes),
				receive: async () => socket?.receive() ?? null,
				close() {
					socket?.close();
					socket = null;
				},
			},
		};
	};
}

linkCompliance("a TAP link", tapBench({ offload: false }), { skip, peerNeedsOpen: true, sizes: [1000, 1514] });
linkCompliance("a TAP link with offload", tapBench({ offload: true }), { skip, peerNeedsOpen: true, sizes: [1000, 1514] });
linkCompliance("a TAP link with a system call for each frame", tapBench({ offload: true, ioUring: false }), {
	skip,
	peerNeedsOpen: true,
	sizes: [1000, 1514],
});
linkCompliance("a TAP link with offload and long packets", tapBench({ offload: true, mtu: 9000 }), {
	skip,
	peerNeedsOpen: true,
	sizes: [1985, 1986, 1987, 2048, 4034, 4035],
});
linkCompliance("a TAP link of three queues", tapBench({ queues: 3, offload: false }), { skip, peerNeedsOpen: true, sizes: [1000] });
linkCompliance("a TAP link of three queues with offload, steered by flow group", tapBench({ queues: 3, steering: "flow-group" }), {
	skip,
	peerNeedsOpen: true,
	sizes: [1000],
});
linkCompliance("a TAP link of two queues with long packets", tapBench({ queues: 2, mtu: 9000 }), {
	skip,
	peerNeedsOpen: true,
	sizes: [1985, 2048, 4035],
});
