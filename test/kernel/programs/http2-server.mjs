/**
 * An HTTP/2 server, with TLS on port 8443 (HTTP/1.1 too, by ALPN) and without on port 8080.
 *
 *   GET  /bytes?n=N   N bytes
 *   POST /hash        the sha256 and the length of what was uploaded
 *   GET  /version     the version of HTTP
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureServer, createServer } from "node:http2";

const fixture = (name) => readFileSync(new URL(`../../fixtures/${name}`, import.meta.url));

function handle(request, response) {
	const [path, query] = request.url.split("?", 2);
	if (path === "/bytes") return response.end(Buffer.alloc(Number(new URLSearchParams(query).get("n")), "millrace"));
	if (path === "/version") return response.end(request.httpVersion);
	const hash = createHash("sha256");
	let count = 0;
	request.on("data", (chunk) => {
		hash.update(chunk);
		count += chunk.length;
	});
	request.on("end", () => response.end(`${hash.digest("hex")} ${count}`));
}

createServer(handle).listen(8080, () =>
	createSecureServer({ key: fixture("test-key.pem"), cert: fixture("test-cert.pem"), allowHTTP1: true }, handle).listen(8443, () =>
		console.log("serving"),
	),
);
