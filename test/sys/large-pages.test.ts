/** Large pages under a host's memory: asked for where that is wanted, under all that is touched from its front on, and nowhere else. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { createHost, type HostOptions } from "../../src/host/host.ts";
import { memoryLinkPair } from "../../src/link/memory.ts";
import { Arena } from "../../src/memory/arena.ts";
import { nodeRuntime } from "../../src/node/runtime.ts";
import { adviseLargePages, largePagePolicy } from "../../src/sys/large-pages.ts";
import { libc } from "../../src/sys/libc.ts";

const LARGE = 2 << 20;
/** smaps is read only where what it is held against can be. */
const skip = largePagePolicy() === "never" ? "large pages are not to be had here (millrace doctor says why)" : false;

/** Which addresses of this process the kernel was asked to put on large pages: "hg" among the VmFlags of proc(5). */
function advised(): { from: number; to: number }[] {
	const found: { from: number; to: number }[] = [];
	let range = { from: 0, to: 0 };
	for (const line of readFileSync("/proc/self/smaps", "latin1").split("\n")) {
		const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line) ?? [];
		if (from !== undefined) range = { from: Number.parseInt(from, 16), to: Number.parseInt(to!, 16) };
		else if (/^VmFlags:.* hg( |$)/.test(line)) found.push(range);
	}
	return found;
}

/** Bytes of a piece of an arena that are on the list. */
function advisedBytes(arena: Arena, start: number, length: number): number {
	const from = Number(libc().address(arena.u8)) + start;
	return advised().reduce((sum, range) => sum + Math.max(0, Math.min(range.to, from + length) - Math.max(range.from, from)), 0);
}

function host(t: { after(undo: () => void): void }, options: Partial<HostOptions>) {
	const [link] = memoryLinkPair();
	const made = createHost({ link, runtime: nodeRuntime(), addresses: ["10.0.0.1/24"], memory: 16 << 20, ...options });
	t.after(() => made.close());
	return made;
}

describe("large pages", { skip }, () => {
	test("are asked for under all whole ones of a piece of memory, and no further", () => {
		const arena = new Arena(16 << 20);
		const from = 4096;
		const length = (8 << 20) + 5000;
		const bytes = adviseLargePages(arena.u8.subarray(from, from + length));
		assert.ok(bytes >= length - 2 * LARGE && bytes <= length && bytes % LARGE === 0, String(bytes));
		assert.equal(advisedBytes(arena, from, length), bytes);
		assert.equal(advisedBytes(arena, 0, arena.size), bytes);
		assert.equal(adviseLargePages(new Arena(1 << 20).u8), 0, "none is whole");
	});

	test("lie under a host's tables and pages if it was given the option, and its figures say so", (t) => {
		const made = host(t, { largePages: true });
		const { largePages, reserved } = made.stats().memory;
		const { arena } = made.shard;
		assert.ok(largePages > reserved - 2 * LARGE && largePages <= reserved, `${largePages} of ${reserved}`);
		assert.equal(advisedBytes(arena, 0, arena.size), largePages);
	});

	test("do not lie under a host's memory otherwise", (t) => {
		for (const options of [{}, { largePages: false }]) {
			const made = host(t, options);
			assert.equal(made.stats().memory.largePages, 0);
			assert.equal(advisedBytes(made.shard.arena, 0, made.shard.arena.size), 0);
		}
	});
});

test("a host on a platform without large pages does without, and its figures say so", (t) => {
	const { largePages: _, ...runtime } = nodeRuntime();
	assert.equal(host(t, { largePages: true, runtime }).stats().memory.largePages, 0);
});
