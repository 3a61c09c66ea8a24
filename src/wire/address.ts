/**
 * Addresses as people write them, and as the stack keeps them.
 *
 * Hides the text forms. Inside, an IPv4 address is one signed 32-bit number ("word"), most significant byte first; an IP
 * address of either kind is four such words, IPv4 as IPv4-mapped ::ffff:a.b.c.d (RFC 4291 2.5.5.2). Text goes out as
 * RFC 5952 wants it. What is parsed comes from people and configuration, so errors are thrown and say what was expected.
 */
import { MillraceError, shown } from "../errors.ts";

/** Word 2 of an IPv4-mapped address; words 0 and 1 are 0. */
export const MAPPED = 0xffff;

/** An address with the length of its network's prefix. */
export interface Cidr {
	/** 4 or 6. */
	version: 4 | 6;
	/** The address as it was given, not masked: four words. */
	words: Int32Array;
	/** Bits of the network part: 0 to 32 for IPv4, 0 to 128 for IPv6. */
	prefix: number;
}

function bad(text: unknown, what: string, example: string): MillraceError {
	return new MillraceError("MILLRACE_ADDRESS", `${shown(text)} is not ${what}; write it as ${example}`);
}

const ZERO = 0x30;
const DOT = 0x2e;

/** The word of a dotted quad, or undefined; asked for with every connect. Numbers have no leading zeros: some programs read those as octal. */
function readIpv4(text: string): number | undefined {
	// What people configure need not be what the types say.
	if (typeof text !== "string") return undefined;
	let word = 0;
	let byte = -1;
	let dots = 0;
	for (let i = 0; i < text.length; i++) {
		const code = text.charCodeAt(i);
		if (code === DOT) {
			if (byte < 0 || ++dots > 3) return undefined;
			word = (word << 8) | byte;
			byte = -1;
			continue;
		}
		const digit = code - ZERO;
		if (digit < 0 || digit > 9 || byte === 0) return undefined;
		byte = byte < 0 ? digit : byte * 10 + digit;
		if (byte > 255) return undefined;
	}
	return dots === 3 && byte >= 0 ? (word << 8) | byte : undefined;
}

/** The eight groups of one side of an IPv6 address, or undefined; the last may be a dotted quad if `tail`. */
function readGroups(text: string, tail: boolean): number[] | undefined {
	if (text === "") return [];
	const groups: number[] = [];
	const parts = text.split(":");
	for (const [i, part] of parts.entries()) {
		if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
			groups.push(Number.parseInt(part, 16));
			continue;
		}
		const word = tail && i === parts.length - 1 ? readIpv4(part) : undefined;
		if (word === undefined) return undefined;
		groups.push(word >>> 16, word & 0xffff);
	}
	return groups;
}

/** The words of an IPv6 text (RFC 4291 2.2), or undefined. */
function readIpv6(text: string): Int32Array | undefined {
	const gap = text.indexOf("::");
	const head = readGroups(gap < 0 ? text : text.slice(0, gap), gap < 0);
	const rest = gap < 0 ? [] : readGroups(text.slice(gap + 2), true);
	if (head === undefined || rest === undefined) return undefined;
	const missing = 8 - head.length - rest.length;
	// "::" stands for at least one group.
	if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
	const groups = [...head, ...new Array<number>(missing).fill(0), ...rest];
	return Int32Array.from({ length: 4 }, (_, i) => (groups[2 * i]! << 16) | groups[2 * i + 1]!);
}

/** 4, 6, or 0 if the text is no IP address. */
export function ipVersion(text: string): 0 | 4 | 6 {
	return readIpv4(text) !== undefined ? 4 : readIpv6(text) !== undefined ? 6 : 0;
}

/** Parses "10.77.0.2". */
export function parseIpv4(text: string): number {
	const word = readIpv4(text);
	if (word === undefined) throw bad(text, "an IPv4 address", "10.77.0.2");
	return word;
}

