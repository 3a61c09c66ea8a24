/**
 * A stack for this process, as the environment asks for it: the variable MILLRACE_OPTIONS, which `millrace run` sets, or which
 * is set by hand for `node --import millrace/register`.
 *
 * Hides everything between the options and a host that is ready for the program's sockets: the link, its announcement, the
 * publishing of ports, the figures, the end. It changes nothing of Node; that is preload.ts's part.
 *
 * What is said goes to stderr, one line each, beginning with "millrace: ".
 */
import type { MillraceError } from "../errors.ts";
import type { Host } from "../host/host.ts";
import type { Gateway } from "../link/user.ts";
import { keepFreedMemory } from "../sys/malloc.ts";
import { clearInterval, setInterval } from "../sys/timers.ts";
import { makeGcRoom } from "./gc-room.ts";
import { letSocketsDieYoung } from "./gc-young.ts";
import { inlineDeeper } from "./inlining.ts";
import { atEnd } from "./run-end.ts";
import { type Figures, showFigures } from "./run-figures.ts";
import { openRunHost, type RunHost } from "./run-link.ts";
import { OPTIONS_VARIABLE, parseRunOptions, type RunOptions } from "./run-options.ts";
import { say } from "./say.ts";
import { unsentBytes } from "./until-sent.ts";

/** Set to "0": V8 alone decides how far the heap may grow (gc-room.ts). */
const GC_VARIABLE = "MILLRACE_GC_ROOM";
/** Set to "0": V8 alone decides what it makes in the old generation (gc-young.ts). */
const YOUNG_VARIABLE = "MILLRACE_GC_YOUNG";
/** Set to "0": V8 alone decides how much it puts into one function (inlining.ts). */
const INLINING_VARIABLE = "MILLRACE_INLINING";
/** Set to "0": the allocator keeps its own limits (sys/malloc.ts). */
const KEEP_VARIABLE = "MILLRACE_KEEP_FREED";
const LIBC_LINKS: ReadonlySet<RunHost["kind"]> = new Set<RunHost["kind"]>(["tap", "xdp", "packet"]);

/** The stack of this process. */
export interface RunningStack {
	readonly host: Host;
	readonly options: RunOptions;
	/** Which link it was, also if the options left the choice. */
	readonly kind: RunHost["kind"];
	/** Which link was taken, with which addresses, and why. */
	readonly description: string;
	/** See RunHost. */
	readonly leaves?: RunHost["leaves"];
	/** Settles when the ports that the options name are published, or the far end of a stream can be had. If not, the process says so and ends with code 2. */
	readonly ready: Promise<void>;
}

let running: RunningStack | null = null;

/**
 * Starts the stack of this process; further calls return the same.
 *
 * @throws {MillraceError} MILLRACE_BAD_OPTION for what the variable says, or the link's own error; nothing is left open.
 */
export function startFromEnvironment(): RunningStack {
	running ??= start(parseRunOptions(process.env[OPTIONS_VARIABLE] ?? ""));
	return running;
}

