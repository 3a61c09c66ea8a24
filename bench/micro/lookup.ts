/** Finding a segment's connection: the table in the arena against a Map of strings. */
import { bench, do_not_optimize, summary } from "mitata";
import { Arena } from "../../src/memory/arena.ts";
import { ConnectionTable } from "../../src/tcp/table.ts";
import { SeededRandom } from "../../src/time/random.ts";

const LOCAL = 0x0a4d0002;

export function lookups(): void {
	for (const size of [100, 10_000, 100_000]) {
		const arena = new Arena(size * 512 + 4 * 1024 * 1024);
		const table = new ConnectionTable(arena, size, 16, new SeededRandom(7));
		const record = table.cursor();
		const map = new Map<string, number>();
		for (let i = 0; i < size; i++) {
			const index = table.alloc();
			record.at(index);
			record.local2 = 0xffff;
			record.local3 = LOCAL;
			record.localPort = 80;
			record.remote2 = 0xffff;
			record.remote3 = remoteOf(i);
			record.remotePort = portOf(i);
			table.insert(index);
			map.set(`${LOCAL}:80:${remoteOf(i)}:${portOf(i)}`, index);
		}
		let next = 0;
		const step = (): number => (next = (next + 7919) % size);
		summary(() => {
			bench(`lookup among ${size}, table in the arena`, () => {
				const i = step();
				do_not_optimize(table.lookup(0, 0, 0xffff, LOCAL, 80, 0, 0, 0xffff, remoteOf(i), portOf(i)));
			});
			bench(`lookup among ${size}, Map of strings`, () => {
				const i = step();
				do_not_optimize(map.get(`${LOCAL}:80:${remoteOf(i)}:${portOf(i)}`));
			});
		});
	}
}

const remoteOf = (i: number): number => 0x0a4d0100 + (i >> 14);
const portOf = (i: number): number => 1024 + (i & 16383);
