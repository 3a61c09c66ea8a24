/**
 * The end of a run: what a process that dies owes its peers and its files.
 *
 * When a process ends, the kernel closes its sockets, and their peers hear of it. Sockets on the stack are this process's own
 * business, so: on SIGINT, SIGTERM and SIGHUP, if the program does not handle them itself, the connections are closed first,
 * and then the process dies of that signal, as it would have. A program that has nothing more to do stays until its peers have
 * what it sent them (until-sent.ts); at `process.exit`, and of a signal, it dies when they have, or have had a while for it (host/leaving.ts).
 *
 * The program must not notice. Libraries count the listeners of a signal to find out whether they are alone and may end the
 * process; so while a signal is delivered our listener takes itself off the list before the program's are called, and comes
 * back afterwards.
 */
import { constants } from "node:os";
import { setImmediate } from "../sys/timers.ts";
import { stayUntilSent } from "./until-sent.ts";

/** Signals whose default is to end the process, and which people and supervisors send. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** What a run has to do at its end. */
export interface Ending {
	/** What must be done in any case: connections closed, files written. Called once; no event loop turns after it. */
	close(): void;
	/** Bytes that peers have not acknowledged; 0 when nobody waits for anything. */
	unsent(): number;
}

/** Arranges for the end of the process. */
export function atEnd({ close, unsent }: Ending): void {
	const closeOnExit = (): void => {
		// It may take seconds: a signal that comes meanwhile ends the process, which would not hear of it.
		for (const signal of SIGNALS) process.off(signal, listener);
		close();
	};
	process.once("exit", closeOnExit);

	const listener = (signal: NodeJS.Signals): void => {
		process.off(signal, listener);
		if (process.listenerCount(signal) > 0) {
			// The program's own affair. If it goes on, the next signal is delivered the same way.
			setImmediate(() => process.prependListener(signal, listener)).unref();
			return;
		}
		// In one go: the program must not see its connections die, since it would not have if the signal had ended it.
		process.off("exit", closeOnExit);
		close();
		process.kill(process.pid, signal);
		// The first process of a container has no default: it is not ended by a signal that nobody handles, and it has no sockets any more.
		if (process.pid === 1) process.exit(128 + constants.signals[signal]);
	};
	// First of all: a stack is made when it is needed, and a listener of the program's that is there only for once would be gone when we count.
	for (const signal of SIGNALS) process.prependListener(signal, listener);
	// So would one that is put before ours later. A signal is not delivered before the tick. And what the program writes at its exit still leaves.
	process.on("newListener", (event, added) => {
		const signal = SIGNALS.find((name) => name === event);
		if (signal !== undefined && added !== listener) process.nextTick(goFirst, signal, listener);
		if (event === "exit" && added !== closeOnExit) process.nextTick(goLast, closeOnExit);
	});

	stayUntilSent(unsent);
}

function goLast(listener: () => void): void {
	const listeners = process.listeners("exit");
	if (listeners.at(-1) === listener || !listeners.includes(listener)) return;
	process.off("exit", listener);
	process.once("exit", listener);
}

function goFirst(signal: NodeJS.Signals, listener: NodeJS.SignalsListener): void {
	if (process.listeners(signal)[0] === listener || !process.listeners(signal).includes(listener)) return;
	process.off(signal, listener);
	process.prependListener(signal, listener);
}
