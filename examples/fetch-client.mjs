/**
 * An ordinary client: fetches a URL with Node's http (or https) module and prints status, length and sha256 of the body.
 *
 *   millrace run examples/fetch-client.mjs http://10.77.0.1:8000/file
 *   millrace run examples/fetch-client.mjs --fetch http://10.77.0.1:8000/file      # with the global fetch
 */
import { createHash } from "node:crypto";
import http from "node:http";
import https from "node:https";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({ options: { fetch: { type: "boolean" } }, allowPositionals: true });
if (positionals.length !== 1) {
	console.error("usage: fetch-client.mjs [--fetch] URL");
	process.exit(2);
}
const url = new URL(positionals[0]);

/** Status and body (an async iterable of bytes) of a GET. */
async function get() {
	if (values.fetch) {
		const response = await fetch(url);
		return { status: response.status, body: response.body ?? [] };
	}
	const response = await new Promise((resolve, reject) => {
		(url.protocol === "https:" ? https : http).get(url, resolve).on("error", reject);
	});
	return { status: response.statusCode, body: response };
}

try {
	const { status, body } = await get();
	const hash = createHash("sha256");
	let length = 0;
	for await (const chunk of body) {
		hash.update(chunk);
		length += chunk.length;
	}
	console.log(`${status} ${length} ${hash.digest("hex")}`);
} catch (error) {
	const cause = error.cause ?? error;
	console.error(`cannot fetch ${url}: ${cause.code ?? cause.message}`);
	process.exitCode = 1;
}
