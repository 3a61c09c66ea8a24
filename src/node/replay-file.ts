/**
 * A capture file as the link of a run: what `--link pcap:FILE` means.
 *
 * Hides the questions that a file leaves open. Which end of the capture is the program: the address that was asked for, or the only
 * one that the capture has packets for. Which frames arrive: those for an address of the program's, and of a capture that knows
 * directions (pcapng, as `--capture` writes it) only those that had been received; what the captured machine sent itself is not for us.
 * The packets arrive without their Ethernet headers, so that no hardware address has to fit.
 *
 * The replay begins when the program has opened its first port, or sends something: before that nobody would be there. Its answers go
 * nowhere but into `--capture`. After the last frame the link is silent, as a network is where nobody speaks.
 */
import { readFileSync } from "node:fs";
import { MillraceError } from "../errors.ts";
import { type CapturedFrame, captureFrames } from "../link/capture-reader.ts";
import { packetOf, type ReplayLink, replayLink } from "../link/replay.ts";
import { formatIpv4 } from "../wire/address.ts";
import { type Ipv4Prefix, named, readIpv4Prefix } from "./quantities.ts";

/** Longest packet that a capture may hold: where a kernel merged frames before they were captured, they are long. */
const MTU = 65535;
/** Destination in an IPv4 header, and the shortest header. */
const DESTINATION = 16;
const HEADER = 20;
/** Of the address where none was given; it makes no difference, for everything is on the link. */
const PREFIX = 24;

export interface ReplayFileOptions {
	/** The program's, with prefix length; null: the only one that there is. */
	readonly address: string | null;
	readonly speed: number | "max" | null;
	/** Told when the last frame was taken, and of what cannot be replayed. */
	say(text: string): void;
}

/** What a capture holds for somebody who wants to replay it. */
interface Contents {
	/** Some packets are marked as received. */
	directed: boolean;
	/** The file ends in the middle of a frame. */
	cut: boolean;
	/** How many packets there are for each address of a single station; with directions, received ones. */
	destinations: Map<number, number>;
}

/**
 * Reads a capture file, for a host at the address that is returned.
 *
 * @throws {MillraceError} with the operating system's code when it cannot be read, MILLRACE_CAPTURE_FORMAT when it is no capture,
 *   MILLRACE_BAD_OPTION when there is nothing for the address, or more than one to choose from.
 */
export function openReplay(path: string, { address, speed, say }: ReplayFileOptions): { link: ReplayLink; address: string } {
	const bytes = read(path);
	const contents = inFile(path, () => look(bytes));
	const at = address ?? onlyDestination(path, contents);
	const { word } = readIpv4Prefix(at, PREFIX) as Ipv4Prefix;
	if (!contents.destinations.has(word | 0))
		throw wrong(
			path,
			`holds no packet for ${formatIpv4(word)}, but for ${byPackets(contents.destinations)}: choose one of them, --address`,
		);
	if (contents.cut) say(`capture file "${path}" ends in the middle of a frame: it is replayed up to there`);
	const link: ReplayLink = inFile(path, () =>
		replayLink(bytes, {
			name: `pcap:${path}`,
			medium: "ip",
			waits: true,
			mtu: MTU,
			speed: speed === "max" ? Number.POSITIVE_INFINITY : (speed ?? 1),
			...(contents.directed ? { only: "in" as const } : {}),
			ended: () => {
				const { rxFrames, rxDropSize, rxDropNoPage } = link.counters();
				const lost = rxDropSize! + rxDropNoPage!;
				say(
					`capture file "${path}" is at its end: ${rxFrames} ${rxFrames === 1 ? "packet" : "packets"}${lost === 0 ? "" : `, ${lost} incomplete or without room`}; nothing more arrives`,
				);
			},
		}),
	);
	return { link, address: at };
}

/** What errors of the file system mean to the person who gave the path. */
const REASONS: Readonly<Record<string, string>> = {
	ENOENT: "there is no such file",
	EISDIR: "it is a directory",
	EACCES: "permission denied",
	ERR_FS_FILE_TOO_LARGE: "it is larger than 2 GiB; cut it with editcap",
};

function read(path: string): Uint8Array {
	try {
		return readFileSync(path);
	} catch (cause) {
		const { code = "EIO", errno } = cause as NodeJS.ErrnoException;
		const options = errno === undefined ? { cause } : { errno, cause };
		throw new MillraceError(code, `cannot read capture file "${path}": ${REASONS[code] ?? code}`, options);
	}
}

function wrong(path: string, what: string): MillraceError {
	return new MillraceError("MILLRACE_BAD_OPTION", `capture file "${path}" ${what}`);
}

/** Complaints about a capture are given the name of its file. */
function inFile<T>(path: string, use: () => T): T {
	try {
		return use();
	} catch (error) {
		if (!(error instanceof MillraceError)) throw error;
		throw new MillraceError(error.code, `capture file "${path}": ${error.message.replace(/^millrace: /, "")}`, { cause: error });
	}
}

function look(bytes: Uint8Array): Contents {
	const all = new Map<number, number>();
	const received = new Map<number, number>();
	const frames = captureFrames(bytes);
	let step = frames.next();
	for (; step.done !== true; step = frames.next()) {
		count(step.value, all);
		if (step.value.direction === "in") count(step.value, received);
	}
	const directed = received.size > 0;
	return { directed, cut: step.value === "cut", destinations: directed ? received : all };
}

function count(frame: CapturedFrame, destinations: Map<number, number>): void {
	const packet = packetOf(frame)?.bytes;
	if (packet === undefined || packet.length < HEADER || packet[0]! >>> 4 !== 4) return;
	const word = (packet[DESTINATION]! << 24) | (packet[DESTINATION + 1]! << 16) | (packet[DESTINATION + 2]! << 8) | packet[DESTINATION + 3]!;
	if (word >>> 24 >= 224) return; // a group, or everybody
	destinations.set(word, (destinations.get(word) ?? 0) + 1);
}

/** The program's address where none was asked for. */
function onlyDestination(path: string, { destinations }: Contents): string {
	const [only] = destinations.keys();
	if (only === undefined) throw wrong(path, "holds no IPv4 packet for a single station: there is nothing to replay");
	if (destinations.size > 1) throw wrong(path, `holds packets for ${byPackets(destinations)}: say which of them the program is, --address`);
	return `${formatIpv4(only)}/${PREFIX}`;
}

/** The addresses that most packets are for. */
function byPackets(destinations: Contents["destinations"]): string {
	const entries = [...destinations].sort((a, b) => b[1] - a[1]).map(([word, packets]) => `${formatIpv4(word)} (${packets})`);
	return named(entries);
}
