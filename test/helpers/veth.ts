/** Pairs of virtual Ethernet interfaces, made with iproute2 in the test's own network namespace. */
import { spawn, spawnSync } from "node:child_process";
import { readlinkSync } from "node:fs";

/** Runs a command; throws with what it said if it fails. */
function run(...words: string[]): void {
	const { status, stderr, error } = spawnSync(words[0]!, words.slice(1), { encoding: "utf8" });
	if (status !== 0) throw new Error(`${words.join(" ")}: ${error?.message ?? stderr.trim()}`);
}

/** Runs `ip` with these words. */
export function ip(...words: string[]): void {
	run("ip", ...words);
}

/** False if `ip` is there, else what to say of a test that needs it. */
export function lacksIp(): string | false {
	return spawnSync("ip", ["-V"]).status === 0 ? false : "needs ip (apt-get install iproute2)";
}

/** Makes a pair, both ends up, without IPv6 (whose own frames would disturb); the far end in the namespace of process `farPid` if given. */
export function vethPair(near: string, far: string, queues = 1, farPid?: number): void {
	const many = ["numtxqueues", `${queues}`, "numrxqueues", `${queues}`];
	const there = farPid === undefined ? [] : ["netns", `${farPid}`];
	ip("link", "add", near, ...many, "type", "veth", "peer", "name", far, ...many, ...there);
	for (const [name, pid] of [
		[near, undefined],
		[far, farPid],
	] as const) {
		const prefix = pid === undefined ? [] : ["nsenter", "-n", "-t", `${pid}`];
		run(...prefix, "sh", "-c", `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6 || true`);
		run(...prefix, "ip", "link", "set", name, "up");
	}
}

/** Starts a process in a network namespace of its own and returns its id; the namespace ends with it. */
export function farNamespace(): number {
	const child = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", "-n", "sleep", "3600"], { stdio: "ignore" });
	child.unref();
	const own = readlinkSync("/proc/self/ns/net");
	for (let tries = 0; readlinkSync(`/proc/${child.pid}/ns/net`) === own; tries++) {
		if (tries > 200) throw new Error("unshare -n did not start");
		spawnSync("sleep", ["0.01"]);
	}
	return child.pid!;
}
