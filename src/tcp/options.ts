/**
 * The knobs of TCP, each with its default, reason, source and bounds. One object per engine; nothing here changes while it runs.
 */
import { bad, refuseUnknown } from "../link/known-options.ts";
import { MAX_WINDOW } from "./congestion.ts";

/** Limits and timers of TCP. Times are milliseconds, sizes bytes. */
export interface TcpOptions {
	/** Most connections at once; a SYN or connect beyond it is refused and counted (`connectionsFull`). */
	maxConnections: number;
	/** Most connections in TIME-WAIT; beyond it the oldest is forgotten early (`timeWaitOverflow`). */
	maxTimeWait: number;
	/** Most half-open connections per listener; a SYN beyond it is dropped (`synBacklogFull`): the peer tries again. */
	synBacklog: number;
	/** 2 MSL: how long TIME-WAIT lasts, in ms. RFC 9293 says 4 minutes; 60 s is what Linux and others use. */
	timeWait: number;
	/** Smallest RTO in ms. RFC 6298 says 1 s, measured on clocks of 500 ms; 200 ms is Linux's, safe with delayed ACKs of 40 ms. */
	minRto: number;
	/** Largest RTO in ms (RFC 6298 2.5: at least 60 s). */
	maxRto: number;
	/** RTO before the first measurement, in ms (RFC 6298 2.1). */
	initialRto: number;
	/** SYNs that are sent again before ETIMEDOUT: 6 make 123 s, about as Linux does. RFC 9293 3.8.3 (MUST-23) asks for 3 minutes: 7 do that. */
	synRetries: number;
	/** SYN-ACKs that are sent again before a half-open connection is forgotten. */
	synAckRetries: number;
	/** Data that is sent again before ETIMEDOUT (R2 of RFC 9293 3.8.3: at least 100 s; 15 make 9 minutes where round trips are short, else more). */
	retries: number;
	/** Delay of an ACK in ms (RFC 9293 3.8.6.3: below 500; 40 is Linux's and keeps Nagle peers quick). */
	delayedAck: number;
	/** Initial window in segments (RFC 6928). */
	initialWindow: number;
	/** Receive segment in bytes: where tuning starts. */
	receiveBuffer: number;
	/** Receive segment in bytes: the limit of its tuning. */
	maxReceiveBuffer: number;
	/** Hold windows while a queue stands in the link, so that what comes does not wait behind more of it (standing.ts). */
	holdWindows: boolean;
	/** Send segment in bytes: what `write` takes at once, and the most that waits to be sent; four times as much once the congestion window is. */
	sendBuffer: number;
	/** Send segment with what is in flight, in bytes: the limit to which it follows twice the congestion window. */
	maxSendBuffer: number;
	/** Long writes go to slabs of 64 KiB, up to 1024 of them, and leave from there in one piece where the link can (memory/pages.ts). */
	slabs: boolean;
	/** Keep-alive: idle time before the first probe, in ms (RFC 9293 3.8.4: at least 2 hours by default). */
	keepAliveIdle: number;
	/** Keep-alive: time between probes that are not answered, in ms. */
	keepAliveInterval: number;
	/** Keep-alive: probes without an answer after which the connection is dead (ETIMEDOUT). */
	keepAliveProbes: number;
	/** How long FIN-WAIT-2 lasts after the application has given the connection up, in ms (RFC 9293 3.6 leaves it open; 60 s is Linux's). */
	finWait2: number;
	/** Congestion control. */
	congestion: "cubic" | "newreno" | "bbr";
	/** Spread segments over the round-trip time also where congestion control does not ask for it (BBR always does). */
	pacing: boolean;
	/** Offer timestamps (RFC 7323). */
	timestamps: boolean;
	/** Offer selective acknowledgments (RFC 2018). */
	sack: boolean;
	/** Offer window scaling (RFC 7323); without it windows end at 64 KiB. */
	windowScaling: boolean;
	/** Challenge ACKs per second and stack: the least; the limit is a random number up to twice that (RFC 5961 7, CVE-2016-5696). */
	challengeAcks: number;
	/** First port for active opens, and for listeners on port 0 (RFC 6056; the range is Linux's). */
	firstPort: number;
	/** Last port for them. */
	lastPort: number;
}

/** What holds unless it is said otherwise. */
export const TCP_DEFAULTS: Readonly<TcpOptions> = {
	maxConnections: 131072,
	maxTimeWait: 65536,
	synBacklog: 4096,
	timeWait: 60_000,
	minRto: 200,
	maxRto: 60_000,
	initialRto: 1000,
	synRetries: 6,
	synAckRetries: 5,
	retries: 15,
	delayedAck: 40,
	initialWindow: 10,
	receiveBuffer: 262_144,
	maxReceiveBuffer: 4_194_304,
	holdWindows: true,
	sendBuffer: 262_144,
	maxSendBuffer: 4_194_304,
	slabs: true,
	keepAliveIdle: 7_200_000,
	keepAliveInterval: 75_000,
	keepAliveProbes: 9,
	finWait2: 60_000,
	congestion: "cubic",
	pacing: false,
	timestamps: true,
	sack: true,
	windowScaling: true,
	challengeAcks: 100,
	firstPort: 32768,
	lastPort: 60999,
};

