/**
 * The laboratory: a network namespace of our own, a second one behind a veth pair, and one core for servers, one for clients.
 *
 * Hides the set-up of the machine. The bench command runs itself again under `unshare -n`, so that no packet can leave by
 * the machine's default route: in there is no route but those made here. Everything ends with the processes that live in
 * a namespace, so nothing has to be taken down.
 *
 * Addresses: lo 127.0.0.1; veth 10.78.0.1 (client side, our namespace) and 10.78.0.2 (server side); TAP device number
 * N 10.77.N.1 (kernel) and 10.77.N.2 (Millrace).
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { availableParallelism } from "node:os";
import { tapAvailable } from "../../src/sys/tun.ts";
import { Child, type Spawn } from "./child.ts";

/** Set for the command that runs inside the namespace. */
const INSIDE = "MILLRACE_BENCH_NAMESPACE";

export const VETH_CLIENT = "10.78.0.1";
export const VETH_SERVER = "10.78.0.2";

export const inside = (): boolean => process.env[INSIDE] === "1";

/** Whether a program is on the path. */
export function installed(program: string): boolean {
	return spawnSync("which", [program], { stdio: "ignore" }).status === 0;
}

/** What every bench with real packets needs. */
export function isolationNeeds(): string[] {
	const needs: string[] = [];
	if (process.platform !== "linux") needs.push("Linux");
	if (process.getuid?.() !== 0) needs.push("root (it makes network namespaces and TAP devices)");
	if (availableParallelism() < 2) needs.push("two cores (server on one, client on the other)");
	for (const [program, name] of [
		["unshare", "util-linux"],
		["setpriv", "util-linux"],
		["ip", "iproute2"],
	] as const) {
		if (!installed(program)) needs.push(`${program}: apt-get install ${name}`);
	}
	if (needs.length === 0) {
		const tap = tapAvailable();
		if (!tap.ok) needs.push(`TAP devices: ${tap.reason}`);
	}
	return needs;
}

export const wrkNeeds = (): string[] => (installed("wrk") ? [] : ["wrk: apt-get install wrk"]);

/** Runs this command again in a network namespace of its own; resolves with its exit code. */
export async function reexecute(args: readonly string[]): Promise<number> {
	// /sys shows the devices of the namespace that it was mounted in, and is the only way to some of their settings.
	const own = ["unshare", "-nm", "sh", "-c", 'mount -t sysfs sysfs /sys; exec "$@"', "sh"];
	const child = new Child([...own, process.execPath, ...process.execArgv, process.argv[1]!, ...args], {
		env: { [INSIDE]: "1" },
		seconds: 3600,
		passThrough: true,
	});
	const { code } = await child.exited;
	return code ?? 1;
}