/** "10.77.0.2" for a word in host order. */
export function formatIpv4(word: number): string {
	return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** Parses any text form of RFC 4291 2.2 into four words; zones ("%eth0") are not taken. */
export function parseIpv6(text: string): Int32Array {
	const words = readIpv6(text);
	if (words === undefined) throw bad(text, "an IPv6 address", "fd00::2");
	return words;
}

/** The text of RFC 5952: lower case, the longest run of zero groups (the first of equals, at least two) as "::". */
export function formatIpv6(word0: number, word1: number, word2: number, word3: number): string {
	// RFC 5952 5: a prefix that is known to hold IPv4 addresses shows them as such.
	if (word0 === 0 && word1 === 0 && word2 === MAPPED) return `::ffff:${formatIpv4(word3)}`;
	const groups = [word0, word1, word2, word3].flatMap((word) => [word >>> 16, word & 0xffff]);
	let gap = 0;
	let longest = 1;
	for (let i = 0; i < 8; i++) {
		let end = i;
		while (end < 8 && groups[end] === 0) end++;
		if (end - i > longest) {
			longest = end - i;
			gap = i;
		}
	}
	const text = (from: number, to: number): string =>
		groups
			.slice(from, to)
			.map((group) => group.toString(16))
			.join(":");
	return longest === 1 ? text(0, 8) : `${text(0, gap)}::${text(gap + longest, 8)}`;
}

/** Parses an IPv4 or IPv6 address into four words. */
export function parseAddress(text: string): Int32Array {
	const word = readIpv4(text);
	if (word !== undefined) return Int32Array.of(0, 0, MAPPED, word);
	const words = readIpv6(text);
	if (words === undefined) throw bad(text, "an IP address", "10.77.0.2 or fd00::2");
	return words;
}

/** The text of four words; IPv4-mapped addresses as plain IPv4. */
export function formatAddress(word0: number, word1: number, word2: number, word3: number): string {
	return word0 === 0 && word1 === 0 && word2 === MAPPED ? formatIpv4(word3) : formatIpv6(word0, word1, word2, word3);
}

/** Parses "10.77.0.2/24" or "fd00::2/64". */
export function parseCidr(text: string): Cidr {
	const match = /^([^/]*)\/(\d{1,3})$/.exec(text);
	const version = match === null ? 0 : ipVersion(match[1]!);
	const prefix = Number(match?.[2]);
	if (version === 0 || prefix > (version === 4 ? 32 : 128)) throw bad(text, "an address with a prefix length", "10.77.0.2/24");
	return { version, words: parseAddress(match![1]!), prefix };
}

/** "10.77.0.2/24", or the IPv6 form. */
export function formatCidr(cidr: Cidr): string {
	const [word0, word1, word2, word3] = cidr.words as unknown as [number, number, number, number];
	return `${cidr.version === 4 ? formatIpv4(word3) : formatIpv6(word0, word1, word2, word3)}/${cidr.prefix}`;
}

/** The IPv4 netmask of a prefix length: 24 gives 255.255.255.0 as a word. */
export function mask4(prefix: number): number {
	return prefix === 0 ? 0 : (-1 << (32 - prefix)) | 0;
}

/** Whether an address is its network's own or its broadcast address, which no host has; networks of 31 and 32 bits have neither (RFC 3021). */
export function isEdge(word: number, prefix: number): boolean {
	const host = ~mask4(prefix);
	return prefix < 31 && ((word & host) === 0 || (word & host) === host);
}

/** Parses "02:00:0a:4d:00:02" (or with "-") into 6 bytes. */
export function parseMac(text: string): Uint8Array {
	if (!/^[0-9a-fA-F]{2}([:-])(?:[0-9a-fA-F]{2}\1){4}[0-9a-fA-F]{2}$/.test(text)) throw bad(text, "a hardware address", "02:00:0a:4d:00:02");
	return Uint8Array.from(text.split(/[:-]/), (part) => Number.parseInt(part, 16));
}

/** The text of the 6 bytes at `at`. */
export function formatMac(bytes: Uint8Array, at = 0): string {
	let text = "";
	for (let i = 0; i < 6; i++) text += (i === 0 ? "" : ":") + bytes[at + i]!.toString(16).padStart(2, "0");
	return text;
}
