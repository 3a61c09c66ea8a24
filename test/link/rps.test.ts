/** Receive packet steering of a TAP device: which processors work on what the stack sends. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { createHost } from "../../src/index.ts";
import { type TapOptions, tapLink } from "../../src/link/tap.ts";
import { isolate } from "../helpers/namespace.ts";
import { ip, lacksIp } from "../helpers/veth.ts";

const skip = isolate(true);

/** Those that this process may run on: "0-3,8". */
const processors = /^Cpus_allowed_list:\t(.*)$/m
	.exec(readFileSync("/proc/self/status", "latin1"))![1]!
	.split(",")
	.flatMap((range) => {
		const [first, last = first] = range.split("-").map(Number) as [number, number?];
		return Array.from({ length: last - first + 1 }, (_, i) => first + i);
	});

/** Has the main thread run on these alone. */
function pin(...to: number[]): void {
	const { status, stderr } = spawnSync("taskset", ["-cp", to.join(","), String(process.pid)], { encoding: "utf8" });
	assert.equal(status, 0, stderr);
}

/** The set of each queue, as a number. */
const sets = (name: string): number[] =>
	readdirSync(`/sys/class/net/${name}/queues`)
		.filter((queue) => queue.startsWith("rx-"))
		.map((queue) => Number.parseInt(readFileSync(`/sys/class/net/${name}/queues/${queue}/rps_cpus`, "latin1").replaceAll(",", ""), 16));

/** Packets that a processor got from another one: /proc/net/softnet_stat, the tenth column. */
const steered = (): number =>
	readFileSync("/proc/net/softnet_stat", "latin1")
		.trim()
		.split("\n")
		.reduce((sum, line) => sum + Number.parseInt(line.split(" ")[9]!, 16), 0);

/** The address of the kernel's side; each device has a network of its own, for the kernel may still have the one before. */
let next = 0;
function withDevice(t: { after(undo: () => void): void }, options: TapOptions) {
	const network = `10.88.${next++}`;
	const host = createHost({
		link: tapLink({ kernelAddress: `${network}.1/24`, ...options }),
		addresses: [`${network}.2/24`],
		memory: 16 << 20,
	});
	t.after(() => host.close());
	return { host, kernel: `${network}.1` };
}

describe("the processors for the kernel's work", { skip }, () => {
	test("are nobody's unless asked for", (t) => {
		withDevice(t, { name: "mrp0" });
		assert.deepEqual(new Set(sets("mrp0")), new Set([0]));
	});

	test("are those that were named, for each queue", (t) => {
		withDevice(t, { name: "mrp1", rps: [0], queues: 2 });
		assert.deepEqual(sets("mrp1"), [1, 1]);
	});

	test("get what the stack sends from another one", { skip: processors.length < 2 && "needs two processors" }, async (t) => {
		const [own, other] = processors as [number, number];
		pin(own);
		t.after(() => pin(...processors));
		const { host, kernel } = withDevice(t, { name: "mrp2", rps: [other] });
		const before = steered();
		// Nobody listens there: a SYN, and a RST back.
		await assert.rejects(host.tcp.connect({ address: kernel, port: 9 }), { code: "ECONNREFUSED" });
		assert.ok(steered() > before, `${before} packets were steered before, ${steered()} now`);
	});

	test("that are not there are refused, and nothing is left open", () => {
		for (const processor of [4000, 8191])
			assert.throws(() => createHost({ link: tapLink({ name: "mrp3", rps: [0, processor] }), addresses: ["10.77.0.2/24"] }), {
				code: "EINVAL",
				message: /cannot have the kernel work for "mrp3" on processors 0, \d+: not all of them are there/,
			});
		assert.equal(existsSync("/sys/class/net/mrp3"), false);
	});

	test("of a device that was there before are what they were, afterwards", { skip: lacksIp() }, (t) => {
		assert.equal(spawnSync("ip", ["tuntap", "add", "dev", "mrp4", "mode", "tap"]).status, 0);
		t.after(() => ip("link", "del", "mrp4"));
		const host = createHost({ link: tapLink({ name: "mrp4", kernelAddress: "10.89.0.1/24", rps: [0] }), addresses: ["10.89.0.2/24"] });
		assert.deepEqual(sets("mrp4"), [1]);
		host.close();
		assert.deepEqual(sets("mrp4"), [0]);
	});

	test("cannot be said where /sys is of another network namespace, and the error says what to do", () => {
		const program = `
			import { createHost, tapLink } from ${JSON.stringify(new URL("../../src/index.js", import.meta.url).href)};
			try { createHost({ link: tapLink({ name: "mrp5", rps: [0] }), addresses: ["10.77.0.2/24"] }); }
			catch ({ code, message }) { console.log(code, message); }`;
		const { stdout } = spawnSync("unshare", ["-n", process.execPath, "--input-type=module", "-e", program], { encoding: "utf8" });
		assert.match(stdout, /^ENODEV millrace: cannot have the kernel work for "mrp5" .*mount -t sysfs sysfs \/sys/);
	});
});
