/**
 * `millrace doctor`: what can run on this machine, and what keeps the rest from it.
 *
 * Each check is made by doing the thing in small, not by guessing from versions, and says what it found in one line.
 */
import { createServer } from "node:net";
import { packetAbilities, packetAvailable } from "../link/packet.ts";
import { tapAvailable } from "../link/tap.ts";
import { xdpAvailable } from "../link/xdp.ts";
import { Arena } from "../memory/arena.ts";
import { interfaceWith } from "../node/interfaces.ts";
import { linkEnds } from "../node/run-options.ts";
import { versionText } from "./help.ts";

/** Oldest Node that is tested. */
const NODE_LEAST = [20, 19] as const;

interface Finding {
	ok: boolean;
	/** In a few words: the state, or the reason and the remedy. */
	reason: string;
}

/** Writes the findings, line by line; returns the exit code: 0 if a program can be run by any link. */
export async function doctor(print: (line: string) => void): Promise<number> {
	const report = (what: string, { ok, reason }: Finding): boolean => {
		print(`${what.padEnd(16)}${ok ? "yes" : "no "}  ${reason}`);
		return ok;
	};
	print(`millrace ${versionText()}, ${process.platform} ${process.arch}`);
	const node = report("node", nodeVersion());
	const memory = report("memory", sharedMemory());
	print(`${"privileges".padEnd(16)}${privileges()}`);
	const tap = report("link tap", tapLinkFinding());
	report("link xdp", xdpLinkFinding());
	report("link packet", packetLinkFinding());
	const user = report("link user", await kernelSockets());
	report("link loopback", { ok: memory, reason: memory ? "needs nothing" : "no memory to work in" });
	print(`${"default link".padEnd(16)}${tap ? "tap" : user ? "user" : "none"}`);
	return node && memory ? 0 : 1;
}

function nodeVersion(): Finding {
	const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
	const ok = major > NODE_LEAST[0] || (major === NODE_LEAST[0] && minor >= NODE_LEAST[1]);
	return { ok, reason: ok ? `v${process.versions.node}` : `v${process.versions.node}: Millrace needs ${NODE_LEAST.join(".")} or later` };
}

function sharedMemory(): Finding {
	try {
		const arena = new Arena(64 * 1024 * 1024);
		return { ok: true, reason: `shared memory can be had (tried ${arena.size >> 20} MB)` };
	} catch (error) {
		return { ok: false, reason: `${(error as Error).message}: raise the limit on address space (ulimit -v)` };
	}
}

function privileges(): string {
	if (process.getuid === undefined) return "not known on this platform";
	return process.getuid() === 0 ? "root" : `user ${process.getuid()}`;
}

function tapLinkFinding(): Finding {
	if (process.platform !== "linux") return { ok: false, reason: `TAP devices are used on Linux only, this is ${process.platform}` };
	const { ok, reason } = tapAvailable();
	if (!ok) return { ok, reason };
	const { address, kernelAddress } = linkEnds("tap", { address: null, kernelAddress: null });
	const holder = interfaceWith(kernelAddress.slice(0, kernelAddress.indexOf("/")));
	const remark = holder === null ? "" : `, but ${holder} has ${kernelAddress} already: give --address and --kernel-address`;
	return { ok: true, reason: `${reason}; the program would be at ${address}${remark}` };
}

function xdpLinkFinding(): Finding {
	if (process.platform !== "linux") return { ok: false, reason: `AF_XDP is Linux's, this is ${process.platform}` };
	const { ok, reason } = xdpAvailable();
	return { ok, reason: ok ? `${reason}; on an Ethernet interface, with --ports or --address` : reason };
}

function packetLinkFinding(): Finding {
	if (process.platform !== "linux") return { ok: false, reason: `packet sockets are Linux's, this is ${process.platform}` };
	const { ok, reason } = packetAvailable();
	if (!ok) return { ok, reason };
	const { rings, fanout } = packetAbilities();
	return { ok, reason: `${reason}; rings ${rings.join(", ")}, fanout by ${fanout.join(", ")}; on an Ethernet interface, with --address` };
}

function kernelSockets(): Promise<Finding> {
	return new Promise((resolve) => {
		const server = createServer();
		server.once("error", (error: NodeJS.ErrnoException) => resolve({ ok: false, reason: `cannot listen on 127.0.0.1: ${error.code}` }));
		server.listen(0, "127.0.0.1", () =>
			server.close(() => resolve({ ok: true, reason: "needs no privilege; the program would be at 127.0.0.1" })),
		);
	});
}
