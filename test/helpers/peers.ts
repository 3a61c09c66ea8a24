/**
 * Real peers: programs on the stack (by `millrace run`, in processes of their own) and the tools and sockets of the kernel that talk to
 * them. A test file that uses this calls `isolate()` first, so that all of it happens in a network namespace of its own.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { type Running, start } from "../cli/helpers.ts";

/** The stack's address on a TAP link, and the kernel's. */
export const STACK = "10.77.0.2";
export const KERNEL = "10.77.0.1";

const ROOT = new URL("../../../", import.meta.url);

/** A file of the repository. */
export function inRepository(path: string): string {
	return fileURLToPath(new URL(path, ROOT));
}

/** The program of this name in test/kernel/programs/. */
export function program(name: string): string {
	return inRepository(`test/kernel/programs/${name}`);
}

/** False if the tools are there, else what to say of a test that needs them. */
export function lacksTools(...tools: string[]): string | false {
	const missing = tools.filter((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
	return missing.length > 0 && `needs ${missing.join(" and ")}, not installed here`;
}

/** A directory for the files of a test, gone after the tests of this file. */
export function scratch(): string {
	const path = mkdtempSync(join(tmpdir(), "millrace-peers-"));
	after(() => rmSync(path, { recursive: true, force: true }));
	return path;
}

/** Runs a program on a TAP link to its end of its own accord, or until `use` is over and it is interrupted. */
export async function onTap<T>(words: readonly string[], use: (running: Running) => Promise<T>): Promise<T> {
	const running = start(["run", "--link", "tap", ...words]);
	// A test that fails does not wait for it.
	running.outcome.catch(() => {});
	running.says(/./).catch(() => {});
	try {
		return await use(running);
	} finally {
		running.child.kill("SIGINT");
		await running.outcome;
	}
}

/** Runs a server on a TAP link and waits for its port to be open. */
export function served<T>(words: readonly string[], use: (running: Running) => Promise<T>): Promise<T> {
	return onTap(words, async (running) => {
		await running.says(/port \d+ of the program is open at/);
		return use(running);
	});
}

/** Runs a command to its end and returns what it wrote to its standard output; if it fails, rejects with what it said. */
export async function output(command: string, ...args: string[]): Promise<string> {
	const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
	let stdout = "";
	let stderr = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const [code, signal] = await once(child, "close");
	if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${signal ?? `exit code ${code}`}: ${stderr}${stdout}`);
	return stdout;
}

/** curl, whose errors are errors. */
export function curl(...args: string[]): Promise<string> {
	return output("curl", "-sS", "--fail", ...args);
}

/** Response to a GET by kernel sockets. */
export function get(url: string, options: http.RequestOptions = {}): Promise<http.IncomingMessage> {
	return new Promise((resolve, reject) => {
		http.get(url, options, resolve).on("error", reject);
	});
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
	const server = net.createServer().listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as net.AddressInfo;
	server.close();
	await once(server, "close");
	return port;
}

/** sha256 of a stream, or of bytes. */
export async function sha256(source: AsyncIterable<Uint8Array> | Uint8Array): Promise<string> {
	const hash = createHash("sha256");
	if (source instanceof Uint8Array) hash.update(source);
	else for await (const chunk of source) hash.update(chunk);
	return hash.digest("hex");
}

/** The interface of the kernel that has the address. */
export function interfaceOf(address: string): string | undefined {
	return Object.entries(networkInterfaces()).find(([, entries]) => entries?.some((entry) => entry.address === address))?.[0];
}

/** Sets a parameter of the kernel's TCP in this name space; false if this kernel does not have it, or not this value. */
export function sysctl(name: string, value: string | number): boolean {
	try {
		writeFileSync(`/proc/sys/net/ipv4/${name}`, `${value}`);
		return true;
	} catch {
		return false;
	}
}

/** The values of a parameter of the kernel's TCP that is a list. */
export function sysctlWords(name: string): string[] {
	return readFileSync(`/proc/sys/net/ipv4/${name}`, "utf8").trim().split(/\s+/);
}

/** Reads a capture with every checksum checked: how many of its packets pass the filter. */
export async function countPackets(file: string, filter: string): Promise<number> {
	const lines = await output("tshark", "-n", "-r", file, ...CHECKS, "-Y", filter, "-T", "fields", "-e", "frame.number");
	return lines.split("\n").length - 1;
}

const CHECKS = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE"].flatMap((option) => ["-o", option]);

/** The packets of a capture that match the filter, each in a line and then in full: to be said when there should be none. */
export function showPackets(file: string, filter: string): Promise<string> {
	return output("tshark", "-n", "-r", file, ...CHECKS, "-Y", filter, "-P", "-V", "-x");
}
