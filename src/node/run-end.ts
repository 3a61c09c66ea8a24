/**
 * The end of a run: what a process that dies owes its peers and its files.
 *
 * When a process ends, the kernel closes its sockets, and their peers hear of it. Sockets on the stack are this process's own
 * business, so: on SIGINT, SIGTERM and SIGHUP, if the program does not handle them itself, the connections are closed first,
 * and then the process dies of that signal, as it would have; at a plain exit what can be done at once is done.
 *
 * The program must not notice. Libraries count the listeners of a signal to find out whether they are alone and may end the
 * process; so while a signal is delivered our listener takes itself off the list before the program's are called, and comes
 * back afterwards.
 */

/** Signals whose default is to end the process, and which people and supervisors send. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** How long peers are given when a signal ends the process, in ms; a second signal ends it at once. */
const PATIENCE = 500;

/**
 * Arranges for the end of the process.
 *
 * @param close Closes all connections and the link; called at most once.
 * @param atExit What must be done in any case, synchronously; called once.
 */
export function atEnd(close: () => Promise<void>, atExit: () => void): void {
	let closing: Promise<void> | null = null;

	const listener = (signal: NodeJS.Signals): void => {
		process.off(signal, listener);
		if (process.listenerCount(signal) > 0) {
			// The program's own affair. If it goes on, the next signal is delivered the same way.
			setImmediate(() => process.prependListener(signal, listener)).unref();
			return;
		}
		closing ??= close();
		const limit = new Promise((resolve) => setTimeout(resolve, PATIENCE));
		void Promise.race([closing.catch(() => {}), limit]).then(() => {
			atExit();
			for (const other of SIGNALS) process.off(other, listener);
			process.kill(process.pid, signal);
		});
	};
	for (const signal of SIGNALS) process.on(signal, listener);
	process.once("exit", () => {
		if (closing === null) void close().catch(() => {});
		atExit();
	});
}
