/**
 * A process with nothing more to do stays until its peers have what it sent them.
 *
 * Hides how that is waited for. With kernel sockets nobody has to: the kernel goes on sending for a process that is gone. A stack that lies
 * in the process sends only while it lives, and none of its timers keeps it alive, for idle connections must not. So when the event loop
 * is empty, one that does is set while anything is on its way, unless those who are to get it stop taking it.
 */
import { clearInterval, milliseconds, setInterval } from "../sys/timers.ts";

/** How long peers may take nothing before the process no longer waits for them, in ms, and how often that is looked at. */
const STANDSTILL = 5000;
const LOOK = 20;

/** States in which a FIN of ours waits to be acknowledged. */
const FINISHING = new Set(["FIN-WAIT-1", "CLOSING", "LAST-ACK"]);

/** What is asked of a host. */
export interface Sender {
	stats(): { connections: { total: number } };
	connections(): { state: string; sendQueue: number }[];
}

/** Bytes of a host that peers have not acknowledged, FINs included; 0 when nobody waits for anything. */
export function unsentBytes(host: Sender): number {
	if (host.stats().connections.total === 0) return 0;
	return host.connections().reduce((sum, { state, sendQueue }) => sum + Math.max(sendQueue, FINISHING.has(state) ? 1 : 0), 0);
}

/** Arranges for the process to stay while there is something `unsent`, and it becomes less or more. */
export function stayUntilSent(unsent: () => number): void {
	// The event loop is empty: a timer that is referenced brings it back to life, and "beforeExit" comes again when it is done.
	let patient = true;
	process.on("beforeExit", () => {
		let left = unsent();
		if (left === 0 || !patient) return;
		let since = milliseconds();
		const timer = setInterval(() => {
			const now = milliseconds();
			const before = left;
			left = unsent();
			if (left !== before) since = now;
			patient = now - since < STANDSTILL;
			if (left === 0 || !patient) clearInterval(timer);
		}, LOOK);
	});
}

/** The hosts that the process stays for. One that has bytes under way has a timer, too, and so cannot be collected. */
const senders = new Set<WeakRef<Sender>>();
let staying = false;

/** Makes the process stay until this host's peers have everything. Returns what ends that, to be called when the host is closed. */
export function stayFor(host: Sender): () => void {
	if (!staying) stayUntilSent(unsentOfAll);
	staying = true;
	const sender = new WeakRef(host);
	senders.add(sender);
	return () => senders.delete(sender);
}

function unsentOfAll(): number {
	let bytes = 0;
	for (const sender of senders) {
		const host = sender.deref();
		if (host === undefined) senders.delete(sender);
		else bytes += unsentBytes(host);
	}
	return bytes;
}
