/**
 * An ordinary server for https and HTTP/2 on one port: the client chooses by ALPN.
 *
 *   millrace run examples/https-server.mjs [--key FILE --cert FILE]
 *   curl --cacert test/fixtures/test-cert.pem https://10.77.0.2:8443/
 *
 * Without --key and --cert it takes the pair of the tests, which is public: good for trying, never for serving. The repository has it, the
 * package has not.
 * PORT in the environment chooses the port, default 8443.
 */
import { readFileSync } from "node:fs";
import { createSecureServer } from "node:http2";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { key: { type: "string" }, cert: { type: "string" } } });
const fixture = (name) => new URL(`../test/fixtures/${name}`, import.meta.url);

const server = createSecureServer({
	key: readFileSync(values.key ?? fixture("test-key.pem")),
	cert: readFileSync(values.cert ?? fixture("test-cert.pem")),
	allowHTTP1: true,
});
server.on("request", (request, response) => {
	response.writeHead(200, { "content-type": "text/plain" });
	response.end(`${request.method} ${request.url} over HTTP/${request.httpVersion}\n`);
});

const sockets = new Set();
server.on("connection", (socket) => {
	sockets.add(socket);
	socket.on("close", () => sockets.delete(socket));
});
server.listen(Number(process.env.PORT ?? 8443), () => console.log(`https server on port ${server.address().port}`));

function stop() {
	server.close();
	for (const socket of sockets) socket.destroy();
}
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
