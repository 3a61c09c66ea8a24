/**
 * Which congestion control the kernel's connections have, by the routes that they take.
 *
 * Hides that it is an attribute of a route (ip-route(8), congctl), so that programs are not touched. All kernels of a bench have
 * CUBIC (lab.ts); another is pinned where it is to be compared. It matters where a flow without any loss is measured: BBR's pacing and its small window at a round trip of 20 us decide the rate
 * then, not who receives it.
 */
import { spawnSync } from "node:child_process";

/** Pins what is sent through a device, in our namespace or another process's. */
export function pin(device: string, name: string, namespace?: number): void {
	const [first] = routes(device, "main", namespace);
	if (first !== undefined) change(first, device, name, namespace);
}

/** Pins what is sent to 127.0.0.1. */
export function pinLoopback(name: string): void {
	for (const route of routes("lo", "local")) if (route.startsWith("local")) change(`${route} table local`, "lo", name);
}

const within = (namespace?: number): string[] => (namespace === undefined ? [] : ["nsenter", "-n", "-t", String(namespace)]);

function routes(device: string, table: string, namespace?: number): string[] {
	const [command, ...words] = [...within(namespace), "ip", "-4", "route", "show", "table", table, "dev", device];
	return spawnSync(command!, words, { encoding: "utf8" }).stdout.trim().split("\n");
}

function change(route: string, device: string, name: string, namespace?: number): void {
	const plain = route.replace(/congctl \S+/, "").match(/\S+/g) ?? [];
	const [command, ...words] = [...within(namespace), "ip", "route", "change", ...plain, "dev", device, "congctl", name];
	const { status, stderr } = spawnSync(command!, words, { encoding: "utf8" });
	if (status !== 0) throw new Error(`ip route change ${plain.join(" ")} congctl ${name}: ${stderr.trim()}`);
}
