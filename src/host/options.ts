/**
 * The options of a host, with defaults. Read once by `createHost`.
 *
 * Hides what may be left out, and what is refused, by name and with what would be right. Those of TCP are in tcp/options.ts, those of the link are
 * the link's.
 */
import type { RouteOption } from "../ip/routes.ts";
import { bad, refuseUnknown, trueOrFalse, withLinkMethods, withMethods } from "../link/known-options.ts";
import type { Link } from "../link/link.ts";
import { TCP_DEFAULTS, type TcpOptions, tcpOptions } from "../tcp/options.ts";
import type { Runtime } from "../time/clock.ts";

/** Bytes of pages unless said otherwise: touched only as far as they are used. */
const DEFAULT_MEMORY = 256 << 20;
/** Least memory, in bytes: 128 pages. */
const MEMORY_MIN = 1 << 18;
/** Longest spin, in microseconds: whoever waits longer may as well sleep. */
export const SPIN_MAX = 1000;

/** What a host is made of. Only `link` and `runtime` must be given; `createHost` of the package entry supplies the runtime. */
export interface HostOptions {
	/** The link; opened here, closed by `host.close()`. */
	link: Link;
	/** Clock, chance and alarms. */
	runtime: Runtime;
	/** Own addresses in CIDR form, such as ["10.77.0.2/24"]. Default none, but 127.0.0.0/8 is always there. */
	addresses?: readonly string[];
	/** Routes beyond the networks of the addresses, such as [{ to: "0.0.0.0/0", via: "10.77.0.1" }]. */
	routes?: readonly RouteOption[];
	/** Bytes for frames and streams; default 256 MiB. Real memory is used as far as it is needed, and when it is used up, windows close. */
	memory?: number;
	/** Congestion control; default "cubic". */
	congestion?: "cubic" | "newreno" | "bbr";
	/** Takes packets to any address as its own: for gateways. */
	acceptAny?: boolean;
	/** Checksums by WebAssembly SIMD, where the engine has it and the link leaves them to the stack; default true. */
	simd?: boolean;
	/**
	 * Large pages under the host's memory, where the runtime and the machine have them (Linux: transparent huge pages); default false. Fewer
	 * misses of the address cache for 8 MB and more, as each table is touched 2 MB at a time: to be measured where it is to pay (docs/performance.md).
	 * `stats().memory.largePages` says whether it was heard.
	 */
	largePages?: boolean;
	/**
	 * Microseconds for which the event loop goes on turning after the last frame instead of sleeping, while traffic is dense, so that
	 * the next frame need not wake it; 0 to 1000, default 0. It takes processor time for latency, see `stats().shard`.
	 */
	spin?: number;
	/**
	 * Streams of `tcp` that are told one after another have their promises run together; default true. False: promises run between any two
	 * connections, as they do for sockets and the event face.
	 */
	quietStreams?: boolean;
	/** Limits and timers of TCP, see TcpOptions. */
	tcp?: Partial<TcpOptions>;
}

const KNOWN_OPTIONS = [
	"link",
	"runtime",
	"addresses",
	"routes",
	"memory",
	"congestion",
	"acceptAny",
	"simd",
	"largePages",
	"spin",
	"quietStreams",
	"tcp",
];

/** Options of which nothing is left out and nothing is wrong, but for what only the link, the addresses and the routes themselves can tell. */
export interface CheckedOptions extends Required<Omit<HostOptions, "congestion" | "tcp">> {
	tcp: TcpOptions;
}

function checkRuntime(runtime: Runtime): void {
	const instead = "that of nodeRuntime(), or an object with the Runtime interface";
	withMethods("the runtime of a host", runtime, ["defer", "alarm"], instead);
	withMethods("the clock of a host's runtime", runtime.clock, ["now"], instead);
	withMethods("the random of a host's runtime", runtime.random, ["int32"], instead);
}

/** @throws {MillraceError} MILLRACE_BAD_OPTION */
export function hostOptions(options: HostOptions): CheckedOptions {
	refuseUnknown("createHost", options, KNOWN_OPTIONS);
	const {
		link,
		runtime,
		addresses = [],
		routes = [],
		memory = DEFAULT_MEMORY,
		congestion,
		acceptAny = false,
		simd = true,
		largePages = false,
		spin = 0,
		quietStreams = true,
	} = options;
	if (!link) throw bad("createHost needs a link: give that of tapLink(), userLink() or another");
	if (!runtime) throw bad("createHost needs a runtime: give nodeRuntime(), or an object with the Runtime interface");
	withLinkMethods("the link of a host", link);
	checkRuntime(runtime);
	if (!(Number.isInteger(memory) && memory >= MEMORY_MIN))
		throw bad(`memory of ${memory}: give a whole number of bytes, at least ${MEMORY_MIN}`);
	if (!(Number.isInteger(spin) && spin >= 0 && spin <= SPIN_MAX))
		throw bad(`spin of ${spin} microseconds: give a whole number from 0 to ${SPIN_MAX}`);
	trueOrFalse({ acceptAny, simd, largePages, quietStreams });
	for (const [name, value, example] of [
		["addresses", addresses, '"10.77.0.2/24"'],
		["routes", routes, '{ to: "0.0.0.0/0", via: "10.77.0.1" }'],
	] as const)
		if (!Array.isArray(value)) throw bad(`${name}: give a list such as [${example}]`);
	for (const address of addresses)
		if (typeof address !== "string") throw bad(`addresses with ${String(address)} among them: give texts such as "10.77.0.2/24"`);
	for (const route of routes) refuseUnknown("a route", route, ["to", "via"]);
	if (options.tcp !== undefined) refuseUnknown("tcp", options.tcp, Object.keys(TCP_DEFAULTS));
	if (congestion !== undefined && options.tcp?.congestion !== undefined && congestion !== options.tcp.congestion)
		throw bad(`congestion of "${congestion}" and tcp.congestion of "${options.tcp.congestion}": give one, they are the same thing`);
	const tcp = tcpOptions({ ...options.tcp, ...(congestion === undefined ? {} : { congestion }) });
	return { link, runtime, addresses, routes, memory, acceptAny, simd, largePages, spin, quietStreams, tcp };
}
