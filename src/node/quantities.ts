/**
 * Quantities as people write them: "2%", "20ms", "100mbit", "64mb", "10.77.0.2/24", "8080:80".
 *
 * Hides the spelling. Each reader takes a text and gives a plain number in the stack's unit (fraction, microseconds, bits a
 * second, bytes), or null when the text is not one; it never guesses a unit, because "20" as a delay is as likely meant in
 * seconds as in milliseconds. The caller knows the option's name and so words the complaint. And the other way: names in a message.
 */
import { ipVersion, parseIpv4 } from "../wire/address.ts";

/** A number without sign, exponent or blanks: what the readers below allow before a unit. */
const NUMBER = "([0-9]+(?:\\.[0-9]+)?)";

const scaled = (text: string, pattern: RegExp, units: Readonly<Record<string, number>>): number | null => {
	const match = pattern.exec(text.toLowerCase());
	if (match === null) return null;
	const unit = units[match[2]!];
	return unit === undefined ? null : Number(match[1]) * unit;
};

const PERCENT = new RegExp(`^${NUMBER}%$`);

/** "2%" as 0.02; null unless it lies between 0% and 100%. */
export function readFraction(text: string): number | null {
	const match = PERCENT.exec(text);
	if (match === null) return null;
	const fraction = Number(match[1]) / 100;
	return fraction <= 1 ? fraction : null;
}

const TIME = new RegExp(`^${NUMBER}(us|ms|s)$`);

/** "20ms" in whole microseconds. */
export function readMicroseconds(text: string): number | null {
	const us = scaled(text, TIME, { us: 1, ms: 1000, s: 1_000_000 });
	return us === null ? null : Math.round(us);
}

const RATE = new RegExp(`^${NUMBER}(bit|kbit|mbit|gbit)$`);

/** "100mbit" in bits a second; decimal multiples, as network people count. */
export function readBitRate(text: string): number | null {
	const rate = scaled(text, RATE, { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 });
	return rate === null ? null : Math.round(rate);
}

const SIZE = new RegExp(`^${NUMBER}(b|k|kb|kib|m|mb|mib|g|gb|gib)$`);

/** "64mb" in bytes; binary multiples, as memory is counted. */
export function readBytes(text: string): number | null {
	const k = 1024;
	const m = k * k;
	const g = m * k;
	const bytes = scaled(text, SIZE, { b: 1, k, kb: k, kib: k, m, mb: m, mib: m, g, gb: g, gib: g });
	return bytes === null ? null : Math.round(bytes);
}

/** A whole decimal number between two bounds. */
export function readInteger(text: string, least: number, most: number): number | null {
	if (!/^[0-9]{1,15}$/.test(text)) return null;
	const value = Number(text);
	return value >= least && value <= most ? value : null;
}

/** "10.77.0.2" as a 32-bit number without sign. */
export function readIpv4(text: string): number | null {
	return ipVersion(text) === 4 ? parseIpv4(text) >>> 0 : null;
}

/** An IPv4 address with its prefix length. */
export interface Ipv4Prefix {
	/** The address as a 32-bit number without sign. */
	word: number;
	/** 0 to 32. */
	length: number;
}

/** "10.77.0.2/24"; without a length, `length` is taken. */
export function readIpv4Prefix(text: string, length: number): Ipv4Prefix | null {
	const slash = text.indexOf("/");
	const word = readIpv4(slash < 0 ? text : text.slice(0, slash));
	const bits = slash < 0 ? length : readInteger(text.slice(slash + 1), 0, 32);
	return word === null || bits === null ? null : { word, length: bits };
}

/** The network part of an address. */
export function networkOf(prefix: Ipv4Prefix): number {
	const size = 2 ** (32 - prefix.length);
	return Math.floor(prefix.word / size) * size;
}

/** Whether `word` lies in the network of `prefix`. */
export function inNetwork(prefix: Ipv4Prefix, word: number): boolean {
	return networkOf({ word, length: prefix.length }) === networkOf(prefix);
}

/** Whether the address can belong to one machine: not its network's first or last address (RFC 3021 lets /31 use both). */
export function isUsableAddress(prefix: Ipv4Prefix): boolean {
	const first = prefix.word >>> 24;
	if (first === 0 || first >= 224) return false;
	if (prefix.length >= 31) return true;
	const network = networkOf(prefix);
	return prefix.word !== network && prefix.word !== network + 2 ** (32 - prefix.length) - 1;
}

/** Most names that a message has room for. */
const NAMED = 4;

/** Names in a message: the first few, and how many more there are. */
export function named(names: readonly string[]): string {
	return names.length <= NAMED ? names.join(", ") : `${names.slice(0, NAMED).join(", ")} and ${names.length - NAMED} more`;
}
