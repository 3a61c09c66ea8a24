/**
 * Micro-benchmarks of single mechanisms (mitata): what the choices in hot code rest on. `npm run bench -- micro [NAME ...]`.
 *
 * They explain figures of the big benches and are never a goal themselves.
 */
import { run } from "mitata";
import { checksums } from "./checksum.ts";
import { copies } from "./copy.ts";
import { lookups } from "./lookup.ts";
import { optionParsing } from "./options.ts";
import { records } from "./records.ts";

export const micro: Readonly<Record<string, () => void>> = {
	checksum: checksums,
	copy: copies,
	lookup: lookups,
	records,
	options: optionParsing,
};

export async function runMicro(names: readonly string[]): Promise<void> {
	for (const [name, define] of Object.entries(micro)) if (names.length === 0 || names.includes(name)) define();
	await run({ colors: process.stdout.isTTY === true });
}
