/**
 * The machine's own addresses: whether an address that a link would give to the kernel is taken already.
 */
import { networkInterfaces } from "node:os";

/** The interface of this machine that has the IPv4 address already, or null. */
export function interfaceWith(address: string): string | null {
	for (const [name, entries] of Object.entries(networkInterfaces())) {
		if (entries?.some((entry) => entry.address === address)) return name;
	}
	return null;
}
