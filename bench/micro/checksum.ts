/** The Internet checksum by 32-bit words against the same sum by bytes. */
import { bench, do_not_optimize, summary } from "mitata";
import { Arena } from "../../src/memory/arena.ts";
import { checksum } from "../../src/wire/checksum.ts";

function byBytes(u8: Uint8Array, start: number, length: number): number {
	let sum = 0;
	for (let i = 0; i < length - 1; i += 2) sum += (u8[start + i]! << 8) | u8[start + i + 1]!;
	if ((length & 1) !== 0) sum += u8[start + length - 1]! << 8;
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return ~sum & 0xffff;
}

export function checksums(): void {
	const { u8 } = new Arena(65536);
	for (let i = 0; i < 4096; i++) u8[i] = (i * 131) & 255;
	for (const length of [20, 52, 564, 1460]) {
		summary(() => {
			bench(`checksum, ${length} bytes, words`, () => do_not_optimize(checksum(u8, 66, length, 0)));
			bench(`checksum, ${length} bytes, bytes`, () => do_not_optimize(byBytes(u8, 66, length)));
		});
	}
}
