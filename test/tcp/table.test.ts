/** Connections, TIME-WAIT records and their hash table against a Map; and the queue of record numbers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Arena } from "../../src/memory/arena.ts";
import { CONNECTION_WORDS } from "../../src/tcp/connection.gen.ts";
import { IndexQueue } from "../../src/tcp/queue.ts";
import { C_TS, CLOSED, ESTABLISHED } from "../../src/tcp/state.ts";
import { ConnectionTable } from "../../src/tcp/table.ts";
import { SeededRandom } from "../../src/time/random.ts";

const CONNECTIONS = 5;
const WAITING = 3;
type Tuple = Parameters<ConnectionTable["lookup"]>;
/** They differ in one field each, so that a comparison that is left out is found out. */
const TUPLES: readonly Tuple[] = [
	[0, 0, 0xffff, 1, 80, 0, 0, 0xffff, 2, 5000],
	[0, 0, 0xffff, 1, 80, 0, 0, 0xffff, 2, 5001],
	[0, 0, 0xffff, 1, 81, 0, 0, 0xffff, 2, 5000],
	[0, 0, 0xffff, 1, 80, 0, 0, 0xffff, 3, 5000],
	[0, 0, 0xffff, 9, 80, 0, 0, 0xffff, 2, 5000],
	[7, 0, 0xffff, 1, 80, 0, 0, 0xffff, 2, 5000],
	[0, 7, 0xffff, 1, 80, 0, 0, 0xffff, 2, 5000],
	[0, 0, 7, 1, 80, 0, 0, 0xffff, 2, 5000],
	[0, 0, 0xffff, 1, 80, 7, 0, 0xffff, 2, 5000],
	[0, 0, 0xffff, 1, 80, 0, 7, 0xffff, 2, 5000],
	[0, 0, 0xffff, 1, 80, 0, 0, 7, 2, 5000],
];

interface Entry {
	/** Connection record, or -1 for one in TIME-WAIT. */
	index: number;
	generation: number;
	expires: number;
	sndNxt: number;
	timestamps: boolean;
}

interface Model {
	now: number;
	entries: Map<number, Entry>;
	/** Tuples in TIME-WAIT, oldest first. */
	waiting: number[];
	/** Last generation seen of each record. */
	generations: Map<number, number>;
}

class Step implements fc.Command<Model, ConnectionTable> {
	readonly #kind: "open" | "free" | "wait" | "restart" | "forget" | "advance";
	readonly #tuple: number;
	readonly #amount: number;
	constructor(kind: Step["kind"], tuple: number, amount: number) {
		this.#kind = kind;
		this.#tuple = tuple;
		this.#amount = amount;
	}
	get kind() {
		return this.#kind;
	}
	toString = () => `${this.#kind}(${this.#tuple}, ${this.#amount})`;

