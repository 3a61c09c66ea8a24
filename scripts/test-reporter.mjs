/**
 * Reporter for scripts/test.mjs: a line per file, each skip with its reason, failures in full, and totals for the caller.
 *
 * The totals go to the file that MILLRACE_TEST_TOTALS names, one JSON object per run of node's test runner.
 */
import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import { cwd, env } from "node:process";
import { inspect } from "node:util";

/** Node wraps what a test threw; the inside is what one wants to read. */
function describe(error) {
	const cause = error?.cause ?? error;
	return typeof cause === "string" ? cause : inspect(cause, { depth: 4 });
}

const indent = (text) => text.replaceAll(/^(?=.)/gm, "      ");

export default async function* report(source) {
	const totals = { passed: 0, failed: 0, skipped: 0 };
	const files = new Map();
	const row = (data) => {
		const name = relative(cwd(), data.file ?? data.name ?? "?")
			.replace(/^build\//, "")
			.replace(/\.js$/, "");
		if (!files.has(name)) files.set(name, { passed: 0, failed: 0, skips: new Map() });
		return [name, files.get(name)];
	};
	for await (const { type, data } of source) {
		if (type === "test:pass") {
			// A suite is its tests, unless all of it is skipped: then they are not heard of.
			if (data.details?.type === "suite" && data.skip === undefined) continue;
			const [, file] = row(data);
			if (data.skip !== undefined || data.todo !== undefined) {
				const why = `${data.skip || data.todo || true}`;
				const reason = why === "true" ? `no reason given: ${data.name}` : why;
				file.skips.set(reason, (file.skips.get(reason) ?? 0) + 1);
				totals.skipped++;
			} else {
				file.passed++;
				totals.passed++;
			}
		} else if (type === "test:fail") {
			// A suite or an outer test fails with its parts: the parts are what counts.
			if (data.details?.error?.failureType === "subtestsFailed") continue;
			const [name, file] = row(data);
			file.failed++;
			totals.failed++;
			const where = data.line === undefined ? name : `${name}:${data.line}`;
			yield `not ok  ${data.name}\n    at ${where}\n${indent(describe(data.details?.error))}\n`;
		} else if (type === "test:stdout" || type === "test:stderr") {
			yield data.message;
		}
	}
	for (const [name, { passed, failed, skips }] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
		if (passed + failed > 0) yield `${failed > 0 ? "FAILED" : "ok"}  ${name}: ${passed} passed${failed > 0 ? `, ${failed} failed` : ""}\n`;
		for (const [reason, count] of skips) yield `skipped  ${name}: ${count} ${count === 1 ? "test" : "tests"}: ${reason}\n`;
	}
	if (env.MILLRACE_TEST_TOTALS) appendFileSync(env.MILLRACE_TEST_TOTALS, `${JSON.stringify(totals)}\n`);
}
