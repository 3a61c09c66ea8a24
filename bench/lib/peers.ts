/**
 * The other user-level stacks as contestants: each over a TAP device of its own, like ours.
 *
 * Hides how their programs are run. They make the device and say "ready"; the kernel's side is then addressed here, with the
 * queue length that Millrace gives its own devices, and like these without a queueing discipline. What the programs do, with which settings and why: bench/peers/README.md.
 */
import type { Options } from "./bench.ts";
import type { Child } from "./child.ts";
import { onTap, planTap, program, type Server, type Serving, script, type TapPlan } from "./contestants.ts";
import { flow } from "./flow.ts";
import { type Lab, must, reachable, said } from "./lab.ts";
import { LONG_WARM_UP } from "./servers.ts";
import { wrk } from "./wrk.ts";

export type PeerMode = "keep-alive" | "close" | "source" | "sink";

/** The plain script on `net` that does in each mode what the peers do. */
export const SCRIPTS: Readonly<Record<PeerMode, string>> = {
	"keep-alive": "net-keepalive.mjs",
	close: "net-close.mjs",
	source: "source.mjs",
	sink: "sink.mjs",
};

/** A stack: its server of each mode. */
export type Peer = (mode: PeerMode) => Server;

/** What `tapLink` gives its devices by default. */
const QUEUE_LENGTH = "4096";
const MTU = 1500;
/** Each server has an address of its own, so all may have this port. */
const PORT = 8080;

/** Waits until a program has made its device, and addresses and raises the kernel's side. */
async function raise(child: Child, plan: TapPlan, mtu: number): Promise<void> {
	await said(child, "ready");
	must("ip", "addr", "add", plan.kernel, "dev", plan.device);
	must("ip", "link", "set", "dev", plan.device, "mtu", String(mtu), "txqueuelen", QUEUE_LENGTH, "up");
	must("tc", "qdisc", "replace", "dev", plan.device, "root", "noqueue");
}

function onOwnDevice(lab: Lab, name: string, binary: string, flags: readonly string[] = []): Peer {
	const plan = planTap();
	return (mode) => ({
		name,
		ours: false,
		compiled: true,
		start: async () => {
			const { device, address } = plan;
			const child = lab.server([binary, mode, device, address, String(PORT), ...flags]);
			await raise(child, plan, MTU);
			await reachable(child, address, PORT);
			return { child, address, port: PORT, device };
		},
	});
}

export const lwip = (lab: Lab, binary: string, name: string): Peer => onOwnDevice(lab, name, binary);

/** @param device "offload": segmentation and checksums are the kernel's; "plain": the package's own device code. */
export const gvisor = (lab: Lab, binary: string, name: string, device: "offload" | "plain"): Peer =>
	onOwnDevice(lab, name, binary, [device]);

/** Our event face. */
export const events =
	(lab: Lab, options: Options): Peer =>
	(mode) =>
		onTap(lab, options, "events", mode, "millrace events");

/** Below all source ports of clients and gateways, which could hold any other one. */
let nextOrigin = 801;

/** Loads a server of a mode by itself, for as long as Node compiles it. */
async function warm(lab: Lab, mode: PeerMode, serving: Serving): Promise<void> {
	if (mode === "source" || mode === "sink") await flow(lab, mode === "source" ? "pull" : "push", serving, LONG_WARM_UP);
	else await wrk(lab, { address: serving.address, port: serving.port, seconds: LONG_WARM_UP, connections: 64, close: mode === "close" });
}

/**
 * A gateway program with a kernel server behind it, on the client's core: what that one costs shall not count as the gateway's. It is warm
 * before the gateway starts: libslirp, which is machine code, keeps the connections of its last ten seconds and searches all of them.
 */
function gateway(lab: Lab, options: Options, name: string, ours: boolean, begin: (plan: TapPlan) => Promise<Child>): Peer {
	const plan = planTap();
	const port = nextOrigin++;
	return (mode) => ({
		name,
		ours,
		compiled: !ours,
		start: async () => {
			const behind = lab.client([options.node, script(SCRIPTS[mode])], { env: { PORT: String(port) }, seconds: 3600 });
			await reachable(behind, "127.0.0.1", port);
			if (!options.short) await warm(lab, mode, { child: behind, address: "127.0.0.1", port });
			const child = await begin(plan);
			await reachable(child, plan.address, port);
			return { child, address: plan.address, port, device: plan.device };
		},
	});
}

export const ourGateway = (lab: Lab, options: Options): Peer =>
	gateway(lab, options, "millrace gateway (tap)", true, async ({ device, stack, kernel }) => {
		const child = lab.server([options.node, program("gateway")], {
			env: { TAP_DEVICE: device, TAP_STACK: stack, TAP_KERNEL: kernel },
		});
		await said(child, "ready");
		return child;
	});

export const slirp = (lab: Lab, options: Options, binary: string, name: string, mtu = MTU): Peer =>
	gateway(lab, options, name, false, async (plan) => {
		const child = lab.server([binary, plan.device, plan.address, String(mtu)]);
		await raise(child, plan, mtu);
		return child;
	});
