/** The packet link before the suite that every link must pass, on one end of a veth pair; its peer is a packet socket on the other. */
import { type PacketOptions, packetAvailable, packetLink } from "../../src/link/packet.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { lacksIp, vethPair } from "../helpers/veth.ts";
import { type LinkBench, linkCompliance } from "./compliance.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) vethPair("near0", "far0");

/** Time in which frames cross, in ms: with v2 within the call that sends them, or soon after in the kernel's own time; v3 lets a block be a ms old. */
const CROSSING = { v2: 2, v3: 4 };

function bench(options: Partial<PacketOptions>) {
	return async (): Promise<LinkBench> => {
		const link = packetLink({ interface: "near0", addresses: ["10.99.0.2/24"], mac: "02:00:00:00:00:01", ringSize: 60, ...options });
		let socket: PacketSocket | null = new PacketSocket("far0");
		return {
			link,
			runtime: realRuntime(),
			async settle() {
				await new Promise((resolve) => setTimeout(resolve, CROSSING[options.ring ?? "v2"]));
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

const sizes = [1000, 1514];
linkCompliance("a packet link", bench({}), { skip, sizes });
linkCompliance("a packet link with blocks", bench({ ring: "v3" }), { skip, sizes });
linkCompliance("a packet link without offload", bench({ offload: false }), { skip, sizes });
linkCompliance("a packet link with blocks, without offload", bench({ ring: "v3", offload: false }), { skip, sizes });
linkCompliance("a packet link through queueing disciplines", bench({ qdiscBypass: false }), { skip, sizes });
linkCompliance("a packet link without a ring to send", bench({ txRing: false }), { skip, sizes });
linkCompliance(
	"a packet link with blocks, without offload and without a ring to send",
	bench({ txRing: false, ring: "v3", offload: false }),
	{
		skip,
		sizes,
	},
);
linkCompliance("a packet link without a ring to send, through queueing disciplines", bench({ txRing: false, qdiscBypass: false }), {
	skip,
	sizes,
});
linkCompliance("a packet link of three sockets", bench({ fanout: { queues: 3 }, ringSize: 15 }), { skip, sizes });
linkCompliance(
	"a packet link of three sockets, steered by our program",
	bench({ fanout: { queues: 3, mode: "ebpf" }, ring: "v3", ringSize: 15 }),
	{
		skip,
		sizes,
	},
);
