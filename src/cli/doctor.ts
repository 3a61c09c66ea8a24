/**
 * `millrace doctor`: what can run on this machine, and what keeps the rest from it.
 *
 * Each check is made by doing the thing in small, not by guessing from versions, and says what it found in one line.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type ListenOptions } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packetAbilities, packetAvailable } from "../link/packet.ts";
import { expressLaneAvailable, tapAvailable, tapQueuesAvailable, tapSteeringAvailable, uringAvailable } from "../link/tap.ts";
import { xdpAvailable, xdpPortsLack } from "../link/xdp.ts";
import { Arena } from "../memory/arena.ts";
import { named } from "../node/quantities.ts";
import { linkEnds } from "../node/run-checks.ts";
import { NetworkInterface } from "../sys/interface.ts";
import { interfaceWith } from "../sys/kernel-addresses.ts";
import { adviseLargePages, largePagePolicy } from "../sys/large-pages.ts";
import { libc } from "../sys/libc.ts";
import { type XdpFacts, xdpFacts } from "../sys/xdp-facts.ts";
import { versionText } from "./help.ts";

/** Oldest Node that is tested. */
const NODE_LEAST = [20, 19] as const;

interface Finding {
	/** null: it cannot be known without trying. */
	ok: boolean | null;
	/** In a few words: the state, or the reason and the remedy. */
	reason: string;
}

/** Writes the findings, line by line; returns the exit code: 0 if a program can be run by any link. */
export async function doctor(print: (line: string) => void): Promise<number> {
	const row = (what: string, text: string): void => print(`${what.padEnd(20)}${text}`);
	const report = (what: string, { ok, reason }: Finding): boolean => {
		row(what, `${ok === null ? "may" : ok ? "yes" : "no "}  ${reason}`);
		return ok === true;
	};
	print(`millrace ${versionText()}, ${process.platform} ${process.arch}`);
	const node = report("node", nodeVersion());
	const memory = report("memory", arenaMemory());
	report("large pages", memory ? largePagesFinding() : inMemory(memory, ""));
	row("privileges", privileges());
	const tap = report("link tap", tapLinkFinding());
	report("link tap io_uring", tapUringFinding());
	for (const [what, finding] of Object.entries(tapQueueFindings())) report(`link ${what}`, finding);
	for (const [what, finding] of Object.entries(xdpLinkFindings())) report(`link ${what}`, finding);
	report("link packet", packetLinkFinding());
	report("link stream", await streamLinkFinding());
	report("link pcap", inMemory(memory, "replays a capture: --link pcap:FILE, made by tcpdump -w or --capture"));
	const user = report("link user", await kernelSockets());
	report("link loopback", inMemory(memory, "needs nothing; client and server in one program"));
	report("link memory", inMemory(memory, "joins hosts within a program: millrace/link/memory, not for --link"));
	row("default link", tap ? "tap" : user ? "user" : "none");
	return node && memory ? 0 : 1;
}

function nodeVersion(): Finding {
	const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
	const ok = major > NODE_LEAST[0] || (major === NODE_LEAST[0] && minor >= NODE_LEAST[1]);
	return { ok, reason: ok ? `v${process.versions.node}` : `v${process.versions.node}: Millrace needs ${NODE_LEAST.join(".")} or later` };
}

function arenaMemory(): Finding {
	try {
		const arena = new Arena(64 * 1024 * 1024);
		return { ok: true, reason: `memory can be had (tried ${arena.size >> 20} MB)` };
	} catch (error) {
		return { ok: false, reason: (error as Error).message.replace(/^millrace: /, "") };
	}
}

/** Asked for in small; whether the kernel then has any in one piece is seen only as they are touched. */
function largePagesFinding(): Finding {
	if (process.platform !== "linux") return { ok: false, reason: `transparent huge pages are Linux's, this is ${process.platform}` };
	const policy = largePagePolicy();
	if (policy === "never") {
		const remedy = "set /sys/kernel/mm/transparent_hugepage/enabled to madvise; pages must be of 2 MB";
		return { ok: false, reason: `this kernel gives this process none: ${remedy}. Nothing else differs` };
	}
	if (adviseLargePages(new Arena(8 << 20).u8) === 0) return { ok: false, reason: "madvise(MADV_HUGEPAGE) cannot be called, or is refused" };
	return { ok: true, reason: policy === "always" ? "wherever they fit, asked for or not" : "with --large-pages on" };
}

/** For links that need nothing but the stack's own memory. */
function inMemory(ok: boolean, reason: string): Finding {
	return { ok, reason: ok ? reason : "no memory to work in" };
}

function privileges(): string {
	if (process.getuid === undefined) return "not known on this platform";
	return process.getuid() === 0 ? "root" : `user ${process.getuid()}`;
}

/** What keeps all kernel devices from this machine: its kind, or koffi that is not there; null where they are worth trying. */
function lackOfLibc(): Finding | null {
	try {
		libc();
		return null;
	} catch (error) {
		return { ok: false, reason: (error as Error).message.replace(/^millrace: /, "") };
	}
}

function tapLinkFinding(): Finding {
	const lack = lackOfLibc();
	if (lack !== null) return lack;
	const { ok, reason } = tapAvailable();
	if (!ok) return { ok, reason: `${reason}. Run as root or with CAP_NET_ADMIN, /dev/net/tun being there; or use --link user` };
	const { address, kernelAddress } = linkEnds("tap", { address: null, kernelAddress: null });
	const holder = interfaceWith(kernelAddress.slice(0, kernelAddress.indexOf("/")));
	const remark = holder === null ? "" : `, but ${holder} has ${kernelAddress} already: give --address and --kernel-address`;
	return { ok: true, reason: `${reason}; the program would be at ${address}${remark}` };
}

