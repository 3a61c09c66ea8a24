/**
 * The IPv4 addresses of the kernel's interfaces.
 *
 * Hides rtnetlink (linux/if_addr.h). Node lists only interfaces that have a carrier, and an address with a label (`eth0:1`) under that; but the
 * kernel answers for every address of an interface that is up. Where it cannot be asked, Node's list is what there is.
 */

import { networkInterfaces } from "node:os";
import { AF_INET, NETLINK_ROUTE, NLM_F_CREATE } from "./constants.ts";
import { type InterfaceAddress, NetworkInterface } from "./interface.ts";
import { attribute, attributes, listKernel, tellKernel } from "./netlink.ts";

const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const NLM_F_EXCL = 0x200;
/** Bytes of struct ifaddrmsg, and where the interface's number lies. */
const IFADDRMSG = 8;
const INDEX_AT = 4;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;

/** One address of an interface. */
export interface KernelAddress {
	readonly interface: string;
	/** As text, such as "10.0.0.1". */
	readonly address: string;
	readonly prefix: number;
}

/** All IPv4 addresses of interfaces that are up. */
export function kernelAddresses(): KernelAddress[] {
	const up = new Map<string, boolean>();
	return all().filter(({ interface: name }) => {
		if (!up.has(name)) up.set(name, isUp(name));
		return up.get(name);
	});
}

function all(): KernelAddress[] {
	return asked() ?? listed();
}

function asked(): KernelAddress[] | null {
	let answers: DataView[] | null = null;
	try {
		answers = listKernel(NETLINK_ROUTE, RTM_GETADDR, Uint8Array.of(AF_INET, 0, 0, 0, 0, 0, 0, 0), RTM_NEWADDR);
	} catch {
		// No system calls here.
	}
	if (answers === null) return null;
	const found: KernelAddress[] = [];
	for (const answer of answers) {
		if (answer.byteLength < IFADDRMSG || answer.getUint8(0) !== AF_INET) continue;
		const facts = attributes(answer, IFADDRMSG);
		const local = facts.get(IFA_LOCAL);
		const label = facts.get(IFA_LABEL);
		if (local === undefined || local.byteLength !== 4 || label === undefined) continue;
		const name = new TextDecoder().decode(label).replace(/[:\0].*$/, "");
		const bytes = new Uint8Array(local.buffer, local.byteOffset, 4);
		found.push({ interface: name, address: bytes.join("."), prefix: answer.getUint8(1) });
	}
	return found;
}

function listed(): KernelAddress[] {
	return Object.entries(networkInterfaces()).flatMap(([name, entries]) =>
		(entries ?? []).flatMap(({ family, address, cidr }) =>
			family === "IPv4" && cidr !== null ? [{ interface: name, address, prefix: Number(cidr.slice(cidr.indexOf("/") + 1)) }] : [],
		),
	);
}

function isUp(name: string): boolean {
	try {
		const device = new NetworkInterface(name);
		try {
			return device.up;
		} finally {
			device.close();
		}
	} catch {
		// Gone since, or not to be asked: what was listed counts.
		return true;
	}
}

/** IPv4 addresses of an interface, with prefix length: "10.0.0.1/24". */
export function interfaceAddresses(name: string): string[] {
	return all().flatMap((one) => (one.interface === name ? [`${one.address}/${one.prefix}`] : []));
}

/** The interface of this machine that has an IPv4 address, or null. */
export function interfaceWith(address: string): string | null {
	return all().find((one) => one.address === address && isUp(one.interface))?.interface ?? null;
}

/** Gives an interface one more address, beside those that it has; what takes it away again, or null where the kernel refuses. */
export function addAddress(interfaceIndex: number, { word, prefix }: InterfaceAddress): (() => void) | null {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setInt32(0, word);
	const local = attribute(IFA_LOCAL, bytes);
	const message = new Uint8Array(IFADDRMSG + local.length);
	message.set([AF_INET, prefix]);
	new DataView(message.buffer).setInt32(INDEX_AT, interfaceIndex, true);
	message.set(local, IFADDRMSG);
	if (!tellKernel(NETLINK_ROUTE, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, message)) return null;
	return () => void tellKernel(NETLINK_ROUTE, RTM_DELADDR, 0, message);
}
