/** Reading and writing a connection's state: accessors over the arena, direct indexing, plain objects. */
import { bench, do_not_optimize, summary } from "mitata";
import { Arena } from "../../src/memory/arena.ts";
import { CONNECTION_WORDS, Connection, connectionOffset } from "../../src/tcp/connection.gen.ts";

const COUNT = 1024;

export function records(): void {
	const words = new Arena(COUNT * CONNECTION_WORDS * 4 + 65536).i32;
	const connection = new Connection(words, 16);
	const objects = Array.from({ length: COUNT }, () => ({ sndUna: 0, sndNxt: 0, rcvNxt: 0, generation: 0, flags: 0 }));
	const { sndUna, sndNxt, rcvNxt } = connectionOffset;
	let next = 0;
	summary(() => {
		bench("record update, accessors", () => {
			next = (next + 1) & (COUNT - 1);
			const c = connection.at(next);
			c.sndNxt = (c.sndNxt + 1460) | 0;
			c.rcvNxt = (c.rcvNxt + c.sndNxt - c.sndUna) | 0;
			do_not_optimize(c.rcvNxt);
		});
		bench("record update, direct indexing", () => {
			next = (next + 1) & (COUNT - 1);
			const at = 16 + next * CONNECTION_WORDS;
			words[at + sndNxt] = (words[at + sndNxt]! + 1460) | 0;
			words[at + rcvNxt] = (words[at + rcvNxt]! + words[at + sndNxt]! - words[at + sndUna]!) | 0;
			do_not_optimize(words[at + rcvNxt]);
		});
		bench("record update, plain objects", () => {
			next = (next + 1) & (COUNT - 1);
			const c = objects[next]!;
			c.sndNxt = (c.sndNxt + 1460) | 0;
			c.rcvNxt = (c.rcvNxt + c.sndNxt - c.sndUna) | 0;
			do_not_optimize(c.rcvNxt);
		});
	});
}
