/**
 * The servers that are compared: a plain script on kernel sockets, the same script on Millrace, nginx.
 *
 * Hides how each is started and reached. A server keeps its port and its device through all its starts: a device is gone when the
 * process that held it is, and a port whose connections are in TIME-WAIT can be listened on again. All listen with a backlog of 4096 on the server's core; nobody is crippled: nginx
 * runs with one worker, deferred accept, no access log and no lingering close, which are its best settings for short
 * connections. A kernel server is measured over `lo`, which is as kind to the kernel as it gets (no device, no checksum), and once
 * more over a veth pair, which is what a TAP device is closer to.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Options } from "./bench.ts";
import type { Child } from "./child.ts";
import { type Lab, must, reachable, said, VETH_SERVER } from "./lab.ts";

/** A server that can be started, as often as is wanted but one start at a time. */
export interface Server {
	readonly name: string;
	readonly ours: boolean;
	/** Machine code from its start on: there is nothing to warm up but caches. */
	readonly compiled?: boolean;
	/** Begins a new process. What it began, also when it fails, is ended by `Lab.clear`. */
	start(): Promise<Serving>;
}

/** A server that runs: where the client finds it. */
export interface Serving {
	readonly child: Child;
	readonly address: string;
	readonly port: number;
	/** Device on the client's side, for servers behind one. */
	readonly device?: string;
	/** The server's side of a network between two namespaces. */
	readonly far?: { readonly device: string; readonly namespace: number };
}

export type Path = "lo" | "veth";

/** The package's folder: the nearest one above that holds package.json. */
export const root = (() => {
	for (let url = new URL(".", import.meta.url); ; url = new URL("..", url)) {
		if (existsSync(new URL("package.json", url))) return fileURLToPath(url);
		if (url.pathname === "/") throw new Error("package.json not found above the bench");
	}
})();

/** The command line of the same build as this bench. */
export const cli = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export const script = (name: string): string => join(root, "bench/servers", name);
/** A measured program of our own, which uses the library. */
export const program = (name: string): string => fileURLToPath(new URL(`../programs/${name}.js`, import.meta.url));

/** The words of a command line that start Node. */
const node = ({ node, nodeFlags = [] }: Options): string[] => [node, ...nodeFlags];

let nextPort = 8080;

/** The script on kernel sockets. */
export function kernel(lab: Lab, options: Options, file: string, path: Path): Server {
	const port = nextPort++;
	const argv = [...node(options), script(file)];
	return { name: `kernel (${path})`, ours: false, start: () => onPath(lab, argv, path, port) };
}

/** Starts a server on kernel sockets. */
async function onPath(lab: Lab, argv: readonly string[], path: Path, port: number): Promise<Serving> {
	const env = { PORT: String(port) };
	const child = lab.server(argv, path === "veth" ? { env, namespace: lab.far() } : { env });
	const address = path === "veth" ? VETH_SERVER : "127.0.0.1";
	await reachable(child, address, port);
	return { child, address, port };
}

/** Names and addresses of a TAP device: each has a network of its own, so that several can be up at a time. */
export interface TapPlan {
	readonly device: string;
	/** The stack's address, without and with the length of its prefix, and the kernel's. */
	readonly address: string;
	readonly stack: string;
	readonly kernel: string;
}

let nextTap = 0;

export function planTap(): TapPlan {
	const n = nextTap++;
	const address = `10.77.${n}.2`;
	return { device: `mrb${n}`, address, stack: `${address}/24`, kernel: `10.77.${n}.1/24` };
}

/** The script on Millrace, over a TAP device. `flags` are further options of `millrace run`. */
export function millrace(lab: Lab, options: Options, file: string, flags: readonly string[] = []): Server {
	const port = nextPort++;
	const plan = planTap();
	const { device, stack, kernel } = plan;
	const run = [cli, "run", "--link", `tap:${device}`, "--address", stack, "--kernel-address", kernel, ...flags, script(file)];
	const start = () => onDevice(lab, [...node(options), ...run], { PORT: String(port) }, plan, port);
	return { name: "millrace (tap)", ours: true, start };
}

