/** Pairs of virtual Ethernet interfaces, made with iproute2 in the test's own network namespace. */
import { spawnSync } from "node:child_process";

/** Runs `ip` with these words; throws with what it said if it fails. */
export function ip(...words: string[]): void {
	const { status, stderr, error } = spawnSync("ip", words, { encoding: "utf8" });
	if (status !== 0) throw new Error(`ip ${words.join(" ")}: ${error?.message ?? stderr.trim()}`);
}

/** False if `ip` is there, else what to say of a test that needs it. */
export function lacksIp(): string | false {
	return spawnSync("ip", ["-V"]).status === 0 ? false : "needs ip (apt-get install iproute2)";
}

/** Makes a pair, both ends up and in this namespace, without IPv6 (whose own frames would disturb). */
export function vethPair(near: string, far: string, queues = 1): void {
	const many = ["numtxqueues", `${queues}`, "numrxqueues", `${queues}`];
	ip("link", "add", near, ...many, "type", "veth", "peer", "name", far, ...many);
	for (const name of [near, far]) {
		spawnSync("sh", ["-c", `echo 1 > /proc/sys/net/ipv6/conf/${name}/disable_ipv6`]);
		ip("link", "set", name, "up");
	}
}
