/**
 * Copies of frames into pages: within one arena, from another, and from shared memory; from a place that lies to words of 8 bytes as the target
 * does, and from one that does not. V8 copies shared memory word by word only in the first case: that is why arenas are not shared.
 */
import { bench, do_not_optimize, summary } from "mitata";
import { FRAME_OFFSET } from "../../src/link/frames.ts";
import { Arena } from "../../src/memory/arena.ts";

const PAGES = 64;
const PAGE = 2048;

export function copies(): void {
	const arena = new Arena(2 * PAGES * PAGE);
	const other = new Arena(PAGES * PAGE);
	const shared = new Uint8Array(new SharedArrayBuffer(PAGES * PAGE));
	let turn = 0;
	for (const length of [60, 590, 1514]) {
		summary(() => {
			for (const [lies, offset] of [
				["alike", FRAME_OFFSET + 16],
				["otherwise", FRAME_OFFSET + 12],
			] as const) {
				bench(`copy, ${length} bytes, within an arena, ${lies}`, () => {
					turn = (turn + 1) & (PAGES - 1);
					const from = (PAGES + turn) * PAGE + offset;
					return do_not_optimize(arena.u8.copyWithin(turn * PAGE + FRAME_OFFSET, from, from + length));
				});
				for (const [name, source] of [
					["another arena", other.u8],
					["shared memory", shared],
				] as const) {
					bench(`copy, ${length} bytes, from ${name}, ${lies}`, () => {
						turn = (turn + 1) & (PAGES - 1);
						const from = turn * PAGE + offset;
						arena.u8.set(source.subarray(from, from + length), turn * PAGE + FRAME_OFFSET);
					});
				}
			}
		});
	}
}
