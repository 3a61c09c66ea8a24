/**
 * An ordinary node:http server; nothing in it knows of Millrace.
 *
 *   node examples/http-server.mjs                # on the kernel
 *   millrace run examples/http-server.mjs        # the same file on Millrace
 *
 *   GET  /            a small page
 *   GET  /bytes?n=N   N bytes, the same ones every time
 *   POST /hash        the sha256 and the length of what was uploaded
 *
 * PORT in the environment chooses the port, default 8080.
 */
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { pipeline, Readable } from "node:stream";

const PAGE = "<!doctype html>\n<title>Millrace</title>\n<p>It runs.</p>\n";

/** 64 KiB of a fixed pattern whose period is no power of two, so that a displaced block shows in a hash. */
const PATTERN = Buffer.alloc(65536);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = (i * 7 + Math.floor(i / 251)) & 0xff;

function* bytes(count) {
	for (let left = count; left > 0; left -= PATTERN.length) yield left < PATTERN.length ? PATTERN.subarray(0, left) : PATTERN;
}

function answer(response, status, type, body) {
	response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
	response.end(body);
}

function handle(request, response) {
	const [path, query] = request.url.split("?", 2);
	if (request.method === "GET" && path === "/") return answer(response, 200, "text/html", PAGE);
	if (request.method === "GET" && path === "/bytes") {
		const count = Number(new URLSearchParams(query).get("n"));
		if (!Number.isSafeInteger(count) || count < 0) return answer(response, 400, "text/plain", "n must be a number of bytes\n");
		response.writeHead(200, { "content-type": "application/octet-stream", "content-length": count });
		return pipeline(Readable.from(bytes(count)), response, () => {});
	}
	if (request.method === "POST" && path === "/hash") {
		const hash = createHash("sha256");
		let count = 0;
		request.on("data", (chunk) => {
			hash.update(chunk);
			count += chunk.length;
		});
		request.on("end", () => answer(response, 200, "text/plain", `${hash.digest("hex")} ${count}\n`));
		return;
	}
	answer(response, 404, "text/plain", "no such page\n");
}

const server = createServer(handle);
server.listen(Number(process.env.PORT ?? 8080), () => console.log(`http server on port ${server.address().port}`));

function stop() {
	server.close();
	server.closeIdleConnections();
}
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
