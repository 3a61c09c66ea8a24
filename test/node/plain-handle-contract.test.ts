/**
 * Plain handles are used where this Node keeps their contract. Each of these Nodes differs in one point of it, by a method that was patched; each
 * must be seen to differ when the first server asks, and its connections get JSStreams.
 */
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";

type Method = (this: net.Socket, ...args: never[]) => unknown;
type Callback = (error?: Error | null) => void;
type Write = (this: net.Socket, chunk: unknown, encoding?: unknown, callback?: unknown) => boolean;
type Final = (this: net.Socket, done: Callback) => void;

const prototype = net.Socket.prototype as unknown as Record<string, Method>;
const module = new URL("../../src/node/plain-handle.js", import.meta.url).href;
let asked = 0;

/** What a process whose sockets have this method makes of plain handles: each time a copy of the module that has not asked yet. */
async function wanted(name: string, make: (nodes: Method) => Method): Promise<boolean> {
	const own = Object.getOwnPropertyDescriptor(prototype, name);
	const nodes = prototype[name]!;
	const { wantsPlainHandles } = (await import(`${module}?${asked++}`)) as typeof import("../../src/node/plain-handle.ts");
	Object.defineProperty(prototype, name, { value: make(nodes), configurable: true, writable: true });
	try {
		return wantsPlainHandles(net.createServer());
	} finally {
		if (own === undefined) delete prototype[name];
		else Object.defineProperty(prototype, name, own);
	}
}

/** The arguments of `write`, with what is called in the end. */
function written(encoding: unknown, callback: unknown): { encoding: BufferEncoding; callback: Callback } {
	const [unit, done] = typeof encoding === "function" ? [undefined, encoding] : [encoding, callback];
	return { encoding: (unit ?? "utf8") as BufferEncoding, callback: (done ?? (() => {})) as Callback };
}

const differences: [what: string, method: string, make: (nodes: never) => Method][] = [
	[
		"does not call back writes",
		"write",
		(nodes: Write): Write =>
			function (chunk, unit) {
				return nodes.call(this, chunk, written(unit, undefined).encoding);
			},
	],
	[
		"calls writes back before their bytes are taken",
		"write",
		(nodes: Write): Write =>
			function (chunk, unit, done) {
				const { encoding, callback } = written(unit, done);
				callback();
				return nodes.call(this, chunk, encoding);
			},
	],
	[
		"calls writes back twice",
		"write",
		(nodes: Write): Write =>
			function (chunk, unit, done) {
				const { encoding, callback } = written(unit, done);
				return nodes.call(this, chunk, encoding, (error: Error) => {
					callback(error);
					callback(error);
				});
			},
	],
	[
		"calls a write back without the error that it met",
		"write",
		(nodes: Write): Write =>
			function (chunk, unit, done) {
				const { encoding, callback } = written(unit, done);
				return nodes.call(this, chunk, encoding, () => callback());
			},
	],
	[
		"calls back a write that is done at once some time later",
		"_write",
		(nodes: (...args: unknown[]) => void) =>
			function (...args: unknown[]) {
				const done = args.pop() as Callback;
				nodes.call(this, ...args, (error: Error) => setImmediate(done, error));
			} as Method,
	],
	[
		"ends its side when the peer has ended its own",
		"push",
		(nodes: (chunk: unknown) => boolean) =>
			function (this: net.Socket, chunk: unknown) {
				if (chunk === null) this.end();
				return nodes.call(this, chunk);
			} as Method,
	],
	["sends no FIN at an end", "_final", (): Final => (done) => done()],
	[
		"is not told that the FIN is on its way",
		"_final",
		(nodes: Final): Final =>
			function () {
				nodes.call(this, () => {});
			},
	],
	[
		"stops reading when its own side is ended",
		"_final",
		(nodes: Final): Final =>
			function (done) {
				nodes.call(this, done);
				this.push(null);
			},
	],
	[
		"goes on while it is paused",
		"pause",
		() =>
			function (this: net.Socket) {
				return this;
			} as Method,
	],
	[
		"reads on when a paused stream wants no more",
		"push",
		(nodes: (chunk: unknown) => boolean) =>
			function (this: net.Socket, chunk: unknown) {
				return nodes.call(this, chunk) || true;
			} as Method,
	],
	[
		"stays paused",
		"resume",
		(nodes: Method) =>
			function (this: net.Socket) {
				return this.isPaused() ? this : nodes.call(this);
			} as Method,
	],
	[
		"keeps the reset to itself",
		"destroy",
		(nodes: Method) =>
			function (this: net.Socket) {
				return nodes.call(this);
			} as Method,
	],
	[
		"closes where it should reset",
		"_reset",
		() =>
			function (this: net.Socket) {
				return this.destroy();
			} as Method,
	],
];

test("a Node whose sockets keep the contract gets plain handles", async () => {
	assert.equal(await wanted("pause", (nodes) => nodes), true);
});

for (const [what, method, make] of differences) {
	test(`a Node that ${what} gets JSStreams`, async () => {
		assert.equal(await wanted(method, make as (nodes: Method) => Method), false);
	});
}