function start(options: RunOptions): RunningStack {
	const say = options.quiet ? () => {} : complain;
	if (process.env[INLINING_VARIABLE] !== "0") inlineDeeper();
	const {
		host,
		kind,
		description,
		address,
		gateway,
		leaves,
		beginCapture,
		flushCapture,
		begin,
		ready: reached,
	} = openRunHost(options, say);
	if (reached === undefined) say(description);
	// Links without the C library are not fast enough to be held up by its allocator.
	if (LIBC_LINKS.has(kind) && process.env[KEEP_VARIABLE] !== "0") keepFreedMemory();
	if (process.env[GC_VARIABLE] !== "0") makeGcRoom();
	if (process.env[YOUNG_VARIABLE] !== "0") letSocketsDieYoung();

	const opened = (port: number, at: string): void => {
		const how = kind === "loopback" ? "for this process alone" : `(http://${at}/ if it is a web server)`;
		say(`port ${port} of the program is open at ${at} ${how}`);
	};
	let ready = reached === undefined ? Promise.resolve() : orEnd(reached.then(() => say(description)));
	if (gateway === null)
		host.onListen = (port) => {
			opened(port, `${address}:${port}`);
			begin?.();
		};
	else if (options.publish.length === 0) publishAll(host, gateway, opened);
	else ready = orEnd(publishOnly(gateway, options, opened));

	// Where nothing can fail any more, also a program that ends at once has its capture.
	if (reached === undefined && options.publish.length === 0) beginCapture(complain);
	// Before a far end was reached, its failure is that of `ready`.
	void ready.then(() => {
		beginCapture(complain);
		host.onLinkFailed = ({ message }) => complain(message.replace(/^millrace: /, ""));
	});

	host.onConflict = (conflict) => {
		host.onConflict = null;
		complain(`another station has ${conflict}, too: connections may end up there. Give the program an address that nobody has`);
	};
	host.onLate = (gap) => {
		// Without connections nobody waited; one word is enough, and the longest gap stays in the figures of the host.
		if (host.stats().connections.total === 0) return;
		host.onLate = null;
		say(
			`the program held its thread for ${Math.round(gap / 1000)} ms: meanwhile the stack could neither acknowledge nor send. Keep turns short, or move the work to a worker`,
		);
	};

	const figures = options.stats ? showFigures(() => figuresOf(host), complain) : null;
	atEnd({
		close: () => {
			figures?.stop();
			try {
				host.leave(wait);
			} catch {
				// Whatever it was, the rest has to be done, and the process to end.
			}
			// The far ends of the user link are kernel sockets: the kernel closes those as it does for every process.
			if (gateway === null) void host.close();
			flushCapture();
		},
		unsent: () => unsentBytes(host),
	});
	return { host, options, kind, description, ready, ...(leaves === undefined ? {} : { leaves }) };
}

const never = new Int32Array(new SharedArrayBuffer(4));

/** Has the whole thread wait. */
function wait(milliseconds: number): void {
	Atomics.wait(never, 0, 0, milliseconds);
}

/**
 * Publishes each port that the program listens on under its own number, as long as it does. A port that this machine cannot give
 * is none that the program can have: `listen` fails as it would with the kernel.
 */
function publishAll(host: Host, gateway: Gateway, opened: (port: number, at: string) => void): void {
	const closers = new Map<number, () => void>();
	host.onListen = (port) => {
		if (closers.has(port)) return;
		try {
			closers.set(port, gateway.publishNow({ port, to: port }).close);
		} catch (error) {
			const { code, message } = error as MillraceError;
			// What a port in use means every program knows; that another port can lead to this one it does not.
			if (code !== "EADDRINUSE") complain(message.replace(/^millrace: /, ""));
			throw error;
		}
		opened(port, `127.0.0.1:${port}`);
	};
	host.onUnlisten = (port) => {
		if (host.hasListener(port)) return;
		closers.get(port)?.();
		closers.delete(port);
	};
}

async function publishOnly(gateway: Gateway, options: RunOptions, opened: (port: number, at: string) => void): Promise<void> {
	for (const publication of options.publish) {
		const { port } = await gateway.publish(publication);
		opened(publication.to, `${publication.address}:${port}`);
	}
}

/** What turns out not to be had after the start ends the process, as it would have at the start. */
async function orEnd(work: Promise<void>): Promise<void> {
	// A program that has not begun yet does not keep the process; what it waits for must.
	const hold = setInterval(() => {}, 60_000);
	try {
		await work;
	} catch (error) {
		process.stderr.write(`${(error as Error).message}\n`);
		process.exit(2);
	} finally {
		clearInterval(hold);
	}
}

function figuresOf(host: Host): Figures {
	const { connections, tcp } = host.stats();
	const { segmentsIn = 0, segmentsOut = 0, bytesIn = 0, bytesOut = 0, retransmits = 0 } = tcp;
	return { connections: connections.total, segmentsIn, segmentsOut, bytesIn, bytesOut, retransmits };
}

function complain(text: string): void {
	say(`millrace: ${text}`);
}