/** Runs a command that has to succeed. */
export function must(command: string, ...args: string[]): void {
	const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8", timeout: 10_000 });
	if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr.trim()}`);
}

/** Linux's own default. Without loss its window is as large as it may be, so a rate is what sender and receiver can do. */
export const CUBIC = "cubic";

const CONGESTION = "net/ipv4/tcp_congestion_control";

/**
 * Settings of a namespace in which many short connections come from one client: no contestant may starve for ports, and every kernel has
 * CUBIC. BBR, which some machines give their connections, paces each of them by a timer, at both ends, whoever the server is.
 */
const SYSCTLS: readonly [string, string][] = [
	["net/ipv4/ip_local_port_range", "1024 65535"],
	// Ports of servers: a client's connection may not have one of them when its server comes.
	["net/ipv4/ip_local_reserved_ports", "8080-8999"],
	["net/ipv4/tcp_tw_reuse", "1"],
	[CONGESTION, CUBIC],
	["net/ipv4/tcp_max_syn_backlog", "4096"],
	["net/core/somaxconn", "4096"],
	// Otherwise the kernel sends duplicate-address probes over each new device while we measure.
	["net/ipv6/conf/all/disable_ipv6", "1"],
	["net/ipv6/conf/default/disable_ipv6", "1"],
];

export class Lab {
	readonly serverCpu = 0;
	readonly clientCpu = 1;
	#far: Child | null = null;
	/** What runs for the servers that are up, in the order of its start. */
	#up: Child[] = [];

	/** The congestion control that this machine gives its connections. */
	readonly machinesChoice: string;

	/** The one that connections have here, if nothing else is said: CUBIC, unless the machine allows a namespace none. */
	readonly usual: string;

	private constructor(machinesChoice: string, usual: string) {
		this.machinesChoice = machinesChoice;
		this.usual = usual;
	}

	static open(): Lab {
		if (!inside()) throw new Error("millrace: a bench with packets runs only inside its own network namespace");
		must("ip", "link", "set", "lo", "up");
		// A new namespace has the machine's.
		const machinesChoice = readFileSync(`/proc/sys/${CONGESTION}`, "latin1").trim();
		for (const [key, value] of SYSCTLS) {
			try {
				writeFileSync(`/proc/sys/${key}`, value);
			} catch {
				// Not every kernel has every setting per namespace; the defaults do for a shorter run.
			}
		}
		return new Lab(machinesChoice, readFileSync(`/proc/sys/${CONGESTION}`, "latin1").trim());
	}

	/**
	 * The process id of a member of the second namespace, which is made, with the veth pair, when it is first asked for, and stays
	 * as long as the laboratory does.
	 */
	far(): number {
		if (this.#far !== null) return this.#far.pid;
		const child = openNamespace();
		must("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1", "netns", String(child.pid));
		must("ip", "addr", "add", `${VETH_CLIENT}/24`, "dev", "veth0");
		must("ip", "link", "set", "veth0", "up");
		const inFar = ["-n", "-t", String(child.pid), "ip"];
		must("nsenter", ...inFar, "addr", "add", `${VETH_SERVER}/24`, "dev", "veth1");
		must("nsenter", ...inFar, "link", "set", "veth1", "up");
		this.#far = child;
		return child.pid;
	}

	/** A further namespace, alive as long as the child is. */
	namespace(): Child {
		return this.#begun(openNamespace());
	}

	server(argv: readonly string[], options: Partial<Spawn> = {}): Child {
		return this.#begun(new Child(argv, { cpu: this.serverCpu, seconds: 3600, ...options }));
	}

	client(argv: readonly string[], options: Partial<Spawn> = {}): Child {
		return this.#begun(new Child(argv, { cpu: this.clientCpu, seconds: 120, ...options }));
	}

	/** Ends all servers, clients and further namespaces, what was begun last first. */
	async clear(): Promise<void> {
		for (const child of this.#up.splice(0).reverse()) await child.stop();
	}

	#begun(child: Child): Child {
		this.#up.push(child);
		return child;
	}
}

/** A namespace that ends with its child: `cat` ends when our end of its pipe closes. */
function openNamespace(): Child {
	const child = new Child(["unshare", "-n", "cat"], { seconds: 3600, input: true });
	// unshare becomes cat only after it has left our namespace.
	const deadline = Date.now() + 5000;
	while (spawnSync("grep", ["-q", "^cat", `/proc/${child.pid}/comm`]).status !== 0) {
		if (Date.now() > deadline) throw new Error("unshare -n did not start");
	}
	const inNew = ["-n", "-t", String(child.pid)];
	must("nsenter", ...inNew, "ip", "link", "set", "lo", "up");
	for (const [key, value] of SYSCTLS) {
		spawnSync("nsenter", [...inNew, "sh", "-c", `echo "${value}" > /proc/sys/${key}`], { stdio: "ignore" });
	}
	return child;
}

/** Resolves when a TCP connection to the server succeeds; rejects when the server ends or does not come. */
export async function reachable(server: Child, address: string, port: number, milliseconds = 10_000): Promise<void> {
	const deadline = Date.now() + milliseconds;
	for (;;) {
		if (server.ended !== null) throw new Error(`${server.command}: ended: ${server.lastWords}`);
		const ok = await new Promise<boolean>((resolve) => {
			const socket = connect({ host: address, port });
			const finish = (result: boolean): void => {
				socket.destroy();
				resolve(result);
			};
			socket.setTimeout(500, () => finish(false));
			socket.once("connect", () => finish(true));
			socket.once("error", () => finish(false));
		});
		if (ok) return;
		if (Date.now() > deadline)
			throw new Error(`${server.command}: no connection to ${address}:${port} within ${milliseconds / 1000} s: ${server.lastWords}`);
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}

/** Resolves when a child has written `word`; rejects when it ends or stays silent. */
export async function said(child: Child, word: string, milliseconds = 10_000): Promise<void> {
	for (const deadline = Date.now() + milliseconds; !child.stdout.includes(word); ) {
		if (child.ended !== null) throw new Error(`${child.command}: ended: ${child.lastWords}`);
		if (Date.now() > deadline) throw new Error(`${child.command}: silent for ${milliseconds / 1000} s: ${child.lastWords}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}
