/**
 * The servers that are compared: a plain script on kernel sockets, the same script on Millrace, nginx.
 *
 * Hides how each is started and reached. All listen with a backlog of 4096 on the server's core; nobody is crippled: nginx
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

/** A server that runs and where the client finds it. */
export interface Serving {
	readonly name: string;
	readonly child: Child;
	readonly address: string;
	readonly port: number;
	/** Device on the client's side, for servers behind one. */
	readonly device?: string;
	/** The server's side of a network between two namespaces. */
	readonly far?: { readonly device: string; readonly namespace: number };
	/** Ends the server and what it needed. */
	stop(): Promise<void>;
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

let nextPort = 8080;

/** The script on kernel sockets. */
export async function kernel(lab: Lab, options: Options, file: string, path: Path, label = "kernel"): Promise<Serving> {
	const port = nextPort++;
	const child = lab.server([options.node, script(file)], {
		env: { PORT: String(port) },
		...(path === "veth" ? { namespace: lab.far() } : {}),
	});
	const address = path === "veth" ? VETH_SERVER : "127.0.0.1";
	await reachable(child, address, port);
	return { name: `${label} (${path})`, child, address, port, stop: () => child.stop() };
}

/** Names and addresses of the next TAP device: each has a network of its own, so that several can be up at a time. */
interface TapPlan {
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
export async function millrace(lab: Lab, options: Options, file: string, flags: readonly string[] = []): Promise<Serving> {
	const port = nextPort++;
	const { device, address, stack, kernel } = planTap();
	const run = [cli, "run", "--link", `tap:${device}`, "--address", stack, "--kernel-address", kernel, ...flags, script(file)];
	const child = lab.server([options.node, ...run], { env: { PORT: String(port) } });
	await reachable(child, address, port);
	return { name: "millrace (tap)", child, address, port, device, stop: () => child.stop() };
}

/** A program of ours that makes its own TAP device, as the environment says, in the mode that its argument says. */
export async function onTap(lab: Lab, options: Options, name: string, mode: string, label: string): Promise<Serving> {
	const port = nextPort++;
	const { device, address, stack, kernel } = planTap();
	const child = lab.server([options.node, program(name), mode], {
		env: { PORT: String(port), TAP_DEVICE: device, TAP_STACK: stack, TAP_KERNEL: kernel },
	});
	await reachable(child, address, port);
	return { name: `${label} (tap)`, child, address, port, device, stop: () => child.stop() };
}

export async function nginx(lab: Lab, path: Path): Promise<Serving> {
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
	const child = lab.server(
		["nginx", "-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"],
		path === "veth" ? { namespace: lab.far() } : {},
	);
	const address = path === "veth" ? VETH_SERVER : "127.0.0.1";
	await reachable(child, address, port);
	return { name: `nginx (${path})`, child, address, port, stop: () => child.stop() };
}

/** iperf3's own server over lo. */
export async function iperf3(lab: Lab): Promise<Serving> {
	const port = nextPort++;
	const child = lab.server(["iperf3", "-s", "-p", String(port)]);
	await reachable(child, "127.0.0.1", port);
	return { name: "iperf3 (lo)", child, address: "127.0.0.1", port, stop: () => child.stop() };
}

/**
 * The script on kernel sockets in a namespace of its own, behind two TAP devices that a forwarder joins by an impaired link.
 *
 * @param impairment Options of `impairLink`.
 */
export async function joined(lab: Lab, options: Options, file: string, impairment: object): Promise<Serving> {
	const port = nextPort++;
	const near = planTap();
	const farDevice = `${near.device}f`;
	const forwarder = lab.server([options.node, program("forwarder"), near.device, near.kernel, farDevice, JSON.stringify(impairment)]);
	await said(forwarder, "ready");
	const home = lab.namespace();
	must("ip", "link", "set", "dev", farDevice, "netns", String(home.pid));
	must("nsenter", "-n", "-t", String(home.pid), "ip", "addr", "add", near.stack, "dev", farDevice);
	must("nsenter", "-n", "-t", String(home.pid), "ip", "link", "set", farDevice, "up");
	const child = lab.server([options.node, script(file)], { env: { PORT: String(port) }, namespace: home.pid });
	await reachable(child, near.address, port);
	const stop = async (): Promise<void> => {
		for (const each of [child, forwarder, home]) await each.stop();
	};
	return {
		name: "kernel (joined)",
		child,
		address: near.address,
		port,
		device: near.device,
		far: { device: farDevice, namespace: home.pid },
		stop,
	};
}