	check(model: Readonly<Model>): boolean {
		const entry = model.entries.get(this.#tuple);
		switch (this.#kind) {
			case "open":
				return entry === undefined;
			case "free":
			case "wait":
				return entry !== undefined && entry.index >= 0;
			case "restart":
			case "forget":
				return entry !== undefined && entry.index < 0;
			default:
				return true;
		}
	}

	run(model: Model, table: ConnectionTable): void {
		const tuple = TUPLES[this.#tuple]!;
		const entry = model.entries.get(this.#tuple)!;
		const c = table.cursor();
		switch (this.#kind) {
			case "open": {
				const index = table.alloc();
				const open = [...model.entries.values()].filter((other) => other.index >= 0);
				if (open.length === CONNECTIONS) {
					assert.equal(index, -1);
					break;
				}
				assert.ok(!open.some((other) => other.index === index));
				c.at(index);
				const { generation } = c;
				if (model.generations.has(index)) assert.notEqual(generation, model.generations.get(index));
				model.generations.set(index, generation);
				assert.equal(c.state, CLOSED);
				assert.equal(c.sndHead, 0);
				[c.local0, c.local1, c.local2, c.local3, c.localPort, c.remote0, c.remote1, c.remote2, c.remote3, c.remotePort] = tuple;
				c.state = ESTABLISHED;
				c.sndNxt = this.#amount;
				// Left behind by this use: the next must find none of it.
				c.sndHead = 99;
				const timestamps = this.#amount % 2 === 0;
				if (timestamps) c.flags = C_TS;
				table.insert(index);
				model.entries.set(this.#tuple, { index, generation, expires: 0, sndNxt: this.#amount, timestamps });
				break;
			}
			case "free":
				table.remove(entry.index);
				table.free(entry.index);
				model.entries.delete(this.#tuple);
				break;
			case "wait": {
				const early = table.addTimeWait(entry.index, model.now + 1000);
				table.remove(entry.index);
				table.free(entry.index);
				assert.equal(early, model.waiting.length === WAITING);
				if (early) model.entries.delete(model.waiting.shift()!);
				model.entries.set(this.#tuple, { ...entry, index: -1, expires: model.now + 1000 });
				model.waiting.push(this.#tuple);
				break;
			}
			case "restart":
				table.restartTimeWait(table.lookup(...tuple), model.now + 1000);
				entry.expires = model.now + 1000;
				model.waiting.push(...model.waiting.splice(model.waiting.indexOf(this.#tuple), 1));
				break;
			case "forget":
				table.removeTimeWait(-2 - table.lookup(...tuple));
				model.waiting.splice(model.waiting.indexOf(this.#tuple), 1);
				model.entries.delete(this.#tuple);
				break;
			case "advance": {
				model.now += this.#amount;
				const next = table.expireTimeWait(model.now | 0);
				while (model.waiting.length > 0 && model.entries.get(model.waiting[0]!)!.expires <= model.now)
					model.entries.delete(model.waiting.shift()!);
				assert.equal(next, model.waiting.length === 0 ? -1 : model.entries.get(model.waiting[0]!)!.expires - model.now);
			}
		}
		this.#same(model, table);
	}

	#same(model: Model, table: ConnectionTable): void {
		assert.equal(table.timeWaitCount, model.waiting.length);
		assert.equal(table.count, model.entries.size - model.waiting.length);
		assert.ok(table.highWater >= table.count && table.touched <= CONNECTIONS);
		for (const [i, tuple] of TUPLES.entries()) {
			const entry = model.entries.get(i);
			const found = table.lookup(...tuple);
			if (entry === undefined) assert.equal(found, -1);
			else if (entry.index >= 0) {
				assert.equal(found, entry.index);
				const c = table.cursor().at(found);
				assert.equal(c.generation, entry.generation, "a handle to a living connection stays good");
			} else {
				assert.ok(found < -1);
				const tw = table.timeWaitAt(found);
				assert.equal(tw.sndNxt, entry.sndNxt);
				assert.equal(tw.tsOffset !== 0, entry.timestamps);
			}
		}
	}
}

test("records, generations and TIME-WAIT follow a Map through any sequence of calls", () => {
	const step = fc
		.tuple(
			fc.constantFrom("open", "open", "open", "free", "wait", "wait", "restart", "forget", "advance"),
			fc.nat(TUPLES.length - 1),
			fc.nat(700),
		)
		.map(([kind, tuple, amount]) => new Step(kind as Step["kind"], tuple, amount));
	fc.assert(
		fc.property(fc.commands([step], { maxCommands: 100, size: "max" }), fc.constantFrom(0, 0x7fffffff - 3000, -2000), (commands, now) => {
			const table = new ConnectionTable(new Arena(1 << 16), CONNECTIONS, WAITING, new SeededRandom(now));
			fc.modelRun(() => ({ model: { now, entries: new Map(), waiting: [], generations: new Map() }, real: table }), commands);
		}),
		{ numRuns: 300 },
	);
});

test("a table without room for TIME-WAIT forgets at once", () => {
	const table = new ConnectionTable(new Arena(1 << 16), CONNECTIONS, 0, new SeededRandom(1));
	const index = table.alloc();
	table.insert(index);
	assert.equal(table.addTimeWait(index, 1000), true);
	table.remove(index);
	table.free(index);
	assert.equal(table.count, 0);
	assert.equal(table.timeWaitCount, 0);
	assert.equal(table.lookup(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), -1);
});

test("a record that is used again keeps its place on lists, and nothing else", () => {
	const table = new ConnectionTable(new Arena(1 << 16), CONNECTIONS, WAITING, new SeededRandom(1));
	const index = table.alloc();
	const c = table.cursor().at(index);
	const { generation } = c;
	c.w.fill(-1, c.b, c.b + CONNECTION_WORDS);
	c.generation = generation;
	c.lists = 3;
	table.free(index);
	assert.equal(table.alloc(), index);
	assert.equal(c.lists, 3);
	assert.equal(c.generation, (generation + 1) | 0);
	const words = [...c.w.subarray(c.b, c.b + CONNECTION_WORDS)].filter((word) => word !== 0);
	assert.deepEqual(words.sort(), [c.generation, 3].sort());
});

test("a queue of record numbers is first in, first out, also over its end", () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 9 }), fc.array(fc.boolean(), { maxLength: 200, size: "max" }), (capacity, moves) => {
			const queue = new IndexQueue(capacity);
			const model: number[] = [];
			let next = 0;
			for (const push of moves) {
				if (push && model.length < capacity) {
					queue.push(next);
					model.push(next++);
				} else if (!push && model.length > 0) assert.equal(queue.shift(), model.shift());
				assert.equal(queue.length, model.length);
			}
		}),
	);
});
