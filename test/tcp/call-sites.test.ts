/**
 * Layers 0 to 6 have no megamorphic call sites on the way of a frame: V8 looks up what it finds there by hash instead of by the shape that it has
 * seen, and puts none of it in line. V8's own log of its inline caches tells, in a process of its own where nothing but the stack and its
 * traffic runs (test/helpers/call-sites-program.ts).
 *
 * A site is named by the code that its program counter lies in. What the log does not tell: how many functions a variable has held.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../helpers/call-sites-program.js", import.meta.url));
const root = new URL("../../", import.meta.url).href;
const LAYERS = ["memory", "wire", "time", "link", "ip", "tcp", "shard", "socket", "host"];
/** States of an inline cache that knows too many shapes: megamorphic, and those beyond it (V8's `TransitionMarkFromState`). */
const MEGAMORPHIC = new Set(["N", "D", "G"]);
/** Files whose code runs once for a host, not for frames. */
const AT_START = [" src/tcp/options.js"];
const NEEDED = ["--log-ic", "--logfile-per-isolate"];

/** A change of one inline cache. */
interface Transition {
	/** The function and the file, from the package's root, as in `enqueue src/tcp/sendqueue.js`. */
	readonly where: string;
	readonly line: string;
	readonly kind: string;
	/** Name of the property. */
	readonly key: string;
	readonly state: string;
}

/** Which code lies at an address, as the log has told so far. */
class CodeMap {
	readonly #names = new Map<number, { size: number; name: string }>();
	/** Addresses, ascending; made anew after each change. */
	#starts: number[] | null = null;

	add(address: number, size: number, name: string): void {
		this.#names.set(address, { size, name });
		this.#starts = null;
	}

	move(from: number, to: number): void {
		const code = this.#names.get(from);
		if (code !== undefined) this.add(to, code.size, code.name);
	}

	at(address: number): string | null {
		this.#starts ??= [...this.#names.keys()].sort((a, b) => a - b);
		let low = 0;
		let high = this.#starts.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (this.#starts[middle]! <= address) low = middle + 1;
			else high = middle;
		}
		const start = this.#starts[low - 1];
		const code = start === undefined ? undefined : this.#names.get(start);
		return code !== undefined && address < start! + code.size ? code.name : null;
	}
}

/** The changes in code of this package. */
function* transitions(log: string): Generator<Transition> {
	const codes = new CodeMap();
	for (const entry of log.split("\n")) {
		const fields = entry.split(",");
		const [event = ""] = fields;
		if (event === "code-creation") codes.add(Number(fields[4]), Number(fields[5]), fields[6]!);
		else if (event === "code-move") codes.move(Number(fields[1]), Number(fields[2]));
		else if (event.endsWith("IC")) {
			const [, at, , line, , , state, , key] = fields;
			const name = codes.at(Number(at));
			if (name?.includes(root)) yield { where: name.replace(root, ""), line: line!, kind: event, key: key!, state: state! };
		}
	}
}

const options = execFileSync(process.execPath, ["--v8-options"], { encoding: "utf8" });
const missing = NEEDED.filter((flag) => !options.includes(flag));

test("no call site in layers 0 to 6 becomes megamorphic under requests, short connections and bulk", {
	skip: missing.length > 0 && `this V8 has no ${missing.join(" and no ")}`,
}, () => {
	const folder = mkdtempSync(join(tmpdir(), "call-sites-"));
	try {
		const file = join(folder, "log");
		execFileSync(process.execPath, ["--log-ic", `--logfile=${file}`, "--no-logfile-per-isolate", program], { timeout: 60_000 });
		const all = [...transitions(readFileSync(file, "latin1"))];
		for (const layer of LAYERS) {
			const seen = all.filter(({ where }) => where.includes(` src/${layer}/`));
			assert.ok(seen.length > 10, `the log tells of ${seen.length} sites in src/${layer}`);
		}
		const megamorphic = new Set<string>();
		let canary = false;
		for (const { where, line, kind, key, state } of all) {
			if (!MEGAMORPHIC.has(state)) continue;
			if (where.startsWith("canary ")) canary = true;
			else if (where.includes(" src/") && !AT_START.some((file) => where.includes(file)))
				megamorphic.add(`${where}, or inlined there, line ${line}: ${kind} of ${key}`);
		}
		assert.ok(canary, "the log tells of the site that is megamorphic on purpose");
		assert.deepEqual([...megamorphic], []);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});