/** The same in a setting that is not the default, which its name says. */
export function variant(lab: Lab, options: Options, file: string, ...flags: readonly string[]): Server {
	return { ...millrace(lab, options, file, flags), name: `millrace (tap, ${flags.join(" ")})` };
}

/** The kernel's work on what we send is on the client's core from the start, whether or not that one has time for it. */
export function steered(lab: Lab, options: Options, file: string): Server {
	return variant(lab, options, file, "--rps", String(lab.clientCpu));
}

/** A program of ours that makes its own TAP device, as the environment says, in the mode that its argument says. */
export function onTap(lab: Lab, options: Options, name: string, mode: string, label: string): Server {
	const port = nextPort++;
	const plan = planTap();
	const env = { PORT: String(port), TAP_DEVICE: plan.device, TAP_STACK: plan.stack, TAP_KERNEL: plan.kernel };
	const start = () => onDevice(lab, [...node(options), program(name), mode], env, plan, port);
	return { name: `${label} (tap)`, ours: true, start };
}

async function onDevice(
	lab: Lab,
	argv: readonly string[],
	env: Readonly<Record<string, string>>,
	{ device, address }: TapPlan,
	port: number,
): Promise<Serving> {
	const child = lab.server(argv, { env });
	await reachable(child, address, port);
	return { child, address, port, device };
}

export function nginx(lab: Lab, path: Path): Server {
	const port = nextPort++;
	const folder = mkdtempSync(join(tmpdir(), "millrace-nginx-"));
	process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
	writeFileSync(
		join(folder, "nginx.conf"),
		`user root;
worker_processes 1;
daemon off;
pid ${folder}/pid;
error_log stderr crit;
events { worker_connections 8192; multi_accept on; accept_mutex off; use epoll; }
http {
	access_log off;
	server_tokens off;
	keepalive_requests 1000000000;
	lingering_close off;
	client_body_temp_path ${folder}/body;
	proxy_temp_path ${folder}/proxy;
	fastcgi_temp_path ${folder}/fastcgi;
	uwsgi_temp_path ${folder}/uwsgi;
	scgi_temp_path ${folder}/scgi;
	server {
		listen ${port} backlog=4096 deferred;
		default_type text/plain;
		location / { return 200 "Hello, world\\n"; }
	}
}
`,
	);
	const argv = ["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"];
	return { name: `nginx (${path})`, ours: false, compiled: true, start: () => onPath(lab, argv, path, port) };
}

/** iperf3's own server over lo. */
export function iperf3(lab: Lab): Server {
	const port = nextPort++;
	return { name: "iperf3 (lo)", ours: false, compiled: true, start: () => onPath(lab, ["iperf3", "-s", "-p", String(port)], "lo", port) };
}

/**
 * The script on kernel sockets in a namespace of its own, behind two TAP devices that a forwarder joins by an impaired link.
 *
 * @param impairment Options of `impairLink`.
 */
export function joined(lab: Lab, options: Options, file: string, impairment: object): Server {
	const port = nextPort++;
	const near = planTap();
	const farDevice = `${near.device}f`;
	const start = async (): Promise<Serving> => {
		const home = lab.namespace();
		const forwarder = lab.server([options.node, program("forwarder"), near.device, near.kernel, farDevice, JSON.stringify(impairment)]);
		await said(forwarder, "ready");
		must("ip", "link", "set", "dev", farDevice, "netns", String(home.pid));
		must("nsenter", "-n", "-t", String(home.pid), "ip", "addr", "add", near.stack, "dev", farDevice);
		must("nsenter", "-n", "-t", String(home.pid), "ip", "link", "set", farDevice, "up");
		const child = lab.server([options.node, script(file)], { env: { PORT: String(port) }, namespace: home.pid });
		await reachable(child, near.address, port);
		return { child, address: near.address, port, device: near.device, far: { device: farDevice, namespace: home.pid } };
	};
	return { name: "kernel (joined)", ours: false, start };
}
