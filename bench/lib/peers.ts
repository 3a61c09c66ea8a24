/**
 * The other user-level stacks as contestants: each started over a TAP device of its own, like ours.
 *
 * Hides how their programs are run. They make the device and say "ready"; the kernel's side is then addressed here, with the
 * queue length that Millrace gives its own devices. What the programs do, with which settings and why: bench/peers/README.md.
 */
import type { Options } from "./bench.ts";
import type { Child } from "./child.ts";
import { onTap, planTap, program, type Serving, script } from "./contestants.ts";
import { type Lab, must, reachable, said } from "./lab.ts";

export type PeerMode = "keep-alive" | "close" | "source" | "sink";

/** The plain script on `net` that does in each mode what the peers do. */
export const SCRIPTS: Readonly<Record<PeerMode, string>> = {
	"keep-alive": "net-keepalive.mjs",
	close: "net-close.mjs",
	source: "source.mjs",
	sink: "sink.mjs",
};

/** A stack that can be started in each mode, as often as is wanted. */
export interface Peer {
	readonly name: string;
	start(mode: PeerMode): Promise<Serving>;
}

/** What `tapLink` gives its devices by default. */
const QUEUE_LENGTH = "4096";
const MTU = 1500;
/** Each server has an address of its own, so all may have this port. */
const PORT = 8080;

/** Waits until a program has made its device, and addresses and raises the kernel's side. */
async function raise(child: Child, plan: ReturnType<typeof planTap>, mtu: number): Promise<void> {
	try {
		await said(child, "ready");
		must("ip", "addr", "add", plan.kernel, "dev", plan.device);
		must("ip", "link", "set", "dev", plan.device, "mtu", String(mtu), "txqueuelen", QUEUE_LENGTH, "up");
	} catch (error) {
		await child.stop();
		throw error;
	}
}

function onOwnDevice(lab: Lab, name: string, binary: string, flags: readonly string[] = []): Peer {
	const plan = planTap();
	return {
		name,
		start: async (mode) => {
			const { device, address } = plan;
			const child = lab.server([binary, mode, device, address, String(PORT), ...flags]);
			await raise(child, plan, MTU);
			await reachable(child, address, PORT);
			return { name, child, address, port: PORT, device, stop: () => child.stop() };
		},
	};
}

export const lwip = (lab: Lab, binary: string, name: string): Peer => onOwnDevice(lab, name, binary);

/** @param device "offload": segmentation and checksums are the kernel's; "plain": the package's own device code. */
export const gvisor = (lab: Lab, binary: string, name: string, device: "offload" | "plain"): Peer =>
	onOwnDevice(lab, name, binary, [device]);

/** Our event face. */
export const events = (lab: Lab, options: Options): Peer => ({
	name: "millrace events (tap)",
	start: (mode) => onTap(lab, options, "events", mode, "millrace events"),
});

/** Below all source ports of clients and gateways, which could hold any other one. */
let nextOrigin = 801;

/** The kernel server behind a gateway, on the client's core: what it costs shall not count as the gateway's. */
async function origin(lab: Lab, options: Options, mode: PeerMode): Promise<{ port: number; child: Child }> {
	const port = nextOrigin++;
	const child = lab.client([options.node, script(SCRIPTS[mode])], { env: { PORT: String(port) }, seconds: 3600 });
	await reachable(child, "127.0.0.1", port);
	return { port, child };
}

/** A gateway program, given as its command line and environment, with a kernel server behind it. */
function gateway(lab: Lab, options: Options, name: string, start: (plan: ReturnType<typeof planTap>) => Promise<Child>): Peer {
	const plan = planTap();
	return {
		name,
		start: async (mode) => {
			const behind = await origin(lab, options, mode);
			const child = await start(plan);
			await reachable(child, plan.address, behind.port);
			const stop = async (): Promise<void> => {
				for (const each of [child, behind.child]) await each.stop();
			};
			return { name, child, address: plan.address, port: behind.port, device: plan.device, stop };
		},
	};
}

export const ourGateway = (lab: Lab, options: Options): Peer =>
	gateway(lab, options, "millrace gateway (tap)", async ({ device, stack, kernel }) => {
		const child = lab.server([options.node, program("gateway")], {
			env: { TAP_DEVICE: device, TAP_STACK: stack, TAP_KERNEL: kernel },
		});
		await said(child, "ready");
		return child;
	});

export const slirp = (lab: Lab, options: Options, binary: string, name: string, mtu = MTU): Peer =>
	gateway(lab, options, name, async (plan) => {
		const child = lab.server([binary, plan.device, plan.address, String(mtu)]);
		await raise(child, plan, mtu);
		return child;
	});