/** Longest time, ms (12 days): the timer wheel can be behind by one such time, and another ahead, within half a turn of its ticks. */
const TIME_MAX = 0x3fffffff;
/** Longest RTO, ms (35 minutes): a word of the record holds it in microseconds. */
const RTO_MAX = 2_147_483;
/** Most repetitions: a byte of the record counts them, and one more. */
const REPEATS_MAX = 254;
/** Least buffer, bytes: a segment of the size that every host must take (RFC 9293 3.7.1). */
const BUFFER_MIN = 536;

/** A whole number of `unit` from `min` to `max`. */
interface Range {
	readonly unit: string;
	readonly min: number;
	readonly max: number;
}

const range = (unit: string, min: number, max: number): Range => ({ unit, min, max });
const time = (min: number): Range => range("milliseconds", min, TIME_MAX);
const rto: Range = range("milliseconds", 1, RTO_MAX);
const repeats = (min: number): Range => range("times", min, REPEATS_MAX);
const buffer: Range = range("bytes", BUFFER_MIN, MAX_WINDOW);
const port: Range = range("", 1, 65535);

/** What each option may be: a number within a range, one of some words, or, like all others, true or false. */
const BOUNDS: Readonly<Partial<Record<keyof TcpOptions, Range | readonly string[]>>> = {
	// More would not fit the arena, with anything beside them.
	maxConnections: range("connections", 1, 2 ** 22),
	maxTimeWait: range("connections", 1, 2 ** 24),
	synBacklog: range("connections", 1, 2 ** 22),
	timeWait: time(0),
	minRto: rto,
	maxRto: rto,
	initialRto: rto,
	synRetries: repeats(0),
	synAckRetries: repeats(0),
	retries: repeats(0),
	// RFC 9293 3.8.6.3: less than half a second.
	delayedAck: range("milliseconds", 0, 499),
	initialWindow: range("segments", 1, 65535),
	receiveBuffer: buffer,
	maxReceiveBuffer: buffer,
	sendBuffer: buffer,
	maxSendBuffer: buffer,
	keepAliveIdle: time(1),
	keepAliveInterval: time(1),
	keepAliveProbes: repeats(1),
	finWait2: time(0),
	congestion: ["cubic", "newreno", "bbr"],
	challengeAcks: range("a second", 1, 1_000_000),
	firstPort: port,
	lastPort: port,
};

/** The first of two is at most the second. */
const ORDERED = [
	["minRto", "maxRto"],
	["receiveBuffer", "maxReceiveBuffer"],
	["sendBuffer", "maxSendBuffer"],
	["firstPort", "lastPort"],
] as const;

/** Largest factor from `receiveBuffer` to `maxReceiveBuffer`: a window is told in units of up to a 32767th of the limit (RFC 7323 2.3). */
const BUFFER_GROWTH = 32767;

function check(name: keyof TcpOptions, value: unknown): void {
	const bounds = BOUNDS[name];
	const given = `tcp.${name} of ${typeof value === "string" ? JSON.stringify(value) : String(value)}`;
	if (bounds === undefined) {
		if (typeof value !== "boolean") throw bad(`${given}: give true or false`);
	} else if ("min" in bounds) {
		const { unit, min, max } = bounds;
		if (!Number.isInteger(value) || (value as number) < min || (value as number) > max)
			throw bad(`${given}: give a whole number${unit === "" ? "" : ` of ${unit}`} from ${min} to ${max}`);
	} else if (!bounds.includes(value as string)) throw bad(`${given}: give one of ${bounds.join(", ")}`);
}

/**
 * All options: those that were given, and the defaults of those that were not or are undefined.
 *
 * @throws {MillraceError} MILLRACE_BAD_OPTION for a name that is not known, and for a value that is out of its bounds.
 */
export function tcpOptions(given: Readonly<Partial<TcpOptions>>): TcpOptions {
	refuseUnknown("tcp", given, Object.keys(TCP_DEFAULTS));
	const options = { ...TCP_DEFAULTS };
	for (const [name, value] of Object.entries(given) as [keyof TcpOptions, never][]) {
		if (value === undefined) continue;
		check(name, value);
		options[name] = value;
	}
	for (const [less, more] of ORDERED) {
		if (options[less] > options[more])
			throw bad(`tcp.${less} of ${options[less]} is more than tcp.${more} of ${options[more]}: give both, the first at most the second`);
	}
	const { receiveBuffer, maxReceiveBuffer } = options;
	if (options.windowScaling && receiveBuffer * BUFFER_GROWTH < maxReceiveBuffer)
		throw bad(
			`tcp.receiveBuffer of ${receiveBuffer} bytes is too little for a tcp.maxReceiveBuffer of ${maxReceiveBuffer}: give at least ${Math.ceil(maxReceiveBuffer / BUFFER_GROWTH)}`,
		);
	return options;
}
