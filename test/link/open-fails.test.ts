/** A link that cannot be opened, whichever system call fails, leaves nothing open and nothing mapped. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type TestContext, test } from "node:test";
import type { Link } from "../../src/link/link.ts";
import { packetAvailable, packetLink } from "../../src/link/packet.ts";
import { tapAvailable, tapLink } from "../../src/link/tap.ts";
import { xdpAvailable, xdpLink } from "../../src/link/xdp.ts";
import { Arena } from "../../src/memory/arena.ts";
import { PagePool } from "../../src/memory/pages.ts";
import { ENOMEM } from "../../src/sys/errno.ts";
import { type Libc, libc } from "../../src/sys/libc.ts";
import { isolate } from "../helpers/namespace.ts";
import { realRuntime } from "../helpers/real-runtime.ts";
import { ip, lacksIp, vethPair } from "../helpers/veth.ts";

const skip = isolate();
const noVeth = skip || lacksIp();
const lacking = (available: () => { ok: boolean; reason: string }): string | false => {
	if (skip !== false) return skip;
	const { ok, reason } = available();
	return ok ? false : reason;
};
if (noVeth === false) {
	vethPair("near0", "far0", 2);
	ip("addr", "add", "10.99.0.1/24", "dev", "near0");
}

const own = { interface: "near0", addresses: ["10.99.0.2/24"], mac: "02:00:00:00:00:01" };
const TAP = lacking(tapAvailable);
const PACKET = noVeth || lacking(packetAvailable);
const XDP = noVeth || lacking(xdpAvailable);
const LINKS: readonly (readonly [string, string | false, () => Link])[] = [
	["a TAP link", TAP, () => tapLink()],
	["a TAP link of three queues", TAP, () => tapLink({ queues: 3, steering: "flow-group" })],
	["a packet link", PACKET, () => packetLink({ ...own, ringSize: 15 })],
	["a packet link with v3 and fanout", PACKET, () => packetLink({ ...own, ring: "v3", ringSize: 15, fanout: { mode: "ebpf", queues: 2 } })],
	["an XDP link with an address of its own", XDP, () => xdpLink(own)],
	["an XDP link with ports", XDP, () => xdpLink({ interface: "near0", ports: [80, 81] })],
];

/** Calls that can fail. */
const CALLS = [
	"open",
	"socket",
	"bind",
	"setsockopt",
	"getsockopt",
	"mmap",
	"ioctl",
	"ioctlValue",
	"syscall3",
	"send",
	"recv",
	"poll",
] as const;

/** What mmap takes to lay zeros over what was mapped: that gives back, and if it fails nothing can be done. */
const MAP_ANONYMOUS = 0x20;

/** What the process has open, and what of it is mapped. */
function held(): string[] {
	const open = readdirSync("/proc/self/fd").map((fd) => {
		try {
			return readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, "N");
		} catch {
			return "";
		}
	});
	const mapped = readFileSync("/proc/self/maps", "latin1")
		.split("\n")
		.filter((line) => /socket:|io_uring/.test(line));
	return [...open.filter((name) => name !== ""), ...mapped].sort();
}

/** Has the `n`-th call fail; whether it came to that, and what the call was. */
function failing(context: TestContext, n: number): { failed: () => string | null; restore: () => void } {
	const c = libc() as unknown as Record<string, (...args: unknown[]) => unknown>;
	let calls = 0;
	let failed: string | null = null;
	let told = false;
	const mocks = CALLS.map((name) => {
		const original = c[name]!;
		return context.mock.method(libc(), name, ((...args: unknown[]) => {
			const givesBack = name === "mmap" && ((args[3] as number) & MAP_ANONYMOUS) !== 0;
			told = !givesBack && ++calls === n;
			if (!told) return original(...args);
			failed = name;
			if (name === "poll") throw new Error("no poll handle");
			return -1;
		}) as never);
	});
	const { errno } = libc();
	mocks.push(context.mock.method(libc(), "errno", (() => (told ? ENOMEM : errno())) as Libc["errno"] as never));
	return { failed: () => failed, restore: () => mocks.forEach((mock) => void mock.mock.restore()) };
}

for (const [name, lack, make] of LINKS) {
	test(`${name} that fails to open at any call leaves nothing behind`, { skip: lack }, (context) => {
		const open = (): void => {
			const link = make();
			const pool = new PagePool(new Arena(1 << 20), 256);
			try {
				link.open({ pool, runtime: realRuntime(), wake() {}, failed() {} });
			} finally {
				link.close();
				assert.equal(pool.inUse, 0);
			}
		};
		open();
		const before = held();
		let refused = 0;
		for (let n = 1; ; n++) {
			const { failed, restore } = failing(context, n);
			try {
				open();
			} catch (error) {
				if (error instanceof assert.AssertionError) throw error;
				refused++;
			} finally {
				restore();
			}
			assert.deepEqual(held(), before, `call ${n}: ${failed()}`);
			if (failed() === null) break;
		}
		assert.ok(refused >= 5, `${refused} failures`);
		open();
	});
}
