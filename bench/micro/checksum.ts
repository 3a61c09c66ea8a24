/** The Internet checksum in an arena: by WebAssembly vectors, by 32-bit words, by bytes. Short ones show what a call costs. */
import { bench, do_not_optimize, summary } from "mitata";
import { Arena } from "../../src/memory/arena.ts";
import { checksum, sumByVectors } from "../../src/wire/checksum.ts";

function byBytes(u8: Uint8Array, start: number, length: number): number {
	let sum = 0;
	for (let i = 0; i < length - 1; i += 2) sum += (u8[start + i]! << 8) | u8[start + i + 1]!;
	if ((length & 1) !== 0) sum += u8[start + length - 1]! << 8;
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return ~sum & 0xffff;
}

function filled(): Arena {
	const arena = new Arena(65536);
	for (let i = 0; i < 4096; i++) arena.u8[i] = (i * 131) & 255;
	return arena;
}

export function checksums(): void {
	const plain = filled();
	const arena = filled();
	const other = filled();
	const vectors = sumByVectors(arena) && sumByVectors(other);
	for (const length of [20, 32, 52, 84, 148, 564, 1460]) {
		summary(() => {
			if (vectors) bench(`checksum, ${length} bytes, vectors`, () => do_not_optimize(checksum(arena.u8, 66, length, 0)));
			bench(`checksum, ${length} bytes, words`, () => do_not_optimize(checksum(plain.u8, 66, length, 0)));
			bench(`checksum, ${length} bytes, bytes`, () => do_not_optimize(byBytes(plain.u8, 66, length)));
		});
	}
	if (!vectors) return;
	let turn = 0;
	bench("checksum, 52 bytes, vectors, two arenas in turn", () => {
		turn ^= 1;
		return do_not_optimize(checksum(turn === 0 ? arena.u8 : other.u8, 66, 52, 0));
	});
}
