/** The packet link before the suite that every link must pass, on one end of a veth pair; its peer is a packet socket on the other. */
import { packetAvailable, packetLink } from "../../src/link/packet.ts";
import { isolate } from "../helpers/namespace.ts";
import { PacketSocket } from "../helpers/packet-socket.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { lacksIp, vethPair } from "../helpers/veth.ts";
import { linkCompliance } from "./compliance.ts";

const available = (): string | false => {
	const { ok, reason } = packetAvailable();
	return ok ? false : reason;
};
const skip = isolate() || lacksIp() || available();
if (skip === false) vethPair("near0", "far0");

linkCompliance(
	"a packet link",
	async () => {
		const link = packetLink({ interface: "near0", addresses: ["10.99.0.2/24"], mac: "02:00:00:00:00:01", ringSize: 60 });
		let socket: PacketSocket | null = new PacketSocket("far0");
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
	},
	{ skip, sizes: [1000, 1514] },
);