function tapUringFinding(): Finding {
	const lack = lackOfLibc();
	if (lack !== null) return lack;
	const { ok, reason } = uringAvailable();
	return {
		ok,
		reason: ok ? "many frames are moved by one system call" : `${reason}. Each frame takes a system call; nothing else differs`,
	};
}

/** Several queues of a TAP device, and who may choose among them. */
function tapQueueFindings(): Record<string, Finding> {
	const all = (finding: Finding) => ({ "tap queues": finding, "tap steering": finding, "tap lane": finding });
	const lack = lackOfLibc();
	if (lack !== null) return all(lack);
	const queues = tapQueuesAvailable();
	if (!queues.ok) return all({ ok: false, reason: `${queues.reason}; see link tap` });
	const steering = tapSteeringAvailable();
	const lane = expressLaneAvailable();
	return {
		"tap queues": { ok: true, reason: `${queues.reason}, with --queues` },
		"tap steering": {
			ok: steering.ok,
			reason: steering.ok
				? "by flow group: --queues N --steering flow-group"
				: `${steering.reason}. The kernel steers; by flow group takes CAP_BPF and CAP_NET_ADMIN, and Linux 4.18`,
		},
		"tap lane": {
			ok: lane.ok,
			reason: lane.ok
				? "new connections and ACKs do not wait behind bulk data"
				: `${lane.reason}. All frames wait in one queue; a lane takes CAP_BPF and CAP_NET_ADMIN, and Linux 5.8`,
		},
	};
}

/** The three ways of an XDP link, from the one that every interface has to the one that few have. */
function xdpLinkFindings(): Record<string, Finding> {
	const all = (finding: Finding) => ({ "xdp generic": finding, "xdp native": finding, "xdp zero-copy": finding });
	const lack = lackOfLibc();
	if (lack !== null) return all(lack);
	const { ok, reason } = xdpAvailable();
	if (!ok) return all({ ok, reason: `${reason}. Run as root, on Linux 5.9 or later; or use --link packet, which needs no XDP` });
	const found = interfaces();
	const names = found.map(({ name }) => name);
	if (names.length === 0) return all({ ok: false, reason: "no Ethernet interface is up: see ip link" });
	const able = (what: keyof XdpFacts, how: string, otherwise: string): Finding => {
		const those = found.filter(({ facts }) => facts?.[what]).map(({ name }) => name);
		if (those.length > 0) return { ok: true, reason: `${named(those)}; ${how}` };
		if (found.some(({ facts }) => facts === null)) return { ok: null, reason: `this kernel (before 6.3) does not say; ${how}, to try` };
		return { ok: false, reason: `the driver of ${named(names)} cannot; ${otherwise}` };
	};
	const ways = xdpPortsLack() === null ? "--ports or --address" : "--address; --ports takes CAP_PERFMON as well";
	return {
		"xdp generic": { ok, reason: `${reason}; ${named(names)}; with ${ways}` },
		"xdp native": able("native", "taken by default, --xdp-mode native insists", "generic works, at a lower speed"),
		"xdp zero-copy": able("zeroCopy", "taken by default, --zero-copy always insists", "frames are copied once by the kernel"),
	};
}

/** The Ethernet interfaces of this machine that are up, and what their drivers can do for XDP. */
function interfaces(): { name: string; facts: XdpFacts | null }[] {
	// Not from /sys, which may show another network namespace.
	const names = [...readFileSync("/proc/net/dev", "latin1").matchAll(/^\s*(\S+):/gm)].map(([, name]) => name!);
	return names.flatMap((name) => {
		const device = new NetworkInterface(name);
		try {
			return device.ethernet && device.up ? [{ name, facts: xdpFacts(device.index) }] : [];
		} finally {
			device.close();
		}
	});
}

function packetLinkFinding(): Finding {
	const lack = lackOfLibc();
	if (lack !== null) return lack;
	const { ok, reason } = packetAvailable();
	if (!ok) return { ok, reason: `${reason}. Run as root, or with CAP_NET_RAW` };
	const { rings, fanout } = packetAbilities();
	return { ok, reason: `${reason}; rings ${rings.join(", ")}, fanout by ${fanout.join(", ")}; on an Ethernet interface, with --address` };
}

/** Made and removed again: a UNIX socket, as a virtual machine would connect to. */
async function streamLinkFinding(): Promise<Finding> {
	let folder: string;
	try {
		folder = mkdtempSync(join(tmpdir(), "millrace-"));
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		return { ok: null, reason: `cannot make a folder in ${tmpdir()} to try it: ${code}. Set TMPDIR to one that can be written` };
	}
	try {
		const code = await listens({ path: join(folder, "doctor.sock") });
		if (code !== null)
			return { ok: false, reason: `cannot listen on a UNIX socket in ${tmpdir()}: ${code}. stream:tcp and stream:udp may work` };
		return { ok: true, reason: "for a virtual machine: --link stream:listen:unix:PATH --address 10.0.2.2/24" };
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

async function kernelSockets(): Promise<Finding> {
	const code = await listens({ port: 0, host: "127.0.0.1" });
	if (code !== null) return { ok: false, reason: `cannot listen on 127.0.0.1: ${code}. Bring the interface lo up` };
	return { ok: true, reason: "needs no privilege; the program would be at 127.0.0.1" };
}

/** Listens for a moment; null, or the code of what went wrong. */
function listens(where: ListenOptions): Promise<string | null> {
	return new Promise((resolve) => {
		const server = createServer();
		server.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code ?? "EIO"));
		server.listen(where, () => server.close(() => resolve(null)));
	});
}
