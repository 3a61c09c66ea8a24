/** Parsing TCP options: the layout of nearly every segment, of a SYN, and of an ACK with SACK blocks. */
import { bench, do_not_optimize } from "mitata";
import { Arena } from "../../src/memory/arena.ts";
import { parseTcpOptions, TcpOptions, writeSack, writeSynOptions, writeTimestamps } from "../../src/wire/tcp.ts";

export function optionParsing(): void {
	const { u8 } = new Arena(65536);
	const into = new TcpOptions();
	writeTimestamps(u8, 64, 12345, 67890);
	const syn = writeSynOptions(u8, 128, 1460, 7, true, true, 12345, 0);
	const sack = writeTimestamps(u8, 256, 1, 2) + writeSack(u8, 256 + 12, Int32Array.of(1, 2, 5, 6, 9, 10), 3);
	bench("options, timestamps only", () => do_not_optimize(parseTcpOptions(u8, 64, 12, into)));
	bench("options of a SYN", () => do_not_optimize(parseTcpOptions(u8, 128, syn, into)));
	bench("options, timestamps and 3 SACK blocks", () => do_not_optimize(parseTcpOptions(u8, 256, sack, into)));
}
